"""The one event loop of a process, on which ``async def`` models run.

Rules of this room:
1. Its thread starts on first use and never ends; it is a daemon, so it keeps no process alive.
2. A fork copies no threads: a child finds it dead and starts its own.
3. What runs here is cancelled at the deadline of the call that it is part of: that costs its neighbours
   nothing. One that does not let itself be cancelled holds its thread, for the supervisor to see.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import TypeVar

from demijohn.lifecycle import call_deadline, late

T = TypeVar("T")


class _Loop:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def get(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._thread is None or not self._thread.is_alive():
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="demijohn-async-models", daemon=True
                )
                self._thread.start()
            return self._loop

    def forget_lock(self) -> None:
        """Replace the lock in a forked child, where its holder may not exist any more."""
        self._lock = threading.Lock()


_loop = _Loop()
os.register_at_fork(after_in_child=_loop.forget_lock)


def run_on_loop(awaitable: Awaitable[T]) -> T:
    """Await something on the process's event loop and return its result, to any other thread.

    Raises:
        DeadlineExceeded: it was cancelled at ``call_deadline``.
    """
    return asyncio.run_coroutine_threadsafe(_await_in_time(awaitable), _loop.get()).result()


async def _await_in_time(awaitable: Awaitable[T]) -> T:
    # The thread's context has come here with the coroutine, and the loop's clock is time.monotonic().
    limit = asyncio.timeout_at(call_deadline.get())
    try:
        async with limit:
            return await awaitable
    except TimeoutError as error:
        if not limit.expired():  # the model's own
            raise
        raise late() from error


def iterate_on_loop(items: AsyncIterator[T]) -> Iterator[T]:
    """Yield what an asynchronous iterator yields, to any other thread; closing one closes the other."""
    try:
        while True:
            try:
                yield run_on_loop(_next_of(items))
            except StopAsyncIteration:
                return
    finally:
        close = getattr(items, "aclose", None)
        if close is not None:
            run_on_loop(close())


async def _next_of(items: AsyncIterator[T]) -> T:
    return await anext(items)
