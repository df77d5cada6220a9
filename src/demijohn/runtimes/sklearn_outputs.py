"""Turning what an estimator returned into named arrays whose axis 0 is the row.

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
        width: Columns of ``transform``'s result, where the estimator knows.

    Raises:
        ModelError: it does not have one entry per row.
    """
    if isinstance(result, tuple):
        parts = dict(zip(_names(method, len(result), parameters), result, strict=True))
    elif hasattr(result, "columns") and hasattr(result, "to_numpy"):
        return {name: _per_row(column, n_rows) for name, column in _frame_columns(result)}
    elif isinstance(result, list) and _is_per_output(result):
        parts = {f"output_{index}": part for index, part in enumerate(result)}
    elif method in _NEIGHBORS:
        parts = {"indices": result}
    else:
        parts = {method: result}
    return {name: _per_row(_dense(part), n_rows, width) for name, part in parts.items()}


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
