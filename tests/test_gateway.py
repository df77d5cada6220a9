from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from tests.servers import until

from demijohn.errors import QueueFull
from demijohn.gateway import Gateway
from demijohn.lifecycle import Lifecycle
from demijohn.pause import PAUSE_S
from demijohn.request_body import BodyWatch

Headers = list[tuple[str, str]]


class Recorder:
    """Granian's half: keeps the first answer."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.is_stream = False
        self.has_answer = threading.Event()

    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None:
        if not self.status:
            self.status, self.headers, self.body = status, dict(headers), body
        self.has_answer.set()

    def response_iter(self, status: int, headers: Headers, body: Any) -> None:
        self.status, self.headers, self.is_stream = status, dict(headers), True
        pieces = []
        while True:
            try:
                pieces.append(body.__next__())
            except StopIteration:
                break
        body.close()
        self.body = b"".join(pieces)


def answer(application: Any, lifecycle: Lifecycle | None = None, **environ: str) -> Recorder:
    recorder = Recorder()
    gateway = Gateway(application, BodyWatch(4, 4, 30.0), lifecycle or Lifecycle())
    gateway(recorder, scope(**environ))
    assert gateway.n_in_hand == 0
    return recorder


def scope(**environ: str) -> dict[str, Any]:
    plain = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": "", "HTTP_HOST": "x"}
    return plain | environ | {"wsgi.input": io.BytesIO(b"body")}


def app_of(pieces: Iterable[bytes], *headers: tuple[str, str], status: str = "200 OK") -> Any:
    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response(status, list(headers))
        return pieces

    return application


def test_an_answer_is_passed_on() -> None:
    found = answer(app_of([b"a", b"b"], ("X-A", "b"), status="404 Not Found"))
    assert (found.status, found.headers, found.body) == (404, {"X-A": "b"}, b"ab")


def test_the_application_gets_what_pep_3333_asks_for() -> None:
    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        assert {
            "wsgi.version",
            "wsgi.errors",
            "wsgi.multithread",
            "wsgi.multiprocess",
            "wsgi.run_once",
        } <= environ.keys()
        assert (environ["SCRIPT_NAME"], environ["wsgi.input_terminated"]) == ("", True)
        assert environ["demijohn.entered"] > 0
        start_response("200 OK", [])
        return [environ["wsgi.input"].read()]

    assert answer(application).body == b"body"


@pytest.mark.parametrize(("length", "is_stream"), [("2", False), ("99999999", True), (None, True)])
def test_only_what_is_long_or_of_unknown_length_is_a_stream(length: str | None, is_stream: bool) -> None:
    headers = [] if length is None else [("Content-Length", length)]
    found = answer(app_of(iter([b"a", b"b"]), *headers))
    assert (found.body, found.is_stream) == (b"ab", is_stream)


def test_an_answer_whose_first_piece_is_all_of_it_is_no_stream_however_long() -> None:
    whole = b"a" * 2**21
    found = answer(app_of(iter([whole]), ("Content-Length", str(len(whole)))))
    assert (found.body, found.is_stream, found.headers) == (whole, False, {})  # Granian writes the length


def test_a_generator_may_start_its_response_when_it_is_first_asked() -> None:
    def application(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("201 Created", [])
        yield b"a"
        yield b"b"

    found = answer(application)
    assert (found.status, found.body) == (201, b"ab")


def test_a_request_is_in_hand_until_its_line_is_in_the_access_log(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway(app_of([b"a"]), BodyWatch(4, 4, 30.0), Lifecycle(), is_logging=True)
    log, in_hand = io.StringIO(), []
    monkeypatch.setattr("sys.stderr", log)
    monkeypatch.setattr(log, "write", lambda line: in_hand.append((line.count("\n"), gateway.n_in_hand)))
    gateway(Recorder(), scope())
    assert (in_hand, gateway.n_in_hand) == ([(1, 1)], 0)


class Closing:
    def __init__(self, fails: bool) -> None:
        self.is_closed = 0
        self._fails = fails

    def __iter__(self) -> Iterator[bytes]:
        yield b"a"
        if self._fails:
            raise RuntimeError("in the middle")

    def close(self) -> None:
        self.is_closed += 1


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("headers", [[], [("Content-Length", "1")]])
def test_an_iterable_is_closed_once(fails: bool, headers: Headers) -> None:
    pieces = Closing(fails)
    answer(app_of(pieces, *headers))
    assert pieces.is_closed == 1


def test_an_answer_to_a_body_that_still_comes_is_marked_and_its_length_known() -> None:
    sizes: list[int] = []

    def application(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Server", "another")])
        body = environ["wsgi.input"]
        yield body.read(1)
        sizes.append(body.answer._wire_bytes)
        yield body.read()
        sizes.append(body.answer._wire_bytes)

    found = answer(application, CONTENT_LENGTH="4")
    assert (found.body, found.headers["connection"]) == (b"body", "close")
    assert found.headers["server"].strip() == "granian"
    assert "Server" not in found.headers
    assert sizes[1] - sizes[0] == len(b"3\r\nody\r\n")


def test_a_stream_that_fails_ends_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    found = answer(app_of(Closing(fails=True)))
    assert (found.status, found.body) == (200, b"a")
    assert "in the middle" in caplog.text


@pytest.mark.parametrize(
    "header",
    [("X", "a\r\nb"), ("X", "a\0"), ("X", "\x7f"), ("X", "\u20ac"), ("X", 1), ("X", None),
     ("a b", "c"), ("", "c"), ("a:", "c")],
)  # fmt: skip
def test_an_unclean_header_is_an_empty_500(header: Any, caplog: pytest.LogCaptureFixture) -> None:
    found = answer(app_of([b"secret"], header))
    assert (found.status, found.body) == (500, b"")
    assert "failed" in caplog.text


@pytest.mark.parametrize("value", ["", "plain", "tab\there", "caf\xe9"])
def test_a_clean_header_passes(value: str) -> None:
    assert answer(app_of([], ("X", value))).headers == {"X": value}


@pytest.mark.parametrize("status", ["100 Continue", "999 No", "0", "", "abc"])
def test_a_status_that_granian_aborts_on_is_a_500(status: str) -> None:
    assert answer(app_of([b"a"], status=status)).status == 500


@pytest.mark.parametrize("error", [RuntimeError("secret"), SystemExit(1), KeyboardInterrupt()])
def test_no_exception_gets_out(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        raise error

    found = answer(application)
    assert (found.status, found.body) == (500, b"")
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


@pytest.mark.parametrize(
    ("environ", "headers"),
    [
        ({"CONTENT_LENGTH": "4"}, {}),
        ({"CONTENT_LENGTH": str(2**20)}, {"connection": "close"}),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, {"connection": "close"}),
        ({"CONTENT_LENGTH": "4", "HTTP_EXPECT": "100-continue"}, {"connection": "close"}),
    ],
)
def test_a_short_body_that_nobody_read_is_read_so_that_its_connection_goes_on(
    environ: dict[str, Any], headers: dict[str, str]
) -> None:
    assert answer(app_of([b"a"]), **environ).headers == headers


def test_an_error_of_ours_is_answered_as_such() -> None:
    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        raise QueueFull(headers={"Retry-After": "1"})

    found = answer(application)
    assert (found.status, found.headers["Retry-After"]) == (503, "1")


@pytest.mark.parametrize("headers", [[], [("Connection", "keep-alive")]])
def test_once_it_drains_every_answer_ends_its_connection(headers: Headers) -> None:
    lifecycle = Lifecycle()
    lifecycle.is_draining = True
    found = answer(app_of([b"a"], *headers), lifecycle)
    assert {name.lower(): value for name, value in found.headers.items()} == {"connection": "close"}


@pytest.mark.parametrize(
    ("environ", "status"),
    [
        ({"HTTP_COOKIE": "a" * 8192}, 200),
        ({"HTTP_COOKIE": "a" * 8193}, 431),
        ({"CONTENT_TYPE": "a" * 8193}, 431),
        ({"PATH_INFO": "a" * 4096}, 200),
        ({"PATH_INFO": "a" * 4095, "QUERY_STRING": "a"}, 200),
        ({"PATH_INFO": "a" * 4096, "QUERY_STRING": "a"}, 414),
        ({"PATH_INFO": "a" * 4097}, 414),
        ({"QUERY_STRING": "a" * 4097}, 414),
    ],
)
def test_long_headers_and_addresses_are_refused(environ: dict[str, str], status: int) -> None:
    assert answer(app_of([b"a"]), **environ).status == status


def test_as_many_answers_end_their_connection_as_are_to_part() -> None:
    gateway = Gateway(app_of([b"a"]), BodyWatch(4, 4, 30.0), Lifecycle())
    gateway.n_to_part = 2
    ended = []
    for _ in range(4):
        recorder = Recorder()
        gateway(recorder, scope())
        ended.append("connection" in recorder.headers)
    assert ended == [True, True, False, False]


# Answers that come later ------------------------------------------------------------------------


class Later:
    """An application whose answers are not there yet."""

    def __init__(self) -> None:
        self.tell: Any = None

    def answer_whole(self, *_: Any) -> Later:
        return self

    def send(self, tell: Any) -> None:
        self.tell = tell


def ask_later(lifecycle: Lifecycle | None = None) -> tuple[Later, Recorder, Gateway]:
    application, recorder = Later(), Recorder()
    gateway = Gateway(application, BodyWatch(4, 4, 30.0), lifecycle or Lifecycle())  # type: ignore[arg-type]
    gateway(recorder, scope())
    assert (recorder.status, gateway.n_in_hand) == (0, 1)
    return application, recorder, gateway


def test_an_answer_that_comes_later_is_in_hand_until_it_is_sent() -> None:
    application, recorder, gateway = ask_later()
    thread = threading.Thread(target=application.tell, args=((200, [("X-Request-Id", "a")], b"[1]"),))
    thread.start()
    thread.join()
    assert (recorder.status, recorder.headers, recorder.body) == (200, {"X-Request-Id": "a"}, b"[1]")
    assert gateway.n_in_hand == 0


def test_an_answer_that_comes_later_ends_its_connection_once_the_server_drains() -> None:
    lifecycle = Lifecycle()
    application, recorder, _ = ask_later(lifecycle)
    lifecycle.drain()
    application.tell((200, [], b"[1]"))
    assert recorder.headers["connection"] == "close"


def test_an_answer_that_comes_later_with_headers_that_cannot_be_sent_is_an_empty_500(
    caplog: pytest.LogCaptureFixture,
) -> None:
    application, recorder, gateway = ask_later()
    application.tell((400, [("A", "b\r\nC: d")], b"[1]"))
    assert (recorder.status, recorder.body, gateway.n_in_hand) == (500, b"", 0)
    assert "the application failed" in caplog.text


# Refusals ---------------------------------------------------------------------------------------


def refuse_all(status: int = 503) -> Any:
    class Refusing:
        def answer_whole(self, *_: Any) -> Any:
            return status, [("Retry-After", "1")], b"full"

    return Refusing()


def ask_refusing(application: Any, lifecycle: Lifecycle | None = None) -> tuple[Recorder, Gateway, float]:
    recorder, gateway = Recorder(), Gateway(application, BodyWatch(4, 4, 30.0), lifecycle or Lifecycle())
    began = time.monotonic()
    gateway(recorder, scope())
    return recorder, gateway, began


def test_a_refusal_leaves_a_moment_later_and_is_in_hand_until_then() -> None:
    for _ in range(3):  # the thread that sends them has ended in between, or not
        recorder, gateway, began = ask_refusing(refuse_all())
        assert recorder.has_answer.wait(30.0)
        assert time.monotonic() - began >= PAUSE_S
        assert (recorder.status, recorder.headers["Retry-After"], recorder.body) == (503, "1", b"full")
        until(lambda: gateway.n_in_hand == 0)  # noqa: B023  - asked at once


def test_refusals_leave_in_their_order() -> None:
    gateway = Gateway(refuse_all(), BodyWatch(4, 4, 30.0), Lifecycle())
    order: list[int] = []

    class Numbered(Recorder):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

        def response_bytes(self, status: int, headers: Headers, body: bytes) -> None:
            order.append(self.number)
            super().response_bytes(status, headers, body)

    recorders = [Numbered(number) for number in range(50)]
    for recorder in recorders:
        gateway(recorder, scope())
    assert all(recorder.has_answer.wait(30.0) for recorder in recorders)
    assert order == list(range(50))


def test_what_is_no_refusal_or_comes_while_the_server_drains_is_answered_at_once() -> None:
    recorder, gateway, _ = ask_refusing(refuse_all(422))
    assert (recorder.status, gateway.n_in_hand) == (422, 0)
    lifecycle = Lifecycle()
    lifecycle.drain()
    recorder, gateway, _ = ask_refusing(refuse_all(), lifecycle)
    assert (recorder.status, recorder.headers["connection"], gateway.n_in_hand) == (503, "close", 0)


def test_who_is_refused_and_comes_back_at_once_is_answered_a_few_times_only() -> None:
    gateway = Gateway(refuse_all(), BodyWatch(4, 4, 30.0), Lifecycle())
    began, n_refused = time.monotonic(), 0
    while time.monotonic() - began < 0.5:
        recorder = Recorder()
        gateway(recorder, scope())
        assert recorder.has_answer.wait(30.0)
        n_refused += 1
    assert 1 <= n_refused <= (time.monotonic() - began) / PAUSE_S + 1
