"""Rows that are nested lists, and where in them something is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from demijohn.casting import Caster, Problems
from demijohn.errors import SignatureMismatch
from demijohn.messages import Array
from demijohn.nested_lists import cast_nested
from demijohn.tensor_spec import TensorSpec

Found = list[tuple[int | None, str | int | None, str, str]]


def cast(
    rows: list[Any], shape: tuple[int, ...], dtype: str = "float64", *, name: str | None = None, **more: Any
) -> tuple[Array, Found]:
    spec = TensorSpec("x", dtype, shape, **more)
    problems = Problems()
    array = cast_nested(rows, spec, Caster(spec), name, problems)
    return array, [(p.row, p.column, p.expected, p.received) for p in problems]


def test_rows_become_one_tensor_of_the_specs_dtype() -> None:
    array, problems = cast([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], (-1, 2, 2), "float32")
    assert not problems
    assert array.tolist() == [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
    assert array.dtype == np.float32
    assert array.flags.c_contiguous


def test_a_free_size_is_what_the_rows_have() -> None:
    assert cast([[[1], [2], [3]]], (-1, -1, 1))[0].shape == (1, 3, 1)
    assert cast([[], []], (-1, -1, 4))[0].shape == (2, 0, 4)
    assert cast([[], []], (-1, -1, -1))[0].shape == (2, 0, 0)


def test_a_free_size_is_the_same_in_all_rows() -> None:
    rows = [[[1], [2]], [[3], [4], [5]], [[6], [7]]]
    assert cast(rows, (-1, -1, 1))[1] == [(1, None, "a list of 2 values", "a list of 3 values")]
    assert cast([[[1], [2, 3]], [[1, 2], [3, 4]]], (-1, 2, -1))[1] == [
        (0, 1, "a list of 1 values", "a list of 2 values")
    ]


def test_each_misfit_has_its_row_and_its_path() -> None:
    rows: list[Any] = [
        [[[1], [2]], [[3], [4]]],
        5,
        [[[1], [2]], [[3], ["4"]]],
        [[[1], 2], [[3]]],
        [[[1], [2]], [[None], [4]]],
    ]
    assert cast(rows, (-1, 2, 2, 1))[1] == [
        (1, None, "a list of 2 values", "5"),
        (2, "1,1,0", "float64", 'the string "4"'),
        (3, "0,1", "a list of 1 values", "2"),
        (3, 1, "a list of 2 values", "a list of 1 values"),
        (4, "1,0,0", "float64", "null"),
    ]


def test_rows_of_one_shape_name_their_cells_too() -> None:
    assert cast([[[1, 2]], [[3, True]]], (-1, 1, 2))[1] == [(1, "0,1", "float64", "true")]


def test_the_name_of_a_tensor_stands_before_the_path() -> None:
    assert cast([[[1]], [[1, 2]]], (-1, 1, 1), name="image")[1][0][1] == "image[0]"
    assert cast([[[1]], [["a"]]], (-1, 1, 1), name="image")[1][0][1] == "image[0,0]"
    assert cast([[[1]], None], (-1, 1, 1), name="image")[1][0][1] == "image"


def test_a_list_of_unknown_size_is_still_a_list() -> None:
    assert cast([5, [1]], (-1, -1))[1] == [(0, None, "a list of values", "5")]


def test_missing_values_stay_in_their_places() -> None:
    assert np.isnan(cast([[[1], [None]]], (-1, 2, 1), nullable=True)[0][0, 1, 0])
    assert cast([[["a"], [None]]], (-1, 2, 1), "str", nullable=True)[0].tolist() == [[["a"], [None]]]
    assert cast([[[1], [None]]], (-1, 2, 1), "int64", nullable=True)[0].tolist() == [[[1], [None]]]


def test_the_twentieth_problem_ends_the_search() -> None:
    with pytest.raises(SignatureMismatch) as caught:
        cast([[["x"] * 28] * 28], (-1, 28, 28))
    assert len(caught.value.errors) == 20
    with pytest.raises(SignatureMismatch):
        cast([[[1] * 27] * 28] * 2, (-1, 28, 28))
