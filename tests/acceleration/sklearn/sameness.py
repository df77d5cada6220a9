"""What each room for estimators is held to: its steps return what the estimator returns, or step aside."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from demijohn.acceleration.engine import Backend, StepAside, Unconvertible

BACKEND = Backend("numpy")
SIZES = (1, 2, 3, 64, 1000)
NOT_FINITE = (np.nan, np.inf, -np.inf)


def step_of(finals: Mapping[str, Any], estimator: Any, method: str) -> Any:
    """Make the step that a room makes for the estimator."""
    name = next((base.__name__ for base in type(estimator).__mro__ if base.__name__ in finals), None)
    if name is None:
        raise Unconvertible(type(estimator).__name__)
    step = finals[name](estimator, method, BACKEND)

    def quiet(rows: Any) -> Any:
        with np.errstate(all="ignore"):  # as a program runs its steps
            return step(rows)

    return quiet


def native(estimator: Any, method: str, rows: Any) -> Any:
    """Ask the estimator itself; None where it refuses."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return getattr(estimator, method)(rows)
        except (ValueError, IndexError):
            return None


def assert_same(
    finals: Mapping[str, Any], estimator: Any, method: str, like: Any, *, rtol: float = 0
) -> None:
    """Hold a step to its estimator, on rows like those given.

    Args:
        rtol: Zero: equal to the last bit.
    """
    step = step_of(finals, estimator, method)
    random = np.random.default_rng(1)
    for n_rows in SIZES:
        picked = like[random.integers(len(like), size=n_rows)]
        rows = np.ascontiguousarray(picked * random.uniform(0.5, 1.5, picked.shape))
        before, expected = rows.copy(), native(estimator, method, rows)
        found = step(rows)
        np.testing.assert_array_equal(rows, before)
        assert_equal(found, expected, rtol)
        assert not np.shares_memory(found, rows)
        assert not np.shares_memory(found, step(rows)), "two answers share an array"


def assert_equal(found: Any, expected: Any, rtol: float = 0) -> None:
    """Compare with dtype and shape."""
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    if rtol and found.dtype.kind == "f":
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * np.abs(expected).max())
    else:
        np.testing.assert_array_equal(found, expected)


def assert_steps_aside(finals: Mapping[str, Any], estimator: Any, method: str, like: Any) -> None:
    """See that what is not finite, or overflows, is left to the estimator, wherever in a batch it is."""
    step = step_of(finals, estimator, method)
    for n_rows in (1, 3, 64):
        for column in range(like.shape[1]):
            for value in NOT_FINITE:
                rows = np.ascontiguousarray(np.resize(like, (n_rows, like.shape[1])))
                rows[-1, column] = value
                with pytest.raises(StepAside):
                    step(rows)
        for huge in (1e308, -1e308):
            rows = np.full((n_rows, like.shape[1]), huge)
            expected = native(estimator, method, rows)
            try:
                found = step(rows)
            except StepAside:
                continue
            assert expected is not None
            assert np.isfinite(found).all() if found.dtype.kind == "f" else True
            np.testing.assert_array_equal(found, expected)
