"""Fitted tree ensembles of every kind, and rows on which engines may differ."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn import ensemble as forests
from sklearn import tree as trees
from threadpoolctl import threadpool_limits

Matrix = np.ndarray[Any, Any]
N_COLUMNS = 6
_random = np.random.default_rng(7)
X = _random.normal(size=(300, N_COLUMNS)).astype(np.float32).astype(np.float64)
X[:, 1] = X[:, 1].round(1)
BINARY = (X[:, 0] + X[:, 1] ** 2 > 0.5).astype(int)
THREE = BINARY + (X[:, 2] > 0.7)
TEN = np.digitize(X[:, 0] + 0.3 * _random.normal(size=300), np.linspace(-1.2, 1.2, 9))
TEXTS = np.array(["no", "perhaps", "yes"])[THREE]
NUMBER = X[:, 0] * 3 + np.sin(X[:, 1]) + _random.normal(size=300) / 10
COUNT = np.floor(np.exp(np.clip(NUMBER / 2, -2, 3)))
POSITIVE = np.exp(NUMBER / 3)
SEVERAL = np.column_stack([NUMBER, X[:, 2] - X[:, 3], POSITIVE])
LABELS = np.column_stack([BINARY, TEN])
GAPS = np.where(_random.random(X.shape) < 0.15, np.nan, X)
#: Two columns of categories: small whole numbers, and any numbers.
SMALL = X.copy()
SMALL[:, 2] = _random.integers(0, 40, 300) * 2
SMALL[:, 4] = _random.integers(0, 7, 300)
ODD = SMALL.copy()
ODD[:, 2] = np.array([-3.5, 0.25, 7, 1e6, 300])[_random.integers(0, 5, 300)]
ODD[::9, 4] = np.nan
CATEGORICAL = [2, 4]


def _each() -> Iterator[tuple[str, Callable[[], Any]]]:
    yield from _trees()
    yield from _forests()
    yield from _boosting()
    yield from _histograms()
    yield from _votes()


def _trees() -> Iterator[tuple[str, Callable[[], Any]]]:
    for name in ("DecisionTree", "ExtraTree"):
        classifier, regressor = getattr(trees, name + "Classifier"), getattr(trees, name + "Regressor")
        yield f"{name}, texts", lambda c=classifier: c(random_state=0).fit(X, TEXTS)
        yield f"{name}, ten classes", lambda c=classifier: c(max_leaf_nodes=12, random_state=0).fit(X, TEN)
        yield f"{name}, several labels", lambda c=classifier: c(max_depth=4, random_state=0).fit(X, LABELS)
        yield f"{name}, gaps", lambda c=classifier: c(random_state=0).fit(GAPS, THREE)
        yield f"{name}, number", lambda r=regressor: r(random_state=0).fit(X, NUMBER)
        yield f"{name}, several numbers", lambda r=regressor: r(random_state=0).fit(X, SEVERAL)
    monotonic = [1, 0, 0, 0, 0, -1]
    yield (
        "DecisionTree, monotonic",
        lambda: trees.DecisionTreeRegressor(monotonic_cst=monotonic, random_state=0).fit(X, NUMBER),
    )
    yield (
        "DecisionTree, pruned",
        lambda: trees.DecisionTreeClassifier(ccp_alpha=0.01, random_state=0).fit(X, THREE),
    )
    yield (
        "DecisionTree, of one leaf",
        lambda: trees.DecisionTreeClassifier(min_samples_leaf=300).fit(X, THREE),
    )


def _forests() -> Iterator[tuple[str, Callable[[], Any]]]:
    for name in ("RandomForest", "ExtraTrees"):
        classifier, regressor = getattr(forests, name + "Classifier"), getattr(forests, name + "Regressor")
        few = {"n_estimators": 13, "random_state": 0}
        yield f"{name}, binary", lambda c=classifier, k=few: c(**k).fit(X, BINARY)
        yield f"{name}, texts", lambda c=classifier, k=few: c(max_depth=5, **k).fit(X, TEXTS)
        yield f"{name}, ten classes", lambda c=classifier, k=few: c(class_weight="balanced", **k).fit(X, TEN)
        yield f"{name}, several labels", lambda c=classifier, k=few: c(max_depth=4, **k).fit(X, LABELS)
        yield f"{name}, gaps", lambda c=classifier, k=few: c(**k).fit(GAPS, BINARY)
        yield f"{name}, number", lambda r=regressor, k=few: r(max_leaf_nodes=30, **k).fit(X, NUMBER)
        yield f"{name}, several numbers", lambda r=regressor, k=few: r(**k).fit(X, SEVERAL)
    yield (
        "RandomForest, count",
        lambda: forests.RandomForestRegressor(5, criterion="poisson", random_state=0).fit(X, COUNT),
    )
    yield (
        "RandomTreesEmbedding",
        lambda: forests.RandomTreesEmbedding(4, max_depth=3, sparse_output=False, random_state=0).fit(X),
    )


def _boosting() -> Iterator[tuple[str, Callable[[], Any]]]:
    classifier, regressor = forests.GradientBoostingClassifier, forests.GradientBoostingRegressor
    few = {"n_estimators": 15, "random_state": 0}
    yield "GradientBoosting, binary", lambda: classifier(**few).fit(X, BINARY)
    yield "GradientBoosting, texts", lambda: classifier(**few).fit(X, TEXTS)
    yield "GradientBoosting, ten classes", lambda: classifier(**few).fit(X, TEN)
    yield "GradientBoosting, exponential", lambda: classifier(loss="exponential", **few).fit(X, BINARY)
    yield "GradientBoosting, from zero", lambda: classifier(init="zero", **few).fit(X, TEXTS)
    for loss in ("squared_error", "absolute_error", "huber", "quantile"):
        yield f"GradientBoosting, {loss}", lambda loss=loss: regressor(loss=loss, **few).fit(X, NUMBER)
    yield "GradientBoosting, number from zero", lambda: regressor(init="zero", **few).fit(X, NUMBER)


def _histograms() -> Iterator[tuple[str, Callable[[], Any]]]:
    classifier, regressor = forests.HistGradientBoostingClassifier, forests.HistGradientBoostingRegressor
    few = {"max_iter": 12, "min_samples_leaf": 5, "random_state": 0}
    sets = {"categorical_features": CATEGORICAL, **few}
    yield "HistGradientBoosting, binary", lambda: classifier(**few).fit(X, BINARY)
    yield "HistGradientBoosting, texts", lambda: classifier(**few).fit(X, TEXTS)
    yield "HistGradientBoosting, ten classes", lambda: classifier(**few).fit(GAPS, TEN)
    yield "HistGradientBoosting, gaps", lambda: classifier(**few).fit(GAPS, BINARY)
    yield "HistGradientBoosting, small categories", lambda: classifier(**sets).fit(SMALL, THREE)
    yield "HistGradientBoosting, odd categories", lambda: regressor(**sets).fit(ODD, NUMBER)
    for loss in ("squared_error", "absolute_error"):
        yield f"HistGradientBoosting, {loss}", lambda loss=loss: regressor(loss=loss, **few).fit(GAPS, NUMBER)
    yield "HistGradientBoosting, gamma", lambda: regressor(loss="gamma", **few).fit(X, POSITIVE)
    yield "HistGradientBoosting, poisson", lambda: regressor(loss="poisson", **few).fit(X, COUNT)
    yield (
        "HistGradientBoosting, quantile",
        lambda: regressor(loss="quantile", quantile=0.8, **few).fit(X, NUMBER),
    )
    yield (
        "HistGradientBoosting, monotonic",
        lambda: regressor(monotonic_cst=[1, 0, 0, 0, 0, -1], **few).fit(X, NUMBER),
    )


def _votes() -> Iterator[tuple[str, Callable[[], Any]]]:
    isolation, few = forests.IsolationForest, {"n_estimators": 11, "random_state": 0}
    yield "IsolationForest", lambda: isolation(**few).fit(X)
    yield (
        "IsolationForest, parts",
        lambda: isolation(max_features=0.5, max_samples=60, contamination=0.1, **few).fit(X),
    )
    yield "IsolationForest, one row", lambda: isolation(max_samples=1, **few).fit(X)
    yield "IsolationForest, two rows", lambda: isolation(max_samples=2, **few).fit(X)
    yield "Bagging, texts", lambda: forests.BaggingClassifier(**few).fit(X, TEXTS)
    yield (
        "Bagging, rare classes",
        lambda: forests.BaggingClassifier(max_samples=12, max_features=0.5, **few).fit(X, TEN),
    )
    yield "Bagging, gaps", lambda: forests.BaggingClassifier(bootstrap_features=True, **few).fit(GAPS, BINARY)
    yield "Bagging, number", lambda: forests.BaggingRegressor(max_features=0.7, **few).fit(X, NUMBER)
    yield "Bagging, several numbers", lambda: forests.BaggingRegressor(**few).fit(X, SEVERAL)
    yield "AdaBoost, binary", lambda: forests.AdaBoostClassifier(**few).fit(X, BINARY)
    deep = trees.DecisionTreeClassifier(max_depth=4)
    yield "AdaBoost, texts", lambda: forests.AdaBoostClassifier(deep, **few).fit(X, TEXTS)
    yield "AdaBoost, ten classes", lambda: forests.AdaBoostClassifier(deep, **few).fit(X, TEN)
    yield "AdaBoost, number", lambda: forests.AdaBoostRegressor(**few).fit(X, NUMBER)


METHODS = (
    "predict",
    "predict_proba",
    "predict_log_proba",
    "decision_function",
    "score_samples",
    "apply",
    "transform",
)
_MAKERS = dict(_each())
_fitted: dict[str, Any] = {}


def fitted(name: str) -> Any:
    """Return a fitted model of ``CASES``, made once."""
    if name not in _fitted:
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore")
            _fitted[name] = _MAKERS[name]()
    return _fitted[name]


#: (model, method): every method of every model that takes rows.
NAMES = list(_MAKERS)


def methods_of(model: Any) -> list[str]:
    """Return the methods of a model that answer rows."""
    return [method for method in METHODS if hasattr(model, method)]


def rows_for(name: str, ensemble: Any, n_rows: int = 20_000) -> Matrix:
    """Return rows at, just below and just above each threshold (in float64 and float32), and random ones.

    Where the model was fitted with gaps, rows have gaps; its categories come with ones never seen.
    """
    random = np.random.default_rng(11)
    rows = random.normal(scale=1.5, size=(n_rows, N_COLUMNS))
    is_split = ensemble.left >= 0
    for column in range(N_COLUMNS):
        borders = np.unique(ensemble.threshold[is_split & (ensemble.feature == column)])
        borders = borders[np.isfinite(borders)]
        if not len(borders):
            continue
        narrow = borders.astype(np.float32)
        around = np.concatenate(
            [
                borders,
                np.nextafter(borders, -np.inf),
                np.nextafter(borders, np.inf),
                narrow.astype(np.float64),
                np.nextafter(narrow, np.float32(-np.inf)).astype(np.float64),
                np.nextafter(narrow, np.float32(np.inf)).astype(np.float64),
            ]
        )
        place = random.random(n_rows) < 0.6
        rows[place, column] = random.choice(around, place.sum())
    rows[random.random(rows.shape) < 0.01] = 0.0
    rows[random.random(rows.shape) < 0.01] = -0.0
    if "categories" in name:
        source = SMALL if "small" in name else ODD
        for column in CATEGORICAL:
            seen = source[~np.isnan(source[:, column]), column]
            strange = [-1.0, -0.0, 0.5, 3.999, 5.0, 255.0, 256.0, 300.0, 1e6, -1e300]
            rows[:, column] = random.choice(np.concatenate([np.tile(strange, 20), seen]), n_rows)
    if ensemble.allows_missing:
        rows[random.random(rows.shape) < 0.05] = np.nan
    return rows
