"""What a model accepts and returns: ``TensorSpec`` and ``Signature``.

Rules of this room:
1. Axis 0 of every shape is the row, written -1.
2. Three layouts. A *matrix* model takes one tensor ``(n_rows, n_features)``, a *table* model one
   array ``(n_rows,)`` per named column, a *vector* model one array ``(n_rows,)`` of values (texts).
3. ``validate`` returns tensors that fit, or raises with the place of every problem (up to 20);
   it never guesses and never wraps an overflow.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Literal

import numpy as np

from .casting import Caster, Problems, describe
from .errors import Problem, SignatureMismatch
from .messages import Array, Columns, Inputs, Matrix, Records, Rows, Tensors, WrittenInputs

Layout = Literal["matrix", "table", "vector"]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output.

    ``dtype`` is a numpy name ("float64", "int64", "bool", "datetime64[ns]"), "str", or "object"
    where any scalar will do.
    """

    name: str
    dtype: str = "float64"
    shape: tuple[int, ...] = (-1,)
    nullable: bool = False  #: Missing values (null, an empty CSV cell) are allowed.
    categories: tuple[Any, ...] | None = None  #: The values the model knows, in its own order.
    is_closed: bool = False  #: The model refuses a value outside ``categories``.
    is_optional: bool = False  #: The column may be left out; its cells are then missing.

    def as_json(self) -> dict[str, Any]:
        """Return the form in which ``GET /models/{name}`` shows it."""
        return {
            "name": self.name,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "nullable": self.nullable,
            "categories": None if self.categories is None else list(self.categories),
        }

    def __str__(self) -> str:
        """Write ``name: dtype (n_rows, 4)``, with ``?`` after a dtype that may be missing."""
        shape = ", ".join(["n_rows", *("any" if n < 0 else str(n) for n in self.shape[1:])])
        comma = "," if len(self.shape) == 1 else ""
        return f"{self.name}: {self.dtype}{'?' if self.nullable else ''} ({shape}{comma})"


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model accepts (``inputs``) and what each of its methods returns (``outputs``)."""

    layout: Layout
    inputs: tuple[TensorSpec, ...]
    outputs: Mapping[str, tuple[TensorSpec, ...]] = field(default_factory=dict)
    _casters: dict[tuple[int, bool], Caster] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    #: Columns of a row of plain float64 numbers; -1: any, None: other than such rows are taken.
    _width: int | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Find out whether rows that were read as numbers are taken as they are."""
        if all(spec.dtype == "float64" and not spec.is_closed for spec in self.inputs):
            width = len(self.inputs) if self.layout == "table" else None
            if self.layout == "matrix" and len(self.inputs[0].shape) == 2:
                width = self.inputs[0].shape[1]
            object.__setattr__(self, "_width", width)

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Column names in the model's order; None for a model without column names."""
        return tuple(spec.name for spec in self.inputs) if self.layout == "table" else None

    def as_json(self) -> dict[str, Any]:
        """Return the form in which ``GET /models/{name}`` shows it."""
        return {
            "layout": self.layout,
            "inputs": [spec.as_json() for spec in self.inputs],
            "outputs": {name: [spec.as_json() for spec in specs] for name, specs in self.outputs.items()},
        }

    def __str__(self) -> str:
        """Write the inputs in one line, shortened where there are many."""
        shown = [str(spec) for spec in self.inputs[:4]]
        more = len(self.inputs) - len(shown)
        return "; ".join(shown + ([f"and {more} more columns"] if more else []))

    def with_outputs(self, outputs: Mapping[str, tuple[TensorSpec, ...]]) -> Signature:
        """Return a copy that knows what the methods return."""
        return replace(self, outputs=dict(outputs))

    def validate(self, inputs: Inputs) -> Tensors:
        """Check decoded inputs against the signature and cast them.

        Args:
            inputs: Rows, records or columns as a client wrote them.

        Returns:
            One array ``(n_rows, n_features)`` for a matrix model, else one ``(n_rows,)`` per input.

        Raises:
            SignatureMismatch: with row and column of up to 20 problems.
        """
        if isinstance(inputs, Matrix):
            numbers = inputs.numbers
            if self._width is not None and self._width in (numbers.shape[1], -1):
                return self._name_columns(numbers)
            inputs = inputs.again()
        problems = Problems()
        if self.layout == "table":
            tensors = self._validate_table(inputs, problems)
        else:
            tensors = self._validate_single(inputs, problems)
        problems.raise_if_any()
        return tensors

    def _name_columns(self, numbers: Array) -> Tensors:
        if self.layout == "matrix":
            return {self.inputs[0].name: numbers}
        # Each column in one piece, as a table made of columns has it.
        return dict(zip([spec.name for spec in self.inputs], np.ascontiguousarray(numbers.T), strict=True))

    def _validate_single(self, inputs: WrittenInputs, problems: Problems) -> Tensors:
        spec = self.inputs[0]
        rows, is_text = _rows_of(inputs, spec)
        caster = self._caster(0, is_text=is_text)
        if self.layout == "vector":
            values = [row[0] if isinstance(row, list) and len(row) == 1 else row for row in rows]
            return {spec.name: caster.column(values, None, problems)}
        return {spec.name: caster.matrix(rows, problems)}

    def _validate_table(self, inputs: WrittenInputs, problems: Problems) -> Tensors:
        columns, is_text = self._table_columns(inputs, problems)
        if problems:
            return {}
        if not columns:  # where every column may be left out, none may have come
            _check_any_rows(())
        absent = [None] * len(next(iter(columns.values())))
        cells = [columns.get(spec.name, absent) for spec in self.inputs]
        block = None if is_text else self._block(cells)
        if block is not None:
            return {spec.name: block[index] for index, spec in enumerate(self.inputs)}
        return {
            spec.name: self._caster(index, is_text=is_text).column(cells[index], spec.name, problems)
            for index, spec in enumerate(self.inputs)
        }

    def _block(self, cells: Sequence[Sequence[Any]]) -> Array | None:
        """Cast a table of plain numbers in one go; None where it is not all that, or does not fit."""
        if any(spec.dtype != "float64" or spec.is_closed for spec in self.inputs):
            return None
        if not all(isinstance(column, list) for column in cells):
            return None
        values = list(chain.from_iterable(cells))
        # A missing cell is left to its own column, which knows whether it may be missing.
        if not set(map(type, values)) <= {int, float}:
            return None
        try:
            return np.array(values, dtype=np.float64).reshape(len(cells), -1)
        except OverflowError:
            return None

    def _caster(self, index: int, *, is_text: bool) -> Caster:
        key = (index, is_text)
        if key not in self._casters:
            self._casters[key] = Caster(self.inputs[index], is_text=is_text)
        return self._casters[key]

    def _table_columns(
        self, inputs: WrittenInputs, problems: Problems
    ) -> tuple[Mapping[str, Sequence[Any]], bool]:
        names = [spec.name for spec in self.inputs]
        if isinstance(inputs, Columns):
            self._check_names(inputs.columns, None, problems)
            _check_lengths(inputs.columns, problems)
            return inputs.columns, False
        if isinstance(inputs, Records):
            return self._columns_of_records(inputs.records, names, problems), False
        _check_any_rows(inputs.rows)
        order: Sequence[str] = names
        if inputs.columns is not None:
            order = inputs.columns
            _check_unique(order, problems)
            self._check_names(order, None, problems)
        _check_widths(inputs.rows, len(order), problems)
        if problems:
            return {}, inputs.is_text
        return dict(zip(order, map(list, zip(*inputs.rows, strict=True)), strict=True)), inputs.is_text

    def _columns_of_records(
        self, records: list[dict[str, Any]], names: list[str], problems: Problems
    ) -> dict[str, list[Any]]:
        _check_any_rows(records)
        known = set(names)
        for index, record in enumerate(records):
            if not isinstance(record, dict):
                problems.add(index, None, "an object", describe(record))
            elif record.keys() != known:
                self._check_names(record, index, problems)
        if problems:
            return {}
        return {name: [record.get(name) for record in records] for name in names}

    def _check_names(self, given: Iterable[str], row: int | None, problems: Problems) -> None:
        present = set(given)
        for spec in self.inputs:
            if spec.name not in present and not spec.is_optional:
                problems.add(row, spec.name, spec.dtype, "nothing")
        known = {spec.name for spec in self.inputs}
        for name in given:
            if name not in known:
                problems.add(row, name, "no such column", "an unknown column")


