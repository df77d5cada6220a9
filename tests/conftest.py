"""What every test runs with: a cache of plans of its own, which nobody finds afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name what is compressed without the instant in it: processes that share the tests compare names."""
    is_gzip = isinstance(val, bytes) and val.startswith(b"\x1f\x8b")
    return f"gzip of {len(val)} bytes" if is_gzip else None  # type: ignore[arg-type]


@pytest.fixture(scope="session", autouse=True)
def cache_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep plans, also those of the processes that a test starts, away from the user's own."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before
