"""Locks on files between whoever opens them."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from demijohn.file_locks import try_lock


def test_a_lock_is_had_once_or_shared_and_goes_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "file"
    first, second, third = (os.open(path, os.O_RDWR | os.O_CREAT, 0o600) for _ in range(3))
    assert try_lock(first, fcntl.LOCK_EX)
    assert not try_lock(second, fcntl.LOCK_EX)
    assert not try_lock(second, fcntl.LOCK_SH)
    os.close(first)
    assert try_lock(second, fcntl.LOCK_SH)
    assert try_lock(third, fcntl.LOCK_SH)
    os.close(second)
    os.close(third)
