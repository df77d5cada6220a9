"""Predictions over HTTP: one view, from bytes to bytes."""

from __future__ import annotations

import gzip
import json
import re
import threading
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sklearn.datasets import load_linnerud
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import FunctionTransformer
from tests.web.rig import (
    CLASSIFIER,
    FEATURES,
    IRIS,
    NEIGHBORS,
    PROCESS,
    REGRESSION,
    Gallery,
    check_problem,
    make_client,
)

from demijohn import Demijohn
from demijohn.errors import NotAcceptable
from demijohn.protocols import arrow_columns, native
from demijohn.web.inference import choose_media_type

ROWS = IRIS[[0, 60, 120]]


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return make_client()


@pytest.mark.parametrize(
    "path", ["/ml/predict", "/ml/models/iris/predict", "/ml/models/iris/versions/1/predict"]
)
def test_the_answer_is_the_estimators_own(client: FlaskClient, path: str) -> None:
    answer = client.post(path, json={"instances": ROWS.tolist()})
    assert answer.content_type == "application/json"
    assert answer.get_json() == {
        "predictions": CLASSIFIER.predict(ROWS).tolist(),
        "model": "iris",
        "version": "1",
    }


def test_a_table_is_answered_from_records(client: FlaskClient) -> None:
    frame = FEATURES.head(3)
    answer = client.post("/ml/models/diabetes/predict", json=frame.to_dict("records")).get_json()
    np.testing.assert_allclose(answer["predictions"], REGRESSION.predict(frame), rtol=1e-12)


def test_probabilities_come_with_their_classes(client: FlaskClient) -> None:
    answer = client.post("/ml/models/iris/predict_proba", json=ROWS.tolist()).get_json()
    assert answer["predictions"] == CLASSIFIER.predict_proba(ROWS).tolist()
    assert answer["classes"] == ["setosa", "versicolor", "virginica"]


@pytest.mark.parametrize(
    "method", ["fit", "set_params", "get_params", "__class__", "__reduce__", "_private", "coef_", "score"]
)
def test_a_method_that_is_no_prediction_is_404_with_those_there_are(client: FlaskClient, method: str) -> None:
    problem = check_problem(
        client.post(f"/ml/models/iris/{method}", json=ROWS.tolist()), 404, "method_not_found"
    )
    assert "predict, predict_proba" in problem["detail"]


def test_a_method_may_take_inputs_of_its_own() -> None:
    app = Flask(__name__)
    Demijohn(app).add_runtime("gallery", Gallery())
    client = app.test_client()
    assert client.post("/ml/models/gallery/find", json=["a rose", "x"]).json["predictions"] == [6, 1]
    refused = check_problem(client.post("/ml/models/gallery/find", json=[1]), 422, "signature_mismatch")
    assert refused["errors"] == [{"row": 0, "column": None, "expected": "str", "received": "1"}]
    (other,) = client.get("/ml/models/gallery").json["signature"]["others"].items()
    assert other == (
        "find",
        {
            "layout": "vector",
            "inputs": [
                {"name": "title", "dtype": "str", "shape": [-1], "nullable": False, "categories": None}
            ],
            "example": {"instances": ["a rose", "a lily"]},
        },
    )


def test_parameters_are_arguments_of_the_method(client: FlaskClient) -> None:
    body = {"instances": ROWS.tolist(), "params": {"n_neighbors": 2}}
    distances, indices = NEIGHBORS.kneighbors(ROWS, n_neighbors=2)
    predictions = client.post("/ml/models/neighbors/kneighbors", json=body).get_json()["predictions"]
    assert [row["indices"] for row in predictions] == indices.tolist()
    assert [row["distances"] for row in predictions] == distances.tolist()
    body["params"] = {"return_std": True}
    mean, std = PROCESS.predict(ROWS, return_std=True)
    predictions = client.post("/ml/models/process/predict", json=body).get_json()["predictions"]
    assert [[row["mean"], row["std"]] for row in predictions] == np.column_stack([mean, std]).tolist()


