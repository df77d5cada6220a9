"""Seeing that numbers are finite, where the framework would refuse them.

Source: scikit-learn, utils/validation.py, ``_assert_all_finite``.
"""

from __future__ import annotations

import math

import numpy as np

from demijohn.acceleration.engine import StepAside
from demijohn.messages import Array

#: Up to this size a sum of squares costs half of ``isfinite``; above, BLAS may start threads for it.
_SMALL = 256


def is_finite(rows: Array) -> bool:
    """Say whether all numbers of a float array are finite."""
    # The sum may overflow though each number is finite; then it is asked exactly.
    if rows.size <= _SMALL and math.isfinite(np.vdot(rows, rows)):
        return True
    return bool(np.isfinite(rows).all())


def check_finite(rows: Array) -> None:
    """Step aside where a number is missing or infinite."""
    if not is_finite(rows):
        raise StepAside("a number is not finite")


def check_no_infinity(rows: Array) -> None:
    """Step aside where a number is infinite; missing ones may pass."""
    if not is_finite(rows) and np.isinf(rows).any():
        raise StepAside("a number is infinite")
