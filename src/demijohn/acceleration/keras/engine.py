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
#: Of a call's inputs. A CNN of 28 × 28 pixels takes 14 µs a row for 32 rows at a time, 30 for 512: what its
#: layers make of them is then larger than the caches, and memory that the system gives anew for each call.
PIECE_BYTES = 2**17


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
        outputs = self._in_pieces(list(arrays))
        return dict(zip(self._output_names, outputs, strict=True))

    def _in_pieces(self, arrays: list[Array]) -> list[Array]:
        """Run the graph for so many rows at a time that what is between its layers stays in the caches."""
        n_rows, row_bytes = len(arrays[0]), sum(array[:1].nbytes for array in arrays)
        if n_rows * row_bytes <= PIECE_BYTES or n_rows == 1:
            return self._session(dict(zip(self._input_names, arrays, strict=True)))
        n_at_a_time = max(1, PIECE_BYTES // row_bytes)
        pieces = [
            self._session(
                dict(zip(self._input_names, (one[at : at + n_at_a_time] for one in arrays), strict=True))
            )
            for at in range(0, n_rows, n_at_a_time)
        ]
        return [np.concatenate(parts) for parts in zip(*pieces, strict=True)]


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
