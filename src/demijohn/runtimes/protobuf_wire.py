"""Protocol Buffers' wire format, read without a schema: which fields a message has, and their bytes.

Rules of this room:
1. Nothing is copied and nothing is trusted: a length that leaves its message ends the reading.
2. Groups are refused; no writer of the formats that we read makes any.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import re
from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  #: Wire types.
_FIXED = {FIXED64: 8, FIXED32: 4}
_MOST_TAG_BYTES = 5
_MOST_VARINT_BYTES = 10


class Malformed(ValueError):
    """The bytes are no message."""

    def __init__(self, why: str, number: int | None = None) -> None:
        super().__init__(why)
        self.number = number  #: Of the field that is cut off, where it is known.


#: One field: number, wire type, and its bytes or, of a varint, its value.
Field = tuple[int, int, memoryview | int]


def fields(message: memoryview, skipped: re.Pattern[bytes] | None = None) -> Iterator[Field]:
    """Yield the fields of one message in the order in which they stand.

    Args:
        message: Its bytes.
        skipped: Runs of fields that nobody wants, e.g. a million numbers each with its own tag.

    Raises:
        Malformed: they are none, or are cut off.
    """
    at, end = 0, len(message)
    while at < end:
        run = skipped.match(message, at) if skipped is not None else None
        if run is not None and run.end() > at:
            at = run.end()
            continue
        tag, at = _varint(message, at, _MOST_TAG_BYTES)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise Malformed("a field has the number 0")
        if kind == VARINT:
            value, at = _varint(message, at, _MOST_VARINT_BYTES)
            yield number, kind, value
            continue
        if kind == BYTES:
            length, at = _varint(message, at, _MOST_VARINT_BYTES)
        elif kind in _FIXED:
            length = _FIXED[kind]
        else:
            raise Malformed(f"field {number} has the wire type {kind}")
        if length > end - at:
            raise Malformed("it is cut off", number)
        yield number, kind, message[at : at + length]
        at += length


def varints(packed: memoryview) -> Iterator[int]:
    """Yield the numbers of a packed field."""
    at = 0
    while at < len(packed):
        value, at = _varint(packed, at, _MOST_VARINT_BYTES)
        yield value


def signed(value: int) -> int:
    """Return a varint as the int64 that it stands for."""
    return value - 2**64 if value >= 2**63 else value


def _varint(message: memoryview, at: int, most_bytes: int) -> tuple[int, int]:
    value = shift = 0
    for index in range(at, min(at + most_bytes, len(message))):
        byte = message[index]
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value & (2**64 - 1), index + 1
    raise Malformed("it is cut off" if at + most_bytes > len(message) else "a number is too long")
