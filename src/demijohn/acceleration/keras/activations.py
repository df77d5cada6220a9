"""Keras' activation functions as nodes of ONNX: one table.

Source: keras/src/activations/activations.py; the operators' definitions in ONNX, docs/Operators.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from demijohn.acceleration.engine import Unconvertible

from .graph import Graph

#: From a graph and a value's name to the name of the result.
Activate = Callable[[Graph, str], str]


def activate(graph: Graph, function: Any, name: str) -> str:
    """Apply an activation function of Keras.

    Raises:
        Unconvertible: it has no row in ``ACTIVATIONS``, or is no function of Keras.
    """
    called = getattr(function, "__name__", type(function).__name__)
    is_own = getattr(function, "__module__", "").startswith("keras.src.activations")
    if not is_own or called not in ACTIVATIONS:
        raise Unconvertible(f"it has the activation {called}, which is not converted")
    return ACTIVATIONS[called](graph, name)


def _of(operator: str, **attributes: Any) -> Activate:
    return lambda graph, name: graph.node(operator, name, **attributes)


def _silu(graph: Graph, name: str) -> str:
    return graph.node("Mul", name, graph.node("Sigmoid", name))


def _relu6(graph: Graph, name: str) -> str:
    return graph.node("Clip", name, graph.constant(0.0), graph.constant(6.0))


def _log_sigmoid(graph: Graph, name: str) -> str:
    return graph.node("Neg", graph.node("Softplus", graph.node("Neg", name)))


def _tanh_shrink(graph: Graph, name: str) -> str:
    return graph.node("Sub", name, graph.node("Tanh", name))


ACTIVATIONS: Mapping[str, Activate] = {
    "celu": _of("Celu", alpha=1.0),
    "elu": _of("Elu", alpha=1.0),
    "exponential": _of("Exp"),
    "gelu": _of("Gelu", approximate="none"),
    "hard_sigmoid": _of("HardSigmoid", alpha=1 / 6, beta=0.5),
    "hard_silu": _of("HardSwish"),
    "leaky_relu": _of("LeakyRelu", alpha=0.2),
    "linear": lambda _, name: name,
    "log_sigmoid": _log_sigmoid,
    "log_softmax": _of("LogSoftmax", axis=-1),
    "mish": _of("Mish"),
    "relu": _of("Relu"),
    "relu6": _relu6,
    "selu": _of("Selu", alpha=1.6732632423543772, gamma=1.0507009873554805),
    "sigmoid": _of("Sigmoid"),
    "silu": _silu,
    "softmax": _of("Softmax", axis=-1),
    "softplus": _of("Softplus"),
    "softsign": _of("Softsign"),
    "tanh": _of("Tanh"),
    "tanh_shrink": _tanh_shrink,
}
