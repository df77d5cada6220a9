"""What the reader of CSV takes means what Python's csv and float read in it; of the rest it says nothing."""

from __future__ import annotations

import csv
import math
import struct
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from demijohn import kernels
from demijohn.kernels import read_cells

pytestmark = pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)

MANY = 10**6
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SPELLINGS = st.builds(
    lambda way, value: way % value, st.sampled_from(["%r", "%.3f", " %.17g", "%d"]), NUMBERS
)


def bits(rows: Any) -> list[list[bytes]]:
    return [[struct.pack("<d", cell) for cell in row] for row in rows]


def by_python(text: str) -> list[list[float]]:
    rows = [row for row in csv.reader(text.splitlines(keepends=True), strict=True) if row]
    return [[float(cell or "nan") for cell in row] for row in rows]


@settings(max_examples=300, deadline=None)
@given(
    st.integers(2, 5).flatmap(
        lambda width: st.lists(st.lists(SPELLINGS | st.just(""), min_size=width, max_size=width))
    ),
    st.sampled_from(["\n", "\r\n", "\n\n"]),
)
@example([["-0", "-0.0"], ["9007199254740993", "1e-400"]], "\n")
def test_lines_of_numbers_are_read_to_the_last_bit(rows: list[list[str]], line_end: str) -> None:
    text = "".join(",".join(row) + line_end for row in rows)
    found = read_cells(text.encode(), 0, MANY)
    expected = by_python(text)
    assert found is not None
    assert bits(found.numbers) == bits(expected)
    assert found.end == len(text)
    assert found.n_empty == sum(math.isnan(cell) for row in expected for cell in row)


@given(st.text('0123456789.,+-eE\r\n "nax_\x00é', max_size=12), st.integers(0, 12), st.integers(0, 3))
def test_whatever_is_read_is_what_python_reads(text: str, begin: int, max_rows: int) -> None:
    body = text.encode()
    found = read_cells(body, min(begin, len(body)), max_rows)
    if found is not None and len(found.numbers):
        part = body[min(begin, len(body)) : found.end].decode()
        assert bits(found.numbers) == bits(by_python(part))
        assert len(found.numbers) <= max_rows


@pytest.mark.parametrize(
    "text",
    ["a\n", "1,2\n3\n", '"1"\n', "nan\n", "inf\n", "1e999\n", "1_0\n", "+1\n", ".5\n", "1 ,2\n", "1\r2\n",
     "1\x00\n", " \n", "٣\n"],
)  # fmt: skip
def test_of_anything_else_nothing_is_said(text: str) -> None:
    assert read_cells(text.encode(), 0, MANY) is None


def test_a_line_is_read_when_its_end_has_come() -> None:
    found = read_cells(b"1,2\n3,4", 0, MANY)
    assert found is not None
    assert (found.numbers.tolist(), found.end) == ([[1, 2]], 4)
    for text in (b"", b"1,2", b"\r"):
        found = read_cells(text, 0, MANY)
        assert found is not None
        assert (found.numbers.shape, found.end) == ((0, 0), 0)


def test_no_more_rows_are_read_than_are_wanted() -> None:
    text = b"1\n2\n\n3\n4\n"
    first = read_cells(text, 0, 2)
    assert first is not None
    rest = read_cells(text, first.end, 2)
    assert rest is not None
    assert (first.numbers.tolist(), rest.numbers.tolist(), rest.end) == ([[1], [2]], [[3], [4]], len(text))


def test_arguments_are_checked() -> None:
    with pytest.raises(TypeError):
        kernels._kernels.read_cells("1\n", 0, 1)  # type: ignore[arg-type]
    for begin, max_rows in ((3, 1), (-1, 1), (0, -1)):
        with pytest.raises(ValueError, match="within"):
            read_cells(b"1\n", begin, max_rows)
