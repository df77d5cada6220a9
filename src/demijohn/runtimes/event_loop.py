"""The one event loop of a process, on which ``async def`` models run.

Rules of this room:
1. Its thread starts on first use and never ends; it is a daemon, so it keeps no process alive.
2. A fork copies no threads: a child finds it dead and starts its own.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, TypeVar

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


def run_on_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the process's event loop and wait for its result, from any other thread."""
    return asyncio.run_coroutine_threadsafe(coroutine, _loop.get()).result()


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
