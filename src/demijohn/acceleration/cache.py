"""What was found out of models before, by this or another process of the same user, in files: plans first.

Rules of this room:
1. The folder is ours alone: where another user owns it, or others may write to it, it is not used.
2. A file is written whole or not at all. What is read is checked in full; what is broken, foreign or
   of another shape counts as absent, is told once in the log, and is replaced.
3. One process at a time proves a model; the others wait, each in its background thread. The lock is
   a file of its own, and whoever has it deletes it: who finds that what it has locked is not what
   stands in the folder begins again.
4. Whatever goes wrong here costs time, never an answer.
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from . import provers
from .plan import BORDERS, SIZES, MethodPlan, Plan

logger = logging.getLogger("demijohn.acceleration")

MOST_PLANS = 200  #: Or files of another kind. The oldest go.
_MOST_BYTES = 1_000_000
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_LOOK_AGAIN_S = 0.05
_PATIENCE_S = 1.0  # beyond it, who waits is told so
_ABANDONED_S = 3600.0
_told: set[str] = set()
_held: set[int] = set()  #: Descriptors of locks.


class KeptFile(msgspec.Struct, forbid_unknown_fields=True):
    """What stands in a file."""

    key: str

    def is_sound(self) -> bool:
        """Say whether it may be used."""
        return True


Kept = TypeVar("Kept", bound=KeptFile)


class _File(KeptFile, forbid_unknown_fields=True):
    """A plan in a file."""

    plan: Plan

    def is_sound(self) -> bool:
        return all(map(_is_sound, self.plan.methods.values()))


class KeptFiles:
    """A folder of files that hold, as JSON, what was found out.

    Args:
        folder: That exists, and is ours alone.
        what: Is in a file, for the log.
    """

    def __init__(self, folder: Path, what: str) -> None:
        self._folder = folder
        self._what = what

    def read_as(self, key: str, kind: type[Kept]) -> Kept | None:
        """Return what was kept under a key, if there is anything."""
        path = self._path(key)
        try:
            file = msgspec.json.decode(_read(path), type=kind)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            _tell(f"the {self._what} {path} cannot be used and is made anew: {error}")
            return None
        if file.key != key or not file.is_sound():
            _tell(f"the {self._what} {path} is not what its name says and is made anew")
            return None
        return file

    def keep(self, content: KeptFile) -> None:
        """Keep something under its key; a failure is told in the log."""
        key = content.key
        path = self._path(key)
        half = path.with_name(f".{key}.{os.getpid()}.half")
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            half.unlink(missing_ok=True)
            with os.fdopen(os.open(half, flags, 0o600), "wb") as file:
                file.write(msgspec.json.encode(content))
            half.replace(path)
            self._tidy_up()
        except OSError as error:
            _tell(f"{self._what}s cannot be kept in {self._folder}: {error.strerror or error}")

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"

    def _tidy_up(self) -> None:
        """Delete the oldest files, and what processes left that were killed."""
        kept = sorted(self._folder.glob("*.json"), key=_changed_at)
        for path in kept[:-MOST_PLANS]:
            path.unlink(missing_ok=True)
        for path in self._folder.glob("*.lock"):
            if (descriptor := _lock(path)) is not None:
                _unlock(path, descriptor)
        for path in self._folder.glob(".*.half"):
            if _changed_at(path) < time.time() - _ABANDONED_S:
                path.unlink(missing_ok=True)


class PlanCache(KeptFiles):
    """A folder of plans."""

    def read(self, key: str) -> Plan | None:
        """Return the plan that was kept under a key, if there is one."""
        file = self.read_as(key, _File)
        return None if file is None else file.plan

    def write(self, key: str, plan: Plan) -> None:
        """Keep a plan; a failure is told in the log."""
        self.keep(_File(key, plan))

    @contextmanager
    def turn(self, key: str, tell_waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Wait until nobody else proves this model, and have the others wait.

        Where the file system knows no locks, nobody waits.

        Args:
            key: Of the model's plan.
            tell_waiting: Called once, if it takes longer than a second.

        Raises:
            provers.Interrupted: the process ends before it is our turn.
        """
        path = self._folder / f"{key}.lock"
        descriptor = self._wait_for(path, tell_waiting)
        try:
            yield
        finally:
            if descriptor is not None:
                _unlock(path, descriptor)

    def _wait_for(self, path: Path, tell_waiting: Callable[[], None]) -> int | None:
        descriptor, told_at = None, time.monotonic() + _PATIENCE_S
        try:
            while (descriptor := _lock(path)) is None:
                provers.pause(_LOOK_AGAIN_S)
                if time.monotonic() >= told_at:
                    told_at = float("inf")
                    tell_waiting()
        except OSError as error:
            _tell(f"plans cannot be kept in {self._folder}: {error.strerror or error}")
        return descriptor


