"""What an example says of a model's inputs: a layout, and a ``TensorSpec`` for each.

Rules of this room:
1. Arrays and DataFrames keep their dtypes. A number in a plain list is a float64, since a list does
   not say whether 3 stands for a whole number.
2. Axis 0 is the row; all rows have one shape.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .messages import Array
from .tensor_spec import Layout, TensorSpec, dtype_name

Specs = tuple[TensorSpec, ...]


def read_specs(example: Any) -> tuple[Layout, Specs]:
    """Read the inputs that an example shows; see ``signature.infer``.

    Raises:
        ValueError: its rows are of several shapes.
    """
    if hasattr(example, "columns") and hasattr(example, "dtypes"):
        return "table", tuple(_frame_spec(str(name), example[name]) for name in example.columns)
    if is_columns(example):
        _check_lengths(example)
        return _named([_array_spec(name, array) for name, array in example.items()])
    if isinstance(example, Mapping):
        example = [example]
    if isinstance(example, (list, tuple)) and example and isinstance(example[0], Mapping):
        return _named([_cells_spec(name, [row.get(name) for row in example]) for name in example[0]])
    if isinstance(example, np.ndarray) or hasattr(example, "toarray") or hasattr(example, "to_numpy"):
        return _alone(_array_spec("inputs", _array_of(example)))
    return _alone(_nested_spec("inputs", list(example)))


def is_columns(example: Any) -> bool:
    """Say whether an example is a dict of arrays, each of all rows, and not one record."""
    return (
        isinstance(example, Mapping)
        and len(example) > 0
        and all(isinstance(value, np.ndarray) and value.ndim for value in example.values())
    )


def _check_lengths(columns: Mapping[str, Array]) -> None:
    lengths = sorted({len(array) for array in columns.values()})
    if len(lengths) > 1:
        raise ValueError(f"expected arrays of one length, received arrays of {lengths} rows")


def _named(specs: Sequence[TensorSpec]) -> tuple[Layout, Specs]:
    return "tensors" if any(len(spec.shape) > 1 for spec in specs) else "table", tuple(specs)


def _alone(spec: TensorSpec) -> tuple[Layout, Specs]:
    return "vector" if len(spec.shape) == 1 else "matrix", (spec,)


def _array_of(example: Any) -> Array:
    if isinstance(example, np.ndarray):
        return example
    return np.asarray(example.toarray() if hasattr(example, "toarray") else example.to_numpy())


def _array_spec(name: str, array: Array) -> TensorSpec:
    if array.dtype.kind == "O":
        return _nested_spec(name, array.tolist())
    nullable = array.dtype.kind in "fM" and bool(np.isnan(array).any())
    return TensorSpec(name, dtype_name(array), (-1, *array.shape[1:]), nullable=nullable)


def _cells_spec(name: str, cells: list[Any]) -> TensorSpec:
    """Describe what stands under one name in every record: scalars, lists or arrays."""
    if all(isinstance(cell, np.ndarray) for cell in cells):
        return _array_spec(name, np.stack(cells))
    return _nested_spec(name, cells)


def _nested_spec(name: str, rows: list[Any]) -> TensorSpec:
    """Describe rows as lists, nested to any depth, or as plain values."""
    shape: list[int] = []
    level = rows
    while any(isinstance(value, (list, tuple, np.ndarray)) for value in level):
        widths = {len(value) for value in level}
        if len(widths) != 1:
            raise ValueError(f"expected rows of one length, received rows of {sorted(widths)} values")
        shape += widths
        level = [cell for value in level for cell in value]
    return replace(_list_spec(name, level), shape=(-1, *shape))


def _frame_spec(name: str, column: Any) -> TensorSpec:
    """Describe one DataFrame column; ``column`` is a pandas Series, known here by its shape only."""
    nullable = bool(column.isna().any())
    categories = getattr(column.dtype, "categories", None)
    if categories is not None:
        known = tuple(categories.tolist())
        dtype = categories.dtype.name if categories.dtype.kind in "iu" else _kind_of(known)
        return TensorSpec(name, dtype, nullable=nullable, categories=known)
    # The numpy dtype behind pandas' own Int64, boolean, Float64 and Arrow's dtypes.
    numpy_dtype = getattr(column.dtype, "numpy_dtype", column.dtype)
    kind = getattr(numpy_dtype, "kind", "O")
    if kind in "biuf":
        return TensorSpec(name, str(numpy_dtype), nullable=nullable)
    if kind == "M":
        return TensorSpec(name, "datetime64[ns]", nullable=nullable)
    return TensorSpec(name, _kind_of(column.dropna().tolist()), nullable=nullable)


def _list_spec(name: str, values: list[Any]) -> TensorSpec:
    known = [value for value in values if as_json_value(value) is not None]
    return TensorSpec(name, _kind_of(known), nullable=len(known) < len(values))


def _kind_of(values: Sequence[Any]) -> str:
    """Name the dtype that all values share; "object" where they share none, or there are none."""
    kinds = {_kind_of_value(value) for value in values}
    return kinds.pop() if len(kinds) == 1 else "object"


def _kind_of_value(value: Any) -> str:
    if isinstance(value, str):
        return "str"
    if isinstance(value, (bool, np.bool_)):
        return "bool"
    if isinstance(value, (int, float, np.number)):
        return "float64"
    return "datetime64[ns]" if isinstance(value, (datetime.date, np.datetime64)) else "object"


def as_json_value(value: Any) -> Any:
    """Return one cell as JSON can write it: scalars unwrapped, arrays as lists, what is missing as None."""
    if isinstance(value, (list, tuple, np.ndarray)):
        return [as_json_value(one) for one in value]
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else str(value)
    if isinstance(value, np.generic):
        value = value.item()
    if hasattr(value, "isoformat"):
        text = value.isoformat()
        return None if text == "NaT" else text
    # pandas.NA answers no comparison, so it is told by its name.
    if value is None or type(value).__name__ == "NAType" or value != value:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, bool, int, float)) else str(value)
