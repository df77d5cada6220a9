"""Reads request bodies, and keeps slow ones from holding the server's threads.

A thread that waits for a body can do nothing else. So:

Rules of this room:
1. Only so many threads wait for a body at a time. When one more would, the one that has waited
   longest is given up, if it has waited for more than a second; else the newcomer is refused.
2. A body that has kept us waiting for DEMIJOHN_BODY_TIMEOUT_S is given up; for each MiB that did
   come it may take a second more, so a long body on a steady line is no slow one.
3. A body that is answered while it comes may be as long as it likes: each read of it may take
   DEMIJOHN_BODY_TIMEOUT_S.
4. Given up means: answered 408 at once, whatever the application does later, and its connection
   ended, which frees the thread. In the application, the read raises. What has been answered in
   part already is the application's to end.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from . import connections
from .errors import BodyTimeout, DemijohnError, TooManySlowBodies
from .refusals import Refusal, Responder, refuse

_PIECE_BYTES = _BYTES_FOR_A_SECOND = 2**20
_LINE_PIECE_BYTES = 2**16
_SHORT_BYTES = 2**16
_HTTP_1_0_EXTRA_BYTES = len(", keep-alive")  # hyper adds it for a client that asked for that
_EVICTABLE_AFTER_S = 1.0
_TICK_S = 0.25
_LOOK_AGAIN_S = 0.01
_MOST_PADDING_BYTES = 1024
_MOST_AT_ONCE = 256
_REST = 10
_LINE_END = 2


class Stream(Protocol):
    """Granian's body: blocks until it has so many bytes, or the body has ended."""

    def read(self, size: int) -> bytes:
        """Return at most ``size`` bytes; fewer mean that the body has ended, or broke off."""


