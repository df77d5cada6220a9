"""Errors that a server answers with, as the classes of ``demijohn.errors`` that it raised.

Rules of this room:
1. The class is that of the answer's ``code``. Of a code that this version does not know, and of an
   answer that is no problem+json (a proxy's, say), it is the nearest base; ``status`` says the rest.
2. What an answer says is shown to a person and never believed: no text of it names a class by itself.

Source: RFC 9457.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http.client import responses

import msgspec

from demijohn.errors import (
    MAX_PROBLEMS,
    DemijohnError,
    NoAnswer,
    Problem,
    RequestError,
    ServerError,
    Unavailable,
)

PROBLEM = "application/problem+json"
_LONGEST_SHOWN = 200
_NO_HEADERS: Mapping[str, str] = {}


class _Place(msgspec.Struct):
    row: int | None = None
    column: str | int | None = None
    expected: str = ""
    received: str = ""


class _Document(msgspec.Struct):
    code: str
    status: int
    detail: str = ""
    errors: list[_Place] = []
    request_id: str = ""


def read_problem(status: int, headers: Mapping[str, str], body: bytes) -> DemijohnError:
    """Return the error that an answer tells of.

    Args:
        status: 400 or more.
        headers: Of the answer.
        body: Of the answer, in whatever form.
    """
    error = None
    if headers.get("Content-Type", "").partition(";")[0].strip().lower() == PROBLEM:
        error = read_document(body, headers)
    if error is None:
        error = _nearest(status)(_foreign_text(status, body), headers=_kept(headers))
        error.request_id = headers.get("X-Request-Id", "")
    error.status = status
    return error


def read_document(document: bytes, headers: Mapping[str, str] = _NO_HEADERS) -> DemijohnError | None:
    """Return the error that a problem+json document tells of; None where it is no such document.

    Args:
        document: The body of an answer, or a record in a stream of them.
        headers: Of the answer.
    """
    try:
        told = msgspec.json.decode(document, type=_Document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    places = [Problem(one.row, one.column, one.expected, one.received) for one in told.errors[:MAX_PROBLEMS]]
    kind = _BY_CODE.get(told.code) or _nearest(told.status)
    error = kind(told.detail, errors=places, headers=_kept(headers))
    error.status, error.code, error.request_id = told.status, told.code, told.request_id
    return error


def _nearest(status: int) -> type[DemijohnError]:
    if status == Unavailable.status:
        return Unavailable
    return RequestError if status < ServerError.status else ServerError


def _foreign_text(status: int, body: bytes) -> str:
    said = " ".join(body[: 4 * _LONGEST_SHOWN].decode(errors="replace").split())[:_LONGEST_SHOWN]
    text = f"{status} {responses.get(status, '')}".strip()
    return f"{text}: {said}" if said else text


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: headers[name] for name in ("Retry-After", "Allow") if name in headers}


def _family(root: type[DemijohnError]) -> Iterator[type[DemijohnError]]:
    yield root
    for child in root.__subclasses__():
        # A subclass elsewhere may want other arguments; no server answers that it gave no answer.
        if child.__module__ == DemijohnError.__module__ and child is not NoAnswer:
            yield from _family(child)


_BY_CODE: dict[str, type[DemijohnError]] = {}
for _kind in _family(DemijohnError):
    _BY_CODE.setdefault(_kind.code, _kind)  # of two that share a code, the base comes first
