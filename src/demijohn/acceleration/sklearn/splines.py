"""B-splines of single columns, by SciPy's own evaluation, as scikit-learn asks for it.

Source: scikit-learn 1.9.1, ``preprocessing/_polynomial.py``, ``SplineTransformer.transform``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from demijohn.acceleration.engine import Backend, Step, StepAside, Unconvertible
from demijohn.messages import Array

from .preprocessing import only_transform

#: Evaluates one column's splines: from values (n_rows,) to (n_rows, n_splines).
_Basis = Callable[[Array], Array]


def _continued(spline: Any, _: int) -> _Basis:
    return lambda values: np.asarray(spline(values))


def _strict(spline: Any, _: int) -> _Basis:
    def evaluate(values: Array) -> Array:
        result = np.asarray(spline(values))
        if np.isnan(result).any():
            raise StepAside("a value is beyond the knots")
        return result

    return evaluate


def _constant(spline: Any, degree: int) -> _Basis:
    low, high = spline.t[degree], spline.t[-degree - 1]
    at_low, at_high = spline(low), spline(high)
    n_splines = spline.c.shape[1]

    def evaluate(values: Array) -> Array:
        is_below, is_above = values < low, values > high
        is_inside = ~(is_below | is_above)
        if is_inside.all():
            return np.asarray(spline(values))
        result = np.zeros((len(values), n_splines))
        result[is_inside] = spline(values[is_inside])
        result[is_below, :degree] = at_low[:degree]
        result[is_above, n_splines - degree :] = at_high[n_splines - degree :]
        return result

    return evaluate


def _periodic(spline: Any, _: int) -> _Basis:
    first, last = spline.t[spline.k], spline.t[spline.t.size - spline.k - 1]
    if not last - first > 0:
        return lambda values: np.asarray(spline(np.zeros_like(values)))
    return lambda values: np.asarray(spline(first + (values - first) % (last - first)))


_EXTRAPOLATIONS: dict[str, Callable[[Any, int], _Basis]] = {
    "constant": _constant,
    "continue": _continued,
    "error": _strict,
    "periodic": _periodic,
}


def _splines(transformer: Any, _: Backend) -> Step:
    make = _EXTRAPOLATIONS.get(transformer.extrapolation)
    # With degree 0 the framework's slice of the last ``degree`` splines is all of them.
    if make is None or transformer.sparse_output or transformer.degree < 1 or transformer.order != "C":
        raise Unconvertible("SplineTransformer of rare settings")
    if getattr(transformer, "handle_missing", "error") != "error":
        raise Unconvertible("SplineTransformer that takes missing values")
    bases = [make(spline, transformer.degree) for spline in transformer.bsplines_]
    n_splines = transformer.bsplines_[0].c.shape[1]
    n_kept = n_splines if transformer.include_bias else n_splines - 1

    def transform(rows: Array) -> Array:
        result = np.empty((len(rows), n_kept * len(bases)))
        for index, basis in enumerate(bases):
            result[:, index * n_kept : (index + 1) * n_kept] = basis(rows[:, index])[:, :n_kept]
        return result

    return transform


TRANSFORMS = {"SplineTransformer": only_transform(_splines)}
