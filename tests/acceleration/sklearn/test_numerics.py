"""The room ``acceleration/sklearn/numerics.py``."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sklearn.utils._array_api import _logsumexp
from sklearn.utils.extmath import softmax as their_softmax

from demijohn.acceleration.engine import StepAside, Unconvertible
from demijohn.acceleration.sklearn.numerics import (
    LIMIT,
    floats,
    label_of,
    log_sum_exp,
    refuse_huge,
    softmax,
)

ordinary = st.floats(-1e6, 1e6)
matrices = arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=ordinary)


@pytest.mark.parametrize("size", [1, 30, 100_000])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, -1e300, 2 * LIMIT])
def test_one_number_that_is_huge_or_none_is_enough(size, value):
    values = np.zeros((size, 1))
    refuse_huge(values)
    values[-1] = value
    with pytest.raises(StepAside), np.errstate(over="ignore"):
        refuse_huge(values)


@given(matrices)
def test_ordinary_numbers_pass(values):
    refuse_huge(values)


@given(matrices, st.sampled_from(["C", "F"]))
def test_sums_of_exponentials_are_equal_to_the_last_bit(values, order):
    values = np.asarray(values, order=order)
    np.testing.assert_array_equal(log_sum_exp(values).ravel(), _logsumexp(values, axis=1))


@given(matrices)
def test_softmax_is_equal_to_the_last_bit(values):
    np.testing.assert_array_equal(softmax(values.copy()), their_softmax(values))


def test_what_is_no_plain_array_of_floats_is_refused():
    with pytest.raises(Unconvertible, match="x is a list, not a plain array"):
        floats([1.0], "x")
    with pytest.raises(Unconvertible, match="x is of object"):
        floats(np.array([1.0], dtype=object), "x")
    with pytest.raises(Unconvertible, match="fitted on float32: x"):
        floats(np.zeros(2, np.float32), "x")
    with pytest.raises(Unconvertible, match="x has 1 axes, not 2"):
        floats(np.zeros(2), "x", ndim=2)
    with pytest.raises(Unconvertible, match="x is not finite"):
        floats(np.array([np.inf]), "x")
    assert floats(2, "x").dtype == np.float64


def test_the_first_of_equal_scores_gives_the_label():
    label = label_of(np.array(["a", "b"]))
    assert label(np.array([[1.0, 1.0], [0.0, 1.0]])).tolist() == ["a", "b"]
