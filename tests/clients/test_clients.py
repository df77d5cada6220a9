"""The clients of other servers get what they ask for, of one real server of two workers."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.http import folder
from tests.servers import Server, serving

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LONGEST_S = 240  # kserve alone takes seconds to import

#: By the script, the environment that has its client.
CLIENTS = {
    "triton": ".venv-clients",
    "of_kserve": ".venv-clients",
    "of_mlflow": ".venv-clients",
    "of_mlserver": ".venv-mlserver",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path = tmp_path_factory.mktemp("models")
    folder.save(path)
    options = ["--workers", "2", "--model-control", *folder.OPTIONS, "--default", "table"]
    with serving([path], *options) as server:
        server.await_workers(2)
        yield server


@pytest.mark.parametrize("script", CLIENTS)
def test_every_call_of_a_client_is_answered(server: Server, script: str) -> None:
    python = ROOT / CLIENTS[script] / "bin" / "python"
    command = [python, HERE / f"{script}.py", server.url.removeprefix("http://")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
