"""Operations of ``keras.ops`` between layers (``x + y``, ``ops.relu(x)``) as nodes of ONNX: one table.

Rules of this room:
1. Their arguments are tensors and plain numbers; what else they may take is not converted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from demijohn.acceleration.engine import Unconvertible

from .graph import Graph, Value


def _elementwise(operator: str, n_arguments: int) -> Any:
    def operate(graph: Graph, operation: Any, arguments: Sequence[Any]) -> str:
        del operation
        if len(arguments) != n_arguments:
            raise Unconvertible("its arguments are not converted")
        return graph.node(operator, *[_operand(graph, one) for one in arguments])

    return operate


def _operand(graph: Graph, argument: Any) -> str:
    if isinstance(argument, Value):
        return graph.as_float(argument)
    if isinstance(argument, bool) or not isinstance(argument, (int, float)):
        raise Unconvertible(f"an argument of type {type(argument).__name__} is not converted")
    return graph.constant(argument)


OPERATIONS: Mapping[str, Any] = {
    "Absolute": _elementwise("Abs", 1),
    "Add": _elementwise("Add", 2),
    "Divide": _elementwise("Div", 2),
    "Exp": _elementwise("Exp", 1),
    "Log": _elementwise("Log", 1),
    "Maximum": _elementwise("Max", 2),
    "Minimum": _elementwise("Min", 2),
    "Multiply": _elementwise("Mul", 2),
    "Negative": _elementwise("Neg", 1),
    "Relu": _elementwise("Relu", 1),
    "Sigmoid": _elementwise("Sigmoid", 1),
    "Sqrt": _elementwise("Sqrt", 1),
    "Subtract": _elementwise("Sub", 2),
    "Tanh": _elementwise("Tanh", 1),
    "TrueDivide": _elementwise("Div", 2),
}
