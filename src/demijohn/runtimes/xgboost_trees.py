"""XGBoost's trees as plain arrays, from the JSON that ``save_raw`` writes.

Rules of this room:
1. XGBoost rounds rows to float32 and asks for "less than": a threshold becomes the largest float32 below.
2. It adds up in float32, beginning with the intercept, tree by tree.
3. A split by category lists those that go right; whatever else is a category goes left.

Source: XGBoost 3.2, src/tree/io_utils.h, src/predictor/cpu_predictor.cc, src/common/math.h.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, pairwise
from types import MappingProxyType
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
    packed_sets,
)

_GAP = 1e-6  #: Margins that differ by less may round to one probability, or to two.

Scores = Callable[[Array], Array]


def read(
    document: Mapping[str, Any], methods: Sequence[str], *, is_classifier: bool, n_rounds: int = 0
) -> BoostedTrees:
    """Read a model.

    Args:
        document: What ``save_raw("json")`` says.
        methods: That are wanted.
        is_classifier: ``predict`` names classes, as ``XGBClassifier`` does.
        n_rounds: How many rounds of boosting count; 0: all.

    Raises:
        Unreadable: it is no sum of leaves, or of an objective that is not known here.
        LoadError: its trees are broken.
    """
    learner = document["learner"]
    booster = learner["gradient_booster"]
    if booster["name"] != "gbtree":
        raise Unreadable(f"a booster of the kind {booster['name']}")
    model, parameters = booster["model"], learner["learner_model_param"]
    n_features = int(parameters["num_feature"])
    n_outputs = max(1, int(parameters["num_class"]), int(parameters.get("num_target", 1)))
    n_trees = int(model["iteration_indptr"][n_rounds]) if n_rounds else len(model["trees"])
    columns = np.asarray(model["tree_info"][:n_trees], dtype=np.int64)
    if np.any(columns < 0) or np.any(columns >= n_outputs) or len(columns) != n_trees:
        raise LoadError("its trees are for outputs that it does not have")
    trees = [_tree(tree, n_features) for tree in model["trees"][:n_trees]]
    objective = str(learner["objective"]["name"])
    categorical = [tree.feature[tree.categorical >= 0] for tree in trees if tree.categorical is not None]
    return BoostedTrees(
        trees,
        columns,
        np.full(n_outputs, _intercept(parameters, objective), dtype=np.float64),
        n_features,
        casts_to_float32=True,
        sums_in_float32=True,
        finishes=_finishes(objective, n_outputs, methods, is_classifier=is_classifier),
        names_labels=is_classifier,
        leaf_dtype="float32",
        categorical_columns=tuple(np.unique(np.concatenate(categorical)).tolist()) if categorical else (),
    )


def categories_of(
    document: Mapping[str, Any], given: Mapping[int, Sequence[Any]] = MappingProxyType({})
) -> dict[int, list[Any] | None]:
    """Return the categories of the columns of which the model knows them, in the order of their codes.

    Args:
        document: The model.
        given: Of some columns, what their categories are said to be.

    Returns:
        None for a column of which the model keeps its categories in part, and ``given`` has not got them.
    """
    cats = document["learner"]["gradient_booster"].get("model", {}).get("cats", {})
    found = {index: _categories(each, given.get(index)) for index, each in enumerate(cats.get("enc", ()))}
    return {index: categories for index, categories in found.items() if categories != []}


def _categories(encoded: Mapping[str, Any], given: Sequence[Any] | None) -> list[Any] | None:
    values = encoded["values"]
    if "offsets" not in encoded:  # numbers
        return list(values)
    text, offsets = bytes(value & 255 for value in values), list(encoded["offsets"])
    if text.isascii():
        return [text[start:stop].decode() for start, stop in pairwise(offsets)]
    return list(given) if given is not None and _are_kept_as(given, text, offsets) else None


def _are_kept_as(given: Sequence[Any], text: bytes, offsets: list[int]) -> bool:
    """Say whether XGBoost would keep categories so.

    It counts a DataFrame's in characters, and keeps as many bytes: "ö" has two, so the borders are wrong
    and the last bytes are lost. An Arrow table's it counts in bytes, and keeps whole.
    Source: XGBoost 3.2, python-package/xgboost/_data_utils.py, ``npstr_to_arrow_strarr``.
    """
    names = [str(category) for category in given]
    lengths = ([len(name) for name in names], [len(name.encode()) for name in names])
    is_cut_so = any([0, *accumulate(counted)] == offsets for counted in lengths)
    return is_cut_so and "".join(names).encode().startswith(text)


def _tree(tree: Mapping[str, Any], n_features: int) -> BoostedTree:
    if int(tree["tree_param"].get("size_leaf_vector", "1")) > 1:
        raise Unreadable("trees whose leaves are vectors")
    left = np.asarray(tree["left_children"], dtype=np.int64)
    conditions = np.asarray(tree["split_conditions"], dtype=np.float64).astype(np.float32)
    split, sets = _by_category(tree, len(left))
    with np.errstate(over="ignore"):
        below = np.nextafter(conditions, np.float32(-np.inf))
    found = BoostedTree(
        feature=np.asarray(tree["split_indices"], dtype=np.int64),
        threshold=np.where(split >= 0, 0.0, below.astype(np.float64)),
        left=left,
        right=np.asarray(tree["right_children"], dtype=np.int64),
        missing_left=np.asarray(tree["default_left"], dtype=bool),
        values=conditions.astype(np.float64)[:, np.newaxis],
        leaf_names=np.arange(len(left)),
        categorical=split if len(sets) else None,
        left_categories=sets if len(sets) else None,
    )
    check_tree(found, n_features)
    return found


def _by_category(tree: Mapping[str, Any], n_nodes: int) -> tuple[Array, Array]:
    """Return for each node its row of sets, or -1; and the sets of categories that go left."""
    nodes = np.asarray(tree.get("categories_nodes", ()), dtype=np.int64)
    split = np.full(n_nodes, -1)
    if not len(nodes):
        return split, np.empty((0, 8), np.uint32)
    if np.any(nodes < 0) or np.any(nodes >= n_nodes):
        raise LoadError("a tree splits by category outside of it")
    split[nodes] = np.arange(len(nodes))
    categories = tree["categories"]
    right = packed_sets(
        [
            categories[start : start + size]
            for start, size in zip(tree["categories_segments"], tree["categories_sizes"], strict=True)
        ]
    )
    return split, ~right


def _intercept(parameters: Mapping[str, Any], objective: str) -> Array:
    """Return what the sums begin with: the intercept in margins, float32."""
    text = parameters["base_score"]
    means = np.atleast_1d(np.asarray(json.loads(text), dtype=np.float64)).astype(np.float32)
    if objective in {"binary:logistic", "reg:logistic"}:
        one = np.float32(1)
        # As its -logf rounds: the logarithm of a float32, rounded once.
        return np.array([np.float32(-math.log(float(one / mean - one))) for mean in means])
    if objective in _EXPONENTIAL:
        return np.array([np.float32(math.log(float(mean))) for mean in means])
    return np.asarray(means)


# What becomes of the sums -------------------------------------------------------------------

_EXPONENTIAL = {"count:poisson", "reg:gamma", "reg:tweedie"}
_IDENTITY = {
    "reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:quantileerror",
    "reg:squaredlogerror", "rank:pairwise", "rank:ndcg", "rank:map", "binary:logitraw",
}  # fmt: skip
_LARGEST = np.float32(88.7)


def _margins(sums: Array) -> Array:
    return sums.astype(np.float32)[:, 0] if sums.shape[1] == 1 else sums.astype(np.float32)


def _sigmoid(sums: Array) -> Array:
    found = np.exp(np.minimum(-_margins(sums), _LARGEST))
    found += np.float32(1)
    return np.asarray(np.float32(1) / found)


def _softmax(sums: Array) -> Array:
    margins = sums.astype(np.float32)
    found: Array = margins - np.maximum.reduce(margins, axis=1, keepdims=True)
    np.exp(found, out=found)
    found /= np.add.reduce(found, axis=1, keepdims=True)
    return found


def _exponential(sums: Array) -> Array:
    return np.asarray(np.exp(_margins(sums)))


def _both(sums: Array) -> Array:
    found = _sigmoid(sums)
    return np.vstack((1.0 - found, found)).transpose()


def _finishes(
    objective: str, n_outputs: int, methods: Sequence[str], *, is_classifier: bool
) -> dict[str, Finish]:
    found: dict[str, Finish] = {"margin": _margins}
    if objective in _IDENTITY and not is_classifier:
        found["predict"] = _margins
    elif objective in _EXPONENTIAL:
        found["predict"] = _exponential
    elif objective in {"binary:logistic", "reg:logistic"} and not is_classifier:
        found["predict"] = _sigmoid
    elif objective == "multi:softprob":
        found["predict"] = _softmax
    if objective == "binary:logistic" and n_outputs == 1:
        found["predict_proba"] = _both
        if is_classifier:
            found["predict"] = labels_by_sign(_margins, np.arange(2), _GAP)
    if objective == "multi:softprob":
        found["predict_proba"] = _softmax
        if is_classifier and n_outputs > 2:
            found["predict"] = labels_of_best(_margins, np.arange(n_outputs), _GAP)
    return {method: finish for method, finish in found.items() if method in methods}
