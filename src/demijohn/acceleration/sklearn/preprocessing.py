"""Scalers and other transformers of single numbers, as scikit-learn computes them, without its checks.

Rules of this room:
1. The operations and their order are the framework's, so that the last bit is too. What it does in
   place, is done in place on a copy.
2. A step never writes to the rows it gets; it may return them.

Source: scikit-learn 1.9.1, ``preprocessing/_data.py``, ``_polynomial.py``, ``_function_transformer.py``,
``feature_selection/_base.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from demijohn.acceleration.engine import Backend, Step, StepAside, Unconvertible
from demijohn.messages import Array

from .finite import check_no_infinity

_BOUND = 1e-7  #: ``BOUNDS_THRESHOLD`` of QuantileTransformer.


def only_transform(make: Callable[[Any, Backend], Step]) -> Callable[[Any, str, Backend], Step]:
    """Make a factory for an estimator whose one method is ``transform``."""

    def factory(estimator: Any, method: str, backend: Backend) -> Step:
        if method != "transform":
            raise Unconvertible(f"no translation of {type(estimator).__name__}.{method}")
        return make(estimator, backend)

    return factory


def identity(rows: Array) -> Array:
    """Return the rows as they are."""
    return rows


def standard_parts(scaler: Any) -> tuple[Array | None, Array | None]:
    """Return what a StandardScaler takes from a row, and what it then divides by; None: nothing."""
    mean = _floats(scaler.mean_) if scaler.with_mean else None
    return mean, _floats(scaler.scale_) if scaler.with_std else None


def robust_parts(scaler: Any) -> tuple[Array | None, Array | None]:
    """Return the same of a RobustScaler."""
    center = _floats(scaler.center_) if scaler.with_centering else None
    return center, _floats(scaler.scale_) if scaler.with_scaling else None


def _standard(scaler: Any, _: Backend) -> Step:
    return _shift_and_divide(*standard_parts(scaler))


def _robust(scaler: Any, _: Backend) -> Step:
    return _shift_and_divide(*robust_parts(scaler))


def _shift_and_divide(shift: Array | None, scale: Array | None) -> Step:
    if shift is None and scale is None:
        return identity
    if shift is None:
        return lambda rows: rows / scale
    if scale is None:
        return lambda rows: rows - shift

    def transform(rows: Array) -> Array:
        result = rows - shift
        result /= scale
        return result

    return transform


def _min_max(scaler: Any, _: Backend) -> Step:
    scale, shift, clips = _floats(scaler.scale_), _floats(scaler.min_), bool(scaler.clip)
    low, high = map(float, scaler.feature_range)

    def transform(rows: Array) -> Array:
        result = rows * scale
        result += shift
        return np.clip(result, low, high, out=result) if clips else result

    return transform


def _max_abs(scaler: Any, _: Backend) -> Step:
    scale, clips = _floats(scaler.scale_), bool(getattr(scaler, "clip", False))

    def transform(rows: Array) -> Array:
        result = rows / scale
        return np.clip(result, -1.0, 1.0, out=result) if clips else result

    return transform


_NORMS: dict[str, Callable[[Array], Array]] = {
    "l1": lambda rows: np.sum(np.abs(rows), axis=1),
    # The framework's ``row_norms``.
    "l2": lambda rows: np.sqrt(np.einsum("ij,ij->i", rows, rows)),
    "max": lambda rows: np.max(np.abs(rows), axis=1),
}


def _normalizer(normalizer: Any, _: Backend) -> Step:
    norm_of = _NORMS[normalizer.norm]
    smallest = 10 * np.finfo(np.float64).eps

    def transform(rows: Array) -> Array:
        norms = norm_of(rows)
        norms[norms < smallest] = 1.0
        return rows / norms[:, None]

    return transform


def _binarizer(binarizer: Any, _: Backend) -> Step:
    threshold = float(binarizer.threshold)
    return lambda rows: (rows > threshold).astype(np.float64)


def _polynomial(expansion: Any, _: Backend) -> Step:
    if expansion.order != "C":
        raise Unconvertible(f"PolynomialFeatures with order={expansion.order!r}")
    products, n_full, n_features, has_bias = _products(expansion)
    n_kept = int(expansion.n_output_features_)
    first = int(has_bias)
    starts_late = expansion._min_degree > 1

    def transform(rows: Array) -> Array:
        full = np.empty((len(rows), n_full))
        if has_bias:
            full[:, 0] = 1.0
        if n_full > first:
            full[:, first : first + n_features] = rows
        for old, feature, new in products:
            np.multiply(full[:, old], rows[:, feature], out=full[:, new])
        if not starts_late:
            return full
        kept = np.empty((len(rows), n_kept))
        if has_bias:
            kept[:, 0] = 1.0
        kept[:, first:] = full[:, n_full - n_kept + first :]
        return kept

    return transform


def _products(expansion: Any) -> tuple[list[tuple[slice, slice, slice]], int, int, bool]:
    """Return which columns times which feature become which columns, in the framework's order."""
    n_features, has_bias = int(expansion.n_features_in_), bool(expansion.include_bias)
    current = int(has_bias)
    products = []
    if expansion._max_degree > 0:
        index = list(range(current, current + n_features))
        current += n_features
        index.append(current)
        for _ in range(2, expansion._max_degree + 1):
            new_index = []
            for feature in range(n_features):
                start = index[feature]
                new_index.append(current)
                if expansion.interaction_only:
                    start += index[feature + 1] - index[feature]
                following = current + index[-1] - start
                if following <= current:
                    break
                products.append(
                    (slice(start, index[-1]), slice(feature, feature + 1), slice(current, following))
                )
                current = following
            new_index.append(current)
            index = new_index
    return products, int(expansion._n_out_full), n_features, has_bias


