"""On which threads a model runs, and what they outlive."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import threading
from typing import Any

import pytest
from tests.batching.rig import PATIENCE_S, MakeRig, Rig, x

from demijohn.batching import Batcher
from demijohn.batching.batcher import _start_all_anew as start_all_anew
from demijohn.errors import DeadlineExceeded, Draining
from demijohn.lifecycle import Lifecycle, call_deadline
from demijohn.messages import Tensors


def test_the_model_runs_on_one_thread_of_its_own_that_starts_on_first_use(rig: Rig) -> None:
    before = set(threading.enumerate())
    rig.submit(x(1))
    rig.submit(x(2))
    assert len(set(rig.threads)) == 1
    assert rig.threads[0] is not threading.current_thread()
    assert rig.threads[0].daemon
    assert set(threading.enumerate()) - before == {rig.threads[0]}


def test_as_many_calls_run_at_a_time_as_concurrency_says(make_rig: MakeRig) -> None:
    meeting = threading.Barrier(3, timeout=PATIENCE_S)

    def run(_: str, tensors: Tensors, __: Any) -> Tensors:
        meeting.wait()
        return tensors

    rig = make_rig(run, concurrency=3)
    asked = [rig.ask(x(i)) for i in range(3)]
    assert [future.result(PATIENCE_S)["x"].tolist() for future in asked] == [[0], [1], [2]]
    assert len(set(rig.threads)) == 3


class Door:
    """A lock: when a thread of the model lets go of it to rest, another request comes before it does."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.lock = threading.Lock()
        self.caller = threading.Thread(target=rig.submit, args=[x(2)])
        self.woken = threading.Event()

    def __enter__(self) -> None:
        self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        rests = threading.current_thread() in self.rig.threads and self.rig.batcher._idle
        self.lock.release()
        if rests and self.caller.ident is None:
            self.caller.start()
            assert self.woken.wait(PATIENCE_S)
        elif threading.current_thread() is self.caller:
            self.woken.set()


def test_a_thread_that_is_woken_while_it_goes_to_rest_serves_on(rig: Rig) -> None:
    rig.batcher._lock = door = Door(rig)  # type: ignore[assignment]
    rig.submit(x(1))
    assert door.woken.wait(PATIENCE_S)
    door.caller.join(PATIENCE_S)
    for i in range(10):
        assert rig.submit(x(i), within_s=5.0)["y"].tolist() == [2 * i]
    assert len(set(rig.threads)) == 1


def test_the_supervisor_and_the_model_hear_of_the_latest_deadline_of_each_call(make_rig: MakeRig) -> None:
    deadlines = []

    def run(_: str, tensors: Tensors, __: Any) -> Tensors:
        known = (rig.lifecycle.earliest_deadline, call_deadline.get())
        deadlines.append([deadline - rig.clock.now for deadline in known])
        if len(tensors["x"]) > 1:
            raise ValueError
        return tensors

    rig = make_rig(run)
    with rig.busy():
        asked = [rig.enqueue(x(1), within_s=20.0), rig.enqueue(x(2), within_s=30.0)]
    for future in asked:
        future.result(PATIENCE_S)
    assert deadlines == [[30.0, 30.0], [20.0, 20.0], [30.0, 30.0]]
    rig.close()
    assert rig.lifecycle.earliest_deadline == float("inf")


def test_a_closed_batcher_finishes_what_waits_and_refuses_what_comes(rig: Rig) -> None:
    with rig.busy():
        asked = [rig.enqueue(x(1)), rig.enqueue(x(2), parameters={"k": 1})]
        rig.batcher.close()
        with pytest.raises(Draining) as caught:
            rig.submit(x(3))
    assert 1 <= int(caught.value.headers["Retry-After"]) <= 30
    assert [future.result(PATIENCE_S)["y"].tolist() for future in asked] == [[2], [4]]
    rig.threads[0].join(PATIENCE_S)
    assert not rig.threads[0].is_alive()
    assert rig.watch.refusals == ["draining"]


def test_a_batcher_that_is_forgotten_takes_its_thread_along() -> None:
    threads = []

    def run(_: str, tensors: Tensors, __: Any) -> Tensors:
        threads.append(threading.current_thread())
        return tensors

    batcher = Batcher(
        run,
        name="m",
        max_batch_size=8,
        max_queue_rows=8,
        max_queue_s=1.0,
        lifecycle=Lifecycle(),
        clock=lambda: 0.0,
    )
    batcher.submit("predict", x(1), {}, PATIENCE_S)
    del batcher
    threads[0].join(PATIENCE_S)
    gc.collect()
    threads[0].join(PATIENCE_S)
    assert not threads[0].is_alive()


def test_a_thread_that_died_of_an_error_of_ours_is_replaced(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    with monkeypatch.context() as broken:
        broken.setattr(rig.watch, "call_finished", lambda *_: 1 / 0)
        with pytest.raises(DeadlineExceeded):
            rig.submit(x(1), within_s=0.05)
        rig.threads[0].join(PATIENCE_S)
    assert rig.submit(x(2))["y"].tolist() == [4]


def test_after_a_fork_a_batcher_starts_anew_and_a_thread_of_before_ends(rig: Rig) -> None:
    with rig.busy():
        start_all_anew()  # what a child does first
        assert rig.submit(x(1))["y"].tolist() == [2]
    rig.threads[0].join(PATIENCE_S)
    assert not rig.threads[0].is_alive()
    assert rig.threads[1].is_alive()
    assert rig.submit(x(2))["y"].tolist() == [4]
    assert rig.threads[2] is rig.threads[1]


FORKED = """
    import os, sys, threading, time
    import numpy as np
    from demijohn.batching import Batcher
    from demijohn.lifecycle import Lifecycle

    started, release = threading.Event(), threading.Event()

    def run(method, tensors, parameters):
        if method == "hold":
            started.set()
            release.wait(60)
        if method == "fork" and os.fork() == 0:
            return tensors
        return {"y": tensors["x"] * 2}

    limits = {"max_batch_size": 8, "max_queue_rows": 8, "max_queue_s": 1.0}
    batcher = Batcher(run, name="m", lifecycle=Lifecycle(), **limits)
    inputs = {"x": np.arange(2)}
    predict = lambda method="predict": batcher.submit(method, inputs, {}, time.monotonic() + 60)["y"].tolist()
    assert predict() == [0, 2]
    threading.Thread(target=predict, args=["hold"]).start()
    assert started.wait(60)
    with batcher._lock:  # as another thread may, at the moment of a fork
        child = os.fork()
    if child == 0:
        assert batcher.queue_rows == 0
        assert predict() == [0, 2]
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    release.set()
    assert predict() == [0, 2]
    assert predict("fork") == [0, 2]
    print("done")
"""


def test_a_child_forked_after_a_prediction_predicts() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(FORKED)],
        check=False, capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
