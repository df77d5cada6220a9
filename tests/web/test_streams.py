"""Streamed answers through Flask, under any server."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import msgspec
import numpy as np
import pytest
from flask import Flask, Response, request
from tests.web.rig import check_problem
from werkzeug.test import EnvironBuilder

from demijohn import BadInput, Demijohn
from demijohn.errors import MethodNotFound
from demijohn.runtimes import wrap
from demijohn.web import answers
from demijohn.web.services import EXTENSION
from demijohn.web.streams import EVENTS, FORMS

LINES = next(iter(FORMS))
_closed = threading.Event()


def items(kind: str, n: int = 3) -> Iterator[Any]:
    """Yield what its name says."""
    values: dict[str, Any] = {
        "number": 1.5,
        "text": "a\nb é",
        "record": {"x": [1, None]},
        "float32": np.float32(0.1),
        "array": np.array([0.1, np.nan], dtype=np.float32),
        "nan": math.nan,
        "nan32": np.float32("inf"),
        "huge": 2**70,
        "none": None,
    }
    for _ in range(n):
        yield values[kind]


def endless(x: float) -> Iterator[float]:
    try:
        while True:
            yield x
    finally:
        _closed.set()


def picky(x: float) -> Iterator[float]:
    if x < 0:
        raise BadInput("x must not be negative")
    yield x
    raise BadInput("no more")


@pytest.fixture
def app() -> Flask:
    app = Flask("host")
    models = Demijohn(app)
    for function in (items, endless, picky):
        models.add(function.__name__, function)
    models.add("plain", lambda x: x)
    return app


def ask(app: Flask, name: str, row: Any, **headers: str) -> Any:
    return app.test_client().post(f"/ml/models/{name}/predict", json=[row], headers=headers)


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        ("number", "1.5"),
        ("text", '"a\\nb é"'),
        ("record", '{"x":[1,null]}'),
        ("float32", "0.10000000149011612"),
        ("array", "[0.10000000149011612,null]"),
        ("nan", "null"),
        ("nan32", "null"),
        ("none", "null"),
    ],
)
def test_each_item_is_one_record_of_json(app: Flask, kind: str, written: str) -> None:
    assert ask(app, "items", {"kind": kind}).text == f"{written}\n" * 3
    answer = ask(app, "items", {"kind": kind}, Accept=EVENTS)
    assert answer.text == f"data: {written}\n\n" * 3
    assert answer.mimetype == EVENTS
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert "Content-Length" not in answer.headers


def test_an_item_that_json_has_no_form_for_is_the_models_failure(app: Flask) -> None:
    problem = check_problem(ask(app, "items", {"kind": "huge"}), 500, "model_error")
    assert "cannot be written as JSON" in problem["detail"]


def test_the_last_record_tells_of_an_error(app: Flask) -> None:
    first, last = map(json.loads, ask(app, "picky", [1]).text.splitlines())
    assert first == 1.0
    problem = msgspec.convert(last["error"], answers.ProblemDetails)
    assert (problem.status, problem.code, problem.detail) == (422, "bad_input", "no more")
    event, data = ask(app, "picky", [1], Accept=EVENTS).text.split("\n\n")[1].split("\n")
    assert event == "event: error"
    assert json.loads(data.removeprefix("data: "))["detail"] == "no more"
    check_problem(ask(app, "picky", [-1]), 422, "bad_input")


def test_a_reader_that_stops_ends_the_generator_and_is_counted(app: Flask) -> None:
    _closed.clear()
    answer = ask(app, "endless", [1])
    pieces = answer.iter_encoded()
    assert next(pieces) == b"1.0\n"
    answer.close()
    assert _closed.wait(30)
    labels = 'method="predict",model="endless",status="499",version="1"'
    assert f"demijohn_requests_total{{{labels}}} 1.0" in app.test_client().get("/ml/metrics").text


def test_what_streams_is_shown(app: Flask) -> None:
    shown = app.test_client().get("/ml/models/items").get_json()
    assert msgspec.convert(shown, answers.ModelDescription).streams == ["predict"]


def test_a_drained_server_takes_no_stream(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.extensions[EXTENSION].lifecycle, "is_draining", True)
    check_problem(ask(app, "items", {"kind": "number"}), 503, "draining")


def test_hooks_of_the_app_see_a_stream(app: Flask) -> None:
    seen = []

    @app.after_request
    def look(response: Response) -> Response:
        seen.append((request.path, response.status_code, response.is_streamed))
        return response

    assert ask(app, "items", {"kind": "number"}).text == "1.5\n" * 3
    assert seen == [("/ml/models/items/predict", 200, True)]


def test_a_view_of_ones_own_may_stream(app: Flask) -> None:
    models = Demijohn()
    models.add("items", items)
    models.add("plain", lambda x: x)
    other = Flask("other")
    models.init_app(other)

    @other.post("/mine")
    def mine() -> Response:
        stream = models["items"].stream(request.get_json())
        return Response(f"<{item}>" for item in stream)

    assert other.test_client().post("/mine", json=[{"kind": "number", "n": 2}]).text == "<1.5><1.5>"
    assert models["items"].predict([{"kind": "number", "n": 2}]).tolist() == [[1.5, 1.5]]
    with pytest.raises(MethodNotFound, match="does not answer item by item"):
        models["plain"].stream([[1]])


def test_the_lane_steps_aside_for_a_model_that_streams_by_now() -> None:
    app = Flask("swapped")
    models = Demijohn(app)
    models.add("m", lambda x: x)
    environ = EnvironBuilder("/ml/models/m/predict", method="POST", json=[[1]]).get_environ()
    body = environ["wsgi.input"].getvalue()
    lane: Any = app.wsgi_app

    def answer() -> Any:
        return lane.answer_whole(dict(environ), "the same words", None, BytesIO(body), time.monotonic())

    assert [answer().wait()[0], answer().wait()[0]] == [200, 200]  # by now it knows the head
    models.put_runtime("m", wrap(picky))
    assert answer() is None
    assert ask(app, "m", [1], Accept="application/json").status_code == 422


def test_an_unknown_model_or_method_is_404_as_ever(app: Flask) -> None:
    check_problem(ask(app, "nobody", [1], Accept=EVENTS), 404, "model_not_found")
    url = "/ml/models/items/transform"
    check_problem(app.test_client().post(url, json=[[1]]), 404, "method_not_found")
