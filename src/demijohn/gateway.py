"""Turns Granian's requests into WSGI calls, and their answers into Granian's.

Rules of this room:
1. ``environ`` holds nothing of the process's environment, which may hold secrets.
2. What leaves here is clean: a header that HTTP forbids, or that could end in a second header,
   becomes an empty 500. Versions of Granian abort on such, or drop it in silence.
3. No exception of the application reaches the client, or Granian.

Source: PEP 3333.
"""

from __future__ import annotations

import logging
import random
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from time import monotonic
from typing import Any, Protocol
from urllib.parse import quote

from .errors import DemijohnError, HeaderTooLarge, UriTooLong
from .lifecycle import Lifecycle
from .pause import Pause
from .refusals import Refusal, Responder, refuse, wire_bytes
from .request_body import BodyWatch, RequestBody, StreamedAnswer

logger = logging.getLogger("demijohn")

Application = Callable[..., Iterable[bytes]]  # WSGI's; PEP 3333 says which
Headers = list[tuple[str, str]]
Whole = tuple[int, Headers, bytes]  #: Status, headers (clean, where the status is 200) and body.


class LaterWhole(Protocol):
    """A whole answer that is not there yet."""

    def send(self, tell: Callable[[Whole], None]) -> None:
        """Have ``tell`` called with it, in whatever thread; returns at once."""


#: An application may have a method ``answer_whole`` of this kind beside WSGI's way, which costs more
#: than all else here. It gets what the request's head says without X-Request-Id, the same in one text,
#: X-Request-Id, the body, and the time of entry; it returns the answer, or that it comes later, or None: it
#: is to be called as WSGI says.
AnswerWhole = Callable[[dict[str, Any], str, str | None, RequestBody, float], Whole | LaterWhole | None]

OK, UNAVAILABLE = 200, 503
MAX_HEADER_BYTES = 8 * 1024
MAX_URL_BYTES = 4 * 1024
_CHUNKED_BYTES = len("transfer-encoding: chunked\r\n")
_MOST_MARKING_BYTES = 256
_JOINED_BYTES = 2**20  # longer answers go out piece by piece
_EMPTY_500 = Refusal(500, (("connection", "close"),), b"")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")  # RFC 9110 5.6.2
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*\Z")  # RFC 9110 5.5
_STATUSES = range(200, 600)
_KNOWN_NAMES = frozenset({
    "Cache-Control", "Content-Length", "Content-Type", "X-Content-Type-Options", "X-Demijohn-Version",
    "X-Request-Id",
})  # fmt: skip


