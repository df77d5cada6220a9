"""The room ``acceleration/sklearn/covariances.py``."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import EllipticEnvelope
from tests.acceleration.sklearn.sameness import assert_same, assert_steps_aside

from demijohn.acceleration.sklearn.covariances import FINALS

ROWS = np.random.default_rng(23).normal(size=(100, 4))


@pytest.mark.parametrize("store_precision", [True, False])
def test_outliers_are_equal_to_the_last_bit_or_step_aside(store_precision):
    estimator = EllipticEnvelope(random_state=0, store_precision=store_precision).fit(ROWS)
    for method in ("predict", "decision_function", "score_samples"):
        assert_same(FINALS, estimator, method, ROWS * 2)
        assert_steps_aside(FINALS, estimator, method, ROWS)
