"""Which form of answer a request asks for."""

from __future__ import annotations

from collections.abc import Sequence

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from demijohn.errors import NotAcceptable
from demijohn.protocols import native


def choose_media_type(accept: str | None, answers: Sequence[str]) -> str:
    """Choose the answer's form by the Accept header.

    Args:
        accept: The header.
        answers: The protocol's forms, the default first; of none, the empty one is chosen.

    Raises:
        NotAcceptable: none of them will do.
    """
    if not answers:
        return ""
    best = best_match(accept, [answer for answer in answers if native.is_available(answer)])
    if best is None:
        absent = best_match(accept, answers)
        if absent is not None:
            raise native.refuse_answer(absent)
        raise NotAcceptable(f"Answers come as {', '.join(answers)}")
    return best


def best_match(accept: str | None, answers: Sequence[str]) -> str | None:
    """Return the form that the Accept header likes best, the first of several; None: it takes none."""
    if not accept or accept in ("*/*", answers[0]):
        return answers[0]
    ranges = parse_accept_header(accept, MIMEAccept)
    # "application/json; charset=utf-8", as many clients have it, would match only that to the letter.
    return MIMEAccept([(name.partition(";")[0], quality) for name, quality in ranges]).best_match(answers)
