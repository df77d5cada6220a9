"""What a model says of rows that it refuses, made fit for a client.

Rules of this room:
1. One line, and no path of this machine: a model's text may hold whatever its author put there.
"""

from __future__ import annotations

import re

_PATH = re.compile(r"(?<![\w.])(?:[A-Za-z]:)?[/\\](?:[\w.\-+]+[/\\])*[\w.\-+]+")
_LONGEST_TEXT = 300
_LONGEST_LINE = 10 * _LONGEST_TEXT  # that is searched for paths: it may hold a client's text


def first_line(error: Exception) -> str:
    """Return the first line of what was raised, without paths; the class's name where it says nothing."""
    lines = str(error).strip().splitlines()
    text = _PATH.sub("…", lines[0][:_LONGEST_LINE]) if lines else type(error).__name__
    return text[:_LONGEST_TEXT]
