"""Deadlines, refusals, errors, threads."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from tests.batching.rig import CALLERS, PATIENCE_S, MakeRig, Rig, x

from demijohn.batching.queue import Request
from demijohn.errors import DeadlineExceeded, ModelError, QueueFull, Unavailable
from demijohn.messages import Tensors


def retry_after(error: Unavailable) -> int:
    return int(error.headers["Retry-After"])


# Deadlines --------------------------------------------------------------------------------


def test_a_run_that_takes_too_long_is_answered_504_while_it_goes_on(make_rig: MakeRig) -> None:
    started, release = threading.Event(), threading.Event()

    def run(_: str, tensors: Tensors, __: Any) -> Tensors:
        started.set()
        assert release.wait(PATIENCE_S)
        return tensors

    rig = make_rig(run)
    with pytest.raises(DeadlineExceeded):
        rig.submit(x(1), within_s=0.01)
    assert started.wait(PATIENCE_S)
    assert not rig.watch.calls
    release.set()
    assert rig.submit(x(2))["x"].tolist() == [2]
    assert rig.watch.refusals == []


def test_what_expires_in_the_queue_is_answered_503_and_never_computed(rig: Rig) -> None:
    with rig.busy():
        with pytest.raises(QueueFull) as caught:
            rig.submit(x(1), within_s=0.01)
        assert rig.batcher.queue_rows == rig.watch.queue_rows == 0
    assert 1 <= retry_after(caught.value) <= 30
    rig.submit(x(2))
    assert rig.rows_of_calls() == [[2]]
    assert rig.watch.refusals == ["expired"]


def test_the_models_thread_drops_what_has_expired(rig: Rig) -> None:
    with rig.busy():
        late, fine = rig.enqueue(x(1), within_s=5.0), rig.enqueue(x(2))
        rig.clock.now += 5.0
    with pytest.raises(QueueFull):
        late.result(PATIENCE_S)
    assert fine.result()["y"].tolist() == [4]
    assert rig.rows_of_calls() == [[2]]
    assert rig.watch.queue_rows == 0


def test_a_request_that_comes_after_its_deadline_costs_nothing(rig: Rig) -> None:
    with pytest.raises(QueueFull):
        rig.submit(x(1), within_s=0.0)
    assert not rig.threads
    assert rig.watch.refusals == ["expired"]


def test_a_deadline_far_beyond_what_a_thread_can_wait_is_fine(rig: Rig) -> None:
    assert rig.submit(x(1), within_s=1e300)["y"].tolist() == [2]


def test_an_answer_that_comes_with_the_deadline_is_given(rig: Rig) -> None:
    request = Request("predict", x(1), {}, 0.0)
    request.done.release()
    rig.batcher._give_up(request)  # the caller's wait has just ended in vain
    assert request.answer() == {}


# Refusals ---------------------------------------------------------------------------------


def test_the_queue_holds_no_more_rows_than_it_may(make_rig: MakeRig) -> None:
    rig = make_rig(max_queue_rows=10)
    with rig.busy():
        asked = [rig.enqueue(x(*range(6))), rig.enqueue(x(*range(4)))]
        assert rig.batcher.queue_rows == 10
        with pytest.raises(QueueFull, match="holds 10 rows of at most 10") as caught:
            rig.submit(x(1))
        with pytest.raises(QueueFull):
            rig.submit(x())
    assert 1 <= retry_after(caught.value) <= 30
    assert rig.watch.refusals == ["rows", "rows"]
    for future in asked:
        future.result(PATIENCE_S)


def test_a_full_queue_says_so_before_a_body_is_read(make_rig: MakeRig) -> None:
    rig = make_rig(max_queue_rows=10)
    rig.batcher.check_room()
    with rig.busy():
        rig.batcher.check_room()
        first = rig.enqueue(x(*range(8)))
        rig.batcher.check_room()
        second = rig.enqueue(x(1, 2))
        with pytest.raises(QueueFull, match="holds 10 rows of at most 10"):
            rig.batcher.check_room()
    assert rig.watch.refusals == ["rows"]
    assert len(first.result(PATIENCE_S)["y"]) + len(second.result(PATIENCE_S)["y"]) == 10


def test_a_probe_waits_its_turn_and_is_not_refused(make_rig: MakeRig) -> None:
    rig = make_rig(max_queue_rows=1)
    with rig.busy():
        first = rig.enqueue(x(1))
        with pytest.raises(QueueFull):
            rig.submit(x(2))
        n_changes = rig.watch.n_changes
        deadline = rig.clock() + PATIENCE_S
        probe = CALLERS.submit(rig.batcher.submit, "predict", x(3), {}, deadline, is_probe=True)
        rig.watch.wait_for_change(n_changes + 1)
    assert first.result(PATIENCE_S)["y"].tolist() == [2]
    assert probe.result(PATIENCE_S)["y"].tolist() == [6]


def test_a_large_request_counts_as_one_batch(make_rig: MakeRig) -> None:
    rig = make_rig(max_queue_rows=16)
    with rig.busy():
        asked = [rig.enqueue(x(*range(1000))), rig.enqueue(x(*range(1000)))]
        assert rig.batcher.queue_rows == 16
    for future in asked:
        assert len(future.result(PATIENCE_S)["y"]) == 1000


def test_an_empty_queue_takes_a_request_of_any_size(make_rig: MakeRig) -> None:
    rig = make_rig(max_queue_rows=1, max_queue_s=1e-9)
    with rig.busy():
        rig.clock.now += 100.0
        asked = rig.enqueue(x(*range(1000)))
    assert len(asked.result(PATIENCE_S)["y"]) == 1000


def slow(rig: Rig, per_call_s: float, per_row_s: float) -> Callable[..., Tensors]:
    def run(_: str, tensors: Tensors, __: Any) -> Tensors:
        rig.clock.now += per_call_s + per_row_s * len(tensors["x"])
        return {"y": tensors["x"]}

    return run


def test_who_would_wait_too_long_is_refused(make_rig: MakeRig) -> None:
    rig = make_rig(max_queue_s=1.0)
    rig._run = slow(rig, 0.0, 0.11)
    rig.submit(x(1))
    with rig.busy():
        asked = [rig.enqueue(x(1, 2, 3, 4)), rig.enqueue(x(1, 2, 3, 4)), rig.enqueue(x(1))]
        with pytest.raises(QueueFull, match="would wait longer than 1 s") as caught:
            rig.submit(x(1))
    assert 2 <= retry_after(caught.value) <= 7
    assert rig.watch.refusals == ["wait"]
    for future in asked:
        future.result(PATIENCE_S)


def test_a_model_that_takes_batches_well_is_expected_to(make_rig: MakeRig) -> None:
    rig = make_rig(max_queue_s=1.0)
    rig._run = slow(rig, 0.4, 0.001)
    rig.submit(x(1))
    rig.submit(x(*range(7)))  # from here on overhead and rows can be told apart
    with rig.busy():
        asked = [rig.enqueue(x(i)) for i in range(16)]
    for future in asked:
        future.result(PATIENCE_S)
    assert rig.watch.refusals == []


def test_behind_a_model_that_hangs_no_queue_grows(make_rig: MakeRig) -> None:
    rig = make_rig(max_queue_s=1.0)
    with rig.busy():
        first = rig.enqueue(x(1))
        second = rig.enqueue(x(2))
        rig.clock.now += 1.5
        with pytest.raises(QueueFull):
            rig.submit(x(3))
    for future in (first, second):
        future.result(PATIENCE_S)


def test_members_that_run_again_alone_are_part_of_the_wait(make_rig: MakeRig) -> None:
    started, release = threading.Event(), threading.Event()

    def run(_: str, tensors: Tensors, __: Any) -> Tensors:
        rig.clock.now += 0.4
        if len(tensors["x"]) == 4:
            raise ValueError
        if tensors["x"][0] == 1:
            started.set()
            assert release.wait(PATIENCE_S)
        return tensors

    rig = make_rig(run, max_queue_s=1.3)
    rig.submit(x(0))
    with rig.busy():
        asked = [rig.enqueue(x(i)) for i in range(1, 5)]
    assert started.wait(PATIENCE_S)
    asked.append(rig.enqueue(x(5)))
    with pytest.raises(QueueFull):
        rig.submit(x(6))
    release.set()
    for future in asked:
        future.result(PATIENCE_S)


def test_retry_after_is_spread_and_between_1_and_30_seconds(make_rig: MakeRig) -> None:
    rig = make_rig(max_queue_rows=1)
    told = set()
    with rig.busy():
        asked = rig.enqueue(x(0))
        for step in range(60):
            rig.clock.now += step / 10
            with pytest.raises(QueueFull) as caught:
                rig.submit(x(1), within_s=1e6)
            told.add(retry_after(caught.value))
        rig.clock.now -= 1000.0
    asked.exception(PATIENCE_S)
    assert min(told) >= 1
    assert max(told) <= 30
    assert len(told) > 10


# Errors -----------------------------------------------------------------------------------


def test_what_the_model_raises_reaches_its_caller_as_it_is(make_rig: MakeRig) -> None:
    error = KeyError("column")

    def run(*_: Any) -> Tensors:
        raise error from OSError("disk")

    rig = make_rig(run)
    with pytest.raises(KeyError) as caught:
        rig.submit(x(1))
    assert caught.value is error
    assert isinstance(error.__cause__, OSError)


def test_an_exception_that_a_model_keeps_does_not_grow(make_rig: MakeRig) -> None:
    error = ValueError("always me")

    def run(*_: Any) -> Tensors:
        raise error

    rig = make_rig(run)
    depths = []
    for _ in range(3):
        with pytest.raises(ValueError, match="always me") as caught:
            rig.submit(x(1))
        depths.append(len(caught.traceback))
    assert depths[0] == depths[1] == depths[2]


def test_a_failed_request_leaves_no_cycle_that_holds_its_rows(make_rig: MakeRig) -> None:
    def run(*_: Any) -> Tensors:
        raise KeyError

    rig = make_rig(run)
    tensors = x(1)
    rows = weakref.ref(tensors["x"])
    gc.disable()
    try:
        with pytest.raises(KeyError):
            rig.submit(tensors)
        rig.calls.clear()
        rig.submit(x(2), method="hold", parameters=_released())
        del tensors
        assert rows() is None
    finally:
        gc.enable()


def _released() -> dict[str, threading.Event]:
    release = threading.Event()
    release.set()
    return {"started": threading.Event(), "release": release}


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_model_that_tries_to_end_the_process_ends_nothing(
    make_rig: MakeRig, kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def run(_: str, tensors: Tensors, __: Any) -> Tensors:
        if tensors["x"][0] < 0:
            raise kind
        return tensors

    rig = make_rig(run)
    with pytest.raises(ModelError, match=f"failed with {kind.__name__}") as caught:
        rig.submit(x(-1))
    assert type(caught.value.__cause__) is kind
    assert "tried to end the process" in caplog.text
    assert rig.submit(x(1))["x"].tolist() == [1]
    assert len(set(rig.threads)) == 1
