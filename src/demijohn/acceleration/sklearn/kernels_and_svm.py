"""Kernel machines: libsvm's models, and kernel ridge regression.

Rules of this room:
1. libsvm's sums are its own: its compiled routine is called as scikit-learn calls it, without the
   checks around it. It reads the fitted arrays, and keeps nothing.

Source: scikit-learn 1.9, svm/_base.py, svm/_classes.py, kernel_ridge.py, metrics/pairwise.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from demijohn.acceleration.engine import Step, Unconvertible
from demijohn.messages import Array

from .distances import squared_distances_to
from .linear_classifiers import logarithm
from .numerics import Maker, by_method, check_width, floats, is_one_of, plain_classes, refuse_huge

if TYPE_CHECKING:
    from .tables import Factory

# libsvm ----------------------------------------------------------------------------------------

_KERNELS = frozenset({"linear", "poly", "rbf", "sigmoid"})


def _libsvm(routine: str, estimator: Any) -> Step:
    """Return a call of one of libsvm's routines.

    Raises:
        Unconvertible: it was fitted on a sparse matrix, or with a kernel of one's own.
    """
    try:
        from sklearn.svm import _libsvm as libsvm
        from sklearn.svm._base import LIBSVM_IMPL
    except ImportError as error:
        raise Unconvertible("this release of scikit-learn keeps libsvm elsewhere") from error
    if estimator._sparse or estimator.kernel not in _KERNELS:
        raise Unconvertible(f"kernel={estimator.kernel!r}, or a sparse matrix, is not translated")
    vectors = floats(estimator.support_vectors_, "support_vectors_", ndim=2)
    check_width(estimator, vectors.shape[1])
    if not len(vectors) or estimator.n_support_.sum() != len(vectors):
        raise Unconvertible("its support vectors are not as they were fitted")
    names = ("support_", "support_vectors_", "_n_support", "_dual_coef_", "_intercept_", "_probA", "_probB")
    # The routine asks for arrays that may be written to, though it only reads them.
    arrays = [np.require(getattr(estimator, name), requirements=["C", "W"]) for name in names]
    options = {
        "svm_type": LIBSVM_IMPL.index(estimator._impl),
        "kernel": estimator.kernel,
        "degree": estimator.degree,
        "coef0": estimator.coef0,
        "gamma": estimator._gamma,
        "cache_size": estimator.cache_size,
    }
    call = getattr(libsvm, routine)

    def run(rows: Array) -> Array:
        refuse_huge(rows)
        result: Array = call(rows, *arrays, **options)
        return result

    return run


def _margins(estimator: Any) -> Step:
    """Return what computes the decision function that scikit-learn makes of libsvm's."""
    decide = _libsvm("decision_function", estimator)
    is_classifier = estimator._impl in {"c_svc", "nu_svc"}
    if is_classifier and len(estimator.classes_) == 2:

        def binary(rows: Array) -> Array:
            margins = decide(rows).ravel()
            return np.negative(margins, margins)

        return binary
    if not is_classifier or estimator.decision_function_shape != "ovr":
        return decide
    n_classes = len(estimator.classes_)

    pairs = list(itertools.combinations(range(n_classes), 2))

    def one_against_rest(rows: Array) -> Array:
        margins = decide(rows)
        if len(margins) == 1:
            return np.array([_votes_of_one(margins.ravel().tolist(), n_classes, pairs)])
        return _votes(margins, n_classes, pairs)

    return one_against_rest


_Pairs = list[tuple[int, int]]


def _votes(margins: Array, n_classes: int, pairs: _Pairs) -> Array:
    """Count each class's pairs; see ``sklearn.utils.multiclass._ovr_decision_function``."""
    votes = np.zeros((len(margins), n_classes))
    sums = np.zeros((len(margins), n_classes))
    is_second = margins < 0
    for pair, (first, second) in enumerate(pairs):
        sums[:, first] += margins[:, pair]
        sums[:, second] -= margins[:, pair]
        votes[:, first] += ~is_second[:, pair]
        votes[:, second] += is_second[:, pair]
    ranked: Array = votes + sums / (3 * (np.abs(sums) + 1))
    return ranked


def _votes_of_one(margins: list[float], n_classes: int, pairs: _Pairs) -> list[float]:
    """Do the same for one row, on plain numbers: the same bits in a tenth of the time."""
    votes, sums = [0.0] * n_classes, [0.0] * n_classes
    for margin, (first, second) in zip(margins, pairs, strict=True):
        sums[first] += margin
        sums[second] -= margin
        votes[second if margin < 0 else first] += 1
    return [vote + total / (3 * (abs(total) + 1)) for vote, total in zip(votes, sums, strict=True)]


