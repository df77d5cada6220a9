"""Locks on files, which the kernel drops with the process that holds them, however it ends."""

from __future__ import annotations

import fcntl


def try_lock(file: int, kind: int) -> bool:
    """Say whether we got a lock; not by lockf, whose lock goes with any descriptor of the file.

    Args:
        file: A descriptor.
        kind: ``fcntl.LOCK_EX`` or ``LOCK_SH``.
    """
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
