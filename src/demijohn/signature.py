"""What a model accepts and returns: ``TensorSpec`` and ``Signature``.

Rules of this room:
1. Axis 0 of every shape is the row, written -1.
2. Four layouts. A *matrix* model takes one tensor ``(n_rows, ...)``, a *table* model one array
   ``(n_rows,)`` per named column, a *vector* model one array ``(n_rows,)`` of values (texts), a
   *tensors* model several named tensors, each of its own shape.
3. ``validate`` returns tensors that fit, or raises with the place of every problem (up to 20);
   it never guesses and never wraps an overflow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np

from .array_casting import cast_array, view_bytes
from .casting import Caster, Problems
from .column_casting import cast_in_order, cast_named, columns_in_order
from .errors import Problem, SignatureMismatch
from .example_specs import as_json_value, read_specs
from .image_casting import as_written, cast_images, image_axes, takes_image_body, without_names
from .messages import (
    Array,
    ArrayColumns,
    ImageBody,
    Inputs,
    Matrix,
    NamedTensors,
    RawTensor,
    RecordCells,
    Records,
    RowArray,
    Rows,
    Tensors,
    WrittenInputs,
)
from .nested_lists import cast_nested
from .number_rows import NumberRows
from .plain_cells import PlainCells
from .ragged_rows import cast_ragged
from .record_blocks import RecordBlocks
from .tensor_spec import Layout, TensorSpec, dtype_name
from .written_cells import check_any_rows, check_names, columns_of, rows_of

__all__ = ["Layout", "Signature", "TensorSpec", "as_json_value", "infer", "output_specs"]


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model accepts (``inputs``) and what each of its methods returns (``outputs``)."""

    layout: Layout
    inputs: tuple[TensorSpec, ...]
    outputs: Mapping[str, tuple[TensorSpec, ...]] = field(default_factory=dict)
    #: Of the methods that take other inputs than these.
    others: Mapping[str, Signature] = field(default_factory=dict)
    #: Rows that fit, as JSON can write them; in ``others`` only, as a runtime has those of its first method.
    example: Sequence[Any] = ()
    _casters: dict[tuple[int, bool], Caster] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    #: Reads records of a table; made when the first come.
    _record_blocks: list[RecordBlocks] = field(default_factory=list, init=False, repr=False, compare=False)
    #: Takes rows that were read as numbers.
    _numbers: NumberRows = field(init=False, repr=False, compare=False)
    #: Takes records that were read as cells of one array.
    _plain_cells: PlainCells = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Find out whether rows that were read as numbers are taken as they are, or rounded."""
        object.__setattr__(self, "_numbers", NumberRows(self.layout, self.inputs))
        object.__setattr__(self, "_plain_cells", PlainCells(self.layout, self.inputs))

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Column names in the model's order; None for a model without column names."""
        return tuple(spec.name for spec in self.inputs) if self.layout == "table" else None

    @property
    def takes_image_body(self) -> bool:
        """Say whether one image, as a whole body, can be a row."""
        return takes_image_body(self.layout, self.inputs)

    @property
    def shaped_inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs with as many sizes as their tensors have, where that is known."""
        return tuple(map(self._known_shape, self.inputs))

    def as_json(self) -> dict[str, Any]:
        """Return the form in which ``GET /models/{name}`` shows it."""
        return {
            **self._inputs_as_json(),
            "outputs": {name: [spec.as_json() for spec in specs] for name, specs in self.outputs.items()},
            "others": {
                method: {**other._inputs_as_json(), "example": {"instances": list(other.example)}}
                for method, other in self.others.items()
            },
        }

    def _inputs_as_json(self) -> dict[str, Any]:
        return {"layout": self.layout, "inputs": [spec.as_json() for spec in self.inputs]}

    def of(self, method: str) -> Signature:
        """Return what one method accepts."""
        return self.others.get(method, self)

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
            inputs: Rows, records, columns or tensors as a client wrote them.

        Returns:
            One array ``(n_rows, ...)`` for a matrix model, else one per input.

        Raises:
            SignatureMismatch: with row and column of up to 20 problems.
        """
        if isinstance(inputs, Matrix):
            tensors = self._numbers.take(inputs)
            if tensors is not None:
                return tensors
            inputs = inputs.again()
        if isinstance(inputs, RecordCells):
            tensors = self._plain_cells.take(inputs)
            if tensors is not None:
                return tensors
            inputs = inputs.again()
        tensors = self._numbers.take_array(inputs)
        if tensors is not None:
            return tensors
        if isinstance(inputs, ImageBody):
            inputs = as_written(inputs, self.layout, self.inputs)
        elif isinstance(inputs, RawTensor):
            inputs = self._read_raw(inputs.body)
        elif isinstance(inputs, RowArray):
            inputs = self._name_rows(inputs.array)
        problems = Problems()
        tensors = self._validate(inputs, problems)
        problems.raise_if_any()
        return tensors

    def _read_raw(self, body: bytes) -> NamedTensors:
        """View the bytes of the only input as what the signature says they are."""
        if len(self.inputs) != 1:
            raise SignatureMismatch(f"The model has {len(self.inputs)} inputs: their bytes need names")
        spec = self._known_shape(self.inputs[0])
        return NamedTensors({spec.name: view_bytes(body, spec)})

    def _name_rows(self, array: Array) -> NamedTensors | ArrayColumns:
        if self.layout == "table":
            return columns_in_order(array, self.inputs)
        if len(self.inputs) != 1:
            raise SignatureMismatch(f"The model has {len(self.inputs)} inputs: their arrays need names")
        return NamedTensors({self.inputs[0].name: array})

    def _validate(self, inputs: WrittenInputs | NamedTensors | ArrayColumns, problems: Problems) -> Tensors:
        if isinstance(inputs, ArrayColumns):
            return self._validate_columns(inputs, problems)
        if isinstance(inputs, NamedTensors):
            return self._validate_arrays(inputs.tensors, problems)
        if self.layout == "table":
            return self._validate_named(inputs, problems)
        inputs = without_names(inputs, self.inputs)
        if self.layout == "tensors":
            return self._validate_tensors(inputs, problems)
        spec = self.inputs[0]
        rows = rows_of(inputs, spec)
        return {spec.name: self._cast_rows(rows, None, problems, inputs)}

    def _cast_rows(
        self, rows: list[Any], name: str | None, problems: Problems, inputs: WrittenInputs
    ) -> Array:
        """Cast rows by position, for a model of one input."""
        if self.layout != "matrix" and len(self.inputs[0].shape) == 1:
            rows = [row[0] if isinstance(row, list) and len(row) == 1 else row for row in rows]
        elif self.layout == "matrix" and len(self.inputs[0].shape) <= 2 and not self.inputs[0].ragged_rank:
            return self._caster(0, is_text=_is_text(inputs)).matrix(rows, problems)
        return self._cast(0, rows, name, problems, inputs)

    def _cast(
        self,
        index: int,
        cells: Sequence[Any] | Array,
        name: str | None,
        problems: Problems,
        inputs: WrittenInputs,
    ) -> Array:
        """Cast what was written for one input."""
        spec = self.inputs[index]
        caster = self._caster(index, is_text=_is_text(inputs))
        if spec.ragged_rank:
            return cast_ragged(cells, spec, caster, name, problems)
        if len(spec.shape) == 1:
            return caster.column(cells, name, problems)
        if isinstance(cells, np.ndarray):
            return cast_array(cells, spec, caster, name, problems)
        images, axes = inputs.images, image_axes(spec)
        if images is not None and axes is not None and any(map(images.is_image, cells)):
            return cast_images(cells, spec, axes, caster, images, name, problems)
        return cast_nested(cells, spec, caster, name, problems)

    def _validate_tensors(self, inputs: WrittenInputs, problems: Problems) -> Tensors:
        names = [spec.name for spec in self.inputs]
        if isinstance(inputs, Rows) and len(names) == 1 and inputs.columns != names:
            check_any_rows(inputs.rows)
            return {names[0]: self._cast_rows(inputs.rows, names[0], problems, inputs)}
        if isinstance(inputs, Rows) and inputs.columns is None:
            raise SignatureMismatch(
                f"The model has several inputs: send records, or columns by name, of {', '.join(names[:8])}",
                errors=[Problem(None, None, "records or named columns", "rows without names")],
            )
        return self._validate_named(inputs, problems)

    def _read_records(self, inputs: WrittenInputs) -> Tensors | None:
        """Read records that are fine at a glance; None: column by column it is seen what they are."""
        if not isinstance(inputs, Records) or self.layout != "table":
            return None
        if not self._record_blocks:
            self._record_blocks.append(RecordBlocks(self.inputs))
        return self._record_blocks[0].read(inputs.records)

    def _validate_named(self, inputs: WrittenInputs, problems: Problems) -> Tensors:
        tensors = self._read_records(inputs)
        if tensors is not None:
            return tensors
        columns = columns_of(inputs, self.inputs, problems)
        if problems:
            return {}
        if not columns:  # where every column may be left out, none may have come
            check_any_rows(())
        absent = [None] * len(next(iter(columns.values())))
        cells = [columns.get(spec.name, absent) for spec in self.inputs]
        block = None if _is_text(inputs) else self._block(cells)
        if block is not None:
            return {spec.name: block[index] for index, spec in enumerate(self.inputs)}
        return {
            spec.name: self._cast(index, cells[index], spec.name, problems, inputs)
            for index, spec in enumerate(self.inputs)
        }

    def _block(self, cells: Sequence[Sequence[Any]]) -> Array | None:
        """Cast a table of plain numbers in one go; None where it is not all that, or does not fit."""
        if self.layout != "table" or any(spec.dtype != "float64" or spec.is_closed for spec in self.inputs):
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

    def _validate_columns(self, given: ArrayColumns, problems: Problems) -> Tensors:
        first = self.inputs[0]
        is_only = self.layout != "table" and len(self.inputs) == 1
        if is_only and (self.layout != "tensors" or given.names != [first.name]):
            spec = self._known_shape(first)
            return {spec.name: cast_in_order(given, spec, self._caster(0, is_text=False), problems)}
        return cast_named(given, self.inputs, lambda index: self._caster(index, is_text=False), problems)

    def _validate_arrays(self, given: Mapping[str, Array], problems: Problems) -> Tensors:
        arrays = self._arrays_by_name(given, problems)
        _check_heights(arrays, problems)
        if problems:
            return {}
        n_rows = len(next(iter(arrays.values())))
        absent = np.full(n_rows, None, dtype=object)  # of a column that may be left out
        is_named = self.layout in {"table", "tensors"}
        return {
            spec.name: (cast_ragged if spec.ragged_rank else cast_array)(
                arrays.get(spec.name, absent),
                self._known_shape(spec),
                self._caster(index, is_text=False),
                spec.name if is_named else None,
                problems,
            )
            for index, spec in enumerate(self.inputs)
        }

    def _arrays_by_name(self, given: Mapping[str, Array], problems: Problems) -> Mapping[str, Array]:
        if self.layout != "table" and len(self.inputs) == len(given) == 1:
            return {self.inputs[0].name: next(iter(given.values()))}
        if self.layout in {"matrix", "vector"}:
            problems.add(None, None, "one tensor", f"{len(given)} tensors")
        else:
            check_names(given, self.inputs, None, problems)
        return given

    def _known_shape(self, spec: TensorSpec) -> TensorSpec:
        """Return the spec of a matrix that says nothing of its width as one of any width."""
        return replace(spec, shape=(-1, -1)) if self.layout == "matrix" and len(spec.shape) == 1 else spec


