"""Workers agree: all of them change, or none; the dead are not waited for."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from tests.servers import until

from demijohn.agreement import Agreement, Values
from demijohn.errors import DeadlineExceeded, LoadRefused, Unavailable


class Room:
    """Has what was agreed, and says which values it will not have."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.prepared: list[Values] = []
        self.n_abandoned = 0
        self.may_prepare = threading.Event()
        self.may_prepare.set()

    def prepare(self, changes: Values) -> None:
        self.may_prepare.wait(30)
        if "refused" in changes.values():
            raise LoadRefused("not in this room")
        if "broken" in changes.values():
            raise OSError("/secret/path")
        self.prepared.append(changes)

    def commit(self, values: Values) -> None:
        self.values = dict(values)

    def abandon(self) -> None:
        self.n_abandoned += 1


class Worker:
    def __init__(self, folder: Path, patience_s: float = 30.0) -> None:
        self.room = Room()
        self.agreement = Agreement(folder, self.room, patience_s)
        self.agreement.join()

    def change(self, **values: Any) -> None:
        self.agreement.propose(lambda _: values, LoadRefused)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    workers: list[Worker] = []

    def start(**options: Any) -> Worker:
        workers.append(Worker(tmp_path, **options))
        return workers[-1]

    yield start
    for worker in workers:
        worker.room.may_prepare.set()
        worker.agreement.leave()


def test_a_change_is_made_by_all_when_it_is_acknowledged(start: Callable[..., Worker]) -> None:
    workers = [start() for _ in range(3)]
    workers[0].change(a=1)
    assert [worker.room.values for worker in workers] == [{"a": 1}] * 3
    assert [worker.room.prepared for worker in workers] == [[{"a": 1}]] * 3
    workers[2].change(a=None, b=[2])
    assert [worker.room.values for worker in workers] == [{"a": None, "b": [2]}] * 3


def test_who_comes_later_takes_over_what_was_agreed(start: Callable[..., Worker]) -> None:
    start().change(a=1)
    late = start()
    assert (late.room.values, late.room.prepared) == ({"a": 1}, [])


@pytest.mark.parametrize(("value", "told"), [("refused", "not in this room"), ("broken", "OSError")])
def test_what_one_cannot_do_nobody_does(start: Callable[..., Worker], value: str, told: str) -> None:
    workers = [start(), start()]
    workers[0].change(a=1)
    with pytest.raises(LoadRefused, match=told) as raised:
        workers[1].change(a=value)
    assert "/" not in raised.value.detail
    assert [worker.room.values for worker in workers] == [{"a": 1}] * 2
    until(lambda: all(worker.room.n_abandoned for worker in workers))
    workers[1].change(b=2)
    assert [worker.room.values for worker in workers] == [{"a": 1, "b": 2}] * 2


def test_a_change_sees_what_was_agreed_before_its_turn(start: Callable[..., Worker]) -> None:
    workers = [start(), start()]

    def add(worker: Worker) -> None:
        worker.agreement.propose(lambda agreed: {"n": agreed.get("n", 0) + 1}, LoadRefused)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, workers * 4))
    assert [worker.room.values for worker in workers] == [{"n": 8}] * 2


def test_the_dead_are_not_waited_for(start: Callable[..., Worker], tmp_path: Path) -> None:
    workers = [start(), start()]
    workers[0].room.may_prepare.clear()
    workers[0].agreement.leave()
    workers[1].change(a=1)
    assert workers[1].room.values == {"a": 1}
    assert len(list(tmp_path.glob("worker-*.lock"))) == 1


def test_who_does_not_say_is_not_waited_for_for_ever(start: Callable[..., Worker]) -> None:
    workers = [start(patience_s=0.3), start()]
    workers[1].room.may_prepare.clear()
    with pytest.raises(DeadlineExceeded):
        workers[0].change(a=1)
    workers[1].room.may_prepare.set()
    workers[1].change(b=2)
    assert [worker.room.values for worker in workers] == [{"b": 2}] * 2


def test_one_change_at_a_time(start: Callable[..., Worker]) -> None:
    slow, quick = start(), start(patience_s=0.2)
    quick.room.may_prepare.clear()
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(slow.change, a=1)
        until(lambda: slow.room.prepared)
        with pytest.raises(Unavailable) as raised:
            quick.change(b=2)
        assert raised.value.headers == {"Retry-After": "1"}
        quick.room.may_prepare.set()
        under_way.result(30)
    assert quick.room.values == {"a": 1}


def test_the_same_process_waits_its_turn_too(start: Callable[..., Worker]) -> None:
    worker = start(patience_s=0.2)
    with worker.agreement._turn, pytest.raises(Unavailable):
        worker.change(b=2)
    worker.change(b=3)
    assert worker.room.values == {"b": 3}


def _propose_and_die(folder: Path) -> None:
    def die_once_another_has_prepared() -> None:
        until(lambda: any('"judged": ""' not in told.read_text() for told in folder.glob("worker-*.json")))
        os.kill(os.getpid(), signal.SIGKILL)

    def make(_: Values) -> Values:
        threading.Thread(target=die_once_another_has_prepared).start()
        return {"a": "late"}

    worker = Worker(folder)
    worker.room.may_prepare.clear()
    worker.agreement.propose(make, LoadRefused)


def test_a_proposer_that_dies_changes_nothing(start: Callable[..., Worker], tmp_path: Path) -> None:
    worker = start()
    process = get_context("spawn").Process(target=_propose_and_die, args=(tmp_path,))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert worker.room.prepared == [{"a": "late"}]
    assert worker.room.values == {}
    worker.change(b=1)  # the turn is free again
    assert worker.room.values == {"b": 1}


def test_nobody_reads_half_of_what_is_written(start: Callable[..., Worker], tmp_path: Path) -> None:
    worker = start()
    for number in range(3):
        worker.change(a=[number] * 1000)
    assert worker.room.values == {"a": [2] * 1000}
    assert not list(tmp_path.glob("*.new"))
