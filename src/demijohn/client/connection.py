"""One origin over HTTP: a pool of connections, a key that leaves to nobody else, bounds on everything.

Rules of this room:
1. All requests go to the host and port that were given, and to no proxy: nothing of the environment is
   read. A redirect is not followed, since it would take the key elsewhere.
2. Tried again is what did not reach the model: a connection that could not be made, or broke before an
   answer; a 503 or 429 that says after how long. A prediction changes nothing on the server, so one that
   was computed twice does no harm. Any other answer, and a timeout, is final.
3. ``timeout`` bounds a call with all its tries and the pauses between them. A server that sends some
   bytes now and then may draw it out to twice that, and no longer.
4. What arrives is bounded, too, and is read as it was sent: no compression was asked for.
"""

from __future__ import annotations

import os
import random
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import NamedTuple, NoReturn

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    InvalidHeader,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)

from demijohn.errors import AnswerTimeout, ConfigurationError, ConnectionFailed, UnusableAnswer

from .address import key_header, read_address, user_agent
from .duplex import Duplex
from .problems import PROBLEM, read_problem

_POOL_SIZE = 32  # connections that are kept for the next request; more may be open at once
_PIECE_BYTES = 2**16
_FIRST_PAUSE_S = 0.1
_PAUSED = (429, 503)  # "you", or "us": both may say when to come again
_NO_HEADERS: Mapping[str, str] = {}


class Answer(NamedTuple):
    """A whole answer of status 200 to 299."""

    headers: Mapping[str, str]
    body: bytes