def _is_text(inputs: WrittenInputs) -> bool:
    return isinstance(inputs, Rows) and inputs.is_text


def _check_heights(arrays: Mapping[str, Array], problems: Problems) -> None:
    """Note the tensors that have no rows, or not as many as the first."""
    n_rows = None
    for name, array in arrays.items():
        if array.ndim == 0:
            problems.add(None, name, "a tensor whose axis 0 is the row", "one of no dimensions")
        elif n_rows is None:
            n_rows = len(array)
        elif len(array) != n_rows:
            problems.add(None, name, f"{n_rows} rows, as in the first tensor", f"{len(array)} rows")
    if not n_rows and not problems:
        check_any_rows(())


def output_specs(outputs: Tensors) -> tuple[TensorSpec, ...]:
    """Describe what a method returned: named arrays whose axis 0 is the row."""
    return tuple(
        TensorSpec(name, dtype_name(array), (-1, *array.shape[1:])) for name, array in outputs.items()
    )


def infer(example: Any) -> Signature:
    """Read a signature from example rows.

    Args:
        example: A DataFrame, an array of any dimensions, a list of records or of rows, one record, or
            a dict of arrays of all rows.

    Returns:
        A table signature where the example has column names, "tensors" where one of them is of more
        than one dimension; else a matrix or a vector. Numbers in plain lists are float64, since a list
        does not say whether 3 stands for a whole number; arrays and DataFrames keep their dtypes.

    Raises:
        ValueError: its rows are of several shapes.
    """
    return Signature(*read_specs(example))
