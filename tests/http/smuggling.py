"""Requests in which a front server and ours might see different numbers of requests.

Our own corpus, after the rules of RFC 9112 that each one breaks. ``SMUGGLED`` stands where a second
request would begin for whoever reads the first one wrongly.
"""

from __future__ import annotations

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: smuggled\r\n\r\n"


def _post(headers: bytes, body: bytes) -> bytes:
    return b"POST /predict HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n\r\n" + body


def _get(head: bytes) -> bytes:
    return head + b"\r\n\r\n"


_CHUNKED = b"Transfer-Encoding: chunked"
_LENGTH = b"Content-Length: %d" % len(SMUGGLED)

#: What must be refused, or end the connection; never answered with success.
BROKEN: dict[str, bytes] = {
    # 3: the request line
    "no version": _get(b"GET /livez\r\nHost: localhost"),
    "version 0.9": _get(b"GET /livez HTTP/0.9\r\nHost: localhost"),
    "version 1.2.3": _get(b"GET /livez HTTP/1.2.3\r\nHost: localhost"),
    "version 9.9": _get(b"GET /livez HTTP/9.9\r\nHost: localhost"),
    "lower-case http": _get(b"GET /livez http/1.1\r\nHost: localhost"),
    "another protocol": _get(b"GET /livez ICE/1.0\r\nHost: localhost"),
    "a method with a colon": _get(b"GE:T /livez HTTP/1.1\r\nHost: localhost"),
    "a method with a NUL": _get(b"GET\0 /livez HTTP/1.1\r\nHost: localhost"),
    "a method of parentheses": _get(b"G(E)T /livez HTTP/1.1\r\nHost: localhost"),
    "no method": _get(b" /livez HTTP/1.1\r\nHost: localhost"),
    "no target": _get(b"GET  HTTP/1.1\r\nHost: localhost"),
    "a space in the target": _get(b"GET /livez x HTTP/1.1\r\nHost: localhost"),
    "a tab in the target": _get(b"GET /livez\tx HTTP/1.1\r\nHost: localhost"),
    "a NUL in the target": _get(b"GET /livez\0 HTTP/1.1\r\nHost: localhost"),
    "a bare CR in the request line": _get(b"GET /livez\rHTTP/1.1\r\nHost: localhost"),
    "words after the version": _get(b"GET /livez HTTP/1.1 x\r\nHost: localhost"),
    # 3.2: Host
    "no host": _get(b"GET /livez HTTP/1.1\r\nAccept: */*"),
    "two hosts": _get(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: evil.test"),
    "a host of two words": _get(b"GET /livez HTTP/1.1\r\nHost: localhost evil.test"),
    "a host with a path": _get(b"GET /livez HTTP/1.1\r\nHost: localhost/x"),
    "a host with an at": _get(b"GET /livez HTTP/1.1\r\nHost: evil.test@localhost"),
    "two hosts in one line": _get(b"GET /livez HTTP/1.1\r\nHost: localhost, evil.test"),
    # 5: fields
    "a space before the colon": _post(b"Content-Length : 5", b"[[1]]" + SMUGGLED),
    "a space before the colon of chunked": _post(b"Transfer-Encoding : chunked", b"0\r\n\r\n" + SMUGGLED),
    "a field without a name": _get(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n: x"),
    "a field without a colon": _get(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nnothing"),
    "a space in a name": _get(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX Y: x"),
    "a name of another script": _get(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-\xc3\xa9: x"),
    "a NUL in a name": _get(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX\0: x"),
    "a NUL in a value": _get(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: a\0b"),
    "a bare CR in a value": _get(
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: a\rTransfer-Encoding: chunked"
    ),
    "a folded value": _get(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b"),
    "a folded chunked": _post(b"Transfer-Encoding:\r\n chunked", b"0\r\n\r\n" + SMUGGLED),
    "a line of spaces before the fields": _get(b"GET /livez HTTP/1.1\r\n X: a\r\nHost: localhost"),
    # 6.2: Content-Length
    "two lengths": _post(b"Content-Length: 5\r\nContent-Length: 6", b"[[1]]" + SMUGGLED),
    "two lengths in one line": _post(b"Content-Length: 5, 6", b"[[1]]" + SMUGGLED),
    "a length of another kind": _post(b"Content-Length: 0x5", b"[[1]]" + SMUGGLED),
    "a negative length": _post(b"Content-Length: -1", SMUGGLED),
    "a length with a plus": _post(b"Content-Length: +5", b"[[1]]" + SMUGGLED),
    "a length with a space": _post(b"Content-Length: 1 5", b"[[1]]" + SMUGGLED),
    "a length with an underscore": _post(b"Content-Length: 0_5", b"[[1]]" + SMUGGLED),
    "an empty length": _post(b"Content-Length:", b"[[1]]" + SMUGGLED),
    "a length beyond 64 bits": _post(b"Content-Length: 18446744073709551621", b"[[1]]" + SMUGGLED),
    # 6.1: Transfer-Encoding
    "an unknown coding": _post(b"Transfer-Encoding: xchunked", b"0\r\n\r\n" + SMUGGLED),
    "chunked but not last": _post(b"Transfer-Encoding: chunked, gzip", b"0\r\n\r\n" + SMUGGLED),
    "identity after chunked": _post(b"Transfer-Encoding: chunked, identity", b"0\r\n\r\n" + SMUGGLED),
    "another coding in a second line": _post(
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", b"0\r\n\r\n" + SMUGGLED
    ),
    "chunked in quotes": _post(b'Transfer-Encoding: "chunked"', b"0\r\n\r\n" + SMUGGLED),
    "chunked behind a vertical tab": _post(b"Transfer-Encoding: \x0bchunked", b"0\r\n\r\n" + SMUGGLED),
    "an empty coding": _post(b"Transfer-Encoding:", b"0\r\n\r\n" + SMUGGLED),
    "chunked in HTTP/1.0": b"POST /predict HTTP/1.0\r\nHost: localhost\r\n"
    + _CHUNKED
    + b"\r\n\r\n0\r\n\r\n"
    + SMUGGLED,
    # 7.1: chunks
    "a chunk size with 0x": _post(_CHUNKED, b"0x5\r\n[[1]]\r\n0\r\n\r\n" + SMUGGLED),
    "a chunk size with a plus": _post(_CHUNKED, b"+5\r\n[[1]]\r\n0\r\n\r\n" + SMUGGLED),
    "a negative chunk size": _post(_CHUNKED, b"-5\r\n[[1]]\r\n0\r\n\r\n" + SMUGGLED),
    "a chunk size with an underscore": _post(_CHUNKED, b"0_5\r\n[[1]]\r\n0\r\n\r\n" + SMUGGLED),
    "a chunk size of no digits": _post(_CHUNKED, b"\r\n[[1]]\r\n0\r\n\r\n" + SMUGGLED),
    "a chunk size of letters": _post(_CHUNKED, b"five\r\n[[1]]\r\n0\r\n\r\n" + SMUGGLED),
    "a chunk size beyond 64 bits": _post(_CHUNKED, b"10000000000000005\r\n[[1]]\r\n0\r\n\r\n" + SMUGGLED),
    "a chunk longer than its size": _post(_CHUNKED, b"3\r\n[[1]]\r\n0\r\n\r\n" + SMUGGLED),
    "a chunk without its end": _post(_CHUNKED, b"5\r\n[[1]]0\r\n\r\n" + SMUGGLED),
    "a chunk line with a bare LF": _post(_CHUNKED, b"5\n[[1]]\r\n0\r\n\r\n" + SMUGGLED),
    "a chunk ended by a bare LF": _post(_CHUNKED, b"5\r\n[[1]]\n0\r\n\r\n" + SMUGGLED),
    "a chunk line with a bare CR": _post(_CHUNKED, b"5\r[[1]]\r\n0\r\n\r\n" + SMUGGLED),
    "an extension with a bare LF": _post(_CHUNKED, b"5;a\nb\r\n[[1]]\r\n0\r\n\r\n" + SMUGGLED),
    "an extension of 100 kB": _post(_CHUNKED, b"5;" + b"a" * 100_000 + b"\r\n[[1]]\r\n0\r\n\r\n" + SMUGGLED),
    # not HTTP
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64 + b"\r\n\r\n",
    "a proxy's preface": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + SMUGGLED,
    "a binary proxy's preface": b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + b"\x7f\0\0\1" * 3 + SMUGGLED,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 9,
    "zeros": b"\0" * 1024 + b"\r\n\r\n",
}

#: What one reader may take and another refuse: taken, it must be one request and no more.
DOUBTFUL: dict[str, bytes] = {
    "a length beside chunked": _post(_CHUNKED + b"\r\nContent-Length: 5", b"0\r\n\r\n" + SMUGGLED),
    "chunked beside a length": _post(_LENGTH + b"\r\n" + _CHUNKED, b"0\r\n\r\n" + SMUGGLED),
    "a length that covers it": _post(_LENGTH, SMUGGLED),
    "the same length twice": _post(_LENGTH + b"\r\n" + _LENGTH, SMUGGLED),
    "the same length twice in one line": _post(_LENGTH + b", %d" % len(SMUGGLED), SMUGGLED),
    "chunked in capitals": _post(
        b"Transfer-Encoding: CHUNKED", b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
    ),
    "chunked twice": _post(
        b"Transfer-Encoding: chunked, chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
    ),
    "a chunk size with zeros": _post(_CHUNKED, b"000%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)),
    "a chunk size with a space": _post(_CHUNKED, b"%x \r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)),
    "a request in an extension": _post(_CHUNKED, b"5;a=GET /smuggled\r\n[[1]]\r\n0\r\n\r\n"),
    "a request in a trailer": _post(
        _CHUNKED, b"5\r\n[[1]]\r\n0\r\nX: GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
    ),
    "a body of GET": b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + _LENGTH + b"\r\n\r\n" + SMUGGLED,
    "a chunked body of GET": b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
    + _CHUNKED
    + b"\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED),
    "an upgrade": b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: h2c\r\n"
    + _LENGTH
    + b"\r\n\r\n"
    + SMUGGLED,
    "a body that is expected": _post(_LENGTH + b"\r\nExpect: 100-continue", SMUGGLED),
    "a tunnel": b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n" + _LENGTH + b"\r\n\r\n" + SMUGGLED,
    "a folded name of the length": _post(b"Content-Length:\t%d" % len(SMUGGLED), SMUGGLED),
}
