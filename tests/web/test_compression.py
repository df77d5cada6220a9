"""Compression of answers: who gets it, and what it is."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demijohn.messages import Encoded
from demijohn.web.compression import choose_encoding, compress

LONG = Encoded(b"[" + b"0.5," * 2_000 + b"1]", "application/json", {"X-Length": "7"})


@pytest.mark.parametrize(
    ("accept", "encoding"),
    [
        (None, ""),
        ("", ""),
        ("identity", ""),
        ("br, zstd", ""),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate, br, zstd", "gzip"),
        ("deflate, gzip", "gzip"),
        ("gzip;q=0.5, deflate;q=0.8", "deflate"),
        ("gzip;q=0", ""),
        ("gzip;q=0, deflate", "deflate"),
        ("*", "gzip"),
        ("*;q=0", ""),
        ("gzip;q=0, *", "deflate"),
        ("gzip;q=x", ""),
        (";;;,,,", ""),
    ],
)
def test_the_client_says_how_and_we_prefer_gzip(accept: str | None, encoding: str) -> None:
    assert choose_encoding(accept) == encoding


@given(st.text(st.characters(codec="latin-1"), max_size=40))
def test_no_header_is_an_error(accept: str) -> None:
    assert choose_encoding(accept) in {"", "gzip", "deflate"}


@pytest.mark.parametrize(("encoding", "read"), [("gzip", gzip.decompress), ("deflate", zlib.decompress)])
def test_what_is_compressed_is_read_again(encoding: str, read: object) -> None:
    answer = compress(LONG, encoding, 100)
    assert read(answer.body) == LONG.body  # type: ignore[operator]
    assert len(answer.body) < len(LONG.body) / 10
    assert answer.content_type == LONG.content_type
    assert answer.headers == {"X-Length": "7", "Content-Encoding": encoding, "Vary": "Accept-Encoding"}
    assert compress(LONG, encoding, 100) == answer


@pytest.mark.parametrize(("encoding", "min_bytes"), [("", 1), ("gzip", 0), ("gzip", len(LONG.body) + 1)])
def test_what_need_not_be_compressed_is_not(encoding: str, min_bytes: int) -> None:
    assert compress(LONG, encoding, min_bytes) is LONG


def test_what_would_not_become_shorter_stays_as_it_is() -> None:
    answer = Encoded(gzip.compress(LONG.body), "application/octet-stream")
    assert compress(answer, "gzip", 1) is answer
