"""Requests that no client should send: spoiled copies of a good one, the same at every call.

Rule of this room: what is drawn is seeded, so that a finding can be found again.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator, Mapping
from typing import Any

from .protocol_subject import Sent

_DEEP = 100_000
_N_FLIPPED = 150
_N_CUT = 20
_SHOWN = 60
#: What takes the place of each value of a document.
_STRANGERS: tuple[Any, ...] = (
    None, True, -1, 0, 2**31 - 1, 2**63, 1e308, "", "x", "\u0000é", [], {}, [[]], [[[[1]]], 2],
    {"x": {"y": 1}},
)  # fmt: skip
_WHOLE = {
    "nothing": b"",
    "white space": b" \n",
    "null": b"null",
    "a number": b"1",
    "a text": b'"x"',
    "an empty list": b"[]",
    "an empty object": b"{}",
    "bytes that are not UTF-8": b"\xff\xfe\xfd",
    "UTF-16": '{"x": 1}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a lone surrogate": b'{"\\ud800": "\\ud800"}',
    "a bare NaN": b"[NaN]",
    "a number too large": b"[1e400]",
    "a number of 5,000 digits": b"[" + b"9" * 5_000 + b"]",
    "a pickle": b"\x80\x04K\x01.",
    "zeros": bytes(1_000),
    "lists without end": b"[" * _DEEP,
    "nested lists": b"[" * _DEEP + b"]" * _DEEP,
    "objects without end": b'{"x":' * _DEEP,
    "a text without end": b'"' + b"\\" * _DEEP,
}
_WORDS = ("", "x", "-1", "0", "1", "99999999999999999999", "²", "1e3", "\x7f", ";", "text/csv; header=absent")


def broken_bodies(sent: Sent) -> Iterator[tuple[str, Sent]]:
    """Yield spoiled requests, and what is wrong with each."""
    body = sent.body
    for what, other in _WHOLE.items():
        yield what, sent._replace(body=other)
    yield "itself twice", sent._replace(body=body + body)
    yield "a byte behind it", sent._replace(body=body + b"\0")
    for index in range(_N_CUT):
        end = len(body) * index // _N_CUT
        yield f"its first {end} bytes", sent._replace(body=body[:end])
    chance = random.Random(0)  # noqa: S311
    for _ in range(_N_FLIPPED):
        place, byte = chance.randrange(len(body)), chance.randrange(256)
        flipped = body[:place] + bytes([byte]) + body[place + 1 :]
        yield f"{_shown(flipped)}", sent._replace(body=flipped)
    document = parsed(sent)
    if document is not None:
        for mutant in _mutants(document):
            text = json.dumps(mutant).encode()
            yield _shown(text), sent._replace(body=text)


def broken_heads(sent: Sent) -> Iterator[tuple[str, Sent]]:
    """Yield requests whose head is spoiled, and what it says."""
    yield "an empty head", sent._replace(environ={})
    for name in {*sent.environ, "CONTENT_TYPE", "HTTP_ACCEPT"}:
        for word in _WORDS:
            environ: Mapping[str, Any] = {**sent.environ, name: word}
            yield f"{name} {word!r}", sent._replace(environ=environ)


def nested_bodies(sent: Sent, depth: int) -> Iterator[tuple[str, Sent]]:
    """Yield requests in JSON with so many lists in each other in the place of one value, and where."""
    deep: Any = 1
    for _ in range(depth):
        deep = [deep]
    document = parsed(sent)
    for path in _paths(document):
        text = json.dumps(_changed(document, path, deep)).encode()
        yield f"at {'/'.join(map(str, path)) or 'the root'}", sent._replace(body=text)


def parsed(sent: Sent) -> Any | None:
    """Return a request's body as JSON; None where it is something else."""
    try:
        return json.loads(sent.body)
    except ValueError:
        return None


def _mutants(document: Any) -> Iterator[Any]:
    """Yield documents in which one value is another, or one is missing, or a key stands that is new."""
    for path in _paths(document):
        for stranger in _STRANGERS:
            yield _changed(document, path, stranger)
        if path:
            yield _without(document, path)


def _paths(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield above
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in below:
        yield from _paths(inner, (*above, key))


def _changed(document: Any, path: tuple[Any, ...], stranger: Any) -> Any:
    if not path:
        return stranger
    changed = copy.deepcopy(document)
    _holder(changed, path)[path[-1]] = stranger
    return changed


def _without(document: Any, path: tuple[Any, ...]) -> Any:
    changed = copy.deepcopy(document)
    del _holder(changed, path)[path[-1]]
    return changed


def _holder(document: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        document = document[key]
    return document


def _shown(body: bytes) -> str:
    text = repr(body)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
