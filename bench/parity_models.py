"""Models for parity.py beside every estimator of its own: what people put together of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn import ensemble as forests
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
)
from sklearn.svm import SVC

Case = tuple[Any, Any]  # the fitted estimator, and rows that it was fitted on
_random = np.random.default_rng(3)
X = _random.normal(size=(2_000, 10)).round(3)
BINARY = (X[:, 0] + X[:, 1] ** 2 > 0.5).astype(int)
FIVE = np.digitize(X[:, 0] + X[:, 2] / 2, [-1, -0.3, 0.3, 1])
NUMBER = 3 * X[:, 0] + np.sin(X[:, 1]) + _random.normal(size=len(X)) / 10
GAPS = np.where(_random.random(X.shape) < 0.1, np.nan, X)
CODED = X.copy()
CODED[:, 3] = _random.integers(0, 12, len(X))
CODED[:, 7] = _random.integers(0, 200, len(X))
CODED[::17, 3] = np.nan
SEED = {"random_state": 0}


def frame() -> tuple[pd.DataFrame, Any]:
    """Make numbers and texts, some of both missing."""
    table = pd.DataFrame(X[:, :4], columns=["a", "b", "c", "d"])
    table.loc[::11, "c"] = np.nan
    table["count"] = _random.integers(0, 50, len(X))
    table["city"] = _random.choice(["Oslo", "Bern", "Rome", "Nice"], len(X))
    table["kind"] = _random.choice([f"k{i}" for i in range(30)], len(X))
    table["grade"] = _random.choice(["low", "mid", "high"], len(X)).astype(object)
    table.loc[::13, "grade"] = np.nan
    is_north = table["city"].isin(["Oslo", "Bern"])
    return table, np.where(table["a"] + table["b"] * is_north > 0, "yes", "no")


def variants() -> dict[str, Callable[[], Case]]:
    """Name -> what fits it."""
    frames = [*_linear_frames(), *_tree_frames(), *_filled_frames()]
    return dict([*_forests(), *_pipelines(), *frames, *_compositions()])


def fit(make: Callable[[], Case]) -> Case:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make()


def _fitted(estimator: Any, rows: Any, targets: Any) -> Case:
    return estimator.fit(rows, targets), rows


Named = Iterator[tuple[str, Callable[[], Case]]]


def _forests() -> Named:
    texts = np.array(["never", "no", "perhaps", "yes", "surely"])[FIVE]
    deep, boosted = forests.RandomForestClassifier, forests.HistGradientBoostingClassifier
    regressor = forests.HistGradientBoostingRegressor
    cancer = load_breast_cancer(return_X_y=True)
    yield "forest of 100, cancer", lambda: _fitted(deep(100, **SEED), *cancer)
    yield "forest, deep, texts", lambda: _fitted(deep(30, **SEED), X, texts)
    yield "forest, gaps", lambda: _fitted(deep(20, **SEED), GAPS, FIVE)
    yield "forest, several labels", lambda: _fitted(deep(10, **SEED), X, np.column_stack([BINARY, FIVE]))
    yield (
        "extra trees, several numbers",
        lambda: _fitted(forests.ExtraTreesRegressor(20, **SEED), X, np.column_stack([NUMBER, -NUMBER])),
    )
    yield "histograms, gaps", lambda: _fitted(regressor(**SEED), GAPS, NUMBER)
    yield "histograms, five classes", lambda: _fitted(boosted(max_iter=30, **SEED), GAPS, texts)
    yield (
        "histograms, categories",
        lambda: _fitted(boosted(categorical_features=[3, 7], max_iter=50, **SEED), CODED, BINARY),
    )
    yield "boosting, texts", lambda: _fitted(forests.GradientBoostingClassifier(n_estimators=60), X, texts)


def _pipelines() -> Named:
    cancer = load_breast_cancer(return_X_y=True)
    diabetes = load_diabetes(return_X_y=True)
    iris = load_iris(return_X_y=True)
    yield "diabetes, linear", lambda: _fitted(LinearRegression(), *diabetes)
    yield (
        "cancer, scaled logistic",
        lambda: _fitted(make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)), *cancer),
    )
    yield (
        "iris, polynomial logistic",
        lambda: _fitted(make_pipeline(PolynomialFeatures(3), StandardScaler(), LogisticRegression()), *iris),
    )
    yield "scaled svc", lambda: _fitted(make_pipeline(StandardScaler(), SVC()), X[:400], FIVE[:400])
    yield (
        "scaled network",
        lambda: _fitted(
            make_pipeline(StandardScaler(), MLPClassifier((30, 20), max_iter=30, **SEED)), X, FIVE
        ),
    )
    yield (
        "imputed and scaled forest",
        lambda: _fitted(
            make_pipeline(SimpleImputer(), StandardScaler(), forests.RandomForestClassifier(20, **SEED)),
            GAPS,
            FIVE,
        ),
    )
    yield (
        "binned ridge",
        lambda: _fitted(make_pipeline(KBinsDiscretizer(8, encode="onehot-dense"), Ridge()), X, NUMBER),
    )


def columns(encoder: Any, *, fill: bool = True) -> ColumnTransformer:
    head = [SimpleImputer(strategy="median")] if fill else []
    return ColumnTransformer(
        [
            ("number", make_pipeline(*head, StandardScaler()), ["a", "b", "c", "d", "count"]),
            ("text", encoder, ["city", "kind", "grade"]),
        ]
    )


def _linear_frames() -> Named:
    table, labels = frame()
    yield (
        "table, ignoring logistic",
        lambda: _fitted(
            make_pipeline(columns(OneHotEncoder(handle_unknown="ignore")), LogisticRegression(max_iter=500)),
            table,
            labels,
        ),
    )
    yield (
        "table, strict logistic",
        lambda: _fitted(
            make_pipeline(columns(OneHotEncoder()), LogisticRegression(max_iter=500)), table, labels
        ),
    )


def _tree_frames() -> Named:
    table, labels = frame()
    yield (
        "table, infrequent boosting",
        lambda: _fitted(
            make_pipeline(
                columns(OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=60, drop="first")),
                forests.GradientBoostingClassifier(n_estimators=40, **SEED),
            ),
            table,
            labels,
        ),
    )
    yield (
        "table, ordinal forest",
        lambda: _fitted(
            make_pipeline(
                columns(OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)),
                forests.RandomForestClassifier(30, **SEED),
            ),
            table,
            labels,
        ),
    )
    yield (
        "table, ordinal histograms",
        lambda: _fitted(
            make_pipeline(
                columns(OrdinalEncoder(), fill=False),
                forests.HistGradientBoostingClassifier(max_iter=40, **SEED),
            ),
            table,
            labels,
        ),
    )


def _filled_frames() -> Named:
    table, labels = frame()
    yield (
        "table, filled texts",
        lambda: _fitted(
            make_pipeline(
                columns(
                    make_pipeline(
                        SimpleImputer(strategy="constant", fill_value="none"),
                        OneHotEncoder(handle_unknown="ignore"),
                    )
                ),
                Ridge(),
            ),
            table,
            labels == "yes",
        ),
    )


def _compositions() -> Named:
    several = [
        ("a", LogisticRegression()),
        ("b", GaussianNB()),
        ("c", forests.RandomForestClassifier(9, **SEED)),
    ]
    numbers = [("a", Ridge()), ("b", forests.GradientBoostingRegressor(n_estimators=20, **SEED))]
    diabetes, iris = load_diabetes(return_X_y=True), load_iris(return_X_y=True)
    yield "voting, soft", lambda: _fitted(forests.VotingClassifier(several, voting="soft"), X, FIVE)
    yield "voting, hard", lambda: _fitted(forests.VotingClassifier(several), X, FIVE)
    yield "voting, numbers", lambda: _fitted(forests.VotingRegressor(numbers), X, NUMBER)
    yield "stacking", lambda: _fitted(forests.StackingClassifier(several, cv=3), X, BINARY)
    yield "stacking, numbers", lambda: _fitted(forests.StackingRegressor(numbers, cv=3), X, NUMBER)
    forest = forests.RandomForestClassifier(10, **SEED)
    yield "calibrated, sigmoid", lambda: _fitted(CalibratedClassifierCV(forest, cv=3), X, FIVE)
    yield (
        "calibrated, isotonic",
        lambda: _fitted(CalibratedClassifierCV(forest, method="isotonic", cv=3), X, BINARY),
    )
    yield (
        "several forests",
        lambda: _fitted(MultiOutputClassifier(forest), X, np.column_stack([BINARY, FIVE])),
    )
    yield (
        "logarithm of a target",
        lambda: _fitted(
            TransformedTargetRegressor(
                forests.HistGradientBoostingRegressor(max_iter=30, **SEED),
                func=np.log1p,
                inverse_func=np.expm1,
            ),
            X,
            np.exp(NUMBER / 3),
        ),
    )
    for algorithm in ("kd_tree", "ball_tree", "brute"):
        nearest = {"n_neighbors": 4, "algorithm": algorithm}
        yield f"neighbours, {algorithm}", partial(_fitted, KNeighborsClassifier(**nearest), *iris)
        yield (
            f"neighbours, averages, {algorithm}",
            partial(_fitted, KNeighborsRegressor(**nearest), *diabetes),
        )
    yield (
        "bagged neighbours",
        lambda: _fitted(forests.BaggingClassifier(KNeighborsClassifier(3), 5, **SEED), X[:500], FIVE[:500]),
    )
