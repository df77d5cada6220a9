"""Adding to numbers in a buffer: in C, and in Python where that is not built."""

from __future__ import annotations

import mmap
from array import array
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demijohn.kernels import Tally, absent, add_to

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


# Tally ------------------------------------------------------------------------------------

SECONDS, SIZES = (0.1, 1.0, 10.0), (1.0, 4.0)
PLACES = (0, 1, 6, 7, 8, 9, 10, 11, 15, 19, 24)  # histograms at 1 and 19 (5 wide), 11 and 15 (4 wide)
N_VALUES, SIZE_AT = 27, 25

TALLIES = pytest.mark.parametrize("tally", [Tally, absent.Tally], ids=["built", "absent"])
AMOUNTS = st.floats(0, 100) | st.sampled_from(SECONDS)


@TALLIES
def test_an_answer_is_counted_in_every_place(tally: Any) -> None:
    values = array("d", [0.0] * N_VALUES)
    counted = tally(memoryview(values), SECONDS, SIZES, PLACES)
    counted.add(1e9, 0.5, 3, 0.1, 0.2)
    counted.add(2e9, 100.0, 4, 0.25, 0.5, 10.0, SIZE_AT)
    assert values[:11].tolist() == [2, 100.5, 0, 1, 0, 1, 7, 100.5, 0.35, 0.7, 2e9]
    assert values[11:19].tolist() == [4, 0, 1, 0, 1, 1, 0, 0]
    assert values[19:].tolist() == [10, 0, 0, 1, 0, 10, 10, 1]


@given(answers=st.lists(st.tuples(AMOUNTS, st.integers(0, 6), AMOUNTS, AMOUNTS, st.none() | AMOUNTS)))
def test_both_count_the_same(answers: list[tuple[float, int, float, float, float | None]]) -> None:
    built, absent_one = array("d", [0.0] * N_VALUES), array("d", [0.0] * N_VALUES)
    for kind, values in ((Tally, built), (absent.Tally, absent_one)):
        counted = kind(memoryview(values), SECONDS, SIZES, PLACES)
        for *around, inference_s in answers:
            counted.add(1.0, *around, *(() if inference_s is None else (inference_s, SIZE_AT)))
    assert built == absent_one


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((array("d", [0.0] * N_VALUES), SECONDS, SIZES, PLACES[:-1]), ValueError),
        ((array("d", [0.0] * 24), SECONDS, SIZES, PLACES), IndexError),
        ((array("d", [0.0] * 23), SECONDS, SIZES, (*PLACES[:-1], 0)), IndexError),
        ((array("d", [0.0] * N_VALUES), SECONDS, SIZES, (-1, *PLACES[1:])), IndexError),
        ((array("d", [0.0] * N_VALUES), SECONDS, SIZES, ("a", *PLACES[1:])), TypeError),
        ((array("d", [0.0] * N_VALUES), (1.0,) * 65, SIZES, PLACES), ValueError),
        ((array("d", [0.0] * N_VALUES), ("a",), SIZES, PLACES), TypeError),
        ((array("f", [0.0] * N_VALUES), SECONDS, SIZES, PLACES), ValueError),
        ((bytes(8 * N_VALUES), SECONDS, SIZES, PLACES), BufferError),
        ((array("d", [0.0] * N_VALUES), list(SECONDS), SIZES, PLACES), TypeError),
    ],
)
def test_a_tally_of_wrong_places_is_not_made(arguments: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Tally(*arguments)


@pytest.mark.parametrize(
    ("numbers", "error"),
    [
        ((1.0, 1.0, 1), TypeError),
        ((1.0, 1.0, 1, 0.0, 0.0, 1.0), TypeError),
        ((1.0, 1.0, 1, 0.0, "a"), TypeError),
        ((1.0, 1.0, 1, 0.0, 0.0, 1.0, 26), IndexError),
        ((1.0, 1.0, 1, 0.0, 0.0, 1.0, -1), IndexError),
        ((1.0, 1.0, 1, 0.0, 0.0, 1.0, 0.5), TypeError),
    ],
)
def test_a_wrong_answer_is_not_counted_at_all(numbers: Any, error: type[Exception]) -> None:
    values = array("d", [0.0] * N_VALUES)
    counted = Tally(memoryview(values), SECONDS, SIZES, PLACES)
    with pytest.raises(error):
        counted.add(*numbers)
    assert not any(values)
