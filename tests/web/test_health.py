"""``/livez``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

import msgspec
import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from tests.web.rig import make_client

from demijohn import Demijohn
from demijohn.web import answers


@pytest.fixture
def client() -> FlaskClient:
    return make_client()


def test_a_process_that_answers_is_alive() -> None:
    app = Flask("host")
    Demijohn(app)
    assert app.test_client().get("/ml/livez").get_json() == {"status": "alive"}


def test_a_server_whose_models_are_ready_is_ready(client: FlaskClient) -> None:
    answer = client.get("/ml/readyz")
    assert (answer.status_code, answer.get_json()) == (200, {"status": "ready"})


def test_a_server_without_models_is_not_ready() -> None:
    app = Flask("host")
    Demijohn(app)
    answer = app.test_client().get("/ml/readyz")
    assert answer.status_code == 503
    assert answer.get_json() == {"status": "not ready", "reasons": {"server": "no model is served"}}
    assert answer.headers["Retry-After"]
    msgspec.convert(answer.get_json(), answers.NotReady)


@pytest.mark.parametrize("state", ["loading", "failed"])
def test_one_model_that_is_not_ready_is_a_reason(client: FlaskClient, state: str) -> None:
    client.application.extensions["demijohn"].pool.find("diabetes").state = state
    answer = client.get("/ml/readyz")
    assert answer.status_code == 503
    assert answer.get_json()["reasons"] == {"diabetes/1": f"the model is {state}"}


def test_a_server_that_drains_is_alive_and_not_ready(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.application.extensions["demijohn"].lifecycle, "is_draining", True)
    assert client.get("/ml/livez").status_code == 200
    answer = client.get("/ml/readyz")
    assert (answer.status_code, answer.get_json()["reasons"]) == (
        503,
        {"server": "the server is shutting down"},
    )


def test_metrics_are_prometheus_text(client: FlaskClient) -> None:
    answer = client.get("/ml/metrics")
    assert answer.content_type.startswith("text/plain")
    families = list(text_string_to_metric_families(answer.text))
    assert families
    assert all(family.name.startswith("demijohn_") for family in families)
