"""A WSGI application that does what a path says, and a server of it in a process of its own.

As a script it serves; the tests of the server import the rest.
"""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from demijohn.config import Settings
from demijohn.errors import DemijohnError
from demijohn.lifecycle import Lifecycle
from demijohn.server import ServerOptions, serve

PATIENCE_S = 20.0
Environ = dict[str, Any]


class Application:
    """Answers ``/word?argument`` with its method of that name."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle
        self._busy = 0

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        word = environ["PATH_INFO"].strip("/") or "hello"
        answer = getattr(self, word)(environ)
        headers = [("Content-Type", "text/plain"), ("X-Request-Id", "id-1")]
        if word == "header":
            headers.append(("X-Reflected", json.loads(environ["wsgi.input"].read())))
        if isinstance(answer, str):
            answer = [answer.encode()]
            headers.append(("Content-Length", str(len(answer[0]))))
        start_response("200 OK", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else answer

    def hello(self, environ: Environ) -> str:
        return "hello"

    def header(self, environ: Environ) -> str:
        return "reflected"

    def pid(self, environ: Environ) -> str:
        return str(os.getpid())

    def state(self, environ: Environ) -> str:
        life = self._lifecycle
        return json.dumps(
            {
                "draining": life.is_draining,
                "restarts": life.restarts(),
                "worker": life.worker_id,
                "pid": os.getpid(),
                "busy": self._busy,
            }
        )

    def environ(self, environ: Environ) -> str:
        return json.dumps({name: value for name, value in environ.items() if isinstance(value, str)})

    def body(self, environ: Environ) -> str:
        return str(len(environ["wsgi.input"].read()))

    def fail(self, environ: Environ) -> str:
        raise RuntimeError("secret detail")

    def leave(self, environ: Environ) -> str:
        sys.exit(1)

    def stream(self, environ: Environ) -> Iterator[bytes]:
        return (f"{number}\n".encode() for number in range(1000))

    def wait(self, environ: Environ) -> str:
        """Take so many seconds, as a model that waits."""
        self._busy += 1
        time.sleep(float(environ["QUERY_STRING"]))
        self._busy -= 1
        return "waited"

    def hang(self, environ: Environ) -> str:
        """Keep a call long past its deadline."""
        ticket = self._lifecycle.call_begins(time.monotonic() + 0.5)
        time.sleep(60)
        self._lifecycle.call_ends(ticket)
        return "hung"

    def hold(self, environ: Environ) -> str:
        """The same, and let no other thread of this process run."""
        self._lifecycle.call_begins(time.monotonic() + float(environ["QUERY_STRING"] or 0.5))
        ctypes.PyDLL(None).sleep(60)
        return "held"


def load(how: str, lifecycle: Lifecycle) -> Application:
    if how == "fails":
        raise ValueError("no such model\nand more that nobody needs")
    if how == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "slowly":
        time.sleep(2)
    return Application(lifecycle)


def announce(url: str) -> None:
    os.write(1, f"{url}\n".encode())


def main() -> int:
    """Serve as the JSON in the first argument says."""
    order = json.loads(sys.argv[1])
    settings = Settings(**order["settings"])
    options = ServerOptions(**order["options"])
    try:
        return serve(
            lambda lifecycle: load(order["load"], lifecycle),
            options,
            settings,
            announce,
        )
    except DemijohnError as error:
        sys.stderr.write(f"{error.detail}\n")
        return 2


# For the tests ------------------------------------------------------------------------------


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """A server that was started."""

    process: subprocess.Popen[str]
    port: int = 0

    def request(self, path: str, body: bytes | Iterable[bytes] | None = None, **headers: str) -> Answer:
        with self.connected() as connection:
            return ask(connection, path, body, **headers)

    @contextmanager
    def connected(self) -> Iterator[http.client.HTTPConnection]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            yield connection
        finally:
            connection.close()

    def raw(self, data: bytes) -> socket.socket:
        """Open a connection and send so much of a request."""
        connection = socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)
        connection.sendall(data)
        return connection

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self.request("/state").body)
        return state

    def workers(self) -> set[int]:
        return {child.pid for child in psutil.Process(self.process.pid).children()}

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = PATIENCE_S) -> int:
        return self.process.wait(seconds)


def ask(
    connection: http.client.HTTPConnection,
    path: str,
    body: bytes | Iterable[bytes] | None = None,
    **headers: str,
) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("GET" if body is None else "POST", path, body, named)
    response = connection.getresponse()
    found = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, found, response.read())


@contextmanager
def started(load: str = "well", port: int = 0, host: str = "127.0.0.1", **given: Any) -> Iterator[Server]:
    """Start a server and do not wait for it; ``given`` are ServerOptions and Settings."""
    options = {name: given.pop(name) for name in ("workers", "threads", "access_log") if name in given}
    order = {"load": load, "options": {"host": host, "port": port, **options}, "settings": given}
    with subprocess.Popen(
        [sys.executable, __file__, json.dumps(order)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "DEMIJOHN_API_KEY": "secret of the environment"},
    ) as process:
        try:
            yield Server(process, port)
        finally:
            process.kill()


@contextmanager
def running(**given: Any) -> Iterator[Server]:
    """Start a server and wait until it serves."""
    with started(**given) as server:
        assert server.process.stdout
        url = server.process.stdout.readline()
        assert url.startswith("http://127.0.0.1:"), server.process.communicate()
        server.port = int(url.rpartition(":")[2])
        yield server


def until(condition: Callable[[], Any], seconds: float = PATIENCE_S) -> Any:
    """Return what the condition returns once that is true."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
    return result


def in_background(task: Callable[[], Any]) -> Callable[[], Any]:
    """Run a task in a thread; the function returned waits for its result."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(task())
        except OSError as error:
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result() -> Any:
        thread.join(PATIENCE_S)
        return results[0]

    return result


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.exit(main())
