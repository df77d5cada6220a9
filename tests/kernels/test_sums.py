"""Adding to numbers in a buffer: in C, and in Python where that is not built."""

from __future__ import annotations

import mmap
from array import array
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demijohn.kernels import absent, add_to

WAYS = pytest.mark.parametrize("add", [add_to, absent.add_to], ids=["built", "absent"])


@WAYS
@given(pairs=st.lists(st.tuples(st.integers(0, 7), st.floats() | st.integers(-9, 9)), max_size=16))
def test_each_amount_is_added_at_its_place(add: Any, pairs: list[tuple[int, float]]) -> None:
    got, wanted = array("d", range(8)), [float(n) for n in range(8)]
    for place, amount in pairs:
        wanted[place] += amount
    add(memoryview(got), *(number for pair in pairs for number in pair))
    np.testing.assert_array_equal(got, wanted)


@WAYS
def test_a_mapped_file_takes_sums(add: Any) -> None:
    values = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("d")
    add(values, 3, 1.5, 3, 1.0)
    assert values[3] == 2.5


@pytest.mark.parametrize(
    ("values", "pairs", "error"),
    [
        (array("d", [0, 0]), (2, 1.0), IndexError),
        (array("d", [0, 0]), (-1, 1.0), IndexError),
        (array("d", [0, 0]), (0, 1.0, 2, 1.0), IndexError),
        (array("d", [0, 0]), (0,), TypeError),
        (array("d", [0, 0]), (0, 1.0) * 17, TypeError),
        (array("d", [0, 0]), (0, "a"), TypeError),
        (array("d", [0, 0]), (0.5, 1.0), TypeError),
        (array("d", [0, 0]), (2**70, 1.0), OverflowError),
        (array("f", [0, 0]), (0, 1.0), ValueError),
        (array("q", [0, 0]), (0, 1.0), ValueError),
        (b"12345678", (0, 1.0), BufferError),
        (None, (0, 1.0), TypeError),
    ],
)
def test_what_is_not_right_changes_nothing(values: Any, pairs: Any, error: type[Exception]) -> None:
    before = list(values or ())
    with pytest.raises(error):
        add_to(values, *pairs)
    assert list(values or ()) == before


def test_a_buffer_that_is_not_aligned_is_refused() -> None:
    with pytest.raises(ValueError, match="aligned"):
        add_to(np.frombuffer(bytearray(24), np.uint8)[1:17].view(np.float64), 0, 1.0)  # type: ignore[arg-type]
