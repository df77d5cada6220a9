"""Linear classifiers: scores, the label of the largest, and probabilities.

Rules of this room:
1. Scores are looked at before they become labels or probabilities, which do not show an infinity.
2. One row has ways of its own where they give the same bits in a fraction of the time.

Source: scikit-learn 1.9, linear_model/_base.py (``LinearClassifierMixin``), linear_model/_logistic.py,
linear_model/_stochastic_gradient.py, linear_model/_ridge.py, discriminant_analysis.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from demijohn.acceleration.engine import Step, Unconvertible
from demijohn.messages import Array

from .linear import affine, scores_of
from .numerics import (
    Maker,
    by_method,
    check_width,
    floats,
    label_of,
    log_of,
    plain_classes,
    refuse_huge,
    softmax,
)

if TYPE_CHECKING:
    from .tables import Factory

_ZERO = np.zeros(1)  # an array compares faster with an array than with a number


def decision_function(estimator: Any) -> Step:
    """Return what computes the scores.

    Returns:
        From rows to (n_rows,) of two classes, else (n_rows, n_classes); a fresh array.

    Raises:
        Unconvertible: see ``linear.scores_of``.
    """
    scores = scores_of(estimator)
    coef = np.asarray(estimator.coef_)
    if coef.ndim == 2 and coef.shape[0] > 1:
        return scores

    def run(rows: Array) -> Array:
        return scores(rows).ravel()

    return run


def _is_binary(estimator: Any) -> bool:
    coef = np.asarray(estimator.coef_)
    return coef.ndim == 1 or coef.shape[0] == 1


def predict(estimator: Any) -> Step:
    """Return what computes the labels, of the dtype of ``classes_``.

    Raises:
        Unconvertible: see ``linear.scores_of``; there are several outputs.
    """
    scores = scores_of(estimator)
    classes = plain_classes(estimator.classes_)
    if not _is_binary(estimator):
        return _largest(scores, label_of(classes))
    if len(classes) != 2:
        raise Unconvertible(f"one score for {len(classes)} classes")
    negative, positive = classes[:1], classes[1:]

    def run(rows: Array) -> Array:
        margin = scores(rows)
        if margin.size == 1:
            return (positive if margin.item() > 0 else negative).copy()
        labels: Array = classes[(margin.ravel() > _ZERO).view(np.uint8)]
        return labels

    return run


def _largest(scores: Step, label: Callable[[Array], Array]) -> Step:
    def run(rows: Array) -> Array:
        return label(scores(rows))

    return run


def logistic_pair(scores: Array) -> Array:
    """Return the probabilities of two classes, (n_rows, 2), of the second one's scores, which it overwrites.

    Args:
        scores: (n_rows,) or (n_rows, 1).
    """
    expit(scores, scores)
    if scores.size == 1:
        probability = scores.item()
        return np.array(((1 - probability, probability),))
    pair = np.empty((len(scores), 2))
    scores = scores.ravel()
    np.subtract(1, scores, out=pair[:, 0])
    pair[:, 1] = scores
    return pair


def normalized(probabilities: Array) -> Array:
    """Divide by the sum of each row, in place; rows of zeros become uniform."""
    total = probabilities.sum(axis=1)
    if not total.all():
        all_zero = total == 0
        probabilities[all_zero, :] = 1
        total[all_zero] = probabilities.shape[1]
    probabilities /= total.reshape(-1, 1)
    return probabilities


def _one_against_rest(scores: Array) -> Array:
    expit(scores, scores)
    return normalized(scores)


def _modified_huber(scores: Array) -> Array:
    np.clip(scores, -1, 1, scores)
    scores += 1.0
    scores /= 2.0
    return normalized(scores)


def _modified_huber_pair(scores: Array) -> Array:
    pair = np.ones((len(scores), 2))
    probability = pair[:, 1]
    np.clip(scores.ravel(), -1, 1, probability)
    probability += 1.0
    probability /= 2.0
    pair[:, 0] -= probability
    return pair


def _logistic_proba(estimator: Any) -> Step:
    return _chained(estimator, logistic_pair, softmax)


def _stochastic_proba(estimator: Any) -> Step:
    if estimator.loss == "log_loss":
        return _chained(estimator, logistic_pair, _one_against_rest)
    if estimator.loss == "modified_huber":
        return _chained(estimator, _modified_huber_pair, _modified_huber)
    raise Unconvertible(f"loss={estimator.loss!r} has no probabilities")


def _chained(estimator: Any, pair: Callable[[Array], Array], several: Callable[[Array], Array]) -> Step:
    scores = scores_of(estimator)
    n_classes, is_pair = len(plain_classes(estimator.classes_)), _is_binary(estimator)
    if n_classes != (2 if is_pair else len(estimator.coef_)):
        raise Unconvertible(f"{len(estimator.coef_)} scores for {n_classes} classes")
    finish = pair if is_pair else several

    def run(rows: Array) -> Array:
        return finish(scores(rows))

    return run


def logarithm(proba: Maker) -> Maker:
    """Return what makes ``predict_log_proba`` out of what makes ``predict_proba``."""

    def make(estimator: Any) -> Step:
        probabilities = proba(estimator)

        def run(rows: Array) -> Array:
            return log_of(probabilities(rows))

        return run

    return make


# Ridge -----------------------------------------------------------------------------------------


def _ridge_predict(estimator: Any) -> Step:
    if not estimator._label_binarizer.y_type_.startswith("multilabel"):
        return predict(estimator)
    scores = decision_function(estimator)
    if estimator._label_binarizer.sparse_input_:
        raise Unconvertible("labels were fitted on a sparse matrix")

    def run(rows: Array) -> Array:
        labels: Array = (scores(rows) > 0).astype(np.intp)
        return labels

    return run


# Linear discriminant analysis -------------------------------------------------------------------

_SMALLEST = np.finfo(np.float64).smallest_normal


def _discriminant_log_proba(estimator: Any) -> Step:
    probabilities = _logistic_proba(estimator)

    def run(rows: Array) -> Array:
        proba = probabilities(rows)
        if not proba.all():
            proba[proba == 0.0] += _SMALLEST
        return np.log(proba, proba)

    return run


def _discriminant_transform(estimator: Any) -> Step:
    if estimator.solver not in {"svd", "eigen"}:
        raise Unconvertible(f"solver={estimator.solver!r} has no transform")
    scalings = floats(estimator.scalings_, "scalings_", ndim=2)
    check_width(estimator, scalings.shape[0])
    mean = floats(estimator.xbar_, "xbar_", ndim=1) if estimator.solver == "svd" else None
    width = int(estimator._max_components)

    def run(rows: Array) -> Array:
        refuse_huge(rows)
        projected: Array = (rows if mean is None else rows - mean).dot(scalings)
        return np.ascontiguousarray(projected[:, :width])

    return run


# One class --------------------------------------------------------------------------------------


def _novelty(estimator: Any) -> Step:
    """Return what computes the decision function of an SGDOneClassSVM: its ``offset_`` is taken off."""
    coef = floats(estimator.coef_, "coef_", may_be_single=True)
    check_width(estimator, coef.shape[-1])
    scores = affine(coef.T, -floats(estimator.offset_, "offset_", may_be_single=True).reshape(-1))

    def run(rows: Array) -> Array:
        return scores(rows).ravel()

    return run


def _novelty_scores(estimator: Any) -> Step:
    decide, offset = _novelty(estimator), floats(estimator.offset_, "offset_", may_be_single=True)

    def run(rows: Array) -> Array:
        values = decide(rows)
        values += offset
        return values

    return run


def _is_inlier(estimator: Any) -> Step:
    decide = _novelty(estimator)

    def run(rows: Array) -> Array:
        return np.where(decide(rows) >= 0, _INLIER, _OUTLIER)

    return run


_INLIER, _OUTLIER = np.int32(1), np.int32(-1)

_LABELS: Mapping[str, Maker] = {"predict": predict, "decision_function": decision_function}
_logistic = by_method(
    {**_LABELS, "predict_proba": _logistic_proba, "predict_log_proba": logarithm(_logistic_proba)}
)
_stochastic = by_method(
    {**_LABELS, "predict_proba": _stochastic_proba, "predict_log_proba": logarithm(_stochastic_proba)}
)
_discriminant = by_method(
    {
        **_LABELS,
        "predict_proba": _logistic_proba,
        "predict_log_proba": _discriminant_log_proba,
        "transform": _discriminant_transform,
    }
)

FINALS: Mapping[str, Factory] = {
    **dict.fromkeys(["LogisticRegression", "LogisticRegressionCV"], _logistic),
    **dict.fromkeys(["LinearSVC", "PassiveAggressiveClassifier", "Perceptron"], by_method(_LABELS)),
    "SGDClassifier": _stochastic,
    **dict.fromkeys(
        ["RidgeClassifier", "RidgeClassifierCV"], by_method({**_LABELS, "predict": _ridge_predict})
    ),
    "LinearDiscriminantAnalysis": _discriminant,
    "SGDOneClassSVM": by_method(
        {"predict": _is_inlier, "decision_function": _novelty, "score_samples": _novelty_scores}
    ),
}
