"""Reading of bodies: decompressed; bounded and whole, or piece by piece."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demijohn.errors import BodyTooLarge, DecodeError, UnsupportedMediaType
from demijohn.web.bodies import (
    PIECE_BYTES,
    check_length,
    declared_length,
    inflate_pieces,
    read_body,
    read_encodings,
    read_pieces,
)

BODY = b"[[1.5, 2.5]]"
LIMIT = 1_000


def raw_deflate(body: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-15)
    return engine.compress(body) + engine.flush()


ENCODERS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "identity": bytes}


def read(body: bytes, encoding: str = "", limit: int = LIMIT, **environ: Any) -> bytes:
    environ = {"CONTENT_LENGTH": str(len(body)), "HTTP_CONTENT_ENCODING": encoding, **environ}
    return read_from(environ, io.BytesIO(body), limit)


def read_from(environ: dict[str, Any], stream: BinaryIO, limit: int = LIMIT) -> bytes:
    return read_body(environ, stream, check_length(environ, limit), read_encodings(environ), limit)


class Dribble(io.RawIOBase):
    """A stream that gives at most ``most`` bytes at a time, and counts them."""

    def __init__(self, body: bytes, most: int) -> None:
        self._body = io.BytesIO(body)
        self._most = most
        self.given = 0

    def read(self, size: int = -1) -> bytes:
        piece = self._body.read(min(size, self._most))
        self.given += len(piece)
        return piece


@given(st.binary(max_size=LIMIT), st.sampled_from(sorted(ENCODERS)), st.integers(1, LIMIT))
def test_a_body_is_read_as_it_was_compressed_up_to_the_limit_exactly(
    body: bytes, encoding: str, limit: int
) -> None:
    compressed = ENCODERS[encoding](body)
    if len(body) > limit or len(compressed) > limit:
        with pytest.raises(BodyTooLarge):
            read(compressed, encoding, limit)
    else:
        assert read(compressed, encoding, limit) == body


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_the_members_of_a_gzip_body_are_one_body(first: bytes, second: bytes) -> None:
    assert read(gzip.compress(first) + gzip.compress(second), "gzip") == first + second


def test_encodings_are_undone_from_the_last_to_the_first() -> None:
    assert read(zlib.compress(gzip.compress(BODY)), "GZIP , identity, Deflate") == BODY


def test_deflate_without_the_zlib_wrapper_is_read_too() -> None:
    assert read(raw_deflate(BODY), "deflate") == BODY


def test_no_encoding_and_no_length_is_no_body() -> None:
    assert read_from({}, io.BytesIO(BODY), LIMIT) == b""
    assert read_from({"CONTENT_LENGTH": ""}, io.BytesIO(BODY), LIMIT) == b""
    assert read_from({"CONTENT_LENGTH": "0"}, io.BytesIO(BODY), LIMIT) == b""


def test_a_body_without_length_is_read_to_its_end_where_the_server_ends_it() -> None:
    assert read_from({"wsgi.input_terminated": True}, io.BytesIO(BODY), LIMIT) == BODY


def test_what_follows_the_body_is_not_read() -> None:
    stream = io.BytesIO(BODY + b"next request")
    assert read_from({"CONTENT_LENGTH": str(len(BODY))}, stream, LIMIT) == BODY
    assert stream.tell() == len(BODY)


def test_a_body_may_come_in_pieces() -> None:
    stream: Any = Dribble(BODY, 5)
    assert read_from({"CONTENT_LENGTH": str(len(BODY))}, stream, LIMIT) == BODY


def test_of_a_body_that_says_it_is_too_long_nothing_is_read() -> None:
    stream = Dribble(b"x" * 2_000, 100)
    source: BinaryIO = stream  # type: ignore[assignment]
    with pytest.raises(BodyTooLarge, match=f"{LIMIT} bytes"):
        read_from({"CONTENT_LENGTH": str(LIMIT + 1)}, source, LIMIT)
    assert stream.given == 0


def test_of_a_body_that_does_not_say_little_more_than_the_limit_is_read() -> None:
    stream = Dribble(b"x" * 100 * PIECE_BYTES, PIECE_BYTES)
    source: BinaryIO = stream  # type: ignore[assignment]
    with pytest.raises(BodyTooLarge):
        read_from({"wsgi.input_terminated": True}, source, LIMIT)
    assert stream.given <= LIMIT + PIECE_BYTES


@pytest.mark.parametrize("length", ["9" * 5_000, "1" + "0" * 19, str(LIMIT + 1)])
def test_a_length_over_the_limit_is_refused_by_its_number_alone(length: str) -> None:
    with pytest.raises(BodyTooLarge):
        check_length({"CONTENT_LENGTH": length}, LIMIT)


@pytest.mark.parametrize("length", ["-1", "1.5", "x", "+3", "٣", "0x10"])
def test_a_length_that_is_no_number_cannot_be_read(length: str) -> None:
    check_length({"CONTENT_LENGTH": length}, LIMIT)
    with pytest.raises(DecodeError, match="Content-Length"):
        read(BODY, CONTENT_LENGTH=length)


def test_a_body_that_ends_early_cannot_be_read() -> None:
    with pytest.raises(DecodeError, match="ended before"):
        read(BODY, CONTENT_LENGTH=str(len(BODY) + 1))


@pytest.mark.parametrize(
    "encoding", ["br", "zstd", "compress", "gzip, br", "gzip, gzip, gzip", "*", "gzip;q=1"]
)
def test_another_encoding_is_refused(encoding: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        read(BODY, encoding)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "gzip, deflate"])
def test_a_bomb_is_refused_at_the_limit_of_what_it_decompresses_to(encoding: str) -> None:
    bomb = b"\0" * 100_000
    for name in encoding.split(", "):
        bomb = ENCODERS[name](bomb)
    with pytest.raises(BodyTooLarge):
        read(bomb, encoding, limit=99_999)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (BODY, "gzip"),
        (BODY, "deflate"),
        (gzip.compress(BODY)[:-1], "gzip"),
        (gzip.compress(BODY)[:5], "gzip"),
        (zlib.compress(BODY)[:-1], "deflate"),
        (gzip.compress(BODY) + b"more", "gzip"),
        (zlib.compress(BODY) + b"more", "deflate"),
        (raw_deflate(BODY) + b"more", "deflate"),
        (gzip.compress(BODY)[:-8] + b"\0" * 8, "gzip"),
        (b"\x80\x04K\x01.", "deflate"),
    ],
)
def test_what_is_not_compressed_as_it_says_cannot_be_read(body: bytes, encoding: str) -> None:
    with pytest.raises(DecodeError):
        read(body, encoding)


def test_a_body_of_very_many_empty_members_is_refused() -> None:
    member = gzip.compress(b"")
    assert read(member * 10_000, "gzip", limit=10**6) == b""
    with pytest.raises(DecodeError, match="more than 10000 members"):
        read(member * 10_001, "gzip", limit=10**6)


def test_a_body_longer_than_one_piece_is_decompressed_whole() -> None:
    body = bytes(range(256)) * 2_000
    stored = gzip.compress(body, compresslevel=0)
    assert len(stored) > PIECE_BYTES
    assert read(stored, "gzip", limit=10**6) == body


@given(st.binary(max_size=60), st.sampled_from(["", "gzip", "deflate", "gzip, deflate"]))
def test_any_bytes_are_read_or_refused(body: bytes, encoding: str) -> None:
    outcome: Any
    try:
        outcome = read(body, encoding)
    except DecodeError as error:
        outcome = error.status
    assert isinstance(outcome, bytes) or outcome == 400


# Piece by piece ------------------------------------------------------------------------------


def read_by_pieces(body: bytes, encoding: str = "", most: int = 7, **environ: Any) -> list[bytes]:
    environ = {"CONTENT_LENGTH": str(len(body)), "HTTP_CONTENT_ENCODING": encoding, **environ}
    raw = read_pieces(environ, Dribble(body, 5), declared_length(environ), most)
    return list(inflate_pieces(raw, read_encodings(environ), most))


@given(st.binary(max_size=LIMIT), st.sampled_from(sorted(ENCODERS)), st.integers(1, 40))
def test_pieces_make_the_body_and_none_is_longer_than_allowed(body: bytes, encoding: str, most: int) -> None:
    pieces = read_by_pieces(ENCODERS[encoding](body), encoding, most)
    assert b"".join(pieces) == body
    assert all(0 < len(piece) <= most for piece in pieces)


def test_pieces_of_unknown_length_end_with_the_stream() -> None:
    endless = {"CONTENT_LENGTH": "", "wsgi.input_terminated": True}
    assert b"".join(read_by_pieces(BODY, **endless)) == BODY
    assert read_by_pieces(BODY, CONTENT_LENGTH="") == []  # nobody says where it ends
    with pytest.raises(DecodeError, match="not a number"):
        read_by_pieces(BODY, CONTENT_LENGTH="x")


@pytest.mark.parametrize(
    ("body", "encoding", "message"),
    [
        (gzip.compress(BODY)[:-1], "gzip", "ended early"),
        (zlib.compress(BODY)[:-1], "deflate", "ended early"),
        (b"x", "deflate", "ended early"),
        (raw_deflate(BODY) + b"more", "deflate", "follows"),
        (gzip.compress(BODY) + b"more", "gzip", "not valid gzip"),
        (BODY, "gzip", "not valid gzip"),
    ],
)
def test_pieces_that_are_not_what_they_say_are_refused(body: bytes, encoding: str, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        read_by_pieces(body, encoding)
    with pytest.raises(DecodeError, match="before its Content-Length"):
        read_by_pieces(BODY, CONTENT_LENGTH="99")


def test_several_members_follow_each_other_and_a_bomb_comes_in_pieces() -> None:
    assert (
        b"".join(read_by_pieces(gzip.compress(b"a") + gzip.compress(b"") + gzip.compress(b"b"), "gzip"))
        == b"ab"
    )
    bomb = gzip.compress(b"0" * 10_000_000)
    raw = read_pieces({}, Dribble(bomb, 5_000), len(bomb), 5_000)
    pieces = inflate_pieces(raw, ["gzip"], 1_000)
    assert len(next(pieces)) == 1_000
    assert sum(map(len, pieces)) == 9_999_000
    two = raw_deflate(zlib.compress(BODY))
    assert b"".join(read_by_pieces(two, "deflate, deflate")) == BODY
