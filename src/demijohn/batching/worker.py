"""One thread of a model: what it does now, and how long that should take.

Rule of this room: it holds its batcher only while it works, so that a batcher nobody needs can go.
"""

from __future__ import annotations

import ctypes
import os
import threading
from typing import TYPE_CHECKING

from .pace import Paces
from .queue import Request

if TYPE_CHECKING:
    from .batcher import Batcher


class Worker:
    """One thread of a model."""

    __slots__ = (
        "batch", "batcher", "calls_left", "had_company", "is_handing_out", "is_resting", "rows_left", "since",
        "thread", "wake",
    )  # fmt: skip

    def __init__(self, name: str) -> None:
        self.batcher: Batcher | None = None  #: Set while it works, and only then.
        self.batch: list[Request] = []
        self.since = 0.0  #: When what it does was begun.
        self.calls_left = 0
        self.rows_left = 0
        self.had_company = False  #: Its last call was a joined one.
        self.is_handing_out = False  #: Of that call's answers, some have not been fetched yet.
        self.is_resting = False  #: Until they have.
        self.wake = threading.Lock()
        self.wake.acquire()
        self.thread = threading.Thread(target=self.loop, name=name, daemon=True)

    def loop(self) -> None:
        """Work when woken with a batcher; end when woken without."""
        while True:
            self.wake.acquire()
            if self.batcher is None:
                return
            self.batcher._work(self)

    def begins(self, batch: list[Request], now: float) -> None:
        """Note what is being done."""
        self.batch = batch
        self.note(1, sum([request.n_rows for request in batch]), now)

    def note(self, calls_left: int, rows_left: int, now: float) -> None:
        """Note how much of it is left from now on."""
        self.calls_left, self.rows_left, self.since = calls_left, rows_left, now

    def remaining_s(self, paces: Paces, now: float) -> float:
        """Return how long it should take from now on.

        What is overdue is expected to take as long again as it is overdue: behind a model that
        hangs, or was never timed, no queue grows while we believe that it ends any moment.
        """
        if not self.batch:
            return 0.0
        expected_s = paces.expect(self.batch[0].method, self.calls_left, self.rows_left)
        return abs(expected_s - (now - self.since))


# ``os.sched_yield`` keeps the interpreter's lock before Python 3.12; a foreign call lets go of it.
_sched_yield = ctypes.CDLL(None).sched_yield if hasattr(os, "sched_yield") else None


def give_way() -> None:
    """Let all other threads run that can; returns at once if none can."""
    if _sched_yield is not None:
        _sched_yield()


def dismiss(idle: list[Worker]) -> None:
    """End the threads that have nothing to do."""
    while idle:
        idle.pop().wake.release()
