"""Projections of rows on components: matrix products, in the framework's order of operations.

Rules of this room:
1. Components keep their memory order and are transposed as the framework does it: BLAS may sum in
   another order for another layout.

Source: scikit-learn 1.9.1, ``decomposition/*.py``, ``random_projection.py``, ``kernel_approximation.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from demijohn.acceleration.engine import Backend, Step, StepAside, Unconvertible
from demijohn.messages import Array

from .preprocessing import only_transform


def _pca(pca: Any, _: Backend) -> Step:
    projection = pca.components_.T
    offset = np.reshape(pca.mean_, (1, -1)) @ projection
    scale = _whitening(pca) if pca.whiten else None

    def transform(rows: Array) -> Array:
        result = rows @ projection
        result -= offset
        if scale is not None:
            result /= scale
        return np.asarray(result)

    return transform


def _whitening(pca: Any) -> Array:
    scale = np.sqrt(pca.explained_variance_)
    smallest = np.finfo(scale.dtype).eps
    scale[scale < smallest] = smallest
    return np.asarray(scale)


def _plain(projector: Any, _: Backend) -> Step:
    # Those of a sparse random projection are sparse; SciPy makes a plain matrix of the product.
    projection = projector.components_.T
    return lambda rows: np.asarray(rows @ projection)


def _agglomeration(agglomeration: Any, _: Backend) -> Step:
    if agglomeration.pooling_func is not np.mean:
        raise Unconvertible("FeatureAgglomeration by another function than numpy.mean")
    labels = agglomeration.labels_
    size = np.bincount(labels)
    return lambda rows: np.array([np.bincount(labels, row) / size for row in rows])


def _likelihood(model: Any) -> Step:
    """Translate ``score_samples`` of a model that knows the precision of its rows."""
    from sklearn.utils.extmath import fast_logdet

    mean, precision = model.mean_, model.get_precision()
    constant = 0.5 * (len(mean) * math.log(2.0 * np.pi) - fast_logdet(precision))

    def score(rows: Array) -> Array:
        centered = rows - mean
        result = -0.5 * np.sum(centered * (centered @ precision), axis=1)
        result -= constant
        return np.asarray(result)

    return score


def _or_likelihood(make: Callable[[Any, Backend], Step]) -> Callable[[Any, str, Backend], Step]:
    transform = only_transform(make)

    def factory(model: Any, method: str, backend: Backend) -> Step:
        return _likelihood(model) if method == "score_samples" else transform(model, method, backend)

    return factory


def _fast_ica(ica: Any, _: Backend) -> Step:
    projection = ica.components_.T
    if not ica.whiten:
        return lambda rows: np.dot(rows, projection)
    mean = ica.mean_
    return lambda rows: np.dot(rows - mean, projection)


def _factor_analysis(analysis: Any, _: Backend) -> Step:
    from scipy import linalg

    mean = analysis.mean_
    weights = analysis.components_ / analysis.noise_variance_
    covariance = linalg.inv(np.eye(len(analysis.components_)) + np.dot(weights, analysis.components_.T))
    projection = weights.T
    return lambda rows: np.dot(np.dot(rows - mean, projection), covariance)


def _random_fourier(sampler: Any, _: Backend) -> Step:
    weights, offset = sampler.random_weights_, sampler.random_offset_
    factor = (2.0 / sampler.n_components) ** 0.5

    def transform(rows: Array) -> Array:
        projection = rows @ weights
        projection += offset
        np.cos(projection, projection)
        projection *= factor
        return np.asarray(projection)

    return transform


def _skewed_chi2(sampler: Any, _: Backend) -> Step:
    weights, offset = sampler.random_weights_, sampler.random_offset_
    skewedness = sampler.skewedness
    factor = np.sqrt(2.0) / np.sqrt(sampler.n_components)

    def transform(rows: Array) -> Array:
        if (rows <= -skewedness).any():
            raise StepAside("a number is smaller than -skewedness")
        projection = np.log(rows + skewedness) @ weights
        projection += offset
        np.cos(projection, projection)
        projection *= factor
        return np.asarray(projection)

    return transform


TRANSFORMS = {
    "PCA": _or_likelihood(_pca),
    "IncrementalPCA": _or_likelihood(_pca),
    "NeighborhoodComponentsAnalysis": only_transform(_plain),
    "FeatureAgglomeration": only_transform(_agglomeration),
    "TruncatedSVD": only_transform(_plain),
    "BaseRandomProjection": only_transform(_plain),
    "FastICA": only_transform(_fast_ica),
    "FactorAnalysis": _or_likelihood(_factor_analysis),
    "RBFSampler": only_transform(_random_fourier),
    "SkewedChi2Sampler": only_transform(_skewed_chi2),
}
