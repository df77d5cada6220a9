"""Requests for which no thread waits: whoever claims one first tells its caller.

Rules of this room:
1. A request is claimed once: by the model's thread, which has its answer, or here, when its time is up.
2. The thread is there while something waits. It sleeps until the earliest deadline it knows of; one that
   is earlier still wakes it, and nothing else does.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from .queue import SentRequest


class Deadlines:
    """The sent requests of one batcher.

    Args:
        clock: On which deadlines are given, in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._waiting: dict[SentRequest, bool] = {}  # as an ordered set: one operation on it is atomic
        self._lock = threading.Lock()  # guards the two below
        self._thread: threading.Thread | None = None
        self._wakes_at = math.inf
        self._wake = threading.Event()

    def add(self, request: SentRequest) -> None:
        """Look after a request until it is claimed."""
        self._waiting[request] = True
        if request.deadline >= self._wakes_at and self._thread is not None:
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="demijohn deadlines", daemon=True)
                self._thread.start()
            elif request.deadline < self._wakes_at:
                self._wake.set()

    def claim(self, request: SentRequest) -> bool:
        """Take over a request; False: somebody has told its caller, or is about to."""
        return self._waiting.pop(request, False)

    def _run(self) -> None:
        while (seconds := self._find_next()) is not None:
            self._wake.wait(min(seconds, threading.TIMEOUT_MAX))
            self._wake.clear()
            now = self._clock()
            for request in [one for one in list(self._waiting) if one.deadline <= now]:
                if self.claim(request):
                    request.on_late(request)

    def _find_next(self) -> float | None:
        """Return how long to sleep, in seconds; None: nothing waits, and the thread is to end."""
        with self._lock:
            # Who is added from here on sees that it is earlier, and waits for the lock.
            self._wakes_at = math.inf
            soonest = min([one.deadline for one in list(self._waiting)], default=None)
            if soonest is None:
                self._thread = None
                return None
            self._wakes_at = soonest
        return max(0.0, soonest - self._clock())