class Connection:
    """A server's address, and how it is spoken to; any number of threads may.

    Args:
        url: ``http`` or ``https``, host, port, and the prefix under which the routes live.
        key: Sent as ``Authorization: Bearer``.
        timeout_s: Longest that one call may take.
        connect_timeout_s: Longest that one attempt to connect may take.
        retries: How often a call is tried again.
        max_answer_bytes: Of one answer.
        ssl_context: In the place of the default one, which trusts the system's authorities.

    Raises:
        ConfigurationError: one of these cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None,
        timeout_s: float,
        connect_timeout_s: float,
        retries: int,
        max_answer_bytes: int,
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        self._address = address = read_address(url)
        self.url, self.prefix = address.url, address.prefix
        for name, value in (("timeout", timeout_s), ("connect_timeout", connect_timeout_s)):
            if not value > 0:
                raise ConfigurationError(f"{name} must be more than 0 seconds, not {value!r}")
        if retries < 0 or max_answer_bytes < 1:
            raise ConfigurationError("retries must be 0 or more, max_answer_bytes 1 or more")
        self.timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._retries = retries
        self.max_answer_bytes = max_answer_bytes
        self._ssl_context = ssl_context
        self._headers = {"User-Agent": user_agent(), **({} if key is None else key_header(key))}
        self._lock = threading.Lock()
        self._pool: urllib3.HTTPConnectionPool | None = None
        self._pid = 0
        self._is_closed = False

    def close(self) -> None:
        """Close the connections; what is under way on one ends with an error."""
        self._is_closed = True
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def get(self, path: str, *, accept: str = "application/json") -> Answer:
        """Fetch what stands at a path below the prefix; see ``post``."""
        return self._ask("GET", path, None, {"Accept": f"{accept}, {PROBLEM}"}, self._retries)

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send a body to a path below the prefix.

        Raises:
            RequestError: the server refused it.
            ServerError: the server could not answer.
            NoAnswer: no answer came, or none that can be used.
        """
        return self._ask("POST", path, body, headers, self._retries)

    def ask_once(self, path: str) -> Answer:
        """Fetch what stands at a path, and try no second time; see ``post``."""
        return self._ask("GET", path, None, _NO_HEADERS, 0)

    @contextmanager
    def stream(self, path: str, body: bytes, headers: Mapping[str, str]) -> Iterator[Iterator[bytes]]:
        """Send a body, and read the answer piece by piece while it comes; see ``post``.

        Each piece may take ``timeout_s``.
        """
        give_up = time.monotonic() + self.timeout_s
        response = self._try("POST", path, body, headers, self._retries, give_up)
        try:
            if response.status >= 300:
                self._refuse(response, give_up)
            yield self._pieces(response)
        finally:
            response.close()  # what was not read, nobody will

    @contextmanager
    def exchange(
        self, path: str, body: Iterable[bytes], headers: Mapping[str, str]
    ) -> Iterator[Iterator[bytes]]:
        """Send a body that is made piece by piece, and read the answer while it is sent; see ``stream``.

        It goes over a connection of its own, and once.
        """
        connection = self._dial()
        file = None
        try:
            connection.putrequest("POST", self.prefix + path)
            for name, value in {**self._headers, **headers, "Transfer-Encoding": "chunked"}.items():
                connection.putheader(name, value)
            connection.endheaders()
            file = Duplex(connection.sock, body, self.timeout_s)
            response = self._begin(file)
            if response.status >= 300:
                self._refuse(response, time.monotonic() + self.timeout_s)
            yield self._pieces(response)
        except Exception as error:
            if file is not None and file.failure is not None:
                raise file.failure from None  # the caller's own, whatever it became on its way through HTTP
            if isinstance(error, TimeoutError):
                raise self._late() from error
            raise
        finally:
            if file is not None:
                file.close()
            connection.close()

    def _dial(self) -> HTTPConnection:
        host, port = self._address.host, self._address.port
        timeout_s = min(self._connect_timeout_s, self.timeout_s)
        connection = HTTPConnection(host, port, timeout=timeout_s)
        if self._address.scheme == "https":
            context = self._ssl_context or ssl.create_default_context()
            connection = HTTPSConnection(host, port, timeout=timeout_s, context=context)
        try:
            connection.connect()
        except OSError as error:
            raise ConnectionFailed(f"{self.url}: {error}") from error
        return connection

    def _begin(self, file: Duplex) -> urllib3.BaseHTTPResponse:
        """Read the head of an answer."""
        response = HTTPResponse(file, method="POST")  # type: ignore[arg-type]  # it asks for a file alone
        try:
            response.begin()
        except TimeoutError:
            raise
        except OSError as error:  # it ended before an answer, which is an HTTPException too
            raise ConnectionFailed(f"{self.url}: the connection broke: {error}") from error
        except (HTTPException, ValueError) as error:
            raise UnusableAnswer(f"{self.url} does not speak HTTP as is due: {error!r}"[:400]) from error
        return urllib3.HTTPResponse(
            body=response,
            headers=urllib3.HTTPHeaderDict(response.headers.items()),
            status=response.status,
            original_response=response,
            preload_content=False,
            decode_content=False,
            request_method="POST",
        )

    def _late(self) -> AnswerTimeout:
        return AnswerTimeout(f"{self.url} did not answer within {self.timeout_s:g} s")

    # One call -----------------------------------------------------------------------------

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], retries: int
    ) -> Answer:
        give_up = time.monotonic() + self.timeout_s
        response = self._try(method, path, body, headers, retries, give_up)
        if response.status >= 300:
            self._refuse(response, give_up)
        return Answer(response.headers, self._read(response, give_up))

    def _try(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        retries: int,
        give_up: float,
    ) -> urllib3.BaseHTTPResponse:
        """Return the first answer that is final, its body not read yet."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                response = self._send(method, path, body, headers, give_up)
            except _Unreached as error:
                wait_s = random.uniform(pause_s / 2, pause_s)  # noqa: S311  - so that not all come at once
                if not retries or time.monotonic() + wait_s >= give_up:
                    raise ConnectionFailed(f"{self.url}: {error}") from error.__cause__
                pause_s *= 2
            else:
                asked_s = _seconds_to_wait(response)
                if asked_s is None or not retries or time.monotonic() + asked_s >= give_up:
                    return response
                self._read(response, give_up)  # so that the connection can be used again
                wait_s = asked_s
            time.sleep(wait_s)
            retries -= 1

    def _send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], give_up: float
    ) -> urllib3.BaseHTTPResponse:
        left_s = give_up - time.monotonic()
        if left_s <= 0:
            raise self._late()
        timeout = urllib3.Timeout(connect=min(self._connect_timeout_s, left_s), read=left_s)
        try:
            return self._connections().urlopen(
                method,
                self.prefix + path,
                body=body,
                headers={**self._headers, **headers},
                timeout=timeout,
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except (NewConnectionError, ConnectTimeoutError) as error:
            raise _Unreached(_last_words(error)) from error
        except ReadTimeoutError as error:
            raise self._late() from error
        except ProtocolError as error:
            cause = error.args[-1]
            if isinstance(cause, TimeoutError):  # nobody took the body
                raise self._late() from error
            if isinstance(cause, OSError):
                raise _Unreached(f"the connection broke: {cause}") from error
            raise UnusableAnswer(f"{self.url} does not speak HTTP as is due: {cause!r}"[:400]) from error
        except HTTPError as error:  # a certificate that is not trusted, above all
            raise ConnectionFailed(f"{self.url}: {_last_words(error)}") from error

    def _connections(self) -> urllib3.HTTPConnectionPool:
        """Return the pool of this process: a fork must not share its parent's sockets."""
        pool = self._pool
        if pool is not None and self._pid == os.getpid():
            return pool
        with self._lock:
            if self._is_closed:
                raise RuntimeError("This client has been closed; make another")
            if self._pool is None or self._pid != os.getpid():
                self._pool, self._pid = self._make_pool(), os.getpid()
            return self._pool

    def _make_pool(self) -> urllib3.HTTPConnectionPool:
        host, port = self._address.host, self._address.port
        if self._address.scheme == "http":
            return urllib3.HTTPConnectionPool(host, port, maxsize=_POOL_SIZE)
        context = self._ssl_context or ssl.create_default_context()
        return urllib3.HTTPSConnectionPool(host, port, maxsize=_POOL_SIZE, ssl_context=context)

    # What came ----------------------------------------------------------------------------

    def _refuse(self, response: urllib3.BaseHTTPResponse, give_up: float) -> NoReturn:
        status = response.status
        if status < 400:
            response.close()
            raise UnusableAnswer(
                f"{self.url} redirects ({status}); redirects are not followed: give the address itself"
            )
        raise read_problem(status, response.headers, self._read(response, give_up))

    def _read(self, response: urllib3.BaseHTTPResponse, give_up: float) -> bytes:
        """Read a body as a whole, and give the connection back."""
        pieces = []
        n_bytes = 0
        for piece in self._pieces(response):
            n_bytes += len(piece)
            if n_bytes > self.max_answer_bytes:
                response.close()
                raise UnusableAnswer(f"The answer has more than {self.max_answer_bytes} bytes")
            if time.monotonic() > give_up:
                response.close()
                raise self._late()
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _pieces(self, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        """Yield what comes, as it comes."""
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            response.close()
            raise UnusableAnswer("The answer is compressed, which was not asked for")
        try:
            while piece := response.read1(_PIECE_BYTES):
                yield piece
            response.release_conn()
        except ReadTimeoutError as error:
            response.close()
            raise AnswerTimeout(f"The answer of {self.url} stopped before its end") from error
        except (HTTPError, OSError) as error:
            response.close()
            raise ConnectionFailed(f"{self.url}: the answer was cut off") from error


class _Unreached(Exception):
    """The request may be sent again; the argument says why it has to be."""


def _seconds_to_wait(response: urllib3.BaseHTTPResponse) -> float | None:
    """Return after how long a server that could not answer wants to be asked again."""
    given = response.headers.get("Retry-After")
    if response.status not in _PAUSED or given is None:
        return None
    try:
        return urllib3.Retry().parse_retry_after(given)
    except (InvalidHeader, ValueError, OverflowError):  # a date or a number that no clock knows
        return None


def _last_words(error: BaseException) -> str:
    """Say what went wrong, without the pool's name and addresses in memory."""
    return str(error).rpartition(": ")[2] or type(error).__name__
