"""How the callers of a joined call get their answers, and what waits until they have them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.batching.rig import PATIENCE_S, MakeRig, Rig, x

from demijohn.batching.queue import Request
from demijohn.errors import DeadlineExceeded
from demijohn.messages import Tensors


def test_what_comes_while_answers_are_handed_out_shares_the_next_call(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, gate, pass_on = threading.Event(), threading.Event(), Request.pass_on

    def hesitate(request: Request) -> None:
        if request.tensors["x"].tolist() == [1]:
            reached.set()
            assert gate.wait(PATIENCE_S)
        pass_on(request)

    monkeypatch.setattr(Request, "pass_on", hesitate)
    with rig.busy():
        first = [rig.enqueue(x(1)), rig.enqueue(x(2))]
    assert reached.wait(PATIENCE_S)
    then = [rig.enqueue(x(3)), rig.enqueue(x(4))]
    assert rig.rows_of_calls() == [[1, 2]]
    gate.set()
    assert [future.result(PATIENCE_S)["y"].tolist() for future in first + then] == [[2], [4], [6], [8]]
    assert rig.rows_of_calls() == [[1, 2], [3, 4]]


def test_who_cannot_join_runs_at_once_after_a_joined_call(rig: Rig) -> None:
    with rig.busy():
        asked = [rig.enqueue(x(1)), rig.enqueue(x(2))]
    for future in asked:
        future.result(PATIENCE_S)
    assert rig.submit(x(3), method="alone")["y"].tolist() == [6]
    assert rig.submit(x(4))["y"].tolist() == [8]
    assert rig.rows_of_calls() == [[1, 2], [3], [4]]


class Holding:
    """A model whose joined calls take until they are released."""

    def __init__(self) -> None:
        self.started, self.release = threading.Event(), threading.Event()

    def __call__(self, _: str, tensors: Tensors, __: Any) -> Tensors:
        if len(tensors["x"]) > 1:
            self.started.set()
            assert self.release.wait(PATIENCE_S)
        return tensors


def test_a_caller_whose_time_is_up_during_a_joined_call_holds_nobody_up(make_rig: MakeRig) -> None:
    model = Holding()
    rig = make_rig(model)
    with rig.busy():
        first, last = rig.enqueue(x(1)), rig.enqueue(x(2))
        late = rig.enqueue(x(3), within_s=2.0)
    assert model.started.wait(PATIENCE_S)
    with pytest.raises(DeadlineExceeded):
        late.result(PATIENCE_S)
    model.release.set()
    assert first.result(PATIENCE_S)["x"].tolist() == [1]
    assert last.result(PATIENCE_S)["x"].tolist() == [2]
    assert rig.submit(x(4))["x"].tolist() == [4]


@pytest.fixture
def interrupts() -> Iterator[None]:
    """Let SIGINT interrupt, as it does unless the shell that began the tests in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
def test_a_program_that_is_interrupted_while_it_waits_holds_nobody_up(make_rig: MakeRig) -> None:
    model = Holding()
    rig = make_rig(model)
    left = threading.Event()

    def interrupt() -> None:
        rig.watch.wait_for_change(2)  # that of the main thread, which waits
        busy.__exit__(None, None, None)
        assert model.started.wait(PATIENCE_S)
        while not left.is_set():  # CPython misses one that comes just before it begins to wait
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            left.wait(5.0)

    busy = rig.busy()
    busy.__enter__()
    other = rig.enqueue(x(1))
    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        rig.submit(x(2))
    left.set()
    thread.join(PATIENCE_S)
    model.release.set()
    assert other.result(PATIENCE_S)["x"].tolist() == [1]
    assert rig.submit(x(3))["x"].tolist() == [3]
