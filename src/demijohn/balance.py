"""Evens out how many connections each worker has.

The kernel gives a new connection to a worker by a hash of its ports, so four connections land on one
of two workers in one start of eight, and kept alive they stay there. What is kept alive can be ended
between two requests at no loss (RFC 9112 9.6), and the client's next connection is dealt anew. So:

Rules of this room:
1. A worker with more connections than its share ends some with their next answers: as many as are
   too many, so that an even share is left alone and what is even stays so.
2. Counting costs a system call for each connection: the more there are, the rarer it is done. Among
   many the hash is even enough: up to a twentieth too many is let be.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from . import connections
from .slots import Slot, Slots

TICK_S = 0.5
_REST = 50  # of what counting takes
_SLACK = 1.05


class Parting(Protocol):
    """Who ends connections."""

    n_to_part: int  #: Answers, from the next one on, that are to end their connection.


def surplus(own: int, of_all: Sequence[int]) -> int:
    """Return how many connections of a worker are too many.

    Args:
        own: Its connections.
        of_all: Those of each worker that serves, its own among them.
    """
    share = sum(of_all) / max(1, len(of_all))
    return max(0, own - math.ceil(share if share * (_SLACK - 1) < 1 else share * _SLACK))


class Balance:
    """Looks after the connections of one worker.

    Args:
        slots: Where all workers tell.
        slot: Of this one.
        gateway: Ends the connections.
        count: Returns how many this process has.
    """

    def __init__(
        self, slots: Slots, slot: Slot, gateway: Parting, count: Callable[[], int] = connections.count
    ) -> None:
        self._slots = slots
        self._slot = slot
        self._gateway = gateway
        self._count = count

    def start(self) -> None:
        """Look after them from a thread of its own, until the process ends."""
        threading.Thread(target=self._run, name="demijohn-balance", daemon=True).start()

    def check(self) -> None:
        """Count once, tell, and part with what is too much."""
        self._slot.connections = own = self._count()
        self._gateway.n_to_part = surplus(own, self._slots.connections())

    def _run(self) -> None:
        while True:
            began = time.monotonic()
            self.check()
            time.sleep(max(TICK_S, _REST * (time.monotonic() - began)))
