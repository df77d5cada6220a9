"""CatBoost's trees as plain arrays, from the JSON that ``save_model(format="json")`` writes.

Rules of this room:
1. A tree is oblivious: all splits of a level are one. Split k decides bit k of the leaf's number.
2. CatBoost rounds rows to float32, adds leaves up in double, tree by tree, then scales, then adds its bias.
3. A missing value fails every split, unless its column says otherwise.

Source: CatBoost 1.2.10, catboost/libs/model/model_export/json_model_helpers.cpp and
catboost/libs/model/cpu/evaluator_impl.cpp.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from demijohn.errors import LoadError
from demijohn.messages import Array

from .boosted_trees import (
    BoostedTree,
    BoostedTrees,
    Finish,
    Unreadable,
    check_tree,
    labels_by_sign,
    labels_of_best,
)

_GAP = 1e-12
_DEEPEST = 16  # that CatBoost fits


def read(
    document: Mapping[str, Any],
    loss: str,
    methods: Sequence[str],
    labels: Sequence[Any] | None,
    n_features: int,
) -> BoostedTrees:
    """Read a model.

    Args:
        document: What it says of itself.
        loss: That it was fitted with.
        methods: That are wanted.
        labels: Which ``predict`` names; None: it gives numbers.
        n_features: Columns of a row.

    Raises:
        Unreadable: it is no sum of leaves, or of a loss that is not known here.
        LoadError: its trees are broken.
    """
    if "oblivious_trees" not in document:
        raise Unreadable("trees that are not oblivious")
    scale, biases = document["scale_and_bias"]
    bias = np.asarray(biases, dtype=np.float64)
    columns = {
        int(column["feature_index"]): (
            int(column["flat_feature_index"]),
            column["nan_value_treatment"] == "AsTrue",
        )
        for column in document["features_info"].get("float_features", ())
    }
    trees = [_tree(tree, columns, len(bias)) for tree in document["oblivious_trees"]]
    for tree in trees:
        check_tree(tree, n_features)
    return BoostedTrees(
        trees,
        np.zeros(len(trees), dtype=np.int64),
        np.zeros(len(bias)),
        n_features,
        casts_to_float32=True,
        sums_in_float32=False,
        finishes=_finishes(loss, float(scale), bias, methods, labels),
        names_labels=labels is not None,
        leaf_dtype="uint32",
    )


def _tree(tree: Mapping[str, Any], columns: Mapping[int, tuple[int, bool]], width: int) -> BoostedTree:
    """Write a tree's levels as nodes: the children of node i are 2 i + 1 and 2 i + 2."""
    splits = tree["splits"] or ()
    if any(split["split_type"] != "FloatFeature" for split in splits):
        raise Unreadable("splits of other columns than of numbers")
    depth = len(splits)
    n_leaves = 2**depth
    values = np.asarray(tree["leaf_values"], dtype=np.float64)
    if depth > _DEEPEST or len(values) != n_leaves * width:
        raise LoadError("a tree has another number of leaves than its splits make")
    n_splits = n_leaves - 1
    level = np.repeat(np.arange(depth), 2 ** np.arange(depth))
    try:
        placed = [columns[int(split["float_feature_index"])] for split in splits]
    except KeyError as error:
        raise LoadError("a tree asks for a column that the model does not take") from error
    numbers = np.arange(n_splits)
    leaves = np.full(n_leaves, -1)
    names = _leaf_names(depth)
    return BoostedTree(
        feature=_per_node([column for column, _ in placed], level, n_leaves, np.int64),
        threshold=_per_node([split["border"] for split in splits], level, n_leaves, np.float64),
        left=np.concatenate([2 * numbers + 1, leaves]),
        right=np.concatenate([2 * numbers + 2, leaves]),
        missing_left=_per_node([not is_right for _, is_right in placed], level, n_leaves, bool),
        values=np.concatenate([np.zeros((n_splits, width)), values.reshape(n_leaves, width)[names]]),
        leaf_names=np.concatenate([np.zeros(n_splits, np.int64), names]),
    )


def _per_node(per_level: Sequence[Any], level: Array, n_leaves: int, dtype: Any) -> Array:
    return np.concatenate([np.asarray(per_level, dtype=dtype)[level], np.zeros(n_leaves, dtype)])


def _leaf_names(depth: int) -> Array:
    """Return the number of each leaf from left to right: the first split is its lowest bit."""
    names = np.zeros(1, dtype=np.int64)
    for k in range(depth):
        names = np.stack([names, names + 2**k], axis=1).ravel()
    return names


# What becomes of the sums -------------------------------------------------------------------

Scores = Callable[[Array], Array]
_IDENTITY = {
    "RMSE", "MAE", "Quantile", "MAPE", "LogLinQuantile", "Lq", "Huber", "Expectile", "LogCosh", "MultiRMSE",
    "YetiRank", "YetiRankPairwise", "PairLogit", "PairLogitPairwise", "QueryRMSE", "QuerySoftMax",
}  # fmt: skip


def _finishes(
    loss: str, scale: float, bias: Array, methods: Sequence[str], labels: Sequence[Any] | None
) -> dict[str, Finish]:
    def margins(sums: Array) -> Array:
        found = sums * scale
        found += bias
        return found[:, 0] if found.shape[1] == 1 else found

    found: dict[str, Finish] = {"margin": margins}
    if labels is None and loss in _IDENTITY:
        found["predict"] = margins
    if labels is not None and loss == "Logloss" and len(bias) == 1 and len(labels) == 2:
        found["predict"] = labels_by_sign(margins, labels, _GAP)
        found["predict_proba"] = lambda sums: _both(margins(sums))
        found["predict_log_proba"] = lambda sums: _log_both(margins(sums))
    if labels is not None and loss == "MultiClass" and len(bias) == len(labels):
        found["predict"] = _as_column(labels_of_best(margins, labels, _GAP))
        found["predict_proba"] = lambda sums: _softmax(margins(sums))
        found["predict_log_proba"] = lambda sums: _log_softmax(margins(sums))
    return {method: finish for method, finish in found.items() if method in methods}


def _both(scores: Array) -> Array:
    found = np.empty((len(scores), 2))
    found[:, 1] = 1.0 / (1.0 + np.exp(-scores))
    found[:, 0] = 1.0 - found[:, 1]
    return found


def _log_both(scores: Array) -> Array:
    found: Array = np.logaddexp(0.0, np.column_stack((scores, -scores)))
    return -found


def _log_softmax(scores: Array) -> Array:
    found: Array = scores - np.maximum.reduce(scores, axis=1, keepdims=True)
    found -= np.log(np.add.reduce(np.exp(found), axis=1, keepdims=True))
    return found


def _softmax(scores: Array) -> Array:
    found: Array = scores - np.maximum.reduce(scores, axis=1, keepdims=True)
    np.exp(found, out=found)
    found /= np.add.reduce(found, axis=1, keepdims=True)
    return found


def _as_column(finish: Finish) -> Finish:
    """Write labels of several classes as CatBoost does: (n_rows, 1)."""

    def column(sums: Array) -> Array | None:
        found = finish(sums)
        return None if found is None else found.reshape(-1, 1)

    return column
