"""What a client writes splits neither a request nor an answer."""

from __future__ import annotations

import re

import pytest
from tests.http import smuggling, wire
from tests.servers import Server, until

# 39: response headers ------------------------------------------------------------------------------

DIRTY = [
    b"a\rb",
    b"a\nb",
    b"a\r\nSet-Cookie: x=1",
    b"a\0b",
    b"a\x7fb",
    b"\x1b[31m",
    b"\xe9",
    "\U0001f40d".encode(),
    b"\xff",
    b" ",
    b"a" * 200,
]
CLEAN_HEAD = re.compile(r"[\t\x20-\x7e]*\Z")


@pytest.mark.parametrize("value", DIRTY)
@pytest.mark.parametrize(
    "name", [b"X-Request-Id", b"Origin", b"Accept", b"Content-Type", b"Content-Encoding", b"X-API-Key"]
)
def test_what_a_client_writes_does_not_come_back_in_a_header(
    server: Server, name: bytes, value: bytes
) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n%b: %b\r\n\r\n[[1,2,3]]" % (
        name,
        value,
    )
    for answer in wire.exchange(server.address, head):
        assert answer.status < 500
        assert "set-cookie" not in answer.headers
        for text in answer.headers.values():
            assert CLEAN_HEAD.match(text)
            assert value.decode("latin-1").strip() not in text or value == b" "


@pytest.mark.parametrize(
    "value", ["%0d%0aSet-Cookie:x=1", "%00", "%7f", "%1b", "%ff", "%f0%9f%90%8d", "%0a", "%0d"]
)
def test_a_path_does_not_come_back_in_a_header(server: Server, value: str) -> None:
    for path in (
        f"/{value}",
        f"/models/{value}",
        f"/models/plane/{value}",
        f"/console-assets/{value}",
        f"/livez?{value}",
    ):
        for answer in wire.exchange(server.address, wire.get(path)):
            assert answer.status < 500
            assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "value", ["%0d%0aSet-Cookie:x=1", "%0a", "%0d", "%00", "%7f", "%1b", "\u00e9", "\U0001f40d", "fine"]
)
def test_a_careless_app_can_neither_split_an_answer_nor_end_a_worker(app: Server, value: str) -> None:
    workers = app.workers
    answer = app.get(f"/reflect?value={value}")
    assert answer.status in ({200} if value == "fine" else {200, 500})
    assert "Set-Cookie" not in answer.headers
    assert app.workers == workers
    assert app.get("/ml/readyz").status == 200


# 40: smuggling ---------------------------------------------------------------------------------------


def _reached(server: Server) -> int:
    return server.log.count(" smuggled GET ")


@pytest.mark.parametrize("kind", smuggling.BROKEN)
def test_a_broken_request_is_refused_and_holds_no_other(server: Server, kind: str) -> None:
    before = _reached(server)
    answers = wire.exchange(server.address, smuggling.BROKEN[kind])
    assert [answer.status // 100 for answer in answers] in ([4], [])
    assert _reached(server) == before


@pytest.mark.parametrize("kind", smuggling.DOUBTFUL)
def test_a_doubtful_request_is_one_request_at_most(server: Server, kind: str) -> None:
    before = _reached(server)
    answers = wire.exchange(server.address, smuggling.DOUBTFUL[kind])
    finals = [answer.status for answer in answers if answer.status >= 200]
    assert len(finals) <= 1
    assert all(status < 500 for status in finals)
    assert _reached(server) == before


def test_the_proof_of_smuggling_sees_a_second_request(server: Server) -> None:
    before = _reached(server)
    answers = wire.exchange(server.address, wire.get("/livez") + smuggling.SMUGGLED)
    assert [answer.status for answer in answers] == [200, 404]
    until(lambda: _reached(server) == before + 1)
