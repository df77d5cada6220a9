"""Engines for Keras models, in float32 as Keras itself: a graph for onnxruntime, or for our kernel.

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
    builds = {"kernel": _build_network, "onnx": _build_graph}
    return [
        Candidate(name, method, partial(build, runtime))
        for method in runtime.methods
        for name, build in builds.items()
    ]


def _build_network(runtime: Model) -> Engine:
    from .network import build

    return build(runtime)


def _build_graph(runtime: Model) -> Engine:
    from .engine import build

    return build(runtime)
