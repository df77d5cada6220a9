"""Writing an ONNX graph, node by node.

Rules of this room:
1. Every value has a name that is given once; a constant is an initializer.
2. It knows ONNX, and nothing of Keras.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from demijohn.messages import Array

OPSET = 20  #: The first with Gelu; every onnxruntime that we take knows it.
IR_VERSION = 9  #: That belongs to it.

Shape = tuple[int | None, ...]  #: Axis 0 is the row; None: open.


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor in the graph."""

    name: str
    shape: Shape
    dtype: str  #: numpy's name.

    @property
    def rank(self) -> int:
        """Return the number of dimensions, the row among them."""
        return len(self.shape)


class Graph:
    """A graph that is being written."""

    def __init__(self) -> None:
        import onnx

        self._onnx = onnx
        self._nodes: list[Any] = []
        self._initializers: list[Any] = []
        self._inputs: list[Any] = []
        self._n_names = 0

    def input(self, shape: Shape, dtype: str) -> Value:
        """Add an input of the graph."""
        name = self._name()
        self._inputs.append(self._info(name, dtype, shape))
        return Value(name, shape, dtype)

    def constant(self, array: Any, dtype: str = "float32") -> str:
        """Add a constant; returns its name."""
        name = self._name()
        content: Array = np.ascontiguousarray(array, dtype=dtype)
        self._initializers.append(self._onnx.numpy_helper.from_array(content, name))
        return name

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node of one output; returns the output's name. An input "" is left out."""
        return self.nodes(operator, inputs, 1, **attributes)[0]

    def nodes(self, operator: str, inputs: Sequence[str], n_outputs: int, **attributes: Any) -> list[str]:
        """Add a node of several outputs; returns their names."""
        outputs = [self._name() for _ in range(n_outputs)]
        self._nodes.append(self._onnx.helper.make_node(operator, list(inputs), outputs, **attributes))
        return outputs

    def cast(self, name: str, dtype: str) -> str:
        """Add a conversion to another dtype."""
        return self.node("Cast", name, to=self._number_of(dtype))

    def as_float(self, value: Value) -> str:
        """Return a value as float32."""
        return value.name if value.dtype == "float32" else self.cast(value.name, "float32")

    def serialize(self, outputs: Sequence[Value]) -> bytes:
        """Return the graph as a model."""
        helper = self._onnx.helper
        infos = [self._info(one.name, one.dtype, one.shape) for one in outputs]
        graph = helper.make_graph(self._nodes, "model", self._inputs, infos, self._initializers)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="demijohn",
        )
        content: bytes = model.SerializeToString()
        return content

    def _info(self, name: str, dtype: str, shape: Shape) -> Any:
        return self._onnx.helper.make_tensor_value_info(name, self._number_of(dtype), list(shape))

    def _number_of(self, dtype: str) -> int:
        return int(self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def _name(self) -> str:
        self._n_names += 1
        return f"v{self._n_names}"
