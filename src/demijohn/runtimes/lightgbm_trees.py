"""LightGBM's trees as plain arrays, from the text that ``save_model`` writes.

Rules of this room:
1. The text is not trusted: LightGBM's own reader believes counts and indices, so ``check`` comes first.
2. Rows are doubles, of which those nearest to 0 count as 0, and leaves are added up in double, tree by tree.
3. A split by category lists those that go left; whatever else goes right, what is missing too.

Source: LightGBM 4.7, src/io/tree.cpp, include/LightGBM/tree.h, src/boosting/gbdt_model_text.cpp,
src/boosting/gbdt_prediction.cpp and src/objective.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
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

_GAP = 1e-12  #: Scores that differ by less may round to one probability, or to two.
_BY_CATEGORY, _DEFAULT_LEFT = 1, 2  #: Bits of a decision type; the missing type stands above them.
_NONE, _ZERO, _NAN = range(3)  #: Missing types.
_ZERO_WIDTH = float(np.float32(1e-35))
_MOST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Document:
    """A model's text, taken apart."""

    head: Mapping[str, str]
    trees: Sequence[Mapping[str, str]]

    @property
    def objective(self) -> str:
        """Return the objective's name; "" where it is the user's own."""
        return self.head.get("objective", "").partition(" ")[0]

    @property
    def n_classes(self) -> int:
        """Return how many trees there are in each round."""
        return _count(self.head, "num_tree_per_iteration")

    @property
    def n_features(self) -> int:
        """Return how many columns a row has."""
        return _count(self.head, "max_feature_idx") + 1

    @property
    def ranges(self) -> Sequence[str]:
        """Return what was seen in each column: ``[least:most]``, categories ``3:0:1``, or ``none``."""
        found = self.head.get("feature_infos", "").split(" ")
        return found if len(found) == self.n_features else ["none"] * self.n_features


def parse(text: str) -> Document:
    """Take a model's text apart."""
    text, _, _ = text.partition("\nend of trees")
    head, *trees = re.split(r"\nTree=\d+\r?\n", text)
    return Document(_fields(head), [_fields(tree) for tree in trees])


def _fields(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines())
    return {name: value for name, _, value in pairs}


def check(document: Document) -> None:
    """See that LightGBM can read a model's text without leaving it.

    Raises:
        LoadError: it could not.
    """
    if not document.trees:
        raise LoadError("it has no trees")
    if document.n_classes < 1 or len(document.trees) % document.n_classes:
        raise LoadError(f"it has {len(document.trees)} trees, and {document.n_classes} in a round")
    for name in ("feature_names", "feature_infos"):
        if len(document.head.get(name, "").split(" ")) != document.n_features:
            raise LoadError(f"its {name} are not {document.n_features}, as many as it has columns")
    sizes = document.head.get("tree_sizes")
    if sizes is not None and len(sizes.split()) != len(document.trees):
        raise LoadError("it has not as many trees as it says")
    for fields in document.trees:
        _check_counts(fields)
        check_tree(_tree(fields), document.n_features)


def _check_counts(fields: Mapping[str, str]) -> None:
    """See that each list of a tree is as long as the tree has leaves, or splits."""
    n_leaves, n_sets = _count(fields, "num_leaves"), _count(fields, "num_cat")
    if n_leaves < 1 or n_sets < 0:
        raise LoadError("a tree has no leaves")
    for name, length in (
        *((each, n_leaves - 1) for each in _OF_SPLITS),
        *((each, n_leaves) for each in _OF_LEAVES),
    ):
        if fields.get(name, "").split() and len(fields[name].split()) != length:
            raise LoadError(f"a tree has another number of {name} than it says")
    if n_sets and len(fields.get("cat_boundaries", "").split()) != n_sets + 1:
        raise LoadError("a tree has another number of cat_boundaries than it says")


_OF_SPLITS = (
    "split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child",
    "internal_value", "internal_weight", "internal_count",
)  # fmt: skip
_OF_LEAVES = ("leaf_value", "leaf_weight", "leaf_count")


