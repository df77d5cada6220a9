"""NVIDIA's own client of the Open Inference Protocol gets what it asks for."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.http import folder
from tests.servers import serving

HERE = Path(__file__).parent
PYTHON = HERE.parents[1] / ".venv-clients" / "bin" / "python"


def test_every_call_of_tritonclient_is_answered(tmp_path: Path) -> None:
    folder.save(tmp_path)
    with serving([tmp_path], "--workers", "2", *folder.OPTIONS) as server:
        server.await_workers(2)
        address = server.url.removeprefix("http://")
        command = [PYTHON, HERE / "triton.py", address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
