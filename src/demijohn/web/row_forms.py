"""Which requests bring rows that can be scored while they come, by their head alone.

The rule of this room: the body is of one of ``native.STREAMED``, and so is the answer that ``Accept`` likes
best. Then the body is scored piece by piece if it is longer than a body may be, or nobody knows how long it
is: it has no Content-Length, or is compressed. Only such requests, of any length, may be PUT.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from demijohn.errors import MethodNotAllowed
from demijohn.protocols import InferenceProtocol, media_types, native

from .accept import best_match
from .bodies import declared_length


def is_asked(protocol: InferenceProtocol, environ: Mapping[str, Any], max_body_bytes: int) -> bool:
    """Say whether a request is for its body to be scored piece by piece; see the rule of this room."""
    if not environ.get("CONTENT_TYPE") or protocol is not native or not _has_forms(environ):
        return False
    length = declared_length(environ)
    return length is None or length > max_body_bytes or "HTTP_CONTENT_ENCODING" in environ


def check_forms(environ: Mapping[str, Any]) -> None:
    """Refuse a PUT that is not rows in and rows out.

    Raises:
        MethodNotAllowed: it is none.
    """
    if not _has_forms(environ):
        forms = ", ".join(native.STREAMED)
        raise MethodNotAllowed(
            f"PUT takes rows and answers in rows: Content-Type and Accept are to be among {forms}",
            headers={"Allow": "POST"},
        )


def _has_forms(environ: Mapping[str, Any]) -> bool:
    media_type, _ = media_types.split(environ.get("CONTENT_TYPE") or "")
    return media_type in native.STREAMED and form_of_answer(environ) in native.STREAMED


def form_of_answer(environ: Mapping[str, Any]) -> str | None:
    """Return the form of answer that a request likes best; None: it takes none of ours."""
    return best_match(environ.get("HTTP_ACCEPT"), list(filter(native.is_available, native.ANSWERS)))
