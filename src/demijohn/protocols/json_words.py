"""JSON with the bare words NaN, Infinity and -Infinity, for the dialects that have them.

Rules of this room:
1. Each word is replaced by a text that nobody can know, and ``json_media`` reads the rest: depth, keys,
   numbers and the count of values are held to the same rules.
2. NaN becomes None, a missing value; an infinity becomes a float.

Sources: RapidJSON's kParseNanAndInfFlag, as TensorFlow Serving uses it; Python's json, as MLflow does.
"""

from __future__ import annotations

import json
import math
import re
import secrets
from collections.abc import Collection
from typing import Any

import numpy as np

from demijohn.config import Settings
from demijohn.errors import DecodeError

from . import json_media

# Possessive, as in json_media: a broken body costs no more than a good one.
_STRING_OR_WORD = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|-?Inf(?:inity)?+|NaN', re.DOTALL)
_VALUES: dict[bytes, float | None] = {
    b"NaN": None,
    b"Inf": math.inf,
    b"Infinity": math.inf,
    b"-Inf": -math.inf,
    b"-Infinity": -math.inf,
}
OF_RAPIDJSON = frozenset(_VALUES)
OF_PYTHON = OF_RAPIDJSON - {b"Inf", b"-Inf"}
_MARKS = {word: secrets.token_hex(16) for word in _VALUES}
_OF_MARKS = {mark: _VALUES[word] for word, mark in _MARKS.items()}


def parse(body: bytes, settings: Settings, words: Collection[bytes] = OF_RAPIDJSON) -> Any:
    """Read one JSON document, which may have these words in it; see ``json_media.parse``."""
    if b"NaN" not in body and b"Inf" not in body:
        return json_media.parse(body, settings)
    marked = _STRING_OR_WORD.sub(lambda match: _mark(match[0], words), body)
    document = json_media.parse(marked, settings)
    return document if marked == body else _restore(document)


def _mark(found: bytes, words: Collection[bytes]) -> bytes:
    return b'"' + _MARKS[found].encode() + b'"' if found in words else found


def _restore(value: Any) -> Any:
    """Put the values in the place of the marks; the parser has bounded the depth."""
    if isinstance(value, str):
        return _OF_MARKS.get(value, value)
    if isinstance(value, list):
        return [_restore(below) for below in value]
    if not isinstance(value, dict):
        return value
    if not _OF_MARKS.keys().isdisjoint(value):
        raise DecodeError("The body is not valid JSON: a key must be a string")
    return {name: _restore(below) for name, below in value.items()}


def dump(document: Any) -> bytes:
    """Write a document with these words in the place of numbers that are not finite.

    Raises:
        TypeError: it holds something that JSON has no form for.
    """
    try:
        return json.dumps(document, default=_default, ensure_ascii=False, separators=(",", ":")).encode()
    except (ValueError, RecursionError) as error:  # a half of a surrogate pair, a list within itself
        raise TypeError("it is no text, or has no end") from error


def _default(value: Any) -> Any:
    written = json_media.plain_form(value)
    return written.tolist() if isinstance(written, np.ndarray) else written