def test_an_unknown_parameter_is_422_with_those_there_are(client: FlaskClient) -> None:
    body = {"instances": ROWS.tolist(), "params": {"colour": "red"}}
    problem = check_problem(client.post("/ml/models/process/predict", json=body), 422, "parameter_mismatch")
    assert "return_std" in problem["detail"]


@pytest.mark.parametrize("value", [-1, 10**9, "many", None, [1], 1.5])
def test_a_value_that_the_method_refuses_is_422(client: FlaskClient, value: Any) -> None:
    body = {"instances": ROWS.tolist(), "params": {"n_neighbors": value}}
    answer = client.post("/ml/models/neighbors/kneighbors", json=body)
    assert answer.status_code == (200 if value is None else 422), answer.data


def test_rows_that_do_not_fit_are_422_with_their_places(client: FlaskClient) -> None:
    rows: list[Any] = ROWS.tolist()
    rows[1][2] = "red"
    rows[2].append(1.0)
    problem = check_problem(client.post("/ml/predict", json=rows), 422, "signature_mismatch")
    assert problem["errors"] == [
        {"row": 1, "column": 2, "expected": "float64", "received": 'the string "red"'},
        {"row": 2, "column": None, "expected": "4 values", "received": "5 values"},
    ]


def test_at_most_twenty_problems_are_told(client: FlaskClient) -> None:
    problem = check_problem(client.post("/ml/predict", json=[["x"] * 4] * 20), 422, "signature_mismatch")
    assert len(problem["errors"]) == 20


def test_a_missing_value_is_refused_where_the_model_takes_none(client: FlaskClient) -> None:
    problem = check_problem(
        client.post("/ml/predict", json=[[1.0, 2.0, 3.0, None]]), 422, "signature_mismatch"
    )
    assert problem["errors"][0]["received"] == "null"


def test_several_outputs_of_a_classifier_are_a_record_per_row() -> None:
    exercise, body = load_linnerud(return_X_y=True)
    targets = np.column_stack([body[:, 0] > 175, np.where(body[:, 1] > 35, "wide", "slim")]).astype(object)
    targets[:, 0] = np.where(targets[:, 0].astype(str) == "True", "heavy", "light")
    forest = RandomForestClassifier(5, random_state=0).fit(exercise, targets.astype(str))
    app = Flask("host")
    Demijohn(app).add("forest", forest)
    answer = app.test_client().post("/ml/models/forest/predict_proba", json=exercise[:2].tolist()).get_json()
    first, second = forest.predict_proba(exercise[:2])
    assert answer["predictions"] == [
        {"output_0": a, "output_1": b} for a, b in zip(first.tolist(), second.tolist(), strict=True)
    ]
    assert answer["classes"] == [["heavy", "light"], ["slim", "wide"]]
    labels = app.test_client().post("/ml/models/forest/predict", json=exercise[:2].tolist()).get_json()
    assert labels["predictions"] == forest.predict(exercise[:2]).tolist()


def _logarithm(X: Any) -> Any:  # noqa: N803
    with np.errstate(divide="ignore"):
        return np.log(X)


def test_predictions_that_are_not_finite_are_null_and_counted() -> None:
    app = Flask("host")
    Demijohn(app).add("log", FunctionTransformer(_logarithm, validate=True).fit(np.ones((2, 2))))
    client = app.test_client()
    answer = client.post("/ml/models/log/transform", json=[[1.0, 0.0], [1.0, 1.0]])
    assert json.loads(answer.data, parse_constant=pytest.fail)["predictions"] == [[0.0, None], [0.0, 0.0]]
    metrics = client.get("/ml/metrics").text
    assert re.search(r'^demijohn_\w*nonfinite\w*\{[^}]*model="log"[^}]*\} 1(\.0)?$', metrics, re.MULTILINE), (
        metrics
    )


