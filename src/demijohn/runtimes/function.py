"""The function runtime: any callable is a model with one method, ``predict``.

Rules of this room:
1. A function is never called but by a request: no warm-up, no probe, no example call.
2. A function of scalars is called once per row, with Python values; one that takes an array or a
   DataFrame gets all rows at once, and shares a call with other requests only if its author says so
   (``batch=True``).
3. What it returns is kept as it is: no mix of types is forced into one.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from demijohn.messages import Tensors, count_rows
from demijohn.signature import Signature

from .base import Joining
from .event_loop import run_on_loop
from .examples import Example, read_example
from .frames import FrameBuilder
from .function_signature import ALL_ROWS, ArgumentKind, argument_kind, example_row, read_arguments
from .outputs import gather_rows, name_results
from .pickles import missing_extra

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
    refusals: tuple[type[Exception], ...] = ()  # what a function raises is its own fault, but BadInput
    is_callable_unasked = False
    survives_fork = True
    metadata: Mapping[str, str] = MappingProxyType({})

    def __init__(
        self, function: Callable[..., Any], example: Example | None, *, batch: bool, concurrency: int | None
    ) -> None:
        self.function = function
        self.is_async = _is_async(function)
        self.concurrency = concurrency or (ASYNC_CONCURRENCY if self.is_async else 1)
        self.warnings: tuple[str, ...] = ()
        self.sha256: str | None = None
        self._arguments = read_arguments(function)
        self._kind = argument_kind(self._arguments, example, batch=batch)
        # A function of scalars is called once per row: joined, each caller would wait for all rows.
        self.joining: Joining = "always" if batch else "never"
        self.signature = self._read_signature(example)
        self._example = example_row(self.signature) if example is None else example.rows_for(self.signature)
        self._frames = self._frame_builder(example) if self._kind is ArgumentKind.FRAME else None

    def run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        """Call the function; see ``Runtime.run``.

        Raises:
            ModelError: it returned another number of rows than it got.
        """
        del parameters  # there are none: a request's values are columns
        n_rows = count_rows(tensors)
        if self._kind is ArgumentKind.SCALARS:
            return gather_rows(method, self._call_rows(tensors))
        rows = self._all_rows(tensors)
        result = run_on_loop(self.function(rows)) if self.is_async else self.function(rows)
        return name_results(method, result, n_rows)

    def parameters(self, method: str) -> tuple[str, ...]:
        del method
        return ()

    def classes(self, method: str) -> list[Any] | None:
        del method
        return None

    def example_rows(self) -> Sequence[Any]:
        return self._example

    def digest(self) -> str | None:
        return None  # its code may be anywhere

    def _read_signature(self, example: Example | None) -> Signature:
        if self._kind is ArgumentKind.SCALARS:
            known = Signature("table", tuple(argument.spec for argument in self._arguments))
        else:
            known = Signature("matrix", (ALL_ROWS,))
        return known if example is None else example.complete(known)

    def _frame_builder(self, example: Example | None) -> FrameBuilder:
        labels, dtypes = (example.labels, example.dtypes) if example else (None, {})
        try:
            return FrameBuilder(self.signature.inputs, labels=labels, dtypes=dtypes)
        except ModuleNotFoundError as error:
            raise missing_extra("pandas", "A function that takes a DataFrame") from error

    def _all_rows(self, tensors: Tensors) -> Any:
        if self._frames is not None:
            return self._frames.build(tensors)
        columns = list(tensors.values())
        return np.column_stack(columns) if self.signature.layout == "table" else columns[0]

    def _call_rows(self, tensors: Tensors) -> list[Any]:
        columns = [argument.values(tensors[argument.spec.name]) for argument in self._arguments]
        calls = [self._bind(cells) for cells in zip(*columns, strict=True)]
        if self.is_async:
            return run_on_loop(_all_of(calls, self.concurrency))
        return [call() for call in calls]

    def _bind(self, cells: Sequence[Any]) -> Callable[[], Any]:
        given = list(zip(self._arguments, cells, strict=True))
        by_position = [cell for argument, cell in given if argument.is_positional]
        by_name = {argument.spec.name: cell for argument, cell in given if not argument.is_positional}
        return partial(self.function, *by_position, **by_name)


def _is_async(function: Any) -> bool:
    while isinstance(function, partial):
        function = function.func
    if not inspect.isroutine(function):
        function = type(function).__call__
    return inspect.iscoroutinefunction(function)


async def _all_of(calls: Sequence[Callable[[], Awaitable[Any]]], concurrency: int) -> list[Any]:
    """Await the calls of one request, a bounded number at a time; the first error ends the others."""
    turns = asyncio.Semaphore(concurrency)

    async def take_turn(call: Callable[[], Awaitable[Any]]) -> Any:
        async with turns:
            return await call()

    tasks = [asyncio.ensure_future(take_turn(call)) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
