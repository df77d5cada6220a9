"""Bodies that are scored while they come, through Flask, under any server."""

from __future__ import annotations

import gc
import io
import json
import time
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from flask import Flask
from tests.web.rig import FEATURES, REGRESSION, check_problem, make_client, make_models

from demijohn import Demijohn
from demijohn.config import Settings
from demijohn.errors import QueueFull
from demijohn.lifecycle import Lifecycle
from demijohn.protocols import PROTOCOLS, native
from demijohn.web import row_streams
from demijohn.web.bodies import read_pieces
from demijohn.web.row_forms import is_asked
from demijohn.web.services import EXTENSION

LINES = "application/x-ndjson"
FORMS = {"Content-Type": "text/csv; header=absent", "Accept": LINES}
LIMIT = 1_000
ROW = b"1.5\n"


class Clock:
    """Stands for the ``time`` that the room reads."""

    def __init__(self) -> None:
        self.now = time.monotonic()  # the queue reads deadlines on the real one
        self.slept = 0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(row_streams, "time", clock)
    return clock


@pytest.fixture
def heights() -> list[int]:
    """Rows of each call of the model."""
    return []


@pytest.fixture
def app(clock: Clock, heights: list[int]) -> Flask:
    """An app whose model takes 10 ms for each row, on the given clock."""
    app = Flask("host")
    app.config |= {"DEMIJOHN_MAX_BODY_BYTES": LIMIT, "DEMIJOHN_MAX_BATCH_SIZE": 8, "DEMIJOHN_BATCHING": False}
    models = Demijohn(app)

    @models.model("slow", batch=True, example=[[0.0]])
    def slow(rows: np.ndarray[Any, Any]) -> Any:
        heights.append(len(rows))
        clock.now += 0.01 * len(rows)
        return rows.sum(axis=1)

    @models.model("words")
    def words(text: str) -> Iterator[str]:
        yield from text.split()

    return app


def put(app: Flask, body: bytes | io.BytesIO, path: str = "/ml/models/slow/predict", **headers: str) -> Any:
    if isinstance(body, bytes):
        body = io.BytesIO(body)
    length = len(body.getvalue())
    return app.test_client().put(path, input_stream=body, content_length=length, headers={**FORMS, **headers})


def test_a_slow_model_gets_fewer_rows_at_a_time(app: Flask, heights: list[int]) -> None:
    answer = put(app, ROW * 1_000)
    assert answer.get_data() == ROW * 1_000
    assert heights[0] == LIMIT // len(ROW)
    assert set(heights[1:]) == {25}  # a quarter of a second each


