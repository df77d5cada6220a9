"""The only place where an exception becomes an answer.

Rules of this room:
1. ``refusal_of`` and ``encode`` know no Flask: the fast lane answers with the same ones.
2. What nobody expected is told to the log alone.
"""

from __future__ import annotations

import logging

from flask import Response, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from demijohn.errors import BodyTooLarge, DemijohnError, RefusedByApp, RequestError, ServerError
from demijohn.messages import Encoded
from demijohn.protocols import PROTOCOLS, InferenceProtocol, native

from .guards import request_id
from .services import services

logger = logging.getLogger("demijohn")

#: By the first part of a path: whose it is. All others are the native protocol's.
_DIALECTS: dict[str, str] = {
    "invocations": "mlflow",
    "ping": "mlflow",
    "health": "mlflow",
    "version": "mlflow",
    "v1": "tensorflow",
    "v2": "open-inference",
}


def answer_exception(error: Exception) -> Response:
    """Answer what a view or a hook raised; the blueprint's error handler."""
    protocol = dialect_of(request.path.removeprefix(services().settings.url_prefix))
    protocol = form_of(protocol, request.environ.get("HTTP_ACCEPT"))
    status, answer = encode(refusal_of(error, request_id()), request_id(), protocol)
    return Response(answer.body, status, headers=answer.headers, content_type=answer.content_type)


def answer_error(error: DemijohnError) -> Response:
    """Answer, as problem+json, an error that a view of the host app let through.

    It is for the app to register: ``app.register_error_handler(DemijohnError, demijohn.answer_error)``.
    What is not about a request, such as a model file that cannot be loaded, is told to the log alone.
    """
    told = error
    if not isinstance(error, (RequestError, ServerError)):
        logger.error("request %s failed", request_id(), exc_info=error)
        told = DemijohnError()
    answer = native.encode_error(told, request_id())
    headers = {**answer.headers, "X-Request-Id": request_id()}
    return Response(answer.body, told.status, headers=headers, content_type=answer.content_type)


def dialect_of(path: str) -> InferenceProtocol:
    """Return the protocol whose form an error at a path has.

    Args:
        path: Below our prefix; nothing need be there.
    """
    first = path.strip("/").partition("/")[0].lower()
    return PROTOCOLS[_DIALECTS.get(first, "native")]


def form_of(protocol: InferenceProtocol, accept: str | None) -> InferenceProtocol:
    """Return the protocol that writes the errors of a request in some dialect.

    Args:
        protocol: Of the request.
        accept: The header. A client that names problem+json is told in full, whatever dialect it speaks.
    """
    return native if accept and native.PROBLEM in accept else protocol


def encode(error: DemijohnError, request_id: str, protocol: InferenceProtocol) -> tuple[int, Encoded]:
    """Write one of our errors in a protocol's own form; returns its status, too."""
    return protocol.status_of(error), protocol.encode_error(error, request_id)


def refusal_of(error: Exception, request_id: str) -> DemijohnError:
    """Return what a client is told of an exception.

    Args:
        error: One of ours stays as it is. An HTTPException is what a hook of the host app aborted
            with; nothing of ours raises these. Of any other a client hears nothing: the log does.
        request_id: For the log.
    """
    if isinstance(error, DemijohnError):
        return error
    if isinstance(error, RequestEntityTooLarge):
        return BodyTooLarge()
    if isinstance(error, HTTPException):
        headers = {name: value for name, value in error.get_headers() if name != "Content-Type"}
        refusal = RefusedByApp(error.description or "", headers=headers)
        refusal.status = error.code or refusal.status
        return refusal
    logger.error("request %s failed", request_id, exc_info=error)
    return DemijohnError()
