"""One origin over HTTP: what is tried again, what is bounded, and who gets the key."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.client.fake_server import DESCRIPTION, FakeServer, answer, problem
from tests.servers import Server

from demijohn import Client, errors
from demijohn.errors import (
    AnswerTimeout,
    ConfigurationError,
    ConnectionFailed,
    DemijohnError,
    KeyMissing,
    QueueFull,
    RequestError,
    ServerError,
    Unavailable,
    UnusableAnswer,
)

HERE = Path(__file__).parent
MODELS = answer({"models": []})
ROW = np.array([[1.0, 2.0]])


def ask(server: FakeServer, **options: Any) -> Any:
    """List the models: one request, and nothing of a dialect."""
    with Client(server.url, **options) as client:
        return client.models.names


# Tried again ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "first",
    [
        None,
        problem(503, "queue_full", Retry_After="0"),
        problem(429, "bad_request", Retry_After="0"),
        answer(b"later", 503, "text/html", Retry_After="0"),
        problem(503, "draining", Retry_After="0", Connection="close"),
    ],
    ids=["the connection ends", "503", "429", "a proxy's 503", "draining"],
)
def test_what_did_not_reach_the_model_is_tried_again(fake: FakeServer, first: Any) -> None:
    fake.replies = [first, first, MODELS]
    assert ask(fake, retries=2) == ()
    assert len(fake.requests) == 3


@pytest.mark.parametrize("n_retries", [0, 2])
def test_a_server_that_stays_full_is_told_as_it_says(fake: FakeServer, n_retries: int) -> None:
    fake.replies = [problem(503, "queue_full", Retry_After="0")]
    with pytest.raises(QueueFull) as raised:
        ask(fake, retries=n_retries)
    assert raised.value.headers == {"Retry-After": "0"}
    assert len(fake.requests) == n_retries + 1


@pytest.mark.parametrize(
    "status", [400, 401, 403, 404, 405, 406, 408, 409, 413, 414, 415, 418, 422, 431, 500, 501, 502, 504]
)
def test_no_other_answer_is_tried_again(fake: FakeServer, status: int) -> None:
    fake.replies = [problem(status, "who_knows", Retry_After="0")]
    with pytest.raises(RequestError if status < 500 else ServerError) as raised:
        ask(fake)
    assert (raised.value.status, raised.value.code, raised.value.request_id) == (status, "who_knows", "id-1")
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    "retry_after",
    [
        None,
        "soon",
        "-1",
        "3600",
        "9" * 5_000,
        "Fri, 01 Jan 2100 00:00:00 GMT",
        "Fri, 01 Jan 99999999999 00:00:00 GMT",
    ],
)
def test_nobody_waits_longer_than_the_timeout_or_for_what_is_not_said(
    fake: FakeServer, retry_after: str | None
) -> None:
    fake.replies = [
        problem(503, "not_ready", **({} if retry_after is None else {"Retry_After": retry_after}))
    ]
    with pytest.raises(errors.NotReady):
        ask(fake, timeout=20)
    assert len(fake.requests) == 1


def test_a_connection_that_nobody_takes_is_told_after_the_last_try() -> None:
    with FakeServer() as gone:
        url = gone.url
    with Client(url, retries=1) as client:
        assert not client.is_ready()
        with pytest.raises(ConnectionFailed, match="refused") as raised:
            client.models  # noqa: B018
    assert url in raised.value.detail
    assert raised.value.__cause__ is not None


def test_a_host_that_no_one_knows_is_told() -> None:
    with Client("http://nobody.invalid", retries=0) as client, pytest.raises(ConnectionFailed):
        client.models  # noqa: B018


def test_a_connection_that_the_server_has_closed_meanwhile_is_opened_again(fake: FakeServer) -> None:
    fake.replies = [answer({"models": []}, Connection="close"), MODELS]
    with Client(fake.url, retries=0) as client:
        assert client.models.names == client.models.names == ()
    assert fake.n_connections == 2


def test_connections_are_kept(fake: FakeServer) -> None:
    fake.replies = [MODELS]
    with Client(fake.url) as client:
        for _ in range(3):
            assert client.models.names == ()
    assert fake.n_connections == 1


# Bounds -----------------------------------------------------------------------------------


def late(released: threading.Event, *pieces: bytes) -> Iterator[bytes]:
    """Send all pieces but wait before the last."""
    yield from pieces[:-1]
    released.wait(30)
    yield pieces[-1]


@pytest.mark.parametrize("sent_before", [b"", MODELS[:-3]], ids=["nothing", "a part"])
def test_an_answer_that_does_not_come_is_given_up(fake: FakeServer, sent_before: bytes) -> None:
    released = threading.Event()
    fake.replies = [late(released, sent_before, MODELS[len(sent_before) :])]
    with pytest.raises(AnswerTimeout):
        ask(fake, timeout=0.3)
    released.set()
    assert len(fake.requests) == 1


def test_a_body_that_nobody_takes_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        with Client(url, timeout=0.3) as client, pytest.raises(AnswerTimeout):
            client._connection.post("/", b"x" * 2**26, {})


def test_an_answer_that_drips_is_given_up(fake: FakeServer) -> None:
    stopped = threading.Event()

    def drip() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
        while not stopped.wait(0.02):
            yield b" "

    fake.replies = [drip()]
    with pytest.raises(AnswerTimeout):
        ask(fake, timeout=0.3)
    stopped.set()


@pytest.mark.parametrize(
    "reply",
    [
        answer(b" " * 2_000),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" + b" " * 2_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" + b" " * 2_000 + b"\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b" " * 2_000,
        answer(b" " * 2_000, 500),
    ],
    ids=["length", "a lie", "chunks", "no length", "an error"],
)
def test_an_answer_that_is_too_large_is_not_read(fake: FakeServer, reply: bytes) -> None:
    fake.replies = [reply]
    with pytest.raises(UnusableAnswer, match="more than 1000 bytes"):
        ask(fake, max_answer_bytes=1_000)


@pytest.mark.parametrize(
    "reply",
    [
        [MODELS[:-3]],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nd\r\n{\"models\""],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}"],
    ],
    ids=["short of its length", "within a chunk", "no chunk"],
)  # fmt: skip
def test_an_answer_that_breaks_off_is_none(reply: Any) -> None:
    with FakeServer([[*reply, None]]) as fake:
        with pytest.raises(ConnectionFailed, match="cut off"):
            ask(fake)
        assert len(fake.requests) == 1


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: " + b"b" * 100_000 + b"\r\n\r\n",
    ],
    ids=["another protocol", "no status", "too many headers", "a header too long"],
)
def test_what_is_no_http_is_no_answer(fake: FakeServer, reply: bytes) -> None:
    fake.replies = [reply]
    with pytest.raises(UnusableAnswer):
        ask(fake)
    assert len(fake.requests) == 1


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, gzip", "x"])
def test_an_answer_that_is_compressed_unasked_is_not_unpacked(fake: FakeServer, encoding: str) -> None:
    fake.replies = [answer(b"x", Content_Encoding=encoding)]
    with pytest.raises(UnusableAnswer, match="compressed"):
        ask(fake)
    assert b"identity" in fake.requests[0]


# The key ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 304])
def test_a_redirect_is_not_followed(fake: FakeServer, status: int) -> None:
    with FakeServer([MODELS]) as elsewhere:
        fake.replies = [answer(b"", status, Location=f"{elsewhere.url}/models")]
        with pytest.raises(UnusableAnswer, match="redirects"):
            ask(fake, key="secret")
        assert elsewhere.requests == []


def test_no_proxy_of_the_environment_hears_of_a_request(
    fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeServer([MODELS]) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        fake.replies = [MODELS]
        ask(fake, key="secret")
        assert proxy.requests == []
    assert b"\r\nAuthorization: Bearer secret\r\n" in fake.requests[0]


def test_without_a_key_none_is_sent(fake: FakeServer) -> None:
    fake.replies = [MODELS]
    ask(fake)
    assert b"authorization" not in fake.requests[0].lower()
    assert b"User-Agent: demijohn/" in fake.requests[0]


def test_nothing_that_can_be_printed_shows_the_key(served: Server) -> None:
    with Client(f"{served.url}/ml", key="a-wrong-key") as client:
        with pytest.raises(KeyMissing) as raised:
            client.models  # noqa: B018
        told = [
            str(raised.value),
            repr(raised.value),
            repr(client),
            client._repr_html_(),
            repr(client["iris"]),
        ]
    assert not any("a-wrong-key" in text for text in told)
    assert "A valid API key is needed" in told[3] or "key" in told[3]


@pytest.mark.parametrize("key", ["", " a1", "a\nb", "ü", "a\0"])
def test_a_key_that_no_header_can_hold_is_refused_unseen(key: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Client("http://127.0.0.1", key=key)
    assert not key or key not in raised.value.detail


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8000", "ftp://host", "http://", "http://user:secret@host", "http://host?key=secret", "http://host#a",
     "http://host:port", "", "http:/host/x", "file:///etc/passwd"],
)  # fmt: skip
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Client(url)
    assert "secret" not in raised.value.detail


@pytest.mark.parametrize(
    "options",
    [{"timeout": 0}, {"connect_timeout": -1}, {"retries": -1}, {"max_answer_bytes": 0}, {"timeout": np.nan}],
)
def test_a_bound_that_bounds_nothing_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Client("http://127.0.0.1", **options)


def test_a_prefix_may_end_in_a_slash(fake: FakeServer) -> None:
    fake.replies = [MODELS]
    with Client(f"{fake.url}/app/ml/") as client:
        assert client.models.names == ()
    assert fake.requests[0].startswith(b"GET /app/ml/models HTTP/1.1\r\n")


# https ------------------------------------------------------------------------------------


@pytest.fixture
def secure() -> Iterator[FakeServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(HERE / "localhost.pem")
    with FakeServer([MODELS], tls=context) as server:
        yield server


def test_a_certificate_that_nobody_vouches_for_is_refused(secure: FakeServer) -> None:
    with pytest.raises(ConnectionFailed, match=r"(?i)certificate"):
        ask(secure, key="secret")
    assert secure.requests == []


def test_a_context_may_trust_another_authority(secure: FakeServer) -> None:
    context = ssl.create_default_context(cafile=HERE / "localhost.pem")
    assert ask(secure, key="secret", ssl_context=context) == ()
    assert b"Bearer secret" in secure.requests[0]


def test_a_certificate_of_another_name_is_refused(secure: FakeServer) -> None:
    context = ssl.create_default_context(cafile=HERE / "localhost.pem")
    client = Client(f"https://localhost:{secure.port}", ssl_context=context, retries=0)
    with client, pytest.raises(ConnectionFailed, match=r"(?i)hostname|certificate"):
        client.models  # noqa: B018


# One client in many hands -----------------------------------------------------------------


def test_a_closed_client_says_so() -> None:
    client = Client("http://127.0.0.1")
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.models  # noqa: B018


def test_many_threads_get_their_own_answers(client: Client) -> None:
    model = client["picky"]
    wrong: list[Any] = []

    def run(start: int) -> None:
        numbers = np.linspace(start, start + 1, 20).tolist()
        answers = [model.predict([number]) for number in numbers]
        wrong.extend(pair for pair in zip(numbers, answers, strict=True) if pair[0] != pair[1])

    threads = [threading.Thread(target=run, args=(10 * index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_forked_process_has_connections_of_its_own(fake: FakeServer) -> None:
    fake.replies = [MODELS]
    with Client(fake.url) as client:
        assert client.models.names == ()
        in_child(lambda: client.models.names)
        assert client.models.names == ()
    assert fake.n_connections == 2


def in_child(work: Callable[[], Any]) -> None:
    with warnings.catch_warnings():
        # Python 3.12 warns of threads at a fork; the child waits for none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


def test_an_error_of_the_server_takes_no_longer_than_its_answer(served: Server) -> None:
    start = time.monotonic()
    with (
        Client(served.url, retries=5) as client,
        pytest.raises(DemijohnError) as raised,
    ):  # nothing at the root
        client.models  # noqa: B018
    assert raised.value.status == 404
    assert time.monotonic() - start < 30
    assert not isinstance(raised.value, Unavailable)


def test_a_description_is_asked_for_once(fake: FakeServer) -> None:
    fake.replies = [answer(DESCRIPTION), answer({"predictions": [3.0], "model": "m", "version": "1"})]
    with Client(fake.url) as client:
        for _ in range(3):
            assert client["m"].predict(ROW).tolist() == [3.0]  # type: ignore[union-attr]
    assert [head.partition(b" HTTP")[0] for head in fake.requests] == [b"GET /models/m"] + [
        b"POST /models/m/predict"
    ] * 3
