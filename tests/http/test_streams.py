"""Functions that answer item by item, through real servers: with the lane and without it."""

from __future__ import annotations

import http.client
import json
import signal
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest
import urllib3
from tests.http.claims import check_problem
from tests.http.conftest import ROOT
from tests.http.test_metrics_over_http import value
from tests.servers import Server, serving, until

LINES = "application/x-ndjson"
EVENTS = "text/event-stream"
DEADLINE_S = 2.0

Holding = tuple[Server, Path]


@pytest.fixture(scope="module")
def holding(fast_lane: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Holding]:
    path = tmp_path_factory.mktemp("holding")
    environ = {"HOLDING": str(path), "DEMIJOHN_FAST_LANE": fast_lane, "DEMIJOHN_DEADLINE_S": str(DEADLINE_S)}
    with _serve(**environ) as server:
        yield server, path


@pytest.fixture
def server(holding: Holding) -> Server:
    return holding[0]


def ask(server: Server, model: str, *records: Any, **headers: str) -> Any:
    return server.post(f"/ml/models/{model}/predict", list(records), **headers)


def counted(server: Server, name: str, **labels: str) -> float:
    return value(server, name, prefix="/ml", **labels)


def lines(answer: Any) -> list[Any]:
    assert answer.data == b"" or answer.data.endswith(b"\n")
    return [json.loads(line) for line in answer.data.splitlines()]


def read_events(data: bytes) -> list[tuple[str, Any]]:
    """Read server-sent events as a browser does."""
    assert data.endswith(b"\n\n")
    found = []
    for block in data.decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((fields.get("event", "message"), json.loads(fields["data"])))
    return found


class Begun:
    """A stream of ``hold`` under way, whose items come when they are let go."""

    def __init__(self, holding: Holding, model: str = "hold", n: int = 3, accept: str = LINES) -> None:
        server, self.path = holding
        self.word = uuid.uuid4().hex
        self.connection = http.client.HTTPConnection(*server.address, timeout=30)
        body = json.dumps([{"word": self.word, "n": n}])
        headers = {"Content-Type": "application/json", "Accept": accept}
        self.connection.request("POST", f"/ml/models/{model}/predict", body, headers)
        self.response: http.client.HTTPResponse | None = None
        until((self.path / f"{self.word}.begun").exists)

    def __enter__(self) -> Begun:
        return self

    def __exit__(self, *_: object) -> None:
        if self.response is not None:
            self.response.close()
        self.connection.close()

    def let_go(self, number: int) -> None:
        (self.path / f"{self.word}.{number}").touch()

    def answer(self) -> http.client.HTTPResponse:
        self.response = self.connection.getresponse()
        return self.response

    def leave(self) -> None:
        self.__exit__()

    @property
    def is_closed(self) -> bool:
        return (self.path / f"{self.word}.closed").exists()


# What is answered ----------------------------------------------------------------------------


@pytest.mark.parametrize("accept", [None, "*/*", LINES, "application/jsonl", "application/*", "*/*;q=0.1"])
def test_a_generator_is_answered_in_json_lines(server: Server, accept: str | None) -> None:
    given = {} if accept is None else {"accept": accept}
    answer = ask(server, "words", {"text": "to be or"}, **given)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == ("application/jsonl" if accept == "application/jsonl" else LINES)
    assert answer.data == b'"to"\n"be"\n"or"\n'
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert answer.headers["X-Request-Id"]
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_generator_is_answered_in_events(server: Server) -> None:
    answer = ask(server, "ticks", {"n": 2}, accept=EVENTS)
    assert answer.headers["Content-Type"].partition(";")[0] == EVENTS
    assert answer.data == b'data: {"tick":0}\n\ndata: {"tick":1}\n\n'


def test_rows_are_answered_one_after_another(server: Server) -> None:
    assert lines(ask(server, "words", {"text": "a b"}, {"text": "c"})) == ["a", "b", "c"]
    assert lines(server.post("/ml/models/rows/predict", [[1, 2], [3, 4]])) == [3.0, 7.0]


def test_no_items_are_an_empty_body(server: Server) -> None:
    answer = ask(server, "numbers", {"n": 0})
    assert (answer.status, answer.data) == (200, b"")


def test_what_is_not_finite_is_null_and_counted(server: Server) -> None:
    def nonfinite() -> float:
        return counted(server, "demijohn_nonfinite_predictions_total", model="numbers")

    before = nonfinite()
    assert lines(ask(server, "numbers", {"n": 5})) == [0, 1, 2, None, 4]
    assert nonfinite() == before + 1


