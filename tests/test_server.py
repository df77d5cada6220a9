"""The whole server, through sockets and signals."""

from __future__ import annotations

import http.client
import json
import select
import signal
import socket
import time
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import psutil
import pytest
from tests.misbehaving import PATIENCE_S, Server, ask, in_background, load, running, started, until

from demijohn.config import Settings
from demijohn.errors import ConfigurationError
from demijohn.server import ServerOptions, serve


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One that no test of those that take it may end."""
    with running(workers=2, threads=16, access_log=True) as server:
        yield server


@pytest.fixture(scope="module")
def impatient() -> Iterator[Server]:
    """One that hardly waits for a body."""
    with running(body_timeout_s=0.3, threads=2) as server:
        yield server


# Answers ------------------------------------------------------------------------------------


def test_a_request_is_answered(server: Server) -> None:
    answer = server.request("/hello")
    assert (answer.status, answer.body) == (200, b"hello")


def test_the_application_sees_none_of_the_environment(server: Server) -> None:
    environ = json.loads(server.request("/environ?a=1", X_Thing="ok").body)
    assert not [name for name in environ if name.startswith("DEMIJOHN")]
    assert "secret of the environment" not in environ.values()
    assert (environ["HTTP_X_THING"], environ["QUERY_STRING"], environ["SCRIPT_NAME"]) == ("ok", "a=1", "")


def test_a_stream_is_answered_whole(server: Server) -> None:
    assert server.request("/stream").body.splitlines() == [str(number).encode() for number in range(1000)]


def test_a_head_request_has_the_length_and_no_body(server: Server) -> None:
    with server.connected() as connection:
        connection.request("HEAD", "/hello")
        response = connection.getresponse()
        assert (response.headers["Content-Length"], response.read()) == ("5", b"")
        assert ask(connection, "/hello").body == b"hello"


@pytest.mark.parametrize("path", ["/fail", "/leave", "/nothing"])
def test_a_failing_application_is_an_empty_500(server: Server, path: str) -> None:
    before = server.workers()
    answer = server.request(path)
    assert (answer.status, answer.body) == (500, b"")
    assert server.workers() == before


@pytest.mark.parametrize(
    "value", ["a\rb", "a\nb", "a\r\nSet-Cookie: b=c", "a\0b", "a\x7fb", "a\u20acb", 1, None]
)
def test_an_unclean_response_header_is_an_empty_500_and_ends_no_worker(server: Server, value: object) -> None:
    before = server.workers()
    answer = server.request("/header", json.dumps(value).encode())
    assert (answer.status, answer.body) == (500, b"")
    assert "set-cookie" not in answer.headers
    assert server.workers() == before


def test_a_header_of_more_than_8_kib_is_refused(server: Server) -> None:
    assert server.request("/hello", X_Long="a" * 8192).status == 200
    answer = server.request("/hello", X_Long="a" * 8193)
    assert (answer.status, answer.headers["content-type"]) == (431, "application/problem+json")
    assert json.loads(answer.body)["code"] == "header_too_large"


def test_an_address_of_more_than_4_kib_is_refused(server: Server) -> None:
    answer = server.request("/hello?" + "a" * 5000, X_Request_Id="mine")
    assert (answer.status, json.loads(answer.body)["request_id"]) == (414, "mine")
    assert answer.headers["x-request-id"] == "mine"


def test_the_access_log_has_one_line_per_request_and_no_query() -> None:
    with running(access_log=True) as server:
        server.request("/hello%0Aforged?key=secret")
        server.request("/hello")
        server.send(signal.SIGTERM)
        _, log = server.process.communicate()
    lines = [line for line in log.splitlines() if " GET " in line]
    assert sorted(line.split()[1:5] for line in lines) == [
        ["-", "GET", "/hello%0Aforged", "500"],
        ["id-1", "GET", "/hello", "200"],
    ]
    assert "secret" not in "".join(lines)


# Bodies -------------------------------------------------------------------------------------


def post(body: bytes, n_bytes: int) -> bytes:
    return b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (n_bytes, body)


def status_of(connection: socket.socket) -> int:
    """Read an answer until the connection ends."""
    received = b""
    while piece := connection.recv(65_536):
        received += piece
    return int(received.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").split()[1]) if received else 0


def test_many_chunks_of_one_byte_cost_no_memory(server: Server) -> None:
    before = memory_of(server)
    with server.raw(
        b"POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    ) as it:
        # Two threads of the worker wake each other for every chunk: 3 µs each, or 30 on idle cores.
        it.settimeout(6 * PATIENCE_S)
        for _ in range(10):
            it.sendall(b"1\r\na\r\n" * 10_000)
        it.sendall(b"0\r\n\r\n")
        received = b"".join(iter(lambda: it.recv(65_536), b""))
    assert received.endswith(b"100000") or received.startswith(b"HTTP/1.1 408 ")
    assert memory_of(server) - before < 32 * 2**20


def memory_of(server: Server) -> int:
    return sum(psutil.Process(pid).memory_info().rss for pid in server.workers())


@pytest.mark.parametrize(
    "head",
    [
        b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nab",
        b"POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
        b"POST /body HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n",
        b"POST /body HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 100\r\n\r\n",
    ],
)
def test_a_slow_body_is_given_up_and_its_thread_is_free_again(impatient: Server, head: bytes) -> None:
    slow = [impatient.raw(head) for _ in range(3)]  # more than there are threads
    assert {status_of(one) for one in slow} <= {408, 503}
    assert [impatient.request("/hello").status for _ in range(3)] == [200] * 3
    for one in slow:
        one.close()


def test_the_slowest_body_makes_room_for_the_next() -> None:
    with running(body_timeout_s=30, threads=4) as server:
        with server.raw(post(b"a", 2)) as first, server.raw(post(b"a", 2)) as second:  # half of the threads

            def next_is_answered_and_a_slow_one_ended() -> list[socket.socket]:
                answer = server.request("/body", b"abc")
                assert answer.status == 503 or answer.body == b"3"
                return select.select([first, second], [], [], 0)[0]

            ended = until(next_is_answered_and_a_slow_one_ended)
            assert [status_of(one) for one in ended] == [408]
        assert until(lambda: server.request("/body", b"abc").body == b"3")


def test_a_body_that_breaks_off_frees_its_thread() -> None:
    with running(threads=2) as server:
        for _ in range(4):
            server.raw(post(b"a", 2)).close()
        assert until(lambda: server.request("/body", b"abc").body == b"3")


# Starting -----------------------------------------------------------------------------------


def refused(host: str, port: int) -> str:
    """Ask for an address in this process; returns why not."""
    with pytest.raises(ConfigurationError) as caught:
        serve(lambda lifecycle: load("well", lifecycle), ServerOptions(host, port), Settings())
    assert "\n" not in caught.value.detail
    return caught.value.detail


def test_a_port_that_another_program_has_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert refused("127.0.0.1", port) == f"Port {port} of 127.0.0.1 is in use; choose another with --port"


def test_a_second_server_cannot_share_the_port(server: Server) -> None:
    assert "in use" in refused("127.0.0.1", server.port)


def test_a_port_is_taken_while_the_server_still_loads() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    with started(load="slowly", port=port) as server:
        until(server.workers)
        assert "in use" in refused("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "port", "words"),
    [
        ("no-such-host.invalid", 0, "no such host"),
        ("192.0.2.1", 0, "no address of this machine"),
        ("127.0.0.1", 70_000, "no port"),
    ],
)
def test_an_address_that_cannot_be_had_is_one_clear_line(host: str, port: int, words: str) -> None:
    assert words in refused(host, port)


def test_an_app_that_no_worker_can_load_ends_the_server_with_the_reason() -> None:
    with started(load="fails", workers=2) as server:
        assert server.wait() == 2
        assert server.process.communicate()[1] == "demijohn: ValueError: no such model\n"


def test_an_app_that_kills_every_worker_that_loads_it_ends_the_server() -> None:
    with started(load="dies", workers=2) as server:
        assert server.wait() == 2
        assert server.process.communicate()[1] == "demijohn: a worker was killed by SIGKILL while it loaded\n"


def test_the_server_can_be_ended_while_it_loads() -> None:
    with started(load="slowly") as server:
        until(server.workers)
        server.send(signal.SIGINT)
        assert server.wait(1.5) == 0


# Replacing ----------------------------------------------------------------------------------


def test_a_killed_worker_is_replaced_and_the_other_is_left_alone() -> None:
    with running(workers=2) as server:
        killed, other = server.workers()
        psutil.Process(killed).kill()
        after = until(lambda: len(now := server.workers() - {killed}) == 2 and now)
        assert other in after
        assert until(lambda: {server.state()["pid"] for _ in range(8)} == after)
        assert server.state()["restarts"] == 1
        assert server.state()["worker"] in {0, 1}


def test_no_number_of_deaths_ends_the_server() -> None:
    with running(workers=2) as server:
        for _ in range(10):
            pid = until(lambda: min(server.workers(), default=0))
            psutil.Process(pid).kill()
            until(lambda pid=pid: not psutil.pid_exists(pid))
        assert until(lambda: len(server.workers()) == 2)
        assert until(lambda: answers(server))
        assert server.state()["restarts"] == 10


def answers(server: Server) -> bool:
    try:
        return server.request("/hello").status == 200
    except OSError:
        return False


@pytest.mark.parametrize("path", ["/hang", "/hold"])
def test_a_worker_that_hangs_is_replaced(path: str) -> None:
    with running(workers=1, deadline_s=1) as server:
        (hung,) = server.workers()
        started = time.monotonic()
        lost = in_background(lambda: server.request(path))
        until(lambda: hung not in server.workers())
        assert 1.4 < time.monotonic() - started < 4
        assert isinstance(lost(), OSError)
        assert until(lambda: answers(server))
        assert server.state()["restarts"] == 1


# Ending -------------------------------------------------------------------------------------


def test_sigterm_finishes_what_is_in_flight_and_ends_kept_alive_connections() -> None:
    with running(workers=1) as server, server.connected() as kept_alive:
        assert "connection" not in ask(kept_alive, "/hello").headers
        slow = in_background(lambda: server.request("/wait?1.5"))
        until(lambda: server.state()["busy"])
        server.send(signal.SIGTERM)
        assert until(lambda: server.state()["draining"])
        answer = ask(kept_alive, "/hello")
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert slow().body == b"waited"
        with pytest.raises(ConnectionRefusedError):
            server.request("/hello")
        assert server.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_of_every_kind_end_an_idle_server_with_0(number: int) -> None:
    with running(workers=2) as server, server.raw(b"GET"), server.raw(b""):
        server.send(number)
        assert server.wait() == 0


def test_a_second_signal_ends_the_server_at_once() -> None:
    with running(workers=2) as server:
        slow = in_background(lambda: server.request("/wait?20"))
        server.send(signal.SIGINT)
        assert until(lambda: server.state()["draining"])
        until(lambda: not answers(server))
        server.send(signal.SIGINT)
        assert server.wait(1) == 0
        assert isinstance(slow(), OSError)


def test_a_call_that_hangs_does_not_keep_the_server_from_ending() -> None:
    with running(workers=1, deadline_s=1) as server:
        lost = in_background(lambda: server.request("/hold?1"))
        server.send(signal.SIGTERM)
        assert server.wait() == 0
        assert isinstance(lost(), OSError)


@pytest.mark.parametrize("path", ["/wait?20", "/hold?20"])
def test_workers_do_not_outlive_a_supervisor_that_was_killed(path: str) -> None:
    with running(workers=2) as server:
        workers = server.workers()
        lost = in_background(lambda: server.request(path))
        server.send(signal.SIGKILL)
        until(lambda: not any(psutil.pid_exists(pid) for pid in workers), 5)
        assert isinstance(lost(), OSError)


def test_a_server_that_was_killed_leaves_its_folder_to_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    foreign = tmp_path / "demijohn-metrics-of-mine"
    foreign.mkdir()
    with running() as server:
        server.send(signal.SIGKILL)
        server.wait()
    (orphan,) = set(tmp_path.iterdir()) - {foreign}
    with running() as server:
        assert not orphan.exists()
        server.send(signal.SIGTERM)
        assert server.wait() == 0
    assert list(tmp_path.iterdir()) == [foreign]


def test_sigterm_under_load_loses_no_request() -> None:
    """Each request is answered, or its connection was refused: none is cut off."""
    with running(workers=2, threads=32) as server:
        clients = [in_background(lambda: ask_until_refused(server)) for _ in repeat(None, 8)]
        until(lambda: server.state()["restarts"] == 0)
        server.send(signal.SIGTERM)
        counts = [client() for client in clients]
        assert all(isinstance(count, int) and count > 0 for count in counts), counts
        assert server.wait() == 0


def ask_until_refused(server: Server) -> int:
    n_answers = 0
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        try:
            connection.connect()
        except ConnectionRefusedError:
            return n_answers
        while connection.sock:
            assert ask(connection, "/hello").status == 200
            n_answers += 1
