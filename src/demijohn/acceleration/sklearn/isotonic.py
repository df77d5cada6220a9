"""Isotonic regression: a line through points.

Source: scikit-learn 1.9, isotonic.py; SciPy's interp1d, which is ``numpy.interp`` for its straight lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from demijohn.acceleration.engine import Step, StepAside, Unconvertible
from demijohn.messages import Array

from .numerics import by_method, floats, refuse_huge

if TYPE_CHECKING:
    from .tables import Factory


def _interpolate(estimator: Any) -> Step:
    x = floats(estimator.X_thresholds_, "X_thresholds_", ndim=1)
    y = floats(estimator.y_thresholds_, "y_thresholds_", ndim=1)
    if len(x) < 2:
        raise Unconvertible("it was fitted on a single value")
    least, most = float(estimator.X_min_), float(estimator.X_max_)
    clips = estimator.out_of_bounds == "clip"

    def run(rows: Array) -> Array:
        refuse_huge(rows)
        values = rows.reshape(-1)
        if clips:
            values = values.clip(least, most)
        elif values.min() < x[0] or values.max() > x[-1]:
            raise StepAside("a value is outside of what was fitted")
        line: Array = np.interp(values, x, y)
        return line

    return run


FINALS: Mapping[str, Factory] = {
    "IsotonicRegression": by_method({"predict": _interpolate, "transform": _interpolate}),
}
