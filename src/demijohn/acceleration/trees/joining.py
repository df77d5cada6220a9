"""Single trees, and how they become one ensemble.

Rules of this room:
1. Trees keep their order: it is the order in which their leaves are added up.
2. Leaves of equal values share a row of ``values``, so that a large forest's stay in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from demijohn.acceleration.engine import Unconvertible
from demijohn.messages import Array

from .ensemble import Ensemble, UnreadEnsemble

#: Nodes are numbered by int32; a forest near that would need 100 GB before it got here.
MAX_NODES = 2**31 - 1


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """One tree; node 0 is its root."""

    feature: Array  #: (n_nodes,): a column of the rows.
    threshold: Array  #: (n_nodes,)
    left: Array  #: (n_nodes,): -1 at leaves.
    right: Array  #: (n_nodes,): -1 at leaves.
    missing_left: Array  #: (n_nodes,)
    values: Array | None  #: (n_nodes, width): counts at leaves only. None: each leaf's own number.
    categorical: Array | None = None  #: (n_nodes,): row of ``left_categories``, or -1.
    left_categories: Array | None = None  #: (n, 8) uint32


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """What rows the trees take; see ``Ensemble``."""

    n_features: int
    casts_to_float32: bool
    allows_missing: bool
    known_categories: Array | None = None
    prepare: Callable[[Array], Array] | None = None
    sums_in_float32: bool = False


def join(
    trees: Sequence[Tree],
    rows: Rows,
    *,
    start: Array,
    finish: Callable[[Array], Any],
    columns: Array | None = None,
    made_of: tuple[Any, ...] = (),
    gives_leaves: bool = False,
) -> Ensemble:
    """Make an ensemble of trees; its nodes are copied when they are first asked for.

    Args:
        trees: In the order in which their leaves are added; all of one width.
        rows: What they take.
        start: (n_outputs,): what the sums begin with.
        finish: From the sums to the method's result.
        columns: (n_trees,): the first output of each tree; None: output 0 for all.
        made_of: See ``Ensemble``.
        gives_leaves: See ``Ensemble``.

    Raises:
        Unconvertible: there is no tree, or there are too many nodes.
    """
    sizes = np.array([len(tree.feature) for tree in trees], dtype=np.int64)
    if not len(trees) or sizes.sum() > MAX_NODES:
        raise Unconvertible(f"{len(trees)} trees of {sizes.sum()} nodes in all")
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    return UnreadEnsemble.later(
        partial(_nodes, trees, roots, sizes),
        int(sizes.sum()),
        n_features=rows.n_features,
        roots=roots.astype(np.int32),
        column=np.zeros(len(trees), np.int32) if columns is None else columns.astype(np.int32),
        start=np.ascontiguousarray(start, dtype=np.float64),
        finish=finish,
        casts_to_float32=rows.casts_to_float32,
        allows_missing=rows.allows_missing,
        known_categories=rows.known_categories,
        prepare=rows.prepare,
        sums_in_float32=rows.sums_in_float32,
        made_of=made_of,
        gives_leaves=gives_leaves,
    )


def _nodes(trees: Sequence[Tree], roots: Array, sizes: Array) -> dict[str, Array | None]:
    """Put the trees' nodes into one numbering."""
    offsets = np.repeat(roots.astype(np.int32), sizes)
    left = np.concatenate([tree.left for tree in trees], dtype=np.int32, casting="same_kind")
    right = np.concatenate([tree.right for tree in trees], dtype=np.int32, casting="same_kind")
    is_leaf = left < 0
    leaf, values = _shared_rows(np.concatenate([_leaf_values(tree) for tree in trees]))
    leaf_of_node = np.zeros(len(left), dtype=np.int32)
    leaf_of_node[is_leaf] = leaf
    categorical, left_categories = _categories(trees)
    feature = np.concatenate([tree.feature for tree in trees], dtype=np.int32, casting="same_kind")
    threshold = np.concatenate([tree.threshold for tree in trees], dtype=np.float64)
    missing_left = np.concatenate([tree.missing_left for tree in trees]).astype(bool)
    for array, at_leaves in ((feature, 0), (threshold, 0.0), (missing_left, False)):
        array[is_leaf] = at_leaves
    left += offsets
    right += offsets
    left[is_leaf] = right[is_leaf] = -1
    return {
        "feature": feature,
        "threshold": threshold,
        "left": left,
        "right": right,
        "missing_left": missing_left,
        "leaf": leaf_of_node,
        "values": values,
        "categorical": categorical,
        "left_categories": left_categories,
    }


def _leaf_values(tree: Tree) -> Array:
    is_leaf = tree.left < 0
    if tree.values is None:
        return np.flatnonzero(is_leaf).astype(np.float64)[:, np.newaxis]
    return tree.values[is_leaf]


def _shared_rows(values: Array) -> tuple[Array, Array]:
    """Give each leaf the number of its row of values; rows that are equal to the last bit are one."""
    rows = np.ascontiguousarray(values, dtype=np.float64)
    # Bits, since 0 and -0 are equal as numbers.
    kind = np.dtype(np.uint64) if rows.shape[1] == 1 else np.dtype((np.void, rows.itemsize * rows.shape[1]))
    whole = rows.view(kind)[:, 0]
    _, first, row = np.unique(whole, return_index=True, return_inverse=True)
    return row.astype(np.int32), rows[first]


def _categories(trees: Sequence[Tree]) -> tuple[Array | None, Array | None]:
    """Number the trees' splits by category through."""
    if all(tree.left_categories is None or not len(tree.left_categories) for tree in trees):
        return None, None
    splits, categories, n_rows = [], [], 0
    for tree in trees:
        if tree.categorical is None or tree.left_categories is None:
            splits.append(np.full(len(tree.feature), -1))
            continue
        splits.append(np.where(tree.categorical >= 0, tree.categorical + n_rows, -1))
        categories.append(tree.left_categories)
        n_rows += len(tree.left_categories)
    return np.concatenate(splits).astype(np.int32), np.concatenate(categories).astype(np.uint32)
