"""Prediction routes: one table, one view.

Rules of this room:
1. The view only joins the steps: read, decode, predict, encode, count. Each is a function that
   knows no Flask, so that a shorter way through the server can run the same ones.
2. The deadline counts from the moment our callable was entered.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from flask import Response, g, request
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from demijohn.errors import DemijohnError, Draining, NotAcceptable
from demijohn.messages import Encoded, InferenceResponse
from demijohn.predictor import Predictor
from demijohn.protocols import PROTOCOLS, InferenceProtocol, native

from .bodies import check_length, read_body
from .services import Services, services

#: Path and protocol; every path takes POST.
ROUTES = [
    ("/predict", "native"),
    ("/models/<name>/<method>", "native"),
    ("/models/<name>/versions/<version>/<method>", "native"),
    ("/models/<name>/aliases/<alias>/<method>", "native"),
]


def predict(
    protocol: str,
    name: str | None = None,
    method: str = "predict",
    version: str | None = None,
    alias: str | None = None,
) -> Response:
    """Answer one prediction request."""
    shared = services()
    if shared.lifecycle.is_draining:
        raise Draining(headers={"Retry-After": "1"})
    predictor = shared.find(name, version, alias)
    answer = answer_prediction(
        shared, PROTOCOLS[protocol], predictor, method, request.environ, _stream(), g.demijohn_entered
    )
    return Response(answer.body, headers=answer.headers, content_type=answer.content_type)


def _stream() -> BinaryIO:
    """Return the body; a hook of the host app may have read it already, and Flask then keeps it."""
    cached = getattr(request, "_cached_data", None)
    stream: BinaryIO = request.environ["wsgi.input"] if cached is None else BytesIO(cached)
    return stream


def answer_prediction(
    shared: Services,
    protocol: InferenceProtocol,
    predictor: Predictor,
    method: str,
    environ: Mapping[str, Any],
    stream: BinaryIO,
    entered: float,
) -> Encoded:
    """Run the steps of one prediction and count it.

    Raises:
        DemijohnError: one of the steps failed; it has been counted.
    """
    status, n_rows = 500, 0
    try:
        predictor.check_method(method)
        predictor.batcher.check_room()  # under overload, reading and parsing a body is the cost
        media_type = choose_media_type(environ.get("HTTP_ACCEPT", ""))
        content_type, limit = environ.get("CONTENT_TYPE") or "", shared.settings.max_body_bytes
        check_length(environ, limit)
        protocol.check_content_type(content_type)
        body = read_body(environ, stream, limit)
        inference = protocol.decode(body, content_type, shared.settings)
        response = predictor.predict(method, inference, entered + shared.settings.deadline_s)
        answer = protocol.encode(response, inference, media_type)
        status, n_rows = 200, response.n_rows
        _count_nonfinite(shared, predictor, response)
        return answer
    except DemijohnError as error:
        status = error.status
        raise
    finally:
        # A method that no model has must not become a label: clients choose its text.
        counted = method if method in predictor.runtime.methods else ""
        seconds = time.monotonic() - entered
        shared.metrics.observe_request(predictor.name, predictor.version, counted, status, seconds, n_rows)


def _count_nonfinite(shared: Services, predictor: Predictor, response: InferenceResponse) -> None:
    n_bad = sum(
        int(array.size - np.isfinite(array).sum())
        for array in response.outputs.values()
        if array.dtype.kind == "f"
    )
    if n_bad:
        shared.metrics.observe_nonfinite(predictor.name, predictor.version, response.method, n_bad)


def choose_media_type(accept: str) -> str:
    """Choose the answer's form by the Accept header.

    Raises:
        NotAcceptable: none of ours will do.
    """
    if not accept or accept in ("*/*", native.JSON):
        return native.JSON
    best = parse_accept_header(accept, MIMEAccept).best_match(native.ANSWERS)
    if best is None:
        raise NotAcceptable(f"Answers come as {', '.join(native.ANSWERS)}")
    return best
