"""A converted model as an engine.

Rules of this room:
1. Numbers that are not finite, or huge, are the framework's: what becomes of them on the way differs from
   library to library.
2. Tokens that the model does not know fail in the graph, and are then the framework's to refuse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from demijohn.acceleration.engine import FLOAT32, Part, StepAside, Unconvertible
from demijohn.acceleration.onnx_session import missing, open_session
from demijohn.messages import Array, Tensors

from .conversion import convert

if TYPE_CHECKING:
    from . import Model

#: Above this, squares of squares overflow in float32.
LARGEST = 1e9


class KerasEngine:
    """Runs a model's graph."""

    name = "onnx"
    is_whole = True
    tolerance = FLOAT32
    parts: tuple[Part, ...] = ()

    def __init__(
        self, runtime: Model, graph: bytes, input_names: list[str], output_names: tuple[str, ...]
    ) -> None:
        self._session = open_session(graph)
        self._assemble = runtime.assemble
        self._input_names = input_names
        self._output_names = output_names

    def run(self, tensors: Tensors) -> Tensors:
        """Run the graph; see ``Engine.run``."""
        arrays = self._assemble(tensors).values()
        for array in arrays:
            _check(array)
        outputs = self._session(dict(zip(self._input_names, arrays, strict=True)))
        return dict(zip(self._output_names, outputs, strict=True))


def build(runtime: Model) -> KerasEngine:
    """Convert a model.

    Raises:
        Unconvertible: a layer cannot be converted, or a library is missing.
    """
    if runtime.output_names is None:
        raise Unconvertible(
            f"{type(runtime.model).__name__} is no graph of layers: its call is written by hand"
        )
    try:
        graph, input_names = convert(runtime.model)
    except ModuleNotFoundError as error:
        raise missing("onnx") from error
    return KerasEngine(runtime, graph, input_names, runtime.output_names)


def _check(array: Array) -> None:
    if (
        array.dtype.kind == "f"
        and array.size
        and not np.maximum.reduce(np.absolute(array), axis=None) <= LARGEST
    ):
        raise StepAside("a value is infinite or huge")
