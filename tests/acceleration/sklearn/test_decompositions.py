import numpy as np
import pytest
from sklearn.cluster import FeatureAgglomeration
from sklearn.decomposition import PCA, FactorAnalysis, FastICA, IncrementalPCA, TruncatedSVD
from sklearn.kernel_approximation import RBFSampler, SkewedChi2Sampler
from sklearn.neighbors import NeighborhoodComponentsAnalysis
from sklearn.random_projection import GaussianRandomProjection, SparseRandomProjection
from tests.acceleration.sklearn.comparing import NUMPY, answers_alike, steps_aside

from demijohn.acceleration.engine import Unconvertible
from demijohn.acceleration.sklearn import tables
from demijohn.runtimes import wrap

MATRIX = np.abs(np.random.default_rng(11).normal(size=(120, 6)))
LABELS = (MATRIX[:, 0] > 0.5).astype(int)


@pytest.mark.parametrize("model", [
    PCA(3), PCA(3, whiten=True), IncrementalPCA(3), TruncatedSVD(3), FastICA(3, random_state=0),
    FactorAnalysis(3), GaussianRandomProjection(3), SparseRandomProjection(3), FeatureAgglomeration(3),
    RBFSampler(random_state=0), SkewedChi2Sampler(random_state=0), NeighborhoodComponentsAnalysis(2),
], ids=str)  # fmt: skip
def test_projections_are_the_frameworks_bit_for_bit(model):
    model.fit(MATRIX, LABELS)
    for method in wrap(model).methods:
        engine, _ = answers_alike(model, MATRIX, method=method, tolerance=1e-12)
        assert engine.is_whole
        assert steps_aside(engine, {"inputs": np.full((1, 6), np.nan)})


def test_what_a_sampler_refuses_is_left_to_it():
    engine, _ = answers_alike(SkewedChi2Sampler(random_state=0).fit(MATRIX), MATRIX, method="transform")
    assert steps_aside(engine, {"inputs": np.full((1, 6), -1.0)})


def test_an_agglomeration_by_another_function_is_the_frameworks():
    model = FeatureAgglomeration(3, pooling_func=np.median).fit(MATRIX)
    with pytest.raises(Unconvertible, match="another function"):
        tables.make_step(model, "transform", NUMPY)
