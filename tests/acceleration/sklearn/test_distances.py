"""The room ``acceleration/sklearn/distances.py``."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import pairwise_distances_argmin
from sklearn.metrics.pairwise import euclidean_distances

from demijohn.acceleration.engine import StepAside
from demijohn.acceleration.sklearn.distances import nearest_of, squared_distances_to


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(1, 30), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_distances_are_equal_to_the_last_bit_and_the_nearest_is_the_same(n_rows, n_points, width, seed):
    random = np.random.default_rng(seed)
    rows, points = random.normal(size=(n_rows, width)), random.normal(size=(n_points, width))
    expected = euclidean_distances(rows, points, squared=True)
    np.testing.assert_array_equal(squared_distances_to(points)(rows), expected)
    found = nearest_of(points)(rows)
    np.testing.assert_array_equal(found, pairwise_distances_argmin(rows, points))
    assert found.dtype == pairwise_distances_argmin(rows, points).dtype


def test_a_row_between_two_points_is_left_to_the_framework():
    nearest = nearest_of(np.array([[0.0, 0.0], [2.0, 0.0]]))
    assert nearest(np.array([[0.9, 5.0], [1.1, 5.0]])).tolist() == [0, 1]
    with pytest.raises(StepAside, match="equally near"):
        nearest(np.array([[0.9, 5.0], [1.0, 5.0]]))


def test_a_single_point_is_always_the_nearest():
    assert nearest_of(np.zeros((1, 2)))(np.ones((3, 2))).tolist() == [0, 0, 0]
