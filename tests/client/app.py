"""An app whose models answer everything that a client has to carry; served as ``tests.client.app:app``."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from flask import Flask
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder
from sklearn.tree import DecisionTreeClassifier
from tests.http.folder import fit_double
from tests.served_functions import picky, shout, whole
from tests.web.rig import CLASSIFIER, IRIS, NAMES, NEIGHBORS, PROCESS, SPECIES, Album

from demijohn import BadInput, Demijohn
from demijohn.messages import Array, Tensors
from demijohn.signature import Signature, TensorSpec

PEOPLE = pd.DataFrame(
    {
        "age": [20.0, 40.0, None, 25.5, 61.0, 33.0],
        "kind": ["cat", "dog", "cat", None, "emu", "dog"],
        "count": [1, 2, 3, 4, 5, 2**53 + 1],
        "is_big": [True, False, True, True, False, False],
    }
)


def fit_people() -> Any:
    columns = make_column_transformer(
        (SimpleImputer(), ["age"]),
        (OneHotEncoder(handle_unknown="ignore"), ["kind"]),
        ("passthrough", ["count", "is_big"]),
    )
    frame = PEOPLE.assign(count=[1, 2, 3, 4, 5, 6])
    return make_pipeline(columns, LinearRegression()).fit(frame, [1.0, 2.0, 3.0, 5.0, 8.0, 13.0])


#: What each model's estimator is, to be asked in the test's own process.
ESTIMATORS: dict[str, Any] = {
    "iris": CLASSIFIER,
    "tree": DecisionTreeClassifier(random_state=0).fit(IRIS, SPECIES),  # its logarithms are infinite
    "neighbors": NEIGHBORS,
    "process": PROCESS,
    "people": fit_people(),
    "pair": DecisionTreeClassifier(random_state=0).fit(IRIS, np.c_[NAMES, NAMES]),
    "frames": OrdinalEncoder().set_output(transform="pandas").fit(PEOPLE[["kind"]].dropna()),
}


class Cube(Album):
    """A runtime whose methods return one array each of the kinds that estimators rarely do."""

    signature = Signature("matrix", (TensorSpec("inputs", "float32", (-1, 2, 3)),))
    outputs: Mapping[str, Array] = {
        "predict": np.arange(12, dtype=np.float32).reshape(2, 2, 3) / 7,
        "half": np.array([0.1, 0.2], np.float16),
        "small": np.array([[1, -2], [3, 4]], np.int8),
        "unsigned": np.array([2**64 - 1, 0], np.uint64),
        "flags": np.array([True, False]),
        "instants": np.array(["2024-02-29T12:00:00.123456789", "NaT"], "datetime64[ns]"),
        "words": np.array([["", "größer"], ["null", "5"]]),
        "any": SimpleNamespace(values=["text", 5, None, [1, 2], {"a": 1.5}, True, 2.5]),  # type: ignore[dict-item]
    }
    methods = tuple(outputs)

    def __init__(self) -> None:
        outputs = {
            method: (TensorSpec(method, _dtype(array), (-1, *getattr(array, "shape", (0,))[1:])),)
            for method, array in self.outputs.items()
        }
        self.signature = self.signature.with_outputs(outputs)

    def run(self, method: str, tensors: Tensors, parameters: Any) -> Tensors:
        n_rows = len(tensors["inputs"])
        return {method: so_many(self.outputs[method], n_rows)}

    def example_rows(self) -> list[Any]:
        return np.ones((2, 2, 3)).tolist()


def so_many(array: Any, n_rows: int) -> Array:
    """Return so many rows of an output."""
    if isinstance(array, SimpleNamespace):
        array = np.fromiter(array.values, dtype=object, count=len(array.values))
    return np.concatenate([array] * n_rows)[:n_rows]


def _dtype(array: Any) -> str:
    if isinstance(array, SimpleNamespace):
        return "object"
    return "str" if array.dtype.kind == "U" else array.dtype.name


def make_app() -> Flask:
    app = Flask(__name__)
    models = Demijohn(app)
    for name, estimator in ESTIMATORS.items():
        models.add(name, estimator, **({"example": PEOPLE} if name == "people" else {}))
    models.add("double", fit_double(9.0), version="9")
    models.add("double", fit_double(10.0), version="10")
    models.alias("double", "champion", "9")
    models.alias("tree", "champion", "1")
    models.add_runtime("cube", Cube())
    models.add("years", years, example=pd.DataFrame({"day": pd.to_datetime(["2020-01-01"])}))
    models.add("grey", brightness, example=np.zeros((1, 4, 5), np.uint8))
    for function in (shout, whole, picky, spell, sleepy, statistics):
        models.model(function.__name__)(function)
    return app


def years(frame: Any) -> Any:
    return np.array([pd.Timestamp(day).year for day in frame["day"]])


def brightness(images: Any) -> Any:
    return images.mean(axis=(1, 2))


def spell(word: str) -> Iterator[Any]:
    for letter in word:
        if letter == "!":
            raise BadInput("no exclamations")
        yield {"error": letter} if letter == "e" else letter


def sleepy(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def statistics(text: str) -> dict[str, Any]:
    return {"length": len(text), "upper": text.upper(), "share": len(text) / 8}


if os.environ.get("DEMIJOHN_API_KEY"):  # in the server; the tests themselves import the estimators alone
    app = make_app()
