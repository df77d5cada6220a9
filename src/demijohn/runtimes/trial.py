"""Trying a model file out in a child process, before this process believes it.

The formats of boosters hold no code, but what reads them is compiled: a broken or hostile file can end
the process that reads it, or make it ask for all memory there is.

A fork will do here, and costs milliseconds: these libraries are imported already, and survive one. For those
that do not there is ``apart``, whose processes begin anew, and cost what importing a framework does.

Rules of this room:
1. The child does all that its parent is about to do with the file; nothing of it is kept.
2. It may take some memory more than its parent has, and not for ever.
"""

from __future__ import annotations

import faulthandler
import os
import re
import resource
import select
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from demijohn.errors import DemijohnError, LoadError
from demijohn.refusal_texts import named_line

DEADLINE_S = 60.0
#: Beside what its parent has. Of addresses much more is taken than used: allocators and threads reserve them.
_ROOM_BYTES, _ADDRESS_BYTES = 2**29, 2**34
_ROOM_PER_BYTE = 32  # of the file
_LOOK_AGAIN_S = 0.05
_LONGEST_TEXT = 1_000
#: A class, and where in its own sources a library found something wrong.
_PLACE = re.compile(r"^(\w+: )(?:\[[\d:]+\] )?[\w./-]+\.(?:cc|cpp|h):\d+: ")
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
        _be_the_child(work, writing)
    os.close(writing)
    try:
        said = _listen(reading, pid, _own_bytes(os.getpid()) + _ROOM_BYTES + _ROOM_PER_BYTE * size_bytes)
    finally:
        os.close(reading)
        os.kill(pid, signal.SIGKILL)  # it has said all that it will; until waited for, it is there
        _, status = os.waitpid(pid, 0)
    why_not = _why_not(said, status)
    if why_not is not None:
        raise LoadError(f"{path} cannot be read: {why_not}")


def _be_the_child(work: Callable[[], object], writing: int) -> NoReturn:
    """Work, say how it went, and end without another word."""
    try:
        _limit_memory()
        _be_silent()
        work()
        said = _FINE
    except DemijohnError as error:
        said = _WRONG + error.detail.encode()
    except BaseException as error:  # noqa: BLE001  - a framework is foreign code, and nothing may get out of here
        said = _WRONG + _PLACE.sub(r"\1", named_line(error)).encode()
    try:
        os.write(writing, said[:_LONGEST_TEXT])
    finally:
        os._exit(0)


def _limit_memory() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or hard > _ADDRESS_BYTES:
        resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_BYTES, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _own_bytes(pid: int) -> int:
    """Return the memory of a process without files' pages; 0 where it is gone, or the system does not say."""
    try:
        resident, of_files = map(int, Path(f"/proc/{pid}/statm").read_bytes().split()[1:3])
    except (OSError, ValueError):
        return 0
    return (resident - of_files) * resource.getpagesize()


def _be_silent() -> None:
    """Let nobody hear what a library has to say before it gives up."""
    faulthandler.disable()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def _listen(reading: int, pid: int, most_bytes: int) -> bytes:
    """Return all that the child says, or what is said of one that does not come to an end."""
    said = b""
    give_up = time.monotonic() + DEADLINE_S
    poll = select.poll()  # select itself knows 1,024 descriptors
    poll.register(reading, select.POLLIN | select.POLLHUP)
    while time.monotonic() < give_up:
        if poll.poll(_LOOK_AGAIN_S * 1000):
            part = os.read(reading, _LONGEST_TEXT)
            if not part:
                return said
            said += part
        elif _own_bytes(pid) > most_bytes:
            return _WRONG + b"trying it out took too much memory"
    return _WRONG + f"trying it out took longer than {DEADLINE_S:g} s".encode()


def _why_not(said: bytes, status: int) -> str | None:
    if not said:
        how = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "no signal"
        return f"it ended the process that tried it out ({how})"
    return None if said == _FINE else said[len(_WRONG) :].decode(errors="replace")