def test_room_in_the_queue_is_waited_for_once_the_answer_has_begun(
    app: Flask, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = app.extensions[EXTENSION].find("slow")
    answer, n_calls = predictor.answer, 0

    def busy(*arguments: Any) -> Any:
        nonlocal n_calls
        n_calls += 1
        if n_calls in refused:
            raise QueueFull("busy")
        return answer(*arguments)

    monkeypatch.setattr(predictor, "answer", busy)
    refused = {2, 3, 5}
    assert put(app, ROW * 1_000).get_data() == ROW * 1_000
    assert clock.slept == 3
    n_calls, refused = 0, {1}
    check_problem(put(app, ROW * 1_000), 503, "queue_full")
    n_calls, refused = 0, set(range(2, 10_000))
    *rows, last = put(app, ROW * 1_000).get_data().splitlines()
    assert len(rows) == LIMIT // len(ROW)
    assert json.loads(last)["error"]["code"] == "queue_full"


def test_a_drained_server_finishes_within_the_deadline_and_takes_no_more(
    app: Flask, clock: Clock, heights: list[int]
) -> None:
    lifecycle = app.extensions[EXTENSION].lifecycle
    assert isinstance(lifecycle, Lifecycle)

    class Body(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if heights and not lifecycle.is_draining:
                lifecycle.is_draining, lifecycle.draining_since = True, clock.now
            return super().read(size)

    try:
        *rows, last = put(app, Body(ROW * 10_000)).get_data().splitlines()
        assert json.loads(last)["error"]["code"] == "draining"
        assert 2_900 < len(rows) < 3_300  # 30 s
        check_problem(put(app, ROW * 1_000), 503, "draining")
    finally:
        lifecycle.is_draining, lifecycle.draining_since = False, float("inf")


def test_the_rest_of_a_body_is_read_for_a_while_after_an_error(app: Flask, clock: Clock) -> None:
    class Body(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            clock.now += 0.001
            return super().read(size)

    body = Body(ROW * 1_000 + b"x\n" + ROW * 2_000)
    *_, last = put(app, body).get_data().splitlines()
    assert json.loads(last)["error"]["errors"][0]["row"] == 1_000
    assert body.read() == b""
    body = Body(ROW * 1_000 + b"x\n" + ROW * 2_000_000)
    put(app, body).get_data()
    assert 0 < len(body.read()) < 8_000_000 - 1_000 * LIMIT


def test_a_body_that_could_not_be_read_on_is_let_go_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[weakref.ref[Iterator[bytes]]] = []

    def noted(*arguments: Any) -> Iterator[bytes]:
        pieces = read_pieces(*arguments)
        read.append(weakref.ref(pieces))
        return pieces

    monkeypatch.setattr(row_streams, "read_pieces", noted)
    app = Flask("host")
    make_models(app, max_body_bytes=LIMIT)
    gc.disable()  # what is let go at once needs no collector
    try:
        last = put(app, ROW * 1_000 + b"x\n", "/ml/models/picky/predict").get_data().splitlines()[-1]
        assert json.loads(last)["error"]["errors"][0]["row"] == 1_000
        assert [pieces() for pieces in read] == [None]
    finally:
        gc.enable()


def test_a_body_that_ends_early_is_told(app: Flask) -> None:
    answer = app.test_client().put(
        "/ml/models/slow/predict",
        input_stream=io.BytesIO(ROW * 1_000),
        environ_overrides={"CONTENT_LENGTH": "5000"},
        headers=FORMS,
    )
    *_, last = answer.get_data().splitlines()
    assert json.loads(last)["error"]["detail"] == "The body ended before its Content-Length"


def test_items_of_a_generator_are_no_rows(app: Flask) -> None:
    path, typed = "/ml/models/words/predict", {"Content-Type": "text/csv"}
    assert put(app, b"text\na b\n", path, **typed).get_data() == b'"a"\n"b"\n'
    check_problem(put(app, b"text\n" + b"a b\n" * LIMIT, path, **typed), 413, "body_too_large")


def test_a_model_is_asked_once_whether_its_rows_stand_alone() -> None:
    client = make_client(max_body_bytes=LIMIT, batching=False)
    predictor = client.application.extensions[EXTENSION].find("diabetes")
    assert predictor.why_together("predict") is None
    text = "\n".join(",".join(map(repr, row)) for row in FEATURES.to_numpy().tolist())
    answer = client.put("/ml/models/diabetes/predict", data=text, headers=FORMS)
    found = [json.loads(line) for line in answer.get_data().splitlines()]
    np.testing.assert_allclose(found, REGRESSION.predict(FEATURES), rtol=1e-9)


def test_the_head_says_whether_a_body_is_scored_while_it_comes() -> None:
    limit = Settings().max_body_bytes

    def asked(protocol: str = "native", **environ: str) -> bool:
        given = {"CONTENT_TYPE": "text/csv", "HTTP_ACCEPT": LINES, **environ}
        return is_asked(PROTOCOLS[protocol], given, limit)

    assert asked()
    assert asked(CONTENT_LENGTH=str(limit + 1))
    assert asked(CONTENT_LENGTH="9" * 5_000)
    assert asked(CONTENT_LENGTH="10", HTTP_CONTENT_ENCODING="gzip")
    assert asked(HTTP_ACCEPT="application/json;q=0.5, text/csv")
    assert asked(CONTENT_TYPE="application/jsonl; charset=utf-8")
    assert not asked(CONTENT_LENGTH=str(limit))
    assert not asked("mlflow")
    assert not asked(CONTENT_TYPE="application/json")
    for accept in ("", "*/*", "text/csv;q=0.1, application/json", "image/png"):
        assert not asked(HTTP_ACCEPT=accept)
    assert set(native.STREAMED) < set(native.ANSWERS) & set(native.BODIES)
