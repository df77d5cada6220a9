"""What the messages of an Arrow stream announce, read before Arrow allocates it.

Arrow's reader trusts what a stream says of itself: a compressed buffer begins with the size that it has
decompressed, and many columns may share one buffer. So the sizes are added up here first, from the
messages' own metadata, and nothing else is looked at: whether the stream is sound, Arrow says.

Sources: https://arrow.apache.org/docs/format/Columnar.html ("Encapsulated message format") and
format/Message.fbs of Apache Arrow; https://flatbuffers.dev/internals/.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from demijohn.errors import BodyTooLarge, DecodeError

_CONTINUATION = 0xFFFFFFFF
_DICTIONARY_BATCH = 2
_RECORD_BATCH = 3
_END = 0  # NONE, of which there are no messages
_PREFIX_BYTES = 8
_UNCOMPRESSED = -1
_MOST_MESSAGES = 100_000


def check_sizes(body: bytes, max_bytes: int) -> None:
    """Refuse a stream that holds more than is allowed.

    Args:
        body: All of it.
        max_bytes: Of all buffers together, decompressed.

    Raises:
        DecodeError: it is no stream, has an end, and something behind it, or more messages than any has.
        BodyTooLarge: it holds more.
    """
    position = n_bytes = 0
    for _ in range(_MOST_MESSAGES):
        try:
            found = _read_message(body, position)
        except (struct.error, ValueError, OverflowError) as error:
            raise DecodeError("The body is no Arrow stream, or a broken one") from error
        if found is None:
            return
        more, position = found
        n_bytes += more
        if n_bytes > max_bytes:
            raise BodyTooLarge(f"The columns of a body may take {max_bytes} bytes, decompressed")
    raise DecodeError(f"The Arrow stream has more than {_MOST_MESSAGES} messages")


class Message(NamedTuple):
    """One message of a stream."""

    kind: int
    n_bytes: int  #: From its beginning to where the next begins.

    @property
    def is_end(self) -> bool:
        """Say whether no other follows."""
        return self.kind == _END

    @property
    def is_dictionary(self) -> bool:
        """Say whether it brings texts that rows name by number."""
        return self.kind == _DICTIONARY_BATCH


def measure(beginning: bytes | bytearray) -> Message | int:
    """Measure the first message of a stream that is still coming.

    Args:
        beginning: What has come.

    Returns:
        The message; or how many bytes must have come before more can be said.

    Raises:
        ValueError: it is no message.
    """
    if len(beginning) < _PREFIX_BYTES:
        return _PREFIX_BYTES
    size, more = struct.unpack_from("<II", beginning)
    start = _PREFIX_BYTES // 2
    if size == _CONTINUATION:
        size, start = more, _PREFIX_BYTES
    if not size:
        return Message(_END, start)
    if len(beginning) < start + size:
        return int(start + size)
    try:
        message = _Table.root(memoryview(bytes(beginning[start : start + size])))
        kind, body_bytes = message.scalar(1, "<B"), message.scalar(3, "<q")
    except (struct.error, OverflowError) as error:
        raise ValueError("the message has no metadata") from error
    if body_bytes < 0:
        raise ValueError("the message ends before it begins")
    return Message(kind, start + size + body_bytes)


def _read_message(body: bytes, position: int) -> tuple[int, int] | None:
    """Return how many bytes the buffers of a message take, and where the next begins; None at the end.

    "<continuation: 0xFFFFFFFF> <metadata_size: int32> <metadata_flatbuffer: bytes> <padding>
    <message body>"; "end-of-stream: 0xFFFFFFFF 0x00000000", or the end of the bytes. Before Arrow 0.15 there
    was no continuation.
    """
    if position == len(body):
        return None
    (size,) = struct.unpack_from("<I", body, position)
    position += 4
    if size == _CONTINUATION:
        (size,) = struct.unpack_from("<I", body, position)
        position += 4
    if not size:
        if position != len(body):
            raise DecodeError("Something follows the Arrow stream")
        return None
    metadata = memoryview(body)[position : position + size]
    message = _Table.root(metadata)
    start = position + size
    end = start + message.scalar(3, "<q")
    if not start <= end <= len(body):
        raise ValueError("the message ends behind the body")
    kind = message.scalar(1, "<B")
    if kind not in (_RECORD_BATCH, _DICTIONARY_BATCH):
        return 0, end
    batch = message.table(2)
    if kind == _DICTIONARY_BATCH:
        batch = batch.table(1)
    return _buffer_bytes(batch, body, start, end), end


def _buffer_bytes(batch: _Table, body: bytes, start: int, end: int) -> int:
    """Add up the buffers of a record batch, as they are decompressed."""
    buffers = batch.structs(2)
    offsets, lengths = buffers[:, 0], buffers[:, 1]
    if len(lengths) and (min(lengths.min(), offsets.min()) < 0 or lengths.max() > len(body)):
        raise ValueError("a buffer is of no such size")
    if not batch.has(3):  # compression
        return int(lengths.sum())
    n_bytes = 0
    for offset, length in buffers.tolist():
        # "Each compressed buffer [begins with its] uncompressed length as a 64-bit little-endian signed
        # integer"; -1 says that it is not compressed after all.
        if length:
            if start + offset + 8 > end:
                raise ValueError("a buffer ends behind its message")
            (size,) = struct.unpack_from("<q", body, start + offset)
            n_bytes += length if size == _UNCOMPRESSED else size
            if size < _UNCOMPRESSED:
                raise ValueError("a buffer is of no such size")
    return n_bytes


class _Table:
    """A table of a flatbuffer; every read is within its bytes, or a ``struct.error``."""

    def __init__(self, metadata: memoryview, position: int) -> None:
        self._metadata = metadata
        self._position = position
        self._vtable = position - _unpack("<i", metadata, position)
        self._size = _unpack("<H", metadata, self._vtable)

    @classmethod
    def root(cls, metadata: memoryview) -> _Table:
        return cls(metadata, _unpack("<I", metadata, 0))

    def has(self, field: int) -> bool:
        return self._place(field) > 0

    def scalar(self, field: int, form: str) -> int:
        """Return a number; 0 is the default of all that are read here."""
        place = self._place(field)
        return _unpack(form, self._metadata, place) if place else 0

    def table(self, field: int) -> _Table:
        return _Table(self._metadata, self._target(field))

    def structs(self, field: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        """Return a vector of structs of two int64 each."""
        place = self._target(field)
        count = _unpack("<I", self._metadata, place)
        numbers = np.frombuffer(self._metadata, dtype="<i8", count=2 * count, offset=place + 4)
        return numbers.reshape(-1, 2)

    def _place(self, field: int) -> int:
        entry = 4 + 2 * field
        if entry + 2 > self._size:
            return 0
        offset = _unpack("<H", self._metadata, self._vtable + entry)
        return self._position + offset if offset else 0

    def _target(self, field: int) -> int:
        place = self._place(field)
        if not place:
            raise ValueError("a part of the message is missing")
        return place + _unpack("<I", self._metadata, place)


def _unpack(form: str, buffer: memoryview, position: int) -> int:
    if position < 0:  # counts from the end, for Python
        raise ValueError("a place before the message")
    value: int = struct.unpack_from(form, buffer, position)[0]
    return value
