"""Apps with the extension in them, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from flask import Flask
from flask.testing import FlaskClient
from sklearn.datasets import load_diabetes, load_iris
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from tests.served_functions import picky

from demijohn import Demijohn
from demijohn.messages import Tensors
from demijohn.signature import Signature, TensorSpec

IRIS, SPECIES = load_iris(return_X_y=True)
FEATURES, PROGRESS = load_diabetes(return_X_y=True, as_frame=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[SPECIES]
CLASSIFIER = LogisticRegression(max_iter=2_000).fit(IRIS, NAMES)
REGRESSION = LinearRegression().fit(FEATURES, PROGRESS)
NEIGHBORS = KNeighborsClassifier(3).fit(IRIS, SPECIES)
PROCESS = GaussianProcessRegressor(random_state=0).fit(IRIS[::10], SPECIES[::10])
FIELDS = {"type", "title", "status", "detail", "code", "errors", "request_id"}


class Album:
    """A runtime of two named tensors, as a model of a picture and a number is one."""

    framework = "album"
    framework_version = None
    methods = ("predict",)
    signature = Signature(
        "tensors",
        (TensorSpec("image", "uint8", (-1, 2, 3)), TensorSpec("age", "float32", nullable=True)),
        {"predict": (TensorSpec("predict"),)},
    )
    warnings: tuple[str, ...] = ()
    joining = "always"
    concurrency = 1
    refusals: tuple[type[Exception], ...] = ()
    is_callable_unasked = False
    survives_fork = True
    metadata: Mapping[str, str] = MappingProxyType({})
    sha256 = None

    def digest(self) -> None:
        return None

    def run(self, method: str, tensors: Tensors, parameters: Any) -> Tensors:
        return {method: tensors["image"].sum(axis=(1, 2)) + np.nan_to_num(tensors["age"])}

    def parameters(self, method: str) -> tuple[str, ...]:
        return ()

    def classes(self, method: str) -> None:
        return None

    def example_rows(self) -> list[Any]:
        return [{"image": [[1, 2, 3], [4, 5, 6]], "age": 1.5}, {"image": [[0, 0, 0], [0, 0, 1]], "age": None}]


class Film(Album):
    """The same of one named tensor, whose second size is free."""

    signature = Signature("tensors", (TensorSpec("frames", "float32", (-1, -1, 2)),))

    def run(self, method: str, tensors: Tensors, parameters: Any) -> Tensors:
        return {method: tensors["frames"].sum(axis=(1, 2))}

    def example_rows(self) -> list[Any]:
        return [{"frames": [[1.0, 2.0], [3.0, 4.0]]}]


class Pair(Album):
    """The same of two named values, which CSV can hold."""

    signature = Signature("tensors", (TensorSpec("text", "str"), TensorSpec("n", "int64")))

    def run(self, method: str, tensors: Tensors, parameters: Any) -> Tensors:
        return {method: tensors["n"] * 2}

    def example_rows(self) -> list[Any]:
        return [{"text": "a", "n": 3}]


class Gallery(Album):
    """The same with a method that takes something else."""

    methods = ("predict", "find")
    signature = replace(
        Album.signature,
        outputs={"predict": (TensorSpec("predict"),), "find": (TensorSpec("find", "int64"),)},
        others={"find": Signature("vector", (TensorSpec("title", "str"),), example=("a rose", "a lily"))},
    )

    def run(self, method: str, tensors: Tensors, parameters: Any) -> Tensors:
        if method == "predict":
            return super().run(method, tensors, parameters)
        return {method: np.array([len(title) for title in tensors["title"]])}


def brightness(images: npt.NDArray[np.float64]) -> Any:
    """Return the mean of each picture."""
    return images.mean(axis=(1, 2, 3))


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
