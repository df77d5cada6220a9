"""When two answers are equal, and how a difference is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from demijohn.acceleration.comparison import difference, scales_of
from demijohn.messages import Array


def objects(*cells: Any) -> Array:
    array = np.empty(len(cells), dtype=object)
    array[:] = cells
    return array


def compare(got: Any, expected: Array, tolerance: float = 1e-9) -> str | None:
    return difference({"y": got}, {"y": expected}, tolerance)


ARRAYS = st.sampled_from(["f8", "f4", "i8", "?", "<U3", "M8[ns]", "m8[s]", "c16"]).flatmap(
    lambda dtype: npst.arrays(dtype, npst.array_shapes(max_dims=2, max_side=4))
)


@given(ARRAYS)
def test_every_answer_equals_itself(array: Array) -> None:
    assert compare(array.copy(), array, 0.0) is None


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        ([1.0, np.nan], [1.0, 2.0]),
        ([1.0, 2.0], [1.0, np.nan]),
        ([1.0, np.inf], [1.0, 2.0]),
        ([1.0, 1e308], [1.0, np.inf]),
        ([1.0, -np.inf], [1.0, np.inf]),
        ([1.0, 2.1], [1.0, 2.0]),
    ],
)
def test_a_number_that_differs_is_told_by_its_row(got: list[float], expected: list[float]) -> None:
    told = compare(np.array(got), np.array(expected)) or ""
    assert told.startswith("y: row 1: expected ")


def test_a_number_is_measured_by_its_columns_largest() -> None:
    expected = np.array([[1e6, 1.0], [1.0, 1.0]])
    got = expected.copy()
    got[1, 0] += 1e-4
    assert compare(got, expected) is None
    got[1, 1] += 1e-4
    told = "y: row 1, column 1: expected 1.0, got 1.0001, off by 1.0e-04 of 1"
    assert compare(got, expected) == told


def test_a_number_is_measured_by_its_columns_largest_in_ordinary_rows_too() -> None:
    ordinary = scales_of({"y": np.array([[1.0, 1e-9], [0.5, np.nan]]), "label": np.array(["a", "b"])})
    assert ordinary.keys() == {"y"}
    expected = np.full((1, 2), 1e-12)
    assert difference({"y": np.array([[1.1e-11, 1e-12]])}, {"y": expected}, 1e-9, 0, ordinary) is None
    told = difference({"y": np.array([[1e-12, 1.1e-11]])}, {"y": expected}, 1e-9, 0, ordinary)
    assert (told or "").startswith("y: row 0, column 1: ")


def test_ordinary_rows_of_another_width_say_nothing() -> None:
    ordinary = scales_of({"y": np.ones((1, 3))})
    assert difference({"y": np.full((1, 2), 1.1e-12)}, {"y": np.full((1, 2), 1e-12)}, 1e-9, 0, ordinary)


def test_an_infinity_does_not_make_its_column_large() -> None:
    assert compare(np.array([np.inf, 1.1]), np.array([np.inf, 1.0])) is not None


def test_a_difference_from_zeros_alone_is_told_as_it_is() -> None:
    told = "y: row 0: expected 0.0, got 1e-12, off by 1.0e-12"
    assert compare(np.array([1e-12]), np.zeros(1)) == told


def test_the_first_row_may_have_another_number() -> None:
    told = difference({"y": np.array([1, 3])}, {"y": np.array([1, 2])}, 0.0, first_row=40)
    assert told == "y: row 41: expected 2, got 3"


@pytest.mark.parametrize(
    ("got", "told"),
    [
        (np.array([1]), "expected <U1, got int64"),
        (np.array(["a", "b"]), "expected shape (1,), got (2,)"),
        (["a"], "expected an array, got list"),
    ],
)
def test_another_form_is_a_difference(got: Any, told: str) -> None:
    assert compare(got, np.array(["a"])) == f"y: {told.replace('<U1', 'str32')}"


def test_texts_may_have_room_for_other_lengths() -> None:
    assert compare(np.array(["a"], "<U9"), np.array(["a"])) is None


def test_outputs_have_the_same_names_in_the_same_order() -> None:
    both = {"a": np.zeros(1), "b": np.zeros(1)}
    assert (
        difference(dict(reversed(both.items())), both, 0.0) == "expected outputs ['a', 'b'], got ['b', 'a']"
    )


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (1, True),
        (1, 1.0),
        (1, "1"),
        (np.float64(1), 1.0),
        (np.array([1.0]), np.array([1.1])),
        (np.array([1]), np.array([1.0])),
        ([1, 2], [1, 3]),
        ([1], [1, 2]),
        ([[1.0]], [[2.0]]),
        (None, float("nan")),
    ],
)
def test_a_cell_of_another_value_or_kind_differs(got: Any, expected: Any) -> None:
    told = compare(objects(0, got), objects(0, expected))
    assert told is not None
    assert told.startswith("y: row 1: expected ")


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (float("nan"), float("nan")),
        (None, None),
        (np.array([1.0, 2.0]), np.array([1.0, 2.0 + 1e-12])),
        ([1, "a"], [1, "a"]),
        ((1.0,), (1.0,)),
    ],
)
def test_a_cell_of_the_same_value_is_equal(got: Any, expected: Any) -> None:
    assert compare(objects(got), objects(expected)) is None


def test_a_long_value_is_cut() -> None:
    told = compare(np.array(["x" * 1000]), np.array(["y" * 1000])) or ""
    assert len(told) < 130
