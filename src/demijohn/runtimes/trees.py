"""Checking the trees of an untrusted file, before scikit-learn follows their indices unchecked.

A decision tree is arrays of node indices, and a neighbours' tree is arrays of row indices. Compiled
code goes along them without looking, so an index out of range reads foreign memory, and one that
points back never ends.

Source: https://github.com/scikit-learn/scikit-learn/pull/34558
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from demijohn.errors import LoadError

from .object_graph import everything_in

_LEAF = -1


def check_trees(model: Any) -> None:
    """Look at every tree inside a loaded object.

    Raises:
        LoadError: an index of a tree points outside the tree, or back, or to no column.
    """
    for n_columns, part in everything_in(model):
        check = _CHECKS.get(type(part).__name__)
        if check is not None:
            check(part, n_columns)


def _check_tree(tree: Any, n_columns: int | None) -> None:
    is_leaf = tree.children_left == _LEAF
    if n_columns is not None and tree.n_features != n_columns:
        raise LoadError("a tree is for another number of columns than its model")
    _check_nodes(is_leaf, tree.children_left, tree.children_right, tree.feature, tree.n_features)


def _check_predictor(predictor: Any, n_columns: int | None) -> None:
    nodes = predictor.nodes
    is_leaf = nodes["is_leaf"].astype(bool)
    limit = np.iinfo(np.int32).max if n_columns is None else n_columns
    left, right = nodes["left"].astype(np.int64), nodes["right"].astype(np.int64)
    _check_nodes(is_leaf, left, right, nodes["feature_idx"], limit)
    by_category = nodes["bitset_idx"][nodes["is_categorical"].astype(bool) & ~is_leaf]
    for bitsets in (predictor.binned_left_cat_bitsets, predictor.raw_left_cat_bitsets):
        if np.any(by_category >= len(bitsets)):
            raise LoadError("a tree names categories that it does not hold")


def _check_nodes(is_leaf: Any, left: Any, right: Any, feature: Any, n_features: int) -> None:
    if not len(is_leaf):
        raise LoadError("a tree has no nodes")
    places = np.arange(len(is_leaf))[~is_leaf]
    for children in (left[~is_leaf], right[~is_leaf]):
        # scikit-learn numbers a child after its parent, so a tree that does is free of circles.
        if np.any(children <= places) or np.any(children >= len(is_leaf)):
            raise LoadError("a tree has a child outside of it")
    asked = feature[~is_leaf]
    if np.any(asked < 0) or np.any(asked >= n_features):
        raise LoadError("a tree asks for a column that the model does not take")


def _check_neighbors(tree: Any, n_columns: int | None) -> None:
    data, indices, nodes, bounds = (np.asarray(array) for array in tree.get_arrays())
    n_rows, n_nodes = len(data), len(nodes)
    inner = np.arange(n_nodes)[~nodes["is_leaf"].astype(bool)]
    starts, ends = nodes["idx_start"], nodes["idx_end"]
    is_sound = (
        n_nodes > 0
        and (n_columns is None or data.shape[1] == n_columns)
        and len(indices) == n_rows
        and bounds.shape[1:] == (n_nodes, data.shape[1])
        and np.all((indices >= 0) & (indices < n_rows))
        and np.all((starts >= 0) & (starts <= ends) & (ends <= n_rows))
        and np.all(2 * inner + 2 < n_nodes)  # a node's children stand at twice its place
    )
    if not is_sound:
        raise LoadError("a tree of neighbours points outside of it")


_CHECKS: Mapping[str, Callable[[Any, int | None], None]] = {
    "Tree": _check_tree,
    "TreePredictor": _check_predictor,
    **dict.fromkeys(
        ("KDTree", "KDTree32", "KDTree64", "BallTree", "BallTree32", "BallTree64"), _check_neighbors
    ),
}
