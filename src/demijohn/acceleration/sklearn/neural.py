"""Neural networks of scikit-learn: layer by layer, each a product, a sum and an activation.

Rules of this room:
1. Activations work in place, on arrays that the step itself made, as scikit-learn's do.

Source: scikit-learn 1.9, neural_network/_multilayer_perceptron.py, _base.py and _rbm.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from demijohn.acceleration.engine import Step, StepAside, Unconvertible
from demijohn.messages import Array

from .linear import affine
from .linear_classifiers import logarithm
from .numerics import by_method, check_width, floats, is_one_of, plain_classes, refuse_huge

if TYPE_CHECKING:
    from .tables import Factory

_LARGEST_EXPONENT = 700.0  # exp(710) is infinite


def _identity(values: Array) -> None:
    """Leave all as it is."""


def _logistic(values: Array) -> None:
    expit(values, values)


def _tanh(values: Array) -> None:
    np.tanh(values, values)


def _relu(values: Array) -> None:
    np.maximum(values, 0, out=values)


def _exponential(values: Array) -> None:
    if values.max() > _LARGEST_EXPONENT:
        raise StepAside("an exponential is infinite")
    np.exp(values, values)


def _softmax(values: Array) -> None:
    shifted = values - np.maximum.reduce(values, axis=1, keepdims=True)
    np.exp(shifted, values)
    values /= np.add.reduce(values, axis=1, keepdims=True)


_HIDDEN: Mapping[str, Callable[[Array], None]] = {
    "identity": _identity,
    "logistic": _logistic,
    "tanh": _tanh,
    "relu": _relu,
}
_OUTPUT: Mapping[str, Callable[[Array], None]] = {
    "identity": _identity,
    "logistic": _logistic,
    "softmax": _softmax,
    "exp": _exponential,
}


def _forward(estimator: Any) -> Step:
    """Return what computes the output layer, (n_rows, n_outputs), a fresh array."""
    weights = [floats(each, "coefs_", ndim=2) for each in estimator.coefs_]
    biases = [floats(each, "intercepts_", ndim=1) for each in estimator.intercepts_]
    check_width(estimator, weights[0].shape[0])
    hidden = is_one_of(estimator, "activation", _HIDDEN)
    output = is_one_of(estimator, "out_activation_", _OUTPUT)
    hidden_layers = list(zip(weights[:-1], biases[:-1], strict=True))
    last_weights, last_bias = weights[-1], biases[-1]

    def run(rows: Array) -> Array:
        refuse_huge(rows)  # an activation may swallow an infinity
        values: Array = rows
        for layer, bias in hidden_layers:
            values = values.dot(layer)
            values += bias
            hidden(values)
        values = values.dot(last_weights)
        values += last_bias
        refuse_huge(values)
        output(values)
        return values

    return run


def _classify(estimator: Any) -> Step:
    forward, binarizer = _forward(estimator), estimator._label_binarizer
    kind, classes = binarizer.y_type_, plain_classes(binarizer.classes_)
    if binarizer.sparse_input_:
        raise Unconvertible("labels were fitted on a sparse matrix")
    if kind == "binary" and len(classes) == 2 and estimator.n_outputs_ == 1:
        negative_or_positive = classes

        def pick(values: Array) -> Array:
            labels: Array = negative_or_positive[(values.ravel() > 0.5).astype(np.intp)]
            return labels

    elif kind == "multiclass":

        def pick(values: Array) -> Array:
            labels: Array = classes[values.argmax(1)]
            return labels

    elif kind == "multilabel-indicator":

        def pick(values: Array) -> Array:
            flat = values.ravel() if values.shape[1] == 1 else values
            return (flat > 0.5).astype(np.intp)

    else:
        raise Unconvertible(f"labels of type {kind} are not translated")

    def run(rows: Array) -> Array:
        return pick(forward(rows))

    return run


def _probabilities(estimator: Any) -> Step:
    forward = _forward(estimator)
    if estimator.n_outputs_ > 1:
        return forward

    def run(rows: Array) -> Array:
        second = forward(rows).ravel()
        pair = np.empty((2, len(second)))
        np.subtract(1, second, out=pair[0])
        pair[1] = second
        return pair.T

    return run


def _regress(estimator: Any) -> Step:
    forward = _forward(estimator)

    def run(rows: Array) -> Array:
        values = forward(rows)
        return values.ravel() if values.shape[1] == 1 else values

    return run


def _hidden_units(estimator: Any) -> Step:
    components = floats(estimator.components_, "components_", ndim=2)
    check_width(estimator, components.shape[1])
    scores = affine(components.T, floats(estimator.intercept_hidden_, "intercept_hidden_", ndim=1))

    def run(rows: Array) -> Array:
        values = scores(rows)
        expit(values, values)
        return values

    return run


FINALS: Mapping[str, Factory] = {
    "MLPClassifier": by_method(
        {
            "predict": _classify,
            "predict_proba": _probabilities,
            "predict_log_proba": logarithm(_probabilities),
        }
    ),
    "MLPRegressor": by_method({"predict": _regress}),
    "BernoulliRBM": by_method({"transform": _hidden_units}),
}
