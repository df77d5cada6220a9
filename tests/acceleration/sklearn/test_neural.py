"""The room ``acceleration/sklearn/neural.py``."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import BernoulliRBM, MLPClassifier, MLPRegressor
from tests.acceleration.sklearn.sameness import assert_same, assert_steps_aside, step_of

from demijohn.acceleration.engine import StepAside, Unconvertible
from demijohn.acceleration.sklearn.neural import FINALS

METHODS = ("predict", "predict_proba", "predict_log_proba")
RANDOM = np.random.default_rng(11)
ROWS = RANDOM.normal(size=(90, 5))
LABELLINGS = {
    "two texts": np.where(ROWS[:, 0] > 0, "yes", "no"),
    "two bools": ROWS[:, 0] > 0,
    "three integers": (ROWS[:, 0] > 0).astype(int) + (ROWS[:, 1] > 0),
    "several at a time": (ROWS[:, :3] > 0).astype(int),
}
ACTIVATIONS = ("relu", "tanh", "logistic", "identity")


def fitted(network, rows, targets):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return network.fit(rows, targets)


def classifier(activation, labelling):
    network = MLPClassifier((7, 4), activation=activation, max_iter=20, random_state=0)
    return fitted(network, ROWS, LABELLINGS[labelling])


def regressor(**options):
    network = MLPRegressor(**{"max_iter": 3, "random_state": 0} | options)
    return fitted(network, ROWS, np.exp(ROWS[:, 0]))


@pytest.mark.parametrize("labelling", LABELLINGS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_network_that_classifies_is_equal_to_the_last_bit(activation, labelling):
    estimator = classifier(activation, labelling)
    for method in METHODS:
        assert_same(FINALS, estimator, method, ROWS * 0.1)
        assert_steps_aside(FINALS, estimator, method, ROWS * 0.1)


@pytest.mark.parametrize("options", [{}, {"hidden_layer_sizes": ()}, {"loss": "poisson"}], ids=str)
def test_a_network_that_regresses_is_equal_to_the_last_bit(options):
    estimator = regressor(**options)
    assert_same(FINALS, estimator, "predict", ROWS)
    assert_steps_aside(FINALS, estimator, "predict", ROWS)


def test_a_network_of_several_outputs_is_equal_to_the_last_bit():
    estimator = fitted(MLPRegressor(max_iter=3, random_state=0), ROWS, ROWS[:, :2] * 2)
    assert_same(FINALS, estimator, "predict", ROWS)


def test_an_infinite_exponential_is_left_to_the_estimator():
    estimator = regressor(loss="poisson")
    estimator.intercepts_[-1] = np.array([800.0])
    with pytest.raises(StepAside, match="exponential"):
        step_of(FINALS, estimator, "predict")(ROWS[:1])


def test_hidden_units_are_equal_to_the_last_bit():
    estimator = BernoulliRBM(3, n_iter=2, random_state=0).fit((ROWS > 0).astype(float))
    assert_same(FINALS, estimator, "transform", ROWS)
    assert_steps_aside(FINALS, estimator, "transform", ROWS)


def test_an_activation_or_labels_that_are_not_known_are_refused():
    estimator = classifier("relu", "two texts")
    estimator._label_binarizer.y_type_ = "multiclass-multioutput"
    with pytest.raises(Unconvertible, match="labels of type multiclass-multioutput"):
        step_of(FINALS, estimator, "predict")
    estimator.activation = "softplus"
    with pytest.raises(Unconvertible, match="activation='softplus' is not translated"):
        step_of(FINALS, estimator, "predict_proba")


def test_a_network_whose_labels_came_sparse_is_refused():
    estimator = classifier("relu", "several at a time")
    estimator._label_binarizer.sparse_input_ = True
    with pytest.raises(Unconvertible, match="sparse"):
        step_of(FINALS, estimator, "predict")


def test_a_network_fitted_on_float32_is_refused():
    estimator = fitted(MLPRegressor(max_iter=2, random_state=0), ROWS.astype(np.float32), ROWS[:, 0])
    with pytest.raises(Unconvertible, match="fitted on float32: coefs_"):
        step_of(FINALS, estimator, "predict")
