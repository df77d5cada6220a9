from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from demijohn import connections


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    with near, far:
        yield near, far


def test_what_a_connection_wrote_is_counted_to_the_byte(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    near.sendall(b"a" * 445)
    written = connections.bytes_written()
    assert (written[near.fileno()], written[far.fileno()]) == (445, 0)


def test_what_the_peer_does_not_take_counts_too(pair: tuple[socket.socket, socket.socket]) -> None:
    near, _ = pair
    near.setblocking(False)
    assert not connections.are_sending()
    total = 0
    with suppress(BlockingIOError):
        while True:
            total += near.send(b"a" * 65_536)
    assert connections.bytes_written()[near.fileno()] == total
    assert connections.are_sending()


def test_only_tcp_connections_are_counted(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, (tmp_path / "file").open("w") as file:
        assert {listener.fileno(), file.fileno()}.isdisjoint(connections.bytes_written())


def test_the_reader_of_an_ended_connection_meets_its_end(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    connections.end(near.fileno())
    assert near.recv(1) == b""
    near.sendall(b"still goes out")
    assert far.recv(100) == b"still goes out"


def test_ending_what_is_no_connection_does_nothing(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        connections.end(file.fileno())
        assert not file.closed
