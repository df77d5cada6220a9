"""Linear regressors: a product and a sum.

Rules of this room:
1. The product is the one that scikit-learn asks for (``coef_`` or its transposed view): which of
   BLAS's routines runs decides on the last bit. ``dot`` calls the same one as ``@``, in half the time.
2. What is not finite shows in the scores, unless it meets a zero: where a coefficient is zero, the
   rows themselves are looked at.

Source: scikit-learn 1.9, linear_model/_base.py, linear_model/_glm/glm.py, cross_decomposition/_pls.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from demijohn.acceleration.engine import Backend, Step, StepAside, Unconvertible
from demijohn.messages import Array

from .numerics import LIMIT, Maker, by_method, check_width, floats, refuse_huge

if TYPE_CHECKING:
    from .tables import Factory


def scores_of(estimator: Any) -> Step:
    """Return what computes ``X @ coef_.T + intercept_``.

    Returns:
        From rows to (n_rows,), or (n_rows, n_outputs) where ``coef_`` has two axes; a fresh array.

    Raises:
        Unconvertible: ``coef_`` is sparse, float32, or of another width.
    """
    coef = floats(estimator.coef_, "coef_", may_be_single=True)
    if coef.ndim not in {1, 2}:
        raise Unconvertible(f"coef_ has {coef.ndim} axes")
    check_width(estimator, coef.shape[-1])
    return affine(coef.T, intercept_of(estimator.intercept_, coef))


def intercept_of(value: Any, coef: Array) -> Array:
    """Return the intercept as an array that adds to the scores of ``coef`` without changing their shape.

    Raises:
        Unconvertible: there is no such array.
    """
    intercept = floats(value, "intercept_", may_be_single=True)
    n_outputs = coef.shape[0] if coef.ndim == 2 else 1
    if intercept.size not in {1, n_outputs}:
        raise Unconvertible(f"{intercept.size} intercepts for {n_outputs} outputs")
    # With an array of one number NumPy adds faster than with a number.
    return intercept.reshape(-1)


def affine(weights: Array, bias: Array) -> Step:
    """Return what computes ``rows @ weights + bias``.

    Args:
        weights: (n_features,) or (n_features, n_outputs), in the memory order that BLAS is to see.
        bias: (1,) or (n_outputs,).

    Returns:
        From rows to a fresh array, (n_rows,) or (n_rows, n_outputs). Raises ``StepAside``.
    """
    if not (weights.flags.c_contiguous or weights.flags.f_contiguous):
        return _affine_strided(weights, bias)
    by_column = weights.reshape(len(weights), -1).any(axis=1)
    if not by_column.all():
        return _affine_watching_rows(weights, bias)
    if weights.ndim == 1 or weights.shape[1] == 1:
        return _affine_single(weights, bias)
    return _affine_several(weights, bias)


def _affine_strided(weights: Array, bias: Array) -> Step:
    """Do without ``dot``, which takes another of BLAS's routines where a matrix is part of a larger one."""

    def run(rows: Array) -> Array:
        refuse_huge(rows)
        scores: Array = rows @ weights
        scores += bias
        refuse_huge(scores)
        return scores

    return run


def _affine_watching_rows(weights: Array, bias: Array) -> Step:
    if np.abs(weights).sum() > LIMIT:
        raise Unconvertible("its coefficients are huge")  # else no score of ordinary rows is infinite

    def run(rows: Array) -> Array:
        refuse_huge(rows)
        scores: Array = rows.dot(weights)
        scores += bias
        return scores

    return run


def _affine_single(weights: Array, bias: Array) -> Step:
    offset = float(bias[0])

    def run(rows: Array) -> Array:
        scores: Array = rows.dot(weights)
        if scores.size == 1:
            # Of one number, Python's sum is the same and these take a fifth of what NumPy's below do.
            score = scores.item() + offset
            if not -LIMIT < score < LIMIT:
                raise StepAside("a number is not finite, or huge")
            scores.fill(score)
            return scores
        scores += bias
        refuse_huge(scores)
        return scores

    return run


def _affine_several(weights: Array, bias: Array) -> Step:
    def run(rows: Array) -> Array:
        scores: Array = rows.dot(weights)
        scores += bias
        refuse_huge(scores)
        return scores

    return run


