"""Plans that were made before, by this or another process of the same user, in files.

Rules of this room:
1. The folder is ours alone: where another user owns it, or others may write to it, it is not used.
2. A file is written whole or not at all. What is read is checked in full; what is broken, foreign or
   of another shape counts as absent, is told once in the log, and is replaced.
3. One process at a time proves a model; the others wait, each in its background thread.
4. Whatever goes wrong here costs time, never an answer.
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from .plan import BORDERS, SIZES, MethodPlan, Plan

logger = logging.getLogger("demijohn.acceleration")

MOST_PLANS = 200  #: The oldest go.
_MOST_BYTES = 1_000_000
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_told: set[str] = set()


class _File(msgspec.Struct, forbid_unknown_fields=True):
    """What stands in a file."""

    key: str
    plan: Plan


class PlanCache:
    """A folder of plans.

    Args:
        folder: That exists, and is ours alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, key: str) -> Plan | None:
        """Return the plan that was kept under a key, if there is one."""
        path = self._path(key)
        try:
            file = msgspec.json.decode(_read(path), type=_File)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            _tell(f"the plan {path} cannot be used and is made anew: {error}")
            return None
        if file.key != key or not all(map(_is_sound, file.plan.methods.values())):
            _tell(f"the plan {path} is not what its name says and is made anew")
            return None
        return file.plan

    def write(self, key: str, plan: Plan) -> None:
        """Keep a plan; a failure is told in the log."""
        path = self._path(key)
        half = path.with_name(f".{key}.{os.getpid()}.half")
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            half.unlink(missing_ok=True)
            with os.fdopen(os.open(half, flags, 0o600), "wb") as file:
                file.write(msgspec.json.encode(_File(key, plan)))
            half.replace(path)
            self._drop_oldest()
        except OSError as error:
            _tell(f"plans cannot be kept in {self._folder}: {error.strerror or error}")

    @contextmanager
    def turn(self, key: str) -> Iterator[None]:
        """Wait until nobody else proves this model, and have the others wait.

        Where the file system knows no locks, nobody waits.
        """
        try:
            descriptor = os.open(
                self._folder / f"{key}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            _tell(f"plans cannot be kept in {self._folder}: {error.strerror or error}")
            yield
            return
        try:
            _lock(descriptor)
            yield
        finally:
            os.close(descriptor)  # gives the lock back, unless a process forked meanwhile still has it

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"

    def _drop_oldest(self) -> None:
        plans = [(path.stat().st_mtime, path) for path in self._folder.glob("*.json")]
        for _, path in sorted(plans)[:-MOST_PLANS]:
            path.unlink(missing_ok=True)
            # Whoever waits for the lock has it open already; who comes later makes a new one, and at
            # worst two prove the same.
            path.with_suffix(".lock").unlink(missing_ok=True)


def open_cache(environ: Mapping[str, str] = os.environ) -> PlanCache | None:
    """Return the plans of this user; None, and a line in the log, where there is no safe place for them.

    Args:
        environ: Says where: ``$XDG_CACHE_HOME/demijohn/plans``, or ``~/.cache/demijohn/plans``.
    """
    try:
        folder = _home(environ) / "demijohn" / "plans"
        folder.parent.parent.mkdir(parents=True, exist_ok=True)
        for one in (folder.parent, folder):
            one.mkdir(mode=0o700, exist_ok=True)
            if why := _why_unsafe(one):
                _tell(f"plans are not kept: {one} {why}")
                return None
    except (OSError, RuntimeError) as error:  # RuntimeError: nobody's home
        _tell(f"plans are not kept: {error}")
        return None
    return PlanCache(folder)


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


def _is_sound(plan: MethodPlan) -> bool:
    """Say whether ranges ascend to "any number" by our borders, and every engine has all its times."""
    borders = [one.up_to_rows for one in plan.ranges]
    places = [BORDERS.index(border) if border in BORDERS else -1 for border in borders]
    is_ascending = -1 not in places and places == sorted(set(places))
    has_times = all(len(times) == len(SIZES) for times in plan.times_us.values())
    return is_ascending and borders[-1:] == [None] and has_times


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        _tell(f"processes may prove the same model twice: {error.strerror or error}")


def _tell(text: str) -> None:
    """Write a line to the log, once in each process."""
    if text not in _told:
        _told.add(text)
        logger.warning("%s", text)
