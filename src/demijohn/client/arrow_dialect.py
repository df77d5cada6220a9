"""Calls in Demijohn's own dialect, as Arrow streams: columns of any kind, missing values and all.

Rules of this room:
1. It takes pyarrow, here and on the server; whoever lacks it goes another way.
2. An Arrow body has no place for a method's arguments, nor for rows that are no columns: these go as
   JSON, and the answer comes as Arrow all the same.
3. A matrix comes as a column for each of its own, so its shape has to be known: the description tells it.
   An output that it does not tell of becomes what its JSON would.

Source: https://arrow.apache.org/docs/format/Columnar.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from demijohn.errors import UnusableAnswer
from demijohn.messages import Array, Tensors
from demijohn.tensor_spec import TensorSpec

from . import json_dialect
from .calls import Call, Received, Sent, Unfit, shape_output
from .connection import Answer
from .inputs import Table, Tensor
from .problems import PROBLEM

if TYPE_CHECKING:
    import pyarrow as pa

ARROW = "application/vnd.apache.arrow.stream"
_ACCEPT = f"{ARROW}, {PROBLEM};q=0.1"
_NUMBERED = re.compile(r".+_[0-9]+\Z")


@cache
def is_available() -> bool:
    """Say whether pyarrow is installed here; it is imported by the first call that needs it."""
    return find_spec("pyarrow") is not None


def encode(call: Call) -> Sent:
    """Write a call; see ``calls.Dialect``."""
    if not is_available():
        raise Unfit("pyarrow is not installed")
    if any(spec.dtype == "object" for spec in call.description.outputs(call.method)):
        raise Unfit("an output may be of values that Arrow has no type for")
    path = f"{call.place.path}/{call.method}"
    columns = None if call.parameters else _columns_of(call)
    if columns is None:
        sent = json_dialect.encode(call)
        return sent._replace(headers={**sent.headers, "Accept": _ACCEPT})
    return Sent(path, _write(columns), {"Content-Type": ARROW, "Accept": _ACCEPT})


def _columns_of(call: Call) -> Mapping[str, Array] | None:
    """Return the columns that a model takes by name or by place; None where only JSON has a form for them."""
    given = call.given
    if isinstance(given, Table):
        return given.columns
    if not isinstance(given, Tensor):
        return None
    array = given.array
    if array.ndim == 2:
        return {str(index): array[:, index] for index in range(array.shape[1])}
    return {"inputs": array}


def _write(columns: Mapping[str, Array]) -> bytes:
    import pyarrow as pa

    try:
        table = pa.table({name: _array_of(array) for name, array in columns.items()})
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise Unfit("a column of several kinds has no type in Arrow") from error
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    body: bytes = out.getvalue().to_pybytes()
    return body


def _array_of(array: Array) -> Any:
    import pyarrow as pa

    if array.ndim > 1:
        return pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(array))
    if array.dtype.kind == "O" and len(frozenset(map(type, array)) - {type(None)}) > 1:
        raise TypeError("values of several kinds")  # of bools and integers Arrow would make one
    return pa.array(array.astype(array.dtype.newbyteorder("="), copy=False))


# The answer -------------------------------------------------------------------------------


def decode(answer: Answer, call: Call) -> Received:
    """Read the answer to a call; see ``calls.Dialect``."""
    import pyarrow as pa

    try:
        with pa.ipc.open_stream(pa.py_buffer(answer.body)) as reader:
            table = reader.read_all()
        table.validate(full=True)
        metadata = table.schema.metadata or {}
        return Received(_outputs(table, call), metadata[b"version"].decode())
    except (pa.ArrowException, OSError, KeyError, ValueError, MemoryError) as error:
        raise UnusableAnswer(f"What came is no Arrow stream of a Demijohn server: {error}") from error


def _outputs(table: pa.Table, call: Call) -> Tensors:
    """Return the outputs by name, the columns of a matrix joined."""
    specs = call.description.outputs(call.method)
    labels = call.description.labels(call.method)
    places = _places(table.column_names, specs)
    if places is not None:
        return {spec.name: _output(table, place, spec, labels) for spec, place in places}
    # With these arguments, or of a function, nobody knows what the method returns.
    names = table.column_names
    if any(map(_NUMBERED.match, names)) or len(set(names)) < len(names):
        raise Unfit("some columns may be several outputs, or one")
    return {name: _plain_column(table.column(index)) for index, name in enumerate(names)}


def _places(names: Sequence[str], specs: Sequence[TensorSpec]) -> Sequence[tuple[TensorSpec, range]] | None:
    """Return where the columns of each output stand; None where they are other outputs."""
    places = []
    position = 0
    for spec in specs:
        start = position
        if len(spec.shape) == 1:
            position += names[position : position + 1] == [spec.name]
        else:
            while names[position : position + 1] == [f"{spec.name}_{position - start}"]:
                position += 1
        if position == start:
            return None
        places.append((spec, range(start, position)))
    return places if places and position == len(names) else None


def _output(table: pa.Table, place: range, spec: TensorSpec, labels: Sequence[Any] | None) -> Array:
    if len(spec.shape) == 1:
        return _column(table.column(place.start), spec, labels)
    sizes = (-1,) if len(spec.shape) == 2 else spec.shape[1:]  # arguments may decide how wide a matrix is
    if sizes.count(-1) > 1:
        raise Unfit("the shape of an output is not known")
    joined = np.stack([_column(table.column(index), None, None) for index in place], axis=1)
    return shape_output(joined.reshape(table.num_rows, *sizes), spec, labels)


def _plain_column(column: Any) -> Array:
    """Return an output of which nothing is known as what its JSON would be: float32 is a float."""
    import pyarrow as pa

    if pa.types.is_temporal(column.type):
        raise Unfit("JSON has instants as texts")
    return shape_output(column.to_pylist(), None)


def _column(column: Any, spec: TensorSpec | None, labels: Sequence[Any] | None) -> Array:
    import pyarrow as pa

    kind = column.type
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    if pa.types.is_timestamp(kind) or (is_number and not column.null_count):
        return shape_output(np.array(column.to_numpy()), spec, labels)
    return shape_output(column.to_pylist(), spec, labels)
