"""The threads that prove, and their end: none of them may be inside a library when the process ends.

Rules of this room:
1. When Python ends, a thread that comes back from compiled code is unwound by force, and where that
   code is C++ which promises not to throw, the process aborts (exit status 134). So before Python
   ends, every thread that was started here is asked to stop, and waited for.
2. Whoever proves asks ``check`` before each call of an engine or of the framework. ``Interrupted`` is
   no ``Exception``: what treats a failure as a finding lets it pass, so nothing is concluded from it.

Source: CPython, ``PyThread_exit_thread``, and https://github.com/python/cpython/issues/87135.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable

LONGEST_S = 10.0  #: That the end of the process waits for the call that a prover is in.

_ending = threading.Event()
_threads: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
_lock = threading.Lock()


class Interrupted(BaseException):
    """The process ends, and with it what was being found out."""


def start(target: Callable[[], None], *, name: str) -> threading.Thread:
    """Run something in a thread that the end of the process may interrupt.

    Args:
        target: Asks ``check`` wherever it may be left off.
        name: Of the thread.
    """

    def run() -> None:
        try:
            target()
        except Interrupted:
            return

    # A daemon: the process is to end with it, not after it.
    thread = threading.Thread(target=run, name=name, daemon=True)
    with _lock:
        atexit.unregister(_end)  # whatever libraries registered since the last time comes after us
        atexit.register(_end)
        thread.start()
        _threads.add(thread)
    return thread


def check() -> None:
    """Go on, unless the process ends.

    Raises:
        Interrupted: it does.
    """
    if _ending.is_set():
        raise Interrupted


def pause(seconds: float) -> None:
    """Wait, but not beyond the end of the process.

    Raises:
        Interrupted: it ends.
    """
    if _ending.wait(seconds):
        raise Interrupted


def _end() -> None:
    """Ask all threads to stop, and wait for what they are in just now."""
    _ending.set()
    until = time.monotonic() + LONGEST_S
    with _lock:
        threads = list(_threads)
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))


def _start_anew() -> None:
    """Begin without threads: a fork copies none."""
    global _ending, _threads, _lock
    _ending, _threads, _lock = threading.Event(), weakref.WeakSet(), threading.Lock()


os.register_at_fork(after_in_child=_start_anew)