def _classify(estimator: Any) -> Step:
    classes = plain_classes(estimator.classes_)
    is_ovr = estimator.decision_function_shape == "ovr"
    if estimator.break_ties and not is_ovr:
        raise Unconvertible("break_ties with decision_function_shape='ovo' is refused")
    if estimator.break_ties and len(classes) > 2:
        margins = _margins(estimator)

        def untied(rows: Array) -> Array:
            labels: Array = classes[margins(rows).argmax(1)]
            return labels

        return untied
    predict = _libsvm("predict", estimator)

    def run(rows: Array) -> Array:
        labels: Array = classes[predict(rows).astype(np.intp)]
        return labels

    return run


def _probabilities(estimator: Any) -> Step:
    if not estimator._probA.size or not estimator._probB.size:
        raise Unconvertible("it was fitted with probability=False")
    return _libsvm("predict_proba", estimator)


def _regress(estimator: Any) -> Step:
    return _libsvm("predict", estimator)


def _inlier(estimator: Any) -> Step:
    predict = _libsvm("predict", estimator)

    def run(rows: Array) -> Array:
        return predict(rows).astype(np.intp)

    return run


def _raveled_margins(estimator: Any) -> Step:
    margins = _margins(estimator)

    def run(rows: Array) -> Array:
        return margins(rows).ravel()

    return run


def _score_samples(estimator: Any) -> Step:
    margins, offset = _raveled_margins(estimator), floats(estimator.offset_, "offset_")

    def run(rows: Array) -> Array:
        values = margins(rows)
        values += offset
        return values

    return run


# Kernel ridge ----------------------------------------------------------------------------------


def _linear(estimator: Any, points: Array) -> Step:
    _ = estimator
    transposed = points.T

    def run(rows: Array) -> Array:
        products: Array = rows.dot(transposed)
        return products

    return run


def _gamma(estimator: Any, points: Array) -> float:
    return 1.0 / points.shape[1] if estimator.gamma is None else float(estimator.gamma)


def _polynomial(estimator: Any, points: Array) -> Step:
    transposed, gamma = points.T, _gamma(estimator, points)
    coef0, degree = estimator.coef0, estimator.degree

    def run(rows: Array) -> Array:
        products: Array = rows.dot(transposed)
        products *= gamma
        products += coef0
        products **= degree
        return products

    return run


def _sigmoid(estimator: Any, points: Array) -> Step:
    transposed, gamma, coef0 = points.T, _gamma(estimator, points), estimator.coef0

    def run(rows: Array) -> Array:
        products: Array = rows.dot(transposed)
        products *= gamma
        products += coef0
        return np.tanh(products, products)

    return run


def _radial(estimator: Any, points: Array) -> Step:
    squared, gamma = squared_distances_to(points), -_gamma(estimator, points)

    def run(rows: Array) -> Array:
        distances = squared(rows)
        distances *= gamma
        return np.exp(distances, distances)

    return run


_RIDGE_KERNELS: Mapping[str, Callable[[Any, Array], Step]] = {
    "linear": _linear,
    "poly": _polynomial,
    "polynomial": _polynomial,
    "rbf": _radial,
    "sigmoid": _sigmoid,
}


def _kernel_ridge(estimator: Any) -> Step:
    points = floats(estimator.X_fit_, "X_fit_", ndim=2)
    check_width(estimator, points.shape[1])
    kernel = is_one_of(estimator, "kernel", _RIDGE_KERNELS)(estimator, points)
    coef = floats(estimator.dual_coef_, "dual_coef_")

    def run(rows: Array) -> Array:
        refuse_huge(rows)
        values: Array = kernel(rows).dot(coef)
        refuse_huge(values)
        return values

    return run


_classifier: Mapping[str, Maker] = {
    "predict": _classify,
    "decision_function": _margins,
    "predict_proba": _probabilities,
    "predict_log_proba": logarithm(_probabilities),
}

FINALS: Mapping[str, Factory] = {
    **dict.fromkeys(["SVC", "NuSVC"], by_method(_classifier)),
    **dict.fromkeys(["SVR", "NuSVR"], by_method({"predict": _regress})),
    "OneClassSVM": by_method(
        {"predict": _inlier, "decision_function": _raveled_margins, "score_samples": _score_samples}
    ),
    "KernelRidge": by_method({"predict": _kernel_ridge}),
}