def test_json_and_csv_are_whole_answers(server: Server) -> None:
    answer = ask(server, "words", {"text": "a b"}, {"text": "c"}, accept="application/json")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["predictions"] == [["a", "b"], ["c"]]
    rows = server.post(
        "/ml/models/rows/predict", [[1, 2], [3, 4]], accept="application/json;q=0.9, text/csv;q=0.1"
    )
    assert rows.json()["predictions"] == [3.0, 7.0]
    assert ask(server, "ticks", {"n": 2}, accept="application/json").json()["predictions"] == [
        [{"tick": 0}, {"tick": 1}]
    ]
    assert (
        ask(server, "words", {"text": "a"}, accept="text/csv").headers["Content-Type"].startswith("text/csv")
    )


def test_a_form_that_is_not_written_is_406_with_those_that_are(server: Server) -> None:
    problem = check_problem(ask(server, "words", {"text": "a"}, accept="image/png"), 406, "not_acceptable")
    assert LINES in problem["detail"]
    assert EVENTS in problem["detail"]
    check_problem(ask(server, "whole", {"x": 1}, accept=EVENTS), 406, "not_acceptable")


def test_a_model_shows_that_it_streams(server: Server) -> None:
    assert server.get("/ml/models/words").json()["streams"] == ["predict"]
    assert server.get("/ml/models/whole").json()["streams"] == []
    paths = server.get("/ml/openapi.json").json()
    described = {
        name: paths["components"]["responses"][
            paths["paths"][f"/models/{name}/predict"]["post"]["responses"]["200"]["$ref"].rpartition("/")[2]
        ]["content"].keys()
        for name in ("words", "whole")
    }
    assert described["words"] >= {LINES, "application/jsonl", EVENTS, "application/json"}
    assert EVENTS not in described["whole"]


# What goes wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize("accept", [LINES, EVENTS])
def test_an_error_before_the_first_item_is_an_ordinary_one(server: Server, accept: str) -> None:
    problem = check_problem(ask(server, "words", {"text": ""}, accept=accept), 422, "bad_input")
    assert problem["detail"] == "there is nothing to say"
    problem = check_problem(ask(server, "broken", {"n": 0}, accept=accept), 500, "model_error")
    assert "secret" not in json.dumps(problem)
    check_problem(ask(server, "odd", {"n": 0}, accept=accept), 500, "model_error")
    check_problem(ask(server, "words", {"txt": ""}, accept=accept), 422, "signature_mismatch")
    check_problem(ask(server, "words", accept=accept), 422, "signature_mismatch")
    check_problem(server.post("/ml/models/words/predict", b"{", accept=accept), 400, "unreadable_body")
    check_problem(server.post("/ml/models/words/transform", b"{", accept=accept), 404, "method_not_found")
    typed = {"content_type": "text/plain"}
    check_problem(
        server.post("/ml/models/words/predict", b"{", accept=accept, **typed), 415, "unsupported_media_type"
    )


def test_an_error_after_the_first_item_is_the_last_record(server: Server) -> None:
    answer = ask(server, "numbers", {"n": 9}, x_request_id="mine")
    *items, last = lines(answer)
    assert (answer.status, items) == (200, [0, 1, 2, None, 4])
    problem = last["error"]
    assert (problem["status"], problem["code"], problem["detail"]) == (422, "bad_input", "five is enough")
    assert problem["request_id"] == "mine" == answer.headers["X-Request-Id"]
    for model, n in (("broken", 2), ("odd", 1)):
        events = read_events(ask(server, model, {"n": n}, accept=EVENTS).data)
        assert [kind for kind, _ in events] == ["message"] * n + ["error"]
        assert (events[-1][1]["status"], events[-1][1]["code"]) == (500, "model_error")
        assert "secret" not in json.dumps(events)


def test_each_stream_is_counted_once_by_how_it_ended(server: Server) -> None:
    def counts() -> dict[str, float]:
        return {
            status: counted(server, "demijohn_requests_total", model="numbers", status=status)
            for status in ("200", "422")
        } | {"calls": counted(server, "demijohn_inference_duration_seconds_count", model="numbers")}

    before = counts()
    ask(server, "numbers", {"n": 2})
    ask(server, "numbers", {"n": 9})
    until(lambda: counts()["422"] == before["422"] + 1)
    assert counts() == {"200": before["200"] + 1, "422": before["422"] + 1, "calls": before["calls"] + 2}


# Time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["hold", "holds"])
@pytest.mark.parametrize("accept", [LINES, EVENTS])
def test_items_arrive_while_others_are_still_made(holding: Holding, model: str, accept: str) -> None:
    with Begun(holding, model, 3, accept) as begun:
        begun.let_go(0)
        answer = begun.answer()  # its head comes with the first item
        prefix = b"" if accept == LINES else b"data: "
        assert answer.readline() == prefix + b"0\n"
        assert not begun.is_closed
        begun.let_go(1)
        begun.let_go(2)
        assert answer.read().split() == (b"1 2" if accept == LINES else b"data: 1 data: 2").split()
        assert begun.is_closed


