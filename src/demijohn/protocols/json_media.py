"""JSON bodies: strict reading, and writing of arrays without a Python object per number.

Rules of this room:
1. UTF-8 only; no NaN or Infinity, no number beyond a double (orjson sees to these), no duplicate
   key, no nesting deeper than the limit, no more values than the limit.
2. What is written is always valid JSON: a non-finite number becomes null.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import json
import math
import re
from base64 import b64encode
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import orjson

from demijohn.config import Settings
from demijohn.errors import BodyTooLarge, DecodeError
from demijohn.messages import Array, plain

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
#: What each byte does to the depth of nesting.
_STEPS = np.zeros(256, dtype=np.int8)
_STEPS[list(b"[{")] = 1
_STEPS[list(b"]}")] = -1
_FLOAT64 = np.dtype(np.float64)
_AS_TEXT = (complex, datetime.timedelta, decimal.Decimal)
# Possessive, and the last quote may be missing: a broken body costs no more than a good one.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)


def parse(body: bytes, settings: Settings) -> Any:
    """Read one JSON document.

    Args:
        body: At most ``settings.max_body_bytes``.
        settings: For ``max_depth`` and ``max_elements``.

    Raises:
        DecodeError: it is not the JSON of rule 1.
        BodyTooLarge: it holds more than ``max_elements`` values.
    """
    check_count(body, settings)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise DecodeError(f"The body is not valid JSON: {error}") from error
    _check_nesting_and_keys(document, body, settings.max_depth)
    return document


def check_count(body: bytes, settings: Settings) -> None:
    """Refuse a body of too many values.

    Raises:
        BodyTooLarge: it holds more than ``max_elements``.
    """
    most = settings.max_elements
    # A short body cannot hold so many; to count the commas of a long one takes a tenth of reading it.
    if len(body) >= most and body.count(b",") >= most and _count_values(body) > most:
        raise BodyTooLarge(f"A JSON body may hold {most} values; send fewer, or a binary form")


def _count_values(body: bytes) -> int:
    """Count the commas outside strings, plus one: the scalars and empty containers, in any nesting."""
    return _STRING.sub(b'""', body).count(b",") + 1


def _check_nesting_and_keys(document: Any, body: bytes, max_depth: int) -> None:
    """Refuse deep nesting and duplicate keys.

    orjson keeps the last of two equal keys in silence. If the body has as many colons as there are
    parsed keys, there was none; else it is read again by ``json``, which shows every pair.
    """
    colons = body.count(b":")
    is_shallow = body.count(b"[") + body.count(b"{") <= max_depth
    if is_shallow and type(document) is dict and colons in _count_keys_above(document):
        return
    has_outer_keys_alone = colons == 0 or (type(document) is dict and len(document) == colons)
    if has_outer_keys_alone and (is_shallow or _depth_of_numbers(document, body) <= max_depth):
        return
    depth, keys = _measure(document, max_depth)
    if depth > max_depth:
        raise DecodeError(f"The body is nested deeper than {max_depth} levels")
    if keys != colons:
        json.loads(body, object_pairs_hook=_unique_keys)


def _count_keys_above(document: dict[str, Any]) -> tuple[int, int]:
    """Count an object's keys, without and with those of the objects in its lists.

    Either is as many as there are keys or fewer, and there are as many colons or more.
    """
    keys = outer = len(document)
    for value in document.values():
        if type(value) is list and value and type(value[0]) is dict:
            keys += sum([len(part) for part in value if type(part) is dict])
    return outer, keys


def _depth_of_numbers(document: Any, body: bytes) -> float:
    """Return how deep a body of lists and numbers is nested, without a look at each list.

    Args:
        document: It, parsed.
        body: It may have keys in its outermost object alone.

    Returns:
        Infinity where brackets may stand in a string.
    """
    keys = list(document) if type(document) is dict else []
    if body.count(b'"') != 2 * len(keys) or not all(map(str.isalnum, keys)):
        return math.inf
    steps = _STEPS[np.frombuffer(body, dtype=np.uint8)]
    return float(np.cumsum(steps, dtype=np.int32).max(initial=0))


def depth_of(document: Any, most: int) -> int:
    """Return how deep a document is nested; where that is deeper than ``most``, some depth beyond it."""
    return _measure(document, most)[0]


def _measure(document: Any, max_depth: int) -> tuple[int, int]:
    """Return the depth (stopping past ``max_depth``) and the number of keys, level by level."""
    depth = keys = 0
    level = [document] if isinstance(document, (list, dict)) else []
    while level and depth <= max_depth:
        depth += 1
        deeper: list[Any] = []
        for node in level:
            values: Iterable[Any] = node
            if type(node) is dict:
                keys += len(node)
                values = node.values()
            if not {list, dict}.isdisjoint(map(type, values)):
                deeper += [value for value in values if type(value) in (list, dict)]
        level = deeper
    return depth, keys


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise DecodeError(f"The key {twice[:100]!r} stands twice in one object")
    return unique


def dump(document: Any) -> bytes:
    """Write a document; numpy arrays and scalars are allowed anywhere in it.

    Raises:
        TypeError: it holds something that JSON has no form for.
    """
    return orjson.dumps(document, default=plain_form, option=_OPTIONS)


def writable(array: Array) -> Any:
    """Return ``array`` in a form that ``dump`` writes exactly.

    A float32 is widened: its shortest decimal is another double, and clients read doubles.
    """
    if array.dtype is _FLOAT64 and array.flags.c_contiguous:
        return array
    if array.dtype.kind == "f":
        return np.ascontiguousarray(array, dtype=np.float64)
    if array.dtype.kind in "iub" and array.dtype.isnative:
        return np.ascontiguousarray(array)
    return plain(array)


def quickly_writable(array: Array) -> Any:
    """Return ``array`` as ``writable`` does, or one number in lists: orjson looks at an array for longer."""
    if array.size == 1 and (array.dtype is _FLOAT64 or array.dtype.kind in "iub"):
        return array.tolist()
    return writable(array)


def writable_bytes(array: Array, write: Callable[[bytes], Any]) -> Any:
    """Return ``array`` as ``writable`` does, bytes in it, however deep, as ``write`` writes them."""
    if array.dtype.kind not in "SO":
        return writable(array)
    return _replace_bytes(plain(array), write)


def _replace_bytes(value: Any, write: Callable[[bytes], Any]) -> Any:
    if isinstance(value, bytes):
        return write(value)
    if isinstance(value, np.ndarray):
        return writable_bytes(value, write)
    if isinstance(value, (list, tuple)):
        return [_replace_bytes(below, write) for below in value]
    if isinstance(value, dict):
        return {key: _replace_bytes(below, write) for key, below in value.items()}
    return value


def as_base64(value: bytes) -> str:
    """Write bytes as text."""
    return b64encode(value).decode("ascii")


def plain_form(value: Any) -> Any:
    """Return what is written in the place of a value that JSON has no form for.

    Raises:
        TypeError: nothing is.
    """
    if isinstance(value, np.ndarray):
        return writable(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, bytes):  # as TensorFlow Serving writes them
        return {"b64": base64.b64encode(value).decode()}
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if hasattr(value, "isoformat"):  # of another class than datetime's own, e.g. pandas.Timestamp
        return value.isoformat()
    if isinstance(value, _AS_TEXT):
        return str(value)
    # Not its text: that of an object without one is its address in our memory.
    raise TypeError(f"JSON has no form for a {type(value).__name__}")
