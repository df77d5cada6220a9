"""Histogram-based gradient boosting of scikit-learn as plain arrays.

Rules of this room:
1. Columns keep their place in the rows that ``predict`` takes, though the estimator puts its categories
   first: the numbers of features are translated, not the rows.
2. A category stands in the trees' sets as its own value if all are whole numbers below 256, else as its
   place in the encoder's list, and ``prepare`` looks that up.

Source: scikit-learn 1.9, sklearn/ensemble/_hist_gradient_boosting.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from demijohn.acceleration.engine import Unconvertible
from demijohn.messages import Array

from . import finishing
from .ensemble import Ensemble
from .finishing import Finish
from .joining import Rows, Tree, join

N_CATEGORIES = 256  #: A set holds so many: 8 words of 32 bits.
_INVERSE_LINKS = {"IdentityLink": finishing.first_column, "LogLink": finishing.exponential}


def read_classifier(estimator: Any, method: str) -> Ensemble:
    """Read a classifier of two or more classes, for the rows that it takes."""
    return _read(estimator, _classifier_finishes(estimator), method, is_encoded=False)


def read_regressor(estimator: Any, method: str) -> Ensemble:
    """Read a regressor of any loss, for the rows that it takes."""
    return _read(estimator, _regressor_finishes(estimator), method, is_encoded=False)


def read_encoded(estimator: Any, method: str) -> Ensemble:
    """Read either, for the rows that its ``_preprocessor`` makes."""
    is_classifier = hasattr(estimator, "classes_")
    finishes = _classifier_finishes(estimator) if is_classifier else _regressor_finishes(estimator)
    return _read(estimator, finishes, method, is_encoded=True)


def _classifier_finishes(estimator: Any) -> dict[str, Finish]:
    if estimator.n_trees_per_iteration_ == 1:
        raw, probabilities = finishing.first_column, finishing.binary_probabilities()
        labels = finishing.labels_by_sign(raw, estimator.classes_, includes_zero=False)
    else:
        raw, probabilities = finishing.unchanged, finishing.softmax_by_columns
        labels = finishing.labels_of(finishing.unchanged, estimator.classes_)
    return {"predict": labels, "predict_proba": probabilities, "decision_function": raw}


def _regressor_finishes(estimator: Any) -> dict[str, Finish]:
    link = type(estimator._loss.link).__name__
    if link not in _INVERSE_LINKS:
        raise Unconvertible(f"histogram boosting with a {link}")
    return {"predict": _INVERSE_LINKS[link]}


def _read(estimator: Any, finishes: dict[str, Finish], method: str, *, is_encoded: bool) -> Ensemble:
    if method not in finishes:
        raise Unconvertible(f"{type(estimator).__name__}.{method} is no sum of leaves")
    columns, sets, prepare = _categories(estimator, is_encoded=is_encoded)
    stages, n_features = estimator._predictors, int(estimator.n_features_in_)
    known = _known(sets, n_features) if sets else None
    return join(
        [_tree(predictor, columns, sets) for stage in stages for predictor in stage],
        Rows(
            n_features, casts_to_float32=False, allows_missing=True, known_categories=known, prepare=prepare
        ),
        start=0.0 + np.asarray(estimator._baseline_prediction, dtype=np.float64).reshape(-1),
        finish=finishes[method],
        columns=np.concatenate([np.arange(len(stage)) for stage in stages]),
    )


def _categories(
    estimator: Any, *, is_encoded: bool
) -> tuple[Array, dict[int, Array], Callable[[Array], Array] | None]:
    """Say what the columns of the trees are in the rows.

    Returns:
        The column of the rows for each of the trees' (n_features,); for each column of categories what
        stands in the trees' sets for its first, second ... category; what the rows must go through.
    """
    identity = np.arange(int(estimator.n_features_in_))
    preprocessor = estimator._preprocessor
    if preprocessor is None:
        return identity, {}, None
    is_category = np.asarray(estimator.is_categorical_)
    columns = np.concatenate([np.flatnonzero(is_category), np.flatnonzero(~is_category)])
    known = [_present(each) for each in preprocessor.named_transformers_["encoder"].categories_]
    if is_encoded:
        return identity, {i: np.arange(len(each)) for i, each in enumerate(known)}, None
    numbers = [_as_numbers(each) for each in known]
    places = columns[: len(numbers)].tolist()
    if all(_fits_a_set(each) for each in numbers):
        return columns, dict(zip(places, [each.astype(int) for each in numbers], strict=True)), None
    codes = {place: np.arange(len(each)) for place, each in zip(places, numbers, strict=True)}
    return columns, codes, _encoder(dict(zip(places, numbers, strict=True)))


def _present(categories: Array) -> Array:
    """Leave out the missing value, which the encoder puts last."""
    last = categories[-1] if len(categories) else None
    is_missing = last is None or (isinstance(last, float) and last != last)
    return categories[:-1] if len(categories) and is_missing else categories


def _as_numbers(categories: Array) -> Array:
    if categories.dtype.kind not in "biuf":
        raise Unconvertible("histogram boosting on categories that are no numbers, in a matrix of numbers")
    return categories.astype(np.float64)


def _fits_a_set(numbers: Array) -> bool:
    return bool(np.all((numbers >= 0) & (numbers < N_CATEGORIES) & (numbers == np.floor(numbers))))


def _encoder(categories: dict[int, Array]) -> Callable[[Array], Array]:
    """Number categories by their place in an ascending list; what is not in it becomes NaN."""

    def prepare(rows: Array) -> Array:
        found = rows.copy()
        for column, known in categories.items():
            if not len(known):
                found[:, column] = np.nan
                continue
            values = rows[:, column]
            place = np.minimum(np.searchsorted(known, values), len(known) - 1)
            found[:, column] = np.where(known[place] == values, place, np.nan)
        # The encoder refuses infinity, so it must not become a missing value here.
        found[np.isinf(rows)] = np.inf
        return found

    return prepare


def _tree(predictor: Any, columns: Array, sets: dict[int, Array]) -> Tree:
    nodes = predictor.nodes
    is_leaf = nodes["is_leaf"].astype(bool)
    # A leaf's numbers are whatever stood there.
    feature = np.where(is_leaf, 0, columns[np.where(is_leaf, 0, nodes["feature_idx"])])
    is_categorical = nodes["is_categorical"].astype(bool) & ~is_leaf
    split = np.where(is_categorical, nodes["bitset_idx"].astype(np.int64), -1)
    return Tree(
        feature=feature,
        threshold=np.where(is_categorical, 0.0, nodes["num_threshold"]),
        left=np.where(is_leaf, -1, nodes["left"].astype(np.int64)),
        right=np.where(is_leaf, -1, nodes["right"].astype(np.int64)),
        missing_left=nodes["missing_go_to_left"],
        values=np.ascontiguousarray(nodes["value"], dtype=np.float64)[:, np.newaxis],
        categorical=split,
        left_categories=_translated(predictor, split, feature, sets),
    )


def _translated(predictor: Any, split: Array, feature: Array, sets: dict[int, Array]) -> Array:
    """Put what stands for each category (``sets``) in the place of its number, in a tree's sets."""
    found = np.zeros((len(predictor.raw_left_cat_bitsets), 8), dtype=np.uint32)
    for node in np.flatnonzero(split >= 0):
        stands_for = sets[int(feature[node])]
        goes_left = _unpacked(predictor.raw_left_cat_bitsets[split[node]])[: len(stands_for)]
        found[split[node]] = _packed(stands_for[goes_left])
    return found


def _known(sets: dict[int, Array], n_features: int) -> Array:
    found = np.zeros((n_features, 8), dtype=np.uint32)
    for column, stands_for in sets.items():
        found[column] = _packed(stands_for)
    return found


def _unpacked(words: Array) -> Array:
    """Return (256,) bool: bit i of word w is element 32 w + i."""
    return ((np.asarray(words)[:, np.newaxis] >> np.arange(32, dtype=np.uint32)) & 1).astype(bool).ravel()


def _packed(members: Sequence[int] | Array) -> Array:
    """Return (8,) uint32, the other way round."""
    bits = np.zeros(N_CATEGORIES, dtype=np.uint32)
    bits[np.asarray(members, dtype=int)] = 1
    words: Array = (bits.reshape(8, 32) << np.arange(32, dtype=np.uint32)).sum(axis=1, dtype=np.uint32)
    return words
