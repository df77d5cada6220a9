"""What the server itself answers: in the form of whoever asks."""

from __future__ import annotations

import json

import pytest

from demijohn.errors import TooManySlowBodies
from demijohn.refusals import refuse


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("/ml/v2/models/iris/infer", {"error"}),
        ("/v2/models/iris/versions/1/infer", {"error"}),
        ("/v2/repository/models/iris/load", {"error"}),
        ("/ml/V1/models/iris/labels/a:PREDICT", {"error"}),
        ("/ml/invocations", {"error_code", "message", "stack_trace"}),
    ],
)
def test_an_error_has_the_form_of_the_paths_dialect_below_any_prefix(path: str, keys: set[str]) -> None:
    refusal = refuse(TooManySlowBodies(headers={"Retry-After": "1"}), {"PATH_INFO": path})
    assert (refusal.status, json.loads(refusal.body).keys()) == (503, keys)
    assert {"content-type": "application/json", "Retry-After": "1"}.items() <= dict(refusal.headers).items()


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"PATH_INFO": "/models/v2/predict"},
        {"PATH_INFO": "/models/iris/versions/1/predict"},
        {"PATH_INFO": "/v2/models/iris/infer", "HTTP_ACCEPT": "application/problem+json"},
    ],
)
def test_any_other_path_and_whoever_asks_for_it_is_told_as_problem_json(environ: dict[str, str]) -> None:
    refusal = refuse(TooManySlowBodies(), environ)
    assert json.loads(refusal.body)["code"] == "too_many_slow_bodies"
    assert dict(refusal.headers)["content-type"] == "application/problem+json"
