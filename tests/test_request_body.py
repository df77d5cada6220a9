from __future__ import annotations

import io
import json
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demijohn import connections
from demijohn.errors import BodyTimeout, TooManySlowBodies
from demijohn.request_body import BodyWatch, RequestBody, StreamedAnswer

BODY = b"one\ntwo\n\nlast"


class Recorder:
    """Takes answers as Granian does: the first counts."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.has_answer = threading.Event()

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.answers.append((status, dict(headers), body))
        self.has_answer.set()

    def response_iter(self, status: int, headers: list[tuple[str, str]], body: Any) -> None:
        raise AssertionError("a refusal is short")


class Stalled:
    """A body that does not come until it is told to."""

    def __init__(self) -> None:
        self.is_read = threading.Event()
        self.comes = threading.Event()

    def read(self, size: int) -> bytes:
        self.is_read.set()
        assert self.comes.wait(20)
        return b""


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def body_of(data: bytes, watch: BodyWatch | None = None) -> RequestBody:
    return RequestBody(io.BytesIO(data), Recorder(), {}, watch or BodyWatch(4, 4, 30.0))


class Reading:
    """A thread that reads a stalled body."""

    def __init__(self, watch: BodyWatch, **headers: str) -> None:
        self.stream, self.recorder = Stalled(), Recorder()
        self.body = RequestBody(self.stream, self.recorder, headers, watch)
        self.raised: list[BaseException] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self.stream.is_read.wait(20)

    def _run(self) -> None:
        try:
            self.body.read()
        except BodyTimeout as error:
            self.raised.append(error)

    def finish(self) -> None:
        self.stream.comes.set()
        self._thread.join(20)


# Reading ------------------------------------------------------------------------------------


def test_a_body_is_read_whole() -> None:
    body = body_of(BODY)
    assert body.read() == BODY
    assert body.read() == b""


@given(st.binary(max_size=200), st.lists(st.integers(0, 60)))
def test_any_pieces_make_the_whole(data: bytes, sizes: list[int]) -> None:
    body = body_of(data)
    pieces = [body.read(size) for size in sizes]
    assert all(len(piece) <= size for piece, size in zip(pieces, sizes, strict=True))
    assert b"".join(pieces) + body.read(None) == data


@given(st.lists(st.sampled_from([b"", b"a", b"bcd", b"\n", b"\n\n"])).map(b"".join), st.integers(1, 5))
def test_lines_are_those_of_a_file(data: bytes, size: int) -> None:
    file = io.BytesIO(data)
    assert list(body_of(data)) == file.readlines()
    assert body_of(data).readlines(size) == io.BytesIO(data).readlines(size)
    short = body_of(data)
    assert [short.readline(size) for _ in range(9)] == [
        line for line, _ in zip(iter_lines(data, size), range(9), strict=False)
    ]


def iter_lines(data: bytes, size: int) -> Any:
    file = io.BytesIO(data)
    while True:
        yield file.readline(size)


def test_a_long_line_is_read_whole() -> None:
    data = b"a" * 300_000 + b"\nrest"
    body = body_of(data)
    assert (body.readline(), body.read(2), body.readline()) == (data[:-4], b"re", b"st")


def test_an_empty_body_does_not_wait() -> None:
    assert body_of(b"").read(0) == b""


# Waiting ------------------------------------------------------------------------------------


def test_a_body_that_is_overdue_is_answered_408_and_raises() -> None:
    clock = Clock()
    watch = BodyWatch(4, 4, 30.0, clock)
    reading = Reading(watch, HTTP_X_REQUEST_ID="mine")
    clock.now += 30.0
    assert not watch.check()
    clock.now += 0.1
    assert watch.check()
    ((status, headers, body),) = reading.recorder.answers
    assert (status, headers["connection"], headers["x-request-id"]) == (408, "close", "mine")
    assert json.loads(body)["code"] == "body_timeout"
    reading.finish()
    assert [type(error) for error in reading.raised] == [BodyTimeout]
    with pytest.raises(BodyTimeout):
        reading.body.read(1)


def test_a_body_that_came_in_time_is_not_given_up() -> None:
    clock = Clock()
    watch = BodyWatch(4, 4, 30.0, clock)
    reading = Reading(watch)
    reading.finish()
    clock.now += 100.0
    assert not watch.check()
    assert (reading.raised, reading.recorder.answers) == ([], [])


def test_each_mib_that_came_gives_a_body_a_second_more() -> None:
    body = body_of(b"a" * 2**21)
    assert len(body.read(2**21)) == 2**21
    body._waits_since, body._waited_s = 50.0, 10.0
    assert not body.is_overdue(72.0, 30.0)
    assert body.is_overdue(72.1, 30.0)


def test_each_read_of_a_body_that_is_answered_while_it_comes_is_measured_for_itself() -> None:
    clock = Clock()
    watch = BodyWatch(4, 4, 30.0, clock)
    body = body_of(b"a" * 2**21, watch)
    body._waited_s = 1_000.0
    body.answer = StreamedAnswer(100)
    assert len(body.read(2**20)) == 2**20
    body._waits_since = clock.now
    assert not body.is_overdue(clock.now + 30.0, 30.0)
    assert body.is_overdue(clock.now + 30.1, 30.0)
    body.hurry(2.0)
    assert body.is_overdue(clock.now + 2.1, 30.0)


def test_a_body_that_stalls_while_it_is_answered_is_given_up_but_not_answered_again() -> None:
    clock = Clock()
    watch = BodyWatch(4, 4, 30.0, clock)
    reading = Reading(watch)
    reading.body.answer = StreamedAnswer(100)
    clock.now += 30.1
    watch.check()
    assert isinstance(reading.body.given_up, BodyTimeout)
    assert reading.recorder.answers == []
    reading.finish()
    assert [type(error) for error in reading.raised] == [BodyTimeout]


def test_the_connection_of_an_answer_is_the_only_one_that_wrote_so_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "bytes_written", lambda: {3: 50, 4: 0, 5: 7})
    answer = StreamedAnswer(100)
    answer.add(b"")
    answer.add(b"x" * 16)  # "10", 16 bytes, two ends of lines
    assert answer.find({3: 150, 4: 122, 5: 7, 6: 122}) == 4
    assert answer.find({3: 172, 4: 122}) is None
    assert answer.find({6: 122}) is None


def test_the_longest_waiting_body_is_given_up_for_a_newcomer() -> None:
    clock = Clock()
    watch = BodyWatch(2, 4, 30.0, clock)
    first, second = Reading(watch), Reading(watch)
    clock.now += 1.1
    assert body_of(b"abc", watch).read() == b"abc"
    watch.check()
    assert [answer[0] for answer in first.recorder.answers] == [408]
    assert second.recorder.answers == []
    first.finish()
    second.finish()
    assert (len(first.raised), len(second.raised)) == (1, 0)


def test_a_newcomer_is_refused_while_all_others_have_just_begun() -> None:
    watch = BodyWatch(1, 4, 30.0, Clock())
    reading = Reading(watch)
    recorder = Recorder()
    with pytest.raises(TooManySlowBodies):
        RequestBody(io.BytesIO(b"abc"), recorder, {}, watch).read()
    ((status, headers, _),) = recorder.answers
    assert (status, headers["Retry-After"]) == (503, "1")
    reading.finish()


def test_a_newcomer_is_refused_while_too_many_given_up_still_hold_their_thread() -> None:
    clock = Clock()
    watch = BodyWatch(1, 1, 30.0, clock)
    first = Reading(watch)
    clock.now += 1.1
    second = Reading(watch)
    clock.now += 1.1
    with pytest.raises(TooManySlowBodies):
        body_of(b"abc", watch).read()
    first.finish()
    assert body_of(b"abc", watch).read() == b"abc"
    second.finish()


def test_answers_of_one_moment_differ_in_length() -> None:
    clock = Clock()
    watch = BodyWatch(50, 50, 30.0, clock)
    readings = [Reading(watch) for _ in range(40)]
    clock.now += 31.0
    watch.check()
    lengths = {len(reading.recorder.answers[0][2]) for reading in readings}
    assert len(lengths) == 40
    for reading in readings:
        reading.finish()


def test_the_watch_looks_by_itself() -> None:
    watch = BodyWatch(4, 4, 0.01)
    watch.start()
    reading = Reading(watch)
    assert reading.recorder.has_answer.wait(20)
    reading.finish()
    assert len(reading.raised) == 1