def open_cache(environ: Mapping[str, str] = os.environ) -> PlanCache | None:
    """Return the plans of this user; None, and a line in the log, where there is no safe place for them.

    Args:
        environ: Says where: ``$XDG_CACHE_HOME/demijohn/plans``, or ``~/.cache/demijohn/plans``.
    """
    folder = _safe_folder("plan", environ)
    return None if folder is None else PlanCache(folder, "plan")


def open_kept(what: str, environ: Mapping[str, str] = os.environ) -> KeptFiles | None:
    """Return files of another kind, such as "description", beside the plans; see ``open_cache``."""
    folder = _safe_folder(what, environ)
    return None if folder is None else KeptFiles(folder, what)


def _safe_folder(what: str, environ: Mapping[str, str]) -> Path | None:
    try:
        folder = _home(environ) / "demijohn" / f"{what}s"
        folder.parent.parent.mkdir(parents=True, exist_ok=True)
        for one in (folder.parent, folder):
            one.mkdir(mode=0o700, exist_ok=True)
            if why := _why_unsafe(one):
                _tell(f"{what}s are not kept: {one} {why}")
                return None
    except (OSError, RuntimeError) as error:  # RuntimeError: nobody's home
        _tell(f"{what}s are not kept: {error}")
        return None
    return folder


def _home(environ: Mapping[str, str]) -> Path:
    # "All paths set in these environment variables must be absolute. If an implementation encounters
    # a relative path [...] it should consider the path invalid and ignore it."
    # -- XDG Base Directory Specification
    given = Path(environ.get("XDG_CACHE_HOME", ""))
    if given.is_absolute():
        return given
    home = environ.get("HOME")
    return (Path(home) if home else Path.home()) / ".cache"


def _why_unsafe(folder: Path) -> str | None:
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode):
        return "is no folder"
    if facts.st_uid != os.geteuid():
        return "belongs to another user"
    return "may be written to by others" if facts.st_mode & _OTHERS_WRITE else None


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & _OTHERS_WRITE:
            raise ValueError("it is not a file of ours alone")
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError("it is too long")
    return content


def _changed_at(path: Path) -> float:
    """Return when a file was written, in seconds since 1970; 0 where another process has deleted it."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _is_sound(plan: MethodPlan) -> bool:
    """Say whether ranges ascend to "any number" by our borders, and every engine has all its times."""
    borders = [one.up_to_rows for one in plan.ranges]
    places = [BORDERS.index(border) if border in BORDERS else -1 for border in borders]
    is_ascending = -1 not in places and places == sorted(set(places))
    has_times = all(len(times) == len(SIZES) for times in plan.times_us.values())
    return is_ascending and borders[-1:] == [None] and has_times


# Locks ----------------------------------------------------------------------------------------


def _lock(path: Path) -> int | None:
    """Make a lock's file, and lock it; returns its descriptor, None where somebody else has it.

    Raises:
        OSError: the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    _held.add(descriptor)
    if _is_locked(descriptor) and _is_at(path, descriptor):
        return descriptor
    _held.discard(descriptor)
    os.close(descriptor)
    return None


def _is_locked(descriptor: int) -> bool:
    """Lock, unless somebody else has."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        _tell(f"processes may prove the same model twice: {error.strerror or error}")
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    """Say whether the file is still there: whoever had the lock has deleted it."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _unlock(path: Path, descriptor: int) -> None:
    if descriptor not in _held:  # a child of a fork came back here: the lock is its parent's
        return
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _tell(f"{path} cannot be deleted: {error.strerror or error}")
    _held.discard(descriptor)
    os.close(descriptor)


def _forget_locks() -> None:
    """Close the parent's locks: with a copy here they would outlive it."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_forget_locks)


def _tell(text: str) -> None:
    """Write a line to the log, once in each process."""
    if text not in _told:
        _told.add(text)
        logger.warning("%s", text)
