"""k nearest neighbours, found by Demijohn's own kernel.

Rules of this room:
1. A k-d tree is gone through as scikit-learn goes through it, so that of equally near points the same count.
   For that its sums have to be of the same bits here; where they are not, there is no tree.
2. Without a tree the kernel measures all points, and steps aside where the rounding of scikit-learn's other
   ways (a ball tree, products of matrices) or the order among equally near points could change the answer.
3. Measuring all costs what it costs: beyond ``MOST_BYTES`` nobody tries. Points are not copied.

Source: scikit-learn 1.9, neighbors/_classification.py, _regression.py, _base.py, _binary_tree.pxi.tp,
_kd_tree.pyx.tp, metrics/_pairwise_distances_reduction/_argkmin_classmode.pyx.tp.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from demijohn import kernels
from demijohn.acceleration.engine import Step, StepAside, Unconvertible
from demijohn.messages import Array

from .numerics import by_method, check_width, floats, is_one_of, plain_classes

if TYPE_CHECKING:
    from .tables import Factory

MOST_BYTES = 64 * 2**20  #: Of points without a k-d tree: among more, others find neighbours sooner.

_IS_SQUARED = {"euclidean": True, "manhattan": False}
_TREE_METRICS = {"euclidean": "EuclideanDistance64", "manhattan": "ManhattanDistance64"}
_METHODS = {"kd_tree": "KDTree", "ball_tree": "BallTree", "brute": "NoneType"}
_IS_WEIGHTED = {"uniform": False, "distance": True}
_N_COMPARED = 32  #: Rows whose distances are compared, bit for bit.

_Tree = tuple[Array, Array, Array]


def _neighbors(estimator: Any, targets: Array, n_classes: int) -> kernels.Neighbors:
    """Make the kernel; ``targets`` are labels (n_points,) int32, or with no classes (n_points, n_outputs)."""
    if not kernels.IS_BUILT:
        raise Unconvertible(kernels.WHY_NOT)
    if not isinstance(estimator._fit_X, np.ndarray):
        raise Unconvertible(f"fitted on a {type(estimator._fit_X).__name__}, not an array")
    metric, is_weighted = _metric(estimator), _is_weighted(estimator)
    points = floats(estimator._fit_X, "_fit_X", ndim=2)
    check_width(estimator, points.shape[1])
    tree = _search_tree(estimator, points, metric)
    if tree is None and points.nbytes > MOST_BYTES:
        raise Unconvertible(f"measuring {points.nbytes >> 20} MiB of points is no faster")
    if is_weighted and estimator._tree is None:
        raise Unconvertible("distances by products of matrices are too coarse to weigh by")
    return kernels.Neighbors(
        points=np.ascontiguousarray(points),
        targets=targets,
        n_neighbors=estimator.n_neighbors,
        n_classes=n_classes,
        is_squared=_IS_SQUARED[metric],
        is_weighted=is_weighted,
        tree=tree,
    )


def _metric(estimator: Any) -> str:
    """Return what it measures by.

    Some ways through an estimator ask for what was effective when it was fitted, some for its parameters.
    """
    is_one_of(estimator, "effective_metric_", _IS_SQUARED)
    metric = estimator.metric
    if metric == "minkowski":
        metric = {1: "manhattan", 2: "euclidean"}.get(estimator.p)
    if metric != estimator.effective_metric_ or estimator.metric_params or estimator.effective_metric_params_:
        raise Unconvertible(f"metric={estimator.metric!r} with such parameters is not translated")
    return str(metric)


def _is_weighted(estimator: Any) -> bool:
    return estimator.weights is not None and bool(is_one_of(estimator, "weights", _IS_WEIGHTED))


def _search_tree(estimator: Any, points: Array, metric: str) -> _Tree | None:
    """Return its k-d tree as the kernel takes it; None where it has none, or its sums are not ours."""
    tree = estimator._tree
    if type(tree).__name__ != is_one_of(estimator, "_fit_method", _METHODS):
        raise Unconvertible(f"_fit_method={estimator._fit_method!r} with a {type(tree).__name__}")
    if tree is None:
        return None
    data, order, nodes, bounds, *others = tree.__getstate__()
    if _TREE_METRICS[metric] not in {type(other).__name__ for other in others}:
        raise Unconvertible("its tree measures by another metric")
    if not np.array_equal(data, points):
        raise Unconvertible("its tree is of other points")
    if estimator._fit_method != "kd_tree" or not _sums_are_ours(tree, points, _IS_SQUARED[metric]):
        return None
    parts = np.stack([nodes[name] for name in ("idx_start", "idx_end", "is_leaf")], axis=1)
    return order.astype(np.int32), parts.astype(np.int32), np.ascontiguousarray(bounds)


def _sums_are_ours(tree: Any, points: Array, is_squared: bool) -> bool:
    """Say whether a tree's distances are what the kernel's arithmetic gives, to the last bit."""
    rows = (points[:_N_COMPARED] + points[::-1][:_N_COMPARED]) / 2
    distances, nearest = tree.query(rows, min(len(points), 16))
    sums = np.zeros(distances.shape)
    for feature in range(points.shape[1]):
        apart = rows[:, feature, None] - points[nearest, feature]
        sums += apart * apart if is_squared else np.abs(apart)
    return np.array_equal(np.sqrt(sums) if is_squared else sums, distances)


def _labelled(estimator: Any) -> tuple[kernels.Neighbors, Array]:
    if estimator.outputs_2d_:
        raise Unconvertible("several outputs of labels are not translated")
    classes = plain_classes(estimator.classes_)
    labels = np.ascontiguousarray(estimator._y, dtype=np.int32)
    return _neighbors(estimator, labels, len(classes)), classes


def _classify(estimator: Any) -> Step:
    neighbors, classes = _labelled(estimator)
    vote = neighbors.vote

    def run(rows: Array) -> Array:
        votes = np.empty(len(rows), np.int32)
        if vote(np.ascontiguousarray(rows), votes):
            raise StepAside(_WHY_ASIDE)
        labels: Array = classes[votes]
        return labels

    return run


def _averages(neighbors: kernels.Neighbors, n_outputs: int) -> Step:
    average = neighbors.average

    def run(rows: Array) -> Array:
        values = np.empty((len(rows), n_outputs))
        if average(np.ascontiguousarray(rows), values):
            raise StepAside(_WHY_ASIDE)
        return values

    return run


def _probabilities(estimator: Any) -> Step:
    neighbors, classes = _labelled(estimator)
    return _averages(neighbors, len(classes))


def _regress(estimator: Any) -> Step:
    targets = floats(estimator._y, "_y")
    by_column = np.ascontiguousarray(targets.reshape(len(targets), -1))
    averages = _averages(_neighbors(estimator, by_column, 0), by_column.shape[1])
    if targets.ndim > 1:
        return averages

    def run(rows: Array) -> Array:
        return averages(rows).ravel()

    return run


_WHY_ASIDE = "a number is not finite, or it depends on which of equally near points count"

FINALS: Mapping[str, Factory] = {
    "KNeighborsClassifier": by_method({"predict": _classify, "predict_proba": _probabilities}),
    "KNeighborsRegressor": by_method({"predict": _regress}),
}