def _raveled(estimator: Any) -> Step:
    scores = scores_of(estimator)

    def run(rows: Array) -> Array:
        return scores(rows).ravel()

    return run


# Generalized linear models --------------------------------------------------------------------


def _identity(values: Array) -> Array:
    return values


def _exponential(values: Array) -> Array:
    return np.exp(values, values)


_INVERSE_LINKS: Mapping[str, Callable[[Array], Array]] = {
    "IdentityLink": _identity,
    "LogLink": _exponential,
}
_LARGEST_EXPONENT = 700.0  # exp(710) is infinite


def _generalized(estimator: Any) -> Step:
    link = type(estimator._base_loss.link).__name__
    inverse = _INVERSE_LINKS.get(link)
    if inverse is None:
        raise Unconvertible(f"the link {link} is not translated")
    scores = scores_of(estimator)
    may_overflow = inverse is _exponential

    def run(rows: Array) -> Array:
        linear = scores(rows)
        if may_overflow and linear.max() > _LARGEST_EXPONENT:
            raise StepAside("an exponential is infinite")
        return inverse(linear)

    return run


# Partial least squares ------------------------------------------------------------------------


def _pls_predict(estimator: Any) -> Step:
    coef = floats(estimator.coef_, "coef_", ndim=2)
    mean = floats(estimator._x_mean, "_x_mean", ndim=1)
    check_width(estimator, coef.shape[1])
    bias = intercept_of(estimator.intercept_, coef)
    weights, is_flat = coef.T, bool(estimator._predict_1d)

    def run(rows: Array) -> Array:
        refuse_huge(rows)
        scores: Array = (rows - mean).dot(weights)
        scores += bias
        return scores.ravel() if is_flat else scores

    return run


def _projection(rotations: str) -> Maker:
    def make(estimator: Any) -> Step:
        weights = floats(getattr(estimator, rotations), rotations, ndim=2)
        mean = floats(estimator._x_mean, "_x_mean", ndim=1)
        scale = floats(estimator._x_std, "_x_std", ndim=1)
        check_width(estimator, weights.shape[0])

        def run(rows: Array) -> Array:
            refuse_huge(rows)
            centred = rows - mean
            centred /= scale
            projected: Array = centred.dot(weights)
            return projected

        return run

    return make


# RANSAC ---------------------------------------------------------------------------------------


def _ransac(estimator: Any, method: str, backend: Backend) -> Step:
    inner = estimator.estimator_
    factory = FINALS.get(type(inner).__name__)
    if factory is None or not type(inner).__module__.startswith("sklearn."):
        raise Unconvertible(f"RANSACRegressor of a {type(inner).__name__} is not translated")
    return factory(inner, method, backend)


#: Their ``predict`` is a product and a sum, of the shape that ``coef_`` has.
REGRESSORS = [
    "ARDRegression", "BayesianRidge", "ElasticNet", "ElasticNetCV", "HuberRegressor", "Lars", "LarsCV",
    "Lasso", "LassoCV", "LassoLars", "LassoLarsCV", "LassoLarsIC", "LinearRegression", "LinearSVR",
    "MultiTaskElasticNet", "MultiTaskElasticNetCV", "MultiTaskLasso", "MultiTaskLassoCV",
    "OrthogonalMatchingPursuit", "OrthogonalMatchingPursuitCV", "QuantileRegressor", "Ridge", "RidgeCV",
    "TheilSenRegressor",
]  # fmt: skip
_pls = by_method({"predict": _pls_predict, "transform": _projection("x_rotations_")})
_pls_svd = by_method({"transform": _projection("x_weights_")})

FINALS: Mapping[str, Factory] = {
    **dict.fromkeys(REGRESSORS, by_method({"predict": scores_of})),
    **dict.fromkeys(["SGDRegressor", "PassiveAggressiveRegressor"], by_method({"predict": _raveled})),
    **dict.fromkeys(
        ["PoissonRegressor", "GammaRegressor", "TweedieRegressor"], by_method({"predict": _generalized})
    ),
    **dict.fromkeys(["PLSRegression", "PLSCanonical", "CCA"], _pls),
    "PLSSVD": _pls_svd,
    "RANSACRegressor": _ransac,
}
