"""MLflow's pages, where a server is not well."""

from __future__ import annotations

import pytest
from flask import Flask

from demijohn import Demijohn


@pytest.fixture
def app() -> Flask:
    app = Flask(__name__)
    Demijohn(app).add("double", lambda x: 2 * x)
    return app


def test_without_a_model_there_is_no_health() -> None:
    app = Flask(__name__)
    Demijohn(app)
    answer = app.test_client().get("/ml/ping")
    assert (answer.status_code, answer.data) == (404, b"\n")


def test_with_no_model_that_is_ready_there_is_none_either(app: Flask) -> None:
    assert app.test_client().get("/ml/health").status_code == 200
    app.extensions["demijohn"].pool.find("double").state = "loading"
    assert app.test_client().get("/ml/health").status_code == 404


def test_a_server_that_shuts_down_says_so(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.extensions["demijohn"].lifecycle, "is_draining", True)
    answer = app.test_client().get("/ml/ping")
    assert (answer.status_code, answer.get_json()["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")


def test_keys_are_asked_for_in_mlflows_form() -> None:
    closed = Flask(__name__)
    Demijohn(closed, api_key="secret")
    answer = closed.test_client().get("/ml/ping")
    assert (answer.status_code, answer.get_json()["error_code"]) == (401, "UNAUTHENTICATED")
