"""Rows that a protocol has read as one array of float64: which models take them so.

Rules of this room:
1. They are taken only where reading them cell by cell would give the same array; whatever it is that may
   not fit is read again, so that each problem is told in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .array_casting import narrow
from .messages import Array, Matrix
from .tensor_spec import Layout, TensorSpec


class NumberRows:
    """Takes rows of numbers for one signature.

    Args:
        layout: Of the inputs.
        inputs: Those of the signature.
    """

    __slots__ = ("_columns", "_has_columns", "_is_nullable", "_is_table", "_narrow", "_row")

    def __init__(self, layout: Layout, inputs: Sequence[TensorSpec]) -> None:
        self._is_table = layout == "table"
        self._has_columns = layout in {"table", "matrix"}  # or takes rows whose columns have names
        self._columns = [spec.name for spec in inputs]
        self._is_nullable = all(spec.nullable for spec in inputs)
        #: Shape of a row of plain float64 numbers; -1: any size, None: other than such rows are taken.
        self._row: tuple[int, ...] | None = None
        #: The same for shorter floats, and which.
        self._narrow: tuple[tuple[int, ...], np.dtype[Any]] | None = None
        row = _row_of(layout, inputs)
        if row is None or any(spec.is_closed or spec.ragged_rank for spec in inputs):
            return
        dtypes = {spec.dtype for spec in inputs}
        if dtypes == {"float64"}:
            self._row = row
        elif dtypes in ({"float32"}, {"float16"}):
            self._narrow = (row, np.dtype(dtypes.pop()))

    def take(self, matrix: Matrix) -> Array | None:
        """Return the numbers, columns in the signature's order; None: they are to be read again."""
        numbers = matrix.numbers
        if matrix.n_missing and not self._is_nullable:
            return None
        if matrix.columns is not None and not self._has_columns:
            return None
        if matrix.columns is not None and self._is_table and matrix.columns != self._columns:
            order = {name: index for index, name in enumerate(matrix.columns)}
            if sorted(order) != sorted(self._columns) or len(order) != numbers.shape[1]:
                return None
            numbers = numbers[:, [order[name] for name in self._columns]]
        if self._row is not None and _is_fit(numbers.shape[1:], self._row):
            return numbers
        return self._narrowed(numbers)

    def _narrowed(self, numbers: Array) -> Array | None:
        """Round rows that were read as numbers; None where they have to be read again."""
        if self._narrow is None or not _is_fit(numbers.shape[1:], self._narrow[0]):
            return None
        return narrow(numbers, self._narrow[1])


def _row_of(layout: Layout, inputs: Sequence[TensorSpec]) -> tuple[int, ...] | None:
    if layout == "table":
        return (len(inputs),)
    is_single = len(inputs) == 1 and len(inputs[0].shape) >= 2
    return inputs[0].shape[1:] if is_single else None


def _is_fit(given: tuple[int, ...], row: tuple[int, ...]) -> bool:
    """Say whether rows of a shape are those of another, in which -1 is any size."""
    if given == row:
        return True
    return len(given) == len(row) and all(b in (a, -1) for a, b in zip(given, row, strict=True))
