"""A server that answers what a test has written down, byte by byte, and keeps what it was sent."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

Reply = bytes | Iterable[bytes | None] | None


@dataclass
class FakeServer:
    """Listens on loopback; one reply for each request, in order, the last one for ever.

    A reply is the bytes of an answer, or pieces of them; None, in the place of either, ends the connection.
    """

    replies: list[Reply] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)  #: Heads.
    bodies: list[bytes] = field(default_factory=list)
    n_connections: int = 0
    tls: ssl.SSLContext | None = None

    def __enter__(self) -> FakeServer:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            connection.close()

    @property
    def url(self) -> str:
        return f"{'http' if self.tls is None else 'https'}://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
                if self.tls is not None:
                    connection = self.tls.wrap_socket(connection, server_side=True)
            except ssl.SSLError:
                continue
            except OSError:
                return
            self.n_connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as stream:
                while head := _read_head(stream):
                    self.requests.append(head)
                    self.bodies.append(_read_body(stream, head))
                    reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
                    if reply is None:
                        return
                    for piece in [reply] if isinstance(reply, bytes) else reply:
                        if piece is None:
                            return
                        connection.sendall(piece)
        except OSError:  # the client has gone, or the test has ended
            return


def _read_head(stream: Any) -> bytes:
    lines = []
    while (line := stream.readline()) not in (b"\r\n", b""):
        lines.append(line)
    return b"".join(lines)


def _read_body(stream: Any, head: bytes) -> bytes:
    for line in head.lower().splitlines():
        if line.startswith(b"content-length:"):
            body: bytes = stream.read(int(line.partition(b":")[2]))
            return body
    return b""


def answer(
    body: bytes | dict[str, Any] | list[Any],
    status: int = 200,
    content_type: str = "application/json",
    **headers: str,
) -> bytes:
    """Write a whole answer."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [
        f"HTTP/1.1 {status} Whatever",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(content)}",
    ]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


def problem(status: int, code: str, **headers: str) -> bytes:
    """Write an error as the server does."""
    document = {
        "type": f"urn:demijohn:problem:{code}", "title": "", "status": status, "detail": "as it is",
        "code": code, "errors": [], "request_id": "id-1",
    }  # fmt: skip
    return answer(document, status, "application/problem+json", **headers)


#: What ``GET /models/m`` of a matrix model may answer.
DESCRIPTION: dict[str, Any] = {
    "name": "m",
    "version": "1",
    "versions": ["1"],
    "aliases": {},
    "state": "ready",
    "methods": ["predict"],
    "streams": [],
    "classes": None,
    "signature": {
        "layout": "matrix",
        "inputs": [
            {"name": "inputs", "dtype": "float64", "shape": [-1, 2], "nullable": False, "categories": None}
        ],
        "outputs": {
            "predict": [
                {"name": "predict", "dtype": "float64", "shape": [-1], "nullable": False, "categories": None}
            ]
        },
        "others": {},
    },
    "plan": {},
}
