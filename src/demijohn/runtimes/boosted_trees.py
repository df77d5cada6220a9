"""The trees of a gradient booster as plain arrays, and what becomes of their sum.

Each runtime of boosters reads its framework's own description of a model into this form. Engines are
built of it, and it is where a file's numbers are checked before compiled code follows them.

Rules of this room:
1. A row goes left where its value is at most the threshold; a framework that asks for "less than" has
   its thresholds moved.
2. ``Unreadable`` says why a model is no such sum, in words for the operator: the framework runs it then.
3. A finish answers None where rounding could decide between two labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from demijohn.errors import LoadError
from demijohn.messages import Array

N_CATEGORIES = 256  #: A set of categories holds so many: 8 words of 32 bits.

#: From sums (n_rows, n_outputs) float64 to a method's result; None: the framework is to say.
Finish = Callable[[Array], Array | None]


class Unreadable(Exception):
    """A model is no sum of leaves that is known here; the text says why."""


@dataclass(frozen=True, slots=True, eq=False)
class BoostedTree:
    """One tree; node 0 is its root."""

    feature: Array  #: (n_nodes,)
    threshold: Array  #: (n_nodes,) float64
    left: Array  #: (n_nodes,): -1 at leaves.
    right: Array  #: (n_nodes,): -1 at leaves.
    missing_left: Array  #: (n_nodes,) bool
    values: Array  #: (n_nodes, width): counts at leaves only.
    leaf_names: Array  #: (n_nodes,) int: what the framework calls a leaf.
    categorical: Array | None = None  #: (n_nodes,): row of ``left_categories``, or -1.
    left_categories: Array | None = None  #: (n, 8) uint32: bit i of word w is category 32 w + i.


@dataclass(frozen=True, slots=True, eq=False)
class BoostedTrees:
    """Trees in the order in which their leaves are added up."""

    trees: Sequence[BoostedTree]
    columns: Array  #: (n_trees,): the first output of each tree.
    start: Array  #: (n_outputs,) float64
    n_features: int
    casts_to_float32: bool  #: Rows are rounded to float32.
    sums_in_float32: bool
    finishes: Mapping[str, Finish]  #: By method, all but ``leaf``.
    names_labels: bool = False  #: ``predict`` does.
    leaf_dtype: str = "int32"
    categorical_columns: tuple[int, ...] = field(default=())


def check_tree(tree: BoostedTree, n_features: int) -> None:
    """See that a walk from the root stays inside the tree, ends, and asks for columns that are there.

    Raises:
        LoadError: it does not.
    """
    n_nodes = len(tree.left)
    if not n_nodes or len({len(tree.left), len(tree.right), len(tree.feature), len(tree.threshold)}) != 1:
        raise LoadError("the arrays of a tree contradict each other")
    is_inner = tree.left >= 0
    children = np.concatenate([tree.left[is_inner], tree.right[is_inner]]).astype(np.int64)
    if np.any(children < 0) or np.any(children >= n_nodes):
        raise LoadError("a tree has a child outside of it")
    n_parents = np.bincount(children, minlength=n_nodes)
    # A walk that begins at a node without a parent meets no node twice, if none has two.
    if n_parents[0] or np.any(n_parents > 1):
        raise LoadError("a tree leads back to itself")
    asked = tree.feature[is_inner]
    if np.any(asked < 0) or np.any(asked >= n_features):
        raise LoadError("a tree asks for a column that the model does not take")


def packed_sets(members: Sequence[Sequence[int] | Array]) -> Array:
    """Write sets of categories as bits: (n, 8) uint32.

    Raises:
        Unreadable: a category is too large for a set.
    """
    bits = np.zeros((len(members), N_CATEGORIES), dtype=np.uint32)
    for row, numbers in enumerate(members):
        chosen = np.asarray(numbers, dtype=np.int64)
        if np.any(chosen >= N_CATEGORIES):
            raise Unreadable(f"a column with more than {N_CATEGORIES} categories")
        bits[row, chosen] = 1
    words: Array = (bits.reshape(-1, 8, 32) << np.arange(32, dtype=np.uint32)).sum(axis=2, dtype=np.uint32)
    return words


# What becomes of sums ---------------------------------------------------------------------


def labels_by_sign(scores: Callable[[Array], Array], labels: Sequence[Any] | Array, gap: float) -> Finish:
    """Name the second of two labels where a score is positive.

    Args:
        scores: From sums to (n_rows,).
        labels: Two.
        gap: Rounding may decide of a score that is nearer to 0, but not 0.
    """
    known = np.array(labels)

    def finish(sums: Array) -> Array | None:
        found = scores(sums)
        if len(found) == 1:
            score = float(found[0])
            best = score > 0
            return None if -gap < score < gap and score else known[best : best + 1].copy()
        distance = np.abs(found)
        if ((distance < gap) & (distance > 0)).any():
            return None
        return np.asarray(known[(found > 0).astype(np.intp)])

    return finish


def labels_of_best(scores: Callable[[Array], Array], labels: Sequence[Any] | Array, gap: float) -> Finish:
    """Name the label of the highest score, the first of equals.

    Args:
        scores: From sums to (n_rows, n_labels).
        labels: At least two.
        gap: Rounding may decide between scores that differ by less, but do differ.
    """
    known = np.array(labels)

    def finish(sums: Array) -> Array | None:
        found = scores(sums)
        if len(found) == 1:
            row = found[0].tolist()
            first, second = sorted(row)[:-3:-1]
            best = row.index(first)
            return None if 0 < first - second < gap else known[best : best + 1].copy()
        ordered = np.partition(found, found.shape[1] - 2, axis=1)
        distance = ordered[:, -1] - ordered[:, -2]
        if ((distance < gap) & (distance > 0)).any():
            return None
        return np.asarray(known[found.argmax(axis=1)])

    return finish


def typical_values(trees: BoostedTrees) -> list[float]:
    """Return a plausible number for each column: the first threshold, 0 where nothing asks for it."""
    values = [0.0] * trees.n_features
    for tree in reversed(trees.trees):
        is_number = (tree.left >= 0) & np.isfinite(tree.threshold)
        if tree.categorical is not None:
            is_number &= tree.categorical < 0
        for feature, threshold in zip(
            tree.feature[is_number][::-1], tree.threshold[is_number][::-1], strict=True
        ):
            values[int(feature)] = float(f"{threshold:.4g}")
    return values
