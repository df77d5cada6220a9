"""Every estimator of scikit-learn that takes a matrix, in one folder, in one server: the same answers."""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from tests.estimators import fitted_estimators
from tests.servers import Server, serving

N_ROWS = 32
METHODS = (
    "predict",
    "predict_proba",
    "predict_log_proba",
    "decision_function",
    "transform",
    "score_samples",
    "kneighbors",
    "radius_neighbors",
    "apply",
    "mahalanobis",
)


Estimators = dict[str, tuple[Any, np.ndarray[Any, Any]]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("estimators")


@pytest.fixture(scope="module")
def estimators(folder: Path) -> Estimators:
    """Save all but those that only label the rows they were fitted on: nobody can ask these anything.

    Returns:
        The estimators as they are in their files: there an array may have another order in memory
        than after ``fit``, and BLAS then sums in another.
    """
    saved = {}
    for name, (estimator, rows) in fitted_estimators().items():
        if _methods(estimator):
            joblib.dump(estimator, folder / f"{name}.joblib")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # some are deprecated
                saved[name] = (joblib.load(folder / f"{name}.joblib"), rows)
    return saved


@pytest.fixture(scope="module")
def server(
    estimators: Estimators, folder: Path, record_testsuite_property: Callable[[str, object], None]
) -> Iterator[Server]:
    started = time.monotonic()
    with serving([folder], "--workers", "1") as server:
        record_testsuite_property("estimators", len(estimators))
        record_testsuite_property("start_s", round(time.monotonic() - started, 1))
        yield server


def _methods(estimator: Any) -> set[str]:
    return {method for method in METHODS if hasattr(estimator, method)}


def _plain(value: Any) -> Any:
    """Return one answer as JSON must have it: dense, not-a-number as null."""
    if hasattr(value, "toarray"):
        value = value.toarray()
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _expected(estimator: Any, method: str, rows: np.ndarray[Any, Any]) -> Any:
    """Return the estimator's own answer, one entry per row; several outputs are a list in each."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own = getattr(estimator, method)(rows)
    several = isinstance(own, tuple) or (isinstance(own, list) and np.ndim(own[0]) == 2)
    if several:
        return [list(row) for row in zip(*map(_plain, own), strict=True)]
    plain = _plain(own)
    # One row of SparsePCA comes back one-dimensional.
    return [plain] if len(rows) == 1 and len(plain) != 1 else plain


def _given(predictions: list[Any]) -> Any:
    return [list(row.values()) if isinstance(row, dict) else row for row in predictions]


def test_every_prediction_method_of_every_estimator_answers_as_the_estimator_does(
    server: Server, estimators: Estimators
) -> None:
    listed = {model["name"]: model["methods"] for model in server.get("/models").json()["models"]}
    assert listed.keys() == estimators.keys()
    n_checked, wrong = 0, []
    for name, (estimator, matrix) in estimators.items():
        if set(listed[name]) != _methods(estimator):
            wrong.append((name, "methods", listed[name], _methods(estimator)))
        for method in _methods(estimator):
            for rows in (matrix[:N_ROWS], matrix[N_ROWS : N_ROWS + 1]):
                answer = server.post(f"/models/{name}/{method}", {"instances": rows.tolist()})
                expected = _expected(estimator, method, rows)
                n_checked += 1
                if answer.status != 200:
                    wrong.append((name, method, len(rows), answer.data))
                # As text: 1 is not 1.0, and -0.0 not 0.0.
                elif json.dumps(_given(answer.json()["predictions"])) != json.dumps(expected):
                    wrong.append((name, method, len(rows), answer.data[:300], expected[:3]))
    assert wrong == []
    assert n_checked > 600


def test_every_classifier_names_the_classes_of_its_columns(server: Server, estimators: Estimators) -> None:
    given, own = {}, {}
    for name, (estimator, matrix) in estimators.items():
        # A chain's columns are its outputs, each the probability of the second class.
        if (
            hasattr(estimator, "predict_proba")
            and hasattr(estimator, "classes_")
            and name != "ClassifierChain"
        ):
            answer = server.post(f"/models/{name}/predict_proba", matrix[:1].tolist()).json()
            given[name] = answer.get("classes")
            own[name] = [_plain(classes) for classes in estimator.classes_]
    assert given == own
