"""Decision trees and forests of scikit-learn as plain arrays.

Rules of this room:
1. A single tree is a forest of one that is not averaged.
2. What is no sum (``apply``, the embedding) is one output per tree: the number of its leaf.

Source: scikit-learn 1.9, sklearn/tree/_classes.py, sklearn/tree/_tree.pyx, sklearn/ensemble/_forest.py.
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
from .joining import Rows, Tree, join

SINGLE_TREES = {
    "DecisionTreeClassifier",
    "ExtraTreeClassifier",
    "DecisionTreeRegressor",
    "ExtraTreeRegressor",
}


def read_classifier(estimator: Any, method: str) -> Ensemble:
    """Read a tree or forest that classifies: one output or several."""
    if method == "apply":
        return read_leaves(estimator)
    trees = trees_of(estimator)
    classes = [estimator.classes_] if estimator.n_outputs_ == 1 else list(estimator.classes_)
    stride = int(trees[0].tree_.value.shape[2])
    parts = finishing.parts_of([len(each) for each in classes], stride)
    # A forest cuts each output to its classes before it looks for the highest, a tree does not;
    # what is cut off is 0, and the first of equals wins.
    probabilities = finishing.unchanged if len(classes) == 1 else parts
    mean = len(trees) if _is_forest(estimator) else None
    if len(classes) == 1:
        labels = finishing.labels_of_mean(mean or 1, classes[0])
    else:
        labels = _averaged(finishing.labels_of_outputs(parts, classes), mean)
    finish = _chosen(
        estimator,
        method,
        predict=labels,
        predict_proba=_averaged(probabilities, mean),
        predict_log_proba=finishing.logarithm_of(_averaged(probabilities, mean)),
    )
    return _joined(estimator, trees, [_flat_values(tree) for tree in trees], finish)


def read_regressor(estimator: Any, method: str) -> Ensemble:
    """Read a tree or forest that predicts numbers: one output or several."""
    if method == "apply":
        return read_leaves(estimator)
    trees = trees_of(estimator)
    shaped = finishing.first_column if estimator.n_outputs_ == 1 else finishing.unchanged
    mean = len(trees) if _is_forest(estimator) else None
    finish = _chosen(estimator, method, predict=_averaged(shaped, mean))
    return _joined(estimator, trees, [_flat_values(tree) for tree in trees], finish)


def read_leaves(estimator: Any) -> Ensemble:
    """Read ``apply`` of a tree or a forest: the number of the leaf in each tree."""

    def finish(sums: Array) -> Array:
        leaves = sums.astype(np.intp)
        return leaves[:, 0] if is_single else leaves

    is_single = not _is_forest(estimator)
    return leaves_of(estimator, trees_of(estimator), finish)


def read_embedding(estimator: Any, method: str) -> Ensemble:
    """Read an embedding into leaves, where it answers with a dense matrix."""
    if method == "apply":
        return read_leaves(estimator)
    encoder = estimator.one_hot_encoder_
    if method != "transform" or encoder.sparse_output:
        raise Unconvertible(f"RandomTreesEmbedding.{method} with a sparse result")
    widths = [len(leaves) for leaves in encoder.categories_]
    first = np.concatenate([[0], np.cumsum(widths)[:-1]])
    n_columns = sum(widths)

    def finish(sums: Array) -> Array:
        found = np.zeros((len(sums), n_columns), dtype=encoder_type)
        np.put_along_axis(found, sums.astype(np.intp), 1.0, axis=1)
        return found

    encoder_type = np.dtype(encoder.dtype)
    trees = trees_of(estimator)
    values = []
    for tree, leaves, offset in zip(trees, encoder.categories_, first, strict=True):
        numbers = np.zeros((tree.tree_.node_count, 1))
        numbers[leaves.astype(np.intp), 0] = offset + np.arange(len(leaves))
        values.append(numbers)
    return _joined(estimator, trees, values, finish, is_own=False)


def trees_of(estimator: Any) -> list[Any]:
    """Return the trees of a forest, or the tree itself.

    Raises:
        Unconvertible: one is not of scikit-learn's own classes.
    """
    trees = list(estimator.estimators_) if _is_forest(estimator) else [estimator]
    for tree in trees:
        if type(tree).__name__ not in SINGLE_TREES or not type(tree).__module__.startswith("sklearn."):
            raise Unconvertible(f"{type(estimator).__name__} of {type(tree).__name__}")
    return trees


def allows_missing(tree: Any) -> bool:
    """Say whether a tree takes NaN in a dense matrix."""
    return bool(tree._support_missing_values(np.empty((0, 1))))


def tree_arrays(tree: Any, values: Array | None, features: Array | None = None) -> Tree:
    """Take a tree's own arrays.

    Args:
        tree: A fitted decision tree.
        values: (n_nodes, width): what its leaves add; None: their numbers.
        features: The ensemble's columns that the tree was given; None: all of them.
    """
    nodes = tree.tree_
    feature = np.asarray(nodes.feature)
    if features is not None:
        is_split = np.asarray(nodes.children_left) >= 0
        feature = np.where(is_split, np.asarray(features)[np.where(is_split, feature, 0)], 0)
    return Tree(
        feature=feature,
        threshold=nodes.threshold,
        left=np.asarray(nodes.children_left),
        right=np.asarray(nodes.children_right),
        missing_left=nodes.missing_go_to_left,
        values=values,
    )


def leaves_of(estimator: Any, trees: Sequence[Any], finish: Finish) -> Ensemble:
    """Read the number of the leaf in each tree, one output per tree."""
    return join(
        [tree_arrays(tree, None) for tree in trees],
        _rows(estimator, trees),
        start=np.zeros(len(trees)),
        finish=finish,
        columns=np.arange(len(trees)),
        made_of=tuple(tree.tree_ for tree in trees),
        gives_leaves=True,
    )


def _joined(
    estimator: Any, trees: Sequence[Any], values: Sequence[Array], finish: Finish, *, is_own: bool = True
) -> Ensemble:
    """Join trees; ``is_own`` says that the values are the trees' own, all added to the same outputs."""
    return join(
        [tree_arrays(tree, each) for tree, each in zip(trees, values, strict=True)],
        _rows(estimator, trees),
        start=np.zeros(values[0].shape[1] if is_own else len(trees)),
        finish=finish,
        columns=None if is_own else np.arange(len(trees)),
        made_of=tuple(tree.tree_ for tree in trees) if is_own else (),
    )


def _rows(estimator: Any, trees: Sequence[Any]) -> Rows:
    # A forest asks its first tree.
    return Rows(int(estimator.n_features_in_), casts_to_float32=True, allows_missing=allows_missing(trees[0]))


def _flat_values(tree: Any) -> Array:
    """Return (n_nodes, n_outputs * n_classes): a tree's values, its outputs side by side."""
    values: Array = tree.tree_.value
    return values.reshape(len(values), -1)


def _is_forest(estimator: Any) -> bool:
    return type(estimator).__name__ not in SINGLE_TREES


def _averaged(finish: Finish, n_trees: int | None) -> Finish:
    return finish if n_trees is None else finishing.divided_by(n_trees, finish)


def _chosen(estimator: Any, method: str, **finishes: Finish) -> Finish:
    if method not in finishes:
        raise Unconvertible(f"{type(estimator).__name__}.{method} is no sum of leaves")
    return finishes[method]
