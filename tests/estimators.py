"""Every estimator of scikit-learn that can be fitted on a plain matrix, fitted."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np
from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401 registers them
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils import all_estimators, get_tags
from threadpoolctl import threadpool_limits

N_ROWS, N_COLUMNS = 60, 12

#: Arguments that an estimator cannot be made without, or that keep it small.
_ARGUMENTS: dict[str, dict[str, Any]] = {
    "ClassifierChain": {"estimator": LogisticRegression()},
    "MultiOutputClassifier": {"estimator": LogisticRegression()},
    "MultiOutputRegressor": {"estimator": LinearRegression()},
    "RegressorChain": {"estimator": LinearRegression()},
    "FixedThresholdClassifier": {"estimator": LogisticRegression()},
    "TunedThresholdClassifierCV": {"estimator": LogisticRegression()},
    "OneVsOneClassifier": {"estimator": LogisticRegression()},
    "OneVsRestClassifier": {"estimator": LogisticRegression()},
    "OutputCodeClassifier": {"estimator": LogisticRegression(), "random_state": 0},
    "RFE": {"estimator": LogisticRegression()},
    "RFECV": {"estimator": LogisticRegression()},
    "SelectFromModel": {"estimator": LogisticRegression()},
    "SequentialFeatureSelector": {"estimator": LogisticRegression(), "n_features_to_select": 2, "cv": 2},
    "SelfTrainingClassifier": {"estimator": LogisticRegression()},
    "GridSearchCV": {"estimator": LogisticRegression(), "param_grid": {"C": [0.1, 1.0]}},
    "HalvingGridSearchCV": {"estimator": LogisticRegression(), "param_grid": {"C": [0.1, 1.0]}},
    "RandomizedSearchCV": {
        "estimator": LogisticRegression(),
        "param_distributions": {"C": [0.1, 1.0]},
        "n_iter": 2,
    },
    "HalvingRandomSearchCV": {"estimator": LogisticRegression(), "param_distributions": {"C": [0.1, 1.0]}},
    "VotingClassifier": {"estimators": [("a", LogisticRegression()), ("b", LogisticRegression(C=0.1))]},
    "VotingRegressor": {"estimators": [("a", LinearRegression()), ("b", LinearRegression())]},
    "StackingClassifier": {"estimators": [("a", LogisticRegression()), ("b", LogisticRegression(C=0.1))]},
    "StackingRegressor": {"estimators": [("a", LinearRegression()), ("b", LinearRegression())]},
    "Pipeline": {"steps": [("a", LogisticRegression())]},
    "FeatureUnion": {"transformer_list": [("a", StandardScaler()), ("b", MinMaxScaler())]},
    "ColumnTransformer": {"transformers": [("a", "passthrough", [0, 3])]},
    "LocalOutlierFactor": {"novelty": True},
    "SparseCoder": {"dictionary": np.eye(N_COLUMNS)[:4]},
    "QuantileTransformer": {"n_quantiles": 20},
    "RandomTreesEmbedding": {"n_estimators": 5},
    "GaussianRandomProjection": {"n_components": 3},
    "SparseRandomProjection": {"n_components": 3},
    "IsotonicRegression": {"out_of_bounds": "clip"},
    "RadiusNeighborsClassifier": {"radius": 1e3},
    "RadiusNeighborsRegressor": {"radius": 1e3},
    "DictionaryLearning": {"max_iter": 5},
    "MiniBatchDictionaryLearning": {"max_iter": 5},
    "GraphicalLassoCV": {"cv": 2, "n_refinements": 1},
    "CCA": {"n_components": 2},
    "PLSCanonical": {"n_components": 2},
    "PLSSVD": {"n_components": 2},
    "LinearDiscriminantAnalysis": {"n_components": 2},
    "OrthogonalMatchingPursuitCV": {"max_iter": 5},
}
_SMALL = {"n_estimators": 8, "max_iter": 50, "n_init": 1, "random_state": 0, "n_components": 3}
#: Fitted on one column: they take no more.
_ONE_COLUMN = {"IsotonicRegression"}


@functools.cache
def fitted_estimators() -> dict[str, tuple[Any, np.ndarray[Any, Any]]]:
    """Fit all that take a matrix of numbers.

    Returns:
        Name -> (the fitted estimator, a matrix of ``N_ROWS`` rows that it takes).
    """
    random = np.random.default_rng(0)
    matrix = np.abs(random.normal(2.0, 1.0, (N_ROWS, N_COLUMNS))).round(3)
    labels = (matrix[:, 0] + matrix[:, 1] > 4).astype(int) + (matrix[:, 2] > 2.5)
    fitted = {}
    # One thread: on a busy machine, OpenMP's threads wait for each other longer than they work.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        for name, kind in all_estimators():
            if not _takes_a_matrix(name, kind):
                continue
            rows = matrix[:, :1] if name in _ONE_COLUMN else matrix
            for targets in _targets(name, matrix, labels):
                try:
                    fitted[name] = (_made(name, kind).fit(rows.copy(), targets), rows)
                    break
                except (TypeError, ValueError, AttributeError, NotImplementedError):
                    continue  # it takes texts, records, labels, several matrices or other targets
    return fitted


def _takes_a_matrix(name: str, kind: Any) -> bool:
    """Say whether an estimator takes rows of numbers, not texts, records, labels or images."""
    try:
        tags = get_tags(_made(name, kind))
    except TypeError:  # FrozenEstimator of nothing
        return False
    return bool(tags.input_tags.two_d_array or tags.input_tags.one_d_array)


def _targets(name: str, matrix: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> list[Any]:
    binary = (labels > 1).astype(int)
    several = np.column_stack([matrix[:, 3] * 2, matrix[:, 4] + 1])
    if name.startswith(("MultiTask", "MultiOutputReg", "RegressorChain", "PLS", "CCA")):
        return [several]
    if name in {"MultiOutputClassifier", "ClassifierChain"}:
        return [np.column_stack([binary, (matrix[:, 5] > 2).astype(int)])]
    return [labels, binary, matrix[:, 3] + 1.0, several]


def _made(name: str, kind: Any) -> Any:
    arguments = dict(_ARGUMENTS.get(name, {}))
    known = kind._get_param_names() if hasattr(kind, "_get_param_names") else []
    for parameter, value in _SMALL.items():
        if parameter in known and name not in {"GraphicalLassoCV"}:
            arguments.setdefault(parameter, value)
    return kind(**arguments)
