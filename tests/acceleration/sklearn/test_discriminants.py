"""The room ``acceleration/sklearn/discriminants.py``."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.neighbors import NearestCentroid
from tests.acceleration.sklearn.sameness import assert_same, assert_steps_aside, step_of

from demijohn.acceleration.engine import Unconvertible
from demijohn.acceleration.sklearn.discriminants import FINALS

METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function")
RANDOM = np.random.default_rng(13)
ROWS = RANDOM.normal(size=(150, 5))
LABELLINGS = {
    "two texts": np.where(ROWS[:, 0] > 0.3, "yes", "no"),
    "three integers": (ROWS[:, 0] > 0).astype(int) + (ROWS[:, 1] > 0),
    "ten integers": RANDOM.integers(0, 10, size=150),
}
KINDS = {
    "quadratic": QuadraticDiscriminantAnalysis(reg_param=0.1),
    "centroids": NearestCentroid(),
    "centroids, shrunken": NearestCentroid(shrink_threshold=0.2),
    "centroids, priors of the rows": NearestCentroid(priors="empirical"),
}


@pytest.mark.parametrize("labelling", LABELLINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_each_is_equal_to_the_last_bit_or_steps_aside(kind, labelling):
    estimator = type(KINDS[kind])(**KINDS[kind].get_params()).fit(ROWS, LABELLINGS[labelling])
    for method in METHODS:
        assert_same(FINALS, estimator, method, ROWS)
        assert_steps_aside(FINALS, estimator, method, ROWS)


def test_a_feature_that_never_varies_within_its_class_is_not_scaled():
    rows = np.column_stack([ROWS, np.ones(len(ROWS))])
    with pytest.warns(match="self.within_class_std_dev_ has at least 1 zero"):
        estimator = NearestCentroid(priors="empirical").fit(rows, LABELLINGS["two texts"])
    for method in METHODS:
        assert_same(FINALS, estimator, method, rows)


def test_another_metric_is_refused():
    estimator = NearestCentroid(metric="manhattan").fit(ROWS, LABELLINGS["two texts"])
    with pytest.raises(Unconvertible, match="metric='manhattan'"):
        step_of(FINALS, estimator, "predict")
