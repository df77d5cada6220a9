from __future__ import annotations

import http.client
import json
from contextlib import ExitStack, closing
from pathlib import Path

import joblib
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from tests.servers import Server, serving, until

from demijohn.balance import Balance, surplus
from demijohn.slots import Slots, State

_COUNTS = st.lists(st.integers(0, 5000), min_size=1, max_size=16)


class Ending:
    n_to_part = 0


@given(_COUNTS)
def test_no_worker_parts_with_more_than_what_is_above_its_share(counts: list[int]) -> None:
    share = sum(counts) / len(counts)
    for own in counts:
        assert 0 <= surplus(own, counts) <= max(0.0, own - share)


@given(st.integers(0, 5000), st.integers(1, 16), st.integers(0, 15))
def test_an_even_share_is_left_alone(share: int, n_workers: int, n_more: int) -> None:
    counts = [share + (index < n_more % n_workers) for index in range(n_workers)]
    assert [surplus(own, counts) for own in counts] == [0] * n_workers


@given(st.integers(2, 16), st.integers(2, 19))
def test_among_few_connections_every_one_too_many_is_parted_with(n_workers: int, n_connections: int) -> None:
    counts = [n_connections, *[0] * (n_workers - 1)]
    assert surplus(n_connections, counts) == n_connections - -(-n_connections // n_workers)


def test_a_worker_tells_how_many_it_has_and_hears_of_those_that_serve() -> None:
    slots = Slots(3)
    ours, theirs, starting = (slots.take_free() for _ in range(3))
    assert ours
    assert theirs
    assert starting
    ours.state = theirs.state = State.READY
    theirs.connections, starting.connections = 1, 100
    ending = Ending()
    Balance(slots, ours, ending, count=lambda: 5).check()
    assert (ours.connections, slots.connections(), ending.n_to_part) == (5, [5, 1], 2)


def test_connections_that_landed_on_one_worker_are_shared_by_two(tmp_path: Path) -> None:
    rows, labels = load_iris(return_X_y=True)
    joblib.dump(LogisticRegression(max_iter=500).fit(rows, labels), tmp_path / "iris.joblib")
    with serving([tmp_path / "iris.joblib"], "--workers", "2") as server, ExitStack() as stack:
        server.await_workers(2)
        server.http.clear()
        clients = [
            stack.enter_context(closing(http.client.HTTPConnection(*server.address))) for _ in range(4)
        ]
        until(lambda: _connections_after_a_round(server, clients) == [2, 2])


def _connections_after_a_round(server: Server, clients: list[http.client.HTTPConnection]) -> list[int]:
    """Let each client ask once; returns how many connections each worker has then."""
    for client in clients:
        client.request("POST", "/predict", json.dumps([[5.1, 3.5, 1.4, 0.2]]))  # connects anew where it must
        response = client.getresponse()
        assert response.status == 200
        response.read()
    return sorted(_connections_of(pid, server.address[1]) for pid in server.workers)


def _connections_of(pid: int, port: int) -> int:
    """Count the established connections of a process to its own port."""
    links = [_link(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()]
    inodes = {link.removeprefix("socket:[").rstrip("]") for link in links if link.startswith("socket:")}
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return sum(row[9] in inodes and row[3] == "01" and row[1].endswith(f":{port:04X}") for row in rows)


def _link(fd: Path) -> str:
    try:
        return str(fd.readlink())
    except OSError:  # closed meanwhile
        return ""
