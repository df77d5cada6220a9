"""What TensorFlow Serving's and KServe's clients are told of models that are not ready, and of dtypes."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from tests.web.rig import Album

from demijohn import Demijohn


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