class Gateway:
    """Answers every request of one worker; called by many threads.

    Args:
        application: WSGI.
        watch: Bounds the bodies that are waited for.
        lifecycle: Of this process; once it drains, every connection ends after its answer.
        is_logging: Write one line per request to stderr.
    """

    def __init__(
        self, application: Application, watch: BodyWatch, lifecycle: Lifecycle, *, is_logging: bool = False
    ) -> None:
        self._application = application
        self._answer_whole: AnswerWhole | None = getattr(application, "answer_whole", None)
        self._watch = watch
        self._lifecycle = lifecycle
        self._is_logging = is_logging
        self._pause = Pause()
        self.n_to_part = 0  #: Answers, from the next one on, that end their connection.
        self._in_hand: set[RequestBody] = set()  # adding to a set is atomic, adding to a number is not
        self._base: dict[str, Any] = {
            "SCRIPT_NAME": "",
            "SERVER_SOFTWARE": "Demijohn",
            "wsgi.errors": sys.stderr,
            "wsgi.multiprocess": True,
            "wsgi.multithread": True,
            "wsgi.run_once": False,
            "wsgi.version": (1, 0),
        }

    @property
    def n_in_hand(self) -> int:
        """Number of requests whose answer is not complete."""
        return len(self._in_hand)

    def __call__(self, responder: Responder, scope: dict[str, Any]) -> None:
        """Answer one request.

        Args:
            responder: Takes the answer.
            scope: WSGI's ``environ`` as Granian fills it: strings, and ``wsgi.input``.
        """
        entered = monotonic()
        body = RequestBody(scope.pop("wsgi.input"), responder, scope, self._watch)
        self._in_hand.add(body)
        try:
            sent = self._answer(responder, scope, body, entered)
        except BaseException as error:  # noqa: BLE001  - foreign code; its sys.exit() must not end a thread of Granian
            sent = _fail(error, responder, body)
        if sent is not None:
            self._end(sent, scope, body, entered)

    def _end(
        self, sent: tuple[int, Headers], scope: Mapping[str, Any], body: RequestBody, entered: float
    ) -> None:
        """Let a request go that has been answered; it stays in hand until its line is written."""
        try:
            if self._is_logging:
                status, headers = sent
                if body.refusal:  # it was answered over the application's head
                    status, headers = body.refusal.status, list(body.refusal.headers)
                _log(scope, status, headers, monotonic() - entered)
        finally:
            self._in_hand.discard(body)

    def _answer(
        self, responder: Responder, scope: dict[str, Any], body: RequestBody, entered: float
    ) -> tuple[int, Headers] | None:
        """Answer a request; returns what was sent, or None: that is to come."""
        request_id = scope.pop("HTTP_X_REQUEST_ID", None)
        # No name or value has a line's end in it but the path, so that two heads that differ, differ here.
        words = "\n".join([*scope, *scope.values()])
        if len(words) + len(request_id or "") > MAX_URL_BYTES:  # together: one of them may be too long
            _check_lengths({**scope, "HTTP_X_REQUEST_ID": request_id or ""})
        scope["wsgi.input_terminated"] = True
        if self._answer_whole is not None:
            answer = self._answer_whole(scope, words, request_id, body, entered)
            if isinstance(answer, tuple):
                return self._send_whole(responder, scope, body, entered, answer)
            if answer is not None:
                answer.send(partial(self._send_later, responder, scope, body, entered))
                return None
        if request_id is not None:
            scope["HTTP_X_REQUEST_ID"] = request_id
        return self._call(responder, scope, body, entered)

    def _send_whole(
        self, responder: Responder, scope: Mapping[str, Any], body: RequestBody, entered: float, answer: Whole
    ) -> tuple[int, Headers] | None:
        """Send an answer; returns what was sent, or None: that leaves in a moment."""
        status, headers, whole = answer
        if status != OK:
            _check_headers(headers)
        headers = self._parting(headers, body, scope)
        if status == UNAVAILABLE and not self._lifecycle.is_draining:
            self._pause.add(
                partial(self._send_refusal, responder, scope, body, entered, (status, headers, whole))
            )
            return None
        responder.response_bytes(status, headers, whole)
        return status, headers

    def _send_refusal(
        self, responder: Responder, scope: Mapping[str, Any], body: RequestBody, entered: float, answer: Whole
    ) -> None:
        responder.response_bytes(*answer)
        self._end(answer[:2], scope, body, entered)

    def _send_later(
        self, responder: Responder, scope: Mapping[str, Any], body: RequestBody, entered: float, answer: Whole
    ) -> None:
        """Send an answer from whichever thread has it."""
        try:
            sent = self._send_whole(responder, scope, body, entered, answer)
        except BaseException as error:  # noqa: BLE001  - as above
            sent = _fail(error, responder, body)
        if sent is not None:
            self._end(sent, scope, body, entered)

    def _call(
        self, responder: Responder, scope: dict[str, Any], body: RequestBody, entered: float
    ) -> tuple[int, Headers]:
        scope.update(self._base)
        scope["demijohn.entered"] = entered
        scope["wsgi.input"] = body
        start = _Start()
        pieces = self._application(scope, start)
        try:
            self._send(responder, start, pieces, body, scope)
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()
        return start.status, start.headers

    def _parting(self, headers: Headers, body: RequestBody, scope: Mapping[str, Any]) -> Headers:
        """Return the headers as they go out with a whole answer: some end their connection."""
        is_left_over = body.is_left_over
        if is_left_over and "HTTP_EXPECT" not in scope:
            body.skip_short_rest()
            is_left_over = body.is_left_over
        return self._ending(headers, is_left_over=is_left_over)

    def _ending(self, headers: Headers, *, is_left_over: bool) -> Headers:
        # The HTTP layer ends a connection rather than read what nobody asked for, and does not say so:
        # the client's next request on it would be lost.
        if is_left_over or self.n_to_part or self._lifecycle.is_draining:
            self.n_to_part = max(0, self.n_to_part - 1)  # threads may miss each other: it is counted anew
            headers = [header for header in headers if header[0].lower() != "connection"]
            headers.append(("connection", "close"))
        return headers

    def _send(
        self,
        responder: Responder,
        start: _Start,
        pieces: Iterable[bytes],
        body: RequestBody,
        scope: Mapping[str, Any],
    ) -> None:
        # "The application must invoke the start_response() callable before the iterable yields its
        # first body bytestring" -- PEP 3333: a generator does so only when it is asked for that.
        if start.status == 0:
            pieces = _begun(pieces)[1]
        headers = start.clean_headers()
        whole, pieces = start.take_whole(pieces)
        if whole is not None:
            headers = self._parting(headers, body, scope)
            responder.response_bytes(start.status, _without_length(headers, whole), whole)
            return
        is_left_over = body.is_left_over
        headers = self._ending(headers, is_left_over=is_left_over)
        if is_left_over:
            headers = _marked(headers)
            body.answer = StreamedAnswer(wire_bytes(start.status, headers) + _CHUNKED_BYTES)
        responder.response_iter(start.status, headers, _Pieces(pieces, body.answer))


