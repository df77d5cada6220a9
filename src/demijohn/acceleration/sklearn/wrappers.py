"""Estimators around one estimator.

Rules of this room:
1. What hands its rows on as they are, leaves checking them to the estimator inside.
2. Which method of the inner estimator is asked is decided as the framework does it: by what it has.

Source: scikit-learn 1.9.1, ``model_selection/``, ``compose/_target.py``, ``calibration.py``,
``feature_selection/_rfe.py``, ``dummy.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from demijohn.acceleration.engine import Backend, Step, Unconvertible
from demijohn.messages import Array

from .preprocessing import columns_of, inverse_of
from .tables import Factory, allows_missing, make_checked_step, make_step


def inner_step(outer: Any, inner: Any, method: str, backend: Backend) -> Step:
    """Translate an estimator that gets the rows of an outer one, which have been checked for that one."""
    make = make_checked_step if allows_missing(outer) else make_step
    return make(inner, method, backend)


def not_translated(estimator: Any, method: str) -> Unconvertible:
    """Return the error for a method that is not translated."""
    return Unconvertible(f"no translation of {type(estimator).__name__}.{method}")


def _delegate(attribute: str) -> Factory:
    """Return the factory of what asks one fitted estimator for everything."""

    def factory(estimator: Any, method: str, backend: Backend) -> Step:
        return make_checked_step(getattr(estimator, attribute), method, backend)

    return factory


def _after_selection(selector: Any, method: str, backend: Backend) -> Step:
    """Translate recursive feature elimination: the estimator sees the columns that were selected."""
    select = columns_of(np.flatnonzero(selector.get_support()))
    if method == "transform":
        return select
    step = make_step(selector.estimator_, method, backend)
    return lambda rows: step(select(rows))


def _transformed_target(estimator: Any, method: str, backend: Backend) -> Step:
    if method != "predict":
        raise not_translated(estimator, method)
    step = make_checked_step(estimator.regressor_, method, backend)
    inverse = inverse_of(estimator.transformer_)
    is_flat = estimator._training_dim == 1

    def predict(rows: Array) -> Array:
        values = step(rows)
        values = inverse(values.reshape(-1, 1) if values.ndim == 1 else values)
        return values.squeeze(axis=1) if is_flat and values.ndim == 2 and values.shape[1] == 1 else values

    return predict


# Scores of a classifier of two classes ----------------------------------------------------


def response_method(estimator: Any, methods: tuple[str, ...]) -> str:
    """Return the first method that an estimator has.

    Raises:
        Unconvertible: it has none of them.
    """
    for method in methods:
        if hasattr(estimator, method):
            return method
    raise Unconvertible(f"{type(estimator).__name__} has no {methods[-1]}")


def scores_of(estimator: Any, method: str, backend: Backend, positive: Any = None) -> Step:
    """Translate what the framework takes for a classifier's scores: ``_get_response_values``.

    Args:
        estimator: Fitted.
        method: predict, predict_proba or decision_function.
        backend: See ``make_step``.
        positive: The label that scores are for, of two; default: the last.

    Returns:
        A step to (n_rows,) for two classes, else to (n_rows, n_classes).
    """
    step = make_checked_step(estimator, method, backend)
    classes = getattr(estimator, "classes_", None)
    if method == "predict" or classes is None or len(classes) != 2:
        return step
    chosen = classes[-1] if positive is None else positive
    if method == "predict_proba":
        column = int(np.flatnonzero(classes == chosen)[0])
        return lambda rows: step(rows)[:, column]
    if chosen == classes[0]:
        return lambda rows: -step(rows)
    return step


def _threshold(estimator: Any, method: str, backend: Backend) -> Step:
    inner = getattr(estimator, "estimator_", estimator.estimator)
    if method != "predict":
        return make_checked_step(inner, method, backend)
    curve = getattr(estimator, "_curve_scorer", None)
    positive = estimator.pos_label if curve is None else curve._get_pos_label()
    asked = estimator._get_response_method()
    used = response_method(inner, (asked,) if isinstance(asked, str) else tuple(asked))
    threshold = getattr(estimator, "best_threshold_", None)
    if threshold is None:
        is_auto = isinstance(estimator.threshold, str)
        threshold = (0.5 if used == "predict_proba" else 0.0) if is_auto else estimator.threshold
    classes = estimator.classes_
    labels = classes[:2]
    if positive is not None:
        labels = np.array([classes[classes != positive][0], classes[classes == positive][0]])
    scores = scores_of(inner, used, backend, positive)
    return lambda rows: labels[(scores(rows) >= threshold).astype(int)]


def _calibrated(estimator: Any, method: str, backend: Backend) -> Step:
    members = [_calibrated_member(member, backend) for member in estimator.calibrated_classifiers_]
    n_classes = estimator.classes_.shape[0]

    def probabilities(rows: Array) -> Array:
        mean = np.zeros((len(rows), n_classes))
        for member in members:
            mean += member(rows)
        mean /= len(members)
        return mean

    if method == "predict_proba":
        return probabilities
    if method != "predict":
        raise not_translated(estimator, method)
    classes = estimator.classes_
    return lambda rows: classes[np.argmax(probabilities(rows), axis=1)]


def _calibrated_member(member: Any, backend: Backend) -> Step:
    if member.method not in ("sigmoid", "isotonic"):
        raise Unconvertible(f"calibration by {member.method}")
    used = response_method(member.estimator, ("decision_function", "predict_proba"))
    scores = scores_of(member.estimator, used, backend)
    n_classes = member.classes.shape[0]
    places = np.searchsorted(member.classes, member.estimator.classes_)
    columns = [int(place) + (n_classes == 2) for place in places[: len(member.calibrators)]]
    curves = list(zip(columns, map(_curve, member.calibrators), strict=True))

    def probabilities(rows: Array) -> Array:
        values = scores(rows).reshape(len(rows), -1)
        result = np.zeros((len(rows), n_classes))
        for (column, curve), score in zip(curves, values.T, strict=False):
            result[:, column] = curve(score)
        if n_classes == 2:
            result[:, 0] = 1.0 - result[:, 1]
        else:
            total = np.sum(result, axis=1)[:, np.newaxis]
            uniform = np.full_like(result, 1 / n_classes)
            result = np.divide(result, total, out=uniform, where=total != 0)
        result[(result > 1.0) & (result <= 1.0 + 1e-5)] = 1.0
        return result

    return probabilities


def _curve(calibrator: Any) -> Step:
    """Return what a calibrator makes of scores (n_rows,)."""
    if type(calibrator).__name__ == "_SigmoidCalibration":
        from scipy.special import expit

        slope, intercept = calibrator.a_, calibrator.b_
        return lambda scores: expit(-(slope * scores + intercept))
    step = make_step(calibrator, "predict", Backend("numpy"))
    return lambda scores: step(scores.reshape(-1, 1))


# Whatever the rows are --------------------------------------------------------------------


def _dummy_regressor(estimator: Any, method: str, _: Backend) -> Step:
    if method != "predict":
        raise not_translated(estimator, method)
    return _repeat(np.asarray(estimator.constant_)[0], is_flat=estimator.n_outputs_ == 1)


def _dummy_classifier(estimator: Any, method: str, _: Backend) -> Step:
    if method not in ("predict", "predict_proba", "predict_log_proba"):
        raise not_translated(estimator, method)
    if estimator.n_outputs_ != 1 or estimator.sparse_output_:
        raise Unconvertible("a dummy classifier of several outputs")
    if estimator._strategy not in ("most_frequent", "prior", "constant"):
        raise Unconvertible(f"a dummy classifier that draws ({estimator._strategy})")
    with np.errstate(divide="ignore"):
        result = np.asarray(getattr(estimator, method)(np.ones((1, 2))))
    return _repeat(result, is_flat=True) if method == "predict" else _repeat(result[0], is_flat=False)


def _repeat(row: Array, *, is_flat: bool) -> Step:
    if is_flat:
        return lambda rows: np.repeat(row, len(rows))
    return lambda rows: np.tile(row, (len(rows), 1))


_Makers = dict[str, Callable[[Any, str, Backend], Step]]

FINALS: _Makers = {
    "BaseSearchCV": _delegate("best_estimator_"),
    "FrozenEstimator": _delegate("estimator"),
    "SelfTrainingClassifier": _delegate("estimator_"),
    "RFE": _after_selection,
    "TransformedTargetRegressor": _transformed_target,
    "BaseThresholdClassifier": _threshold,
    "CalibratedClassifierCV": _calibrated,
    "DummyRegressor": _dummy_regressor,
    "DummyClassifier": _dummy_classifier,
}
