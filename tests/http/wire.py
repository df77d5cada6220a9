"""HTTP/1.1 by hand: what no client library would send, and what comes back."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

TIMEOUT_S = 20.0

_LAST = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: last\r\nConnection: close\r\n\r\n"

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    """One answer."""

    status: int
    headers: dict[str, str]  #: Names in lower case.
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def get(path: str, headers: Headers = (), *, method: str = "GET", host: str = "localhost") -> bytes:
    """Write the head of a request."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def post(path: str, headers: Headers = ()) -> bytes:
    """Write the head of a request with a JSON body, whose framing ``headers`` must give."""
    return get(path, [("Content-Type", "application/json"), *headers], method="POST")


def exchange(address: tuple[str, int], *pieces: bytes, half_close: bool = False) -> list[Answer]:
    """Send bytes on a connection of their own; return all answers to them.

    After the first answer a plain request follows, which ends the connection: if the server took the
    bytes for more than one request, it has answered all of them before that.

    Args:
        address: Of the server.
        *pieces: What is sent.
        half_close: Say that this is all, and only then read.

    Raises:
        TimeoutError: the server neither answers nor ends the connection.
    """
    with socket.create_connection(address, timeout=TIMEOUT_S) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            half_close = True  # it has ended the connection; what it said before may still be read
        if half_close:
            _end(connection)
            return read_answers(connection)
        answers, rest = _read(connection, 1, b"")
        try:
            connection.sendall(_LAST)
        except OSError:
            return answers  # it is no longer connected
        answers += _read(connection, None, rest)[0]
        return [answer for answer in answers if answer.headers.get("x-request-id") != "last"]


def _end(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        return  # it is no longer connected


def read_answers(connection: socket.socket, count: int | None = None) -> list[Answer]:
    """Read so many answers; all up to the end of the connection if None."""
    return _read(connection, count, b"")[0]


def _read(connection: socket.socket, count: int | None, data: bytes) -> tuple[list[Answer], bytes]:
    """Read so many answers, or all; returns what was read of the next one, too."""
    answers: list[Answer] = []
    while count is None or len(answers) < count:
        answer, data = _parse(data)
        if answer is not None:
            answers.append(answer)
            continue
        try:
            piece = connection.recv(65_536)
        except ConnectionResetError:
            break
        if not piece:
            break
        data += piece
    return answers, data


def _parse(data: bytes) -> tuple[Answer | None, bytes]:
    """Cut the first whole answer off; those of ours say how long they are."""
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        return None, data
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(headers.get("content-length", 0))
    if len(rest) < length:
        return None, data
    return Answer(int(status_line.split()[1]), headers, rest[:length]), rest[length:]


def chunked(pieces: Iterable[bytes]) -> bytes:
    """Write a body in chunks."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
