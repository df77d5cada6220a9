"""One signature of a SavedModel as a method: its inputs and outputs, and how rows go through it.

Rules of this room:
1. Inputs and outputs have the names, dtypes and shapes of the signature. A single output goes by the
   method's name, as everywhere.
2. A graph of a fixed number of rows gets as many: what is filled up repeats the last row, and its answers
   are thrown away. One whose inputs or outputs have no axis of rows gets one row at a time.
3. bfloat16, which neither JSON nor numpy has, is float32 outside.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from demijohn.errors import LoadError, ModelError
from demijohn.messages import Array, Tensors
from demijohn.signature import Signature, TensorSpec

from .graph_inputs import Feeder, GraphInput, example_tensors, limits_of, made_up_row, signature_of
from .row_chunks import ANY_ROWS, ONE_BY_ONE, RowLimits, run_rows
from .tensorflow_ragged import composites_of, pack, unpack

logger = logging.getLogger("demijohn")

_DTYPES = {
    "bfloat16": "float32", "bool": "bool", "float16": "float16", "float32": "float32", "float64": "float64",
    "int8": "int8", "int16": "int16", "int32": "int32", "int64": "int64", "string": "str",
    "uint8": "uint8", "uint16": "uint16", "uint32": "uint32", "uint64": "uint64",
}  # fmt: skip
_BYTES = "_bytes"  # how TensorFlow Serving knows an output that is no text
_LENGTHS = (3, 8, 32, 224)  # of a made-up row, wherever any length will do: the first that the graph takes


class Refused(ValueError):
    """A graph does not take these rows; the text says why."""


@dataclass(frozen=True, slots=True)
class Input(GraphInput):
    """One input of a signature, or the parts of a ragged one."""

    type: Any = None  #: ``tf.TensorSpec`` or ``tf.RaggedTensorSpec``.
    parts: Sequence[str] = ()  #: Names of a ragged input's parts.
    ragged_rank: int = 0

    @property
    def spec(self) -> TensorSpec:
        return TensorSpec(self.name, self.dtype, (-1, *self.shape[1:]), ragged_rank=self.ragged_rank)

    @property
    def is_column(self) -> bool:
        return len(self.shape) <= 1


class Method:
    """One method.

    Args:
        name: Of the method.
        function: The signature, a ``tf.ConcreteFunction``.
        model: That it is of.

    Raises:
        LoadError: its inputs or outputs cannot be rows; says which and why.
    """

    def __init__(self, name: str, function: Any, model: Any) -> None:
        self.name = name
        self.inputs = _inputs_of(function, model)
        self.signature: Signature = signature_of(self.inputs)
        self.limits = limits_of(self.inputs)
        results = dict(sorted(function.structured_outputs.items()))
        if self.limits == ANY_ROWS and any(_has_no_rows(spec) for spec in results.values()):
            self.limits = ONE_BY_ONE
        self.outputs = _output_specs(name, results, self.limits)
        self._function = function
        self._feed = Feeder(self.inputs, self.signature)
        self.example = self._make_up()

    def run(self, tensors: Tensors) -> Tensors:
        """Run rows.

        Raises:
            Refused: the graph does not take them.
            ModelError: it returned another number of rows than it got.
        """
        return run_rows(self._call, tensors, self.limits)

    def _make_up(self) -> Any:
        """Make a row that the graph takes, as JSON can write it."""
        if all(size >= 0 for spec in self.signature.inputs for size in spec.shape[1:]):
            return made_up_row(self.signature, 0)
        for length in _LENGTHS:
            row = made_up_row(self.signature, length)
            try:
                self.run(example_tensors(self.signature, [row]))
            except Exception as error:  # noqa: BLE001  - the graph is foreign code, and the row is made up
                logger.debug("%s on a made-up row: %s: %s", self.name, type(error).__name__, error)
            else:
                return row
        return made_up_row(self.signature, _LENGTHS[0])

    def _call(self, chunk: Tensors) -> Tensors:
        arrays = self._feed(chunk)
        feeds: dict[str, Any] = {}
        for one in self.inputs:
            if one.ragged_rank:
                feeds.update(zip(one.parts, pack(arrays[one.name], one.type), strict=True))
            else:
                feeds[one.name] = _tensor(arrays[one.name], one.type)
        results = self._function(**feeds)
        if len(results) == 1:
            ((name, result),) = results.items()
            return {self.name: _array(name, result)}
        return {name: _array(name, results[name]) for name in sorted(results)}


# Inputs --------------------------------------------------------------------------------------


def _inputs_of(function: Any, model: Any) -> list[Input]:
    _, types = function.structured_input_signature
    inputs = []
    taken: set[str] = set()
    for spec, parts in composites_of(model, function):
        if type(spec).__name__ != "RaggedTensorSpec":
            raise LoadError(f"its input {parts[0]!r} is a {type(spec).__name__.removesuffix('Spec')}")
        inputs.append(_ragged_input(spec, parts))
        taken.update(parts)
    inputs += [_dense_input(name, spec) for name, spec in types.items() if name not in taken]
    return sorted(inputs, key=lambda one: one.name)


def _dense_input(name: str, spec: Any) -> Input:
    return Input(name, _dtype_of(spec, f"input {name!r}"), _shape_of(spec, f"input {name!r}"), spec)


def _ragged_input(spec: Any, parts: Sequence[str]) -> Input:
    name = parts[0]
    dtype, shape = _dtype_of(spec, f"input {name!r}"), _shape_of(spec, f"input {name!r}")
    if shape[0] >= 0:
        raise LoadError(f"its ragged input {name!r} takes {shape[0]} rows at a time")
    return Input(name, dtype, shape, spec, parts, spec.ragged_rank)


def _dtype_of(spec: Any, what: str) -> str:
    dtype = spec.dtype.name
    if dtype not in _DTYPES:
        raise LoadError(f"its {what} is of the dtype {dtype}")
    return _DTYPES[dtype]


def _shape_of(spec: Any, what: str) -> tuple[int, ...]:
    if spec.shape.rank is None:
        raise LoadError(f"its {what} may have any number of axes; save it with an input_signature that says")
    return tuple(-1 if size is None else size for size in spec.shape.as_list())


def _tensor(array: Array, spec: Any) -> Any:
    import tensorflow as tf

    try:
        tensor = tf.constant(array)
    except ValueError as error:  # a text that is no Unicode
        raise Refused(str(error)) from error
    return tensor if tensor.dtype == spec.dtype else tf.cast(tensor, spec.dtype)


# Outputs -------------------------------------------------------------------------------------


def _has_no_rows(spec: Any) -> bool:
    """Say whether an output is for all rows together, as far as the graph says."""
    return spec.shape.rank == 0 or (spec.shape.rank is not None and spec.shape.as_list()[0] is not None)


def _output_specs(
    method: str, results: Mapping[str, Any], limits: RowLimits
) -> tuple[TensorSpec, ...] | None:
    """Describe the outputs; None where the graph does not say."""
    specs: list[TensorSpec] = []
    for name, spec in results.items():
        dtype = _dtype_of(spec, f"output {name!r}")
        if dtype == "str" and name.endswith(_BYTES):
            dtype = "object"
        if spec.shape.rank is None:
            return None
        sizes = [-1 if size is None else size for size in spec.shape.as_list()]
        has_rows = bool(sizes) and (not limits.is_one_by_one or sizes[0] in (-1, 1))
        specs.append(TensorSpec(name, dtype, (-1, *(sizes[1:] if has_rows else sizes))))
    return (replace(specs[0], name=method),) if len(specs) == 1 else tuple(specs)


def _array(name: str, result: Any) -> Array:
    if hasattr(result, "to_list"):  # ragged
        array = unpack(result)
        return _texts(name, array) if result.dtype.name == "string" else array
    array = np.asarray(result.numpy())
    if array.dtype.kind == "O":
        return _texts(name, array)
    return array.astype(np.float32) if array.dtype.kind == "V" else array  # bfloat16


def _texts(name: str, array: Array) -> Array:
    """Return bytes as texts, wherever in nested lists; those of an output that is called so stay bytes."""
    if name.endswith(_BYTES):
        return array
    texts = np.empty(array.shape, dtype=object)
    try:
        for index, cell in np.ndenumerate(array):
            texts[index] = _decoded(cell)
    except UnicodeDecodeError as error:
        raise ModelError(
            f"The model's output {name!r} is no text; name it {name}{_BYTES}, and it is sent as base64"
        ) from error
    return texts


def _decoded(cell: Any) -> Any:
    return [_decoded(one) for one in cell] if isinstance(cell, list) else cell.decode()
