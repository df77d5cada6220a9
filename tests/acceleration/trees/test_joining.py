"""How single trees become one ensemble."""

from __future__ import annotations

import numpy as np
import pytest
from tests.acceleration.trees import naive

from demijohn.acceleration.engine import Unconvertible
from demijohn.acceleration.trees.joining import Rows, Tree, join

ROWS = Rows(2, casts_to_float32=False, allows_missing=True)


def stump(low, high, *, column=0):
    return Tree(
        feature=np.array([column, -2, -2]),
        threshold=np.array([0.5, -2.0, -2.0]),
        left=np.array([1, -1, -1]),
        right=np.array([2, -1, -1]),
        missing_left=np.array([1, 0, 0], dtype=np.uint8),
        values=np.array([[7.0], [low], [high]]),
    )


def joined(*trees):
    return join(trees, ROWS, start=np.array([0.25]), finish=lambda sums: sums)


def test_trees_are_numbered_through_and_added_up():
    ensemble = joined(stump(1.0, 2.0), stump(10.0, 20.0, column=1))
    assert ensemble.roots.tolist() == [0, 3]
    assert ensemble.left.tolist() == [1, -1, -1, 4, -1, -1]
    rows = np.array([[0.5, 0.5], [0.6, np.nan], [np.nan, 1.0]])
    assert naive.sums(ensemble, rows).tolist() == [[11.25], [12.25], [21.25]]


def test_leaves_carry_no_leftovers():
    ensemble = joined(stump(1.0, 2.0))
    assert ensemble.feature.tolist() == [0, 0, 0]
    assert ensemble.threshold.tolist() == [0.5, 0.0, 0.0]
    assert ensemble.missing_left.tolist() == [True, False, False]


def test_equal_leaves_are_one_but_the_two_zeros_are_not():
    ensemble = joined(stump(0.0, 3.0), stump(-0.0, 3.0))
    assert len(ensemble.values) == 3
    assert sorted(np.signbit(ensemble.values[ensemble.leaf[[1, 4]], 0])) == [False, True]


def test_no_trees_are_no_ensemble():
    with pytest.raises(Unconvertible, match="0 trees"):
        join([], ROWS, start=np.zeros(1), finish=lambda sums: sums)


def test_splits_by_category_are_numbered_through_beside_trees_that_have_none():
    sets = np.zeros((1, 8), dtype=np.uint32)
    sets[0, 0] = 0b100
    plain = stump(1.0, 2.0, column=1)
    by_category = Tree(
        **{name: getattr(stump(10.0, 20.0), name) for name in ("feature", "threshold", "left", "right")},
        missing_left=np.zeros(3, dtype=bool),
        values=np.array([[0.0], [10.0], [20.0]]),
        categorical=np.array([0, -1, -1]),
        left_categories=sets,
    )
    known = np.zeros((2, 8), dtype=np.uint32)
    known[0, 0] = 0b110
    rows = Rows(2, casts_to_float32=False, allows_missing=True, known_categories=known)
    trees = [by_category, plain, by_category]
    ensemble = join(trees, rows, start=np.zeros(1), finish=lambda sums: sums)
    assert ensemble.categorical.tolist() == [0, -1, -1, -1, -1, -1, 1, -1, -1]
    assert naive.sums(ensemble, np.array([[2.0, 0.0], [1.0, 1.0]])).tolist() == [[21.0], [42.0]]
