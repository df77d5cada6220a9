"""Naive Bayes: joint log likelihoods, and what follows of them.

Rules of this room:
1. Joint log likelihoods keep the memory order that scikit-learn gives them: it is the order in which
   NumPy adds them up.

Source: scikit-learn 1.9, naive_bayes.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from demijohn.acceleration.engine import Step, StepAside
from demijohn.messages import Array

from .linear import affine
from .numerics import (
    Maker,
    by_method,
    check_width,
    exponentials,
    floats,
    labels_of,
    log_sum_exp,
    refuse_huge,
)

if TYPE_CHECKING:
    from .tables import Factory

#: So many numbers at a time are worked on in one array of three axes; above, class by class.
_AT_ONCE = 100_000


def _gaussian(estimator: Any) -> Step:
    theta = floats(estimator.theta_, "theta_", ndim=2)
    variance = floats(estimator.var_, "var_", ndim=2)
    check_width(estimator, theta.shape[1])
    log_prior = floats(np.log(floats(estimator.class_prior_, "class_prior_")), "log(class_prior_)")
    constant = np.array([-0.5 * np.sum(np.log(2.0 * np.pi * each)) for each in variance])
    first, second = constant[:, None], log_prior[:, None]
    thetas, variances = theta[:, None, :], variance[:, None, :]

    def run(rows: Array) -> Array:
        refuse_huge(rows)
        if rows.size * len(theta) > _AT_ONCE:
            squares = np.stack(
                [np.add.reduce((rows - t) ** 2 / v, axis=1) for t, v in zip(theta, variance, strict=True)]
            )
        else:
            spread = rows - thetas
            spread *= spread
            spread /= variances
            squares = np.add.reduce(spread, axis=2)
        squares *= 0.5
        joint: Array = first - squares
        joint += second
        return joint.T

    return run


def _multinomial(estimator: Any) -> Step:
    weights = _feature_log_prob(estimator)
    return affine(weights.T, floats(estimator.class_log_prior_, "class_log_prior_", ndim=1))


def _complement(estimator: Any) -> Step:
    weights = _feature_log_prob(estimator)
    prior = floats(estimator.class_log_prior_, "class_log_prior_", ndim=1)
    return affine(weights.T, prior if len(estimator.classes_) == 1 else np.zeros(1))


def _bernoulli(estimator: Any) -> Step:
    weights = _feature_log_prob(estimator)
    negative = floats(np.log(1 - np.exp(weights)), "log(1 - exp(feature_log_prob_))")
    prior = floats(estimator.class_log_prior_, "class_log_prior_", ndim=1)
    difference, bias = (weights - negative).T, prior + negative.sum(axis=1)
    threshold = estimator.binarize

    def run(rows: Array) -> Array:
        refuse_huge(rows)
        values = rows if threshold is None else (rows > threshold).astype(np.float64)
        joint: Array = values.dot(difference)
        joint += bias
        return joint

    return run


def _feature_log_prob(estimator: Any) -> Array:
    weights = floats(estimator.feature_log_prob_, "feature_log_prob_", ndim=2)
    check_width(estimator, weights.shape[1])
    return weights


def _categorical(estimator: Any) -> Step:
    tables = [floats(each, "feature_log_prob_", ndim=2) for each in estimator.feature_log_prob_]
    check_width(estimator, len(tables))
    prior = floats(estimator.class_log_prior_, "class_log_prior_", ndim=1)
    sizes = np.array([each.shape[1] for each in tables])
    begins = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    stacked = np.ascontiguousarray(np.concatenate(tables, axis=1).T)  # (n_categories of all, n_classes)

    def run(rows: Array) -> Array:
        refuse_huge(rows)
        # A fraction is cut off, as scikit-learn does; what is no known category it refuses.
        if not (rows > -1).all() or not (rows < sizes).all():
            raise StepAside("an unknown category")
        categories = rows.astype(np.int64)
        categories += begins
        joint = np.zeros((len(rows), stacked.shape[1]))
        for column in categories.T:
            joint += stacked[column]
        joint += prior
        return joint

    return run


def _log_probabilities(joint_of: Maker) -> Maker:
    def make(estimator: Any) -> Step:
        joint = joint_of(estimator)

        def run(rows: Array) -> Array:
            values = joint(rows)
            refuse_huge(values)
            values -= log_sum_exp(values)
            return values

        return run

    return make


def _finals(joint_of: Maker) -> Factory:
    return by_method(
        {
            "predict": labels_of(joint_of),
            "predict_proba": exponentials(_log_probabilities(joint_of)),
            "predict_log_proba": _log_probabilities(joint_of),
            "predict_joint_log_proba": joint_of,
        }
    )


FINALS: Mapping[str, Factory] = {
    "GaussianNB": _finals(_gaussian),
    "MultinomialNB": _finals(_multinomial),
    "ComplementNB": _finals(_complement),
    "BernoulliNB": _finals(_bernoulli),
    "CategoricalNB": _finals(_categorical),
}
