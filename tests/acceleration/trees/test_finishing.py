"""The arithmetic after the sums is scikit-learn's own, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn._loss import HalfBinomialLoss
from sklearn._loss.loss import ExponentialLoss
from sklearn.utils.extmath import softmax

from demijohn.acceleration.trees import finishing

NUMBERS = st.floats(-800, 800)
SHAPES = st.tuples(st.integers(1, 9), st.integers(2, 20))


@given(arrays(np.float64, SHAPES, elements=NUMBERS))
def test_softmax_is_scikit_learns_in_both_layouts(raw):
    before = raw.copy()
    assert np.array_equal(finishing.softmax(raw), softmax(raw))
    in_columns = np.asfortranarray(raw)
    assert np.array_equal(finishing.softmax_by_columns(raw), softmax(in_columns))
    assert np.array_equal(raw, before)


@given(arrays(np.float64, st.integers(1, 9), elements=NUMBERS))
def test_probabilities_of_two_classes_are_those_of_the_losses(raw):
    sums = raw[:, np.newaxis]
    assert np.array_equal(finishing.binary_probabilities()(sums), HalfBinomialLoss().predict_proba(raw))
    exponential = finishing.binary_probabilities(factor=2.0)(sums)
    assert np.array_equal(exponential, ExponentialLoss().predict_proba(raw))


@given(arrays(np.float64, SHAPES, elements=st.sampled_from([0.0, -0.0, 1.0, 2.0])))
def test_the_first_of_equal_scores_wins_in_one_row_as_in_many(scores):
    classes = np.array([f"class {i}" for i in range(scores.shape[1])])
    name = finishing.labels_of(finishing.unchanged, classes)
    expected = classes.take(np.argmax(scores, axis=1))
    assert name(scores).tolist() == expected.tolist()
    assert [name(row[np.newaxis])[0] for row in scores] == expected.tolist()


@given(arrays(np.float64, SHAPES, elements=st.floats(0, 100)), st.integers(1, 200))
def test_the_highest_mean_names_one_row_as_many(sums, n_trees):
    classes = np.arange(sums.shape[1]) * 10
    name = finishing.labels_of_mean(n_trees, classes)
    expected = classes.take(np.argmax(sums / n_trees, axis=1))
    assert name(sums).tolist() == expected.tolist()
    assert [name(row[np.newaxis])[0] for row in sums] == expected.tolist()


@pytest.mark.parametrize(("includes_zero", "expected"), [(True, "aabbb"), (False, "aaaab")])
def test_a_label_by_sign_says_what_zero_is(includes_zero, expected):
    scores = np.array([[-1.0], [-1e-300], [-0.0], [0.0], [1e-300]])
    name = finishing.labels_by_sign(finishing.first_column, np.array(["a", "b"]), includes_zero=includes_zero)
    assert "".join(name(scores)) == expected
    assert "".join(name(row[np.newaxis])[0] for row in scores) == expected


def test_the_logarithm_of_zero_comes_without_a_warning():
    of_one = finishing.logarithm_of(finishing.unchanged)
    assert of_one(np.array([[0.0, 1.0]])).tolist() == [[-np.inf, 0.0]]
    of_several = finishing.logarithm_of(finishing.parts_of([1, 1], 1))
    assert [part.tolist() for part in of_several(np.array([[0.0, 1.0]]))] == [[[-np.inf]], [[0.0]]]
