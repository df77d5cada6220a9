"""A connection that sends and receives at once: an answer that begins before its request has ended.

Rules of this room:
1. Whoever reads the answer sends the request: while nothing has come, the next piece of the body goes out.
   So no buffer between the two grows, here or on the way, and neither end waits for the other for ever.
2. Once the answer has ended, nothing more is sent.
"""

from __future__ import annotations

import io
import selectors
import socket
import ssl
from collections.abc import Iterable, Iterator
from contextlib import suppress

_BUFFER_BYTES = 2**16
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Duplex(io.RawIOBase):
    """The receiving end of a socket, as a file; reading from it sends a body in chunks.

    Args:
        connection: Connected; the head of the request has been sent.
        body: Pieces of any size; the next is asked for when the last is on its way.
        timeout_s: Longest that neither anything comes nor anything can be sent.
    """

    def __init__(self, connection: socket.socket, body: Iterable[bytes], timeout_s: float) -> None:
        super().__init__()
        connection.setblocking(False)
        self._connection = connection
        self._chunks: Iterator[bytes] | None = _chunks_of(body)
        self._unsent = memoryview(b"")
        self.failure: Exception | None = None  #: What the body raised, whoever may have caught it since.
        self._timeout_s = timeout_s
        self._selector = selectors.DefaultSelector()
        self._key = self._selector.register(connection, selectors.EVENT_READ)

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return what ``http.client.HTTPResponse`` reads from: it asks a socket for a file."""
        del mode  # "rb"
        return io.BufferedReader(self, _BUFFER_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read what has come; until something has, send.

        Raises:
            TimeoutError: nothing has come, and nothing could be sent.
            OSError: the connection broke.
            Exception: what the body raised.
        """
        while True:
            with suppress(*_NOT_NOW):
                return self._connection.recv_into(buffer)
            if not self._send():
                self._wait()

    def _send(self) -> bool:
        """Send some of the body; False: there is no more of it, or nobody takes it now."""
        if not self._unsent and self._chunks is not None:
            self._unsent = memoryview(self._next_chunk())
        if not self._unsent:
            return False
        try:
            self._unsent = self._unsent[self._connection.send(self._unsent) :]
        except _NOT_NOW:
            return False
        except OSError:  # the server has heard enough; what it had to say may still be there
            self._chunks, self._unsent = None, memoryview(b"")
        return True

    def _next_chunk(self) -> bytes:
        """Return what is to be sent next; nothing at the end."""
        chunks = self._chunks
        try:
            chunk = b"" if chunks is None else next(chunks, b"")
        except Exception as error:
            self.failure = error
            raise
        if not chunk:
            self._chunks = None
        return chunk

    def _wait(self) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
        self._selector.modify(self._connection, events)
        if not self._selector.select(self._timeout_s):
            raise TimeoutError

    def close(self) -> None:
        self._selector.close()
        self._connection.close()
        super().close()


def _chunks_of(body: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a body in HTTP's chunks; RFC 9112, 7.1."""
    for piece in body:
        if piece:  # an empty one would be the last
            yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"
