"""The only place where an exception becomes a response."""

from __future__ import annotations

import logging

from flask import Response, g
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from demijohn.errors import BodyTooLarge, DemijohnError, RequestError
from demijohn.protocols import native

logger = logging.getLogger("demijohn")


def answer_error(error: DemijohnError) -> Response:
    """Write one of our errors as problem+json."""
    answer = native.encode_error(error, g.get("demijohn_request_id", ""))
    return Response(answer.body, error.status, headers=answer.headers, content_type=answer.content_type)


def answer_http_exception(error: HTTPException) -> Response:
    """Write one of Werkzeug's errors in our form, its status kept."""
    if isinstance(error, RequestEntityTooLarge):
        return answer_error(BodyTooLarge())
    wrapped = RequestError(error.description or "")
    wrapped.status = error.code or 400
    wrapped.title = error.name
    return answer_error(wrapped)


def answer_unexpected(error: Exception) -> Response:
    """Write a 500 that tells a client nothing about this machine; the log has the traceback."""
    logger.error("request %s failed", g.get("demijohn_request_id", ""), exc_info=error)
    return answer_error(DemijohnError())
