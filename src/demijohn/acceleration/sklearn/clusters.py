"""Clusters: the nearest of a few points, and the distances to all.

Rules of this room:
1. k-means labels come from scikit-learn's own compiled loop, called without the checks around it:
   another product would round otherwise, and label rows between two clusters otherwise.

Source: scikit-learn 1.9, cluster/_kmeans.py, _bisect_k_means.py, _birch.py, _mean_shift.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from demijohn.acceleration.engine import Step, Unconvertible
from demijohn.messages import Array

from .distances import nearest_of, squared_distances_to
from .numerics import Maker, by_method, check_width, floats, refuse_huge

if TYPE_CHECKING:
    from .tables import Factory


def _assign_to(centers: Array) -> Callable[[Array], Array]:
    """Return what labels rows by the nearest center, (n_rows,) int32."""
    try:
        from sklearn.cluster._k_means_lloyd import lloyd_iter_chunked_dense as assign
    except ImportError as error:
        raise Unconvertible("this release of scikit-learn keeps k-means' loop elsewhere") from error
    centers = np.ascontiguousarray(centers)
    shift = np.zeros(len(centers))  # not written to, as centers are not updated

    def run(rows: Array) -> Array:
        labels = np.empty(len(rows), dtype=np.int32)
        assign(rows, np.ones(len(rows)), centers, None, None, labels, shift, 1, False)
        return labels

    return run


def _k_means(estimator: Any) -> Step:
    centers = _points("cluster_centers_", estimator)
    assign = _assign_to(centers)

    def run(rows: Array) -> Array:
        refuse_huge(rows)
        return assign(rows)

    return run


def _bisecting(estimator: Any) -> Step:
    check_width(estimator, _points("cluster_centers_", estimator).shape[1])
    mean = getattr(estimator, "_X_mean", None)
    assign = _assign_below(estimator._bisecting_tree, mean)

    def run(rows: Array) -> Array:
        refuse_huge(rows)
        return assign(rows)

    return run


def _assign_below(node: Any, mean: Array | None) -> Callable[[Array], Array]:
    """Return what labels rows by the clusters below a node of the tree."""
    if node.left is None:
        label = node.label

        def all_alike(rows: Array) -> Array:
            return np.full(len(rows), label, dtype=np.int32)

        return all_alike
    centers = floats(np.vstack((node.left.center, node.right.center)), "centers", ndim=2)
    if mean is not None:
        centers = centers + mean
    side = _assign_to(centers)
    left, right = _assign_below(node.left, mean), _assign_below(node.right, mean)

    def run(rows: Array) -> Array:
        is_left = side(rows) == 0
        if is_left.all():
            return left(rows)
        if not is_left.any():
            return right(rows)
        labels = np.empty(len(rows), dtype=np.int32)
        labels[is_left] = left(rows[is_left])
        labels[~is_left] = right(rows[~is_left])
        return labels

    return run


def _points(attribute: str, estimator: Any) -> Array:
    points = floats(getattr(estimator, attribute), attribute, ndim=2)
    check_width(estimator, points.shape[1])
    if not len(points):
        raise Unconvertible("there are no clusters")
    return points


def _distances(attribute: str) -> Maker:
    def make(estimator: Any) -> Step:
        squared = squared_distances_to(_points(attribute, estimator))

        def run(rows: Array) -> Array:
            refuse_huge(rows)
            distances = squared(rows)
            return np.sqrt(distances, distances)

        return run

    return make


def _nearest_center(estimator: Any) -> Step:
    nearest = nearest_of(_points("cluster_centers_", estimator))

    def run(rows: Array) -> Array:
        refuse_huge(rows)
        return nearest(rows)

    return run


def _birch(estimator: Any) -> Step:
    nearest = nearest_of(_points("subcluster_centers_", estimator))
    labels = np.asarray(estimator.subcluster_labels_)

    def run(rows: Array) -> Array:
        refuse_huge(rows)
        picked: Array = labels[nearest(rows)]
        return picked

    return run


_to_centers = _distances("cluster_centers_")

FINALS: Mapping[str, Factory] = {
    **dict.fromkeys(
        ["KMeans", "MiniBatchKMeans"], by_method({"predict": _k_means, "transform": _to_centers})
    ),
    "BisectingKMeans": by_method({"predict": _bisecting, "transform": _to_centers}),
    "Birch": by_method({"predict": _birch, "transform": _distances("subcluster_centers_")}),
    **dict.fromkeys(["MeanShift", "AffinityPropagation"], by_method({"predict": _nearest_center})),
}
