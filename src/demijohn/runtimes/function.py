"""The function runtime: any callable is a model with one method, ``predict``.

Rules of this room:
1. A function is never called but by a request: no warm-up, no probe, no example call.
2. A function of scalars is called once per row, with Python values; one that takes an array or a
   DataFrame gets all rows at once, and shares a call with other requests only if its author says so
   (``batch=True``).
3. What it returns is kept as it is: no mix of types is forced into one.
4. A generator's items are its answer: one after another where it is streamed, else gathered, a list
   for each row. One that takes all rows at once yields an item per row, if it is to be gathered.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from demijohn.messages import Tensors, count_rows
from demijohn.signature import Signature, TensorSpec

from .base import Joining
from .event_loop import iterate_on_loop, run_on_loop
from .examples import Example, read_example
from .frames import FrameBuilder
from .function_signature import (
    ALL_ROWS,
    ArgumentKind,
    argument_kind,
    example_row,
    is_asynchronous,
    is_streaming,
    read_arguments,
    read_promise,
)
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
        self.is_async = is_asynchronous(function)
        self.is_streaming = is_streaming(function)
        self.streams = self.methods if self.is_streaming else ()
        self.concurrency = concurrency or (ASYNC_CONCURRENCY if self.is_async else 1)
        self.warnings: tuple[str, ...] = ()
        self.sha256: str | None = None
        self._arguments = read_arguments(function)
        self._promise = read_promise(function, self.methods[0])
        self._kind = argument_kind(self._arguments, example, batch=batch)
        # A function of scalars is called once per row: joined, each caller would wait for all rows.
        self.joining: Joining = "always" if batch else "never"
        self.is_called_by_row = self._kind is ArgumentKind.SCALARS
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
        call = partial(self.function, self._all_rows(tensors))
        if self.is_streaming:
            return name_results(method, list(_iterate(call())), n_rows)
        result = run_on_loop(call()) if self.is_async else call()
        return name_results(method, result, n_rows)

    def stream(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Iterator[Any]:
        """Yield the items of a generator, row after row; see ``StreamingRuntime.stream``."""
        del method, parameters
        if self._kind is ArgumentKind.SCALARS:
            for call in self._calls(tensors):
                yield from _iterate(call())
        else:
            yield from _iterate(self.function(self._all_rows(tensors)))

    def promises(self, method: str) -> tuple[TensorSpec, ...]:
        """Return what the function's hint says that it returns; nobody has seen it do so."""
        del method
        return self._promise

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
        calls = self._calls(tensors)
        if self.is_async:
            waiting = [partial(_gather, call) for call in calls] if self.is_streaming else calls
            return run_on_loop(_all_of(waiting, self.concurrency))
        return [list(call()) if self.is_streaming else call() for call in calls]

    def _calls(self, tensors: Tensors) -> list[Callable[[], Any]]:
        columns = [argument.values(tensors[argument.spec.name]) for argument in self._arguments]
        return [self._bind(cells) for cells in zip(*columns, strict=True)]

    def _bind(self, cells: Sequence[Any]) -> Callable[[], Any]:
        given = list(zip(self._arguments, cells, strict=True))
        by_position = [cell for argument, cell in given if argument.is_positional]
        by_name = {argument.spec.name: cell for argument, cell in given if not argument.is_positional}
        return partial(self.function, *by_position, **by_name)


def _iterate(items: Any) -> Iterator[Any]:
    """Return the iterator that a function made, on whichever thread it is asked."""
    if inspect.iscoroutine(items):
        items = run_on_loop(items)
    return iterate_on_loop(items) if hasattr(items, "__anext__") else iter(items)


async def _gather(call: Callable[[], Any]) -> list[Any]:
    items = call()
    return [item async for item in (await items if inspect.iscoroutine(items) else items)]


async def _all_of(calls: Sequence[Callable[[], Awaitable[Any]]], concurrency: int) -> list[Any]:
    """Await the calls of one request, a bounded number at a time; the first error ends the others.

    It ends when they all have: one that does not let itself be cancelled is still a call that runs.
    """
    turns = asyncio.Semaphore(concurrency)

    async def take_turn(call: Callable[[], Awaitable[Any]]) -> Any:
        async with turns:
            return await call()

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(take_turn(call)) for call in calls]
    except BaseExceptionGroup as errors:
        first = errors.exceptions[0]
    else:
        return [task.result() for task in tasks]
    raise first  # here, where it gets no context but its own
