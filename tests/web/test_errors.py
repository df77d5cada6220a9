"""Exceptions become responses here and nowhere else."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from flask import Flask
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import HTTPException, NotFound, RequestEntityTooLarge, TooManyRequests, Unauthorized

from demijohn import Demijohn
from demijohn.errors import MethodNotAllowed, Problem, SignatureMismatch
from demijohn.web.errors import answer_exception


@pytest.fixture(autouse=True)
def request_context() -> Any:
    app = Flask("host")
    Demijohn(app)
    with app.test_request_context(headers={"X-Request-Id": "id-1"}):
        yield


def test_an_error_of_ours_keeps_its_status_headers_and_places() -> None:
    answer = answer_exception(MethodNotAllowed("no", headers={"Allow": "GET"}))
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")
    answer = answer_exception(SignatureMismatch("no", errors=[Problem(0, "a", "int64", "null")]))
    assert answer.get_json()["errors"] == [{"row": 0, "column": "a", "expected": "int64", "received": "null"}]
    assert answer.get_json()["request_id"] == "id-1"
    assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize(
    ("error", "status"),
    [(NotFound(), 404), (TooManyRequests(retry_after=3), 429), (HTTPException("odd"), 403)],
)
def test_what_a_hook_aborts_with_keeps_its_status(error: HTTPException, status: int) -> None:
    answer = answer_exception(error)
    assert answer.status_code == answer.get_json()["status"] == status
    assert answer.get_json()["code"] == "refused_by_app"
    assert answer.content_type == "application/problem+json"


def test_what_a_hook_aborts_with_keeps_its_headers() -> None:
    assert answer_exception(TooManyRequests(retry_after=3)).headers["Retry-After"] == "3"
    challenge = Unauthorized(www_authenticate=WWWAuthenticate("basic", {"realm": "host"}))
    assert answer_exception(challenge).headers["WWW-Authenticate"] == "Basic realm=host"


def test_a_body_over_the_hosts_own_limit_is_too_large() -> None:
    assert answer_exception(RequestEntityTooLarge()).get_json()["code"] == "body_too_large"


def test_what_nobody_expected_is_told_to_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "demijohn"):
        answer = answer_exception(RuntimeError("/etc/secret"))
    assert (answer.status_code, answer.get_json()["code"]) == (500, "internal_error")
    assert b"secret" not in answer.data
    assert "/etc/secret" in caplog.text
    assert "id-1" in caplog.text
