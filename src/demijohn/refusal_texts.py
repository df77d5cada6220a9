"""What a model, or other code that is not ours, says when it fails: one line of it.

Rules of this room:
1. What a client may read has no path of this machine: a model's text may hold whatever its author put
   there.
"""

from __future__ import annotations

import re

from .errors import BadInput, ModelRefused, ParameterMismatch, ServerError, SignatureMismatch

#: Of our own errors, what a model may raise for its caller: they say what became of the call. A function
#: that loads a file or asks another server meets others, which name paths or blame the caller's key.
TOLD_AS_THEY_ARE = (BadInput, ModelRefused, ParameterMismatch, SignatureMismatch, ServerError)

_PATH = re.compile(r"(?<![\w.])(?:[A-Za-z]:)?[/\\](?:[\w.\-+]+[/\\])*[\w.\-+]+")
_LONGEST_TEXT = 300
_LONGEST_LINE = 10 * _LONGEST_TEXT  # that is searched for paths: it may hold a client's text


def first_line(error: Exception) -> str:
    """Return the first line of what was raised, without paths; the class's name where it says nothing."""
    text = _PATH.sub("…", _line(error)) or type(error).__name__
    return text[:_LONGEST_TEXT]


def named_line(error: BaseException) -> str:
    """Return the class and the first line of what was raised, as it is: for whoever runs the server."""
    name, text = type(error).__name__, _line(error)[:_LONGEST_TEXT]
    return f"{name}: {text}" if text else name


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:_LONGEST_LINE] if lines else ""
