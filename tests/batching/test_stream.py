"""Requests that are answered item by item: the model is taken until the last, and nobody waits for ever."""

from __future__ import annotations

import gc
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from tests.batching.rig import CALLERS, PATIENCE_S, MakeRig, Rig, x

from demijohn.batching import Stream
from demijohn.batching.stream import MOST_AHEAD
from demijohn.errors import BadInput, DeadlineExceeded, Draining, ModelError, QueueFull
from demijohn.lifecycle import call_deadline

LONG_S = 3600.0


@pytest.fixture
def rig(make_rig: MakeRig) -> Rig:
    return in_real_time(make_rig)


def in_real_time(make_rig: MakeRig, **options: Any) -> Rig:
    rig = make_rig(clock=time.monotonic, **options)
    rig.clock = time.monotonic  # type: ignore[assignment]
    return rig


class Items:
    """An iterator that knows what was asked of it, and on which thread."""

    def __init__(self, *items: Any) -> None:
        self.items = iter(items)
        self.n_made = 0
        self.closed = threading.Event()
        self.threads: set[str] = set()

    def __call__(self) -> Iterator[Any]:
        self.threads.add(threading.current_thread().name)
        return self

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self.threads.add(threading.current_thread().name)
        item = next(self.items)
        if isinstance(item, BaseException):
            raise item
        if callable(item):
            item = item()
        self.n_made += 1
        return item

    def close(self) -> None:
        self.threads.add(threading.current_thread().name)
        self.closed.set()


def begin(
    rig: Rig,
    items: Callable[[], Iterator[Any]],
    *,
    within_s: float = PATIENCE_S,
    item_s: float = PATIENCE_S,
    n_rows: int = 1,
) -> Stream:
    return rig.batcher.open("predict", x(*range(n_rows)), items, time.monotonic() + within_s, item_s)


def waiting(event: threading.Event) -> Callable[[], str]:
    return lambda: "late" if event.wait(PATIENCE_S) else "never"


def test_items_come_in_order_from_the_models_own_thread(rig: Rig) -> None:
    items = Items(*range(3 * MOST_AHEAD))
    stream = begin(rig, items, n_rows=2)
    assert stream.n_rows == 2
    assert list(stream) == list(range(3 * MOST_AHEAD))
    assert list(stream) == []
    assert items.closed.is_set()
    assert items.threads == {"demijohn m"}
    assert [call[:3] for call in rig.watch.calls] == [("predict", 2, 1)]
    assert rig.lifecycle.earliest_deadline == math.inf


def test_the_model_can_ask_for_the_deadline_of_each_item(rig: Rig) -> None:
    def items() -> Iterator[float]:
        for _ in range(2):
            yield call_deadline.get() - rig.lifecycle.earliest_deadline

    assert list(begin(rig, items)) == [0.0, 0.0]


def test_there_may_be_no_items(rig: Rig) -> None:
    assert list(begin(rig, Items())) == []


def test_a_model_is_a_few_items_ahead_at_the_most(rig: Rig) -> None:
    items = Items(*range(10 * MOST_AHEAD))
    stream = begin(rig, items)
    assert next(stream) == 0
    with pytest.raises(QueueFull, match="deadline passed"):  # the model is taken until somebody fetches
        rig.submit(x(1), within_s=0.2)
    assert items.n_made <= MOST_AHEAD + 2
    stream.close()
    assert items.closed.wait(PATIENCE_S)


def test_another_request_waits_for_the_end_of_a_stream(rig: Rig) -> None:
    release = threading.Event()
    stream = begin(rig, Items("first", waiting(release)))
    assert next(stream) == "first"
    second = rig.enqueue(x(1))
    third: Future[Any] = CALLERS.submit(begin, rig, Items("third"))
    assert not second.done()
    release.set()
    assert list(stream) == ["late"]
    assert second.result(PATIENCE_S)["y"].tolist() == [2]
    assert list(third.result(PATIENCE_S)) == ["third"]


def test_streams_are_not_joined(rig: Rig) -> None:
    items = [Items(index) for index in range(3)]
    with rig.busy():
        n_changes = rig.watch.n_changes
        futures = [CALLERS.submit(begin, rig, one) for one in items]
        rig.watch.wait_for_change(n_changes + 3)
    assert [list(future.result(PATIENCE_S)) for future in futures] == [[0], [1], [2]]


@pytest.mark.parametrize("error", [BadInput("no"), ValueError("no")])
def test_an_error_comes_in_the_place_of_an_item(rig: Rig, error: Exception) -> None:
    with pytest.raises(type(error), match="no"):
        next(begin(rig, Items(error)))
    items = Items(1, 2, error)
    stream = begin(rig, items)
    assert [next(stream), next(stream)] == [1, 2]
    with pytest.raises(type(error), match="no"):
        next(stream)
    with pytest.raises(StopIteration):
        next(stream)
    assert items.closed.is_set()
    assert list(begin(rig, Items("the thread lives"))) == ["the thread lives"]


