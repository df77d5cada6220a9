"""Answers that come item by item, as server-sent events.

Rules of this room:
1. Events are asked for, and not JSON lines: only they tell an item from an error by more than its keys.
2. One item is as large as an answer may be, and no larger.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html, of which the server writes
"event: error" and one "data:" line per event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import orjson

from demijohn.errors import SignatureMismatch, UnusableAnswer

from . import json_dialect
from .calls import Call, Unfit
from .connection import Connection
from .problems import PROBLEM, read_document

EVENTS = "text/event-stream"


def stream(connection: Connection, call: Call) -> Iterator[Any]:
    """Send a call, and yield its items as they come.

    Raises:
        DemijohnError: the server's, also in the place of an item; or the answer broke off.
    """
    try:
        sent = json_dialect.encode(call)
    except Unfit as unfit:
        raise SignatureMismatch(str(unfit)) from unfit
    headers = {**sent.headers, "Accept": f"{EVENTS}, {PROBLEM};q=0.1"}
    with connection.stream(sent.path, sent.body, headers) as pieces:
        name, data = b"", b""
        for line in lines_of(pieces, connection.max_answer_bytes):
            field, _, value = line.partition(b":")
            if field == b"event":
                name = value.strip()
            elif field == b"data":
                data = value
            elif not line and data:
                yield _item(name, data)
                name, data = b"", b""


def lines_of(pieces: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    """Yield the lines of what comes in pieces, without their ends; see ``blocks_of``."""
    return chain.from_iterable(blocks_of(pieces, max_bytes))


def blocks_of(pieces: Iterable[bytes], max_bytes: int) -> Iterator[list[bytes]]:
    """Yield the lines that each piece ends, one or more; what follows the last end is dropped.

    Raises:
        UnusableAnswer: a line is longer than ``max_bytes``.
    """
    rest: list[bytes] = []
    n_bytes = 0
    for piece in pieces:
        first, *others = piece.split(b"\n")
        rest.append(first)
        n_bytes += len(first)
        if others:
            last = others.pop()
            yield [b"".join(rest), *others]
            rest, n_bytes = [last], len(last)
        if n_bytes > max_bytes:
            raise UnusableAnswer(f"One line of the answer has more than {max_bytes} bytes")


def _item(name: bytes, data: bytes) -> Any:
    if name == b"error":
        raise read_document(data) or UnusableAnswer("The stream ended with an error of another form")
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise UnusableAnswer(f"An item of the stream is no JSON: {error}") from error
