"""What a process that serves tells its supervisor, and hears from it.

Rules of this room:
1. Under another server nobody supervises: ``Lifecycle`` itself then keeps the books, and nothing
   ever drains or is replaced.
2. A call is a model that runs. It is told with the deadline by which it should have ended: a runtime
   that can take it back does so then (``call_deadline``), and the supervisor replaces the process of
   one that goes on.
3. Every method may be called from any thread, and costs less than a microsecond.
"""

from __future__ import annotations

import heapq
import math
import threading
import time
from contextvars import ContextVar

from .errors import DeadlineExceeded

#: When the call that runs in this context should have ended, on ``time.monotonic()``'s clock; whoever
#: tells of a call sets it, and resets it.
call_deadline: ContextVar[float] = ContextVar("call_deadline", default=math.inf)

_MOST_LEFTOVERS = 64


class Lifecycle:
    """The life of one worker process.

    Args:
        worker_id: Small number, from 0; no two processes of one server that live at the same time
            share one, and a replacement takes over that of a dead process.
    """

    def __init__(self, worker_id: int = 0) -> None:
        self.worker_id = worker_id
        self.is_draining = False  #: Shutting down: answer what is in flight, take nothing new.
        self.draining_since = math.inf  #: On ``time.monotonic()``'s clock.
        self._lock = threading.Lock()
        self._last_ticket = 0
        self._open: set[int] = set()
        self._by_deadline: list[tuple[float, int]] = []  # a heap; tickets that ended leave it later

    def drain(self) -> None:
        """Shut down from now on."""
        self.draining_since = time.monotonic()
        self.is_draining = True

    def restarts(self) -> int:
        """Count the workers that the whole server has replaced so far."""
        return 0

    @property
    def earliest_deadline(self) -> float:
        """Return the first deadline among the calls in progress; infinity when there is none."""
        with self._lock:
            return self._by_deadline[0][0] if self._by_deadline else math.inf

    def call_begins(self, deadline: float) -> int:
        """Tell that a model starts to run.

        Args:
            deadline: When it should have ended, on ``time.monotonic()``'s clock.

        Returns:
            A ticket for ``call_ends``.
        """
        with self._lock:
            self._last_ticket = ticket = self._last_ticket + 1
            self._open.add(ticket)
            if len(self._by_deadline) > 2 * len(self._open) + _MOST_LEFTOVERS:
                self._drop_leftovers()  # else one call that never ends would keep all that came after
            heapq.heappush(self._by_deadline, (deadline, ticket))
            if self._by_deadline[0][1] == ticket:
                self._tell(deadline)
        return ticket

    def call_ends(self, ticket: int) -> None:
        """Tell that a model has run, whatever came of it; once for each ``call_begins``."""
        with self._lock:
            self._open.discard(ticket)
            calls = self._by_deadline
            if calls and calls[0][1] == ticket:
                while calls and calls[0][1] not in self._open:
                    heapq.heappop(calls)
                self._tell(calls[0][0] if calls else math.inf)

    def _drop_leftovers(self) -> None:
        self._by_deadline = [call for call in self._by_deadline if call[1] in self._open]
        heapq.heapify(self._by_deadline)

    def _tell(self, earliest_deadline: float) -> None:
        """Hear of a new earliest deadline; called with the lock held."""


_in_this_process = Lifecycle()


def late() -> DeadlineExceeded:
    """Return what the caller of a model is told whose call did not end in time."""
    return DeadlineExceeded("The prediction was started and did not finish before the deadline")


def current() -> Lifecycle:
    """Return the lifecycle of this process: the supervisor's where there is one."""
    return _in_this_process


def install(lifecycle: Lifecycle) -> None:
    """Make ``current`` return this one; the server calls it in a worker, before the app is loaded."""
    global _in_this_process  # noqa: PLW0603  - a process has one life
    _in_this_process = lifecycle
