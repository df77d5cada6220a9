"""What the tests of all engines for trees say of an answer."""

from __future__ import annotations

from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits


def is_same(answer: Any, expected: Any) -> bool:
    """Say whether an answer is the expected one to the last bit: shape, type and numbers."""
    if isinstance(expected, list):
        return (
            isinstance(answer, list) and len(answer) == len(expected) and all(map(is_same, answer, expected))
        )
    is_number = expected.dtype.kind == "f"
    return (
        answer.dtype == expected.dtype
        and answer.shape == expected.shape
        and np.array_equal(answer, expected, equal_nan=is_number)
    )


def error_of(answer: Any, expected: Any) -> float:
    """Return the largest error, relative to the largest number expected; 1 for each label that differs."""
    if isinstance(expected, list):
        return max(map(error_of, answer, expected))
    assert answer.shape == expected.shape
    if expected.dtype.kind != "f":
        return float(np.sum(answer != expected))
    is_finite = np.isfinite(expected)
    assert np.array_equal(answer[~is_finite], expected[~is_finite])
    answer, expected = answer[is_finite], expected[is_finite]
    largest = np.abs(expected).max(initial=1e-300)
    return float(np.abs(answer - expected).max(initial=0.0) / largest)


def native(model: Any, method: str, rows: np.ndarray[Any, Any]) -> Any:
    """Ask the framework, in one thread; the logarithm of 0 is no news."""
    with np.errstate(divide="ignore"), threadpool_limits(1):
        return getattr(model, method)(rows)
