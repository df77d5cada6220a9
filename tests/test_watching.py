"""``serve --reload``: files that change, appear, break and go."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from tests.model_files import line, save

from demijohn import runtimes
from demijohn.errors import LoadError
from demijohn.messages import Rows
from demijohn.targets import ModelFile, Target, find
from demijohn.watching import INTERVAL_S, Watcher

Key = tuple[str, str]


class Shelf:
    """Serves models by loading them, as a worker does, and remembers what was asked."""

    def __init__(self) -> None:
        self.slopes: dict[Key, float] = {}
        self.calls: list[tuple[str, Key]] = []

    def put(self, file: ModelFile, *, allow_code: bool) -> None:
        self.calls.append(("put", file.key))
        runtime = runtimes.load(file.path, allow_code=allow_code)
        answer = runtime.run("predict", runtime.signature.validate(Rows([[1.0]])), {})
        self.slopes[file.key] = round(float(answer["predict"][0]), 6)

    def drop(self, name: str, version: str) -> None:
        self.calls.append(("drop", (name, version)))
        del self.slopes[name, version]


class Rig:
    """A watcher over a folder of models, looked through by hand."""

    def __init__(self, target: Path) -> None:
        self.shelf = Shelf()
        files = find([Target(target)]).files
        for file in files:
            self.shelf.put(file, allow_code=True)
        self.shelf.calls.clear()
        self.watcher = Watcher([Target(target)], files, self.shelf)

    def look(self, times: int = 1) -> dict[Key, float]:
        for _ in range(times):
            self.watcher.look()
        return self.shelf.slopes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(line(1), tmp_path / "models" / "price.joblib")
    return tmp_path / "models"


@pytest.fixture
def rig(folder: Path) -> Rig:
    return Rig(folder)


PRICE = ("price", "1")


def test_what_did_not_change_is_not_loaded_again(rig: Rig) -> None:
    rig.look(5)
    assert rig.shelf.calls == []


def test_a_changed_file_is_loaded_at_the_second_look_that_sees_it_alike(rig: Rig, folder: Path) -> None:
    save(line(2), folder / "price.joblib")
    assert rig.look() == {PRICE: 1.0}
    assert rig.look() == {PRICE: 2.0}
    rig.look(5)
    assert rig.shelf.calls == [("put", PRICE)]


def test_a_file_that_keeps_changing_is_left_alone_until_it_stops(rig: Rig, folder: Path) -> None:
    for slope in (2, 3, 4):
        save(line(slope), folder / "price.joblib")
        assert rig.look() == {PRICE: 1.0}
    assert rig.look() == {PRICE: 4.0}


def test_a_file_that_was_only_touched_is_not_loaded(rig: Rig, folder: Path) -> None:
    (folder / "price.joblib").touch()
    rig.look(3)
    assert rig.shelf.calls == []


def test_broken_content_changes_nothing_and_is_told_once(
    rig: Rig, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = (folder / "price.joblib").read_bytes()
    (folder / "price.joblib").write_bytes(whole[: len(whole) // 2])
    assert rig.look(5) == {PRICE: 1.0}
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "price.joblib" in caplog.text
    save(line(3), folder / "price.joblib")
    assert rig.look(2) == {PRICE: 3.0}


@pytest.mark.parametrize("content", [b"", b"half"])
def test_content_that_is_no_model_changes_nothing(
    rig: Rig, folder: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    (folder / "price.joblib").write_bytes(content)
    assert rig.look(5) == {PRICE: 1.0}
    assert len(caplog.records) == 1


def test_a_new_data_file_appears(rig: Rig, folder: Path) -> None:
    save(line(5), folder / "cost" / "7" / "m.skops")
    assert rig.look(2) == {PRICE: 1.0, ("cost", "7"): 5.0}


def test_a_new_code_file_is_never_loaded(rig: Rig, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(line(5), folder / "cost.joblib")
    save(line(6), folder / "half.joblib").rename(folder / "fake.skops")
    assert rig.look(5) == {PRICE: 1.0}
    assert caplog.text.count("loading one runs the code in it") == 2
    save(line(7), folder / "cost.joblib")
    assert rig.look(5) == {PRICE: 1.0}


def test_code_is_not_loaded_where_data_stood(folder: Path) -> None:
    data = save(line(2), folder / "data.skops")
    rig = Rig(folder)
    save(line(3), folder / "x.joblib").rename(data)
    assert rig.look(5)["data", "1"] == 2.0


def test_a_worker_that_starts_late_trusts_only_what_stood_at_the_servers_start(folder: Path) -> None:
    files = find([Target(folder)]).files
    save(line(5), folder / "new.joblib")
    save(line(6), folder / "price.joblib")
    shelf = Shelf()
    ended = threading.Event()
    ended.set()
    Watcher([Target(folder)], files, shelf, wait=lambda _: True).start()
    assert shelf.slopes == {PRICE: 6.0}


def test_a_model_folder_appears_when_it_is_complete_and_changes_as_one(folder: Path) -> None:
    looked_at: list[tuple[str, bytes]] = []

    class Folders(Shelf):
        def put(self, file: ModelFile, *, allow_code: bool) -> None:
            looked_at.append((file.version, (file.path / "saved_model.pb").read_bytes()))
            if not (file.path / "variables").is_dir():
                raise LoadError(f"{file.path}: no variables")

    files = find([Target(folder)]).files
    watcher = Watcher([Target(folder)], files, Folders())
    version = folder / "iris" / "3"
    version.mkdir(parents=True)
    (version / "fingerprint.pb").write_bytes(b"first of all")  # no model, as long as no graph is there
    watcher.look()
    watcher.look()
    assert looked_at == []
    (version / "saved_model.pb").write_bytes(b"half")
    watcher.look()
    (version / "saved_model.pb").write_bytes(b"whole")  # still growing
    watcher.look()
    assert looked_at == []
    watcher.look()
    watcher.look()
    assert looked_at == [("3", b"whole")]  # and refused: it is not complete
    (version / "variables").mkdir()
    (version / "variables" / "variables.index").write_bytes(b"index")
    watcher.look()
    watcher.look()
    watcher.look()
    assert looked_at == [("3", b"whole")] * 2
    (version / "variables" / "variables.index").write_bytes(b"other")
    watcher.look()
    watcher.look()
    assert looked_at == [("3", b"whole")] * 3


def test_a_removed_files_version_goes_at_the_second_look(folder: Path) -> None:
    gone = save(line(2), folder / "price" / "2" / "m.joblib")
    rig = Rig(folder)
    gone.unlink()
    assert set(rig.look()) == {PRICE, ("price", "2")}
    assert set(rig.look()) == {PRICE}
    save(line(3), gone)
    assert rig.look(2)["price", "2"] == 3.0


def test_a_file_that_is_away_for_a_moment_stays_served(rig: Rig, folder: Path) -> None:
    (folder / "price.joblib").rename(folder.parent / "away")
    rig.look()
    (folder.parent / "away").rename(folder / "price.joblib")
    rig.look(3)
    assert ("drop", PRICE) not in rig.shelf.calls


def test_a_version_may_change_its_format_without_a_gap(folder: Path) -> None:
    old = save(line(1), folder / "cost" / "1" / "m.joblib")
    rig = Rig(folder)
    save(line(2), folder / "cost" / "1" / "m.skops")
    assert rig.look(3)["cost", "1"] == 1.0
    old.unlink()
    assert rig.look()["cost", "1"] == 2.0
    assert ("drop", ("cost", "1")) not in rig.shelf.calls


def test_a_second_file_for_a_version_is_told_once(
    rig: Rig, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(line(2), folder / "price.skops")
    assert rig.look(5) == {PRICE: 1.0}
    assert [record.getMessage() for record in caplog.records] == [
        f"{folder / 'price.skops'} is passed over: {folder / 'price.joblib'} is that version already"
    ]


def test_other_files_are_passed_over_in_silence(
    rig: Rig, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "notes.txt").write_text("hello")
    (folder / ("x" * 200 + ".csv")).write_text("hello")
    rig.look(3)
    assert caplog.records == []


def test_a_name_that_cannot_be_served_is_told_and_disturbs_nobody(
    rig: Rig, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(line(2), folder / ("x" * 200 + ".skops"))
    save(line(3), folder / "price.joblib")
    assert rig.look(3) == {PRICE: 3.0}
    assert "cannot name a model" in caplog.text


def test_a_deleted_folder_is_gone_and_an_unreadable_one_is_trouble(
    rig: Rig, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.rename(folder.parent / "away")
    folder.symlink_to(folder)  # cannot be followed
    assert rig.look(3) == {PRICE: 1.0}
    assert caplog.text.count("what served before serves on") == 1
    folder.unlink()
    assert rig.look(2) == {}


def test_a_named_file_is_watched_too(tmp_path: Path) -> None:
    path = save(line(1), tmp_path / "price.joblib")
    rig = Rig(path)
    save(line(2), path)
    assert rig.look(2) == {PRICE: 2.0}
    path.unlink()
    assert rig.look(2) == {}


def test_it_looks_once_a_second_until_it_is_told_to_end(folder: Path) -> None:
    waits: list[float] = []
    shelf, ended = Shelf(), threading.Event()

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) == 1:
            save(line(2), folder / "price.joblib")
        if len(waits) == 4:
            ended.set()
        return len(waits) == 4

    Watcher([Target(folder)], find([Target(folder)]).files, shelf, wait).start()
    assert ended.wait(30)
    assert waits == [INTERVAL_S] * 4
    assert shelf.slopes == {PRICE: 2.0}
