"""Ensembles of any estimators: votes, stacks, bags and boosts.

Tree ensembles are read as such where they can be; see ``tables``.

Source: scikit-learn 1.9.1, ``ensemble/``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from demijohn.acceleration.engine import Backend, Step, Unconvertible
from demijohn.messages import Array

from .building import Building, texts_of
from .numerics import softmax
from .tables import make_checked_step
from .wrappers import inner_step, not_translated

# Votes ------------------------------------------------------------------------------------


def _average(weights: Sequence[float] | None, axis: int) -> Step:
    """Return ``numpy.average`` along an axis, without its checks."""
    if weights is None:
        return lambda values: np.add.reduce(values, axis=axis) / values.shape[axis]
    factors = np.asarray(weights)
    scale = factors.sum(dtype=np.result_type(factors.dtype, np.float64))

    def average(values: Array) -> Array:
        shape = (-1, *[1] * (values.ndim - 1)) if axis == 0 else (-1,)
        return np.asarray(np.multiply(values, factors.reshape(shape), dtype=np.float64).sum(axis) / scale)

    return average


def _gathered(members: Sequence[Step]) -> Step:
    return lambda rows: np.asarray([member(rows) for member in members])


def _voting_classifier(voting: Any, method: str, backend: Backend) -> Step:
    is_soft = voting.voting == "soft"
    if type(voting.le_).__name__ != "LabelEncoder":
        raise Unconvertible("a vote on several outputs")
    inner = "predict_proba" if is_soft else "predict"
    gather = _gathered([inner_step(voting, member, inner, backend) for member in voting.estimators_])
    average = _average(voting._weights_not_none, 0)
    classes = voting.le_.classes_
    if method == "transform":
        if not is_soft:
            return lambda rows: gather(rows).T
        if not voting.flatten_transform:
            raise Unconvertible("VotingClassifier.transform with flatten_transform=False")
        return lambda rows: np.hstack(list(gather(rows)))
    if method == "predict_proba" and is_soft:
        return lambda rows: average(gather(rows))
    if method != "predict":
        raise not_translated(voting, method)
    if is_soft:
        return lambda rows: classes.take(np.argmax(average(gather(rows)), axis=1), axis=0)
    count = _count_votes(voting._weights_not_none, len(classes))
    return lambda rows: classes.take(count(gather(rows)), axis=0)


def _count_votes(weights: Sequence[float] | None, n_classes: int) -> Step:
    """Return what counts votes (n_members, n_rows); of equals, the first class wins."""
    numbers = np.arange(n_classes)

    def count(votes: Array) -> Array:
        factors = np.ones(len(votes)) if weights is None else weights
        tally = np.zeros((votes.shape[1], n_classes))
        for vote, factor in zip(votes, factors, strict=True):
            tally += (vote[:, None] == numbers) * factor
        return np.asarray(tally.argmax(axis=1))

    return count


def _voting_regressor(voting: Any, method: str, backend: Backend) -> Step:
    gather = _gathered([inner_step(voting, member, "predict", backend) for member in voting.estimators_])
    if method == "transform":
        return lambda rows: gather(rows).T
    if method != "predict":
        raise not_translated(voting, method)
    average = _average(voting._weights_not_none, 1)
    return lambda rows: average(gather(rows).T)


# Stacks -----------------------------------------------------------------------------------


def _stacking(stack: Any, method: str, backend: Backend) -> Step:
    encoder = getattr(stack, "_label_encoder", None)
    if isinstance(encoder, list):
        raise Unconvertible("a stack for several outputs")
    transform = _stacked(stack, backend)
    if method == "transform":
        return transform
    final = make_checked_step(stack.final_estimator_, method, Building.of(backend).with_texts(()))
    if method == "predict" and encoder is not None:
        classes = encoder.classes_
        return lambda rows: classes.take(final(transform(rows)), axis=0)
    return lambda rows: final(transform(rows))


def _stacked(stack: Any, backend: Backend) -> Step:
    if stack.passthrough and texts_of(backend):
        raise Unconvertible("texts come out of a stack")
    is_binary = len(getattr(stack, "classes_", ())) == 2
    members = [
        (inner_step(stack, member, method, backend), is_binary and method == "predict_proba")
        for member, method in zip(stack.estimators_, stack.stack_method_, strict=True)
    ]
    passes_rows = bool(stack.passthrough)

    def transform(rows: Array) -> Array:
        columns = []
        for member, is_halved in members:
            result = member(rows)
            columns.append(
                result.reshape(-1, 1) if result.ndim == 1 else result[:, 1:] if is_halved else result
            )
        if passes_rows:
            columns.append(rows)
        return np.hstack(columns)

    return transform


# Bags -------------------------------------------------------------------------------------


def _bagging_members(bag: Any, method: str, backend: Backend) -> list[tuple[Step, Array | None]]:
    """Return each member's step and the columns it takes; None is all, in their order."""
    if texts_of(backend):
        raise Unconvertible("a bag gets columns of texts")
    everything = np.arange(bag.n_features_in_)
    return [
        (
            make_checked_step(member, method, backend),
            None if np.array_equal(columns, everything) else np.asarray(columns),
        )
        for member, columns in zip(bag.estimators_, bag.estimators_features_, strict=True)
    ]


