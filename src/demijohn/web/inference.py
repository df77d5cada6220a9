"""Prediction routes: one table, one view.

Rules of this room:
1. The view only joins the steps: find, read, decode, predict, encode, count. Each is a function that
   knows no Flask, and the fast lane runs the same ones.
2. The deadline counts from the moment our callable was entered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from io import BytesIO
from time import monotonic
from typing import Any, BinaryIO, NamedTuple

from flask import Response, g, request

from demijohn.batching import Waiting
from demijohn.config import Settings
from demijohn.errors import DemijohnError, Draining
from demijohn.messages import Encoded, InferenceRequest, InferenceResponse
from demijohn.predictor import Predictor
from demijohn.protocols import PROTOCOLS, InferenceProtocol, native

from . import row_forms, row_streams, streams
from .accept import choose_media_type
from .answer_pieces import count_nonfinite
from .bodies import check_length, read_body, read_encodings
from .compression import choose_encoding, compress
from .errors import form_of
from .services import Services, services

OK = 200
_NULL = b"null"  # as JSON has each number that is not finite
_SHORT_BYTES = 256

#: Path and protocol; every path takes POST, and those of the native one PUT, for streams of rows.
ROUTES = [
    ("/predict", "native"),
    ("/models/<name>/<method>", "native"),
    ("/models/<name>/versions/<version>/<method>", "native"),
    ("/models/<name>/aliases/<alias>/<method>", "native"),
    ("/v2/models/<name>/infer", "open-inference"),
    ("/v2/models/<name>/versions/<version>/infer", "open-inference"),
    ("/invocations", "mlflow"),
    ("/v1/models/<name>:<verb>", "tensorflow"),
    ("/v1/models/<name>/versions/0:<verb>", "tensorflow"),  # 0 means the default, for some clients
    ("/v1/models/<name>/versions/<version>:<verb>", "tensorflow"),
    ("/v1/models/<name>/labels/<alias>:<verb>", "tensorflow"),
]


def predict(
    protocol: str,
    name: str | None = None,
    method: str = "predict",
    version: str | None = None,
    alias: str | None = None,
    verb: str = "",
) -> Response:
    """Answer one prediction request."""
    environ, shared = request.environ, services()
    route = Route(PROTOCOLS[protocol], name, method, version, alias, verb)
    if shared.pool.has_streams and streams.is_asked(shared, route, environ):
        return streams.answer(shared, route, environ, _stream(), g.demijohn_entered)
    if row_forms.is_asked(route.protocol, environ, shared.settings.max_body_bytes):
        streamed = row_streams.answer(shared, route, environ, _stream(), g.demijohn_entered)
        if streamed is not None:
            return streamed
    answer = answer_route(shared, route, environ, _stream(), g.demijohn_entered)
    return Response(answer.body, headers=answer.headers, content_type=answer.content_type)


def _stream() -> BinaryIO:
    """Return the body; a hook of the host app may have read it already, and Flask then keeps it."""
    cached = getattr(request, "_cached_data", None)
    stream: BinaryIO = request.environ["wsgi.input"] if cached is None else BytesIO(cached)
    return stream


class Route(NamedTuple):
    """Whom a path asks, and in which dialect."""

    protocol: InferenceProtocol
    name: str | None = None
    method: str = "predict"  #: "" where no path of the dialect names one: the model's first.
    version: str | None = None
    alias: str | None = None
    verb: str = ""  #: Of TensorFlow Serving's paths: what is done with the method's answer.


class Head(NamedTuple):
    """What the headers of a request say, once they have passed: the same headers say it again."""

    media_type: str  #: Of the answer.
    of_protocol: str  #: What the protocol's ``read_head`` made of them.
    length: int | None  #: Of the body, compressed, where the headers tell it.
    encodings: Sequence[str]  #: How the body is compressed, the last step first.
    answer_encoding: str  #: How the answer may be compressed; "": not at all.


def read_head(environ: Mapping[str, Any], protocol: InferenceProtocol, settings: Settings) -> Head:
    """Read the headers of a prediction request.

    Raises:
        NotAcceptable: no form of answer will do.
        BodyTooLarge: the body is announced to be.
        UnsupportedMediaType: the body is of a kind or compressed in a way that is not read.
    """
    media_type = choose_media_type(environ.get("HTTP_ACCEPT"), protocol.ANSWERS)
    length = check_length(environ, settings.max_body_bytes)
    answer_encoding = choose_encoding(environ.get("HTTP_ACCEPT_ENCODING"))
    return Head(media_type, protocol.read_head(environ), length, read_encodings(environ), answer_encoding)


class Later(NamedTuple):
    """An answer for which the model's queue has to be asked."""

    waiting: Waiting
    finish: Callable[[InferenceResponse], Encoded]  #: Writes and counts it; raises what it cannot be.
    fail: Callable[[Exception], None]  #: Counts that there is none.

    def wait(self) -> Encoded:
        """Return the answer, once it is there.

        Raises:
            DemijohnError: there is none.
        """
        try:
            response = self.waiting.wait()
        except Exception as error:
            self.fail(error)
            raise
        return self.finish(response)


