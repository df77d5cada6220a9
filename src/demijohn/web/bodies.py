"""Reading of request bodies: decompressed; bounded and whole, or piece by piece.

Rules of this room:
1. What is read whole has a limit. Nothing is read of a body whose length alone is over it; of others at
   most the limit and one piece more.
2. The limit counts decompressed bytes, and no more than that is ever decompressed.
3. What is read piece by piece has no limit, but no more of it is held, or decompressed, than one piece.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from demijohn.errors import BodyTooLarge, DecodeError, UnsupportedMediaType

PIECE_BYTES = 65_536
_MOST_ENCODINGS = 2
_ZLIB_HEAD_BYTES = 2
_MOST_DIGITS = 18
_MOST_MEMBERS = 10_000  # of one gzip body: each costs an engine, and may hold nothing


def check_length(environ: Mapping[str, Any], max_body_bytes: int) -> int | None:
    """Refuse a body by its Content-Length alone.

    Returns:
        Its length, compressed; None where the header is absent or no number.

    Raises:
        BodyTooLarge: it is over the limit.
    """
    length = declared_length(environ)
    if length is not None and length > max_body_bytes:
        raise _too_large(max_body_bytes)
    return length


def declared_length(environ: Mapping[str, Any]) -> int | None:
    """Return what the Content-Length says; None where it is absent or no number."""
    declared = environ.get("CONTENT_LENGTH")
    if not declared or not (declared.isascii() and declared.isdigit()):
        return None
    # Python refuses to read a number of thousands of digits.
    return int(declared[:_MOST_DIGITS]) if len(declared) > _MOST_DIGITS else int(declared)


def read_encodings(environ: Mapping[str, Any]) -> Sequence[str]:
    """Return how a body is compressed, the last step first.

    Raises:
        UnsupportedMediaType: the Content-Encoding is not gzip, deflate or identity.
    """
    header = environ.get("HTTP_CONTENT_ENCODING")
    return _encodings(header) if header else ()


def read_body(
    environ: Mapping[str, Any],
    stream: BinaryIO,
    length: int | None,
    encodings: Sequence[str],
    max_body_bytes: int,
) -> bytes:
    """Read and decompress a request's body.

    Args:
        environ: For CONTENT_LENGTH and ``wsgi.input_terminated``, where there is no ``length``.
        stream: Where the body is read from.
        length: What ``check_length`` says.
        encodings: What ``read_encodings`` says.
        max_body_bytes: Of the decompressed body.

    Raises:
        BodyTooLarge: there is more.
        DecodeError: it ended early, or is not compressed as it says.
    """
    if length is not None:
        body = stream.read(length) if length else b""
        if len(body) != length:
            body = _read_rest(stream, body, length)
    elif environ.get("CONTENT_LENGTH"):
        raise DecodeError("The Content-Length is not a number")
    elif environ.get("wsgi.input_terminated"):
        body = _read_to_end(stream, max_body_bytes)
    else:
        body = b""
    for encoding in encodings:
        body = _inflate(body, encoding, max_body_bytes)
    return body


def read_pieces(
    environ: Mapping[str, Any], stream: BinaryIO, length: int | None, piece_bytes: int
) -> Iterator[bytes]:
    """Read a body of any length, so many bytes at a time, as it came.

    Args:
        environ: As in ``read_body``.
        stream: Where the body is read from.
        length: What ``declared_length`` says.
        piece_bytes: Length of each piece but the last.

    Raises:
        DecodeError: it ended early.
    """
    if length is None and environ.get("CONTENT_LENGTH"):
        raise DecodeError("The Content-Length is not a number")
    left = length
    if length is None and not environ.get("wsgi.input_terminated"):
        left = 0
    while left != 0:
        piece = stream.read(piece_bytes if left is None else min(left, piece_bytes))
        if not piece:
            break
        left = None if left is None else left - len(piece)
        yield piece
    if left:
        raise DecodeError("The body ended before its Content-Length")


def inflate_pieces(pieces: Iterator[bytes], encodings: Sequence[str], piece_bytes: int) -> Iterator[bytes]:
    """Decompress a body while it comes.

    Args:
        pieces: What ``read_pieces`` yields.
        encodings: What ``read_encodings`` says.
        piece_bytes: Most bytes of a piece, decompressed.

    Raises:
        DecodeError: it ended early, or is not compressed as it says.
    """
    for encoding in encodings:
        pieces = _inflate_pieces(pieces, encoding, piece_bytes)
    return pieces


def _inflate_pieces(pieces: Iterator[bytes], encoding: str, piece_bytes: int) -> Iterator[bytes]:
    engine: Any = None
    compressed = b""
    has_ended = False
    for piece in pieces:
        compressed += piece
        while compressed or engine is not None:
            if engine is None:
                if has_ended and encoding == "deflate":
                    raise DecodeError(f"Something follows the {encoding} body")
                if len(compressed) < _ZLIB_HEAD_BYTES:
                    break
                engine = zlib.decompressobj(_wbits(encoding, compressed))
            inflated = _decompress(engine, compressed, piece_bytes, encoding)
            compressed = engine.unused_data if engine.eof else engine.unconsumed_tail
            if inflated:
                yield inflated
            if engine.eof:
                engine, has_ended = None, True
            elif not compressed and len(inflated) < piece_bytes:
                break  # it holds nothing back
    if engine is not None or compressed:
        raise DecodeError(f"The {encoding} body ended early")


def _encodings(header: str) -> list[str]:
    names = [name.strip().lower() for name in header.split(",") if name.strip()]
    names = [name for name in reversed(names) if name != "identity"]
    unknown = [name for name in names if name not in _WBITS]
    if unknown or len(names) > _MOST_ENCODINGS:
        raise UnsupportedMediaType("The Content-Encoding is not read; use gzip, deflate or none")
    return names


def _read_rest(stream: BinaryIO, body: bytes, length: int) -> bytes:
    """Read on after a read that gave less than was asked for, as WSGI allows it to."""
    pieces, missing = [body], length - len(body)
    while missing > 0 and (piece := stream.read(missing)):
        pieces.append(piece)
        missing -= len(piece)
    if missing:
        raise DecodeError("The body ended before its Content-Length")
    return b"".join(pieces)


def _read_to_end(stream: BinaryIO, limit: int) -> bytes:
    pieces: list[bytes] = []
    total = 0
    while piece := stream.read(PIECE_BYTES):
        total += len(piece)
        if total > limit:
            raise _too_large(limit)
        pieces.append(piece)
    return b"".join(pieces)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"A body may have {limit} bytes, decompressed")


# zlib's window bits: 16 + 15 reads a gzip header, 15 a zlib one.
_WBITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


def _inflate(body: bytes, encoding: str, limit: int) -> bytes:
    wbits = _wbits(encoding, body)
    pieces: list[bytes] = []
    left, position = limit, 0
    for _ in range(_MOST_MEMBERS + 1):
        if position >= len(body):
            return b"".join(pieces)
        engine = zlib.decompressobj(wbits)
        while not engine.eof:
            # By pieces: what an engine leaves over is a copy, and there may be many engines.
            compressed = body[position : position + PIECE_BYTES]
            if not compressed:
                raise DecodeError(f"The {encoding} body ended early")
            piece = _decompress(engine, compressed, left + 1, encoding)
            left -= len(piece)
            if left < 0:
                raise _too_large(limit)
            pieces.append(piece)
            position += len(compressed) - len(engine.unused_data)
        if wbits != _WBITS["gzip"] and position < len(body):
            raise DecodeError(f"Something follows the {encoding} body")
    raise DecodeError(f"The {encoding} body has more than {_MOST_MEMBERS} members")


def _wbits(encoding: str, body: bytes) -> int:
    """Return zlib's window bits for a body that begins like this one."""
    if encoding == "deflate" and not _is_zlib(body):
        # RFC 9110 8.4.1.2: "deflate" is the zlib format; "some non-conformant implementations send
        # the 'deflate' compressed data without the zlib wrapper".
        return -15
    return _WBITS[encoding]


def _decompress(engine: Any, compressed: bytes, most: int, encoding: str) -> bytes:
    try:
        piece: bytes = engine.decompress(compressed, most)
    except zlib.error as error:
        raise DecodeError(f"The body is not valid {encoding}") from error
    return piece


def _is_zlib(body: bytes) -> bool:
    """RFC 1950: method 8 in the low bits, and the first two bytes a multiple of 31."""
    return len(body) > 1 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