def test_every_request_is_counted_by_its_status_and_a_strange_method_by_none(client: FlaskClient) -> None:
    client.post("/ml/models/iris/surprise", json=ROWS.tolist())
    client.post("/ml/models/iris/predict", data="[")
    metrics = client.get("/ml/metrics").text
    assert "surprise" not in metrics
    for status in (404, 400):
        assert re.search(
            rf'^demijohn_\w*requests\w*\{{[^}}]*model="iris"[^}}]*status="{status}"', metrics, re.MULTILINE
        )


@pytest.mark.parametrize(
    ("x", "status", "code", "detail"),
    [
        (-1, 422, "bad_input", "x must not be negative"),
        (101, 500, "model_error", "The model failed with RuntimeError"),
    ],
)
def test_a_function_refuses_with_its_own_words_and_fails_without(
    client: FlaskClient, x: float, status: int, code: str, detail: str
) -> None:
    answer = client.post("/ml/models/picky/predict", json=[{"x": x}])
    assert check_problem(answer, status, code)["detail"] == detail
    assert b"secret" not in answer.data


def test_a_model_that_refuses_rows_says_why_without_paths() -> None:
    def refuse(X: Any) -> Any:  # noqa: N803
        raise ValueError("Input X, of /srv/models/a.joblib, contains infinity\nFile '/srv/x.py', line 3")

    app = Flask("host")
    Demijohn(app).add("refuser", FunctionTransformer(refuse).fit(np.ones((2, 1))))
    answer = app.test_client().post("/ml/models/refuser/transform", json=[[1.0]])
    assert check_problem(answer, 422, "model_refused")["detail"] == "Input X, of …, contains infinity"


def test_an_answer_that_cannot_be_written_is_the_models_failure() -> None:
    app = Flask("host")
    models = Demijohn(app)

    @models.model("strange")
    def strange(x: float) -> Any:
        return object() if x else 2**70

    client = app.test_client()
    for x in (0, 1):
        check_problem(client.post("/ml/models/strange/predict", json=[{"x": x}]), 500, "model_error")


# Forms ------------------------------------------------------------------------------------


def test_a_csv_body_and_a_csv_answer(client: FlaskClient) -> None:
    body = "a,b,c,d\n" + "\n".join(",".join(map(str, row)) for row in ROWS.tolist())
    answer = client.post("/ml/predict", data=body, content_type="text/csv", headers={"Accept": "text/csv"})
    assert answer.content_type == "text/csv; charset=utf-8"
    assert answer.text.split() == ["predict", *CLASSIFIER.predict(ROWS)]


def test_a_compressed_body_is_read(client: FlaskClient) -> None:
    body = gzip.compress(json.dumps(ROWS.tolist()).encode())
    answer = client.post("/ml/predict", data=body, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 200


def test_a_bomb_is_413() -> None:
    client = make_client(max_body_bytes=10_000)
    body = gzip.compress(b"[" + b" " * 10_000 + b"]")
    assert len(body) < 100
    check_problem(
        client.post("/ml/predict", data=body, headers={"Content-Encoding": "gzip"}), 413, "body_too_large"
    )


def test_more_values_than_the_limit_are_413() -> None:
    client = make_client(max_elements=12)
    assert client.post("/ml/predict", json=ROWS.tolist()).status_code == 200
    check_problem(client.post("/ml/predict", json=[*ROWS.tolist(), 1]), 413, "body_too_large")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("application/*;q=0.1, text/csv", "text/csv"),
        ("text/*", "text/csv"),
        ("text/html, */*;q=0.1", "application/json"),
        ("application/json;q=0, */*", "text/csv"),
        ("application/json; charset=utf-8", "application/json"),
        ("application/json;q=0.1, text/csv; header=present", "text/csv"),
        ("application/json;charset=utf-8;q=0, */*", "text/csv"),
    ],
)
def test_accept_chooses_the_form(accept: str, chosen: str) -> None:
    assert choose_media_type(accept, native.ANSWERS) == chosen


