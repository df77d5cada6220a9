"""Small honest engines, and ensembles read from scikit-learn's trees, for tests to break."""

from __future__ import annotations

from typing import Any

import numpy as np

from demijohn.acceleration.engine import EXACT, Part
from demijohn.acceleration.trees.ensemble import Ensemble
from demijohn.messages import Array, Tensors


def read_forest(forest: Any) -> Ensemble:
    """Read a RandomForestClassifier: leaves are class shares, averaged."""
    trees = [estimator.tree_ for estimator in forest.estimators_]
    offsets = np.cumsum([0, *[tree.node_count for tree in trees]])
    left = np.concatenate(
        [np.where(t.children_left < 0, -1, t.children_left + o) for t, o in pairs(trees, offsets)]
    )
    right = np.concatenate(
        [np.where(t.children_right < 0, -1, t.children_right + o) for t, o in pairs(trees, offsets)]
    )
    is_leaf = left < 0
    values = np.concatenate([tree.value[:, 0, :] for tree in trees])
    n_trees = len(trees)
    return Ensemble(
        n_features=forest.n_features_in_,
        roots=offsets[:-1].astype(np.int32),
        column=np.zeros(n_trees, np.int32),
        feature=np.where(is_leaf, 0, np.concatenate([tree.feature for tree in trees])).astype(np.int32),
        threshold=np.where(is_leaf, 0.0, np.concatenate([tree.threshold for tree in trees])),
        left=left.astype(np.int32),
        right=right.astype(np.int32),
        missing_left=np.concatenate([tree.missing_go_to_left.astype(bool) for tree in trees]),
        leaf=np.where(is_leaf, np.cumsum(is_leaf) - 1, 0).astype(np.int32),
        values=values[is_leaf],
        start=np.zeros(values.shape[1]),
        finish=lambda sums: sums / n_trees,
        casts_to_float32=True,
        allows_missing=True,
    )


def pairs(trees: list[Any], offsets: Array) -> Any:
    return zip(trees, offsets[:-1], strict=True)


def goes_left(ensemble: Ensemble, nodes: Array, values: Array) -> Array:
    """Say where values go at splits, by the law of ``Ensemble``."""
    if ensemble.casts_to_float32:
        with np.errstate(over="ignore", under="ignore"):
            values = values.astype(np.float32).astype(np.float64)
    is_missing = np.isnan(values)
    left = values <= ensemble.threshold[nodes]
    if ensemble.categorical is not None:
        sets = ensemble.categorical[nodes]
        by_category = sets >= 0
        code = np.where((values >= 0) & (values < 256), values, -1)
        place = np.where(code >= 0, code, 0).astype(np.int64)
        word, bit = place // 32, (place % 32).astype(np.uint32)
        known = (ensemble.known_categories[ensemble.feature[nodes], word] >> bit) & 1
        is_missing |= by_category & ((code < 0) | (known == 0))
        members = (ensemble.left_categories[np.maximum(sets, 0), word] >> bit) & 1
        left = np.where(by_category, members == 1, left)
    return np.where(is_missing, ensemble.missing_left[nodes], left)


def walk(
    ensemble: Ensemble, rows: Array, *, roots: Array | None = None, turned: tuple[int, bool] | None = None
) -> Array:
    """Return the sums of a forest, or of some of its trees.

    ``turned`` is a split and a side: what should go to that side there goes to the other.
    """
    node, side = turned or (None, None)
    sums = np.tile(ensemble.start, (len(rows), 1))
    for root in ensemble.roots if roots is None else roots:
        nodes = np.full(len(rows), root)
        while (inner := np.flatnonzero(ensemble.left[nodes] >= 0)).size:
            at = nodes[inner]
            is_left = goes_left(ensemble, at, rows[inner, ensemble.feature[at]])
            is_left = np.where((at == node) & (is_left == side), ~is_left, is_left)
            nodes[inner] = np.where(is_left, ensemble.left[at], ensemble.right[at])
        sums += ensemble.values[ensemble.leaf[nodes]]
    return sums


def reaches(ensemble: Ensemble, rows: Array, targets: Array) -> Array:
    """Say which rows come by their split, on the way down from any root."""
    is_reached = np.zeros(len(rows), bool)
    for root in ensemble.roots:
        nodes = np.full(len(rows), root)
        is_reached |= nodes == targets
        while (inner := np.flatnonzero(ensemble.left[nodes] >= 0)).size:
            at = nodes[inner]
            is_left = goes_left(ensemble, at, rows[inner, ensemble.feature[at]])
            nodes[inner] = np.where(is_left, ensemble.left[at], ensemble.right[at])
            is_reached |= nodes == targets
    return is_reached


class FunctionEngine:
    """An engine of one function of tensors."""

    is_whole = True
    parts: tuple[Part, ...] = ()

    def __init__(self, run: Any, tolerance: float = EXACT) -> None:
        self.name = "numpy"
        self.tolerance = tolerance
        self._run = run

    def run(self, tensors: Tensors) -> Tensors:
        outputs: Tensors = self._run(tensors)
        return outputs
