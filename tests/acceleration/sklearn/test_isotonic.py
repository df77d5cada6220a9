"""The room ``acceleration/sklearn/isotonic.py``."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from tests.acceleration.sklearn.sameness import assert_same, assert_steps_aside, step_of

from demijohn.acceleration.engine import StepAside, Unconvertible
from demijohn.acceleration.sklearn.isotonic import FINALS

RANDOM = np.random.default_rng(29)
ROWS = RANDOM.normal(size=(60, 1))
TARGETS = ROWS[:, 0] + RANDOM.normal(size=60)


@pytest.mark.parametrize("increasing", [True, False])
def test_a_line_is_equal_to_the_last_bit_also_beyond_its_ends(increasing):
    estimator = IsotonicRegression(out_of_bounds="clip", increasing=increasing).fit(ROWS, TARGETS)
    for method in ("predict", "transform"):
        assert_same(FINALS, estimator, method, ROWS * 2)
        assert_steps_aside(FINALS, estimator, method, ROWS)


@pytest.mark.parametrize("out_of_bounds", ["nan", "raise"])
def test_values_beyond_its_ends_are_left_to_the_estimator(out_of_bounds):
    estimator = IsotonicRegression(out_of_bounds=out_of_bounds).fit(ROWS, TARGETS)
    step = step_of(FINALS, estimator, "predict")
    np.testing.assert_array_equal(step(ROWS), estimator.predict(ROWS))
    for value in (ROWS.min() - 1e-9, ROWS.max() + 1e-9):
        with pytest.raises(StepAside, match="outside"):
            step(np.array([[0.0], [value]]))
    assert_steps_aside(FINALS, estimator, "predict", ROWS)


def test_a_single_value_is_refused():
    estimator = IsotonicRegression().fit([[1.0]], [2.0])
    with pytest.raises(Unconvertible, match="single value"):
        step_of(FINALS, estimator, "predict")
