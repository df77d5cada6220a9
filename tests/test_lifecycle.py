from __future__ import annotations

import math
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demijohn import lifecycle as lifecycles
from demijohn.lifecycle import Lifecycle


@pytest.fixture
def as_before() -> Iterator[None]:
    before = lifecycles.current()
    yield
    lifecycles.install(before)


def test_under_another_server_nothing_drains_or_restarts() -> None:
    lifecycle = Lifecycle()
    assert (lifecycle.is_draining, lifecycle.restarts(), lifecycle.worker_id) == (False, 0, 0)


def test_without_calls_there_is_no_deadline() -> None:
    lifecycle = Lifecycle()
    lifecycle.call_ends(lifecycle.call_begins(3.0))
    assert lifecycle.earliest_deadline == math.inf


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 30))))
def test_the_earliest_deadline_is_that_of_the_calls_in_progress(calls: list[tuple[float, int]]) -> None:
    lifecycle = Lifecycle()
    open_calls: dict[int, float] = {}
    for deadline, ended in calls:
        open_calls[lifecycle.call_begins(deadline)] = deadline
        for ticket in list(open_calls)[ended:]:
            lifecycle.call_ends(ticket)
            del open_calls[ticket]
        assert lifecycle.earliest_deadline == min(open_calls.values(), default=math.inf)


def test_a_call_that_never_ends_keeps_no_trace_of_those_that_did() -> None:
    lifecycle = Lifecycle()
    lifecycle.call_begins(1.0)
    for _ in range(1000):
        lifecycle.call_ends(lifecycle.call_begins(2.0))
    assert len(lifecycle._by_deadline) < 100
    assert lifecycle.earliest_deadline == 1.0


def test_calls_may_come_from_many_threads() -> None:
    lifecycle = Lifecycle()

    def run() -> None:
        for number in range(500):
            lifecycle.call_ends(lifecycle.call_begins(float(number)))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lifecycle.earliest_deadline == math.inf


def test_the_lifecycle_of_the_process_can_be_installed(as_before: None) -> None:
    assert lifecycles.current().worker_id == 0
    lifecycles.install(Lifecycle(7))
    assert lifecycles.current().worker_id == 7
