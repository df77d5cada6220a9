"""Isolation forests, bagged trees and AdaBoost of trees of scikit-learn as plain arrays.

Rules of this room:
1. A member is a single tree of scikit-learn's own; of anything else there are no leaves to add.
2. What is no sum (a median, a sum of logarithms) gets outputs per tree, and ``finish`` joins them.

Source: scikit-learn 1.9, sklearn/ensemble/_iforest.py, _bagging.py and _weight_boosting.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from demijohn.acceleration.engine import Unconvertible
from demijohn.messages import Array

from . import finishing
from .ensemble import Ensemble
from .finishing import Finish
from .joining import Rows, join
from .sklearn_forests import allows_missing, tree_arrays, trees_of


def read_isolation(estimator: Any, method: str) -> Ensemble:
    """Read an isolation forest: a leaf's value is the length of the path to it."""
    trees = trees_of(estimator)
    n_features = int(estimator.n_features_in_)
    # The very expression that scikit-learn evaluates per row.
    depths: list[Array] = [
        (lengths + average - 1.0)[:, np.newaxis]
        for lengths, average in zip(
            estimator._decision_path_lengths, estimator._average_path_length_per_tree, strict=True
        )
    ]
    # Trees that were given all columns were given them in their own order.
    is_subset = estimator._max_features != n_features
    return join(
        _members(estimator, trees, depths, is_subset=is_subset),
        Rows(n_features, casts_to_float32=True, allows_missing=True),
        start=np.zeros(1),
        finish=_isolation_finish(estimator, method, len(trees)),
    )


def _isolation_finish(estimator: Any, method: str, n_trees: int) -> Finish:
    denominator = n_trees * _average_path_length(int(estimator._max_samples))
    offset = estimator.offset_

    def scores(sums: Array) -> Array:
        depths = sums.reshape(-1)
        ratio = np.ones_like(depths) if denominator == 0 else depths / denominator
        found: Array = -(2 ** (-ratio))
        return found

    def decisions(sums: Array) -> Array:
        found: Array = scores(sums) - offset
        return found

    finishes: dict[str, Finish] = {
        "score_samples": scores,
        "decision_function": decisions,
        "predict": finishing.labels_by_sign(decisions, np.array([-1, 1]), includes_zero=True),
    }
    return _chosen(estimator, method, finishes)


def _average_path_length(n_rows: int) -> float:
    """Return the mean depth of ``n_rows`` rows in a tree that isolates each (_average_path_length)."""
    if n_rows <= 2:
        return float(n_rows == 2)
    n = np.array([n_rows])
    return float((2.0 * (np.log(n - 1.0) + np.euler_gamma) - 2.0 * (n - 1.0) / n)[0])


def read_bagging_classifier(estimator: Any, method: str) -> Ensemble:
    """Read bagged classification trees."""
    n_classes = int(estimator.n_classes_)
    trees = trees_of(estimator)
    values = [_probabilities(tree, n_classes) for tree in trees]
    if method == "predict_log_proba":
        return _read_bagged_logarithms(estimator, trees, values)
    mean = finishing.divided_by(estimator.n_estimators)
    finishes = {"predict": finishing.labels_of(mean, estimator.classes_), "predict_proba": mean}
    return _bagged(estimator, trees, values, _chosen(estimator, method, finishes), np.zeros(n_classes))


def read_bagging_regressor(estimator: Any, method: str) -> Ensemble:
    """Read bagged regression trees: one output or several."""
    trees = trees_of(estimator)
    values = [tree.tree_.value.reshape(tree.tree_.node_count, -1) for tree in trees]
    n_outputs = values[0].shape[1]
    shaped = finishing.first_column if n_outputs == 1 else finishing.unchanged
    finishes = {"predict": finishing.divided_by(estimator.n_estimators, shaped)}
    return _bagged(estimator, trees, values, _chosen(estimator, method, finishes), np.zeros(n_outputs))


def _read_bagged_logarithms(estimator: Any, trees: Sequence[Any], values: Sequence[Array]) -> Ensemble:
    n_classes, n_trees = values[0].shape[1], len(trees)
    log_n = np.log(estimator.n_estimators)

    def finish(sums: Array) -> Array:
        found = np.full((len(sums), n_classes), -np.inf)
        for tree in range(n_trees):
            found = np.logaddexp(found, sums[:, tree * n_classes : (tree + 1) * n_classes])
        found -= log_n
        return found

    with np.errstate(divide="ignore"):
        logarithms = [np.log(each) for each in values]
    columns = np.arange(n_trees) * n_classes
    return _bagged(estimator, trees, logarithms, finish, np.zeros(n_trees * n_classes), columns)


