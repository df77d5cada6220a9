"""Answers that go out item by item: JSON lines, or server-sent events.

Rules of this room:
1. Until the first item is there nothing is sent, so what goes wrong before it is an ordinary error.
   After it, an error is the last record, and the status on the wire stays 200.
2. A request is counted once, when its stream has ended: as 200, as the error that ended it, or as 499
   where the client went away.
3. Whoever stops reading ends the model's work: the server closes the pieces, and they the stream.

Sources: https://html.spec.whatwg.org/multipage/server-sent-events.html, https://jsonlines.org
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from flask import Response
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from demijohn.batching import Stream
from demijohn.errors import DemijohnError, Draining, ModelError, NotAcceptable
from demijohn.messages import InferenceRequest
from demijohn.predictor import Predictor
from demijohn.protocols import json_media, native

from .bodies import check_length, read_body, read_encodings
from .errors import refusal_of
from .guards import request_id
from .services import Services

if TYPE_CHECKING:
    from .inference import Route

EVENTS = "text/event-stream"
CLIENT_GONE = 499  #: As nginx counts it.
# A proxy that keeps an answer back until it is whole would defeat its purpose; nginx asks for this.
_HEADERS = {"X-Accel-Buffering": "no"}


class Form(NamedTuple):
    """How a record is written; each gets JSON in one line."""

    item: Callable[[bytes], bytes]
    error: Callable[[bytes], bytes]


_LINES = Form(lambda item: item + b"\n", lambda problem: b'{"error":' + problem + b"}\n")
_EVENTS = Form(
    lambda item: b"data: " + item + b"\n\n", lambda problem: b"event: error\ndata: " + problem + b"\n\n"
)

#: The forms of a streamed answer, the default first.
FORMS: Mapping[str, Form] = {
    "application/x-ndjson": _LINES,
    "application/jsonl": _LINES,
    EVENTS: _EVENTS,
}
_WHOLE = tuple(form for form in native.ANSWERS if form not in FORMS)
_ALL = (*FORMS, *_WHOLE)


def is_asked(shared: Services, route: Route, environ: Mapping[str, Any]) -> bool:
    """Say whether a request is for a stream: the method has one, and Accept prefers no whole answer."""
    try:
        predictor = shared.find(route.name, route.version, route.alias)
    except DemijohnError:  # whoever answers the request finds that out again, and says so
        return False
    return route.method in predictor.streams and _choose(environ) not in _WHOLE


def _choose(environ: Mapping[str, Any]) -> str | None:
    accept = environ.get("HTTP_ACCEPT")
    if not accept or accept == "*/*":
        return _ALL[0]
    return parse_accept_header(accept, MIMEAccept).best_match(_ALL)


def answer(
    shared: Services, route: Route, environ: Mapping[str, Any], body: BinaryIO, entered: float
) -> Response:
    """Answer one request for a stream; returns when its first item is there.

    The arguments are those of ``inference.answer_route``.

    Raises:
        DemijohnError: there is no first item; the request has been counted.
    """
    if shared.lifecycle.is_draining:
        raise Draining(headers={"Retry-After": "1"})
    predictor = shared.find(route.name, route.version, route.alias)
    count = _Count(shared, predictor, route.method, entered)
    try:
        media_type = _check(predictor, route.method, environ)
        inference = _read(shared, route, environ, body)
        stream = predictor.stream(route.method, inference, entered + shared.settings.deadline_s)
        count.n_rows = stream.n_rows
        pieces = _Pieces(stream, FORMS[media_type], request_id(), count)
    except BaseException as error:
        count(error.status if isinstance(error, DemijohnError) else DemijohnError.status)
        raise
    return Response(pieces, headers=_HEADERS, content_type=media_type)


def _check(predictor: Predictor, method: str, environ: Mapping[str, Any]) -> str:
    """Make the checks that come before the body; returns the answer's form."""
    predictor.check_method(method)
    predictor.check_room(method)
    media_type = _choose(environ)
    if media_type is None:
        raise NotAcceptable(f"Answers come as {', '.join(_ALL)}")
    return media_type


def _read(shared: Services, route: Route, environ: Mapping[str, Any], body: BinaryIO) -> InferenceRequest:
    settings = shared.settings
    length = check_length(environ, settings.max_body_bytes)
    head = route.protocol.read_head(environ)
    content = read_body(environ, body, length, read_encodings(environ), settings.max_body_bytes)
    return route.protocol.decode(content, head, settings)


class _Count:
    """Counts one request: when it is told the status of its answer, and once."""

    def __init__(self, shared: Services, predictor: Predictor, method: str, entered: float) -> None:
        self._metrics = shared.metrics
        self._labels = (predictor.name, predictor.version, method)
        self._entered = entered
        self._is_done = False
        self.n_rows = 0
        self.n_nonfinite = 0

    def __call__(self, status: int) -> None:
        if self._is_done:
            return
        self._is_done = True
        n_rows = self.n_rows if status == HTTPStatus.OK else 0
        self._metrics.observe_request(*self._labels, status, monotonic() - self._entered, n_rows)
        if self.n_nonfinite:
            self._metrics.observe_nonfinite(*self._labels, self.n_nonfinite)


class _Pieces:
    """The body: a record for each item, and one more for an error that comes after the first.

    Raises:
        DemijohnError: an error comes in the place of the first.
    """

    def __init__(self, stream: Stream, form: Form, request_id: str, count: _Count) -> None:
        self._stream = stream
        self._form = form
        self._request_id = request_id
        self._count = count
        self._has_ended = False
        self._first: bytes | None = None
        try:
            self._first = self._record()
        except StopIteration:
            self._end(HTTPStatus.OK)
        except BaseException:
            stream.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._first is not None:
            piece, self._first = self._first, None
            return piece
        if self._has_ended:
            raise StopIteration
        try:
            return self._record()
        except StopIteration:
            self._end(HTTPStatus.OK)
            raise
        except Exception as error:  # noqa: BLE001  - as ``answer_exception``, which can answer no more
            refusal = refusal_of(error, self._request_id)
            self._end(refusal.status)
            return self._form.error(native.encode_error(refusal, self._request_id).body)

    def _record(self) -> bytes:
        item = next(self._stream)
        if isinstance(item, np.ndarray):
            item = json_media.writable(item)
        elif isinstance(item, np.generic):
            item = item.item()
        if isinstance(item, float) and not math.isfinite(item):
            self._count.n_nonfinite += 1
        try:
            return self._form.item(json_media.dump(item))
        except TypeError as error:
            raise ModelError(f"The model's answer cannot be written as JSON: {error}") from error

    def _end(self, status: int) -> None:
        self._has_ended = True
        self._stream.close()
        self._count(status)

    def close(self) -> None:
        """Hear from the server that nobody reads any further; PEP 3333."""
        if not self._has_ended:
            self._end(CLIENT_GONE)
