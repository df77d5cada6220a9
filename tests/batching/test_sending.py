"""Requests for which no thread waits: their callers are told, once, whatever becomes of them."""

from __future__ import annotations

import gc
import queue
import threading
import time
import weakref
from typing import Any

import pytest
from tests.batching.rig import PATIENCE_S, MakeRig, Rig, x

from demijohn.batching.deadlines import Deadlines
from demijohn.errors import DeadlineExceeded, Draining, QueueFull
from demijohn.messages import Tensors


class Caller:
    """Is told what came of a request, and by whom."""

    def __init__(self) -> None:
        self.told: queue.Queue[tuple[Any, str]] = queue.Queue()

    def __call__(self, outcome: Tensors | Exception) -> None:
        self.told.put((outcome, threading.current_thread().name))

    @property
    def outcome(self) -> Any:
        return self.told.get(timeout=PATIENCE_S)[0]

    @property
    def values(self) -> list[Any]:
        values: list[Any] = self.outcome["y"].tolist()
        return values


def send(
    rig: Rig, tensors: Tensors, method: str = "predict", within_s: float = PATIENCE_S, **parameters: Any
) -> Caller:
    caller = Caller()
    rig.batcher.send(method, tensors, parameters, rig.clock() + within_s, caller)
    return caller


def send_to_queue(rig: Rig, tensors: Tensors, **options: Any) -> Caller:
    rows = rig.batcher.queue_rows
    caller = send(rig, tensors, **options)
    assert rig.batcher.queue_rows > rows
    return caller


@pytest.fixture
def timed(make_rig: MakeRig) -> Rig:
    """A rig whose clock goes."""
    rig = make_rig(clock=time.monotonic)
    rig.clock = time.monotonic  # type: ignore[assignment]
    return rig


def test_the_caller_is_told_on_the_models_own_thread(rig: Rig) -> None:
    caller = send(rig, x(1, 2))
    outcome, thread = caller.told.get(timeout=PATIENCE_S)
    assert (outcome["y"].tolist(), thread) == ([2, 4], "demijohn m")


def test_who_is_told_and_who_waits_share_a_call(rig: Rig) -> None:
    with rig.busy():
        first = send_to_queue(rig, x(1))
        second = rig.enqueue(x(2, 3))
        third = send_to_queue(rig, x(4))
    assert (first.values, second.result(PATIENCE_S)["y"].tolist(), third.values) == ([2], [4, 6], [8])
    assert rig.rows_of_calls() == [[1, 2, 3, 4]]
    assert send(rig, x(5)).values == [10]


def test_an_answer_is_the_callers_own(rig: Rig) -> None:
    with rig.busy():
        callers = [send_to_queue(rig, x(1)), send_to_queue(rig, x(2))]
    assert [caller.outcome["y"].base for caller in callers] == [None, None]


def test_a_bad_row_fails_alone(make_rig: MakeRig) -> None:
    def picky(_: str, tensors: Tensors, __: Any) -> Tensors:
        if 13 in tensors["x"]:
            raise ValueError("13")
        return {"y": tensors["x"]}

    rig = make_rig(picky)
    with rig.busy():
        callers = [send_to_queue(rig, x(value)) for value in (12, 13, 14)]
    assert callers[0].values == [12]
    assert str(callers[1].outcome) == "13"
    assert callers[2].values == [14]


def test_a_call_that_outlasts_the_deadline_is_told_once_then_and_goes_on(timed: Rig) -> None:
    started, release = threading.Event(), threading.Event()
    late = send(timed, x(1), "hold", 0.2, started=started, release=release)
    assert started.wait(PATIENCE_S)
    assert isinstance(late.outcome, DeadlineExceeded)
    release.set()
    assert send(timed, x(2)).values == [4]
    assert late.told.empty()


