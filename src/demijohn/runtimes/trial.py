"""Trying a model file out in a child process, before this process believes it.

The formats of boosters hold no code, but what reads them is compiled: a broken or hostile file can end
the process that reads it, or make it ask for all memory there is.

Rules of this room:
1. The child does all that its parent is about to do with the file; nothing of it is kept.
2. It may take some memory more than its parent has, and not for ever.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from demijohn.errors import DemijohnError, LoadError

DEADLINE_S = 60.0
_ROOM_BYTES = 2**30  # beside what its parent has
_ROOM_PER_BYTE = 32  # of the file
_LONGEST_TEXT = 1_000
_FINE = b"+"
_WRONG = b"-"


def try_out(work: Callable[[], object], path: Path, size_bytes: int) -> None:
    """Do something with a file in a child process.

    Args:
        work: Runs in the child; the frameworks that it needs are best imported before.
        path: Of the file, for the error.
        size_bytes: Of the file.

    Raises:
        LoadError: it fails, takes too long or too much memory, or ends the child.
    """
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns of threads at a fork. Those of numerical libraries survive it by themselves.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        _be_the_child(work, writing, size_bytes)
    os.close(writing)
    try:
        said = _listen(reading, time.monotonic() + DEADLINE_S)
    finally:
        os.close(reading)
        os.kill(pid, signal.SIGKILL)  # it has said all that it will; until waited for, it is there
        _, status = os.waitpid(pid, 0)
    why_not = _why_not(said, status)
    if why_not is not None:
        raise LoadError(f"{path} cannot be read: {why_not}")


def _be_the_child(work: Callable[[], object], writing: int, size_bytes: int) -> NoReturn:
    """Work, say how it went, and end without another word."""
    try:
        _limit_memory(size_bytes)
        _be_silent()
        work()
        said = _FINE
    except DemijohnError as error:
        said = _WRONG + error.detail.encode()
    except BaseException as error:  # noqa: BLE001  - a framework is foreign code, and nothing may get out of here
        said = _WRONG + f"{type(error).__name__}: {_first_line(error)}".encode()
    try:
        os.write(writing, said[:_LONGEST_TEXT])
    finally:
        os._exit(0)


def _limit_memory(size_bytes: int) -> None:
    with open("/proc/self/statm", "rb") as file:
        n_pages = int(file.read().split()[0])
    most = n_pages * resource.getpagesize() + _ROOM_BYTES + _ROOM_PER_BYTE * size_bytes
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or most < hard:
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _be_silent() -> None:
    """Let nobody hear what a library has to say before it gives up."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def _listen(reading: int, deadline: float) -> bytes | None:
    """Return all that the child says; None: it is still at it."""
    said = b""
    poll = select.poll()  # select itself knows 1,024 descriptors
    poll.register(reading, select.POLLIN | select.POLLHUP)
    while (left_s := deadline - time.monotonic()) > 0:
        if poll.poll(left_s * 1000):
            part = os.read(reading, _LONGEST_TEXT)
            if not part:
                return said
            said += part
    return None


def _why_not(said: bytes | None, status: int) -> str | None:
    if said is None:
        return f"trying it out took longer than {DEADLINE_S:g} s"
    if not said:
        how = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "no signal"
        return f"it ended the process that tried it out ({how})"
    return None if said == _FINE else said[len(_WRONG) :].decode(errors="replace")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no reason given"
