"""Trees in onnxruntime: one ``TreeEnsemble`` of ai.onnx.ml opset 5, in float64.

Rules of this room:
1. The additions are those of the ensemble's rule 2, so sums are equal to the last bit: the runtime
   adds trees in the order of their roots, and what a sum starts with is a first tree of one leaf.
2. Rows are not rounded to float32: the thresholds are moved to where the rounding turns.
3. Wide leaves are looked up: the graph then answers with the number of each tree's leaf, since a
   leaf of the operator has one value, and a copy of each tree per column costs more from 3 on.

Source: https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html (version 5).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from demijohn import kernels
from demijohn.acceleration.engine import Step, StepAside, Unconvertible
from demijohn.acceleration.onnx_session import missing, open_session
from demijohn.messages import Array

from .ensemble import LARGE_NODES, Ensemble

LEQ, MEMBER = 0, 6  #: Modes of a node.
#: Least magnitude that float32 rounds to infinity: the middle of its largest value and 2**128.
FLOAT32_OVERFLOW = float.fromhex("0x1.ffffffp127")
WIDEST_COPIED = 2  #: Most values per leaf for which each tree is copied per column.
N_CATEGORIES = 256
BLOCK_VALUES = 1 << 18  #: Most values of leaves that are looked up at a time.


def step(ensemble: Ensemble) -> Step:
    """Build the graph and open it.

    Raises:
        Unconvertible: onnx or onnxruntime is missing, or does not know the operator; or the ensemble is
            large, and this machine has a kernel for it.
    """
    if kernels.IS_BUILT and ensemble.n_nodes >= LARGE_NODES:
        raise Unconvertible(f"{ensemble.n_nodes:,} nodes, too many for a copy in each worker")
    sums = _copied(ensemble) if _is_copied(ensemble) else _looked_up(ensemble)
    makers = [maker for maker in (ensemble.prepare, _category_reader(ensemble)) if maker is not None]
    check, finish = _checker(ensemble), ensemble.finish

    def run(matrix: Array) -> Array:
        check(matrix)
        for maker in makers:
            matrix = maker(matrix)
        return finish(sums(matrix))

    return run


def _is_copied(ensemble: Ensemble) -> bool:
    return ensemble.width <= WIDEST_COPIED or ensemble.width < ensemble.n_outputs


def _copied(ensemble: Ensemble) -> Callable[[Array], Array]:
    """Have the runtime do the sums."""
    session = open_session(_graph(ensemble, _adding(ensemble)))

    def sums(matrix: Array) -> Array:
        return session({"X": matrix})[0]

    return sums


def _looked_up(ensemble: Ensemble) -> Callable[[Array], Array]:
    """Have the runtime find the leaves, and add up their values here, tree by tree."""
    values, start = ensemble.values, ensemble.start
    n_rows = max(1, BLOCK_VALUES // (len(ensemble.roots) * ensemble.width))
    session = open_session(_graph(ensemble, _numbering(ensemble)))

    def block(matrix: Array) -> Array:
        numbers = session({"X": matrix})[0].astype(np.intp)
        picked = values[numbers]
        picked[:, 0] += start  # addition commutes to the last bit: start + first tree
        # Along an axis that is not the last, numpy adds one after another, not by halves.
        total: Array = np.add.reduce(picked, axis=1)
        return total

    def sums(matrix: Array) -> Array:
        if len(matrix) <= n_rows:
            return block(matrix)
        return np.concatenate([block(matrix[i : i + n_rows]) for i in range(0, len(matrix), n_rows)])

    return sums


class _Leaves(NamedTuple):
    """What the leaves of the graph's trees are; each copy of the trees has its own."""

    weights: Array  #: (n_copies, n_leaves) float64.
    targets: Array  #: (n_copies, n_leaves) int: the output that a leaf is added to.
    start: Array  #: (n_targets,) float64: where the sum begins.


def _adding(ensemble: Ensemble) -> _Leaves:
    """Have each copy of a tree add one of its leaves' values."""
    leaves = np.flatnonzero(ensemble.left < 0)
    copies = np.arange(ensemble.width)[:, None]
    return _Leaves(
        weights=ensemble.values[ensemble.leaf[leaves]].T,
        targets=ensemble.column[_tree_of(ensemble)[leaves]][None, :] + copies,
        start=ensemble.start,
    )


def _numbering(ensemble: Ensemble) -> _Leaves:
    """Have each tree write the number of its leaf to an output of its own."""
    leaves = np.flatnonzero(ensemble.left < 0)
    return _Leaves(
        weights=ensemble.leaf[leaves][None, :].astype(np.float64),
        targets=_tree_of(ensemble)[leaves][None, :],
        start=np.zeros(len(ensemble.roots)),
    )


