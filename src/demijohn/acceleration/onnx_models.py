"""The engine of ONNX models: the framework itself, called in the request's own thread.

A session may be run by any number of threads at a time, so a short call needs no hand-over to the model's
thread, which costs more (17 µs) than the call of a small graph.

Rules of this room:
1. Nothing is converted: what answers is the session that answers as the framework.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from demijohn.messages import Tensors

from .engine import EXACT, Candidate, Part, StepAside

NAME = "onnx"


class Model(Protocol):
    """An ONNX model, as its runtime has it."""

    methods: tuple[str, ...]
    is_free: bool  #: Any thread may run it at any time, and waiting for company would gain nothing.

    def run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        """Run a method; see ``Runtime.run``."""


def candidates(model: Model) -> Sequence[Candidate]:
    """Return the engine of each method; none where a model has to wait for its turn."""
    if not model.is_free:
        return []
    return [
        Candidate(NAME, method, partial(_Own, model, method), is_framework=True) for method in model.methods
    ]


@dataclass(slots=True)
class _Own:
    """One method of the framework itself."""

    model: Model
    method: str
    name: str = NAME
    is_whole: bool = True
    tolerance: float = EXACT
    parts: tuple[Part, ...] = ()

    def run(self, tensors: Tensors) -> Tensors:
        try:
            return self.model.run(self.method, tensors, {})
        except Exception as error:  # rows that it refuses; the framework says why
            raise StepAside(str(error)) from error