def test_what_was_not_started_by_its_deadline_is_refused_and_never_computed(timed: Rig) -> None:
    with timed.busy():
        patient = send_to_queue(timed, x(1))
        hasty = send_to_queue(timed, x(2), within_s=0.1)
        assert isinstance(hasty.outcome, QueueFull)
        assert timed.batcher.queue_rows == 1
    assert patient.values == [2]
    assert timed.rows_of_calls() == [[1]]
    assert timed.watch.refusals == ["expired"]


def test_what_the_model_finds_expired_is_refused_too(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    wakes: queue.Queue[float] = queue.Queue()
    monkeypatch.setattr("demijohn.batching.deadlines.Deadlines._find_next", lambda _: wakes.get())
    with rig.busy():
        caller = send_to_queue(rig, x(1), within_s=1.0)
        rig.clock.now += 2.0
    assert rig.submit(x(2))["y"].tolist() == [4]
    assert caller.told.empty()  # the model's thread leaves it to whom deadlines wake
    wakes.put(0.0)
    assert isinstance(caller.outcome, QueueFull)
    assert rig.rows_of_calls() == [[2]]
    wakes.put(None)  # type: ignore[arg-type]


def test_a_request_that_is_refused_raises_and_nobody_is_told(make_rig: MakeRig) -> None:
    rig = make_rig(max_queue_rows=2)
    with rig.busy():
        waiting = send_to_queue(rig, x(1, 2))
        with pytest.raises(QueueFull, match="holds 2 rows"):
            send(rig, x(3))
        with pytest.raises(QueueFull, match="deadline"):
            send(rig, x(3), within_s=0.0)
    assert waiting.values == [2, 4]
    rig.batcher.close()
    with pytest.raises(Draining):
        send(rig, x(3))


def test_each_of_a_crowd_is_told_once(timed: Rig) -> None:
    callers: dict[int, Caller] = {}
    for number in range(500):
        try:
            callers[number] = send(timed, x(number), within_s=0.05 if number % 3 else PATIENCE_S)
        except QueueFull:  # this very thread was held up for so long
            assert number % 3
    for number, caller in callers.items():
        outcome = caller.outcome
        if isinstance(outcome, Exception):
            assert number % 3
            assert isinstance(outcome, (QueueFull, DeadlineExceeded))
        else:
            assert outcome["y"].tolist() == [2 * number]
    assert all(caller.told.empty() for caller in callers.values())


class Request:
    """As much of a request as ``Deadlines`` looks at."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.is_late = threading.Event()

    def on_late(self, _: Any) -> None:
        self.is_late.set()


def test_an_earlier_deadline_is_not_kept_waiting_by_a_later_one() -> None:
    deadlines = Deadlines(time.monotonic)
    later, soon = Request(time.monotonic() + 3600), Request(time.monotonic() + 0.1)
    deadlines.add(later)  # type: ignore[arg-type]
    deadlines.add(soon)  # type: ignore[arg-type]
    assert soon.is_late.wait(PATIENCE_S)
    assert not deadlines.claim(soon)  # type: ignore[arg-type]
    assert deadlines.claim(later)  # type: ignore[arg-type]


def test_the_thread_ends_when_nothing_waits_and_comes_back() -> None:
    deadlines = Deadlines(time.monotonic)
    for _ in range(2):
        one = Request(time.monotonic() + 0.1)
        deadlines.add(one)  # type: ignore[arg-type]
        thread = deadlines._thread
        assert thread is not None
        assert one.is_late.wait(PATIENCE_S)
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def test_a_batcher_that_nobody_needs_is_freed(make_rig: MakeRig) -> None:
    rig = make_rig()
    assert send(rig, x(1)).values == [2]
    gone = weakref.ref(rig.batcher)
    gc.disable()
    try:
        rig.close()
        del rig.batcher
        deadline = time.monotonic() + PATIENCE_S
        while gone() is not None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert gone() is None
    finally:
        gc.enable()
        rig.threads.clear()
        rig.close = lambda: None  # type: ignore[method-assign]
