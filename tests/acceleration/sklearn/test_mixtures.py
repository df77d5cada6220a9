"""The room ``acceleration/sklearn/mixtures.py``."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from tests.acceleration.sklearn.sameness import assert_same, assert_steps_aside, step_of

from demijohn.acceleration.engine import Unconvertible
from demijohn.acceleration.sklearn.mixtures import FINALS

METHODS = ("predict", "predict_proba", "score_samples")
RANDOM = np.random.default_rng(19)
ROWS = RANDOM.normal(size=(200, 4)) + RANDOM.integers(0, 3, size=(200, 1)) * 4
KINDS = [
    GaussianMixture,
    BayesianGaussianMixture,
    lambda **options: BayesianGaussianMixture(
        weight_concentration_prior_type="dirichlet_distribution", **options
    ),
]


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_components", [1, 3])
def test_mixtures_are_equal_to_the_last_bit_or_step_aside(kind, covariance_type, n_components):
    estimator = kind(
        n_components=n_components, covariance_type=covariance_type, random_state=0, tol=0.1, reg_covar=1e-3
    ).fit(ROWS)
    for method in METHODS:
        assert_same(FINALS, estimator, method, ROWS)
        assert_steps_aside(FINALS, estimator, method, ROWS)


def test_covariances_of_an_unknown_type_are_refused():
    estimator = GaussianMixture(2, random_state=0).fit(ROWS)
    estimator.covariance_type = "banded"
    with pytest.raises(Unconvertible, match="covariance_type='banded' is not translated"):
        step_of(FINALS, estimator, "predict")
