"""The function runtime: any callable is a model with one method, ``predict``.

Rules of this room:
1. A function is never called but by a request: no warm-up, no probe, no example call.
2. A function of scalars is called once per row, with Python values; one that takes an array or a
   DataFrame gets all rows at once, and shares a call with other requests only if its author says so
   (``batch=True``).
3. An ``async def`` runs on one event loop per process, in a thread that starts on first use.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import numpy as np

from demijohn.errors import ConfigurationError, ModelError
from demijohn.messages import Array, Tensors, as_array, count_rows
from demijohn.signature import Signature

from .base import Joining
from .examples import Example, read_example
from .frames import FrameBuilder
from .function_signature import Argument, ArgumentKind, argument_kind, example_row, read_arguments

ASYNC_CONCURRENCY = 64  #: Calls of an ``async def`` that may wait at a time in one worker.


def wrap(
    model: Callable[..., Any], *, example: object = None, batch: bool = False, concurrency: int | None = None
) -> FunctionRuntime:
    """Adapt a function; see ``demijohn.runtimes.wrap``.

    Raises:
        ConfigurationError: its parameters cannot be columns, or the example does not fit them.
    """
    return FunctionRuntime(model, read_example(example), batch=batch, concurrency=concurrency)


class FunctionRuntime:
    """One function."""

    framework = "function"
    framework_version = None
    methods = ("predict",)
    is_callable_unasked = False

    def __init__(
        self, function: Callable[..., Any], example: Example | None, *, batch: bool, concurrency: int | None
    ) -> None:
        self.function = function
        self.is_async = _is_async(function)
        self.concurrency = concurrency or (ASYNC_CONCURRENCY if self.is_async else 1)
        self.warnings: tuple[str, ...] = ()
        self._arguments = read_arguments(function)
        self._kind = argument_kind(self._arguments, example, batch=batch)
        self.joining: Joining = "always" if batch or self._kind is ArgumentKind.SCALARS else "never"
        self.signature = self._read_signature(example)
        self._example = example_row(self.signature) if example is None else example.rows_for(self.signature)
        self._frames: FrameBuilder | None = None
        if self._kind is ArgumentKind.FRAME and self.signature.layout == "table":
            self._frames = FrameBuilder(
                self.signature.inputs,
                labels=example.labels if example else None,
                dtypes=example.dtypes if example else {},
            )

    def _read_signature(self, example: Example | None) -> Signature:
        if self._kind is ArgumentKind.SCALARS:
            known = Signature("table", tuple(argument.spec for argument in self._arguments))
            return known if example is None else example.complete(known)
        if example is not None:
            return example.signature
        return Signature("matrix", (self._arguments[0].spec,))

    def run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        """Call the function; see ``Runtime.run``.

        Raises:
            ModelError: it returned another number of rows than it got.
        """
        n_rows = count_rows(tensors)
        if self._kind is ArgumentKind.SCALARS:
            return _gather(method, self._call_rows(tensors, n_rows))
        result = self._call(self.function, (self._all_rows(tensors),))
        return _named(method, result, n_rows)

    def parameters(self, method: str) -> tuple[str, ...]:
        return ()

    def classes(self, method: str) -> list[Any] | None:
        return None

    def example_rows(self) -> Sequence[Any]:
        return self._example

    def _all_rows(self, tensors: Tensors) -> Any:
        if self._frames is not None:
            return self._frames.build(tensors)
        if self.signature.layout == "table":
            return np.column_stack(list(tensors.values()))
        (rows,) = tensors.values()
        return rows

    def _call_rows(self, tensors: Tensors, n_rows: int) -> list[Any]:
        columns = [
            [argument.value_of(cell) for cell in tensors[argument.spec.name].tolist()]
            for argument in self._arguments
        ]
        calls = list(zip(*columns, strict=True)) if columns else [()] * n_rows
        if self.is_async:
            return list(_loop.run(_all_of(self._bound(call) for call in calls)))
        results = []
        for call in calls:
            args, kwargs = self._bind(call)
            results.append(self.function(*args, **kwargs))
        return results
