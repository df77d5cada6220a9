"""What the rooms for estimators share: arrays out of an estimator, refusing what is huge, labels, sums.

Rules of this room:
1. Each function does scikit-learn's own operations in its own order, so that results are equal to
   the last bit; only its checks of the input are left out.
2. Rows whose numbers are not finite, or so large that a square may not be, make an engine step
   aside: scikit-learn refuses or answers them. Checking is one product, as rows are often alone.

Source: scikit-learn 1.9, utils/extmath.py, utils/_array_api.py, linear_model/_base.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from demijohn.acceleration.engine import Backend, Step, StepAside, Unconvertible
from demijohn.messages import Array

if TYPE_CHECKING:
    from .tables import Factory

LIMIT = 1e50  #: Numbers beyond it are the framework's: their squares and products may not be finite.
_SQUARED_LIMIT = LIMIT * LIMIT
_FEW = 8192  #: For more numbers than these BLAS may start threads, which a request's own thread must not.

#: From an estimator to a step for one of its methods. Raises ``Unconvertible``.
Maker = Callable[[Any], Step]


def refuse_huge(values: Array) -> None:
    """Step aside if a value is NaN, infinite or about as large as ``LIMIT``.

    Raises:
        StepAside: one is.
    """
    flat = values.ravel()
    # A product with itself is NaN or infinite if any value is; one comparison sees both, and costs half
    # of ``isfinite(values).all()``. That it may overflow is nobody's warning: see ``program``.
    if flat.size <= _FEW:
        is_ordinary = flat.dot(flat) < _SQUARED_LIMIT
    else:
        is_ordinary = flat.min() > -LIMIT and flat.max() < LIMIT  # NaN wins both, and is less than nothing
    if not is_ordinary:
        raise StepAside("a number is not finite, or huge")


def by_method(makers: Mapping[str, Maker]) -> Factory:
    """Return the factory that knows these methods."""

    def make(estimator: Any, method: str, backend: Backend) -> Step:
        _ = backend  # nothing inside: these estimators are arithmetic
        maker = makers.get(method)
        if maker is None:
            raise Unconvertible(f"{type(estimator).__name__}.{method} is not translated")
        return maker(estimator)

    return make


def exponentials(logarithms_of: Maker) -> Maker:
    """Return the maker for probabilities, from that for their logarithms: fresh arrays, written over."""

    def make(estimator: Any) -> Step:
        logarithms = logarithms_of(estimator)

        def run(rows: Array) -> Array:
            values = logarithms(rows)
            return np.exp(values, values)

        return run

    return make


def labels_of(scores_of: Maker) -> Maker:
    """Return the maker for labels, from that for scores (n_rows, n_classes); see ``label_of``."""

    def make(estimator: Any) -> Step:
        scores, label = scores_of(estimator), label_of(estimator.classes_)

        def run(rows: Array) -> Array:
            return label(scores(rows))

        return run

    return make


def floats(values: Any, what: str, *, ndim: int | None = None, may_be_single: bool = False) -> Array:
    """Return a fitted array of float64, in the memory order that it has.

    Args:
        values: As the estimator keeps it.
        what: Its name, for the operator.
        ndim: The number of axes that it must have.
        may_be_single: float32 is widened, as where it only ever meets float64.

    Raises:
        Unconvertible: it is no such array, is float32, or holds what is not finite.
    """
    if not isinstance(values, (np.ndarray, float, int, np.number)):
        raise Unconvertible(f"{what} is a {type(values).__name__}, not a plain array")
    array = np.asarray(values)
    if array.dtype == np.float32 and not may_be_single:
        raise Unconvertible(f"fitted on float32: {what}")
    if array.dtype.kind not in "fiu":
        raise Unconvertible(f"{what} is of {array.dtype}, not float64")
    array = array.astype(np.float64, order="K", copy=False)
    if ndim is not None and array.ndim != ndim:
        raise Unconvertible(f"{what} has {array.ndim} axes, not {ndim}")
    if not np.isfinite(array).all():
        raise Unconvertible(f"{what} is not finite")
    return array


def check_width(estimator: Any, n_features: int) -> None:
    """Refuse an estimator whose arrays were made for another number of columns than it says.

    Raises:
        Unconvertible: they were.
    """
    said = getattr(estimator, "n_features_in_", n_features)
    if said != n_features:
        raise Unconvertible(f"n_features_in_ is {said}, but its arrays are for {n_features}")


def is_one_of(estimator: Any, parameter: str, known: Mapping[Any, Any]) -> Any:
    """Look up what stands for a parameter's value.

    Raises:
        Unconvertible: the value is not known.
    """
    value = getattr(estimator, parameter)
    if not isinstance(value, str) or value not in known:
        raise Unconvertible(f"{parameter}={value!r} is not translated")
    return known[value]


def label_of(classes: Any) -> Callable[[Array], Array]:
    """Return what takes the label of the largest of each row's scores (n_rows, n_classes).

    Raises:
        Unconvertible: the classes are no plain array of one axis.
    """
    classes = plain_classes(classes)

    def take(scores: Array) -> Array:
        labels: Array = classes[scores.argmax(1)]
        return labels

    return take


def plain_classes(classes: Any) -> Array:
    """Return ``classes_`` of an estimator with one output.

    Raises:
        Unconvertible: it is something else.
    """
    if type(classes) is not np.ndarray or classes.ndim != 1:
        raise Unconvertible("classes_ is not an array of one axis")
    return classes


def softmax(scores: Array) -> Array:
    """Turn scores (n_rows, n_classes) into probabilities, in place; see ``sklearn.utils.extmath.softmax``."""
    scores -= np.maximum.reduce(scores, axis=1, keepdims=True)
    np.exp(scores, scores)
    scores /= np.add.reduce(scores, axis=1, keepdims=True)
    return scores


def log_sum_exp(values: Array) -> Array:
    """Return ``log(sum(exp(values), axis=1))``, (n_rows, 1), of finite values.

    Source: scikit-learn, utils/_array_api.py, ``_logsumexp``; what it does about infinities is left out.
    """
    largest: Array = np.maximum.reduce(values, axis=1, keepdims=True)
    is_largest = values == largest
    is_single = np.count_nonzero(is_largest) == len(values)  # no row has its largest value twice
    others = values.copy(order="K")  # the order in memory is the order of the sum
    others[is_largest] = -np.inf
    others -= largest
    np.exp(others, others)
    s: Array = np.add.reduce(others, axis=1, keepdims=True)
    if is_single:
        np.log1p(s, s)
    else:
        m = np.add.reduce(is_largest, axis=1, keepdims=True, dtype=np.float64)
        s /= m
        np.log1p(s, s)
        s += np.log(m)
    s += largest
    return s


def log_of(probabilities: Array) -> Array:
    """Return the logarithm, in place.

    Raises:
        StepAside: one of them is zero: its logarithm is infinite.
    """
    if not probabilities.all():
        raise StepAside("the logarithm of zero")
    return np.log(probabilities, probabilities)


def squared_norms(rows: Array) -> Array:
    """Return the rows' squared lengths, (n_rows,); see ``sklearn.utils.extmath.row_norms``."""
    norms: Array = np.einsum("ij,ij->i", rows, rows)
    return norms
