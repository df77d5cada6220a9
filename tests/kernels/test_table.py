"""What the reader of CSV tables takes means what Python's csv reads there, each column of one kind."""

from __future__ import annotations

import csv
import io
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demijohn import kernels
from demijohn.kernels import ReadTable, read_table

pytestmark = pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)

MANY = 10**6
TEXTS = st.text(st.characters(exclude_characters='",', exclude_categories=["Cs", "Cc"]), max_size=20)
NUMBERS = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**70), 2**70)).map(str)
CELLS = NUMBERS | TEXTS | st.sampled_from(["", "1.", "+1", "nan", "-0", "007", " 5", "5 ", "1_0", "é"])


def agrees(found: ReadTable, rows: list[list[str]]) -> bool:
    """Say whether each cell means what the text in its place does."""
    for got, wanted in zip(found.cells.tolist(), rows, strict=True):
        for value, text, kind, texts in zip(got, wanted, found.kinds, found.texts, strict=True):
            if kind == "s":
                meant = "" if math.isnan(value) else (texts or [])[int(value)]
                assert meant == text
            else:
                assert math.isnan(value) if text == "" else value == float(text)
                assert kind != "i" or text == "" or value == int(text)
    return True


@settings(max_examples=500, deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda width: st.lists(
            st.tuples(*[NUMBERS | st.just("")] * (width - 1), CELLS), min_size=1, max_size=9
        )
    ),
    st.sampled_from(["\n", "\r\n", "\n\r\n\n"]),
)
def test_a_cell_means_what_its_text_does(rows: list[tuple[str, ...]], line_end: str) -> None:
    text = "".join(",".join(row) + line_end for row in rows)
    read = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    found = read_table(text.encode(), 0, MANY, len(rows[0]))
    if found is not None and len(found.cells):
        assert found.end <= len(text.encode())
        assert agrees(found, read)


def test_the_kind_of_a_column_is_told() -> None:
    found = read_table(b"h\n,,,\n1,1.5,a,\n-2,2,1,\n3", 2, MANY, 4)
    assert found is not None
    assert found.kinds == "ifs-"
    assert found.texts == (None, None, ["a", "1"], None)
    assert found.n_missing == 6
    assert found.end == 23
    np.testing.assert_array_equal(found.cells[1:, :3], [[1, 1.5, 0], [-2, 2, 1]])


def test_so_many_rows_are_read_and_no_more() -> None:
    text = b"a,1\nb,2\na,3\n"
    found = read_table(text, 0, 2, 2)
    assert found is not None
    assert found.end == 8
    rest = read_table(text, found.end, 2, 2)
    assert rest is not None
    assert rest.cells.tolist() == [[0, 3]]


@pytest.mark.parametrize(
    "text",
    [
        b"1\na\n",
        b'"a"\n',
        b'a"b\n',
        b"a,b\n",
        b"\xff\n",
        b"a\0\n",
        b"a\rb\n",
        b"1e999\nx\n2\n"[:6] + b"1\r1\n",
    ],
)
def test_whatever_else_there_is_is_left_to_the_general_reader(text: bytes) -> None:
    assert read_table(text, 0, MANY, 1) is None


@pytest.mark.parametrize("text", [b"", b"\n\r\n", b"a", b"1"])
def test_of_no_whole_line_there_are_no_rows(text: bytes) -> None:
    found = read_table(text, 0, MANY, 1)
    assert found is not None
    assert len(found.cells) == 0


@pytest.mark.parametrize("arguments", [(-1, 1, 1), (2, 1, 1), (0, -1, 1), (0, 1, 0)])
def test_where_it_begins_and_how_wide_it_is_are_checked(arguments: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="read_table begins within the text"):
        read_table(b"a", *arguments)
