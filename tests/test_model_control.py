"""``serve --model-control``: what may be loaded and unloaded, and what becomes of it in every worker."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from flask import Flask
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import StandardScaler
from tests.model_files import line, save

from demijohn import Demijohn, runtimes
from demijohn.errors import LoadRefused, ModelNotFound, NotReady
from demijohn.model_control import ModelControl, Start
from demijohn.pool import Pool
from demijohn.runtimes.base import Runtime
from demijohn.served import WorkerModels
from demijohn.targets import ModelFile, Target, find

CHAIN = "both"
MEMBERS = ["clean", "score"]


class Worker:
    """One worker of a server: an app with the models of the start, and its control."""

    def __init__(self, targets: list[Target], files: list[ModelFile], folder: Path) -> None:
        self.loaded: list[Path] = []
        app = Flask("worker")
        models = Demijohn(app)
        for file in files:
            models.add_runtime(file.name, runtimes.load(file.path), version=file.version)
        chains = {CHAIN: MEMBERS} if {"clean", "score"} <= set(models) else {}
        for name, words in chains.items():
            models.chain(name, words)
        served = WorkerModels(models, self._load, [("price", "champion", "1")], chains)
        self.control = ModelControl(Start(targets, files, chains), served, folder)
        self.pool: Pool = app.extensions["demijohn"].pool
        self.control.join()

    def _load(self, file: ModelFile, *, allow_code: bool) -> Runtime:
        self.loaded.append(file.path)
        return runtimes.load(file.path, allow_code=allow_code)

    def slope(self, name: str = "price", **which: Any) -> float:
        """Ask for the slope of a line."""
        runtime = self.pool.find(name, **which).runtime
        return round(float(runtime.run("predict", {"inputs": np.ones((1, 1))}, {})["predict"][0]), 6)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(line(1), tmp_path / "models" / "price.joblib")
    return tmp_path / "models"


@pytest.fixture
def start(folder: Path, tmp_path: Path) -> Iterator[Callable[[], Worker]]:
    """Starts workers of one server, which saw the folder as it is now."""
    shared = tmp_path / "shared"
    shared.mkdir()
    targets: list[Target] = []
    files: list[ModelFile] = []
    workers: list[Worker] = []

    def start() -> Worker:
        if not workers:
            targets.append(Target(folder))
            files.extend(find(targets).files)
        workers.append(Worker(targets, files, shared))
        return workers[-1]

    yield start
    for worker in workers:
        worker.control._agreement.leave()


def test_a_changed_file_is_served_by_all_once_it_is_loaded(start: Callable[[], Worker], folder: Path) -> None:
    workers = [start(), start()]
    save(line(2), folder / "price.joblib")
    assert [worker.slope() for worker in workers] == [1.0, 1.0]
    workers[0].control.load("price")
    assert [worker.slope() for worker in workers] == [2.0, 2.0]
    assert [worker.slope(alias="champion") for worker in workers] == [2.0, 2.0]


def test_a_file_that_is_as_it_was_is_not_loaded_again(start: Callable[[], Worker]) -> None:
    worker = start()
    worker.control.load("price")
    assert worker.loaded == []
    worker.control.unload("price", with_members=False)
    worker.control.load("price")
    assert len(worker.loaded) == 1


def test_an_unloaded_model_is_known_and_not_served(start: Callable[[], Worker]) -> None:
    workers = [start(), start()]
    workers[1].control.unload("price", with_members=True)
    for worker in workers:
        with pytest.raises(NotReady, match="unloaded"):
            worker.pool.find("price")
        assert worker.pool.unloaded["price"].versions == ("1",)
    workers[1].control.unload("price", with_members=False)  # it is so already
    workers[0].control.load("price")
    assert [worker.slope(alias="champion") for worker in workers] == [1.0, 1.0]
    assert not workers[0].pool.unloaded


def test_what_is_left_is_no_default(start: Callable[[], Worker], folder: Path) -> None:
    save(line(3), folder / "other.joblib")
    worker = start()
    worker.control.unload("price", with_members=False)
    with pytest.raises(ModelNotFound, match="default"):
        worker.pool.find(None)


def test_versions_come_and_go_with_their_files(start: Callable[[], Worker], folder: Path) -> None:
    for version in (1, 2):
        save(line(version), folder / "line" / str(version) / "model.joblib")
    workers = [start(), start()]
    (folder / "line" / "1" / "model.joblib").unlink()
    (folder / "line" / "3").mkdir()
    skops.io.dump(line(3), folder / "line" / "3" / "model.skops")
    workers[0].control.load("line")
    for worker in workers:
        assert set(worker.pool.entry("line").versions) == {"2", "3"}
        assert worker.slope("line") == 3.0


def test_a_new_file_of_data_becomes_a_model(start: Callable[[], Worker], folder: Path) -> None:
    worker = start()
    skops.io.dump(line(5), folder / "fresh.skops")
    worker.control.load("fresh")
    assert worker.slope("fresh") == 5.0


def test_a_new_file_of_code_is_never_loaded(start: Callable[[], Worker], folder: Path) -> None:
    worker = start()
    save(line(5), folder / "fresh.joblib")
    with pytest.raises(LoadRefused, match="holds code") as raised:
        worker.control.load("fresh")
    check_clean(raised.value, folder)
    (folder / "price.joblib").rename(folder / "price.pkl")
    with pytest.raises(LoadRefused, match="holds code"):
        worker.control.load("price")
    assert (worker.slope(), worker.loaded) == (1.0, [])


def check_clean(error: LoadRefused, folder: Path) -> None:
    assert str(folder) not in error.detail
    assert "/" not in error.detail
    assert ".joblib" not in error.detail


@pytest.mark.parametrize("content", [b"", b"broken", b"\x80\x04K\x01.", b"\x80\x04cno_such_module\nX\n."])
def test_what_cannot_be_loaded_leaves_the_old_one(
    start: Callable[[], Worker], folder: Path, content: bytes
) -> None:
    workers = [start(), start()]
    (folder / "price.joblib").write_bytes(content)
    with pytest.raises(LoadRefused, match="cannot be loaded") as raised:
        workers[0].control.load("price")
    check_clean(raised.value, folder)
    assert [worker.slope() for worker in workers] == [1.0, 1.0]


def test_what_one_worker_cannot_load_no_worker_serves(
    start: Callable[[], Worker], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = [start(), start()]

    def fail(file: ModelFile, *, allow_code: bool) -> Runtime:
        raise MemoryError(str(file.path))

    monkeypatch.setattr(workers[1].control._served, "load", fail)
    save(line(2), folder / "price.joblib")
    with pytest.raises(LoadRefused, match="MemoryError") as raised:
        workers[0].control.load("price")
    check_clean(raised.value, folder)
    assert [worker.slope() for worker in workers] == [1.0, 1.0]


def test_two_files_of_one_version_are_told_apart_by_nobody(start: Callable[[], Worker], folder: Path) -> None:
    worker = start()
    skops.io.dump(line(2), folder / "price.skops")
    with pytest.raises(LoadRefused, match="both") as raised:
        worker.control.load("price")
    check_clean(raised.value, folder)


@pytest.mark.parametrize("name", ["nobody", "..", "../secret", "price.joblib", "/etc/passwd", ""])
def test_a_name_that_no_file_has_is_not_found(start: Callable[[], Worker], folder: Path, name: str) -> None:
    skops.io.dump(line(2), folder.parent / "secret.skops")
    worker = start()
    with pytest.raises(ModelNotFound):
        worker.control.load(name)
    with pytest.raises(ModelNotFound):
        worker.control.unload(name, with_members=False)


def test_a_worker_that_starts_later_serves_what_the_others_do(
    start: Callable[[], Worker], folder: Path
) -> None:
    save(line(7), folder / "gone.joblib")
    first = start()
    save(line(2), folder / "price.joblib")
    first.control.load("price")
    first.control.unload("gone", with_members=False)
    late = start()
    assert late.slope() == 2.0
    with pytest.raises(NotReady):
        late.pool.find("gone")


def test_a_worker_that_starts_when_the_file_has_changed_again_does_not_serve_it(
    start: Callable[[], Worker], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = start()
    save(line(2), folder / "price.joblib")
    first.control.load("price")
    save(line(3), folder / "price.joblib")
    with caplog.at_level(logging.ERROR, "demijohn.control"):
        late = start()
    with pytest.raises(NotReady, match="load it again"):
        late.pool.find("price")
    assert "price" in caplog.text
    late.control.load("price")
    assert (first.slope(), late.slope()) == (3.0, 3.0)


@pytest.fixture
def chained(folder: Path, start: Callable[[], Worker]) -> Worker:
    rows = np.array([[1.0], [2.0], [4.0]])
    save(StandardScaler().fit(rows), folder / "clean.joblib")
    save(LinearRegression().fit(rows, [1, 2, 4]), folder / "score.joblib")
    return start()


def state_of(worker: Worker, name: str) -> str:
    try:
        return worker.pool.find(name).state
    except NotReady:
        return "unloaded"


def test_a_chain_goes_alone_or_with_its_members(chained: Worker) -> None:
    chained.control.unload(CHAIN, with_members=False)
    assert [state_of(chained, name) for name in (CHAIN, *MEMBERS)] == ["unloaded", "ready", "ready"]
    chained.control.load(CHAIN)
    chained.control.unload(CHAIN, with_members=True)
    assert [state_of(chained, name) for name in (CHAIN, *MEMBERS)] == ["unloaded"] * 3
    assert state_of(chained, "price") == "ready"


def test_a_chain_brings_the_members_that_it_needs(chained: Worker) -> None:
    chained.control.unload(CHAIN, with_members=True)
    chained.control.load(CHAIN)
    assert [state_of(chained, name) for name in (CHAIN, *MEMBERS)] == ["ready"] * 3


def test_a_chain_without_a_member_waits_for_it(chained: Worker) -> None:
    chained.control.unload("score", with_members=False)
    assert state_of(chained, CHAIN) == "failed"
    chained.control.load("score")
    assert state_of(chained, CHAIN) == "ready"
