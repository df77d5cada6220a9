"""Quadratic discriminants and nearest centroids: a distance to each class, and its prior.

Rules of this room:
1. Scores keep the memory order that scikit-learn gives them, and so the order of its sums.

Source: scikit-learn 1.9, discriminant_analysis.py and neighbors/_nearest_centroid.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from demijohn.acceleration.engine import Step, Unconvertible
from demijohn.messages import Array

from .distances import nearest_of, squared_distances_to
from .numerics import (
    Maker,
    by_method,
    check_width,
    exponentials,
    floats,
    labels_of,
    plain_classes,
    refuse_huge,
)

if TYPE_CHECKING:
    from .tables import Factory


def _quadratic(estimator: Any) -> Step:
    means = floats(estimator.means_, "means_", ndim=2)
    check_width(estimator, means.shape[1])
    scalings = [floats(each, "scalings_", ndim=1) for each in estimator.scalings_]
    rotations = [floats(each, "rotations_", ndim=2) for each in estimator.rotations_]
    whitenings = [r * (s ** (-0.5)) for r, s in zip(rotations, scalings, strict=True)]
    logarithms = np.asarray([np.sum(np.log(each)) for each in scalings])
    log_priors = floats(np.log(estimator.priors_), "log(priors_)", ndim=1)
    per_class = list(zip(means, whitenings, strict=True))

    def run(rows: Array) -> Array:
        refuse_huge(rows)
        norms = np.empty((len(per_class), len(rows)))
        for row, (mean, whitening) in zip(norms, per_class, strict=True):
            whitened = (rows - mean).dot(whitening)
            whitened *= whitened
            np.add.reduce(whitened, axis=1, out=row)
        scores = norms.T
        scores += logarithms
        scores *= -0.5
        scores += log_priors
        refuse_huge(scores)
        return scores

    return run


def _centroids(estimator: Any) -> Step:
    _check_euclidean(estimator)
    centroids = floats(estimator.centroids_, "centroids_", ndim=2)
    check_width(estimator, centroids.shape[1])
    deviation = floats(estimator.within_class_std_dev_, "within_class_std_dev_", ndim=1)
    mask = deviation != 0
    scale = deviation[mask]
    normalized = centroids.copy()
    normalized[:, mask] /= scale
    distances = [squared_distances_to(normalized[[index]]) for index in range(len(normalized))]
    priors = [2.0 * np.log(prior) for prior in estimator.class_prior_]

    def run(rows: Array) -> Array:
        refuse_huge(rows)
        scaled = rows.copy()
        scaled[:, mask] /= scale
        scores = np.empty((len(rows), len(distances)))
        for index, (squared, prior) in enumerate(zip(distances, priors, strict=True)):
            # scikit-learn takes the root, and squares it again.
            lengths = np.sqrt(squared(scaled).ravel())
            lengths *= lengths
            scores[:, index] = prior - lengths
        refuse_huge(scores)
        return scores

    return run


def _nearest_centroid(estimator: Any) -> Step:
    _check_euclidean(estimator)
    classes = plain_classes(estimator.classes_)
    if not np.isclose(estimator.class_prior_, 1 / len(classes)).all():
        return labels_of(_centroids)(estimator)
    centroids = floats(estimator.centroids_, "centroids_", ndim=2)
    check_width(estimator, centroids.shape[1])
    nearest = nearest_of(centroids)

    def run(rows: Array) -> Array:
        refuse_huge(rows)
        labels: Array = classes[nearest(rows)]
        return labels

    return run


def _check_euclidean(estimator: Any) -> None:
    if estimator.metric != "euclidean":
        raise Unconvertible(f"metric={estimator.metric!r} is not translated")


def _decisions(scores_of: Maker) -> Maker:
    def make(estimator: Any) -> Step:
        scores = scores_of(estimator)
        if len(estimator.classes_) != 2:
            return scores

        def run(rows: Array) -> Array:
            both = scores(rows)
            difference: Array = both[:, 1] - both[:, 0]
            return difference

        return run

    return make


def _log_probabilities(scores_of: Maker) -> Maker:
    def make(estimator: Any) -> Step:
        scores = scores_of(estimator)

        def run(rows: Array) -> Array:
            values = scores(rows)
            values -= np.maximum.reduce(values, axis=1, keepdims=True)
            total = np.add.reduce(np.exp(values), axis=1, keepdims=True)
            values -= np.log(total, total)
            return values

        return run

    return make


def _finals(scores_of: Maker) -> dict[str, Maker]:
    return {
        "predict": labels_of(scores_of),
        "decision_function": _decisions(scores_of),
        "predict_proba": exponentials(_log_probabilities(scores_of)),
        "predict_log_proba": _log_probabilities(scores_of),
    }


FINALS: Mapping[str, Factory] = {
    "QuadraticDiscriminantAnalysis": by_method(_finals(_quadratic)),
    "NearestCentroid": by_method({**_finals(_centroids), "predict": _nearest_centroid}),
}
