"""Answers of generators, which go out item by item: JSON lines, or server-sent events.

Sources: https://html.spec.whatwg.org/multipage/server-sent-events.html, https://jsonlines.org
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from flask import Response

from demijohn.batching import Stream
from demijohn.errors import DemijohnError, Draining, ModelError, NotAcceptable
from demijohn.messages import InferenceRequest
from demijohn.predictor import Predictor
from demijohn.protocols import json_media, native

from .accept import best_match
from .answer_pieces import HEADERS, Count, Pieces, Source
from .bodies import check_length, read_body, read_encodings
from .guards import request_id
from .services import Services

if TYPE_CHECKING:
    from .inference import Route

EVENTS = "text/event-stream"


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
    return best_match(environ.get("HTTP_ACCEPT"), _ALL)


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
    count = Count(shared, predictor, route.method, entered)
    try:
        media_type = _check(predictor, route.method, environ)
        inference = _read(shared, route, environ, body)
        stream = predictor.stream(route.method, inference, entered + shared.settings.deadline_s)
        count.n_rows = stream.n_rows
        form = FORMS[media_type]
        source = Source(_Items(stream, form, count).next, stream.close, form.error)
        pieces = Pieces(source, request_id(), count)
    except BaseException as error:
        count(error.status if isinstance(error, DemijohnError) else DemijohnError.status)
        raise
    return Response(pieces, headers=HEADERS, content_type=media_type)


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


class _Items:
    """Writes a stream's items, each as a record."""

    def __init__(self, stream: Stream, form: Form, count: Count) -> None:
        self._stream = stream
        self._form = form
        self._count = count

    def next(self) -> bytes:
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
