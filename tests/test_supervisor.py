"""What needs no process; test_server.py has the rest."""

from __future__ import annotations

import math
from typing import Any

import pytest

from demijohn.slots import Slots
from demijohn.supervisor import KILL_AFTER_S, Seat, Worker


def worker(born: float) -> Worker:
    slot = Slots(1).take_free()
    assert slot
    process: Any = None
    return Worker(process, slot, born)


def test_the_first_replacement_starts_at_once_and_those_after_it_later_and_later() -> None:
    seat = Seat()
    delays = []
    for _ in range(8):
        seat.worker = worker(born=100.0)
        seat.empty(100.5)
        delays.append(seat.due - 100.5)
    assert delays == pytest.approx([0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0])


def test_a_worker_that_lived_long_is_replaced_at_once() -> None:
    seat = Seat(worker(born=100.0), n_deaths=5)
    seat.empty(110.0)
    assert (seat.due, seat.worker) == (110.0, None)


def test_a_draining_worker_is_killed_when_its_patience_ends_or_a_call_of_it_hangs() -> None:
    draining = worker(born=0.0)
    assert draining.end_of_patience() == math.inf
    draining.patience_ends = 50.0
    assert draining.end_of_patience() == 50.0
    draining.slot.deadline = 20.0
    assert draining.end_of_patience() == 20.0 + KILL_AFTER_S