def _quantile(transformer: Any, _: Backend) -> Step:
    quantiles, references = transformer.quantiles_, transformer.references_
    columns = [np.ascontiguousarray(quantiles[:, index]) for index in range(quantiles.shape[1])]
    is_normal = transformer.output_distribution == "normal"
    rising = [(column, -column[::-1]) for column in columns]
    falling_references = -references[::-1]
    if is_normal:
        from scipy import stats

        low = stats.norm.ppf(_BOUND - np.spacing(1))
        high = stats.norm.ppf(1 - (_BOUND - np.spacing(1)))
        inverse = stats.norm.ppf

    def column_of(values: Array, up: Array, down: Array) -> Array:
        below = values - _BOUND < up[0] if is_normal else values == up[0]
        above = values + _BOUND > up[-1] if is_normal else values == up[-1]
        # NaN stays NaN in ``interp``, so that missing values need no mask.
        result = 0.5 * (np.interp(values, up, references) - np.interp(-values, down, falling_references))
        result[above] = 1.0
        result[below] = 0.0
        return np.asarray(np.clip(inverse(result), low, high)) if is_normal else result

    def transform(rows: Array) -> Array:
        result = np.empty_like(rows)
        for index, (up, down) in enumerate(rising):
            result[:, index] = column_of(rows[:, index], up, down)
        return result

    return transform


def _power(transformer: Any, _: Backend) -> Step:
    from scipy import special, stats

    lambdas = [float(value) for value in transformer.lambdas_]
    is_box_cox = transformer.method == "box-cox"
    scale = _standard(transformer._scaler, _) if transformer.standardize else identity

    def transform(rows: Array) -> Array:
        if is_box_cox and (rows <= 0).any():
            raise StepAside("Box-Cox takes positive numbers only")
        result = np.empty_like(rows)
        for index, power in enumerate(lambdas):
            column = rows[:, index]
            result[:, index] = (
                special.boxcox(column, power) if is_box_cox else stats.yeojohnson(column, power)
            )
        check_no_infinity(result)  # the framework's own scaler would refuse it
        return scale(result)

    return transform


def _function(transformer: Any, _: Backend) -> Step:
    if transformer.kw_args:
        raise Unconvertible("FunctionTransformer with kw_args")
    if _only_checks(transformer.func):
        return identity
    return _numpy_function(transformer.func)


def _only_checks(function: Any) -> bool:
    """Recognize ``check_array``, by which histogram boosters pass numbers on beside encoded categories."""
    checker = getattr(function, "func", None)
    if getattr(checker, "__module__", "") != "sklearn.utils.validation":
        return False
    is_checker = getattr(checker, "__name__", "") == "check_array"
    return is_checker and function.keywords.get("dtype") == [np.float64]


def _numpy_function(function: Any) -> Step:
    """Return a function of numpy's that works number by number.

    Raises:
        Unconvertible: it is another one: whether it minds rows being joined or moved to another thread,
            only its author knows.
    """
    if function is None:
        return identity
    if not isinstance(function, np.ufunc) or function.nin != 1 or function.nout != 1:
        raise Unconvertible(f"the function {getattr(function, '__name__', function)!r} is not one of numpy's")
    return cast("Step", function)


def inverse_of(transformer: Any) -> Step:
    """Return a transformer's ``inverse_transform`` for a matrix.

    Raises:
        Unconvertible: there is none.
    """
    name = type(transformer).__name__
    if not type(transformer).__module__.startswith("sklearn."):
        raise Unconvertible(f"{name} is not scikit-learn's own")
    if name == "FunctionTransformer" and not transformer.inv_kw_args:
        return _numpy_function(transformer.inverse_func)
    if name == "StandardScaler":
        shift, scale = standard_parts(transformer)
        return _multiply_and_shift(scale, shift)
    if name == "RobustScaler":
        shift, scale = robust_parts(transformer)
        return _multiply_and_shift(scale, shift)
    if name == "MinMaxScaler":
        shift, scale = _floats(transformer.min_), _floats(transformer.scale_)
        return lambda rows: (rows - shift) / scale
    raise Unconvertible(f"no translation of {name}.inverse_transform")


def _multiply_and_shift(scale: Array | None, shift: Array | None) -> Step:
    def transform(rows: Array) -> Array:
        result = rows if scale is None else rows * scale
        return result if shift is None else result + shift

    return transform


def _selector(selector: Any, _: Backend) -> Step:
    chosen = np.flatnonzero(selector.get_support())
    if not len(chosen):
        raise Unconvertible(f"{type(selector).__name__} selects no column")
    return columns_of(chosen)


def columns_of(indices: Array) -> Step:
    """Return what takes columns of a matrix, C-contiguous."""
    first, last = int(indices[0]), int(indices[-1]) + 1
    if np.array_equal(indices, np.arange(first, last)):
        return lambda rows: (
            rows if rows.shape[1] == last - first else np.ascontiguousarray(rows[:, first:last])
        )
    # Fancy indexing of columns returns Fortran's order, ``take`` C's.
    return lambda rows: rows.take(indices, axis=1)


def _floats(values: Any) -> Array:
    return np.ascontiguousarray(values, dtype=np.float64)


TRANSFORMS = {
    "StandardScaler": only_transform(_standard),
    "RobustScaler": only_transform(_robust),
    "MinMaxScaler": only_transform(_min_max),
    "MaxAbsScaler": only_transform(_max_abs),
    "Normalizer": only_transform(_normalizer),
    "Binarizer": only_transform(_binarizer),
    "PolynomialFeatures": only_transform(_polynomial),
    "QuantileTransformer": only_transform(_quantile),
    "PowerTransformer": only_transform(_power),
    "FunctionTransformer": only_transform(_function),
    "SelectorMixin": only_transform(_selector),
}
