"""From a model of layers to one ONNX graph: walks the layers in the order in which Keras runs them.

Rules of this room:
1. A call of a layer is converted only if it passes nothing but tensors: ``training=True``, masks and
   states are the framework's.
2. Everything calculates in float32, as it does in Keras; other precisions are the framework's.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

from demijohn.acceleration.engine import Unconvertible

from .graph import Graph, Shape, Value
from .layers import LAYERS
from .operations import OPERATIONS

#: A graph holds the weights once more.
MAX_WEIGHT_BYTES = 256 * 2**20
#: Kinds of layers that are models themselves.
MODELS = frozenset({"Functional", "Sequential"})


def convert(model: Any) -> tuple[bytes, list[str]]:
    """Convert a model.

    Args:
        model: Of Keras, built.

    Returns:
        A serialized ``ModelProto`` whose inputs and outputs are the model's, in its own order, and
        what the inputs are called in it.

    Raises:
        Unconvertible: a layer has no row in the table, or an option that its row does not know.
    """
    n_bytes = sum(4 * math.prod(weight.shape) for weight in model.weights)
    if n_bytes > MAX_WEIGHT_BYTES:
        raise Unconvertible(f"it holds {n_bytes >> 20} MiB of weights, too much for a second copy")
    functional = functional_of(model)
    graph = Graph()
    values = [graph.input(_shape(tensor), _dtype(tensor)) for tensor in functional.inputs]
    return graph.serialize(_run(graph, functional, values)), [value.name for value in values]


def functional_of(model: Any) -> Any:
    """Return a model's graph of layers.

    Raises:
        Unconvertible: it is none.
    """
    functional = getattr(model, "_functional", None) or model
    if not hasattr(functional, "_nodes_by_depth"):
        raise Unconvertible(f"{type(model).__name__} is no graph of layers: its call is written by hand")
    return functional


def _run(graph: Graph, functional: Any, inputs: Sequence[Value]) -> list[Value]:
    """Write a model's nodes; returns its outputs."""
    values = {id(tensor): value for tensor, value in zip(functional.inputs, inputs, strict=True)}
    for depth in sorted(functional._nodes_by_depth, reverse=True):
        for node in functional._nodes_by_depth[depth]:
            if not node.is_input:
                for tensor, value in zip(node.outputs, _convert_node(graph, node, values), strict=True):
                    values[id(tensor)] = value
    return [values[id(tensor)] for tensor in functional.outputs]


def _convert_node(graph: Graph, node: Any, values: dict[int, Value]) -> list[Value]:
    layer = node.operation
    try:
        check_call(node, OPERATIONS if _is_operation(layer) else LAYERS)
        given = [values[id(tensor)] for tensor in node.input_tensors]
        if type(layer).__name__ in MODELS:
            return _run(graph, functional_of(layer), given)
        if _is_operation(layer):
            arguments = [values.get(id(one), one) for one in node.arguments.args]
            found = OPERATIONS[type(layer).__name__](graph, layer, arguments)
        else:
            found = LAYERS[type(layer).__name__](graph, layer, given)
    except Unconvertible as error:
        raise Unconvertible(f"layer {layer.name!r} ({type(layer).__name__}): {error}") from error
    names = [found] if isinstance(found, str) else found
    return [Value(name, _shape(tensor), "float32") for name, tensor in zip(names, node.outputs, strict=True)]


def _is_operation(layer: Any) -> bool:
    """Say whether it is one of ``keras.ops``, which may bear a layer's name."""
    return type(layer).__module__.startswith("keras.src.ops.")


def check_call(node: Any, table: Collection[str]) -> None:
    """Look at the call of a layer: whether it stands in a table, and is given nothing but tensors.

    Raises:
        Unconvertible: says what else it is.
    """
    layer = node.operation
    kind = type(layer)
    if not kind.__module__.startswith("keras.src.") or (
        kind.__name__ not in table and kind.__name__ not in MODELS
    ):
        raise Unconvertible("it is not converted")
    passed = [
        name for name, value in node.arguments.kwargs.items() if value is not None and value is not False
    ]
    if passed:
        raise Unconvertible(f"it is called with {', '.join(passed)}, which is not converted")
    if getattr(layer, "compute_dtype", "float32") != "float32":
        raise Unconvertible(f"it calculates in {layer.compute_dtype}")
    if getattr(layer, "quantization_mode", None) is not None:
        raise Unconvertible("it is quantized")


def _shape(tensor: Any) -> Shape:
    """Return a tensor's shape; any number of rows will do, even where Keras has a fixed one."""
    return (None, *(None if size is None else int(size) for size in tensor.shape[1:]))


def _dtype(tensor: Any) -> str:
    if tensor.dtype in {"string", "bfloat16"}:
        raise Unconvertible(f"it takes {tensor.dtype}, which is not converted")
    return str(tensor.dtype)