def read(document: Document, methods: Sequence[str], labels: Sequence[Any] | None) -> BoostedTrees:
    """Read a model.

    Args:
        document: Its text.
        methods: That are wanted.
        labels: Which ``predict`` names; None: it gives numbers.

    Raises:
        Unreadable: it is no sum of leaves, or of an objective that is not known here.
        LoadError: its trees are broken.
    """
    n_outputs, n_trees = document.n_classes, len(document.trees)
    trees = []
    for fields in document.trees:
        _check_readable(fields)
        tree = _tree(fields)
        check_tree(tree, document.n_features)
        trees.append(tree)
    categorical = [tree.feature[tree.categorical >= 0] for tree in trees if tree.categorical is not None]
    return BoostedTrees(
        trees,
        np.tile(np.arange(n_outputs), n_trees // n_outputs),
        np.zeros(n_outputs),
        document.n_features,
        casts_to_float32=False,
        sums_in_float32=False,
        finishes=_finishes(document, n_trees // n_outputs, methods, labels),
        names_labels=labels is not None,
        categorical_columns=tuple(np.unique(np.concatenate(categorical)).tolist()) if categorical else (),
    )


def _check_readable(fields: Mapping[str, str]) -> None:
    if fields.get("is_linear", "0").strip() not in {"", "0"}:
        raise Unreadable("trees with linear models in their leaves")
    kinds = _integers(fields, "decision_type")
    if np.any((kinds & _BY_CATEGORY == 0) & (kinds >> 2 & 3 == _ZERO)):
        raise Unreadable("zero counts as missing")


def _tree(fields: Mapping[str, str]) -> BoostedTree:
    """Number the splits first, then the leaves, as LightGBM does from -1 downwards."""
    n_leaves = _count(fields, "num_leaves")
    n_splits = n_leaves - 1
    values = _numbers(fields, "leaf_value")
    if n_leaves < 1 or len(values) != n_leaves:
        raise LoadError("a tree has another number of leaves than it says")
    kinds, threshold = _integers(fields, "decision_type"), _numbers(fields, "threshold")
    feature = _integers(fields, "split_feature")
    children = [_integers(fields, name) for name in ("left_child", "right_child")]
    if any(len(each) != n_splits for each in (kinds, threshold, feature, *children)):
        raise LoadError("the arrays of a tree contradict each other")
    if any(np.any(each < -n_leaves) or np.any(each >= n_splits) for each in children):
        raise LoadError("a tree has a child outside of it")
    left, right = (np.where(each < 0, n_splits - 1 - each, each) for each in children)
    by_category = kinds & _BY_CATEGORY != 0
    split, sets = _by_category(fields, threshold, by_category)
    missing_left = np.where(kinds >> 2 & 3 == _NAN, kinds & _DEFAULT_LEFT != 0, threshold >= 0)
    threshold = _around_zero(threshold)
    leaves = np.full(n_leaves, -1)
    return BoostedTree(
        feature=np.concatenate([feature, np.zeros(n_leaves, np.int64)]),
        threshold=np.concatenate([np.where(by_category, 0.0, threshold), np.zeros(n_leaves)]),
        left=np.concatenate([left, leaves]),
        right=np.concatenate([right, leaves]),
        missing_left=np.concatenate([missing_left & ~by_category, np.zeros(n_leaves, bool)]),
        values=np.concatenate([np.zeros(n_splits), values])[:, np.newaxis],
        leaf_names=np.concatenate([np.zeros(n_splits, np.int64), np.arange(n_leaves)]),
        categorical=np.concatenate([split, leaves]) if sets is not None else None,
        left_categories=sets,
    )


def _around_zero(threshold: Array) -> Array:
    """Move thresholds out of the values around 0 that LightGBM takes for 0 (c_api.cpp, dense rows)."""
    most_left = np.where((threshold >= 0) & (threshold < _ZERO_WIDTH), _ZERO_WIDTH, threshold)
    is_below = (threshold < 0) & (threshold >= -_ZERO_WIDTH)
    return np.where(is_below, np.nextafter(-_ZERO_WIDTH, -np.inf), most_left)


def _by_category(
    fields: Mapping[str, str], threshold: Array, by_category: Array
) -> tuple[Array, Array | None]:
    """Return for each split its row of sets, or -1; and the sets of categories that go left."""
    split = np.full(len(threshold), -1)
    if not by_category.any():
        return split, None
    bounds, words = _integers(fields, "cat_boundaries"), _integers(fields, "cat_threshold")
    rows = threshold[by_category].astype(np.int64)
    is_sound = (
        len(bounds) > 1 and bounds[0] == 0 and bounds[-1] == len(words) and np.all(np.diff(bounds) >= 0)
    )
    if not is_sound or np.any(rows < 0) or np.any(rows >= len(bounds) - 1):
        raise LoadError("a tree names categories that it does not hold")
    split[by_category] = rows
    members = [_members(words[start:stop]) for start, stop in pairwise(bounds)]
    return split, packed_sets(members)


def _members(words: Array) -> Array:
    bits = (words[:, np.newaxis] >> np.arange(32)) & 1
    return np.flatnonzero(bits)


def _count(fields: Mapping[str, str], name: str) -> int:
    found = fields.get(name, "").strip()
    if not re.fullmatch(r"-?\d{1,10}", found) or not -1 <= int(found) <= _MOST:
        raise LoadError(f"its {name} is {found[:40]!r}, no count")
    return int(found)


def _integers(fields: Mapping[str, str], name: str) -> Array:
    return _array(fields, name, np.int64)


def _numbers(fields: Mapping[str, str], name: str) -> Array:
    return _array(fields, name, np.float64)


def _array(fields: Mapping[str, str], name: str, dtype: type) -> Array:
    try:
        return np.array(fields.get(name, "").split(), dtype=dtype)
    except (ValueError, OverflowError) as error:
        raise LoadError(f"a tree's {name} are no numbers") from error


# What becomes of the sums -------------------------------------------------------------------

Scores = Callable[[Array], Array]
_IDENTITY = {
    "regression", "regression_l1", "huber", "fair", "quantile", "mape", "lambdarank", "rank_xendcg", "",
}  # fmt: skip
_EXPONENTIAL = {"poisson", "gamma", "tweedie"}


def _finishes(
    document: Document, n_rounds: int, methods: Sequence[str], labels: Sequence[Any] | None
) -> dict[str, Finish]:
    divisor = float(n_rounds) if "average_output" in document.head else None
    options = dict(
        each.split(":", 1) for each in document.head.get("objective", "").split(" ")[1:] if ":" in each
    )
    is_square_root = "sqrt" in document.head.get("objective", "").split(" ")[1:]

    def margins(sums: Array) -> Array:
        found = sums if divisor is None else sums / divisor
        return found[:, 0] if found.shape[1] == 1 else found

    found: dict[str, Finish] = {"margin": margins, "decision_function": margins}
    objective = document.objective
    if objective == "binary" and document.n_classes == 1:
        slope = float(options.get("sigmoid", 1))
        _add_binary(found, margins, slope, labels)
    elif objective == "multiclass":
        _add_multiple(found, margins, labels)
    elif objective in _IDENTITY and labels is None and not is_square_root:
        found["predict"] = margins
    elif objective in _EXPONENTIAL and labels is None:
        found["predict"] = lambda sums: np.exp(margins(sums))
    elif objective == "cross_entropy" and labels is None:
        found["predict"] = lambda sums: 1.0 / (1.0 + np.exp(-margins(sums)))
    return {method: finish for method, finish in found.items() if method in methods}


def _add_binary(
    found: dict[str, Finish], margins: Scores, slope: float, labels: Sequence[Any] | None
) -> None:
    def second(sums: Array) -> Array:
        return np.asarray(1.0 / (1.0 + np.exp(-slope * margins(sums))))

    def both(sums: Array) -> Array:
        values = second(sums)
        return np.vstack((1.0 - values, values)).transpose()

    found["predict_proba"] = both
    found["predict"] = second if labels is None else labels_by_sign(margins, labels, _GAP)


def _add_multiple(found: dict[str, Finish], margins: Scores, labels: Sequence[Any] | None) -> None:
    def softmax(sums: Array) -> Array:
        values: Array = margins(sums)
        values = values - np.maximum.reduce(values, axis=1, keepdims=True)
        np.exp(values, out=values)
        values /= np.add.reduce(values, axis=1, keepdims=True)
        return values

    found["predict_proba"] = softmax
    found["predict"] = softmax if labels is None else labels_of_best(margins, labels, _GAP)
