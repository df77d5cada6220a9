"""Faults, one at a time, in a real server: what each costs, and whom."""

from __future__ import annotations

import json
import os
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import urllib3
from tests.http.claims import check_problem
from tests.http.conftest import ROOT
from tests.http.test_metrics_over_http import value
from tests.servers import Server, serving, until

DEADLINE_S = "1"
ROWS = [[1.0, 2.0, 3.0], [4.0, 5.5, -6.25], [0.1, 0.2, 0.3]]
LOST = "lost"  #: What became of a request whose connection ended without an answer.
MIB = 2**20

Holding = tuple[Server, Path]
Start = Callable[..., AbstractContextManager[Server]]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as pool:
        yield pool


def plane(rows: Any) -> list[float]:
    """What the model of that name answers."""
    return [a + 2 * b + 3 * c for a, b, c in rows]


def _start(path: Path, workers: int, *options: str, **environ: str) -> AbstractContextManager[Server]:
    words = ["tests.http.slow_app:app"]
    return serving(words, "--workers", str(workers), *options, cwd=ROOT, HOLDING=str(path), **environ)


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Holding]:
    """One worker that waits for a model as long as it takes; its queue holds 1024 rows."""
    path = tmp_path_factory.mktemp("holding")
    with _start(path, 1, DEMIJOHN_MAX_QUEUE_S="3600") as server:
        yield server, path


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Holding]:
    """Two workers that wait for a model no longer than a second."""
    path = tmp_path_factory.mktemp("holding")
    with _start(path, 2, DEMIJOHN_DEADLINE_S=DEADLINE_S) as server:
        server_ready(server, 2)
        yield server, path


def server_ready(server: Server, n_workers: int, without: int | None = None) -> None:
    until(lambda: len(server.workers) == n_workers and without not in server.workers)
    until(
        lambda: all(
            ask(server, "process", word="x", connection="close") != LOST for _ in range(8 * n_workers)
        )
    )


def ask(server: Server, model: str, *, connection: str = "keep-alive", **record: Any) -> Any:
    """Return a prediction; the answer itself if it is none, ``LOST`` if none came."""
    try:
        answer = server.post(f"/ml/models/{model}/predict", [record], connection=connection)
    except urllib3.exceptions.HTTPError:
        return LOST
    return answer.json()["predictions"][0] if answer.status == 200 else answer


def begin(pool: ThreadPoolExecutor, holding: Holding, model: str = "hold") -> tuple[str, Future[Any]]:
    """Start a call that waits until it is released; returns once the model runs it."""
    server, path = holding
    word = uuid.uuid4().hex
    future = pool.submit(ask, server, model, word=word, connection="close")
    until((path / f"{word}.begun").exists)
    return word, future


def release(holding: Holding, *words: str) -> None:
    for word in words:
        (holding[1] / f"{word}.release").touch()


# Models that hang ------------------------------------------------------------------------------


def test_a_model_that_hangs_is_504_at_the_deadline_and_its_worker_is_replaced(
    hasty: Holding, pool: ThreadPoolExecutor
) -> None:
    server, _ = hasty
    before, restarts = server.workers, value_of(server, "demijohn_worker_restarts_total")
    _, hung = begin(pool, hasty)
    others = [pool.submit(server.post, "/ml/predict", ROWS, connection="close") for _ in range(40)]
    assert {answer.result().status for answer in others} == {200}
    check_problem(hung.result(), 504, "deadline_exceeded")
    until(lambda: len(server.workers) == 2 and server.workers != before)
    server_ready(server, 2)
    until(lambda: value_of(server, "demijohn_worker_restarts_total") == restarts + 1)


def test_a_model_that_holds_the_interpreter_costs_itself_and_its_worker_only(
    hasty: Holding, pool: ThreadPoolExecutor
) -> None:
    server, path = hasty
    before, restarts = server.workers, value_of(server, "demijohn_worker_restarts_total")
    word = uuid.uuid4().hex
    gripped = pool.submit(ask, server, "grip", word=word, connection="close")
    until((path / f"{word}.begun").exists)
    result = gripped.result()
    assert result == LOST or result.status == 504
    until(lambda: len(server.workers - before) == 1 and len(server.workers) == 2)
    server_ready(server, 2)
    assert value_of(server, "demijohn_worker_restarts_total") == restarts + 1
    assert server.process.poll() is None


