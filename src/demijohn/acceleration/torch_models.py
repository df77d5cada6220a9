"""The engine of PyTorch's exported programs: the same program, converted to ONNX and run by onnxruntime.

A call of a small program costs PyTorch some 100 µs, which are its own ways more than arithmetic; ONNX
Runtime takes 8.

Rules of this room:
1. Only what ``torch.export`` has captured is converted: of a module nobody knows what its code does.
2. Some rows are PyTorch's: numbers that are not finite, going in or coming out, since the two treat NaN and
   overflows each in its own way; those beyond 2**16, beside which float32 loses what ordinary numbers add,
   so that the order of summing shows; and whole numbers below zero, as indices that count from the end.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

import numpy as np

from demijohn.messages import Array, Tensors
from demijohn.signature import Signature

from .engine import Candidate, Engine, Part, StepAside, Unconvertible
from .onnx_session import Session, first_line, open_session

NAME = "onnx"
LARGEST = 2.0**16  #: Of the numbers that an engine takes.
FLOAT32 = 1e-5  #: Largest relative error that parity allows where the framework itself is float32.

_LOGGERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


class Graph(Protocol):
    """What the runtime knows of a model."""

    device: Any
    program: Any  #: An ``ExportedProgram``; None of a module.


class Model(Protocol):
    """A model of PyTorch, as its runtime has it."""

    methods: tuple[str, ...]
    signature: Signature
    graph: Graph

    def run_by(self, call: Callable[[Tensors], Tensors], tensors: Tensors) -> Tensors:
        """Run rows by something else that takes what the program takes."""


def candidates(model: Model) -> Sequence[Candidate]:
    """Return the engine of each method, not built."""
    return [Candidate(NAME, method, partial(_build, model, method)) for method in model.methods]


def _build(model: Model, method: str) -> Engine:
    program = model.graph.program
    if program is None:
        raise Unconvertible("only exported programs are compiled: save the model with torch.export.save")
    if model.graph.device.type != "cpu":
        raise Unconvertible("the model runs on a GPU")
    content = _converted(program)
    names = [spec.name for spec in model.signature.outputs.get(method, ())]
    return _Converted(model, names, _input_names(content), open_session(content.SerializeToString()))


def _converted(program: Any) -> Any:
    """Convert a program to a ``ModelProto``.

    Raises:
        Unconvertible: onnxscript is not installed, or an operator has no counterpart.
    """
    import torch

    try:
        import onnxscript  # noqa: F401  the exporter needs it, and would say so in many lines
    except ImportError as error:
        raise Unconvertible("onnxscript is not installed: pip install 'demijohn[torch]'") from error
    try:
        with _quiet():
            converted: Any = torch.onnx.export(program, dynamo=True, verbose=False)
            return converted.model_proto
    except Exception as error:  # the exporter is foreign code, and meets whatever a program holds
        raise Unconvertible(f"PyTorch cannot convert it: {first_line(error)}") from error


def _input_names(content: Any) -> list[str]:
    return [one.name for one in content.graph.input]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's own log and warnings from the operator, to whom they say nothing."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class _Converted:
    """A program in a session of onnxruntime.

    Args:
        model: Whose rows it takes.
        outputs: Names of what the model returns, in order.
        inputs: Names of what the session takes, in the order of the program's inputs.
        session: Of the converted program.
    """

    name = NAME
    is_whole = True
    tolerance = FLOAT32
    parts: tuple[Part, ...] = ()

    def __init__(self, model: Model, outputs: list[str], inputs: list[str], session: Session) -> None:
        self._model = model
        self._outputs = outputs
        self._inputs = inputs
        self._session = session

    def run(self, tensors: Tensors) -> Tensors:
        for array in tensors.values():
            _check(array)
        return self._model.run_by(self._call, tensors)

    def _call(self, feeds: Tensors) -> Tensors:
        if len(feeds) != len(self._inputs):
            raise StepAside("it takes other inputs")
        found = self._session(dict(zip(self._inputs, feeds.values(), strict=True)))
        if len(found) != len(self._outputs):
            raise StepAside("it returns other outputs")
        for array in found:
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise StepAside("an answer is not finite")
        return dict(zip(self._outputs, found, strict=True))


def _check(array: Array) -> None:
    """Leave to the framework what the two treat differently.

    Raises:
        StepAside: there is some of it.
    """
    if array.dtype.kind == "f" and array.size and not np.abs(array).max() < LARGEST:
        raise StepAside("a number is too large, or none")
    if array.dtype.kind == "i" and array.size and array.min() < 0:
        raise StepAside("a whole number is negative")
