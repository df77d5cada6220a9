"""CSV of numbers and texts with the kernel and without: one answer, whether it fits or not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.protocols.test_json_records import NAMES, assert_alike, both_ways, signatures

from demijohn import kernels
from demijohn.messages import RecordCells, Rows, as_written
from demijohn.protocols import csv_media
from demijohn.protocols.pieces import Bounds, rows_in
from demijohn.signature import Signature, TensorSpec

NUMBERS = st.floats(allow_nan=False, allow_infinity=False).map(str)
COLUMNS = st.sampled_from(
    [
        NUMBERS,
        st.integers(-130, 130).map(str),
        st.integers(-(2**65), 2**65).map(str),
        st.sampled_from(["x", "y", "1", "é", "2024-01-02", " x", "true", "a long text of many letters"]),
        st.sampled_from(["true", "false", "True"]),
        st.sampled_from(
            ["nan", "inf", "1_0", "+1", "1.", "-0", "1e3", "1e400", " 5", '"q"', '"a,b"', '"', "\0"]
        ),
        st.just(""),
    ]
)


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    names = draw(
        st.sampled_from([NAMES, NAMES[:2], NAMES[:1], NAMES[::-1], ("b", "a"), ("a", "a"), ("a", "z")])
    )
    columns = [draw(COLUMNS) if draw(st.booleans()) else draw(COLUMNS) | st.just("") for _ in names]
    rows = draw(st.lists(st.tuples(*columns), max_size=20))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return "".join(",".join(row) + end for row in [names, *rows]).encode()


@settings(max_examples=1500, deadline=None)
@given(
    signatures(), texts(), st.sampled_from([b"", b"x", b"\xff", b"\n", b'"', b",", b"\r"]), st.integers(0, 99)
)
@example(Signature("table", (TensorSpec("a"),)), b"a\nx\n1\n", b"", 0)
def test_a_table_gets_the_same_answer_without_the_kernel(
    signature: Signature, body: bytes, spoil: bytes, place: int
) -> None:
    body = body[:place] + spoil + body[place:]
    got, wanted = both_ways(lambda: signature.validate(csv_media.decode(body, has_header=True)))
    assert_alike(got, wanted)


@settings(deadline=None)
@given(texts(), st.integers(1, 5), st.integers(1, 60))
def test_pieces_of_a_stream_get_the_same_answer_without_the_kernel(
    text: bytes, piece_rows: int, cut: int
) -> None:
    signature = Signature(
        "table", (TensorSpec("a", nullable=True), TensorSpec("b", "str", nullable=True), TensorSpec("c"))
    )
    bounds = Bounds(first_bytes=0, row_bytes=1000, piece_rows=piece_rows)

    def read() -> list[Any]:
        parts = [text[begin : begin + cut] for begin in range(0, len(text), cut)][::-1]
        pieces = csv_media.decode_stream(lambda: parts.pop() if parts else b"", bounds, has_header=True)
        rows: dict[str, list[Any]] = {}
        for piece in pieces:
            assert rows_in(piece) <= piece_rows
            for name, cells in signature.validate(piece).items():
                rows.setdefault(name, []).extend(map(str, cells.tolist()))
        return [rows]

    got, wanted = both_ways(read)
    assert got == wanted


@pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)
def test_numbers_and_texts_are_read_into_one_array() -> None:
    table = csv_media.decode(b"a,b\n1,x\n2,\n", has_header=True)
    assert isinstance(table, RecordCells)
    assert (table.names, table.kinds, table.n_missing) == (("a", "b"), "is", 1)
    assert as_written(table) == Rows([["1", "x"], ["2", ""]], columns=["a", "b"], is_text=True)