def test_a_coroutine_that_exceeds_the_deadline_is_cancelled_and_costs_nobody_anything(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    with _start(tmp_path, 1, DEMIJOHN_DEADLINE_S=DEADLINE_S) as server:
        holding, before = (server, tmp_path), server.workers
        for _ in range(2):  # by the end of the second, a worker that hangs since the first would be gone
            word, hung = begin(pool, holding, "awaits")
            neighbours = [begin(pool, holding, model) for model in ("awaits", "holds")]
            release(holding, *(one for one, _ in neighbours))
            assert [asked.result() for _, asked in neighbours] == [one for one, _ in neighbours]
            check_problem(hung.result(), 504, "deadline_exceeded")
            until((tmp_path / f"{word}.cancelled").exists)
        assert server.workers == before
        assert {ask(server, "process", word="x")} == before
        assert value_of(server, "demijohn_worker_restarts_total") == 0


def test_a_coroutine_that_does_not_let_itself_be_cancelled_costs_its_worker(
    hasty: Holding, pool: ThreadPoolExecutor
) -> None:
    server, path = hasty
    before, restarts = server.workers, value_of(server, "demijohn_worker_restarts_total")
    word, hung = begin(pool, hasty, "stubborn")
    check_problem(hung.result(), 504, "deadline_exceeded")
    until((path / f"{word}.cancelled").exists)
    until(lambda: len(server.workers) == 2 and server.workers != before)
    server_ready(server, 2)
    until(lambda: value_of(server, "demijohn_worker_restarts_total") == restarts + 1)


def value_of(server: Server, name: str, **labels: str) -> float:
    return value(server, name, prefix="/ml", **labels)


def test_a_model_that_hangs_does_not_keep_its_neighbour_from_answering(
    patient: Holding, pool: ThreadPoolExecutor
) -> None:
    server, _ = patient
    word, hung = begin(pool, patient)
    for _ in range(20):
        assert server.post("/ml/predict", ROWS).json()["predictions"] == plane(ROWS)
    assert not hung.done()
    release(patient, word)
    assert hung.result() == word


# The queue --------------------------------------------------------------------------------------


def test_what_the_queue_cannot_hold_is_refused_with_a_time_to_come_back(
    patient: Holding, pool: ThreadPoolExecutor
) -> None:
    server, _ = patient
    word, running = begin(pool, patient)
    waiting = [pool.submit(ask, server, "hold", word=word) for _ in range(40)]
    until(lambda: value_of(server, "demijohn_queue_rows", model="hold") == 40)
    sizes = [256, 256, 256, 216]
    fill = [pool.submit(server.post, "/ml/models/hold/predict", [{"word": word}] * size) for size in sizes]
    until(lambda: value_of(server, "demijohn_queue_rows", model="hold") == 1024)
    for _ in range(20):
        answer = server.post("/ml/models/hold/predict", [{"word": word}])
        check_problem(answer, 503, "queue_full")
        assert 1 <= int(answer.headers["Retry-After"]) <= 30
    release(patient, word)
    assert [future.result() for future in [running, *waiting]] == [word] * 41
    assert [answer.result().json()["predictions"] for answer in fill] == [[word] * size for size in sizes]
    assert value_of(server, "demijohn_refusals_total", model="hold") == 20
    assert value_of(server, "demijohn_queue_rows", model="hold") == 0


def test_what_waits_for_a_model_holds_no_thread(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    with _start(tmp_path, 1, "--threads", "2", DEMIJOHN_MAX_QUEUE_S="3600") as server:
        holding = (server, tmp_path)
        word, running = begin(pool, holding)
        waiting: list[Future[Any]] = []
        while len(waiting) < 20:  # one after another: of two threads, one may wait for a body
            waiting.append(pool.submit(ask, server, "hold", word=word))
            until(lambda: value_of(server, "demijohn_queue_rows", model="hold") == len(waiting))
        assert server.post("/ml/predict", ROWS).json()["predictions"] == plane(ROWS)
        release(holding, word)
        assert [future.result() for future in [running, *waiting]] == [word] * 21


def test_what_waits_is_joined_and_everybody_gets_their_own(
    patient: Holding, pool: ThreadPoolExecutor
) -> None:
    server, path = patient
    (path / "joined.release").unlink(missing_ok=True)
    (path / "joined.begun").unlink(missing_ok=True)
    busy = pool.submit(server.post, "/ml/models/joined/predict", [[1, 0]])
    until((path / "joined.begun").exists)
    calls = value_of(server, "demijohn_batch_requests_count", model="joined")
    members = value_of(server, "demijohn_batch_requests_sum", model="joined")
    mine = [[[0, 1000 * n + row] for row in range(n % 3 + 1)] for n in range(30)]
    answers = [pool.submit(server.post, "/ml/models/joined/predict", rows) for rows in mine]
    until(lambda: value_of(server, "demijohn_queue_rows", model="joined") == sum(map(len, mine)))
    (path / "joined.release").touch()
    assert busy.result().json()["predictions"] == [0]
    for rows, answer in zip(mine, answers, strict=True):
        assert answer.result().json()["predictions"] == [2 * value for _, value in rows]
    # The first call, and one of all that waited for it.
    assert value_of(server, "demijohn_batch_requests_count", model="joined") == calls + 2
    assert value_of(server, "demijohn_batch_requests_sum", model="joined") == members + 31


def test_a_bad_row_fails_alone(patient: Holding, pool: ThreadPoolExecutor) -> None:
    server, path = patient
    (path / "joined.release").unlink(missing_ok=True)
    (path / "joined.begun").unlink(missing_ok=True)
    busy = pool.submit(server.post, "/ml/models/joined/predict", [[1, 0]])
    until((path / "joined.begun").exists)
    answers = [pool.submit(server.post, "/ml/models/joined/predict", [[2 * (n == 5), n]]) for n in range(12)]
    until(lambda: value_of(server, "demijohn_queue_rows", model="joined") == 12)
    (path / "joined.release").touch()
    assert busy.result().status == 200
    for n, answer in enumerate(answers):
        if n == 5:
            check_problem(answer.result(), 422, "bad_input")
        else:
            assert answer.result().json()["predictions"] == [2 * n]


def test_a_request_larger_than_a_batch_runs_whole(patient: Holding) -> None:
    server, _ = patient
    rows = np.random.default_rng(0).normal(size=(1000, 3))
    calls = value_of(server, "demijohn_batch_rows_count", model="plane")
    total = value_of(server, "demijohn_batch_rows_sum", model="plane")
    predictions = server.post("/ml/predict", rows.tolist()).json()["predictions"]
    assert predictions == plane(rows)
    assert value_of(server, "demijohn_batch_rows_count", model="plane") == calls + 1
    assert value_of(server, "demijohn_batch_rows_sum", model="plane") == total + 1000


def test_big_bodies_do_not_keep_small_ones_from_their_answers(
    patient: Holding, pool: ThreadPoolExecutor
) -> None:
    server, _ = patient
    rows = np.random.default_rng(0).normal(size=(180_000, 3))
    body = json.dumps(rows.tolist()).encode()
    assert len(body) > 10 * MIB
    big = [pool.submit(server.post, "/ml/predict", body) for _ in range(4)]
    small = [pool.submit(server.post, "/ml/predict", ROWS) for _ in range(40)]
    assert {answer.result().status for answer in [*big, *small]} == {200}
    assert big[0].result().json()["predictions"] == plane(rows)
    assert all(answer.result().json()["predictions"] == plane(ROWS) for answer in small)


# Workers that die ---------------------------------------------------------------------------------


def test_a_worker_that_is_killed_loses_what_it_held_and_nothing_else(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    with _start(tmp_path, 2) as server:
        holding = server, tmp_path
        server_ready(server, 2)
        held = [begin(pool, holding, "holds") for _ in range(12)]
        by_worker = {pid: _connections(pid, server) for pid in server.workers}
        victim = max(by_worker, key=lambda pid: by_worker[pid])
        stop = threading.Event()
        load = [pool.submit(_keep_asking, server, stop) for _ in range(3)]
        os.kill(victim, signal.SIGKILL)
        server_ready(server, 2, without=victim)
        stop.set()
        release(holding, *(word for word, _ in held))
        results = [future.result() for _, future in held]
        assert set(results) <= {LOST, *(word for word, _ in held)}
        assert 1 <= results.count(LOST) <= by_worker[victim]
        asked = [result for future in load for result in future.result()]
        assert set(asked) <= {LOST, *server.workers, *by_worker}
        # Each of the three asks one thing at a time: what it held, and what knocked as it died.
        assert asked.count(LOST) <= 6
        assert len(asked) > asked.count(LOST)


def _keep_asking(server: Server, stop: threading.Event) -> list[Any]:
    asked = []
    while not stop.is_set():
        asked.append(ask(server, "process", word="x", connection="close"))
    return asked


def _connections(pid: int, server: Server) -> int:
    """Count the connections to the server that a process holds."""
    port = f":{server.address[1]:04X}"
    lines = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    established = {f"socket:[{line[9]}]" for line in lines if line[1].endswith(port) and line[3] == "01"}
    return len(established & {_socket_of(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()})


def _socket_of(fd: Path) -> str:
    try:
        return str(fd.readlink())
    except FileNotFoundError:  # closed meanwhile
        return ""


# The end --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_waits_for_what_is_in_flight(tmp_path: Path, pool: ThreadPoolExecutor, number: int) -> None:
    with _start(tmp_path, 2) as server:
        holding = server, tmp_path
        server_ready(server, 2)
        held = [begin(pool, holding, "holds") for _ in range(20)]
        kept = urllib3.HTTPConnectionPool(*server.address, retries=False, maxsize=1)
        assert kept.request("GET", "/ml/readyz").status == 200
        server.process.send_signal(number)
        statuses: list[int] = []
        until(lambda: statuses.append(_readiness(kept)) or statuses[-1] != 200)
        assert statuses[-1] in {503, 0}  # 0: the connection has ended, and new ones are refused
        assert server.process.poll() is None
        assert not any(future.done() for _, future in held)
        release(holding, *(word for word, _ in held))
        assert [future.result() for _, future in held] == [word for word, _ in held]
        assert server.process.wait(timeout=30) == 0


def _readiness(pool: urllib3.HTTPConnectionPool) -> int:
    try:
        return pool.request("GET", "/ml/readyz").status
    except urllib3.exceptions.HTTPError:
        return 0


def test_light_load_meets_no_failure_when_the_server_ends(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    with _start(tmp_path, 2) as server:
        server_ready(server, 2)
        stop = threading.Event()
        load = [pool.submit(_until_refused, server) for _ in range(4)]
        until(lambda: value_of(server, "demijohn_requests_total", model="plane", status="200") > 200)
        server.process.send_signal(signal.SIGTERM)
        ends = [future.result() for future in load]
        stop.set()
        # Each met good answers only, until it was told that the server ends or found it closed.
        assert {end for end, _ in ends} <= {"draining", "refused"}
        assert all(n_good > 0 for _, n_good in ends)
        assert server.process.wait(timeout=30) == 0


def _until_refused(server: Server) -> tuple[str, int]:
    """Ask on new connections until one is turned away; returns how, and how often all was well."""
    n_good = 0
    while True:
        try:
            answer = server.post("/ml/predict", ROWS, connection="close")
        except urllib3.exceptions.NewConnectionError:
            return "refused", n_good
        except urllib3.exceptions.HTTPError as error:
            return repr(error), n_good
        if answer.status == 503 and answer.json()["code"] == "draining":
            return "draining", n_good
        if answer.status != 200:
            return str(answer.status), n_good
        n_good += 1
