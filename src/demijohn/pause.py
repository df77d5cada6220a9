"""A moment between a refusal and its answer.

A client that is refused because a model is busy, and comes back at once whatever ``Retry-After`` says, takes
the interpreter from that very model: a forest lets go of it a hundred times in one call, and each time waits
for its turn among those who are being refused. Sixty-four such clients then keep the queue full for good. So
a refusal leaves a moment later. No thread waits for each: they all leave through one.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

PAUSE_S = 0.025


class Pause:
    """Calls what it is given ``PAUSE_S`` later, in that order; its thread is there while it is needed."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()
        self._lock = threading.Lock()  # guards who begins and who ends the thread
        self._is_running = False

    def add(self, call: Callable[[], None]) -> None:
        """Have ``call`` called; it is quick, and raises nothing."""
        with self._lock:
            self._waiting.append((time.monotonic() + PAUSE_S, call))
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="demijohn refusals", daemon=True).start()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._is_running = False
                    return
                due, call = self._waiting.popleft()
            time.sleep(max(0.0, due - time.monotonic()))
            call()
