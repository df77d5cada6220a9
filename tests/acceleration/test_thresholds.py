"""Rows at the thresholds of trees: each reaches its split, and no reachable side is left out."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from tests.acceleration.forests import goes_left, reaches, read_forest

from demijohn.acceleration.thresholds import draw_rows, threshold_rows
from demijohn.acceleration.trees.ensemble import Ensemble
from demijohn.messages import Array

THRESHOLDS = np.array([-1.0, 0.0, 0.1, 1.0, 16_777_217.0, 1e-310, np.inf])
CATEGORIES = np.array([0, 1, 5, 40, 255])


def bits(members: Array) -> Array:
    words = np.zeros(8, np.uint32)
    for member in members:
        words[member // 32] |= np.uint32(1 << (member % 32))
    return words


def grow(seed: int, *, casts: bool, missing: bool, has_categories: bool) -> Ensemble:
    """Grow two random trees of up to 15 splits over two columns; the second may be of categories."""
    rng = np.random.default_rng(seed)
    left, right, roots = [], [], []
    for _ in range(2):
        roots.append(len(left))
        left.append(-1)
        right.append(-1)
        for _ in range(rng.integers(0, 15)):
            leaves = [n for n in range(roots[-1], len(left)) if left[n] < 0]
            split = int(rng.choice(leaves))
            left[split], right[split] = len(left), len(left) + 1
            left += [-1, -1]
            right += [-1, -1]
    n_nodes = len(left)
    is_split = np.array(left) >= 0
    feature = np.where(is_split, rng.integers(0, 2, n_nodes), 0).astype(np.int32)
    categorical = np.where(is_split & (feature == 1), np.cumsum(is_split) - 1, -1).astype(np.int32)
    left_sets = [bits(CATEGORIES[rng.random(5) < 0.5]) for _ in range(int(is_split.sum()) or 1)]
    known = [bits(np.array([], int)), bits(CATEGORIES)]
    return Ensemble(
        n_features=2,
        roots=np.array(roots, np.int32),
        column=np.zeros(2, np.int32),
        feature=feature,
        threshold=np.where(is_split, rng.choice(THRESHOLDS, n_nodes), 0.0),
        left=np.array(left, np.int32),
        right=np.array(right, np.int32),
        missing_left=rng.random(n_nodes) < 0.5,
        leaf=np.where(is_split, 0, np.cumsum(~is_split) - 1).astype(np.int32),
        values=rng.normal(size=(int((~is_split).sum()), 1)),
        start=np.zeros(1),
        finish=lambda sums: sums,
        casts_to_float32=casts,
        allows_missing=missing,
        categorical=categorical if has_categories else None,
        left_categories=np.array(left_sets) if has_categories else None,
        known_categories=np.array(known) if has_categories else None,
    )


ensembles = st.builds(
    grow, st.integers(0, 10_000), casts=st.booleans(), missing=st.booleans(), has_categories=st.booleans()
)


def everything(ensemble: Ensemble) -> Array:
    """Return every combination of values that trees of ``THRESHOLDS`` can tell apart."""
    finite = THRESHOLDS[np.isfinite(THRESHOLDS)]
    near = finite.astype(np.float32)
    values = [
        finite,
        np.nextafter(finite, np.inf),
        near,
        np.nextafter(near, np.float32(np.inf)),
        [-5.0, 1e30],
    ]
    numbers = np.unique(np.concatenate([np.asarray(some, np.float64) for some in values]))
    missing = [np.nan] if ensemble.allows_missing else []
    second = [*CATEGORIES, 7.0, -1.0] if ensemble.categorical is not None else numbers
    return np.array(list(product([*numbers, *missing], [*second, *missing])), np.float64)


def sides(ensemble: Ensemble, rows: Array) -> set[tuple[int, bool, bool]]:
    """Return what rows meet: split, whether they go left, whether the value is missing."""
    met = set()
    for root in ensemble.roots:
        nodes = np.full(len(rows), root)
        while (inner := np.flatnonzero(ensemble.left[nodes] >= 0)).size:
            at = nodes[inner]
            values = rows[inner, ensemble.feature[at]]
            is_left = goes_left(ensemble, at, values)
            met |= set(zip(at.tolist(), is_left.tolist(), np.isnan(values).tolist(), strict=True))
            nodes[inner] = np.where(is_left, ensemble.left[at], ensemble.right[at])
    return met


@settings(deadline=None, max_examples=150)
@given(ensembles)
def test_every_row_reaches_its_split(ensemble: Ensemble) -> None:
    found = threshold_rows(ensemble, draw_rows(ensemble, 5, 0))
    assert reaches(ensemble, found.rows, found.nodes).all()


@settings(deadline=None, max_examples=150)
@given(ensembles)
def test_no_side_that_can_be_reached_is_left_out_and_neither_is_a_missing_value(ensemble: Ensemble) -> None:
    found = threshold_rows(ensemble, draw_rows(ensemble, 5, 0))
    assert sides(ensemble, everything(ensemble)) <= sides(ensemble, found.rows)


@settings(deadline=None, max_examples=50)
@given(ensembles, st.integers(1, 40))
def test_there_are_never_more_rows_than_asked_for(ensemble: Ensemble, max_rows: int) -> None:
    found = threshold_rows(ensemble, draw_rows(ensemble, 5, 0), max_rows=max_rows)
    assert len(found.rows) == len(found.nodes) <= max(max_rows, 3)


@settings(deadline=None, max_examples=50)
@given(ensembles)
def test_what_an_ensemble_refuses_is_in_no_row(ensemble: Ensemble) -> None:
    rows = threshold_rows(ensemble, draw_rows(ensemble, 5, 0)).rows
    assert not np.isinf(rows).any()
    if not ensemble.allows_missing:
        assert not np.isnan(rows).any()
    if ensemble.casts_to_float32:
        assert not np.isinf(rows.astype(np.float32)).any()


@pytest.fixture(scope="module")
def forest() -> tuple[Ensemble, Array]:
    rows, labels = load_breast_cancer(return_X_y=True)
    return read_forest(RandomForestClassifier(20, random_state=0).fit(rows, labels)), rows


def test_a_small_forest_has_rows_at_every_one_of_its_splits(forest: tuple[Ensemble, Array]) -> None:
    ensemble, rows = forest
    found = threshold_rows(ensemble, rows)
    assert set(found.nodes) == set(np.flatnonzero(ensemble.left >= 0))
    assert reaches(ensemble, found.rows, found.nodes).all()


def test_there_are_the_threshold_its_floats_on_both_sides_and_doubles_that_round_to_them(
    forest: tuple[Ensemble, Array],
) -> None:
    ensemble, rows = forest
    found = threshold_rows(ensemble, rows)
    root = ensemble.roots[0]
    threshold = ensemble.threshold[root]
    values = set(found.rows[found.nodes == root, ensemble.feature[root]])
    below = np.float32(threshold)
    if below > threshold:
        below = np.nextafter(below, np.float32(-np.inf))
    above = np.nextafter(below, np.float32(np.inf))
    halfway = (float(below) + float(above)) / 2
    assert {threshold, float(below), float(above), halfway} <= values
    assert {np.nextafter(halfway, -np.inf), np.nextafter(halfway, np.inf)} <= values


def test_a_row_at_a_split_is_otherwise_an_ordinary_one(forest: tuple[Ensemble, Array]) -> None:
    ensemble, rows = forest
    found = threshold_rows(ensemble, rows).rows
    n_own = np.stack([np.isin(found[:, column], rows[:, column]) for column in range(30)]).sum(axis=0)
    assert np.median(n_own) > 20


def test_the_same_seed_makes_the_same_rows(forest: tuple[Ensemble, Array]) -> None:
    first, again, other = (threshold_rows(*forest, seed=seed).rows for seed in (0, 0, 1))
    assert np.array_equal(first, again, equal_nan=True)
    assert not np.array_equal(first, other, equal_nan=True)


def test_a_single_leaf_has_no_rows() -> None:
    leaf = Ensemble(
        n_features=2,
        roots=np.zeros(1, np.int32),
        column=np.zeros(1, np.int32),
        feature=np.zeros(1, np.int32),
        threshold=np.zeros(1),
        left=np.full(1, -1, np.int32),
        right=np.full(1, -1, np.int32),
        missing_left=np.zeros(1, bool),
        leaf=np.zeros(1, np.int32),
        values=np.ones((1, 1)),
        start=np.zeros(1),
        finish=lambda sums: sums,
        casts_to_float32=False,
        allows_missing=False,
    )
    assert threshold_rows(leaf, np.zeros((1, 2))).rows.shape == (0, 2)


def test_drawn_rows_lie_around_the_thresholds(forest: tuple[Ensemble, Array]) -> None:
    ensemble, _ = forest
    rows = draw_rows(ensemble, 1000, 0)
    column = ensemble.feature[ensemble.roots[0]]
    is_left = rows[:, column] <= ensemble.threshold[ensemble.roots[0]]
    assert 0.1 < is_left.mean() < 0.9
    assert np.isfinite(rows).all()
