"""The forest kernel answers what walking the arrays one comparison at a time answers, to the last bit."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demijohn import kernels
from demijohn.kernels import Forest

pytestmark = pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)

TINY = 5e-324
VALUES = [
    -2.5,
    -1.0,
    -TINY,
    -0.0,
    0.0,
    TINY,
    1e-40,
    0.1,
    0.5,
    1.0,
    1 + 2**-30,
    1.5,
    3.0,
    16777217.0,
    3e38,
    -3e38,
]


@dataclass
class Trees:
    """What Forest takes."""

    n_features: int
    roots: Any
    column: Any
    feature: Any
    threshold: Any
    left: Any
    right: Any
    missing_left: Any
    leaf: Any
    values: Any
    start: Any
    casts_to_float32: bool
    allows_missing: bool
    categorical: Any = None
    left_categories: Any = None
    known_categories: Any = None
    sums_in_float32: bool = False

    def forest(self) -> Forest:
        return Forest(**{one.name: getattr(self, one.name) for one in fields(self)})


def grown(rng: np.random.Generator, n_trees: int, depth: int) -> tuple[list[int], list[int], list[int]]:
    """Return the roots of trees of every shape, and the children of all nodes; -1 at leaves."""
    left: list[int] = []
    right: list[int] = []

    def grow(levels: int) -> int:
        node = len(left)
        left.append(-1)
        right.append(-1)
        if levels and rng.random() < 0.85:
            shallow = levels - 1 if rng.random() < 0.6 else int(rng.integers(0, levels))
            sides = [grow(levels - 1), grow(shallow)]
            left[node], right[node] = sides if rng.random() < 0.5 else sides[::-1]
        return node

    return [grow(int(rng.integers(0, depth + 1))) for _ in range(n_trees)], left, right


def random_trees(
    seed: int,
    *,
    n_trees: int,
    depth: int,
    n_features: int = 3,
    width: int = 1,
    n_outputs: int = 1,
    casts: bool = True,
    missing: bool = False,
    categories: bool = False,
) -> Trees:
    """Return trees of every shape whose nodes stand in any order."""
    rng = np.random.default_rng(seed)
    roots, left, right = grown(rng, n_trees, depth)
    n_nodes = len(left)
    moved = rng.permutation(n_nodes).astype(np.int32)

    def renumbered(children: list[int]) -> Any:
        numbers = np.empty(n_nodes, np.int32)
        numbers[moved] = [-1 if child < 0 else moved[child] for child in children]
        return numbers

    new_left, new_right = renumbered(left), renumbered(right)
    is_leaf = new_left < 0
    n_leaves = int(is_leaf.sum())
    leaf = np.zeros(n_nodes, np.int32)
    leaf[is_leaf] = rng.permutation(n_leaves)
    threshold = np.where(rng.random(n_nodes) < 0.5, rng.choice(VALUES, n_nodes), rng.normal(size=n_nodes))
    threshold[rng.random(n_nodes) < 0.05] = np.inf
    by_category = (rng.random(n_nodes) < 0.4) & ~is_leaf
    rows = np.where(by_category, rng.integers(0, 5, n_nodes), -1).astype(np.int32)
    return Trees(
        n_features=n_features,
        roots=moved[roots],
        column=rng.integers(0, n_outputs - width + 1, n_trees).astype(np.int32),
        feature=np.where(is_leaf, 0, rng.integers(0, n_features, n_nodes)).astype(np.int32),
        threshold=np.where(is_leaf, 0.0, threshold),
        left=new_left,
        right=new_right,
        missing_left=rng.random(n_nodes) < 0.5,
        leaf=leaf,
        values=rng.normal(size=(n_leaves, width)),
        start=rng.normal(size=n_outputs),
        casts_to_float32=casts,
        allows_missing=missing,
        categorical=rows if categories else None,
        left_categories=rng.integers(0, 2**32, (5, 8), np.uint32) if categories else None,
        known_categories=rng.integers(0, 2**32, (n_features, 8), np.uint32) if categories else None,
    )


def random_rows(trees: Trees, seed: int, n_rows: int) -> Any:
    """Return rows of thresholds, their neighbours, categories, tiny values and missing ones."""
    rng = np.random.default_rng(seed)
    shape = (n_rows, trees.n_features)
    edges = trees.threshold[np.isfinite(trees.threshold)]
    rows = rng.choice(np.concatenate([edges, VALUES]), shape)
    with np.errstate(over="ignore", under="ignore"):
        for toward in (-np.inf, np.inf):
            rows = np.where(rng.random(shape) < 0.2, np.nextafter(rows, toward), rows)
            neighbour = np.nextafter(rows.astype(np.float32), np.float32(toward)).astype(np.float64)
            rows = np.where(rng.random(shape) < 0.2, neighbour, rows)
    if trees.categorical is not None:
        rows = np.where(rng.random(shape) < 0.6, rng.integers(-2, 256, shape), np.minimum(rows, 255.5))
    if trees.allows_missing:
        rows = np.where(rng.random(shape) < 0.15, np.nan, rows)
    return np.ascontiguousarray(rows)


def goes_left(trees: Trees, node: int, value: float) -> bool:
    missing = bool(trees.missing_left[node])
    if np.isnan(value):
        return missing
    if trees.categorical is None or trees.categorical[node] < 0:
        return bool(value <= trees.threshold[node])
    if value < 0:
        return missing
    word, bit = divmod(int(value), 32)
    if trees.left_categories[trees.categorical[node], word] >> bit & 1:
        return True
    is_known = trees.known_categories[trees.feature[node], word] >> bit & 1
    return False if is_known else missing


def walk(trees: Trees, rows: Any) -> tuple[Any, Any]:
    """Return the sums and the leaves, as slowly as can be."""
    if trees.casts_to_float32:
        with np.errstate(under="ignore"):
            rows = rows.astype(np.float32).astype(np.float64)
    sums = np.tile(trees.start, (len(rows), 1))
    leaves = np.zeros((len(rows), len(trees.roots)), np.int32)
    for index, row in enumerate(rows):
        for tree, root in enumerate(trees.roots):
            node = int(root)
            while trees.left[node] >= 0:
                is_left = goes_left(trees, node, row[trees.feature[node]])
                node = int(trees.left[node] if is_left else trees.right[node])
            leaves[index, tree] = node
            for k, value in enumerate(trees.values[trees.leaf[node]]):
                sums[index, trees.column[tree] + k] += value
    return sums, leaves


def run(forest: Forest, rows: Any) -> tuple[Any, Any]:
    sums = np.full((len(rows), forest.n_outputs), np.nan)
    leaves = np.full((len(rows), forest.n_trees), -1, np.int32)
    assert forest.add_up(rows, sums) == 0
    assert forest.leaves(rows, leaves) == 0
    return sums, leaves


def assert_equal_bits(found: Any, expected: Any) -> None:
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert found.tobytes() == expected.tobytes()


SHAPES = st.fixed_dictionaries(
    {
        "n_trees": st.integers(0, 40),
        "depth": st.integers(0, 9),
        "n_features": st.integers(1, 5),
        "casts": st.booleans(),
        "missing": st.booleans(),
        "categories": st.booleans(),
    }
)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    shape=SHAPES,
    outputs=st.sampled_from([(1, 1), (1, 3), (2, 2), (3, 5)]),
    n=st.integers(0, 70),
)
def test_sums_and_leaves_are_those_of_a_walk_node_by_node(
    seed: int, shape: dict[str, Any], outputs: tuple[int, int], n: int
) -> None:
    width, n_outputs = outputs
    trees = random_trees(seed, **shape, width=width, n_outputs=n_outputs)
    rows = random_rows(trees, seed + 1, n)
    forest = trees.forest()
    for found, expected in zip(run(forest, rows), walk(trees, rows), strict=True):
        assert_equal_bits(found, expected)
    packed = forest.packed()
    again = Forest.from_packed(packed)
    assert again.packed() == packed
    for found, expected in zip(run(again, rows), run(forest, rows), strict=True):
        assert_equal_bits(found, expected)


def test_rows_in_blocks_are_those_rows_alone() -> None:
    trees = random_trees(7, n_trees=30, depth=8, n_features=5)
    rows = random_rows(trees, 8, 20_011)
    sums, leaves = run(trees.forest(), rows)
    picked = np.r_[0:40, 6000:6100, 20_000:20_011]
    expected = walk(trees, rows[picked])
    assert_equal_bits(sums[picked], expected[0])
    assert_equal_bits(leaves[picked], expected[1])


@pytest.mark.parametrize("n_features", [254, 255, 3000])
@pytest.mark.parametrize("n_rows", [1, 9, 40])
def test_wide_rows_are_read_like_narrow_ones(n_features: int, n_rows: int) -> None:
    trees = random_trees(3, n_trees=20, depth=8, n_features=n_features)
    rows = random_rows(trees, 4, n_rows)
    for found, expected in zip(run(trees.forest(), rows), walk(trees, rows), strict=True):
        assert_equal_bits(found, expected)


def test_a_tree_may_be_as_deep_as_it_has_splits() -> None:
    depth = 5000
    left = np.r_[np.arange(1, 2 * depth, 2), -np.ones(depth + 1)].astype(np.int32)
    splits = np.arange(0, 2 * depth + 1, 2)
    left = np.full(2 * depth + 1, -1, np.int32)
    right = left.copy()
    left[splits[:-1]] = splits[:-1] + 1
    right[splits[:-1]] = splits[:-1] + 2
    is_leaf = left < 0
    leaf = np.where(is_leaf, np.cumsum(is_leaf) - 1, 0).astype(np.int32)
    trees = Trees(
        n_features=1,
        roots=np.zeros(1, np.int32),
        column=np.zeros(1, np.int32),
        feature=np.zeros(len(left), np.int32),
        threshold=np.where(is_leaf, 0.0, np.arange(len(left)) / 2),
        left=left,
        right=right,
        missing_left=np.zeros(len(left), bool),
        leaf=leaf,
        values=np.arange(depth + 1.0)[:, None],
        start=np.zeros(1),
        casts_to_float32=False,
        allows_missing=False,
    )
    rows = np.array([[-1.0], [17.0], [17.5], [1e9]])
    assert run(trees.forest(), rows)[0].ravel().tolist() == [0, 17, 18, depth]


@pytest.mark.parametrize("value", [1e300, -1e300, 3.4028236e38, np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("n_rows", [1, 30])
def test_what_float32_does_not_hold_is_not_answered(value: float, n_rows: int) -> None:
    forest = random_trees(1, n_trees=3, depth=3).forest()
    rows = np.zeros((n_rows, 3))
    rows[-1, 1] = value
    assert forest.add_up(rows, np.zeros((n_rows, 1))) == 1
    assert forest.leaves(rows, np.zeros((n_rows, 3), np.int32)) == 1


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32), shape=SHAPES, n_rows=st.sampled_from([1, 7, 8, 30]))
def test_sums_in_float32_are_those_of_float32(seed: int, shape: Any, n_rows: int) -> None:
    exact = random_trees(seed, **shape)
    trees = replace(
        exact,
        values=exact.values.astype(np.float32).astype(np.float64),
        start=exact.start.astype(np.float32).astype(np.float64),
        sums_in_float32=True,
    )
    rows = random_rows(trees, seed, n_rows)
    sums, leaves = run(trees.forest(), rows)
    expected = np.tile(trees.start.astype(np.float32), (n_rows, 1))
    for row, tree in np.ndindex(*leaves.shape):
        values = trees.values[trees.leaf[leaves[row, tree]]].astype(np.float32)
        expected[row, trees.column[tree] : trees.column[tree] + len(values)] += values
    assert_equal_bits(sums, expected.astype(np.float64))


def test_the_largest_float32_and_what_rounds_to_it_are_answered() -> None:
    forest = random_trees(1, n_trees=3, depth=3).forest()
    rows = np.full((1, 3), 3.4028235e38)
    assert forest.add_up(rows, np.zeros((1, 1))) == 0


def test_infinity_and_unasked_for_nan_are_not_answered_in_float64_either() -> None:
    forest = random_trees(1, n_trees=3, depth=3, casts=False).forest()
    answers = [forest.add_up(np.full((1, 3), value), np.zeros((1, 1))) for value in (np.inf, np.nan, 1e308)]
    assert answers == [1, 1, 0]


def test_a_category_beyond_a_byte_is_not_answered() -> None:
    trees = random_trees(2, n_trees=5, depth=5, casts=False, categories=True)
    rows = np.full((1, 3), 256.0)
    assert trees.forest().add_up(rows, np.zeros((1, 1))) == 1
    assert trees.forest().add_up(rows - 0.5, np.zeros((1, 1))) == 0


def broken(trees: Trees, name: str, index: Any, value: Any) -> Trees:
    array = np.array(getattr(trees, name))
    array[index] = value
    return replace(trees, **{name: array})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("left", 10_000),
        ("left", -2),
        ("right", 2**31 - 1),
        ("right", -1),
        ("feature", 3),
        ("feature", -1),
        ("threshold", np.nan),
        ("roots", -1),
        ("roots", 10_000),
        ("column", 1),
        ("column", -1),
    ],
)
def test_arrays_that_lead_outside_are_refused(name: str, value: Any) -> None:
    trees = random_trees(5, n_trees=4, depth=5)
    index = 0 if name in ("roots", "column") else int(trees.roots[np.argmax(trees.left[trees.roots] >= 0)])
    assert trees.left[index] >= 0 or name in ("roots", "column")
    with pytest.raises(ValueError, match=r"ensemble|forest"):
        broken(trees, name, index, value).forest()


def test_arrays_that_lead_in_a_circle_are_refused() -> None:
    trees = random_trees(5, n_trees=4, depth=5)
    root = int(trees.roots[np.argmax(trees.left[trees.roots] >= 0)])
    for target in (root, int(trees.right[root])):
        with pytest.raises(ValueError, match="two places"):
            broken(trees, "left", root, target).forest()
    with pytest.raises(ValueError, match="two places"):
        replace(trees, roots=trees.roots[[0, 0, 1, 2]]).forest()


def test_a_leaf_without_values_is_refused() -> None:
    trees = random_trees(5, n_trees=4, depth=5)
    with pytest.raises(ValueError, match="no values"):
        replace(trees, values=trees.values[:-1]).forest()


def test_arrays_of_other_lengths_or_types_are_refused() -> None:
    trees = random_trees(5, n_trees=4, depth=5)
    with pytest.raises(ValueError, match="lengths"):
        replace(trees, threshold=trees.threshold[:-1]).forest()
    with pytest.raises(ValueError, match="lengths"):
        replace(trees, n_features=0).forest()
    with pytest.raises(ValueError, match="values"):
        replace(trees, values=trees.values.ravel()).forest()


def test_rows_of_another_shape_or_type_are_refused() -> None:
    forest = random_trees(5, n_trees=4, depth=5).forest()
    with pytest.raises(ValueError, match=r"n_rows, 3"):
        forest.add_up(np.zeros((2, 4)), np.zeros((2, 1)))
    with pytest.raises(ValueError, match=r"n_rows, 1"):
        forest.add_up(np.zeros((2, 3)), np.zeros((3, 1)))
    with pytest.raises(ValueError, match="X: expected"):
        forest.add_up(np.zeros((2, 3), np.float32), np.zeros((2, 1)))
    with pytest.raises(ValueError, match="contiguous"):
        forest.add_up(np.zeros((3, 2)).T, np.zeros((2, 1)))
    frozen = np.zeros((2, 1))
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        forest.add_up(np.zeros((2, 3)), frozen)


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 50),
    categories=st.booleans(),
    changes=st.lists(st.tuples(st.integers(0, 2**31), st.integers(0, 255)), max_size=4),
    length=st.none() | st.integers(0, 3000),
)
def test_a_packed_forest_that_was_changed_is_refused_or_runs_inside_its_bounds(
    seed: int, categories: bool, changes: list[tuple[int, int]], length: int | None
) -> None:
    trees = random_trees(seed, n_trees=4, depth=4, casts=not categories, missing=True, categories=categories)
    packed = bytearray(trees.forest().packed())
    for place, byte in changes:
        packed[place % len(packed)] = byte
    try:
        forest = Forest.from_packed(bytes(packed[:length]))
    except ValueError:
        return
    rows = random_rows(trees, seed, 20)
    if forest.n_features == trees.n_features and forest.n_outputs == 1:
        forest.add_up(rows, np.zeros((20, 1)))
        forest.leaves(rows, np.zeros((20, forest.n_trees), np.int32))


def test_several_forests_can_share_one_memory_map(tmp_path: Any) -> None:
    trees = random_trees(9, n_trees=12, depth=7)
    file = tmp_path / "forest"
    file.write_bytes(trees.forest().packed())
    shared = np.memmap(file, np.uint8, "r")
    rows = random_rows(trees, 10, 33)
    expected = walk(trees, rows)
    for forest in (Forest.from_packed(shared), Forest.from_packed(shared)):
        assert_equal_bits(run(forest, rows)[0], expected[0])
