"""LSTM, GRU and SimpleRNN: the same cells in ONNX, gates in another order.

Rules of this room:
1. Steps are axis 0 inside: ONNX' default form, and the one that onnxruntime runs.
2. No masks, no state that a caller gives: those are the framework's.

Source: ONNX, docs/Operators.md, LSTM, GRU, RNN; keras/src/layers/rnn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from demijohn.acceleration.engine import Unconvertible
from demijohn.messages import Array

from .graph import Graph, Value
from .weights import read

_FUNCTIONS = {"tanh": "Tanh", "sigmoid": "Sigmoid", "relu": "Relu"}


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of cell."""

    operator: str
    order: tuple[int, ...]  #: Where Keras has each of ONNX' gates.
    n_states: int
    functions: Callable[[Any], list[Any]]  #: Of a layer, in ONNX' order.


_KINDS = {
    # Keras: input, forget, cell, output; ONNX: input, output, forget, cell.
    "LSTM": _Kind("LSTM", (0, 3, 1, 2), 2, lambda c: [c.recurrent_activation, c.activation, c.activation]),
    "GRU": _Kind("GRU", (0, 1, 2), 1, lambda c: [c.recurrent_activation, c.activation]),
    "SimpleRNN": _Kind("RNN", (0,), 1, lambda c: [c.activation]),
}


def recurrent(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str | list[str]:
    """Run a recurrent layer."""
    if layer.go_backwards and layer.return_sequences:
        raise Unconvertible("a sequence that is returned backwards is not converted")
    return _run(graph, layer, inputs)


def bidirectional(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
    """Run a layer forwards and its twin backwards."""
    pair = [layer.forward_layer, layer.backward_layer]
    kinds = {type(one).__name__ for one in pair}
    if len(kinds) != 1 or not kinds <= _KINDS.keys() or layer.return_state or layer.merge_mode not in _MERGES:
        raise Unconvertible("this form of Bidirectional is not converted")
    if pair[0].go_backwards or not pair[1].go_backwards:
        raise Unconvertible("this form of Bidirectional is not converted")
    ways = [_run(graph, one, inputs) for one in pair]
    first, second = (str(way) for way in ways)
    if layer.merge_mode == "concat":
        return graph.node("Concat", first, second, axis=-1)
    merged = graph.node(_MERGES[layer.merge_mode], first, second)
    return graph.node("Div", merged, graph.constant(2.0)) if layer.merge_mode == "ave" else merged


_MERGES = {"concat": "Concat", "sum": "Add", "ave": "Add", "mul": "Mul"}


def _run(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str | list[str]:
    kind = _KINDS[type(layer).__name__]
    if layer.stateful or (layer.unroll and layer.go_backwards):
        raise Unconvertible("this form of a recurrent layer is not converted")
    if len(inputs) != 1:
        raise Unconvertible("a recurrent layer that is given its state is not converted")
    attributes: dict[str, Any] = {
        "hidden_size": int(layer.units),
        "direction": "reverse" if layer.go_backwards else "forward",
        "activations": [_function(one) for one in kind.functions(layer)],
    }
    if kind.operator == "GRU":
        attributes["linear_before_reset"] = int(layer.reset_after)
    steps = graph.node("Transpose", graph.as_float(inputs[0]), perm=[1, 0, 2])
    weights = [graph.constant(array) for array in _weights(layer.cell, kind)]
    outputs = graph.nodes(kind.operator, [steps, *weights], 1 + kind.n_states, **attributes)
    found = _sequence(graph, outputs[0]) if layer.return_sequences else _only_way(graph, outputs[1])
    if not layer.return_state:
        return found
    return [found, *(_only_way(graph, name) for name in outputs[1:])]


def _sequence(graph: Graph, name: str) -> str:
    """Turn (steps, 1, rows, units) into (rows, steps, units)."""
    line = graph.node("Squeeze", name, graph.constant([1], "int64"))
    return graph.node("Transpose", line, perm=[1, 0, 2])


def _only_way(graph: Graph, name: str) -> str:
    """Turn (1, rows, units) into (rows, units)."""
    return graph.node("Squeeze", name, graph.constant([0], "int64"))


def _weights(cell: Any, kind: _Kind) -> list[Array]:
    """Return W (1, gates × units, n_in), R (1, gates × units, units) and, where there is one, B."""
    found = [_gates(read(part), kind).T[np.newaxis] for part in (cell.kernel, cell.recurrent_kernel)]
    if cell.bias is None:
        return found
    bias = read(cell.bias)
    # A GRU that resets after the product has two; of the others ONNX still wants both.
    pair = bias if bias.ndim == 2 else np.stack([bias, np.zeros_like(bias)])
    return [*found, np.concatenate([_gates(one, kind) for one in pair])[np.newaxis]]


def _gates(array: Array, kind: _Kind) -> Array:
    """Reorder the gates along the last axis."""
    parts = np.split(array, len(kind.order), axis=-1)
    return np.concatenate([parts[index] for index in kind.order], axis=-1)


def _function(function: Any) -> str:
    name = getattr(function, "__name__", "?")
    if name not in _FUNCTIONS or not getattr(function, "__module__", "").startswith("keras.src.activations"):
        raise Unconvertible(f"a recurrent layer with the activation {name} is not converted")
    return _FUNCTIONS[name]


LAYERS: Mapping[str, Any] = {"Bidirectional": bidirectional, **dict.fromkeys(_KINDS, recurrent)}
