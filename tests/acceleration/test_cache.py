"""Plans in files: ours alone, whole or not at all, checked in full."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.model_files import NOBODY

from demijohn.acceleration import cache as caches
from demijohn.acceleration import provers
from demijohn.acceleration.cache import PlanCache, open_cache
from demijohn.acceleration.plan import MethodPlan, Plan, Range, Refused

KEY = "a" * 64
PLAN = Plan(
    {"predict": MethodPlan((Range(22, "kernel", 4.1), Range(None, "native", 300.0)),
                           (Refused("onnx", "predict", "why"),), {"kernel": (4.1, 5.0, 9.0, 40.0)})},
    {"transform": "numbers differ"},
)  # fmt: skip


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PlanCache:
    monkeypatch.setattr(caches, "_told", set())
    found = open_cache({"XDG_CACHE_HOME": str(tmp_path)})
    assert found is not None
    return found


def folder(tmp_path: Path) -> Path:
    return tmp_path / "demijohn" / "plans"


def path_of(tmp_path: Path) -> Path:
    return folder(tmp_path) / f"{KEY}.json"


def test_what_is_written_is_read(cache: PlanCache, tmp_path: Path) -> None:
    assert cache.read(KEY) is None
    cache.write(KEY, PLAN)
    assert cache.read(KEY) == PLAN
    assert cache.read("b" * 64) is None
    assert stat.S_IMODE(path_of(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder(tmp_path).stat().st_mode) == 0o700
    assert stat.S_IMODE(folder(tmp_path).parent.stat().st_mode) == 0o700
    assert [path.name for path in folder(tmp_path).iterdir()] == [f"{KEY}.json"]


def test_a_plan_is_replaced(cache: PlanCache) -> None:
    cache.write(KEY, PLAN)
    cache.write(KEY, Plan({}, {}))
    assert cache.read(KEY) == Plan({}, {})


def changed(**changes: Any) -> bytes:
    """Return the file of PLAN with something else in the plan of its method."""
    plan = {
        "ranges": [{"up_to_rows": None, "engine": "kernel", "us": 1.0}],
        "refused": [], "times_us": {},
    }  # fmt: skip
    return json.dumps(
        {"key": KEY, "plan": {"methods": {"predict": {**plan, **changes}}, "kept_alone": {}}}
    ).encode()


def span(*borders: Any) -> list[dict[str, Any]]:
    return [{"up_to_rows": border, "engine": "kernel", "us": None} for border in borders]


def test_a_sound_file_is_read(cache: PlanCache, tmp_path: Path) -> None:
    path_of(tmp_path).write_bytes(changed(ranges=span(2, 181, None)))
    path_of(tmp_path).chmod(0o600)
    assert cache.read(KEY)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"x" * 1_000_001,
        changed().replace(KEY.encode(), b"b" * 64),
        changed(ranges=[]),
        changed(ranges=span(2)),
        changed(ranges=span(None, 2)),
        changed(ranges=span(22, 2, None)),
        changed(ranges=span(2, 2, None)),
        changed(ranges=span(3, None)),
        changed(ranges=span("2", None)),
        changed(times_us={"kernel": [1.0]}),
        changed(surplus=1),
        changed(refused=[{"engine": "kernel"}]),
    ],
)
def test_a_broken_file_is_ignored_with_one_line_and_replaced(
    cache: PlanCache, tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path_of(tmp_path).write_bytes(content)
    path_of(tmp_path).chmod(0o600)
    assert cache.read(KEY) is cache.read(KEY) is None
    (record,) = caplog.records
    assert "made anew" in record.getMessage()
    cache.write(KEY, PLAN)
    assert cache.read(KEY) == PLAN


def test_a_file_that_others_could_have_written_is_ignored(cache: PlanCache, tmp_path: Path) -> None:
    cache.write(KEY, PLAN)
    path_of(tmp_path).chmod(0o620)
    assert cache.read(KEY) is None


def test_a_link_is_not_followed(cache: PlanCache, tmp_path: Path) -> None:
    cache.write("b" * 64, PLAN)
    path_of(tmp_path).symlink_to(folder(tmp_path) / f"{'b' * 64}.json")
    assert cache.read(KEY) is None
    (folder(tmp_path) / f"{KEY}.lock").symlink_to(tmp_path / "elsewhere")
    with cache.turn(KEY):
        assert not (tmp_path / "elsewhere").exists()


def test_a_folder_in_place_of_a_file_is_told(cache: PlanCache, tmp_path: Path) -> None:
    path_of(tmp_path).mkdir()
    assert cache.read(KEY) is None
    cache.write(KEY, PLAN)
    assert cache.read(KEY) is None


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o707])
def test_a_folder_that_others_may_write_to_is_not_used(
    tmp_path: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "demijohn").mkdir()
    (tmp_path / "demijohn").chmod(mode)
    assert open_cache({"XDG_CACHE_HOME": str(tmp_path)}) is None
    assert "may be written to by others" in caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "demijohn").mkdir(mode=0o700)
    os.chown(tmp_path / "demijohn", NOBODY, NOBODY)
    assert open_cache({"XDG_CACHE_HOME": str(tmp_path)}) is None
    assert "belongs to another user" in caplog.text


def test_a_link_in_place_of_the_folder_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "demijohn").symlink_to(tmp_path / "elsewhere")
    assert open_cache({"XDG_CACHE_HOME": str(tmp_path)}) is None
    assert "is no folder" in caplog.text


def test_where_no_folder_can_be_made_nothing_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caches, "_told", set())
    (tmp_path / "file").write_text("")
    for _ in range(2):
        assert open_cache({"XDG_CACHE_HOME": str(tmp_path / "file")}) is None
    assert caplog.text.count("plans are not kept") == 1


def test_a_relative_folder_is_ignored_as_the_specification_asks(tmp_path: Path) -> None:
    assert open_cache({"XDG_CACHE_HOME": "cache", "HOME": str(tmp_path)}) is not None
    assert (tmp_path / ".cache" / "demijohn" / "plans").is_dir()


def test_without_any_variable_it_is_in_the_users_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert open_cache({}) is not None
    assert (tmp_path / ".cache" / "demijohn" / "plans").is_dir()


def test_a_full_disk_costs_no_answer(
    cache: PlanCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*args: Any, **options: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "open", full)
    cache.write(KEY, PLAN)
    with cache.turn(KEY):
        pass
    assert "No space left" in caplog.text


def test_where_there_are_no_locks_nobody_waits(
    cache: PlanCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(*args: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(caches.fcntl, "flock", missing)
    with cache.turn(KEY):
        cache.write(KEY, PLAN)
    assert "twice" in caplog.text


def test_the_oldest_plans_go(cache: PlanCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "MOST_PLANS", 2)
    for instant, key in enumerate("abcd"):
        with cache.turn(key):
            cache.write(key, PLAN)
        os.utime(folder(tmp_path) / f"{key}.json", (instant, instant))
    cache.write("e", PLAN)
    assert {path.name for path in folder(tmp_path).iterdir()} == {"d.json", "e.json"}


def test_one_at_a_time_has_the_turn(cache: PlanCache) -> None:
    order: list[str] = []

    def wait() -> None:
        with cache.turn(KEY):
            order.append("second")

    with cache.turn(KEY):
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join(0.05)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_who_waits_long_is_told_once(cache: PlanCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "_PATIENCE_S", 0.0)
    told, looked_again = threading.Semaphore(0), threading.Semaphore(0)
    lock = caches._lock
    monkeypatch.setattr(caches, "_lock", lambda path: looked_again.release() or lock(path))

    def wait() -> None:
        with cache.turn(KEY, told.release):
            pass

    with cache.turn(KEY):
        thread = threading.Thread(target=wait)
        thread.start()
        assert told.acquire(timeout=10)
        for _ in range(5):
            assert looked_again.acquire(timeout=10)
    thread.join(10)
    assert not thread.is_alive()
    assert not told.acquire(blocking=False)


def test_the_end_of_the_process_ends_waiting(cache: PlanCache, monkeypatch: pytest.MonkeyPatch) -> None:
    ending = threading.Event()
    ending.set()
    monkeypatch.setattr(provers, "_ending", ending)
    with cache.turn(KEY), pytest.raises(provers.Interrupted), cache.turn(KEY):
        pass


def test_a_turn_leaves_no_file(cache: PlanCache, tmp_path: Path) -> None:
    with cache.turn(KEY):
        assert [path.name for path in folder(tmp_path).iterdir()] == [f"{KEY}.lock"]
    with pytest.raises(KeyError), cache.turn(KEY):
        raise KeyError
    assert list(folder(tmp_path).iterdir()) == []


def test_a_lock_that_cannot_be_deleted_is_given_back_and_told(
    cache: PlanCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch, cache.turn(KEY):
        patch.setattr(Path, "unlink", fail)
        caches._unlock(cache._folder / f"{KEY}.lock", next(iter(caches._held)))
    assert "cannot be deleted: Read-only" in caplog.text
    with cache.turn(KEY):
        pass


def test_a_lock_that_its_owner_has_deleted_meanwhile_is_none(
    cache: PlanCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder(tmp_path) / f"{KEY}.lock"
    is_locked = caches._is_locked

    def late(descriptor: int) -> bool:
        path.unlink()
        return is_locked(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(caches, "_is_locked", late)
        assert caches._lock(path) is None
    with cache.turn(KEY):
        other = path.with_name("other")
        other.touch()
        other.replace(path)  # another process's
        assert not caches._is_at(path, next(iter(caches._held)))
    assert caches._held == set()


def test_a_child_of_a_fork_has_no_lock(cache: PlanCache, tmp_path: Path) -> None:
    with cache.turn(KEY):
        caches._forget_locks()  # as the child does
        with cache.turn(KEY):
            pass
        (folder(tmp_path) / f"{KEY}.lock").touch()
    assert (folder(tmp_path) / f"{KEY}.lock").exists()  # its parent's


def test_what_a_killed_process_left_is_deleted(cache: PlanCache, tmp_path: Path) -> None:
    lock, old, new = (folder(tmp_path) / name for name in ("b.lock", ".b.1.half", ".b.2.half"))
    for path in (lock, old, new):
        path.touch()
    os.utime(old, (1, 1))
    with cache.turn(KEY):
        cache.write(KEY, PLAN)
        assert {path.name for path in folder(tmp_path).iterdir()} == {
            f"{KEY}.json", f"{KEY}.lock", ".b.2.half",
        }  # fmt: skip


def test_a_plan_that_another_process_deletes_counts_as_the_oldest(tmp_path: Path) -> None:
    assert caches._changed_at(tmp_path / "gone") == 0


_HOLD = """
import sys
from demijohn.acceleration import open_cache
with open_cache().turn(sys.argv[1]):
    print("mine", flush=True)
    sys.stdin.read()
"""


def test_a_turn_ends_with_its_process(cache: PlanCache, tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, KEY],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
    )  # fmt: skip
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"mine\n"
        holder.kill()
    with cache.turn(KEY):
        assert cache.read(KEY) is None
