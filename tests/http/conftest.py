"""The servers that the tests of this folder share.

Whatever is asked of these is asked twice, with the fast lane and without it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.http import folder
from tests.http.claims import check_alive
from tests.servers import Server, serving

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session", params=["1", "0"], ids=["lane", "flask"])
def fast_lane(request: pytest.FixtureRequest) -> str:
    """DEMIJOHN_FAST_LANE."""
    value: str = request.param
    return value


@pytest.fixture(scope="session")
def files(fast_lane: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """``demijohn serve folder``, two workers; its log names every request that reached it."""
    path = tmp_path_factory.mktemp("models")
    folder.save(path)
    os.environ.pop("FLASK_DEBUG", None)
    environ = {"DEMIJOHN_BODY_TIMEOUT_S": "3", "DEMIJOHN_FAST_LANE": fast_lane}
    with serving([path], "--workers", "2", "--access-log", *folder.OPTIONS, **environ) as server:
        server.await_workers(2)
        yield server


@pytest.fixture(scope="session")
def app(fast_lane: str) -> Iterator[Server]:
    """``demijohn serve tests.http.apps:app``, two workers: our routes are under /ml."""
    with serving(["tests.http.apps:app"], "--workers", "2", cwd=ROOT, DEMIJOHN_FAST_LANE=fast_lane) as server:
        yield server


@pytest.fixture
def server(files: Server) -> Iterator[Server]:
    """The shared server; whatever a test sends, it must leave it as it was."""
    workers = files.workers
    yield files
    check_alive(files, workers)
