"""The only place where an exception becomes an answer.

Rules of this room:
1. ``refusal_of`` and ``encode`` know no Flask: the fast lane answers with the same ones.
2. What nobody expected is told to the log alone.
"""

from __future__ import annotations

import logging

from flask import Response
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from demijohn.errors import BodyTooLarge, DemijohnError, RefusedByApp
from demijohn.messages import Encoded
from demijohn.protocols import native

from .guards import request_id

logger = logging.getLogger("demijohn")


def answer_exception(error: Exception) -> Response:
    """Answer what a view or a hook raised; the blueprint's error handler."""
    refusal = refusal_of(error, request_id())
    answer = encode(refusal, request_id())
    return Response(answer.body, refusal.status, headers=answer.headers, content_type=answer.content_type)


def encode(error: DemijohnError, request_id: str) -> Encoded:
    """Write one of our errors as problem+json."""
    return native.encode_error(error, request_id)


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
