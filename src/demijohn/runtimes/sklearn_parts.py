"""Single questions to a fitted estimator: its tags, its inner estimators, typical values.

Estimators are told by the names in their MRO, so that no module of scikit-learn is imported for one
that is not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

#: Estimators that hand their rows as they are to an inner one, and where the fitted inner one is.
_INNER = {
    "BaseSearchCV": "best_estimator_",
    "TransformedTargetRegressor": "regressor_",
    "BaseThresholdClassifier": "estimator_",
    "SelfTrainingClassifier": "estimator_",
    "FrozenEstimator": "estimator",
    "CalibratedClassifierCV": "calibrated_classifiers_",
    "_CalibratedClassifier": "estimator",
    "_BaseVoting": "estimators_",
    "_BaseStacking": "estimators_",
    "OneVsRestClassifier": "estimators_",
    "_MultiOutputEstimator": "estimators_",
}
_HETEROGENEOUS = ("_BaseVoting", "_BaseStacking")

#: Where estimators keep a point of their training data, or its middle: one value per column.
_TYPICAL = (
    "mean_", "center_", "data_min_", "theta_", "means_", "cluster_centers_", "centroids_", "_x_mean",
    "support_vectors_", "_fit_X", "X_train_", "components_", "X_fit_",
)  # fmt: skip


def is_a(estimator: object, name: str) -> bool:
    """Say whether a class of this name is among an estimator's ancestors."""
    return any(base.__name__ == name for base in type(estimator).__mro__)


def inner_of(estimator: Any) -> list[Any]:
    """Return the fitted estimators that get this one's rows as they are; alike ones count once."""
    for name, attribute in _INNER.items():
        inner = getattr(estimator, attribute, None) if is_a(estimator, name) else None
        if inner is None:
            continue
        members = [part for part in flat(inner) if not isinstance(part, str)]
        return members if name in _HETEROGENEOUS else members[:1]
    return []


def flat(parts: Any) -> list[Any]:
    """Return the members of a list or an array of estimators, or the one estimator that it is.

    numpy is not asked to make an array of a list: a pipeline looks like a sequence to it.
    """
    if isinstance(parts, np.ndarray):
        return list(parts.ravel())
    return list(parts) if isinstance(parts, (list, tuple)) else [parts]


def known(estimator: Any, attribute: str) -> Any:
    """Return what a fitted estimator knows of its columns; None if it does not.

    A pipeline asks its first step, and knows nothing where that is "passthrough".
    """
    found = getattr(estimator, attribute, None)
    if found is None and is_a(estimator, "Pipeline"):
        steps = [step for _, step in estimator.steps if step not in (None, "passthrough")]
        return known(steps[0], attribute) if steps else None
    return found


def allows_missing(estimator: Any) -> bool | None:
    """Say whether an estimator takes missing values; None if it does not say."""
    tags = _input_tags(estimator)
    return None if tags is None else bool(tags.allow_nan)


def takes_numbers(estimator: Any) -> bool:
    """Say whether an estimator can be taken to look at numbers.

    A transformer from elsewhere may be made for texts or dates; who predicts, looks at numbers.
    """
    return type(estimator).__module__.startswith("sklearn.") or hasattr(estimator, "predict")


def needs_positive(estimator: Any) -> bool:
    """Say whether an estimator takes positive numbers only."""
    tags = _input_tags(estimator)
    # PowerTransformer does not say so in its tags.
    is_box_cox = getattr(estimator, "method", None) == "box-cox"
    return is_box_cox or (tags is not None and bool(tags.positive_only))


def _input_tags(estimator: Any) -> Any:
    from sklearn.utils import get_tags

    try:
        return get_tags(estimator).input_tags
    except (AttributeError, TypeError, ValueError):  # not of scikit-learn's family
        return None


def typical_values(estimator: Any, n_columns: int) -> Sequence[float] | None:
    """Return one plausible number per column, if the estimator keeps some."""
    for attribute in _TYPICAL:
        values = getattr(estimator, attribute, None)
        row = None if values is None else _first_row(values)
        if row is not None and row.shape == (n_columns,) and np.isfinite(row).all():
            return [float(value) for value in row]
    return _thresholds(estimator, n_columns)


def _first_row(values: Any) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    try:
        first = values[:1].toarray() if hasattr(values, "toarray") else np.asarray(values)
        row = first if first.ndim == 1 else first[0]
        return np.asarray(row, dtype=np.float64)
    except (TypeError, ValueError, IndexError):
        return None


def _thresholds(estimator: Any, n_columns: int) -> Sequence[float] | None:
    """Return the first threshold of each column that a tree asks about, 0 for the others."""
    trees = flat(getattr(estimator, "estimators_", estimator))
    tree = getattr(trees[0], "tree_", None) if trees else None
    if tree is None or getattr(tree, "n_features", None) != n_columns:
        return None
    values = [0.0] * n_columns
    for feature, threshold in zip(tree.feature[::-1], tree.threshold[::-1], strict=True):
        if feature >= 0 and np.isfinite(threshold):
            values[feature] = float(threshold)
    return values
