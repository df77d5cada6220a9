"""Gradient boosting of scikit-learn as plain arrays.

Rules of this room:
1. A stage adds ``learning_rate * value``, rounded as a product first.
2. The sum begins with what ``init`` predicts, so that must be the same for every row.

Source: scikit-learn 1.9, sklearn/ensemble/_gb.py and _gradient_boosting.pyx.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from demijohn.acceleration.engine import Unconvertible
from demijohn.messages import Array

from . import finishing
from .ensemble import Ensemble
from .finishing import Finish
from .joining import Rows, join
from .sklearn_forests import tree_arrays

#: Dummies that say the same of every row.
CONSTANT_STRATEGIES = {"prior", "most_frequent", "constant", "mean", "median", "quantile"}
#: Link of a loss -> from the only sum to the probabilities of two classes.
_BINARY = {
    "LogitLink": finishing.binary_probabilities(),
    "HalfLogitLink": finishing.binary_probabilities(factor=2.0),
}


def read_classifier(estimator: Any, method: str) -> Ensemble:
    """Read a classifier of two or more classes."""
    if method == "apply":
        return _read_leaves(estimator, is_flat=False)
    if estimator.n_trees_per_iteration_ == 1:
        link = type(estimator._loss.link).__name__
        if link not in _BINARY:
            raise Unconvertible(f"gradient boosting with a {link}")
        raw, probabilities = finishing.first_column, _BINARY[link]
        labels = finishing.labels_by_sign(raw, estimator.classes_, includes_zero=True)
    else:
        raw, probabilities = finishing.unchanged, finishing.softmax
        labels = finishing.labels_of(finishing.unchanged, estimator.classes_)
    finishes = {
        "predict": labels,
        "predict_proba": probabilities,
        "predict_log_proba": finishing.logarithm_of(probabilities),
        "decision_function": raw,
    }
    return _joined(estimator, method, finishes)


def read_regressor(estimator: Any, method: str) -> Ensemble:
    """Read a regressor: whatever its loss, the sum is the answer."""
    if method == "apply":
        return _read_leaves(estimator, is_flat=True)
    return _joined(estimator, method, {"predict": finishing.first_column})


def _joined(estimator: Any, method: str, finishes: dict[str, Finish]) -> Ensemble:
    if method not in finishes:
        raise Unconvertible(f"{type(estimator).__name__}.{method} is no sum of leaves")
    stages = estimator.estimators_
    scale = float(estimator.learning_rate)
    return join(
        [tree_arrays(tree, scale * tree.tree_.value[:, :, 0]) for tree in stages.ravel()],
        # It refuses NaN, though its trees alone would not.
        Rows(int(estimator.n_features_in_), casts_to_float32=True, allows_missing=False),
        start=_start(estimator),
        finish=finishes[method],
        columns=np.tile(np.arange(stages.shape[1]), stages.shape[0]),
    )


def _start(estimator: Any) -> Array:
    """Return what the sums begin with: (n_trees_per_iteration,)."""
    init = estimator.init_
    if not (isinstance(init, str) and init == "zero"):
        name = type(init).__name__
        is_dummy = type(init).__module__ == "sklearn.dummy" and init.strategy in CONSTANT_STRATEGIES
        if not is_dummy:
            raise Unconvertible(f"gradient boosting that begins with {name}, which differs from row to row")
    # It does not look at the row, whose place a zero takes.
    found: Array = estimator._raw_predict_init(np.zeros((1, estimator.n_features_in_), dtype=np.float32))
    start: Array = found[0]
    return start


def _read_leaves(estimator: Any, *, is_flat: bool) -> Ensemble:
    """Read ``apply``: the leaf in each tree, (n_rows, n_stages) or (n_rows, n_stages, n_classes)."""
    shape = estimator.estimators_.shape

    def finish(sums: Array) -> Array:
        return sums if is_flat else sums.reshape(len(sums), *shape)

    trees = list(estimator.estimators_.ravel())
    return join(
        [tree_arrays(tree, None) for tree in trees],
        # ``apply`` takes NaN, though nothing was fitted with it: the framework's to answer.
        Rows(int(estimator.n_features_in_), casts_to_float32=True, allows_missing=False),
        start=np.zeros(len(trees)),
        finish=finish,
        columns=np.arange(len(trees)),
    )
