"""The only place where an exception becomes a response."""

from __future__ import annotations

import logging

from flask import Response
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from demijohn.errors import BodyTooLarge, DemijohnError, RefusedByApp
from demijohn.protocols import native

from .guards import request_id

logger = logging.getLogger("demijohn")


def answer_error(error: DemijohnError) -> Response:
    """Write one of our errors as problem+json."""
    answer = native.encode_error(error, request_id())
    return Response(answer.body, error.status, headers=answer.headers, content_type=answer.content_type)


def answer_http_exception(error: HTTPException) -> Response:
    """Write in our form what a hook of the host app aborted with; nothing of ours raises these."""
    if isinstance(error, RequestEntityTooLarge):
        return answer_error(BodyTooLarge())
    headers = {name: value for name, value in error.get_headers() if name != "Content-Type"}
    refusal = RefusedByApp(error.description or "", headers=headers)
    refusal.status = error.code or refusal.status
    return answer_error(refusal)


def answer_unexpected(error: Exception) -> Response:
    """Write a 500 that tells a client nothing about this machine; the log has the traceback."""
    logger.error("request %s failed", request_id(), exc_info=error)
    return answer_error(DemijohnError())