def _rows_of(inputs: WrittenInputs, spec: TensorSpec) -> tuple[list[Any], bool]:
    """Return the rows for a model without column names, which takes columns by position only."""
    if isinstance(inputs, Rows):
        _check_any_rows(inputs.rows)
        return inputs.rows, inputs.is_text
    if isinstance(inputs, Columns) and list(inputs.columns) == [spec.name]:
        rows = inputs.columns[spec.name]
        if isinstance(rows, list):
            _check_any_rows(rows)
            return rows, False
    raise SignatureMismatch(
        "The model has no column names: send rows as lists, in the model's column order",
        errors=[Problem(None, None, "rows as lists", "named columns")],
    )


def _check_any_rows(rows: Sequence[Any]) -> None:
    if len(rows) == 0:
        raise SignatureMismatch("There are no rows", errors=[Problem(None, None, "at least 1 row", "0 rows")])


def _check_widths(rows: list[Any], width: int, problems: Problems) -> None:
    for index, row in enumerate(rows):
        if not isinstance(row, list):
            problems.add(index, None, f"a list of {width} values", describe(row))
        elif len(row) != width:
            problems.add(index, None, f"{width} values", f"{len(row)} values")


def _check_unique(names: Sequence[str], problems: Problems) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            problems.add(None, name, "each column once", "the column twice")
        seen.add(name)


