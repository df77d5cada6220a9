"""Estimators of many: one per class, per pair of classes, per output.

Source: scikit-learn 1.9.1, ``multiclass.py``, ``multioutput.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from demijohn.acceleration.engine import Backend, Step, Unconvertible
from demijohn.messages import Array

from .wrappers import inner_step, not_translated, scores_of

# One estimator per class ------------------------------------------------------------------


def _binary_score(outer: Any, estimator: Any, backend: Backend) -> Step:
    """Translate ``_predict_binary`` of ``multiclass.py``."""
    if _is_constant(estimator):
        return _constant(estimator, "decision_function")
    if not hasattr(estimator, "classes_"):
        return inner_step(outer, estimator, "predict", backend)
    if hasattr(estimator, "decision_function"):
        step = inner_step(outer, estimator, "decision_function", backend)
        return lambda rows: np.ravel(step(rows))
    proba = inner_step(outer, estimator, "predict_proba", backend)
    return lambda rows: proba(rows)[:, 1]


def _is_constant(estimator: Any) -> bool:
    return type(estimator).__name__ == "_ConstantPredictor"


def _constant(estimator: Any, method: str) -> Step:
    value = estimator.y_
    if method == "predict_proba":
        as_float = value.astype(np.float64)
        row = np.hstack([1 - as_float, as_float])
        return lambda rows: np.repeat([row], len(rows), axis=0)
    return lambda rows: np.repeat(value, len(rows))


def _threshold_of(estimator: Any) -> float:
    has_decision = hasattr(estimator, "decision_function") and hasattr(estimator, "classes_")
    return 0.0 if has_decision or _is_constant(estimator) else 0.5


def _one_vs_rest(estimator: Any, method: str, backend: Backend) -> Step:
    makers = {
        "predict": _rest_labels,
        "predict_proba": _rest_probabilities,
        "decision_function": _rest_decisions,
    }
    if method not in makers:
        raise not_translated(estimator, method)
    return makers[method](estimator, backend)


def _rest_labels(estimator: Any, backend: Backend) -> Step:
    scores = [_binary_score(estimator, member, backend) for member in estimator.estimators_]
    classes = estimator.classes_
    kind = estimator.label_binarizer_.y_type_
    threshold = _threshold_of(estimator.estimators_[0])
    if kind == "multiclass":
        # The framework goes from the last to the first and takes what is at least the largest so far.
        return lambda rows: classes[np.argmax(np.array([score(rows) for score in scores]), axis=0)]
    if kind == "binary" and len(scores) == 1 and len(classes) == 2:
        (only,) = scores
        return lambda rows: classes[(only(rows) > threshold).astype(int)]
    if kind != "multilabel-indicator":
        raise Unconvertible(f"one-vs-rest for {kind} labels")
    return lambda rows: np.column_stack([score(rows) > threshold for score in scores]).astype(int)


def _rest_members(estimator: Any, method: str, backend: Backend) -> list[Step]:
    return [
        _constant(member, method) if _is_constant(member) else inner_step(estimator, member, method, backend)
        for member in estimator.estimators_
    ]


def _rest_probabilities(estimator: Any, backend: Backend) -> Step:
    members = _rest_members(estimator, "predict_proba", backend)
    is_multilabel = estimator.multilabel_

    def probabilities(rows: Array) -> Array:
        result = np.array([member(rows)[:, 1] for member in members]).T
        if len(members) == 1:
            result = np.concatenate(((1 - result), result), axis=1)
        if not is_multilabel:
            sums = np.sum(result, axis=1)[:, np.newaxis]
            np.divide(result, sums, out=result, where=sums != 0)
        return result

    return probabilities


def _rest_decisions(estimator: Any, backend: Backend) -> Step:
    members = _rest_members(estimator, "decision_function", backend)
    if len(members) == 1:
        return members[0]
    return lambda rows: np.array([member(rows).ravel() for member in members]).T


def _one_vs_one(estimator: Any, method: str, backend: Backend) -> Step:
    if estimator.pairwise_indices_ is not None:
        raise Unconvertible("OneVsOneClassifier of a precomputed kernel")
    decide = _pair_decisions(estimator, backend)
    if method == "decision_function":
        return decide
    if method != "predict":
        raise not_translated(estimator, method)
    classes = estimator.classes_
    if estimator.n_classes_ == 2:
        threshold = _threshold_of(estimator.estimators_[0])
        return lambda rows: classes[(decide(rows) > threshold).astype(int)]
    return lambda rows: classes[decide(rows).argmax(axis=1)]


def _pair_decisions(estimator: Any, backend: Backend) -> Step:
    labels = [inner_step(estimator, member, "predict", backend) for member in estimator.estimators_]
    scores = [_binary_score(estimator, member, backend) for member in estimator.estimators_]
    n_classes = len(estimator.classes_)
    pairs = [(first, second) for first in range(n_classes) for second in range(first + 1, n_classes)]
    is_binary = estimator.n_classes_ == 2

    def decide(rows: Array) -> Array:
        votes = np.zeros((len(rows), n_classes))
        sums = np.zeros((len(rows), n_classes))
        for (first, second), label, score in zip(pairs, labels, scores, strict=True):
            confidence, winner = score(rows), label(rows)
            sums[:, first] -= confidence
            sums[:, second] += confidence
            votes[winner == 0, first] += 1
            votes[winner == 1, second] += 1
        result = votes + sums / (3 * (np.abs(sums) + 1))
        return np.asarray(result[:, 1] if is_binary else result)

    return decide


# One estimator per output -----------------------------------------------------------------


def _multi_output(estimator: Any, method: str, backend: Backend) -> Step:
    if method not in ("predict", "predict_proba"):
        raise not_translated(estimator, method)
    members = [inner_step(estimator, member, method, backend) for member in estimator.estimators_]
    if method == "predict":
        return lambda rows: np.asarray([member(rows) for member in members]).T
    # The framework returns a list here, a matrix per output.
    return lambda rows: cast("Array", [member(rows) for member in members])


def _chain(estimator: Any, method: str, backend: Backend) -> Step:
    if method == "predict_log_proba":
        probabilities = _chain(estimator, "predict_proba", backend)
        return lambda rows: np.log(probabilities(rows))
    between = getattr(estimator, "chain_method_", "predict")
    links = [
        (
            scores_of(member, between, backend),
            None if method == between else scores_of(member, method, backend),
        )
        for member in estimator.estimators_
    ]
    order = np.empty_like(estimator.order_)
    order[estimator.order_] = np.arange(len(order))

    def run(rows: Array) -> Array:
        outputs, features = np.zeros((len(rows), len(links))), np.zeros((len(rows), len(links)))
        for index, (step, last) in enumerate(links):
            joined = np.hstack((rows, features[:, :index]))
            features[:, index] = step(joined)
            outputs[:, index] = features[:, index] if last is None else last(joined)
        return outputs[:, order]

    return run


FINALS: dict[str, Callable[[Any, str, Backend], Step]] = {
    "OneVsRestClassifier": _one_vs_rest,
    "OneVsOneClassifier": _one_vs_one,
    "_MultiOutputEstimator": _multi_output,
    "_BaseChain": _chain,
}
