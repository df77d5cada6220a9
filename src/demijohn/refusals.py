"""What the server itself answers where no application can: an error, and the connection ends.

It is problem+json, but for a request whose path is another dialect's wherever it may stand: a client of that
reads no other form.

Its length on the wire is known to the byte; ``connections`` says what that is good for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Protocol

from .errors import DemijohnError
from .protocols import PROTOCOLS, InferenceProtocol, native

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}\Z")
_VERB = re.compile(r":[A-Za-z]+\Z")
_LINE_END = 2
_DATE_BYTES = len("date: Mon, 23 Nov 2026 23:01:59 GMT\r\n")


class Responder(Protocol):
    """Granian's half of one request: takes one answer, from any thread, and ignores any more."""

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Answer with a whole body; header names and values must be clean, status 200 to 599."""

    def response_iter(self, status: int, headers: list[tuple[str, str]], body: Any) -> None:
        """Answer with ``body.__next__()`` until it stops; blocks until the last is on its way."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One answer, whole."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def send(self, responder: Responder) -> None:
        """Answer with it, unless the request has been answered."""
        responder.response_bytes(self.status, list(self.headers), self.body)

    def padded(self, n_bytes: int) -> Refusal:
        """Return the same answer, so much longer; JSON may end in spaces."""
        return replace(self, body=self.body + b" " * n_bytes)

    @property
    def wire_bytes(self) -> int:
        """Length of the answer as Granian writes it, which adds Content-Length and Date."""
        headers = [*self.headers, ("content-length", str(len(self.body)))]
        return wire_bytes(self.status, headers) + len(self.body)


def wire_bytes(status: int, headers: Iterable[tuple[str, str]]) -> int:
    """Return the length of an answer's head as Granian writes it, which adds the Date; one with a Server."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "<none>"  # hyper's word
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers), ""]
    return sum(len(line) + _LINE_END for line in lines) + _DATE_BYTES


def refuse(error: DemijohnError, environ: Mapping[str, Any]) -> Refusal:
    """Write an error as the answer to a request.

    Args:
        error: Becomes problem+json, or what the dialect of the path has for it.
        environ: WSGI's; its X-Request-Id is echoed if it is clean. Without a path, the dialect is not known.
    """
    protocol = _dialect_of(environ.get("PATH_INFO", ""), environ.get("HTTP_ACCEPT", ""))
    given = environ.get("HTTP_X_REQUEST_ID", "")
    request_id = given if _REQUEST_ID.match(given) else os.urandom(16).hex()
    encoded = protocol.encode_error(error, request_id)
    headers = [
        ("content-type", encoded.content_type),
        ("x-request-id", request_id),
        ("cache-control", "no-store"),
    ]
    headers += [*encoded.headers.items(), ("connection", "close"), ("server", "granian")]
    return Refusal(protocol.status_of(error), tuple(headers), encoded.body)


def _dialect_of(path: str, accept: str) -> InferenceProtocol:
    if native.PROBLEM in accept:
        return native
    # How the paths look that take a body, whatever stands before them.
    if "/v2/repository/" in path or ("/v2/models/" in path and path.endswith("/infer")):
        return PROTOCOLS["open-inference"]
    if "/v1/models/" in path.lower() and _VERB.search(path):
        return PROTOCOLS["tensorflow"]
    return PROTOCOLS["mlflow"] if path.endswith("/invocations") else native