def answer_route(
    shared: Services, route: Route, environ: Mapping[str, Any], stream: BinaryIO, entered: float
) -> Encoded:
    """Find who is asked, and answer; see ``begin_route``."""
    begun = begin_route(shared, route, environ, stream, entered)
    return begun.wait() if isinstance(begun, Later) else begun


def begin_route(
    shared: Services,
    route: Route,
    environ: Mapping[str, Any],
    stream: BinaryIO,
    entered: float,
    head: Head | None = None,
) -> Encoded | Later:
    """Find who is asked, and answer, or say that the answer has to be waited for.

    Args:
        shared: Of the app.
        route: Of the request.
        environ: Of the request, which has passed the checks.
        stream: The body.
        entered: When our callable was, on ``time.monotonic()``'s clock.
        head: What ``read_head`` has said of such headers before.

    Raises:
        DemijohnError: there is no answer.
    """
    if shared.lifecycle.is_draining:
        raise Draining(headers={"Retry-After": "1"})
    protocol, name, method, version, alias, verb = route
    predictor = shared.find(name, version, alias)
    method = method or predictor.runtime.methods[0]
    try:
        predictor.check_method(method)
        predictor.check_room(method)  # under overload, reading and parsing a body is the cost
        settings = shared.settings
        media_type, of_protocol, length, encodings, answer_encoding = head or read_head(
            environ, protocol, settings
        )
        body = read_body(environ, stream, length, encodings, settings.max_body_bytes)
        arrived = monotonic()
        inference = protocol.decode(body, of_protocol, settings)
        deadline = entered + settings.deadline_s
        begun: InferenceResponse | Waiting
        asked = inference.methods or (method,)
        if len(asked) == 1 and asked[0] in predictor.runtime.methods:
            begun = predictor.begin(asked[0], inference, deadline)
        else:
            begun = predictor.predict_each(inference, deadline)
    except Exception as error:
        _count_error(shared, predictor, method, protocol, environ, entered, error)
        raise
    form = (protocol, verb, media_type, answer_encoding)
    if isinstance(begun, Waiting):
        finish = partial(_finish, shared, predictor, environ, form, inference, entered, arrived)
        return Later(
            begun, finish, partial(_count_error, shared, predictor, method, protocol, environ, entered)
        )
    return _finish(shared, predictor, environ, form, inference, entered, arrived, begun)


def _finish(
    shared: Services,
    predictor: Predictor,
    environ: Mapping[str, Any],
    form: tuple[InferenceProtocol, str, str, str],
    inference: InferenceRequest,
    entered: float,
    arrived: float,
    response: InferenceResponse,
) -> Encoded:
    """Write an answer, and count it."""
    protocol, verb, media_type, answer_encoding = form
    method, answered = response.method, monotonic()
    try:
        plain = protocol.encode(response, inference, media_type)
        answer = (
            compress(plain, answer_encoding, shared.settings.compress_min_bytes) if answer_encoding else plain
        )
    except Exception as error:
        _count_error(shared, predictor, method, protocol, environ, entered, error)
        raise
    now = monotonic()
    shared.metrics.observe_request(
        response.model, response.version, method, OK, now - entered, response.n_rows, response.inference_s,
        (response.asked - arrived, now - answered),
    )  # fmt: skip
    # Others than JSON, and TensorFlow's, write NaN as it is. In a long text a word is looked for longer than
    # numbers are looked at.
    if plain.content_type != native.JSON or verb or len(plain.body) > _SHORT_BYTES or _NULL in plain.body:
        _count_nonfinite(shared, predictor, response)
    return answer


def _count_error(
    shared: Services,
    predictor: Predictor,
    method: str,
    protocol: InferenceProtocol,
    environ: Mapping[str, Any],
    entered: float,
    error: Exception,
) -> None:
    status = 500
    if isinstance(error, DemijohnError):
        status = form_of(protocol, environ.get("HTTP_ACCEPT")).status_of(error)
    # A method that no model has must not become a label: clients choose its text.
    counted = method if method in predictor.runtime.methods else ""
    shared.metrics.observe_request(
        predictor.name, predictor.version, counted, status, monotonic() - entered, 0
    )


def _count_nonfinite(shared: Services, predictor: Predictor, response: InferenceResponse) -> None:
    n_bad = count_nonfinite(response.outputs)
    if n_bad:
        shared.metrics.observe_nonfinite(predictor.name, predictor.version, response.method, n_bad)
