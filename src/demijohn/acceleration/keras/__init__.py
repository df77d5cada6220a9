"""Engines for Keras models: their layers in one graph of onnxruntime, in float32 as Keras itself.

Rules of this room:
1. ``candidates`` builds nothing and imports no library: what an engine needs is asked for when it is built.
2. We convert layer by layer: TensorFlow's own exporters need TensorFlow, trace the model once more and
   write to stderr; a table of layers works with any backend and takes milliseconds.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from demijohn.acceleration.engine import Candidate, Engine
from demijohn.messages import Tensors

if TYPE_CHECKING:
    from collections.abc import Sequence


class Model(Protocol):
    """A Keras model, as its runtime has it."""

    model: Any
    methods: tuple[str, ...]
    output_names: tuple[str, ...] | None

    def assemble(self, tensors: Tensors) -> Tensors:
        """Return the model's own inputs, in its order and dtypes."""


def candidates(runtime: Model) -> Sequence[Candidate]:
    """Return the engines that may suit a model."""
    return [Candidate("onnx", method, partial(_build, runtime)) for method in runtime.methods]


def _build(runtime: Model) -> Engine:
    from .engine import build

    return build(runtime)
