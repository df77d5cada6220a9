"""A real ``demijohn serve`` in a process of its own, for the tests that speak to a socket."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3

DEMIJOHN = [sys.executable, "-c", "from demijohn.cli import main; main()"]
START_S = 180.0  # TensorFlow takes some 10 s to import on a busy machine, twice
STOP_S = 60.0
PATIENCE_S = 30.0
_LOOK_AGAIN_S = 0.02


@dataclass
class Server:
    """A server that is up."""

    url: str
    process: subprocess.Popen[str]
    log_file: Path  #: Its stderr.
    printed: list[str] = field(default_factory=list)
    http: urllib3.PoolManager = field(
        default_factory=lambda: urllib3.PoolManager(retries=False, timeout=60.0, maxsize=64)
    )

    def request(
        self, method: str, path: str, body: bytes | str | None = None, **headers: str
    ) -> urllib3.BaseHTTPResponse:
        return self.http.request(method, self.url + path, body=body, headers=_dashed(headers), redirect=False)

    def get(self, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
        return self.request("GET", path, **headers)

    def post(self, path: str, body: Any, **headers: str) -> urllib3.BaseHTTPResponse:
        """Post JSON, or bytes as they are."""
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body).encode()
            headers.setdefault("content_type", "application/json")
        return self.request("POST", path, body, **headers)

    def put(self, path: str, body: bytes, **headers: str) -> urllib3.BaseHTTPResponse:
        return self.request("PUT", path, body, **headers)

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    @property
    def workers(self) -> set[int]:
        """Process ids of the workers, draining ones included."""
        pid = self.process.pid
        return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

    def await_workers(self, count: int, *, without: int | None = None) -> set[int]:
        """Wait until there are so many workers, ``without`` not among them, and all of them are ready."""
        until(lambda: len(self.workers) == count and without not in self.workers)
        # The kernel spreads connections by their ports, so a few of them meet every worker.
        until(lambda: all(_is_ready(self) for _ in range(8 * count)))
        return self.workers

    def stop(self) -> int:
        """Ask it to drain; returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=STOP_S)


def until(claim: Callable[[], Any], within_s: float = PATIENCE_S) -> Any:
    """Wait until a claim holds, and return what it says then."""
    give_up = time.monotonic() + within_s
    while not (said := claim()):
        assert time.monotonic() < give_up, f"still not so after {within_s} s"
        time.sleep(_LOOK_AGAIN_S)
    return said


def _is_ready(server: Server) -> bool:
    try:
        return server.get("/readyz", connection="close").status == 200
    except urllib3.exceptions.HTTPError:
        return False


def _dashed(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


@contextmanager
def serving(
    words: Sequence[str | Path], *options: str, cwd: Path | None = None, **environ: str
) -> Iterator[Server]:
    """Run ``demijohn serve`` on a free port until the block ends; it must then exit with 0."""
    command = [*DEMIJOHN, "serve", *map(str, words), "--port", "0", *options]
    with tempfile.NamedTemporaryFile("w", suffix=".log") as log:
        process = subprocess.Popen(
            command, cwd=cwd, env={**os.environ, **environ}, stdout=subprocess.PIPE, stderr=log, text=True
        )
        assert process.stdout is not None
        try:
            with process.stdout:
                server = _await_announcement(process, Path(log.name))
                yield server
                server.http.clear()
                if process.poll() is None:
                    assert server.stop() == 0
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            sys.stderr.write(Path(log.name).read_text(errors="replace"))  # pytest shows it where a test fails


def _await_announcement(process: subprocess.Popen[str], log: Path) -> Server:
    """Read what it prints until it has said where it is and how to stop it."""
    assert process.stdout is not None
    timer = threading.Timer(START_S, process.kill)
    timer.start()
    printed: list[str] = []
    for line in process.stdout:
        printed.append(line.rstrip("\n"))
        if "Ctrl-C" in line or _is_app_line(line):
            break
    timer.cancel()
    found = re.search(r"http://\S+?:\d+", "\n".join(printed))
    assert found, f"demijohn serve did not start: {printed}, exit {process.poll()}, {log.read_text()}"
    return Server(found[0], process, log, printed)


def _is_app_line(line: str) -> bool:
    """Say whether this is all that ``serve module:attribute`` prints."""
    return bool(re.match(r"[\w.]+:[\w.()]+ at http://", line))
