"""Ragged tensors: which inputs of a signature are one together, and how rows become one.

A SavedModel's signature has no ragged inputs. It takes their parts, each a tensor of its own: the values
of all rows in one, and where each row ends. What belongs together is told by the function that the
signature calls, whose own inputs are kept with the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from demijohn.messages import Array


def composites_of(model: Any, function: Any) -> list[tuple[Any, list[str]]]:
    """Return the inputs of a signature that are one together.

    Args:
        model: Loaded.
        function: One of its signatures.

    Returns:
        The type of each such input (a ``tf.RaggedTensorSpec``, a ``tf.SparseTensorSpec``) and the names
        of its parts in the signature.
    """
    import tensorflow as tf

    called = _called(function)
    if called is None:
        return []
    name, fed = called
    inner = next((one for one in _functions(model) if _name(one) == name), None)
    if inner is None:
        return []
    specs = tf.nest.flatten(inner.structured_input_signature)
    found, position = [], 0
    for spec in specs:
        n_parts = len(tf.nest.flatten(spec, expand_composites=True))
        if not isinstance(spec, tf.TensorSpec) and isinstance(spec, tf.TypeSpec):
            found.append((spec, fed[position : position + n_parts]))
        position += n_parts
    return found


def _called(function: Any) -> tuple[str, list[str]] | None:
    """Return the function that a signature calls, and the signature's inputs in that one's order."""
    graph = getattr(function, "graph", None)
    for operation in () if graph is None else graph.get_operations():
        if operation.type in {"PartitionedCall", "StatefulPartitionedCall"}:
            return operation.get_attr("f").name, [tensor.op.name for tensor in operation.inputs]
    return None


def _name(function: Any) -> str:
    name = function.name
    return name.decode() if isinstance(name, bytes) else str(name)


def _functions(model: Any) -> Iterator[Any]:
    """Yield the concrete functions of a loaded object and of all that it holds."""
    seen: set[int] = set()
    waiting = [model]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield from getattr(one, "concrete_functions", None) or ()
        if isinstance(one, Mapping):
            waiting += one.values()
        elif isinstance(one, (list, tuple)):
            waiting += one
        elif type(one).__module__.startswith("tensorflow."):
            waiting += getattr(one, "__dict__", {}).values()


def pack(rows: Array, spec: Any) -> list[Any]:
    """Turn rows into the parts of a ragged tensor.

    Args:
        rows: As ``ragged_rows`` makes them.
        spec: The ``tf.RaggedTensorSpec``.
    """
    import tensorflow as tf

    level: Sequence[Any] = list(rows)
    lengths = []
    for _ in range(spec.ragged_rank):
        lengths.append(np.array([len(one) for one in level], spec.row_splits_dtype.as_numpy_dtype))
        last, level = level, list(chain.from_iterable(level)) if len(lengths) < spec.ragged_rank else ()
    values = np.concatenate(last) if len(last) else _no_values(spec)
    ragged = tf.RaggedTensor.from_nested_row_lengths(
        tf.cast(tf.constant(values), spec.dtype), lengths, validate=False
    )
    parts: list[Any] = tf.nest.flatten(ragged, expand_composites=True)
    return parts


def _no_values(spec: Any) -> Array:
    sizes = [size or 0 for size in spec.shape.as_list()[1 + spec.ragged_rank :]]
    return np.empty((0, *sizes), object if spec.dtype.name == "string" else spec.dtype.as_numpy_dtype)


def unpack(ragged: Any) -> Array:
    """Turn a ragged tensor into one object per row: a list, nested as the tensor is."""
    rows = ragged.to_list()
    array = np.empty(len(rows), dtype=object)
    for index, row in enumerate(rows):
        array[index] = row
    return array
