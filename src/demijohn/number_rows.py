"""Rows of numbers that came in one array: taken as they are, where the signature wants such numbers.

Most large requests are that, and a look at each column would cost more than the model.

Rules of this room:
1. What it returns is what casting column by column returns, value for value.
2. It never says what is wrong: where anything is, it returns None, and the rows are looked at one by one.
3. What is returned is the request's own: writable, in C order; of a table each column in one piece.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from demijohn import kernels

from .array_casting import has_missing, narrow
from .messages import Array, ArrayColumns, Inputs, Matrix, NamedTensors, RowArray, Tensors
from .tensor_spec import Layout, TensorSpec

_FLOAT64 = np.dtype(np.float64)
_MATRIX = 2


class NumberRows:
    """Takes rows of plain numbers for the inputs of one signature.

    Args:
        layout: Of the signature.
        inputs: One per tensor.
    """

    __slots__ = ("_dtype", "_is_matrix", "_is_nullable", "_is_table", "_names", "_row", "_sorted_names")

    def __init__(self, layout: Layout, inputs: Sequence[TensorSpec]) -> None:
        self._is_table, self._is_matrix = layout == "table", layout == "matrix"
        self._names = [spec.name for spec in inputs]
        self._sorted_names = sorted(self._names)
        self._is_nullable = all(spec.nullable for spec in inputs)
        #: Shape of a row; -1: any size, None: other than such rows are taken.
        self._row = _plain_row(inputs, is_table=self._is_table)
        self._dtype = np.dtype(inputs[0].dtype) if self._row is not None else _FLOAT64

    def take(self, matrix: Matrix) -> Tensors | None:
        """Take rows that were read as numbers; None: they are to be read again."""
        if matrix.n_missing and not self._is_nullable:
            return None
        numbers = matrix.numbers
        if matrix.columns is not None:
            if not (self._is_table or (self._is_matrix and not matrix.is_by_name)):
                return None
            ordered = self._in_order(numbers, matrix.columns) if self._is_table else numbers
            if ordered is None:
                return None
            numbers = ordered
        if self._row is None or not _is_fit(numbers.shape[1:], self._row):
            return None
        if self._dtype is not _FLOAT64:
            short = narrow(numbers, self._dtype)
            if short is None:
                return None
            numbers = short
        # Each column in one piece, as a table made of columns has it.
        return self._by_name(np.ascontiguousarray(numbers.T) if self._is_table else numbers)

    def _in_order(self, numbers: Array, columns: Sequence[str]) -> Array | None:
        """Return columns in the order of the signature; None where they are others."""
        if columns == self._names:
            return numbers
        order = {name: index for index, name in enumerate(columns)}
        if sorted(order) != self._sorted_names or len(order) != numbers.shape[1]:
            return None
        return numbers[:, [order[name] for name in self._names]]

    def take_array(self, inputs: Inputs) -> Tensors | None:
        """Copy rows that came as an array of float64; None where that is not all that they are."""
        array = self._array_of(inputs)
        if (
            array is None
            or self._row is None
            or self._dtype != _FLOAT64
            or array.dtype != _FLOAT64
            or not array.size
            or not _is_fit(array.shape[1:], self._row)
        ):
            return None
        if not self._is_table and kernels.IS_BUILT and array.ndim == _MATRIX and _is_by_column(array):
            own, is_missing = kernels.turn_columns(array)
        else:
            own = (array.T if self._is_table else array).copy(order="C")
            is_missing = not self._is_nullable and has_missing(own)
        return None if is_missing and not self._is_nullable else self._by_name(own)

    def _array_of(self, inputs: Inputs) -> Array | None:
        """Return the one array that the inputs are, columns in the order of the signature."""
        if isinstance(inputs, ArrayColumns):
            columns = inputs.columns
            is_ours = self._is_matrix or (self._is_table and list(inputs.names) == self._names)
            return columns if is_ours and isinstance(columns, np.ndarray) else None
        if isinstance(inputs, RowArray):
            return inputs.array
        if isinstance(inputs, NamedTensors) and self._is_matrix and len(inputs.tensors) == 1:
            return next(iter(inputs.tensors.values()))
        return None

    def _by_name(self, numbers: Array) -> Tensors:
        if self._is_table:
            return dict(zip(self._names, numbers, strict=True))
        return {self._names[0]: numbers}


def _plain_row(inputs: Sequence[TensorSpec], *, is_table: bool) -> tuple[int, ...] | None:
    dtypes = {spec.dtype for spec in inputs}
    if len(dtypes) != 1 or not dtypes <= {"float64", "float32", "float16"}:
        return None
    if any(spec.is_closed or spec.ragged_rank for spec in inputs):
        return None
    if is_table:
        return (len(inputs),)
    return inputs[0].shape[1:] if len(inputs) == 1 and len(inputs[0].shape) >= 2 else None


def _is_fit(given: tuple[int, ...], row: tuple[int, ...]) -> bool:
    """Say whether rows of a shape are those of another, in which -1 is any size."""
    if given == row:
        return True
    return len(given) == len(row) and all(b in (a, -1) for a, b in zip(given, row, strict=True))


def _is_by_column(matrix: Array) -> bool:
    """Say whether each column stands in one piece, and no row does."""
    return matrix.strides[0] == _FLOAT64.itemsize != matrix.strides[1] and matrix.flags.aligned
