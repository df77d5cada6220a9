"""Counts the TCP connections of this process, and finds and ends that of one request among them.

Granian tells a WSGI application the address of the peer but not its port, and once a thread waits
in ``wsgi.input.read`` nothing but the connection's end frees it: an answer given meanwhile is
sent, "Connection: close" or not, and the HTTP layer goes on waiting for the rest of the body.
So the answer itself marks the connection: it is given a length of its own, and the socket that
just wrote exactly so many bytes is the one.

Only Linux tells how much a socket has written; elsewhere nothing is found and nothing is ended.

Source: linux/tcp.h, ``struct tcp_info``; tcp(7), TCP_INFO.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_FDS = "/proc/self/fd"
_TCP_INFO = getattr(socket, "TCP_INFO", 11)
_TCP_LISTEN = 10
# __u32 tcpi_notsent_bytes at 144; __u64 tcpi_bytes_sent and tcpi_bytes_retrans at 200 (Linux 4.19).
_NOT_SENT = struct.Struct("=144xI")
_SENT = struct.Struct("=200xQQ")
_INFO_BYTES = 216


def bytes_written() -> dict[int, int]:
    """Return, for each TCP connection of this process, how much has been written to it.

    Returns:
        By file descriptor. Empty where the system does not tell.
    """
    return {fd: _written(info) for fd, info in _infos()}


def are_sending() -> bool:
    """Say whether some connection of this process has more to send than its peer takes in."""
    return any(_not_sent(info) for _, info in _infos())


def count() -> int:
    """Return how many TCP connections this process has open; 0 where the system does not tell."""
    return sum(1 for _ in _infos())


def end(fd: int) -> None:
    """End a connection: its reader meets the end of the stream; what was written still goes out."""
    with suppress(OSError), _borrowed(fd) as connection:  # it may have ended by itself
        connection.shutdown(socket.SHUT_RD)


def _infos() -> Iterator[tuple[int, bytes]]:
    try:
        numbers = os.listdir(_FDS)  # noqa: PTH208  - thousands of names: plain strings will do
    except OSError:
        return
    for number in numbers:
        fd = int(number)
        try:
            with _borrowed(fd) as connection:
                info = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _INFO_BYTES)
        except OSError:  # no TCP socket, or closed meanwhile
            continue
        if len(info) == _INFO_BYTES and info[0] != _TCP_LISTEN:
            yield fd, info


def _written(info: bytes) -> int:
    sent, sent_again = _SENT.unpack_from(info)
    return int(sent - sent_again + _not_sent(info))


def _not_sent(info: bytes) -> int:
    (not_sent,) = _NOT_SENT.unpack_from(info)
    return int(not_sent)


@contextmanager
def _borrowed(fd: int) -> Iterator[socket.socket]:
    # Given the family and the type, Python need not ask for them.
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=fd)
    try:
        yield connection
    finally:
        connection.detach()