def _summed(members: Sequence[tuple[Step, Array | None]], n_members: int) -> Step:
    def run(rows: Array) -> Array:
        total: Any = 0
        for step, columns in members:
            total = total + step(rows if columns is None else rows.take(columns, axis=1))
        return np.asarray(total / n_members)

    return run


def _bagging_classifier(bag: Any, method: str, backend: Backend) -> Step:
    if any(len(member.classes_) != bag.n_classes_ for member in bag.estimators_):
        raise Unconvertible("a member of the bag has not seen every class")
    if method == "decision_function":
        return _summed(_bagging_members(bag, method, backend), bag.n_estimators)
    if not hasattr(bag.estimators_[0], "predict_proba"):
        raise Unconvertible("a bag of classifiers without probabilities")
    if method == "predict_log_proba":
        return _bagged_logarithms(bag, backend)
    probabilities = _summed(_bagging_members(bag, "predict_proba", backend), bag.n_estimators)
    if method == "predict_proba":
        return probabilities
    if method != "predict":
        raise not_translated(bag, method)
    classes = bag.classes_
    return lambda rows: classes.take(np.argmax(probabilities(rows), axis=1), axis=0)


def _bagged_logarithms(bag: Any, backend: Backend) -> Step:
    members = _bagging_members(bag, "predict_log_proba", backend)
    n_classes, shift = bag.n_classes_, np.log(bag.n_estimators)

    def run(rows: Array) -> Array:
        result = np.full((len(rows), n_classes), -np.inf)
        for step, columns in members:
            result = np.logaddexp(result, step(rows if columns is None else rows.take(columns, axis=1)))
        result -= shift
        return result

    return run


def _bagging_regressor(bag: Any, method: str, backend: Backend) -> Step:
    if method != "predict":
        raise not_translated(bag, method)
    return _summed(_bagging_members(bag, method, backend), bag.n_estimators)


# Boosts -----------------------------------------------------------------------------------


def _boosting_classifier(boost: Any, method: str, backend: Backend) -> Step:
    if boost.n_classes_ < 2:
        raise Unconvertible("a boost of one class")
    decide = _boosted_decision(boost, backend)
    classes, is_binary = boost.classes_, boost.n_classes_ == 2
    if method == "decision_function":
        return decide
    if method == "predict" and is_binary:
        return lambda rows: classes.take(decide(rows) > 0, axis=0)
    if method == "predict":
        return lambda rows: classes.take(np.argmax(decide(rows), axis=1), axis=0)
    if method not in ("predict_proba", "predict_log_proba"):
        raise not_translated(boost, method)

    def probabilities(rows: Array) -> Array:
        decision = decide(rows)
        if is_binary:
            decision = np.vstack([-decision, decision]).T / 2
        else:
            decision /= len(classes) - 1
        return softmax(decision)

    return probabilities if method == "predict_proba" else lambda rows: np.log(probabilities(rows))


def _boosted_decision(boost: Any, backend: Backend) -> Step:
    n_classes, labels = boost.n_classes_, boost.classes_
    weights = [float(weight) for weight in boost.estimator_weights_]
    members = [
        (inner_step(boost, member, "predict", backend), weight, -1 / (n_classes - 1) * weight)
        for member, weight in zip(boost.estimators_, weights, strict=False)
    ]
    total = boost.estimator_weights_.sum()
    column = labels[:, np.newaxis]

    def decide(rows: Array) -> Array:
        result: Any = 0
        for step, weight, otherwise in members:
            result = result + np.where((step(rows) == column).T, weight, otherwise)
        result /= total
        if n_classes == 2:
            result[:, 0] *= -1
            return np.asarray(result.sum(axis=1))
        return np.asarray(result)

    return decide


def _boosting_regressor(boost: Any, method: str, backend: Backend) -> Step:
    if method != "predict":
        raise not_translated(boost, method)
    gather = _gathered([inner_step(boost, member, "predict", backend) for member in boost.estimators_])
    weights = boost.estimator_weights_

    def predict(rows: Array) -> Array:
        values = gather(rows).T
        order = np.argsort(values, axis=1)
        sums = np.cumsum(weights[order], axis=1)
        middle = (sums >= 0.5 * sums[:, -1][:, np.newaxis]).argmax(axis=1)
        every_row = np.arange(len(rows))
        return np.asarray(values[every_row, order[every_row, middle]])

    return predict


FINALS: dict[str, Callable[[Any, str, Backend], Step]] = {
    "VotingClassifier": _voting_classifier,
    "VotingRegressor": _voting_regressor,
    "_BaseStacking": _stacking,
    "BaggingClassifier": _bagging_classifier,
    "BaggingRegressor": _bagging_regressor,
    "AdaBoostClassifier": _boosting_classifier,
    "AdaBoostRegressor": _boosting_regressor,
}
