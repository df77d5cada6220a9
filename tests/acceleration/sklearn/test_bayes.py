"""The room ``acceleration/sklearn/bayes.py``."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB
from tests.acceleration.sklearn.sameness import (
    assert_equal,
    assert_same,
    assert_steps_aside,
    native,
    step_of,
)

from demijohn.acceleration.engine import StepAside, Unconvertible
from demijohn.acceleration.sklearn.bayes import FINALS

METHODS = ("predict", "predict_proba", "predict_log_proba", "predict_joint_log_proba")
RANDOM = np.random.default_rng(7)
ROWS = np.abs(RANDOM.normal(2.0, 1.0, size=(200, 9))).round(2)
CATEGORIES = RANDOM.integers(0, 4, size=(200, 9)).astype(float)
LABELLINGS = {
    "two bools": ROWS[:, 0] > 2,
    "three texts": np.array(["a", "bb", "c"])[(ROWS[:, 0] + ROWS[:, 1]).astype(int) % 3],
    "twelve integers": RANDOM.integers(0, 12, size=200),
    "one label": np.zeros(200, dtype=int),
}
KINDS = {
    "gaussian": GaussianNB(),
    "multinomial": MultinomialNB(),
    "complement": ComplementNB(),
    "complement, normalized": ComplementNB(norm=True),
    "bernoulli": BernoulliNB(binarize=2.0),
    "bernoulli, as it is": BernoulliNB(binarize=None),
}


def made(kind, labelling):
    estimator = KINDS[kind]
    rows = (ROWS > 2).astype(float) if kind == "bernoulli, as it is" else ROWS
    return type(estimator)(**estimator.get_params()).fit(rows, LABELLINGS[labelling])


@pytest.mark.parametrize("labelling", LABELLINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_naive_bayes_is_equal_to_the_last_bit(kind, labelling):
    if "complement" in kind and labelling == "one label":
        pytest.skip("scikit-learn's own weights are NaN")
    for method in METHODS:
        assert_same(FINALS, made(kind, labelling), method, ROWS)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_finite_is_left_to_the_estimator(kind):
    for method in METHODS:
        assert_steps_aside(FINALS, made(kind, "three texts"), method, ROWS)


def test_many_rows_at_once_are_equal_too():
    estimator = made("gaussian", "twelve integers")
    rows = np.tile(ROWS, (10, 1))
    for method in METHODS:
        assert_equal(step_of(FINALS, estimator, method)(rows), native(estimator, method, rows))


def test_rows_far_from_every_class_are_equal():
    estimator = made("gaussian", "three texts")
    for rows in (ROWS * 1e3, ROWS[:1] * -1e4):
        for method in METHODS:
            assert_equal(step_of(FINALS, estimator, method)(rows), native(estimator, method, rows))


@pytest.mark.parametrize("labelling", ["two bools", "three texts", "twelve integers"])
def test_categories_are_equal_and_lose_their_fractions(labelling):
    estimator = CategoricalNB().fit(CATEGORIES, LABELLINGS[labelling])
    for method in METHODS:
        step = step_of(FINALS, estimator, method)
        for rows in (CATEGORIES[:1], CATEGORIES, CATEGORIES + 0.75, CATEGORIES[:3] - 0.5):
            assert_equal(step(rows), native(estimator, method, rows))


@pytest.mark.parametrize("value", [4.0, -1.0, 1e18, 1e300, np.nan, np.inf, -np.inf])
def test_an_unknown_category_is_left_to_the_estimator(value):
    estimator = CategoricalNB().fit(CATEGORIES, LABELLINGS["two bools"])
    rows = CATEGORIES[:3].copy()
    rows[1, 4] = value
    assert native(estimator, "predict", rows) is None
    with pytest.raises(StepAside):
        step_of(FINALS, estimator, "predict")(rows)


def test_two_classes_as_likely_share_what_there_is():
    estimator = made("multinomial", "two bools")
    estimator.feature_log_prob_ = np.zeros_like(estimator.feature_log_prob_)
    estimator.class_log_prior_ = np.log([0.5, 0.5])
    for rows in (ROWS[:1], ROWS):
        for method in METHODS:
            assert_equal(step_of(FINALS, estimator, method)(rows), native(estimator, method, rows))


def test_a_class_that_is_impossible_is_refused():
    estimator = GaussianNB(priors=[1.0, 0.0]).fit(ROWS, LABELLINGS["two bools"])
    with np.errstate(divide="ignore"), pytest.raises(Unconvertible, match="is not finite"):
        step_of(FINALS, estimator, "predict")
