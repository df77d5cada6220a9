"""Compression of answers, for clients that ask for it.

Rules of this room:
1. An answer stays as it is where nobody asked, where it is shorter than the setting says, and where
   compressing makes it no shorter.
2. The quickest level: on numbers as text it saves half, as the slower ones do, at a sixth of their cost.
3. The same bytes give the same bytes: no instant stands in what is written.

Source: RFC 9110, 12.5.3 and 8.4.1.
"""

from __future__ import annotations

import zlib

from werkzeug.datastructures import Accept
from werkzeug.http import parse_accept_header

from demijohn.messages import Encoded

_LEVEL = 1
#: zlib's window bits, by the name of the encoding, the one that is preferred first: 16 + 15 writes a gzip
#: header, 15 a zlib one, which is what "deflate" means.
_WBITS = {"gzip": 31, "deflate": 15}


def choose_encoding(accept: str | None) -> str:
    """Choose how an answer may be compressed, by the Accept-Encoding header; "": it may not."""
    if not accept:
        return ""
    accepted = parse_accept_header(accept, Accept)
    best = max(_WBITS, key=accepted.quality)  # of two alike, the first
    return best if accepted.quality(best) > 0 else ""


def compress(answer: Encoded, encoding: str, min_bytes: int) -> Encoded:
    """Compress an answer.

    Args:
        answer: Any headers that say a length in it count what it is decompressed to.
        encoding: What ``choose_encoding`` returned.
        min_bytes: The shortest that is compressed; 0: none is.
    """
    if not encoding or not min_bytes or len(answer.body) < min_bytes:
        return answer
    body = zlib.compress(answer.body, _LEVEL, _WBITS[encoding])
    if len(body) >= len(answer.body):
        return answer
    headers = {**answer.headers, "Content-Encoding": encoding, "Vary": "Accept-Encoding"}
    return Encoded(body, answer.content_type, headers)