def _tree_of(ensemble: Ensemble) -> Array:
    """Return which tree a node stands in, (n_nodes,)."""
    trees = np.zeros(len(ensemble.left), np.intp)
    nodes, owners = ensemble.roots, np.arange(len(ensemble.roots))
    while len(nodes):
        trees[nodes] = owners
        is_split = ensemble.left[nodes] >= 0
        nodes, owners = nodes[is_split], owners[is_split]
        nodes = np.concatenate([ensemble.left[nodes], ensemble.right[nodes]])
        owners = np.concatenate([owners, owners])
    return trees


def _graph(ensemble: Ensemble, leaves: _Leaves) -> bytes:
    """Write the graph: X (n_rows, n_features) float64 to Y (n_rows, n_targets) float64."""
    try:
        from onnx import TensorProto, helper
    except ImportError as error:
        raise missing("onnx") from error
    node = helper.make_node("TreeEnsemble", ["X"], ["Y"], domain="ai.onnx.ml")
    node.attribute.extend(_attribute(name, value) for name, value in _attributes(ensemble, leaves).items())
    graph = helper.make_graph(
        [node],
        "trees",
        [helper.make_tensor_value_info("X", TensorProto.DOUBLE, [None, ensemble.n_features])],
        [helper.make_tensor_value_info("Y", TensorProto.DOUBLE, [None, len(leaves.start)])],
    )
    # Versions that onnxruntime 1.22 knows, the oldest one allowed.
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 5)]
    content: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    return content


def _attribute(name: str, value: Array | int) -> Any:
    """Write one attribute; ``helper.make_attribute`` looks at each number of a list."""
    from onnx import AttributeProto, numpy_helper

    attribute = AttributeProto(name=name)
    if isinstance(value, int):
        attribute.type, attribute.i = AttributeProto.INT, value
    elif value.dtype in (np.float64, np.uint8):
        attribute.type = AttributeProto.TENSOR
        attribute.t.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value), name))
    else:
        attribute.type = AttributeProto.INTS
        attribute.ints.extend(value.tolist())
    return attribute


def _attributes(ensemble: Ensemble, leaves: _Leaves) -> dict[str, Array | int]:
    """Lay out splits copy by copy, then one stump for each tree that is a leaf."""
    is_leaf = ensemble.left < 0
    number = np.where(is_leaf, np.cumsum(is_leaf), np.cumsum(~is_leaf)) - 1
    splits = np.flatnonzero(~is_leaf)
    n_copies, n_leaves = leaves.weights.shape
    shift = np.arange(n_copies)
    # A leaf's place for a leaf, a split's for a split: (n_nodes, n_copies).
    places = number[:, None] + shift * np.where(is_leaf, n_leaves, len(splits))[:, None]

    started = np.flatnonzero(leaves.start)
    bare = is_leaf[ensemble.roots]
    stumps = np.concatenate(
        [n_copies * n_leaves + np.arange(len(started)), places[ensemble.roots[bare]].ravel()]
    )
    stump_places = n_copies * len(splits) + np.arange(len(stumps))
    roots = places[ensemble.roots]
    roots[bare] = stump_places[len(started) :].reshape(-1, n_copies)

    def of_splits(values: Array, of_stump: Any = 0) -> Array:
        return np.concatenate(
            [np.tile(values[splits], n_copies), np.full(len(stumps), of_stump, values.dtype)]
        )

    def of_branch(child: Array) -> dict[str, Array]:
        ids = np.concatenate([places[child[splits]].T.ravel(), stumps])
        return {"ids": ids, "leafs": of_splits(is_leaf[child], of_stump=True).astype(np.int64)}

    true, false = of_branch(ensemble.left), of_branch(ensemble.right)
    modes, members = _modes(ensemble)
    return {
        "aggregate_function": 1,  # SUM
        "post_transform": 0,  # NONE
        "n_targets": len(leaves.start),
        "tree_roots": np.concatenate([stump_places[: len(started)], roots.ravel()]),
        "nodes_modes": of_splits(modes),
        "nodes_featureids": of_splits(ensemble.feature),
        "nodes_splits": of_splits(_thresholds(ensemble)),
        "nodes_missing_value_tracks_true": of_splits(ensemble.missing_left.astype(np.int64)),
        "nodes_truenodeids": true["ids"],
        "nodes_trueleafs": true["leafs"],
        "nodes_falsenodeids": false["ids"],
        "nodes_falseleafs": false["leafs"],
        "leaf_targetids": np.concatenate([leaves.targets.ravel(), started]),
        "leaf_weights": np.concatenate([leaves.weights.ravel(), leaves.start[started]]),
        **({} if members is None else {"membership_values": np.tile(members, n_copies)}),
    }