@pytest.mark.parametrize("model", ["hold", "holds"])
def test_a_client_that_goes_away_ends_the_generator(holding: Holding, model: str) -> None:
    with Begun(holding, model, 100) as begun:
        begun.let_go(0)
        assert begun.answer().readline() == b"0\n"
        begun.leave()
        gone = iter(range(1, 100))
        until(lambda: begun.let_go(next(gone)) or begun.is_closed)
        server, _ = holding
        until(lambda: counted(server, "demijohn_requests_total", model=model, status="499"))
        assert lines(ask(server, "words", {"text": "still here"})) == ["still", "here"]


def test_an_endless_generator_ends_with_its_client(holding: Holding) -> None:
    server, path = holding
    word = uuid.uuid4().hex
    with closing(http.client.HTTPConnection(*server.address, timeout=30)) as connection:
        body = json.dumps([{"word": word}])
        connection.request("POST", "/ml/models/flood/predict", body, {"Content-Type": "application/json"})
        with connection.getresponse() as answer:
            assert len(answer.readline()) > 10_000
    until((path / f"{word}.closed").exists)


def test_a_model_is_taken_until_its_stream_has_ended(holding: Holding) -> None:
    server, _ = holding
    with Begun(holding) as begun:
        begun.let_go(0)
        answer = begun.answer()
        assert answer.readline() == b"0\n"
        refused = ask(server, "hold", {"word": "second", "n": 1}, accept=LINES)
        check_problem(refused, 503, "queue_full")
        begun.let_go(1)
        begun.let_go(2)
        answer.read()


def test_a_first_item_that_takes_too_long_is_504_and_a_later_one_ends_the_stream(holding: Holding) -> None:
    """The generator hangs then, so its worker is replaced."""
    server, _ = holding
    for n_before in (0, 1):
        workers = server.workers
        with Begun(holding) as begun:
            if n_before:
                begun.let_go(0)
            answer = begun.answer()
            if n_before:
                assert answer.readline() == b"0\n"
                problem = json.loads(answer.read())["error"]
                assert (problem["status"], problem["code"]) == (504, "deadline_exceeded")
            else:
                assert answer.status == 504
                assert json.loads(answer.read())["code"] == "deadline_exceeded"
            until(lambda workers=workers: len(server.workers) == 1 and server.workers != workers)
            until(lambda: _is_up(server))


# The end -------------------------------------------------------------------------------------


def test_sigterm_lets_a_stream_finish(fast_lane: str, tmp_path: Path) -> None:
    environ = {"HOLDING": str(tmp_path), "DEMIJOHN_FAST_LANE": fast_lane, "DEMIJOHN_DEADLINE_S": "20"}
    with _serve(**environ) as server, Begun((server, tmp_path), accept=EVENTS) as begun:
        begun.let_go(0)
        answer = begun.answer()
        assert answer.readline() == b"data: 0\n"
        server.process.send_signal(signal.SIGTERM)
        until(lambda: _is_refused(server))
        begun.let_go(1)
        begun.let_go(2)
        assert answer.read() == b"\ndata: 1\n\ndata: 2\n\n"
        assert server.process.wait(timeout=30) == 0


def test_a_stream_that_outlasts_the_deadline_of_a_drain_is_told(fast_lane: str, tmp_path: Path) -> None:
    environ = {"HOLDING": str(tmp_path), "DEMIJOHN_FAST_LANE": fast_lane, "DEMIJOHN_DEADLINE_S": "2"}
    with _serve(**environ) as server, Begun((server, tmp_path), n=10_000) as begun:
        for number in range(10):
            begun.let_go(number)
        answer = begun.answer()
        server.process.send_signal(signal.SIGTERM)
        until(lambda: _is_refused(server))
        last = b""
        for number in range(10, 10_000):
            begun.let_go(number)
            line = answer.readline()
            if not line:
                break
            last = line
        problem = json.loads(last)["error"]
        assert (problem["status"], problem["code"]) == (503, "draining")
        assert server.process.wait(timeout=30) == 0


def _serve(**environ: str) -> AbstractContextManager[Server]:
    return serving(["tests.http.streams_app:app"], "--workers", "1", cwd=ROOT, **environ)


def _is_up(server: Server) -> bool:
    try:
        return server.get("/ml/readyz", connection="close").status == 200
    except urllib3.exceptions.HTTPError:
        return False


def _is_refused(server: Server) -> bool:
    try:
        return server.get("/ml/readyz", connection="close").status == 503
    except urllib3.exceptions.HTTPError:
        return True
