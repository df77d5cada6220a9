"""Outliers by their Mahalanobis distance.

Source: scikit-learn 1.9, covariance/_empirical_covariance.py and _elliptic_envelope.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial.distance import cdist

from demijohn.acceleration.engine import Step
from demijohn.messages import Array

from .numerics import by_method, check_width, floats, refuse_huge

if TYPE_CHECKING:
    from .tables import Factory


def _score_samples(estimator: Any) -> Step:
    location = floats(estimator.location_, "location_", ndim=1)[np.newaxis, :]
    check_width(estimator, location.shape[1])
    precision = floats(estimator.get_precision(), "precision", ndim=2)

    def run(rows: Array) -> Array:
        refuse_huge(rows)
        distances: Array = cdist(rows, location, metric="mahalanobis", VI=precision).reshape(len(rows))
        distances *= distances
        return np.negative(distances, distances)

    return run


def _decision_function(estimator: Any) -> Step:
    scores, offset = _score_samples(estimator), floats(estimator.offset_, "offset_")

    def run(rows: Array) -> Array:
        values = scores(rows)
        values -= offset
        refuse_huge(values)
        return values

    return run


def _predict(estimator: Any) -> Step:
    decide = _decision_function(estimator)

    def run(rows: Array) -> Array:
        return np.where(decide(rows) >= 0, 1, -1)

    return run


FINALS: Mapping[str, Factory] = {
    "EllipticEnvelope": by_method(
        {"predict": _predict, "decision_function": _decision_function, "score_samples": _score_samples}
    ),
}