def test_a_form_that_needs_an_extra_is_passed_over_or_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow_columns, "is_available", lambda: False)
    assert choose_media_type(f"{native.ARROW}, text/csv;q=0.1", native.ANSWERS) == "text/csv"
    with pytest.raises(NotAcceptable, match=r"needs pyarrow.*demijohn\[arrow\]"):
        choose_media_type(native.PARQUET, native.ANSWERS)


@pytest.mark.parametrize("accept", ["image/png", "text/csv;q=0", "nonsense", "application/problem+json"])
def test_a_form_that_is_not_written_is_refused(client: FlaskClient, accept: str) -> None:
    with pytest.raises(NotAcceptable):
        choose_media_type(accept, native.ANSWERS)
    check_problem(
        client.post("/ml/predict", json=ROWS.tolist(), headers={"Accept": accept}), 406, "not_acceptable"
    )


# Too late, too much -----------------------------------------------------------------------


class Held:
    """A model that runs until it is let go."""

    def __init__(self, **settings: Any) -> None:
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.app = Flask("host")
        models = Demijohn(self.app, **settings)

        @models.model("slow")
        def slow(x: float) -> float:
            self.entered.set()
            self.go_on.wait(30)
            return x

    def ask(self) -> Any:
        return self.app.test_client().post("/ml/models/slow/predict", json=[{"x": 1.0}])


def test_a_prediction_that_takes_too_long_is_504() -> None:
    held = Held(deadline_s=0.05)
    try:
        check_problem(held.ask(), 504, "deadline_exceeded")
    finally:
        held.go_on.set()


def test_a_full_queue_is_503_and_says_when_to_come_back() -> None:
    held = Held(max_queue_rows=1, max_queue_s=1_000)
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(held.ask().status_code)) for _ in range(2)]
    pool = held.app.extensions["demijohn"].pool
    try:
        threads[0].start()
        assert held.entered.wait(10)
        threads[1].start()
        while not pool.find("slow").batcher.queue_rows:
            threads[1].join(0.001)
        answer = held.ask()
        check_problem(answer, 503, "queue_full")
        assert int(answer.headers["Retry-After"]) >= 1
    finally:
        held.go_on.set()
        for thread in threads:
            thread.join(10)
    assert answers == [200, 200]


def test_a_server_that_drains_takes_nothing_new(monkeypatch: pytest.MonkeyPatch) -> None:
    client = make_client()
    monkeypatch.setattr(client.application.extensions["demijohn"].lifecycle, "is_draining", True)
    answer = client.post("/ml/predict", json=ROWS.tolist())
    check_problem(answer, 503, "draining")
    assert answer.headers["Retry-After"]
    assert answer.headers["Connection"] == "close"


def test_a_model_that_is_not_ready_is_503() -> None:
    client = make_client()
    client.application.extensions["demijohn"].pool.find("iris").state = "loading"
    answer = client.post("/ml/models/iris/predict", json=ROWS.tolist())
    check_problem(answer, 503, "not_ready")
    assert answer.headers["Retry-After"]


def test_the_first_request_has_the_models_proved() -> None:
    app = Flask("host")
    proved = threading.Event()

    def take(X: Any) -> Any:  # noqa: N803
        if len(X) > 1:
            proved.set()
        return X

    Demijohn(app).add("taker", FunctionTransformer(take).fit(np.ones((1, 2))))
    assert not proved.is_set()
    assert app.test_client().post("/ml/predict/nowhere", json=[]).status_code == 404
    assert app.test_client().post("/ml/models/taker/transform", json=[[1.0, 2.0]]).status_code == 200
    assert proved.wait(10)


def test_a_regression_is_the_default_where_it_is_the_only_model() -> None:
    app = Flask("host")
    models = Demijohn(app)
    client = app.test_client()
    check_problem(client.post("/ml/predict", json=[[1.0]]), 404, "model_not_found")
    models.add("line", LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0]))
    assert client.post("/ml/predict", json=[[1.0]]).get_json()["model"] == "line"
    models.add("other", LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0]))
    problem = check_problem(client.post("/ml/predict", json=[[1.0]]), 404, "model_not_found")
    assert "line, other" in problem["detail"]