def _modes(ensemble: Ensemble) -> tuple[Array, Array | None]:
    """Return the mode of each node, (n_nodes,), and the members of the sets among them."""
    modes = np.full(len(ensemble.left), LEQ, np.uint8)
    if ensemble.categorical is None or ensemble.left_categories is None:
        return modes, None
    is_set = (ensemble.left >= 0) & (ensemble.categorical >= 0)
    modes[is_set] = MEMBER
    return modes, _members(ensemble.left_categories, ensemble.categorical[is_set])


def _thresholds(ensemble: Ensemble) -> Array:
    """Move each threshold to the largest float64 that is sent left once rounded to float32."""
    if not ensemble.casts_to_float32:
        return ensemble.threshold
    with np.errstate(over="ignore"):
        low = ensemble.threshold.astype(np.float32)
        low = np.where(low > ensemble.threshold, np.nextafter(low, np.float32(-np.inf)), low)
        high = np.nextafter(low, np.float32(np.inf))
    middle = low.astype(np.float64) / 2 + high.astype(np.float64) / 2
    # A tie is rounded to the neighbour whose last bit is 0.
    is_even = low.view(np.int32) & 1 == 0
    return np.where(is_even, middle, np.nextafter(middle, -np.inf))


def _members(left_categories: Array, rows: Array) -> Array:
    """Return the categories that go left, split by split; the runtime wants a NaN after the last too.

    A set may be empty, where missing values alone go left. The runtime refuses that, so such a set
    has one that no row has: the reader of categories turns what is negative into NaN.
    """
    sets = [np.flatnonzero(row) for row in _unpack(left_categories[rows])]
    return np.concatenate(
        [np.zeros(0), *(np.append(members if len(members) else -1, np.nan) for members in sets)]
    )


def _unpack(words: Array) -> Array:
    """Return sets of categories, (n, 8) uint32, as (n, 256) bool."""
    shifts = np.arange(32, dtype=np.uint32)
    bits = (words[:, :, None] >> shifts) & 1
    return bits.astype(bool).reshape(len(words), N_CATEGORIES)


def _category_reader(ensemble: Ensemble) -> Callable[[Array], Array] | None:
    """Return what makes values that count as missing NaN; the runtime knows no ``known_categories``."""
    if ensemble.categorical is None or ensemble.known_categories is None:
        return None  # the two come together
    columns = np.unique(ensemble.feature[ensemble.categorical >= 0])
    known = _unpack(ensemble.known_categories[columns])
    table = np.where(known, np.arange(N_CATEGORIES, dtype=np.float64), np.nan).ravel()
    rows = np.arange(len(columns)) * N_CATEGORIES

    def read(matrix: Array) -> Array:
        values = matrix[:, columns]
        is_category = (values >= 0) & (values < N_CATEGORIES) & (values == np.floor(values))
        codes = rows + np.where(is_category, values, 0).astype(np.intp)
        prepared = matrix.copy()
        prepared[:, columns] = np.where(is_category, table[codes], np.nan)
        return prepared

    return read


def _checker(ensemble: Ensemble) -> Callable[[Array], None]:
    """Return what refuses rows that the framework does not answer, or answers in its own way."""
    if ensemble.allows_missing and not ensemble.casts_to_float32:
        return _category_checker(ensemble)
    limit = FLOAT32_OVERFLOW if ensemble.casts_to_float32 else np.inf
    # maximum passes a NaN on, fmax passes it over.
    allows_missing = ensemble.allows_missing
    largest = np.fmax.reduce if allows_missing else np.maximum.reduce

    def check(matrix: Array) -> None:
        value = largest(np.absolute(matrix), axis=None)
        if not value < limit and not (allows_missing and np.isnan(value)):
            raise StepAside("a value is missing, infinite or too large")

    return check


def _category_checker(ensemble: Ensemble) -> Callable[[Array], None]:
    """Return what refuses infinite categories, as encoders do, in columns that no split asks for too."""
    if ensemble.known_categories is None:
        return lambda _matrix: None
    columns = np.flatnonzero(ensemble.known_categories.any(axis=1))

    def check(matrix: Array) -> None:
        if np.isinf(matrix[:, columns]).any():
            raise StepAside("a category is infinite")

    return check
