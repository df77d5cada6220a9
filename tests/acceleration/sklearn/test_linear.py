"""The room ``acceleration/sklearn/linear.py``."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import (
    ElasticNet,
    Lasso,
    LinearRegression,
    LogisticRegression,
    MultiTaskLasso,
    PoissonRegressor,
    RANSACRegressor,
    Ridge,
    SGDRegressor,
    TweedieRegressor,
)
from sklearn.tree import DecisionTreeRegressor
from tests.acceleration.sklearn.sameness import assert_same, assert_steps_aside, step_of
from tests.estimators import fitted_estimators

from demijohn.acceleration.engine import StepAside, Unconvertible
from demijohn.acceleration.sklearn.linear import FINALS

RANDOM = np.random.default_rng(3)
ROWS = RANDOM.normal(size=(80, 7))
ONE = ROWS @ RANDOM.normal(size=7) + 3
SEVERAL = ROWS @ RANDOM.normal(size=(7, 3)) + RANDOM.normal(size=3)
COUNTS = RANDOM.poisson(3.0, size=80).astype(float) + 1

VARIANTS = {
    "no intercept": LinearRegression(fit_intercept=False).fit(ROWS, ONE),
    "several outputs": LinearRegression().fit(ROWS, SEVERAL),
    "several outputs, no intercept": LinearRegression(fit_intercept=False).fit(ROWS, SEVERAL),
    "one output in a column": LinearRegression().fit(ROWS, ONE[:, None]),
    "ridge of several": Ridge().fit(ROWS, SEVERAL),
    "one column": LinearRegression().fit(ROWS[:, :1], ONE),
    "positive": LinearRegression(positive=True).fit(ROWS, ONE),
    "sparse solution": Lasso(alpha=0.5).fit(ROWS, ONE),
    "all zero": Lasso(alpha=1e6).fit(ROWS, ONE),
    "no feature is left, one column": ElasticNet(alpha=1e6).fit(ROWS[:, :1], ONE),
    "a row of zeros in each": MultiTaskLasso(alpha=0.5).fit(ROWS, SEVERAL),
    "lasso of several": Lasso(alpha=0.5).fit(ROWS, SEVERAL),
    "float32": LinearRegression().fit(ROWS.astype(np.float32), ONE.astype(np.float32)),
    "float32 of several": Ridge().fit(ROWS.astype(np.float32), SEVERAL.astype(np.float32)),
    "averaged": SGDRegressor(average=True, random_state=0).fit(ROWS, ONE),
    "poisson without intercept": PoissonRegressor(fit_intercept=False).fit(ROWS, COUNTS),
    "identity link": TweedieRegressor(power=0, link="identity").fit(ROWS, COUNTS),
    "log link": TweedieRegressor(power=1.5).fit(ROWS, COUNTS),
    "PLS of several": PLSRegression(2).fit(ROWS, SEVERAL),
    "PLS of one": PLSRegression(2).fit(ROWS, ONE),
    "PLS unscaled": PLSRegression(2, scale=False).fit(ROWS, ONE),
    "RANSAC of ridge": RANSACRegressor(Ridge(), min_samples=10, random_state=0).fit(ROWS, ONE),
}


def rows_for(estimator):
    width = getattr(estimator, "n_features_in_", 7)
    return ROWS[:, :width]


@pytest.mark.parametrize("name", sorted(FINALS))
def test_each_regressor_is_equal_to_the_last_bit(name):
    estimator, like = fitted_estimators()[name]
    for method in ("predict", "transform"):
        if hasattr(estimator, method):
            assert_same(FINALS, estimator, method, like)


@pytest.mark.parametrize("name", sorted(FINALS))
def test_each_leaves_to_the_estimator_what_is_not_finite(name):
    estimator, like = fitted_estimators()[name]
    for method in ("predict", "transform"):
        if hasattr(estimator, method):
            assert_steps_aside(FINALS, estimator, method, like)


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_are_equal_to_the_last_bit(name):
    estimator = VARIANTS[name]
    assert_same(FINALS, estimator, "predict", rows_for(estimator))


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_leave_to_the_estimator_what_is_not_finite(name):
    estimator = VARIANTS[name]
    assert_steps_aside(FINALS, estimator, "predict", rows_for(estimator))


def part_of_a_larger_matrix(coef):
    part = np.zeros([2 * size for size in coef.shape]).T[tuple(slice(size) for size in coef.shape[::-1])].T
    part[...] = coef
    return part


@settings(max_examples=60, deadline=None)
@given(
    n_features=st.integers(1, 40),
    n_outputs=st.integers(0, 12),
    n_rows=st.integers(1, 70),
    zeros=st.floats(0, 1),
    layout=st.sampled_from([np.ascontiguousarray, np.asfortranarray, part_of_a_larger_matrix]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_shape_of_coefficients_is_equal_to_the_last_bit(
    n_features, n_outputs, n_rows, zeros, layout, seed
):
    random = np.random.default_rng(seed)
    estimator = LinearRegression()
    shape = (n_outputs, n_features) if n_outputs else (n_features,)
    estimator.coef_ = layout(random.normal(size=shape) * (random.random(shape) >= zeros))
    estimator.intercept_ = random.normal(size=n_outputs) if n_outputs else float(random.normal())
    estimator.n_features_in_ = n_features
    rows = random.normal(size=(n_rows, n_features))
    step = step_of(FINALS, estimator, "predict")
    np.testing.assert_array_equal(step(rows), estimator.predict(rows))
    rows[random.integers(n_rows), random.integers(n_features)] = np.nan
    with pytest.raises(StepAside):
        step(rows)


def test_a_prediction_that_becomes_infinite_is_left_to_the_estimator():
    estimator = PoissonRegressor().fit(ROWS, COUNTS)
    step = step_of(FINALS, estimator, "predict")
    with pytest.raises(StepAside):
        step(np.sign(estimator.coef_)[None, :] * 1e6)


def test_a_sparse_coefficient_is_refused_with_its_name():
    estimator = Lasso(alpha=0.5).fit(ROWS, ONE)
    estimator.coef_ = estimator.sparse_coef_
    with pytest.raises(Unconvertible, match=r"coef_ is a cs._\w+, not a plain array"):
        step_of(FINALS, estimator, "predict")


def test_coefficients_of_another_width_are_refused():
    estimator = LinearRegression().fit(ROWS, ONE)
    estimator.n_features_in_ = 9
    with pytest.raises(Unconvertible, match="n_features_in_ is 9, but its arrays are for 7"):
        step_of(FINALS, estimator, "predict")


def test_coefficients_that_are_not_finite_or_huge_are_refused():
    estimator = LinearRegression().fit(ROWS, ONE)
    estimator.coef_ = np.array([np.nan, *ROWS[0, 1:]])
    with pytest.raises(Unconvertible, match="coef_ is not finite"):
        step_of(FINALS, estimator, "predict")
    estimator.coef_ = np.array([0.0, 1e300, *ROWS[0, 2:]])
    with pytest.raises(Unconvertible, match="huge"):
        step_of(FINALS, estimator, "predict")


@pytest.mark.parametrize("intercept", [np.zeros(2), np.zeros((3, 2))])
def test_intercepts_that_do_not_fit_are_refused(intercept):
    estimator = LinearRegression().fit(ROWS, ONE)
    estimator.intercept_ = intercept
    with pytest.raises(Unconvertible, match="intercepts for 1 outputs"):
        step_of(FINALS, estimator, "predict")


def test_coefficients_of_three_axes_are_refused():
    estimator = LinearRegression().fit(ROWS, ONE)
    estimator.coef_ = np.zeros((2, 2, 7))
    with pytest.raises(Unconvertible, match="coef_ has 3 axes"):
        step_of(FINALS, estimator, "predict")


def test_ransac_of_what_is_not_translated_is_refused():
    estimator = RANSACRegressor(DecisionTreeRegressor(max_depth=2), min_samples=10, random_state=0).fit(
        ROWS, ONE
    )
    with pytest.raises(Unconvertible, match="RANSACRegressor of a DecisionTreeRegressor"):
        step_of(FINALS, estimator, "predict")


def test_a_link_that_is_not_known_is_refused():
    estimator = PoissonRegressor().fit(ROWS, COUNTS)
    estimator._base_loss.link = LogisticRegression()
    with pytest.raises(Unconvertible, match="link LogisticRegression"):
        step_of(FINALS, estimator, "predict")