def test_a_model_that_would_end_the_process_has_failed(rig: Rig) -> None:
    with pytest.raises(ModelError, match="SystemExit"):
        next(begin(rig, Items(SystemExit(3))))


def test_what_cannot_be_begun_is_an_error_too(rig: Rig) -> None:
    def start() -> Iterator[Any]:
        raise ValueError("no iterator")

    with pytest.raises(ValueError, match="no iterator"):
        next(begin(rig, start))


def test_who_closes_a_stream_ends_the_models_work(rig: Rig) -> None:
    items = Items(*range(10_000))
    stream = begin(rig, items)
    next(stream)
    stream.close()
    assert items.closed.wait(PATIENCE_S)
    assert items.n_made < 10_000
    assert rig.submit(x(1))["y"].tolist() == [2]


def test_who_drops_a_stream_closes_it(rig: Rig) -> None:
    items = Items(*range(10_000))
    stream = begin(rig, items)
    del stream
    gc.collect()
    assert items.closed.wait(PATIENCE_S)


# Time ----------------------------------------------------------------------------------------


def test_a_first_item_that_is_late_is_a_late_answer(rig: Rig) -> None:
    release = threading.Event()
    items = Items(waiting(release), *range(100))
    with pytest.raises(DeadlineExceeded):
        begin(rig, items, within_s=0.1)
    release.set()
    assert items.closed.wait(PATIENCE_S)
    assert items.n_made < 100


def test_a_later_item_that_is_late_ends_the_stream(rig: Rig) -> None:
    release = threading.Event()
    items = Items(1, waiting(release), *range(100))
    stream = begin(rig, items, item_s=0.1)
    assert next(stream) == 1
    with pytest.raises(DeadlineExceeded, match="next item was not made"):
        next(stream)
    assert rig.lifecycle.earliest_deadline < time.monotonic()  # so the supervisor sees that it hangs
    release.set()
    assert items.closed.wait(PATIENCE_S)
    assert items.n_made < 100


def test_each_item_has_its_own_time(rig: Rig) -> None:
    def slowly() -> Iterator[int]:
        for number in range(6):
            threading.Event().wait(0.1)
            yield number

    assert list(begin(rig, slowly, item_s=0.4)) == list(range(6))


def test_who_fetches_too_slowly_loses_the_rest(rig: Rig) -> None:
    items = Items(*range(100))
    stream = begin(rig, items, item_s=0.1)
    assert items.closed.wait(PATIENCE_S)
    assert [next(stream) for _ in range(MOST_AHEAD)] == list(range(MOST_AHEAD))
    with pytest.raises(DeadlineExceeded, match="did not fetch"):
        next(stream)


def test_the_time_in_which_the_caller_is_slow_is_not_the_models(rig: Rig) -> None:
    items = Items(*range(100))
    stream = begin(rig, items, item_s=LONG_S)
    assert next(stream) == 0
    give_up = time.monotonic() + PATIENCE_S
    while items.n_made < MOST_AHEAD + 1 or rig.lifecycle.earliest_deadline < math.inf:
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_a_stream_has_its_time_again_when_the_server_drains(rig: Rig) -> None:
    release = threading.Event()
    items = Items(1, 2, 3, waiting(release))
    stream = begin(rig, items, item_s=0.2)
    assert next(stream) == 1
    rig.lifecycle.drain()
    assert [next(stream), next(stream)] == [2, 3]
    with pytest.raises((Draining, DeadlineExceeded)):
        next(stream)
    release.set()


def test_a_stream_that_does_not_end_is_told_that_the_server_drains(rig: Rig) -> None:
    def endless() -> Iterator[int]:
        number = 0
        while True:
            threading.Event().wait(0.05)
            yield (number := number + 1)

    stream = begin(rig, endless, item_s=0.5)
    assert next(stream) == 1
    rig.lifecycle.drain()
    with pytest.raises(Draining):
        list(stream)


def test_a_full_queue_refuses_a_stream(make_rig: MakeRig) -> None:
    rig = in_real_time(make_rig, max_queue_rows=1)
    with rig.busy():
        waits = rig.enqueue(x(1))
        with pytest.raises(QueueFull):
            begin(rig, Items(1))
    waits.result(PATIENCE_S)


def test_a_stream_that_was_not_begun_in_time_is_refused(rig: Rig) -> None:
    items = Items(1)
    with rig.busy(), pytest.raises(QueueFull, match="deadline passed"):
        begin(rig, items, within_s=0.1)
    assert items.n_made == 0


def test_an_error_may_be_told_in_other_words(rig: Rig) -> None:
    stream = begin(rig, Items(1, BadInput("no")))
    stream.tell_as(lambda error: BadInput(f"inner: {error.detail}"))
    stream.tell_as(lambda error: BadInput(f"outer: {error.detail}"))
    assert next(stream) == 1
    with pytest.raises(BadInput, match="outer: inner: no"):
        next(stream)
