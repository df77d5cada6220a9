"""Memory that the supervisor and its workers share: one slot for each living worker process.

Rules of this room:
1. It is made before the first fork, and anonymous: no file, no name, nothing to clean up.
2. A field is one aligned 8-byte number with one writer, so reading needs no lock. The supervisor
   writes a slot only while no process has it.
3. ``worker_id`` is the slot's number. A replacement may start while its predecessor drains, so
   there are more slots than workers.
"""

from __future__ import annotations

import math
import mmap
from enum import IntEnum

from .lifecycle import Lifecycle

_SLOT_BYTES = 4096
_FIELD_BYTES = 8
_STATE, _DEADLINE, _REASON_LENGTH, _CONNECTIONS = 0, 1, 2, 3
_REASON_AT = 64
MAX_REASON_BYTES = 2048


class State(IntEnum):
    """What the process of a slot is doing."""

    FREE = 0  #: No process has the slot.
    STARTING = 1
    READY = 2
    DRAINING = 3
    FAILED = 4  #: It could not load the app; ``reason`` says why.


class Slot:
    """What one worker process tells."""

    def __init__(self, memory: memoryview, number: int) -> None:
        self.number = number
        self._bytes = memory
        self._integers = memory.cast("q")
        self._floats = memory.cast("d")

    def reset(self) -> None:
        """Give the slot to a process that is about to start."""
        self.deadline = math.inf
        self._integers[_REASON_LENGTH] = 0
        self.connections = 0
        self.state = State.STARTING

    @property
    def state(self) -> State:
        return State(self._integers[_STATE])

    @state.setter
    def state(self, state: State) -> None:
        self._integers[_STATE] = state

    @property
    def deadline(self) -> float:
        """The earliest deadline among the calls in progress, on the monotonic clock; or infinity.

        The clock is one for all processes (Linux: CLOCK_MONOTONIC counts from the machine's start).
        """
        return self._floats[_DEADLINE]

    @deadline.setter
    def deadline(self, deadline: float) -> None:
        self._floats[_DEADLINE] = deadline

    @property
    def connections(self) -> int:
        """Clients' connections that the process has open, as it last counted."""
        return self._integers[_CONNECTIONS]

    @connections.setter
    def connections(self, connections: int) -> None:
        self._integers[_CONNECTIONS] = connections

    @property
    def reason(self) -> str:
        """Why the process could not load the app; empty if it has not said."""
        length = self._integers[_REASON_LENGTH]
        return bytes(self._bytes[_REASON_AT : _REASON_AT + length]).decode("utf-8", "ignore")

    @reason.setter
    def reason(self, reason: str) -> None:
        encoded = reason.encode("utf-8", "replace")[:MAX_REASON_BYTES]
        self._bytes[_REASON_AT : _REASON_AT + len(encoded)] = encoded
        self._integers[_REASON_LENGTH] = len(encoded)


class Slots:
    """All slots, and what is counted for the whole server.

    Args:
        count: Number of processes that may live at the same time.
    """

    def __init__(self, count: int) -> None:
        memory = memoryview(mmap.mmap(-1, (count + 1) * _SLOT_BYTES))
        self._totals = memory[:_FIELD_BYTES].cast("q")
        self._slots = [
            Slot(memory[(number + 1) * _SLOT_BYTES : (number + 2) * _SLOT_BYTES], number)
            for number in range(count)
        ]

    def take_free(self) -> Slot | None:
        """Return the first slot that no process has, reset; None if all are taken."""
        for slot in self._slots:
            if slot.state is State.FREE:
                slot.reset()
                return slot
        return None

    def connections(self) -> list[int]:
        """Return how many connections each process has that serves."""
        return [slot.connections for slot in self._slots if slot.state is State.READY]

    @property
    def restarts(self) -> int:
        """Workers replaced since the server started; the supervisor writes it."""
        return self._totals[0]

    @restarts.setter
    def restarts(self, restarts: int) -> None:
        self._totals[0] = restarts


class WorkerLifecycle(Lifecycle):
    """The lifecycle of a worker that a supervisor watches."""

    def __init__(self, slots: Slots, slot: Slot) -> None:
        super().__init__(slot.number)
        self._slots = slots
        self._slot = slot

    def restarts(self) -> int:
        return self._slots.restarts

    def _tell(self, earliest_deadline: float) -> None:
        self._slot.deadline = earliest_deadline