class _Start:
    """PEP 3333's ``start_response``."""

    __slots__ = ("headers", "status")

    def __init__(self) -> None:
        self.status = 0
        self.headers: Headers = []

    def __call__(self, status: str, headers: Headers, _exc_info: Any = None) -> None:
        self.status = int(status[:3])
        self.headers = headers

    def clean_headers(self) -> Headers:
        """Return the headers.

        Raises:
            ValueError: the status or a header cannot be sent.
        """
        if self.status not in _STATUSES:
            raise ValueError(f"an answer cannot have the status {self.status}")
        _check_headers(self.headers)
        return self.headers

    def take_whole(self, pieces: Iterable[bytes]) -> tuple[bytes | None, Iterable[bytes]]:
        """Return the answer if it is best sent whole: it is there already, or says it is short.

        Returns:
            The answer, or None; and all of the pieces.
        """
        if isinstance(pieces, (list, tuple)):
            return b"".join(pieces), ()
        declared = next((value for name, value in self.headers if name.lower() == "content-length"), "")
        if not declared.isdigit():
            return None, pieces
        length = int(declared)
        if length > _JOINED_BYTES:
            first, pieces = _begun(pieces)
            if len(first) != length:
                return None, pieces
        return b"".join(pieces), ()


def _check_headers(headers: Headers) -> None:
    """Refuse headers that cannot be sent.

    Raises:
        ValueError: says which.
    """
    text = "".join(map("".join, headers))
    if not (text.isascii() and text.isprintable()):
        _check_values(headers)
    for name, _ in headers:
        if name not in _KNOWN_NAMES and not _TOKEN.match(name):
            raise ValueError(f"{name!r} cannot name a header")


def _check_values(headers: Headers) -> None:
    for name, value in headers:
        if not _VALUE.match(value):
            raise ValueError(f"the header {name!r} cannot have the value {value!r}")


def _without_length(headers: Headers, body: bytes) -> Headers:
    """Return the headers without the body's length, which the HTTP layer writes of what it gets whole.

    That of another body stays: an answer to HEAD tells how long the one to GET would be.
    """
    own = str(len(body))
    return [one for one in headers if one[0].lower() != "content-length" or one[1] != own]


def _marked(headers: Headers) -> Headers:
    """Return the headers of an answer to a body that still comes, of a length that few others have.

    By its length its connection is found, should the body not come; see ``connections``. "A field value does
    not include [...] trailing whitespace" -- RFC 9110 5.5.
    """
    server = "granian" + " " * random.randrange(_MOST_MARKING_BYTES)  # noqa: S311  - no secret
    return [*(header for header in headers if header[0].lower() != "server"), ("server", server)]


def _fail(error: BaseException, responder: Responder, body: RequestBody) -> tuple[int, Headers]:
    """Answer a request whose application failed, or let one of our errors through."""
    if isinstance(error, DemijohnError):
        refusal = refuse(error, {"HTTP_X_REQUEST_ID": body.request_id})
    else:
        logger.error("the application failed", exc_info=error)
        refusal = _EMPTY_500
    refusal.send(responder)
    return refusal.status, list(refusal.headers)


class _Pieces:
    """The rest of an answer, as Granian takes it: ``__next__`` and ``close``."""

    def __init__(self, pieces: Iterable[bytes], answer: StreamedAnswer | None) -> None:
        self._pieces = iter(pieces)
        self._answer = answer

    def __next__(self) -> bytes:
        try:
            piece = next(self._pieces)
            if self._answer is not None:
                self._answer.add(piece)
            return piece
        except StopIteration:
            raise
        except BaseException:  # foreign code; Granian ends the answer on any error
            logger.exception("the application failed in the middle of its answer")
            raise StopIteration from None

    def close(self) -> None:
        """Leave the closing to the gateway, which does it for every answer."""


def _begun(pieces: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first piece, and all of them."""
    rest = iter(pieces)
    first = next(rest, b"")
    return first, chain((first,), rest)


def _check_lengths(environ: Mapping[str, str]) -> None:
    if len(environ["PATH_INFO"]) + len(environ["QUERY_STRING"]) > MAX_URL_BYTES:
        raise UriTooLong(f"The address may have {MAX_URL_BYTES} bytes")
    for name, value in environ.items():
        if len(value) > MAX_HEADER_BYTES and name.startswith(("HTTP_", "CONTENT_")):
            raise HeaderTooLarge(f"A header may have {MAX_HEADER_BYTES} bytes")


def _log(environ: Mapping[str, Any], status: int, headers: Headers, seconds: float) -> None:
    request_id = next((value for name, value in headers if name.lower() == "x-request-id"), "-")
    path = quote(environ["PATH_INFO"], safe="/:@!$&'()*+,;=~", encoding="latin-1")
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = f"{now} {request_id} {environ['REQUEST_METHOD']} {path} {status} {seconds * 1000:.1f} ms\n"
    sys.stderr.write(line)  # in one piece: many threads write
