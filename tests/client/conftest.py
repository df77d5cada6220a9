"""The server that the tests of this folder share, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.client.fake_server import FakeServer
from tests.servers import Server, serving

from demijohn import Client

ROOT = Path(__file__).parents[2]
KEY = "a-key"


@pytest.fixture(scope="session")
def served() -> Iterator[Server]:
    """``demijohn serve tests.client.app:app``: the models are under /ml, behind a key."""
    environ = {"DEMIJOHN_API_KEY": KEY, "DEMIJOHN_DEADLINE_S": "1", "DEMIJOHN_MAX_BODY_BYTES": "2000000"}
    with serving(["tests.client.app:app"], "--workers", "1", cwd=ROOT, **environ) as server:
        yield server


@pytest.fixture
def client(served: Server) -> Iterator[Client]:
    with Client(f"{served.url}/ml", key=KEY) as client:
        yield client


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server
