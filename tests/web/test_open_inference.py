"""What ``/v2`` tells of a server and its models, and the types that OpenAPI gives it."""

from __future__ import annotations

import json
import re
import time
from io import BytesIO
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sklearn.linear_model import LinearRegression, LogisticRegression
from tests.web.rig import check_problem

from demijohn import Demijohn
from demijohn.protocols import PROTOCOLS
from demijohn.web import v2_answers
from demijohn.web.inference import Later, Route, begin_route

X = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.5]])


@pytest.fixture(scope="module")
def app() -> Flask:
    app = Flask(__name__)
    models = Demijohn(app)
    models.add("plane", LinearRegression().fit(X, [1, 2, 3]), example=X)
    models.add("table", LogisticRegression().fit(pd.DataFrame(X, columns=["a", "b"]), ["x", "y", "y"]))
    models.model("shout")(lambda text: text.upper())
    return app


@pytest.fixture(scope="module")
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/ml/v2", v2_answers.V2Server),
        ("/ml/v2/health/live", v2_answers.V2Health),
        ("/ml/v2/models", v2_answers.V2ModelList),
        ("/ml/v2/models/plane", v2_answers.V2Model),
        ("/ml/v2/models/shout", v2_answers.V2Model),
        ("/ml/v2/models/plane/config", v2_answers.V2Config),
        ("/ml/v2/models/table/config", v2_answers.V2Config),
        ("/ml/v2/models/plane/ready", v2_answers.V2ModelReady),
        ("/ml/v2/models/stats", v2_answers.V2Statistics),
        ("/ml/v2/models/nobody", v2_answers.V2Error),
    ],
)
def test_no_field_of_an_answer_is_left_out(
    client: FlaskClient, path: str, kind: type[msgspec.Struct]
) -> None:
    document = client.get(path).json
    assert msgspec.to_builtins(msgspec.convert(document, kind)) == document


def test_no_field_of_a_prediction_is_left_out(client: FlaskClient) -> None:
    body = {"id": "1", "inputs": [{"name": "x", "datatype": "FP64", "shape": [1, 2], "data": [1, 2]}]}
    document = client.post("/ml/v2/models/plane/infer", data=json.dumps(body)).json
    assert msgspec.to_builtins(msgspec.convert(document, v2_answers.V2Answer)) == document


def test_a_table_takes_one_matrix_by_position(client: FlaskClient) -> None:
    body = {"inputs": [{"name": "x", "datatype": "FP64", "shape": [3, 2], "data": X.ravel().tolist()}]}
    document = client.post("/ml/v2/models/table/infer", data=json.dumps(body)).json
    assert document["outputs"][0]["shape"] == [3]


def test_a_model_of_several_inputs_has_no_raw_form(client: FlaskClient) -> None:
    headers = {"Inference-Header-Content-Length": "0"}
    answer = client.post("/ml/v2/models/table/infer", data=b"\0" * 16, headers=headers)
    assert (answer.status_code, answer.content_type) == (400, "application/json")


def test_what_a_function_returns_may_be_anything(client: FlaskClient) -> None:
    assert client.get("/ml/v2/models/shout").json["outputs"] == [
        {"name": "predict", "datatype": "BYTES", "shape": [-1]}
    ]


def not_ready() -> FlaskClient:
    app = Flask(__name__)
    models = Demijohn(app)
    models.add("plane", LinearRegression().fit(X, [1, 2, 3]))
    app.extensions["demijohn"].pool.find("plane").state = "failed"
    return app.test_client()


def test_a_server_that_is_not_ready_is_alive() -> None:
    client = not_ready()
    assert client.get("/ml/v2/health/live").json == {"live": True, "ready": False}
    answer = client.get("/ml/v2/health/ready")
    assert (answer.status_code, answer.json) == (503, {"live": True, "ready": False})
    assert answer.headers["Retry-After"] == "1"


def test_a_model_that_is_not_ready_says_so() -> None:
    client = not_ready()
    answer = client.get("/ml/v2/models/plane/ready")
    assert (answer.status_code, answer.json) == (503, {"name": "plane", "ready": False})
    (entry,) = client.post("/ml/v2/repository/index").json
    assert (entry["state"], entry["reason"]) == ("UNAVAILABLE", "the model is failed")
    assert client.post("/ml/v2/repository/index", json={"ready": True}).json == []
    assert client.post("/ml/v2/repository/index", json={"ready": False}).json == [entry]


def document(client: FlaskClient) -> dict[str, Any]:
    described: dict[str, Any] = client.get("/ml/openapi.json").json
    return described


def test_a_model_whose_values_are_any_has_no_example(client: FlaskClient) -> None:
    paths = document(client)["paths"]
    content = paths["/v2/models/plane/infer"]["post"]["requestBody"]["content"]["application/json"]
    assert content["examples"]["v2"]["value"]["inputs"][0]["datatype"] == "FP64"
    assert not {path for path in paths if "shared" in path or "load" in path}


@pytest.mark.parametrize("fast_lane", [True, False], ids=["lane", "flask"])
def test_a_client_that_reads_problems_gets_the_whole_error(fast_lane: bool) -> None:
    app = Flask(__name__)
    models = Demijohn(app, fast_lane=fast_lane)
    models.add("table", LogisticRegression().fit(pd.DataFrame(X, columns=["a", "b"]), ["x", "y", "y"]))
    inputs = [
        {"name": "a", "shape": [1], "datatype": "FP64", "data": [1.0]},
        {"name": "b", "shape": [1], "datatype": "BYTES", "data": ["2"]},
    ]
    client = app.test_client()
    answer = client.post(
        "/ml/v2/models/table/infer",
        json={"inputs": inputs},
        headers={"Accept": "*/*, application/problem+json"},
    )
    problem = check_problem(answer, 422, "signature_mismatch")
    assert [(place["row"], place["column"]) for place in problem["errors"]] == [(0, "b")]
    plain = client.post("/ml/v2/models/table/infer", json={"inputs": inputs})
    assert (plain.status_code, list(plain.get_json())) == (400, ["error"])
    counted = client.get("/ml/metrics").text
    for status in ("400", "422"):
        assert re.search(rf'demijohn_requests_total\{{[^}}]*status="{status}"[^}}]*\}} 1', counted)


@pytest.mark.parametrize("outputs", [[], [{"name": "predict"}]])
def test_the_thread_of_a_request_that_names_one_method_need_not_wait(
    app: Flask, outputs: list[dict[str, str]]
) -> None:
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}
    body = json.dumps({"inputs": [tensor], "outputs": outputs}).encode()
    environ = {"CONTENT_LENGTH": str(len(body))}
    route = Route(PROTOCOLS["open-inference"], "shout")
    begun = begin_route(app.extensions["demijohn"], route, environ, BytesIO(body), time.monotonic())
    assert isinstance(begun, Later)
    assert json.loads(begun.wait().body)["outputs"][0]["data"] == ["A"]
