"""What the sum of a row's leaves becomes: scikit-learn's arithmetic, operation by operation.

Rules of this room:
1. The same numpy and scipy calls in the same order and memory layout as scikit-learn's, for sums of
   eight and more terms are added in another order if the layout differs.
2. Nothing of scikit-learn itself runs here, and no estimator is held: only arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit

from demijohn.messages import Array

Finish = Callable[[Array], Any]

_FEW = 8  #: Classes.


def labels_of(scores: Finish, classes: Array) -> Finish:
    """Name the class of the highest score, the first of equals."""

    def finish(sums: Array) -> Array:
        found: Array = scores(sums)
        if len(found) == 1:  # a slice is a fifth of what take costs
            best = int(found.argmax())
            return classes[best : best + 1].copy()
        labels: Array = classes.take(found.argmax(axis=1), axis=0)
        return labels

    return finish


def labels_of_mean(n_trees: int, classes: Array) -> Finish:
    """Name the class of the highest mean, the first of equals."""
    of_many = divided_by(n_trees, labels_of(unchanged, classes))

    def finish(sums: Array) -> Any:
        if len(sums) != 1 or len(classes) > _FEW:
            return of_many(sums)
        # Of one row and few classes: Python divides as numpy does, in a third of the time.
        means = [total / n_trees for total in sums[0].tolist()]
        best = means.index(max(means))
        return classes[best : best + 1].copy()

    return finish


def labels_by_sign(scores: Finish, classes: Array, *, includes_zero: bool) -> Finish:
    """Name the second of two classes where the score (n_rows,) is positive (or zero)."""

    def finish(sums: Array) -> Array:
        found: Array = scores(sums)
        if len(found) == 1:
            best = int(found[0] >= 0 if includes_zero else found[0] > 0)
            return classes[best : best + 1].copy()
        is_second = found >= 0 if includes_zero else found > 0
        labels: Array = classes[is_second.astype(int)]
        return labels

    return finish


def unchanged(sums: Array) -> Array:
    """Return the sums as they are."""
    return sums


def first_column(sums: Array) -> Array:
    """Return the only sum of each row: shape ``(n_rows,)``."""
    return sums.reshape(-1)


def divided_by(divisor: float, then: Finish = unchanged) -> Finish:
    """Divide the sums."""

    def finish(sums: Array) -> Any:
        return then(sums / divisor)

    return finish


def logarithm_of(scores: Finish) -> Finish:
    """Take the logarithm, of each array if there are several; of 0 it is -inf, without a warning."""

    def finish(sums: Array) -> Any:
        found = scores(sums)
        with np.errstate(divide="ignore"):
            return [np.log(each) for each in found] if isinstance(found, list) else np.log(found)

    return finish


def binary_probabilities(factor: float = 1.0) -> Finish:
    """Give the probabilities of two classes, from the only sum.

    Source: sklearn/_loss/loss.py, HalfBinomialLoss.predict_proba and (factor 2) ExponentialLoss.
    """

    def finish(sums: Array) -> Array:
        raw = sums[:, 0]
        found = np.empty((len(raw), 2), dtype=np.float64)
        found[:, 1] = expit(raw if factor == 1.0 else factor * raw)
        found[:, 0] = 1 - found[:, 1]
        return found

    return finish


def softmax(raw: Array) -> Array:
    """Give the probabilities of several classes.

    Source: sklearn/utils/extmath.py, softmax.
    """
    # The ufuncs' own reductions are what max() and sum() call, without their microsecond each.
    found: Array = raw - np.maximum.reduce(raw, axis=1, keepdims=True)
    np.exp(found, out=found)
    found /= np.add.reduce(found, axis=1, keepdims=True)
    return found


def softmax_by_columns(raw: Array) -> Array:
    """Give the same of an array that scikit-learn keeps in Fortran's order."""
    return softmax(np.asfortranarray(raw))


def exponential(sums: Array) -> Array:
    """Invert the logarithmic link of the Poisson and gamma losses."""
    return np.exp(sums.reshape(-1))


def parts_of(widths: list[int], stride: int) -> Callable[[Array], list[Array]]:
    """Cut sums ``(n_rows, n_outputs * stride)`` into an array ``(n_rows, width)`` for each output."""

    def cut(sums: Array) -> list[Array]:
        return [sums[:, i * stride : i * stride + width] for i, width in enumerate(widths)]

    return cut


def labels_of_outputs(parts: Callable[[Array], list[Array]], classes: list[Array]) -> Finish:
    """Name the class of the highest score for each output: ``(n_rows, n_outputs)``.

    All labels get the type of the first output's, as in scikit-learn.
    """

    def finish(sums: Array) -> Array:
        found = np.empty((len(sums), len(classes)), dtype=classes[0].dtype)
        for i, part in enumerate(parts(sums)):
            found[:, i] = classes[i].take(part.argmax(axis=1), axis=0)
        return found

    return finish
