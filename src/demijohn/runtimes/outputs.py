"""Turning what a model returned into named arrays whose axis 0 is the row.

Rules of this room:
1. Values and dtypes stay what they are; only the container changes (sparse to dense, frame to
   columns, a list per output to named outputs).
2. A result with another number of rows is reshaped where there is one way to do it, else it is an
   error of the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from demijohn.errors import ModelError
from demijohn.messages import Array, Tensors, as_array

_NEIGHBORS = {"kneighbors", "radius_neighbors"}


def name_outputs(
    method: str, result: Any, n_rows: int, parameters: Mapping[str, Any], width: int | None = None
) -> Tensors:
    """Name what a method returned.

    Args:
        method: The estimator's method.
        result: An array, a sparse matrix, a DataFrame, a tuple, or a list with a matrix per output.
        n_rows: Rows that the method got.
        parameters: Its other arguments; they decide how many results it has.
        width: Columns of ``transform``'s result, where the estimator knows.

    Raises:
        ModelError: it does not have one entry per row.
    """
    if isinstance(result, tuple):
        parts = dict(zip(_names(method, len(result), parameters), result, strict=True))
    elif _is_frame(result):
        return {name: _per_row(column, n_rows) for name, column in _frame_columns(result)}
    elif isinstance(result, list) and _is_per_output(result):
        parts = {f"output_{index}": part for index, part in enumerate(result)}
    elif method in _NEIGHBORS:
        parts = {"indices": result}
    else:
        parts = {method: result}
    return {name: _per_row(_dense(part), n_rows, width) for name, part in parts.items()}


def _is_frame(result: Any) -> bool:
    return hasattr(result, "columns") and hasattr(result, "to_numpy")


def _names(method: str, n_parts: int, parameters: Mapping[str, Any]) -> Sequence[str]:
    if n_parts == 2 and method in _NEIGHBORS:
        return ("distances", "indices")
    if n_parts == 2 and parameters.get("return_std"):
        return ("mean", "std")
    if n_parts == 2 and parameters.get("return_cov"):
        return ("mean", "cov")
    return [f"output_{index}" for index in range(n_parts)]


def _is_per_output(result: list[Any]) -> bool:
    """Say whether a list holds one matrix per output, as multi-output predict_proba returns it."""
    return bool(result) and all(isinstance(part, np.ndarray) and part.ndim == 2 for part in result)


def _frame_columns(frame: Any) -> list[tuple[str, Array]]:
    """Return a DataFrame's columns in order; a name that comes twice is numbered."""
    columns: dict[str, Array] = {}
    for index, label in enumerate(frame.columns):
        name = str(label)
        while name in columns:
            name = f"{name}_{index}"
        column = frame.iloc[:, index] if hasattr(frame, "iloc") else frame[label]
        columns[name] = _series(column)
    return list(columns.items())


def _series(column: Any) -> Array:
    """Return a pandas (or polars) column as an array; pandas' own missing mark becomes None."""
    dtype = getattr(column, "dtype", None)
    if getattr(dtype, "na_value", None) is None or isinstance(dtype, np.dtype):
        return np.asarray(column.to_numpy())
    if not column.isna().any():
        return np.asarray(column.to_numpy(dtype=getattr(dtype, "numpy_dtype", None)))
    array = column.to_numpy(dtype=object)
    array[column.isna().to_numpy()] = None
    return np.asarray(array)


def _dense(part: Any) -> Array:
    if isinstance(part, np.ndarray):
        return np.asarray(part)
    if hasattr(part, "toarray"):
        return np.asarray(part.toarray())
    if hasattr(part, "to_numpy"):
        return _series(part)
    return as_array(part)


def _per_row(array: Array, n_rows: int, width: int | None = None) -> Array:
    if array.ndim == 1 and width is not None and array.size == n_rows * width:
        return array.reshape(n_rows, width)
    if array.ndim and len(array) == n_rows:
        return array
    if n_rows == 1 and array.ndim <= 1:
        return array.reshape(1, -1) if array.ndim else array.reshape(1)
    received = len(array) if array.ndim else "no"
    raise ModelError(f"The model returned {received} rows for {n_rows}")


# Functions --------------------------------------------------------------------------------


def name_results(method: str, result: Any, n_rows: int) -> Tensors:
    """Name what a function of all rows returned; a dict, tuple or DataFrame of columns is several.

    Raises:
        ModelError: it does not have one entry per row.
    """
    if isinstance(result, Mapping):
        parts = {str(name): _dense(part) for name, part in result.items()}
    elif isinstance(result, tuple) and result and all(np.ndim(part) for part in result):
        parts = {f"output_{index}": _dense(part) for index, part in enumerate(result)}
    elif _is_frame(result):
        parts = dict(_frame_columns(result))
    else:
        parts = {method: _dense(result)}
    for name, part in parts.items():
        if not part.ndim or len(part) != n_rows:
            received = len(part) if part.ndim else "no"
            raise ModelError(f"The model returned {received} rows in {name!r} for {n_rows}")
    return parts


def gather_rows(method: str, results: Sequence[Any]) -> Tensors:
    """Join what a function returned row by row; dicts of the same keys become named outputs."""
    first = results[0]
    if isinstance(first, Mapping) and first:
        keys = list(first)
        if all(isinstance(result, Mapping) and result.keys() == first.keys() for result in results):
            return {str(key): _column([result[key] for result in results]) for key in keys}
    return {method: _column(results)}


def _column(values: Sequence[Any]) -> Array:
    """Make an array of values without changing any: a mix of types stays a mix."""
    kinds = set(map(type, values))
    if len(kinds) == 1:
        (kind,) = kinds
        if kind in {bool, int, float} or issubclass(kind, np.generic):
            return np.array(values)
        if kind is np.ndarray and len({(value.shape, value.dtype) for value in values}) == 1:
            return np.stack(values)
        if issubclass(kind, (list, tuple)) and _is_table(values):
            return np.array(values)
    array = np.empty(len(values), dtype=object)
    array[:] = [list(value) if isinstance(value, tuple) else value for value in values]
    return array


def _is_table(values: Sequence[Sequence[Any]]) -> bool:
    """Say whether lists are of one length and of one kind of number."""
    kinds = {type(cell) for value in values for cell in value}
    return len({len(value) for value in values}) == 1 and len(kinds) == 1 and kinds <= {bool, int, float}
