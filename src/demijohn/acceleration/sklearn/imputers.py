"""Filling in missing values with what was learnt.

Source: scikit-learn 1.9.1, ``impute/_base.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from demijohn.acceleration.engine import Backend, Step, StepAside, Unconvertible
from demijohn.messages import Array

from .building import Building
from .preprocessing import columns_of, only_transform

_Mask = Callable[[Array], Array]


def _simple(imputer: Any, backend: Backend) -> Step:
    building = Building.of(backend)
    is_missing = _mask_of(imputer.missing_values, building)
    statistics = np.asarray(imputer.statistics_).astype(imputer._fill_dtype, copy=False)
    kept = [index for index, value in enumerate(statistics.tolist()) if not _is_nan(value)]
    if imputer.keep_empty_features:
        kept = list(range(len(statistics)))
    if len(kept) < len(statistics) and building.texts:
        raise Unconvertible("an imputer of texts drops a column")
    fill = np.array([_number(statistics[index], building) for index in kept], dtype=np.float64)
    select = columns_of(np.array(kept)) if kept else None
    indicate = _indicator(imputer.indicator_, backend) if imputer.add_indicator else None

    def transform(rows: Array) -> Array:
        mask = is_missing(rows)
        if not mask.any() and indicate is None:
            return rows if select is None else select(rows)
        chosen = rows if select is None else select(rows)
        result = np.where(mask if select is None else select(mask), fill, chosen)
        return result if indicate is None else np.hstack((result, indicate(rows)))

    if select is None and len(statistics):
        raise Unconvertible("an imputer drops all its columns")
    return transform


def _is_nan(value: Any) -> bool:
    return value is not None and not isinstance(value, str) and value != value


def _number(value: Any, building: Building) -> float:
    if isinstance(value, str):
        return float(building.codes[value])
    if building.texts and value is not None and not _is_nan(value):
        raise Unconvertible("an imputer fills texts with something else")
    return float("nan") if value is None else float(value)


def _mask_of(missing_values: Any, building: Building) -> _Mask:
    """Return what says which cells are missing; a missing text is NaN here, however it is written."""
    if missing_values is None or _is_nan(missing_values) or type(missing_values).__name__ == "NAType":
        return np.isnan
    if isinstance(missing_values, str):
        code = float(building.codes[missing_values])
        return lambda rows: rows == code
    if building.texts:
        raise Unconvertible("an imputer looks for something else than a text among texts")
    number = float(missing_values)
    return lambda rows: rows == number


def _indicator(indicator: Any, backend: Backend) -> Step:
    is_missing = _mask_of(indicator.missing_values, Building.of(backend))
    features = np.asarray(indicator.features_)
    n_features = int(indicator._n_features)
    others = np.setdiff1d(np.arange(n_features), features)
    is_strict = indicator.features == "missing-only" and indicator.error_on_new

    def transform(rows: Array) -> Array:
        mask = is_missing(rows)
        if is_strict and mask[:, others].any():
            raise StepAside("a column has missing values that had none")
        return mask.take(features, axis=1) if len(features) < n_features else mask

    return transform


TRANSFORMS = {"SimpleImputer": only_transform(_simple), "MissingIndicator": only_transform(_indicator)}