def _check_lengths(columns: Mapping[str, Any], problems: Problems) -> None:
    n_rows = None
    for name, values in columns.items():
        if not isinstance(values, (list, np.ndarray)):
            problems.add(None, name, "a list of values", describe(values))
        elif n_rows is None:
            n_rows = len(values)
        elif len(values) != n_rows:
            problems.add(None, name, f"{n_rows} values, as in the first column", f"{len(values)} values")
    if n_rows == 0 and not problems:
        _check_any_rows([])


def output_specs(outputs: Tensors) -> tuple[TensorSpec, ...]:
    """Describe what a method returned: named arrays whose axis 0 is the row."""
    return tuple(
        TensorSpec(name, _dtype_name(array), (-1, *array.shape[1:])) for name, array in outputs.items()
    )


def _dtype_name(array: Array) -> str:
    if array.dtype.kind in "US":
        return "str"
    if array.dtype.kind == "O":
        return "str" if all(isinstance(value, str) for value in array.flat) else "object"
    return array.dtype.name


def infer(example: Any) -> Signature:
    """Read a signature from example rows.

    Args:
        example: A DataFrame, an array of one or two dimensions, a list of records or of rows, or
            one record.

    Returns:
        A table signature where the example has column names, else a matrix or a vector. Numbers in
        plain lists are float64, since a list does not say whether 3 stands for a whole number;
        arrays and DataFrames keep their dtypes.
    """
    if hasattr(example, "columns") and hasattr(example, "dtypes"):
        return Signature("table", tuple(_frame_spec(str(name), example[name]) for name in example.columns))
    if isinstance(example, Mapping):
        example = [example]
    if isinstance(example, (list, tuple)) and example and isinstance(example[0], Mapping):
        names = list(example[0])
        return Signature("table", tuple(_list_spec(n, [row.get(n) for row in example]) for n in names))
    if isinstance(example, np.ndarray) or hasattr(example, "toarray") or hasattr(example, "to_numpy"):
        return _infer_array(_array_of(example))
    return _infer_rows(list(example))


def _array_of(example: Any) -> Array:
    if isinstance(example, np.ndarray):
        return example
    return np.asarray(example.toarray() if hasattr(example, "toarray") else example.to_numpy())


def _infer_array(array: Array) -> Signature:
    if array.dtype.kind == "O":
        return _infer_rows(array.tolist())
    nullable = array.dtype.kind in "fM" and bool(np.isnan(array).any())
    spec = TensorSpec("inputs", _dtype_name(array), (-1, *array.shape[1:]), nullable=nullable)
    return Signature("vector" if array.ndim == 1 else "matrix", (spec,))


def _infer_rows(rows: list[Any]) -> Signature:
    """Describe rows as lists, or plain values."""
    is_flat = not any(isinstance(row, (list, tuple, np.ndarray)) for row in rows)
    cells = rows if is_flat else [cell for row in rows for cell in row]
    widths = {1 if is_flat else len(row) for row in rows}
    if len(widths) != 1:
        raise ValueError(f"expected rows of one length, received rows of {sorted(widths)} values")
    spec = replace(_list_spec("inputs", cells), shape=(-1,) if is_flat else (-1, *widths))
    return Signature("vector" if is_flat else "matrix", (spec,))


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
    """Return one cell as JSON can write it: numpy scalars unwrapped, what is missing as None."""
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
    return value if isinstance(value, (str, bool, int, float, list)) else str(value)
