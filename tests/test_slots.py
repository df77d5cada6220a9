from __future__ import annotations

import math
import os

import pytest

from demijohn.slots import MAX_REASON_BYTES, Slots, State, WorkerLifecycle


def in_a_child(task: object) -> None:
    """Run a function in a forked process."""
    pid = os.fork()
    if pid == 0:
        try:
            task()  # type: ignore[operator]
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


# Python 3.12 warns of threads at a fork; this child only writes and leaves.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_the_parent_sees_what_a_forked_child_writes() -> None:
    slots = Slots(2)
    slot = slots.take_free()
    assert slot

    def be_a_worker() -> None:
        WorkerLifecycle(slots, slot).call_begins(12.5)
        slot.reason = "no such file"
        slot.state = State.FAILED

    in_a_child(be_a_worker)
    assert (slot.deadline, slot.reason, slot.state) == (12.5, "no such file", State.FAILED)


def test_a_worker_hears_of_restarts_and_forgets_calls_that_ended() -> None:
    slots = Slots(1)
    slot = slots.take_free()
    assert slot
    lifecycle = WorkerLifecycle(slots, slot)
    ticket = lifecycle.call_begins(1.0)
    slots.restarts = 3
    lifecycle.call_ends(ticket)
    assert (lifecycle.restarts(), slot.deadline) == (3, math.inf)


def test_slots_are_numbered_and_taken_once() -> None:
    slots = Slots(2)
    first, second = slots.take_free(), slots.take_free()
    assert first
    assert second
    assert [WorkerLifecycle(slots, slot).worker_id for slot in (first, second)] == [0, 1]
    assert slots.take_free() is None
    first.state = State.FREE
    assert slots.take_free() is first


def test_a_slot_keeps_nothing_of_its_last_process() -> None:
    slots = Slots(1)
    slot = slots.take_free()
    assert slot
    slot.deadline, slot.reason, slot.state = 1.0, "é" * MAX_REASON_BYTES, State.FREE
    assert slot.reason == "é" * (MAX_REASON_BYTES // 2)
    assert slots.take_free() is slot
    assert (slot.deadline, slot.reason, slot.state) == (math.inf, "", State.STARTING)
