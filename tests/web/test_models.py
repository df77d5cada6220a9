"""``GET /models`` and ``GET /models/{name}``."""

from __future__ import annotations

import msgspec
import pytest
from flask import Flask
from flask.testing import FlaskClient
from tests.accelerated import Line, offer, regression
from tests.model_files import monthly
from tests.servers import until
from tests.web.rig import CLASSIFIER, REGRESSION, check_problem, make_client

from demijohn import Demijohn
from demijohn.web import answers

NAMES = ["iris", "diabetes", "neighbors", "process", "picky"]


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return make_client()


def test_the_models_are_listed_in_the_order_in_which_they_were_added(client: FlaskClient) -> None:
    document = client.get("/ml/models").get_json()
    assert [model["name"] for model in document["models"]] == NAMES
    assert document["models"][0] == {
        "name": "iris",
        "version": "1",
        "state": "ready",
        "methods": ["predict", "predict_proba", "predict_log_proba", "decision_function"],
    }
    msgspec.convert(document, answers.ModelList, strict=True)


def test_without_models_the_list_is_empty() -> None:
    app = Flask("host")
    Demijohn(app)
    assert app.test_client().get("/ml/models").get_json() == {"models": []}


@pytest.mark.parametrize("name", NAMES)
def test_a_description_is_of_its_type_and_its_example_works(client: FlaskClient, name: str) -> None:
    document = client.get(f"/ml/models/{name}").get_json()
    described = msgspec.convert(document, answers.ModelDescription, strict=True)
    assert document.keys() >= {
        "name", "version", "versions", "aliases", "state", "framework", "methods", "signature", "example",
        "plan", "warnings",
    }  # fmt: skip
    for method in described.methods:
        assert client.post(f"/ml/models/{name}/{method}", json=document["example"]).status_code == 200


def test_a_description_tells_versions_aliases_classes_and_parameters() -> None:
    app = Flask("host")
    models = Demijohn(app)
    models.add("m", CLASSIFIER, version="9")
    models.add("m", CLASSIFIER, version="10")
    models.alias("m", "champion", "9")
    document = app.test_client().get("/ml/models/m").get_json()
    assert document["version"] == "10"
    assert document["versions"] == ["9", "10"]
    assert document["aliases"] == {"champion": "9"}
    assert document["classes"] == ["setosa", "versicolor", "virginica"]
    assert document["parameters"]["predict"] == []
    assert document["framework"] == "scikit-learn"
    assert document["signature"]["inputs"][0]["shape"] == [-1, 4]


def test_a_version_and_an_alias_are_described_as_they_are() -> None:
    app = Flask("host")
    models = Demijohn(app)
    models.add("m", REGRESSION, version="9")
    models.add("m", CLASSIFIER, version="10")
    models.alias("m", "champion", "9")
    client = app.test_client()
    for path in ("versions/9", "aliases/champion"):
        document = client.get(f"/ml/models/m/{path}").get_json()
        msgspec.convert(document, answers.ModelDescription, strict=True)
        assert (document["version"], document["methods"]) == ("9", ["predict"])
        assert document["versions"] == ["9", "10"]
        assert document["aliases"] == {"champion": "9"}
    assert client.get("/ml/models/m/versions/10").get_json()["classes"] is not None
    for path in ("versions/11", "aliases/nobody"):
        check_problem(client.get(f"/ml/models/m/{path}"), 404, "version_not_found")


def test_an_example_that_the_model_fails_on_is_not_shown() -> None:
    app = Flask("host")
    models = Demijohn(app)
    model, days = monthly()
    models.add("guessed", model)
    models.add("told", model, example=days.head())
    models.chain("chained", ["guessed", "guessed"])
    client = app.test_client()
    guessed = client.get("/ml/models/guessed").get_json()
    msgspec.convert(guessed, answers.ModelDescription, strict=True)
    assert guessed["example"] == {"instances": []}
    assert ["give one" in warning for warning in guessed["warnings"]] == [True]
    assert client.get("/ml/models/chained").get_json()["example"] == {"instances": []}
    told = client.get("/ml/models/told").get_json()
    assert told["warnings"] == []
    answer = client.post("/ml/models/told/predict", json=told["example"])
    assert answer.get_json()["predictions"] == pytest.approx(list(range(5)))
    examples = client.get("/ml/openapi.json").get_json()["components"]["examples"]
    assert [name for name in examples if name.startswith("told.")]
    assert not [name for name in examples if name.startswith("guessed.")]


def test_who_asks_for_a_model_has_its_plan_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, Line(), Line("wrong", factor=2))
    app = Flask("host")
    app.config["DEMIJOHN_ACCELERATION"] = "fast"  # no other test's plan
    Demijohn(app).add("m", regression())
    client = app.test_client()

    def settled() -> answers.Plan | None:
        described = msgspec.convert(
            client.get("/ml/models/m").get_json(), answers.ModelDescription, strict=True
        )
        return described.plan if described.plan.state == "settled" else None

    plan = until(settled)
    (one,) = plan.methods["predict"]
    assert (one.up_to_rows, one.engine, one.us > 0) == (None, "numpy", True)
    assert [(refused.engine, refused.method) for refused in plan.refused] == [("wrong", "predict")]
    assert plan.kept_alone == {}
    document = client.get("/ml/models/m").get_json()["plan"]
    assert msgspec.to_builtins(plan) == document


def test_a_regression_has_no_classes() -> None:
    app = Flask("host")
    Demijohn(app).add("m", REGRESSION)
    assert app.test_client().get("/ml/models/m").get_json()["classes"] is None


@pytest.mark.parametrize("name", ["nobody", "__class__", "iris.joblib", "..", "%2e%2e", "<b>"])
def test_a_model_that_is_not_there_is_404(client: FlaskClient, name: str) -> None:
    answer = client.get(f"/ml/models/{name}")
    assert answer.status_code == 404
    assert b"<b>" not in answer.data
    check_problem(client.get("/ml/models/nobody"), 404, "model_not_found")
