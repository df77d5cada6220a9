"""Distances to a few points: what clusters, centroids and kernels are made of.

Source: scikit-learn 1.9, metrics/pairwise.py, ``_euclidean_distances`` and ``pairwise_distances_argmin``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from demijohn.acceleration.engine import StepAside
from demijohn.messages import Array

from .numerics import squared_norms

#: Relative to the squared lengths: how much nearer the nearest point must be to be called so.
_CLEARLY = 1e-12


def squared_distances_to(points: Array) -> Callable[[Array], Array]:
    """Return what computes squared distances, (n_rows, n_points), equal to scikit-learn's to the last bit.

    Args:
        points: (n_points, n_features), finite.
    """
    transposed, norms = points.T, squared_norms(points)[None, :]

    def run(rows: Array) -> Array:
        distances: Array = rows.dot(transposed)
        distances *= -2
        distances += squared_norms(rows)[:, None]
        distances += norms
        return np.maximum(distances, 0, out=distances)

    return run


def nearest_of(points: Array) -> Callable[[Array], Array]:
    """Return what finds the nearest point of each row, (n_rows,) int64.

    scikit-learn does the same by blocks, with other rounding; where two points are as near as
    rounding can tell, the engine steps aside.
    """
    distances_to, norms = squared_distances_to(points), squared_norms(points).max()

    def run(rows: Array) -> Array:
        distances = distances_to(rows)
        nearest: Array = distances.argmin(1)
        if distances.shape[1] > 1:
            each = np.arange(len(rows))
            shortest = distances[each, nearest]
            distances[each, nearest] = np.inf
            margin = distances.min(1) - shortest
            if not (margin > _CLEARLY * (squared_norms(rows) + norms)).all():
                raise StepAside("two points are equally near")
        return nearest

    return run
