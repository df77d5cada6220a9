"""What TensorFlow Serving's and KServe's clients are told of models that are not ready, and of dtypes."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from tests.web.rig import CLASSIFIER, Album
from werkzeug.test import TestResponse

from demijohn import Demijohn
from demijohn.web import tensorflow


def make_app() -> Flask:
    app = Flask(__name__)
    Demijohn(app).add_runtime("album", Album())
    return app


@pytest.mark.parametrize(
    ("state", "shown", "code"), [("loading", "LOADING", "OK"), ("failed", "END", "UNKNOWN")]
)
def test_a_model_that_is_not_ready_says_so(state: Any, shown: str, code: str) -> None:
    app = make_app()
    app.extensions["demijohn"].pool.find("album").state = state
    answer = app.test_client().get("/ml/v1/models/album")
    assert answer.status_code == 200
    assert answer.get_json()["ready"] is False
    (one,) = answer.get_json()["model_version_status"]
    assert (one["state"], one["status"]["error_code"]) == (shown, code)


def test_each_dtype_has_tensorflows_name() -> None:
    answer = make_app().test_client().get("/ml/v1/models/album/versions/0/metadata").get_json()
    inputs = answer["metadata"]["signature_def"]["signature_def"]["predict"]["inputs"]
    assert {name: one["dtype"] for name, one in inputs.items()} == {"image": "DT_UINT8", "age": "DT_FLOAT"}
    assert [dim["size"] for dim in inputs["image"]["tensor_shape"]["dim"]] == ["-1", "2", "3"]


@pytest.mark.parametrize(
    ("path", "as_ours"),
    [
        ("/V1/MODELS", "/v1/models"),
        ("/V1/Models/Album:PREDICT", "/v1/models/Album:PREDICT"),
        ("/v1/models/A/VERSIONS/1/Metadata", "/v1/models/A/versions/1/metadata"),
        ("/v1/models/A/Labels/B", "/v1/models/A/labels/B"),
        ("/v1/models/METADATA", "/v1/models/METADATA"),
        ("/Models/A", "/Models/A"),
        ("/V2/models/A", "/V2/models/A"),
        ("/V1/models/A/B/C", "/V1/models/A/B/C"),
    ],
)
def test_the_words_of_a_path_are_respelt_and_its_names_are_not(path: str, as_ours: str) -> None:
    assert tensorflow.respell(path) == as_ours


def post(client: FlaskClient, path: str, **headers: str) -> TestResponse:
    return client.post(path, json={"instances": [[1.0, 2.0, 3.0, 4.0]]}, headers=headers)


def make_iris(**settings: Any) -> FlaskClient:
    app = Flask(__name__)
    Demijohn(app, **settings).add("iris", CLASSIFIER)
    return app.test_client()


@pytest.mark.parametrize(
    "path",
    [
        "/ml/V1/Models/iris:Predict",
        "/ml/v1/MODELS/iris/Versions/1:predict",
        "/ml/V1/models/iris/versions/0:PREDICT",
    ],
)
def test_a_prediction_is_found_whatever_the_case_of_its_path(path: str) -> None:
    answer = post(make_iris(), path)
    assert (answer.status_code, answer.get_json()) == (200, {"predictions": ["virginica"]})


def test_status_and_metadata_are_found_whatever_the_case_of_their_paths() -> None:
    client = make_iris()
    assert client.get("/ml/V1/Models/iris").get_json() == client.get("/ml/v1/models/iris").get_json()
    assert client.get("/ml/v1/models/iris/METADATA").get_json()["model_spec"]["name"] == "iris"
    assert client.get("/ml/V1/MODELS").get_json() == {"models": ["iris"]}


def test_a_name_in_another_case_is_another_name() -> None:
    assert post(make_iris(), "/ml/V1/models/IRIS:predict").status_code == 404


def test_a_path_in_another_case_says_which_methods_it_takes() -> None:
    client = make_iris()
    answer = client.delete("/ml/V1/models/iris")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")
    assert client.get("/ml/V1/models/iris:predict").status_code == 405
    assert "POST" in client.options("/ml/V1/models/iris:predict").headers["Allow"]


def test_a_path_in_another_case_passes_every_check() -> None:
    client = make_iris(api_key="secret")
    path = "/ml/V1/models/iris:predict"
    assert post(client, path).status_code == 401
    assert post(client, path, Host="evil.test").status_code == 400
    assert post(client, path, **{"X-API-Key": "secret", "Origin": "http://evil.test"}).status_code == 403
    assert post(client, path, **{"X-API-Key": "secret"}).status_code == 200


def test_a_path_of_the_host_app_is_not_reached_by_another_spelling() -> None:
    app = Flask(__name__)
    Demijohn(app)
    app.add_url_rule("/ml/v1/models/iris/labels/mine", view_func=lambda: "mine")
    client = app.test_client()
    assert client.get("/ml/v1/models/iris/labels/mine").data == b"mine"
    assert client.get("/ml/V1/models/iris/labels/mine").status_code == 400


def half_plus_two(x: float) -> float:
    return x / 2 + 2


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"instances": [1.0, 2.0, 5.0]}, {"predictions": [2.5, 3.0, 4.5]}),
        ({"inputs": [1.0, 2.0, 5.0]}, {"outputs": [2.5, 3.0, 4.5]}),
        ({"inputs": {"x": [1.0, 2.0, 5.0]}}, {"outputs": [2.5, 3.0, 4.5]}),
    ],
)
def test_the_example_that_every_client_of_tensorflow_serving_knows(body: Any, answer: Any) -> None:
    app = Flask(__name__)
    Demijohn(app).add("half_plus_two", half_plus_two)
    assert app.test_client().post("/ml/v1/models/half_plus_two:predict", json=body).get_json() == answer