class RequestBody:
    """``wsgi.input`` of one request.

    Args:
        stream: Granian's.
        responder: Answers the request when its body is given up.
        environ: Of the request; not kept, since it will hold this object.
        watch: Counts those who wait.
    """

    given_up: DemijohnError | None = None  #: Why nobody waits for it any more.
    refusal: Refusal | None = None  #: What the request was answered then.
    answer: StreamedAnswer | None = None  #: What has been answered of it while it comes.
    # What most bodies never change costs nothing here.
    _buffer = b""
    _has_ended = False
    _received_bytes = 0
    _waited_s = 0.0
    _waits_since = 0.0
    _patience_s = math.inf

    def __init__(
        self, stream: Stream, responder: Responder, environ: Mapping[str, Any], watch: BodyWatch
    ) -> None:
        self._stream = stream
        self._watch = watch
        self._responder = responder
        self.request_id = environ.get("HTTP_X_REQUEST_ID", "")
        self._path = environ.get("PATH_INFO", "")
        self._accept = environ.get("HTTP_ACCEPT", "")
        self._length = environ.get("CONTENT_LENGTH", "")
        self._is_chunked = "HTTP_TRANSFER_ENCODING" in environ

    def read(self, size: int | None = -1, /) -> bytes:
        """Return ``size`` bytes, or all that are left; fewer when the body ends before.

        Raises:
            BodyTimeout: the body kept us waiting for too long.
            TooManySlowBodies: too many others do.
        """
        if not self._buffer:
            if size is not None and 0 < size <= _PIECE_BYTES:
                return self._pull(size)
        elif size is not None and 0 <= size <= len(self._buffer):
            piece, self._buffer = self._buffer[:size], self._buffer[size:]
            return piece
        pieces, self._buffer = [self._buffer], b""
        left = None if size is None or size < 0 else size - len(pieces[0])
        while left != 0:
            piece = self._pull(_PIECE_BYTES if left is None else min(left, _PIECE_BYTES))
            pieces.append(piece)
            left = None if left is None else left - len(piece)
            if self._has_ended:
                break
        return b"".join(pieces)

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return one line, its end included, or its first ``size`` bytes; see ``read``."""
        most = _PIECE_BYTES * 2**30 if size is None or size < 0 else size
        searched = 0
        while (
            (at := self._buffer.find(b"\n", searched)) < 0
            and len(self._buffer) < most
            and not self._has_ended
        ):
            searched = len(self._buffer)
            self._buffer += self._pull(max(_LINE_PIECE_BYTES, searched))  # doubled: else copying is quadratic
        return self.read(min(most, len(self._buffer) if at < 0 else at + 1))

    def readlines(self, hint: int | None = -1, /) -> list[bytes]:
        """Return all lines, or as many as make ``hint`` bytes; see ``read``."""
        lines, total = [], 0
        for line in self:
            lines.append(line)
            total += len(line)
            if hint is not None and 0 < hint <= total:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def hurry(self, patience_s: float) -> None:
        """Give each further read of a body that has been answered no more time than this, in seconds."""
        self._patience_s = patience_s

    def skip_short_rest(self) -> None:
        """Read what nobody has read, where that is little.

        An answer to a body that is not read ends its connection, and may be lost with it: what still comes
        makes the system answer with a reset, which overtakes it.

        Raises:
            BodyTimeout: as ``read``.
            TooManySlowBodies: as ``read``.
        """
        left = self._announced_bytes() - self._received_bytes
        if 0 < left <= _SHORT_BYTES:
            self._pull(int(left))

    @property
    def is_left_over(self) -> bool:
        """Say whether a part of the body has not been read."""
        received = self._received_bytes
        if self._has_ended or str(received) == self._length:
            return False
        return received < self._announced_bytes()

    def _announced_bytes(self) -> float:
        """Return how long the body is to be; infinity where only its end will tell."""
        if self._is_chunked:
            return math.inf
        return int(self._length) if self._length.isascii() and self._length.isdigit() else 0

    def _pull(self, size: int) -> bytes:
        if self.given_up is not None:
            raise self.given_up
        if self._has_ended:
            return b""
        watch = self._watch
        self._waits_since = now = watch.clock()
        if self.answer is not None:
            self._waited_s = 0.0
        waiting = watch.waiting
        if len(waiting) < watch.max_waiting:  # as ``admit``, which most need not ask
            waiting[self] = True
        else:
            watch.admit(self, now)
        try:
            piece = self._stream.read(size)
        finally:
            if not waiting.pop(self, False):
                watch.forget(self)
        if self.given_up is not None:
            raise self.given_up
        self._waited_s += watch.clock() - now
        self._received_bytes += len(piece)
        self._has_ended = len(piece) < size
        return piece

    def refuse(self, unlike: Container[int] = ()) -> int:
        """Answer the request with the reason why its body was given up.

        Args:
            unlike: Lengths that the answer must not have.

        Returns:
            The length of the answer on the wire.
        """
        asked = {"PATH_INFO": self._path, "HTTP_ACCEPT": self._accept, "HTTP_X_REQUEST_ID": self.request_id}
        refusal = refuse(self.given_up or BodyTimeout(), asked)
        padded = refusal
        while padded.wire_bytes in unlike or padded is refusal:
            padded = refusal.padded(random.randrange(_MOST_PADDING_BYTES))  # noqa: S311  - no secret
        self.refusal = padded
        padded.send(self._responder)
        return padded.wire_bytes

    def waited_s(self, now: float) -> float:
        """Return how long a thread has waited for this body; only while one does."""
        return self._waited_s + now - self._waits_since

    def is_overdue(self, now: float, timeout_s: float) -> bool:
        """Say whether this body has kept us waiting for too long; only while a thread waits."""
        if self.answer is not None:
            return self.waited_s(now) > min(timeout_s, self._patience_s)
        return self.waited_s(now) > timeout_s + self._received_bytes / _BYTES_FOR_A_SECOND


class StreamedAnswer:
    """An answer on its way while the body still comes.

    Args:
        head_bytes: Length of its head on the wire.
    """

    def __init__(self, head_bytes: int) -> None:
        self._written_before = connections.bytes_written()
        self._wire_bytes = head_bytes

    def add(self, piece: bytes) -> None:
        """Count a piece that goes out as a chunk: its length in hexadecimal, and two line's ends."""
        if piece:
            self._wire_bytes += len(f"{len(piece):x}") + len(piece) + 2 * _LINE_END

    def find(self, written: Mapping[int, int]) -> int | None:
        """Return the connection that has written just that; None unless it is the only one."""
        before, ours = self._written_before, self._wire_bytes
        found = [fd for fd, total in written.items() if fd in before and total - before[fd] == ours]
        return found[0] if len(found) == 1 else None


