"""Gaussian mixtures: the log probability of each component, and what follows of it.

Source: scikit-learn 1.9, mixture/_base.py, _gaussian_mixture.py and _bayesian_mixture.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from demijohn.acceleration.engine import Step
from demijohn.messages import Array

from .numerics import by_method, check_width, floats, is_one_of, log_sum_exp, refuse_huge, squared_norms

if TYPE_CHECKING:
    from .tables import Factory

#: From means and the Cholesky factor of precisions to (squared distances (n_rows, n_components) of
#: rows, the logarithm of the factor's determinant).
_Shape = Callable[[Array, Array], tuple[Step, Array]]


def _full(means: Array, factors: Array) -> tuple[Step, Array]:
    components = [(factor, mean @ factor) for mean, factor in zip(means, factors, strict=True)]

    def run(rows: Array) -> Array:
        distances = np.empty((len(rows), len(components)))
        for index, (factor, centre) in enumerate(components):
            whitened = rows.dot(factor)
            whitened -= centre
            whitened *= whitened
            distances[:, index] = np.add.reduce(whitened, axis=1)
        return distances

    diagonals = factors.reshape(len(means), -1)[:, :: means.shape[1] + 1]
    return run, np.sum(np.log(diagonals), axis=1)


def _tied(means: Array, factor: Array) -> tuple[Step, Array]:
    centres = [mean @ factor for mean in means]

    def run(rows: Array) -> Array:
        projected = rows.dot(factor)
        distances = np.empty((len(rows), len(centres)))
        for index, centre in enumerate(centres):
            whitened = projected - centre
            whitened *= whitened
            distances[:, index] = np.add.reduce(whitened, axis=1)
        return distances

    return run, np.asarray(np.sum(np.log(np.linalg.diagonal(factor))))


def _diagonal(means: Array, factors: Array) -> tuple[Step, Array]:
    precisions = factors**2
    constant = np.sum((means**2 * precisions), axis=1)
    linear, square = (means * precisions).T, precisions.T

    def run(rows: Array) -> Array:
        distances: Array = rows.dot(linear)
        distances *= 2.0
        np.subtract(constant, distances, distances)
        distances += (rows**2).dot(square)
        return distances

    return run, np.sum(np.log(factors), axis=1)


def _spherical(means: Array, factors: Array) -> tuple[Step, Array]:
    precisions = factors**2
    constant, transposed = np.sum(means**2, axis=1) * precisions, means.T

    def run(rows: Array) -> Array:
        distances: Array = rows.dot(transposed)
        distances *= precisions
        distances *= 2
        np.subtract(constant, distances, distances)
        distances += squared_norms(rows)[:, None] * precisions
        return distances

    return run, means.shape[1] * np.log(factors)


_SHAPES: Mapping[str, _Shape] = {"full": _full, "tied": _tied, "diag": _diagonal, "spherical": _spherical}


def _gaussians(estimator: Any) -> Step:
    """Return what computes log probabilities of the components, without their weights; a fresh array."""
    means = floats(estimator.means_, "means_", ndim=2)
    check_width(estimator, means.shape[1])
    factors = floats(estimator.precisions_cholesky_, "precisions_cholesky_")
    distances_to, log_determinant = is_one_of(estimator, "covariance_type", _SHAPES)(means, factors)
    constant = means.shape[1] * math.log(2 * math.pi)

    def run(rows: Array) -> Array:
        refuse_huge(rows)
        values: Array = distances_to(rows)
        values += constant
        values *= -0.5
        values += log_determinant
        return values

    return run


def _log_probability(estimator: Any) -> Step:
    """Return what computes weighted log probabilities, (n_rows, n_components); a fresh, finite array."""
    gaussians, shifts = _gaussians(estimator), []
    if type(estimator).__name__ == "BayesianGaussianMixture":
        shifts = _bayesian_shifts(estimator)
    # scikit-learn computes them anew for each call: the estimator itself is asked, once.
    weights = floats(estimator._estimate_log_weights(), "log weights", ndim=1)

    def run(rows: Array) -> Array:
        values = gaussians(rows)
        for shift in shifts:
            values += shift
        values += weights
        refuse_huge(values)
        return values

    return run


def _bayesian_shifts(estimator: Any) -> list[Array]:
    from scipy.special import digamma

    n_features = estimator.means_.shape[1]
    freedom = floats(estimator.degrees_of_freedom_, "degrees_of_freedom_")
    log_lambda = n_features * np.log(2.0) + np.sum(
        digamma(0.5 * (freedom - np.arange(0, n_features)[:, np.newaxis])), 0
    )
    # Added one after the other, as scikit-learn does: a sum of both would round otherwise.
    return [
        -(0.5 * n_features * np.log(freedom)),
        0.5 * (log_lambda - n_features / estimator.mean_precision_),
    ]


def _predict(estimator: Any) -> Step:
    log_probability = _log_probability(estimator)

    def run(rows: Array) -> Array:
        component: Array = log_probability(rows).argmax(1)
        return component

    return run


def _probabilities(estimator: Any) -> Step:
    log_probability = _log_probability(estimator)

    def run(rows: Array) -> Array:
        values = log_probability(rows)
        values -= log_sum_exp(values)
        return np.exp(values, values)

    return run


def _score_samples(estimator: Any) -> Step:
    log_probability = _log_probability(estimator)

    def run(rows: Array) -> Array:
        return log_sum_exp(log_probability(rows)).ravel()

    return run


FINALS: Mapping[str, Factory] = dict.fromkeys(
    ["GaussianMixture", "BayesianGaussianMixture"],
    by_method({"predict": _predict, "predict_proba": _probabilities, "score_samples": _score_samples}),
)