def _bagged(
    estimator: Any,
    trees: Sequence[Any],
    values: Sequence[Array],
    finish: Finish,
    start: Array,
    columns: Array | None = None,
) -> Ensemble:
    return join(
        _members(estimator, trees, values, is_subset=True),
        Rows(
            int(estimator.n_features_in_),
            casts_to_float32=True,
            allows_missing=all(allows_missing(tree) for tree in trees),  # each is asked for itself
        ),
        start=start,
        finish=finish,
        columns=columns,
    )


def read_ada_classifier(estimator: Any, method: str) -> Ensemble:
    """Read AdaBoost of classification trees: a leaf votes with its tree's weight."""
    n_classes = int(estimator.n_classes_)
    if n_classes < 2:
        raise Unconvertible("AdaBoost of one class")
    trees = trees_of(estimator)
    weights = np.asarray(estimator.estimator_weights_)[: len(trees)]
    values = [
        np.where(_winners(tree, estimator.classes_), weight, -1 / (n_classes - 1) * weight)
        for tree, weight in zip(trees, weights, strict=True)
    ]
    return join(
        _members(estimator, trees, values, is_subset=False),
        Rows(int(estimator.n_features_in_), casts_to_float32=True, allows_missing=False),
        start=np.zeros(n_classes),
        finish=_ada_finish(estimator, method),
    )


def _ada_finish(estimator: Any, method: str) -> Finish:
    n_classes, total = int(estimator.n_classes_), estimator.estimator_weights_.sum()

    def decisions(sums: Array) -> Array:
        found: Array = sums / total
        # scikit-learn adds the second to the first with its sign changed: the same to the last bit.
        return found[:, 1] - found[:, 0] if n_classes == 2 else found

    def probabilities(sums: Array) -> Array:
        found = decisions(sums)
        if n_classes == 2:
            return finishing.softmax(np.vstack([-found, found]).T / 2)
        return finishing.softmax_by_columns(found / (n_classes - 1))

    named = finishing.labels_of(decisions, estimator.classes_)
    by_sign = finishing.labels_by_sign(decisions, estimator.classes_, includes_zero=False)
    finishes = {
        "predict": by_sign if n_classes == 2 else named,
        "predict_proba": probabilities,
        "predict_log_proba": finishing.logarithm_of(probabilities),
        "decision_function": decisions,
    }
    return _chosen(estimator, method, finishes)


def read_ada_regressor(estimator: Any, method: str) -> Ensemble:
    """Read AdaBoost of regression trees: the weighted median of what each tree predicts."""
    trees = trees_of(estimator)
    return join(
        _members(estimator, trees, [tree.tree_.value[:, :, 0] for tree in trees], is_subset=False),
        Rows(int(estimator.n_features_in_), casts_to_float32=True, allows_missing=False),
        start=np.zeros(len(trees)),
        finish=_chosen(estimator, method, {"predict": _weighted_median(estimator.estimator_weights_)}),
        columns=np.arange(len(trees)),
    )


def _weighted_median(weights: Array) -> Finish:
    """Take the first prediction, in ascending order, at which half of the weight is reached."""
    weights = np.array(weights)

    def finish(sums: Array) -> Array:
        # A transposed array, as scikit-learn's: the sort of equal values may depend on it.
        predictions = np.ascontiguousarray(sums.T).T
        order = np.argsort(predictions, axis=1)
        weight = np.cumsum(weights[order], axis=1)
        median = (weight >= 0.5 * weight[:, -1][:, np.newaxis]).argmax(axis=1)
        row = np.arange(len(sums))
        found: Array = predictions[row, order[row, median]]
        return found

    return finish


def _members(estimator: Any, trees: Sequence[Any], values: Sequence[Array], *, is_subset: bool) -> list[Any]:
    features = estimator.estimators_features_ if is_subset else [None] * len(trees)
    return [
        tree_arrays(tree, each, columns) for tree, each, columns in zip(trees, values, features, strict=True)
    ]


def _probabilities(tree: Any, n_classes: int) -> Array:
    """Return a tree's probabilities (n_nodes, n_classes)."""
    if len(tree.classes_) != n_classes:  # rows are drawn by weight, so each tree has seen all labels
        raise Unconvertible("bagging of trees that do not know all classes")
    return np.asarray(tree.tree_.value[:, 0, :])


def _winners(tree: Any, classes: Array) -> Array:
    """Say which class a tree names at each node: (n_nodes, n_classes) bool."""
    named = tree.classes_.take(np.argmax(tree.tree_.value[:, 0, :], axis=1), axis=0)
    return np.asarray(named[:, np.newaxis] == classes)


def _chosen(estimator: Any, method: str, finishes: dict[str, Finish]) -> Finish:
    if method not in finishes:
        raise Unconvertible(f"{type(estimator).__name__}.{method} is no sum of leaves")
    return finishes[method]