class BodyWatch:
    """All bodies of one worker that a thread waits for.

    Args:
        max_waiting: Most threads that may wait for a body.
        max_ending: Most threads that may still wait for one that was given up. Where connections
            cannot be ended (see ``connections``) they wait until the client goes away.
        timeout_s: Longest that a body may keep us waiting.
        clock: As ``time.monotonic``.
    """

    def __init__(
        self, max_waiting: int, max_ending: int, timeout_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.clock = clock
        self.max_waiting = max_waiting
        self._max_ending = max_ending
        self._timeout_s = timeout_s
        # Dicts as ordered sets: one operation on one is atomic, and costs 50 ns.
        self.waiting: dict[RequestBody, bool] = {}  #: A thread waits for each of these.
        self._ending: dict[RequestBody, bool] = {}  # given up, its thread not yet free
        self._answered: dict[RequestBody, _Answered] = {}
        self._news = threading.Event()

    def start(self) -> None:
        """Look after the bodies from a thread of its own, until the process ends."""
        threading.Thread(target=self._run, name="demijohn-bodies", daemon=True).start()

    def admit(self, body: RequestBody, now: float) -> None:
        """Let a thread wait for ``body``.

        Raises:
            TooManySlowBodies: too many wait, none of them for long; the request has been answered.
        """
        if len(self.waiting) >= self.max_waiting and not self._make_room(now):
            body.given_up = TooManySlowBodies(headers={"Retry-After": "1"})
            body.refuse()
            raise body.given_up
        self.waiting[body] = True

    def forget(self, body: RequestBody) -> None:
        """Hear that the thread is free that waited for a ``body`` which was given up."""
        self._ending.pop(body, None)
        self._answered.pop(body, None)

    def check(self) -> bool:
        """Give up what is overdue, and end the connections of what was given up.

        Returns:
            Whether anything has been answered; its connection can be ended a moment later.
        """
        now = self.clock()
        for body in list(self.waiting):
            if body.is_overdue(now, self._timeout_s):
                self._give_up(body)
        if not self._ending:
            return False
        written = connections.bytes_written()
        self._end(written)
        return self._answer(written)

    def _make_room(self, now: float) -> bool:
        if len(self._ending) >= self._max_ending:
            return False
        for body in list(self.waiting):
            if body.waited_s(now) > _EVICTABLE_AFTER_S:
                self._give_up(body)
                self._news.set()
                return True
        return False

    def _give_up(self, body: RequestBody) -> None:
        body.given_up = BodyTimeout()
        self._ending[body] = True
        if not self.waiting.pop(body, False):  # its thread was faster
            self._ending.pop(body, None)

    def _answer(self, written: Mapping[int, int]) -> bool:
        together = _Answered(written, set())
        waiting = [body for body in list(self._ending) if body not in self._answered and body.answer is None]
        for body in waiting[:_MOST_AT_ONCE]:
            length = body.refuse(unlike=together.wire_bytes)
            together.wire_bytes.update((length, length + _HTTP_1_0_EXTRA_BYTES))
            self._answered[body] = together
        return bool(together.wire_bytes)

    def _end(self, written: Mapping[int, int]) -> None:
        for answer in [body.answer for body in list(self._ending) if body.answer is not None]:
            fd = answer.find(written)
            if fd is not None:
                connections.end(fd)
        for together in {id(answered): answered for answered in list(self._answered.values())}.values():
            for fd, total in written.items():
                if total - together.written_before.get(fd, total) in together.wire_bytes:
                    connections.end(fd)

    def _run(self) -> None:
        delay = _TICK_S
        while True:
            self._news.wait(delay)
            self._news.clear()
            started = self.clock()
            delay = _LOOK_AGAIN_S if self.check() else min(2 * delay, _TICK_S)
            time.sleep(_REST * (self.clock() - started))  # thousands of connections take a while to look at


class _Answered(NamedTuple):
    """How the connections of bodies that were answered together can be told."""

    written_before: Mapping[int, int]  #: Bytes written to each connection before the answers.
    wire_bytes: set[int]  #: Lengths of the answers.
