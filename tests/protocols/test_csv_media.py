"""CSV in and out."""

from __future__ import annotations

import csv
import io
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demijohn.errors import DecodeError, SignatureMismatch
from demijohn.messages import Matrix, Rows
from demijohn.protocols import csv_media

cells = st.text(st.characters(codec="utf-8", exclude_characters="\x00"))
tables = st.integers(2, 5).flatmap(
    lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1)
)


def _written(rows: list[list[str]], **options: Any) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, **options).writerows(rows)
    return out.getvalue().encode()


@given(tables, st.sampled_from(["\r\n", "\n"]))
def test_what_csv_writes_is_read_as_it_was(rows: list[list[str]], lineterminator: str) -> None:
    body = _written(rows, lineterminator=lineterminator, quoting=csv.QUOTE_ALL)
    assert csv_media.decode(body, has_header=False) == Rows(rows, is_text=True)
    if not csv_media.is_data(rows[0]):
        assert csv_media.decode(body, has_header=True) == Rows(rows[1:], columns=rows[0], is_text=True)


def as_text(read: Rows | Matrix) -> list[list[str]]:
    """Return the cells as they were written, whichever way they were read."""
    return (read.again() if isinstance(read, Matrix) else read).rows


def test_a_row_of_numbers_in_place_of_the_header_is_refused_and_not_lost() -> None:
    with pytest.raises(SignatureMismatch, match="header=absent"):
        csv_media.decode(b"1,2\n3,4\n", has_header=True)


def test_the_numbers_that_pandas_writes_above_nameless_columns_are_a_header() -> None:
    found = csv_media.decode(b"0,1\n3,4\n", has_header=True)
    assert (found.columns, as_text(found)) == (["0", "1"], [["3", "4"]])


def test_the_mark_that_spreadsheets_put_in_front_is_no_part_of_a_name() -> None:
    assert csv_media.decode(b"\xef\xbb\xbfa,b\n1,2\n", has_header=True).columns == ["a", "b"]


def test_empty_lines_are_no_rows_but_an_empty_cell_is_one() -> None:
    assert csv_media.decode(b'a\n\n""\n\n1\n', has_header=True).rows == [[""], ["1"]]


@pytest.mark.parametrize("body", [b"", b"\n\n", "a\n1".encode("utf-16"), b"\xff\n1", b'a\n"1', b'a\n"1"2'])
def test_what_is_no_csv_in_utf_8_cannot_be_read(body: bytes) -> None:
    with pytest.raises(DecodeError):
        csv_media.decode(body, has_header=True)


def test_a_cell_larger_than_the_reader_takes_is_an_error_of_the_body() -> None:
    with pytest.raises(DecodeError, match="field larger"):
        csv_media.decode(b"a\n" + b"x" * 200_000, has_header=True)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_numbers_are_written_exactly(numbers: list[float]) -> None:
    header, *rows = csv.reader(
        io.StringIO(csv_media.encode({"predict": np.array(numbers)}).decode(), newline="")
    )
    assert header == ["predict"]
    assert [float(cell) for (cell,) in rows] == numbers


def test_a_matrix_has_a_column_for_each_of_its_own() -> None:
    written = csv_media.encode({"transform": np.arange(6).reshape(2, 3)})
    assert written == b"transform_0,transform_1,transform_2\r\n0,1,2\r\n3,4,5\r\n"


def test_several_outputs_stand_side_by_side() -> None:
    written = csv_media.encode({"mean": np.array([1.5]), "std": np.array([0.5]), "cov": np.ones((1, 1, 2))})
    assert written == b"mean,std,cov_0,cov_1\r\n1.5,0.5,1.0,1.0\r\n"


def test_what_is_missing_or_not_finite_is_an_empty_cell() -> None:
    outputs = {"x": np.array([math.nan, math.inf]), "y": np.array([None, "b"], dtype=object)}
    assert csv_media.encode(outputs) == b"x,y\r\n,\r\n,b\r\n"


def test_truths_are_written_as_in_json() -> None:
    assert csv_media.encode({"x": np.array([True, False])}) == b"x\r\ntrue\r\nfalse\r\n"


def test_instants_are_written_as_text() -> None:
    assert (
        csv_media.encode({"x": np.array(["2020-01-02", "NaT"], dtype="M8[D]")})
        == b'x\r\n2020-01-02\r\n""\r\n'
    )


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tcell", "\rcell"])
def test_a_text_that_a_spreadsheet_would_run_is_written_behind_an_apostrophe(text: str) -> None:
    written = csv_media.write_rows([[text], [text]]).decode()
    assert list(csv.reader(io.StringIO(written, newline=""))) == [["'" + text], ["'" + text]]


def test_a_negative_number_is_no_formula() -> None:
    assert csv_media.encode({"x": np.array([-1.5])}) == b"x\r\n-1.5\r\n"
