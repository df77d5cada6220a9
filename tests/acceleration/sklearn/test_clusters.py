"""The room ``acceleration/sklearn/clusters.py``."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import scipy.sparse
from sklearn.cluster import (
    AffinityPropagation,
    Birch,
    BisectingKMeans,
    KMeans,
    MeanShift,
    MiniBatchKMeans,
)
from tests.acceleration.sklearn.sameness import assert_same, assert_steps_aside, step_of

from demijohn.acceleration.engine import Unconvertible
from demijohn.acceleration.sklearn.clusters import FINALS

RANDOM = np.random.default_rng(17)
ROWS = RANDOM.normal(size=(120, 4)) + RANDOM.integers(0, 4, size=(120, 1)) * 3 + 5

FITTED = {
    "k-means": KMeans(5, n_init=1, random_state=0).fit(ROWS),
    "one cluster": KMeans(1, n_init=1, random_state=0).fit(ROWS),
    "mini-batches": MiniBatchKMeans(5, n_init=1, random_state=0).fit(ROWS),
    "bisecting": BisectingKMeans(6, random_state=0).fit(ROWS),
    "bisected on a sparse matrix": BisectingKMeans(4, random_state=0).fit(scipy.sparse.csr_matrix(ROWS)),
    "never bisected": BisectingKMeans(1, random_state=0).fit(ROWS),
    "birch": Birch(n_clusters=3).fit(ROWS),
    "birch alone": Birch(n_clusters=None).fit(ROWS),
    "mean shift": MeanShift().fit(ROWS),
    "affinity": AffinityPropagation(random_state=0).fit(ROWS),
}


@pytest.mark.parametrize("name", FITTED)
def test_clusters_and_distances_are_equal_to_the_last_bit(name):
    for method in ("predict", "transform"):
        if hasattr(FITTED[name], method):
            assert_same(FINALS, FITTED[name], method, ROWS)


@pytest.mark.parametrize("name", FITTED)
def test_what_is_not_finite_is_left_to_the_estimator(name):
    for method in ("predict", "transform"):
        if hasattr(FITTED[name], method):
            assert_steps_aside(FINALS, FITTED[name], method, ROWS)


def test_a_row_between_two_clusters_has_the_label_that_scikit_learn_gives_it():
    estimator = KMeans(2, n_init=1, random_state=0).fit(ROWS)
    middle = np.tile(estimator.cluster_centers_.mean(axis=0), (300, 1))
    middle += np.random.default_rng(0).normal(size=middle.shape) * 1e-15
    np.testing.assert_array_equal(step_of(FINALS, estimator, "predict")(middle), estimator.predict(middle))


def test_rows_that_all_go_one_way_are_labelled_alike():
    estimator = FITTED["bisecting"]
    for center in estimator.cluster_centers_:
        rows = np.tile(center, (5, 1))
        np.testing.assert_array_equal(step_of(FINALS, estimator, "predict")(rows), estimator.predict(rows))


def test_clusters_that_were_not_found_or_are_float32_are_refused():
    estimator = AffinityPropagation(random_state=0).fit(ROWS)
    estimator.cluster_centers_ = np.empty((0, 4))
    with pytest.raises(Unconvertible, match="no clusters"):
        step_of(FINALS, estimator, "predict")
    single = KMeans(2, n_init=1, random_state=0).fit(ROWS.astype(np.float32))
    with pytest.raises(Unconvertible, match="float32"):
        step_of(FINALS, single, "predict")


def test_a_release_that_keeps_the_loop_elsewhere_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.cluster._k_means_lloyd", None)
    with pytest.raises(Unconvertible, match="elsewhere"):
        step_of(FINALS, FITTED["k-means"], "predict")
