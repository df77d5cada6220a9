"""Apps with the extension in them, for the tests of this folder."""

from __future__ import annotations

from typing import Any

import numpy as np
from flask import Flask
from flask.testing import FlaskClient
from sklearn.datasets import load_diabetes, load_iris
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from demijohn import BadInput, Demijohn

IRIS, SPECIES = load_iris(return_X_y=True)
FEATURES, PROGRESS = load_diabetes(return_X_y=True, as_frame=True)
CLASSIFIER = LogisticRegression(max_iter=2_000).fit(
    IRIS, np.array(["setosa", "versicolor", "virginica"])[SPECIES]
)
REGRESSION = LinearRegression().fit(FEATURES, PROGRESS)
NEIGHBORS = KNeighborsClassifier(3).fit(IRIS, SPECIES)
PROCESS = GaussianProcessRegressor(random_state=0).fit(IRIS[::10], SPECIES[::10])
FIELDS = {"type", "title", "status", "detail", "code", "errors", "request_id"}


def picky(x: float) -> float:
    """Refuse and fail in the ways that a function can."""
    if x < 0:
        raise BadInput("x must not be negative")
    if x > 100:
        raise RuntimeError("/etc/secret is broken")
    return x


def make_models(app: Flask | None = None, **settings: Any) -> Demijohn:
    """Serve four models and a function."""
    models = Demijohn(app, **settings)
    models.add("iris", CLASSIFIER, default=True)
    models.add("diabetes", REGRESSION)
    models.add("neighbors", NEIGHBORS)
    models.add("process", PROCESS)
    models.add("picky", picky)
    return models


def make_client(**settings: Any) -> FlaskClient:
    """Return a client of a new app, whose only routes are ours, under /ml."""
    app = Flask(__name__)
    make_models(app, **settings)
    return app.test_client()


def check_problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    """Raise unless the answer is this problem, whole; returns it, parsed."""
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json"), answer.data
    problem: dict[str, Any] = answer.get_json()
    assert problem.keys() == FIELDS
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["request_id"] == answer.headers["X-Request-Id"]
    assert answer.headers["Cache-Control"] == "no-store"
    return problem
