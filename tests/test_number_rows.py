"""Rows that were read as numbers: taken as they are where cell by cell would give the same."""

from __future__ import annotations

import numpy as np
import pytest

from demijohn import kernels
from demijohn.messages import ArrayColumns, Matrix, Rows
from demijohn.number_rows import NumberRows
from demijohn.signature import Signature
from demijohn.tensor_spec import Layout, TensorSpec


def matrix(rows: list[list[float]], columns: list[str] | None = None, n_missing: int = 0) -> Matrix:
    cells = [[None if cell != cell else cell for cell in row] for row in rows]
    return Matrix(np.array(rows), lambda: Rows(cells, columns=columns), columns, n_missing)


TAKEN = [
    ("matrix", (TensorSpec("x", "float64", (-1, 2)),), matrix([[1.5, 2.0]])),
    ("matrix", (TensorSpec("x", "float64", (-1, -1)),), matrix([[1.5, 2.0, 3.0]])),
    ("matrix", (TensorSpec("x", "float32", (-1, 2)),), matrix([[0.1, 1e30]])),
    ("table", (TensorSpec("a"), TensorSpec("b")), matrix([[1.0, 2.0]], ["b", "a"])),
    ("table", (TensorSpec("a", nullable=True),), matrix([[np.nan]], None, 1)),
]


@pytest.mark.parametrize(("layout", "inputs", "rows"), TAKEN)
def test_what_is_taken_is_what_cell_by_cell_would_give(
    layout: Layout, inputs: tuple[TensorSpec, ...], rows: Matrix
) -> None:
    taken = NumberRows(layout, inputs).take(rows)
    assert taken is not None
    expected = Signature(layout, inputs).validate(rows.again())
    assert list(taken) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(taken[name], array)
        assert taken[name].dtype == array.dtype


@pytest.mark.parametrize(
    ("layout", "inputs", "rows"),
    [
        ("matrix", (TensorSpec("x", "float64", (-1, 2)),), matrix([[1.5]])),
        ("matrix", (TensorSpec("x", "float32", (-1, 2)),), matrix([[0.1, 1e300]])),
        ("matrix", (TensorSpec("x", "float32", (-1, 2)),), matrix([[0.1]])),
        ("matrix", (TensorSpec("x", "int64", (-1, 1)),), matrix([[1.0]])),
        (
            "matrix",
            (TensorSpec("x", "float64", (-1, 1), categories=(1.0,), is_closed=True),),
            matrix([[2.0]]),
        ),
        ("vector", (TensorSpec("x"),), matrix([[1.0]])),
        ("tensors", (TensorSpec("x", "float64", (-1, 1)),), matrix([[1.0]], ["y"])),
        ("table", (TensorSpec("a"),), matrix([[np.nan]], None, 1)),
        ("table", (TensorSpec("a"), TensorSpec("b")), matrix([[1.0, 2.0]], ["a", "c"])),
        ("table", (TensorSpec("a"), TensorSpec("b")), matrix([[1.0, 2.0, 3.0]], ["a", "b", "b"])),
    ],
)
def test_what_may_not_fit_is_left_to_be_read_again(
    layout: Layout, inputs: tuple[TensorSpec, ...], rows: Matrix
) -> None:
    assert NumberRows(layout, inputs).take(rows) is None


@pytest.mark.parametrize("is_built", [True, False])
@pytest.mark.parametrize("n_rows", [1, 5, 40])
def test_columns_that_came_one_after_another_are_rows_of_our_own(
    monkeypatch: pytest.MonkeyPatch, is_built: bool, n_rows: int
) -> None:
    monkeypatch.setattr(kernels, "IS_BUILT", is_built and kernels.IS_BUILT)
    numbers = np.random.default_rng(0).normal(size=(3, n_rows)).T
    numbers.flags.writeable = False
    rows = NumberRows("matrix", (TensorSpec("x", "float64", (-1, 3)),))
    taken = rows.take_array(ArrayColumns(["a", "b", "c"], numbers, n_rows))
    assert taken is not None
    assert taken["x"].tobytes() == numbers.tobytes()
    assert taken["x"].flags.c_contiguous
    assert taken["x"].flags.writeable


@pytest.mark.parametrize("is_built", [True, False])
def test_a_nan_among_columns_is_taken_only_where_one_may_be_missing(
    monkeypatch: pytest.MonkeyPatch, is_built: bool
) -> None:
    monkeypatch.setattr(kernels, "IS_BUILT", is_built and kernels.IS_BUILT)
    numbers = np.array([[1.0, 2.0, np.nan], [4.0, 5.0, 6.0]]).T
    inputs = ArrayColumns(["a", "b"], numbers, 3)
    for nullable in (True, False):
        rows = NumberRows("matrix", (TensorSpec("x", "float64", (-1, 2), nullable=nullable),))
        assert (rows.take_array(inputs) is not None) is nullable
