"""The room ``acceleration/sklearn/linear_classifiers.py``."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.svm import LinearSVC
from tests.acceleration.sklearn.sameness import assert_same, assert_steps_aside, native, step_of
from tests.estimators import fitted_estimators

from demijohn.acceleration.engine import StepAside, Unconvertible
from demijohn.acceleration.sklearn.linear_classifiers import FINALS, logistic_pair, normalized

METHODS = (
    "predict", "predict_proba", "predict_log_proba", "decision_function", "transform", "score_samples",
)  # fmt: skip
RANDOM = np.random.default_rng(5)
ROWS = RANDOM.normal(size=(120, 6))
SCORES = ROWS @ RANDOM.normal(size=(6, 4)) + RANDOM.normal(size=(120, 4))
LABELS = SCORES.argmax(axis=1)
IS_FIRST = SCORES[:, 0] > 0

LABELLINGS = {
    "two integers": IS_FIRST.astype(int) * 3 + 2,
    "two bools": IS_FIRST,
    "two texts": np.where(IS_FIRST, "yes", "no"),
    "two objects": np.where(IS_FIRST, "yes", "no").astype(object),
    "two floats": IS_FIRST * 2.0 + 1,
    "four integers": LABELS - 2,
    "four texts": np.array(["kea", "emu", "owl", "jackdaw"])[LABELS],
    "four int8": LABELS.astype(np.int8),
}
KINDS = {
    "logistic": LogisticRegression(),
    "logistic without intercept": LogisticRegression(fit_intercept=False),
    "log loss": SGDClassifier(loss="log_loss", random_state=0, max_iter=20, tol=None),
    "averaged": SGDClassifier(loss="log_loss", average=True, random_state=0, max_iter=20, tol=None),
    "modified huber": SGDClassifier(loss="modified_huber", random_state=0, max_iter=20, tol=None),
    "hinge": SGDClassifier(random_state=0, max_iter=20, tol=None),
    "no feature is left": SGDClassifier(penalty="l1", alpha=1e3, random_state=0, max_iter=20, tol=None),
    "linear SVC": LinearSVC(random_state=0),
    "LDA": LinearDiscriminantAnalysis(),
    "LDA eigen": LinearDiscriminantAnalysis(solver="eigen", shrinkage=0.1),
    "LDA lsqr": LinearDiscriminantAnalysis(solver="lsqr"),
    "ridge": RidgeClassifier(),
}


def made(kind, labelling):
    estimator = type(KINDS[kind])(**KINDS[kind].get_params())
    return estimator.fit(ROWS, LABELLINGS[labelling])


def methods_of(estimator):
    skipped = {"transform"} if getattr(estimator, "solver", None) == "lsqr" else set()
    return [method for method in METHODS if hasattr(estimator, method) and method not in skipped]


@pytest.mark.parametrize("name", sorted(FINALS))
def test_each_classifier_is_equal_to_the_last_bit_or_steps_aside(name):
    estimator, like = fitted_estimators()[name]
    for method in methods_of(estimator):
        assert_same(FINALS, estimator, method, like)
        assert_steps_aside(FINALS, estimator, method, like)


@pytest.mark.parametrize("labelling", LABELLINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_every_kind_are_equal(kind, labelling):
    estimator = made(kind, labelling)
    for method in methods_of(estimator):
        if method == "predict_log_proba" and kind == "modified huber":
            continue  # its probabilities are zero as a rule: see below
        # Nearer to the boundary no probability is rounded to zero, whose logarithm is not for the step.
        assert_same(FINALS, estimator, method, ROWS * 0.05 if method == "predict_log_proba" else ROWS)


@pytest.mark.parametrize("labelling", ["two texts", "four texts"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_finite_is_left_to_the_estimator(kind, labelling):
    estimator = made(kind, labelling)
    for method in methods_of(estimator):
        if method != "predict_log_proba" or kind != "modified huber":
            assert_steps_aside(FINALS, estimator, method, ROWS)


def test_large_scores_have_the_same_probabilities():
    for labelling in ("two texts", "four texts"):
        estimator = made("logistic", labelling)
        step = step_of(FINALS, estimator, "predict_proba")
        for rows in (ROWS * 1e4, ROWS[:1] * 1e6, ROWS[:1] * -1e6):
            np.testing.assert_array_equal(step(rows), estimator.predict_proba(rows))


def test_one_against_rest_with_no_probability_at_all_becomes_uniform():
    estimator = made("log loss", "four texts")
    estimator.coef_ = np.zeros_like(estimator.coef_)
    estimator.intercept_ = np.full(4, -1e6)
    step = step_of(FINALS, estimator, "predict_proba")
    for n_rows in (1, 5):
        np.testing.assert_array_equal(step(ROWS[:n_rows]), native(estimator, "predict_proba", ROWS[:n_rows]))
    assert (step(ROWS) == 0.25).all()


@pytest.mark.parametrize("labelling", ["two texts", "four texts"])
def test_the_logarithm_of_zero_is_left_to_the_estimator(labelling):
    step = step_of(FINALS, made("modified huber", labelling), "predict_log_proba")
    with pytest.raises(StepAside, match="logarithm of zero"):
        step(ROWS * 100)


def test_lda_gives_the_smallest_number_the_logarithm_that_scikit_learn_gives():
    estimator = made("LDA", "four texts")
    step = step_of(FINALS, estimator, "predict_log_proba")
    rows = ROWS * 1e4
    assert (estimator.predict_proba(rows) == 0).any()
    np.testing.assert_array_equal(step(rows), estimator.predict_log_proba(rows))


def test_ridge_with_several_labels_at_a_time_is_equal():
    estimator = RidgeClassifier().fit(ROWS, (SCORES > 0).astype(int))
    assert_same(FINALS, estimator, "predict", ROWS)
    assert_same(FINALS, estimator, "decision_function", ROWS)
    assert_steps_aside(FINALS, estimator, "predict", ROWS)


def test_ridge_whose_labels_came_sparse_is_refused():
    estimator = RidgeClassifier().fit(ROWS, (SCORES > 0).astype(int))
    estimator._label_binarizer.sparse_input_ = True
    with pytest.raises(Unconvertible, match="sparse"):
        step_of(FINALS, estimator, "predict")


def test_a_model_fitted_on_float32_is_equal():
    for labels in (IS_FIRST, LABELS):
        estimator = LogisticRegression().fit(ROWS.astype(np.float32), labels)
        for method in METHODS[:4]:
            assert_same(FINALS, estimator, method, ROWS)


def test_a_tie_has_the_first_label():
    estimator = made("logistic", "four texts")
    estimator.coef_ = np.zeros_like(estimator.coef_)
    estimator.intercept_ = np.zeros(4)
    assert step_of(FINALS, estimator, "predict")(ROWS[:1]).tolist() == [estimator.classes_[0]]
    two = made("logistic", "two texts")
    two.coef_, two.intercept_ = np.zeros_like(two.coef_), np.zeros(1)
    assert step_of(FINALS, two, "predict")(ROWS[:2]).tolist() == ["no", "no"]


def test_losses_and_solvers_without_the_method_are_refused():
    with pytest.raises(Unconvertible, match="'hinge' has no probabilities"):
        step_of(FINALS, made("hinge", "two texts"), "predict_proba")
    with pytest.raises(Unconvertible, match="'lsqr' has no transform"):
        step_of(FINALS, made("LDA lsqr", "two texts"), "transform")
    with pytest.raises(Unconvertible, match=r"LinearSVC\.predict_proba is not translated"):
        step_of(FINALS, made("linear SVC", "two texts"), "predict_proba")


def test_a_model_whose_classes_do_not_fit_its_scores_is_refused():
    for method in ("predict", "predict_proba"):
        estimator = made("logistic", "two texts")
        estimator.classes_ = np.array(["a", "b", "c"])
        with pytest.raises(Unconvertible, match="for 3 classes"):
            step_of(FINALS, estimator, method)


def test_classes_of_several_outputs_are_refused():
    estimator = made("logistic", "two texts")
    estimator.classes_ = MultiOutputClassifier(LogisticRegression()).fit(ROWS, SCORES > 0).classes_
    with pytest.raises(Unconvertible, match="classes_ is not an array"):
        step_of(FINALS, estimator, "predict")


def test_a_pair_of_probabilities_has_one_row_per_score():
    scores = np.array([0.0, 50.0, -50.0])
    whole = logistic_pair(scores.copy())
    np.testing.assert_array_equal(whole, np.vstack([logistic_pair(s.reshape(1)) for s in scores]))
    assert normalized(np.array([[0.0, 0.0], [1.0, 3.0]])).tolist() == [[0.5, 0.5], [0.25, 0.75]]
