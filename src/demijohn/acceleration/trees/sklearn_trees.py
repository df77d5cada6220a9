"""Tree ensembles of scikit-learn as plain arrays.

Rules of this room:
1. Everything is read from the fitted estimator's own arrays; nothing is fitted, nothing predicted.
2. Only scikit-learn's own classes: a subclass may have another opinion of what ``predict`` does.

Source: scikit-learn 1.9, sklearn/tree/_classes.py and sklearn/ensemble.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from demijohn.acceleration.engine import Unconvertible

from . import sklearn_boosting, sklearn_forests, sklearn_histograms, sklearn_votes
from .ensemble import Ensemble

#: Class -> its reader: called with the estimator and the method.
READERS: dict[str, Callable[[Any, str], Ensemble]] = {
    "DecisionTreeClassifier": sklearn_forests.read_classifier,
    "ExtraTreeClassifier": sklearn_forests.read_classifier,
    "RandomForestClassifier": sklearn_forests.read_classifier,
    "ExtraTreesClassifier": sklearn_forests.read_classifier,
    "DecisionTreeRegressor": sklearn_forests.read_regressor,
    "ExtraTreeRegressor": sklearn_forests.read_regressor,
    "RandomForestRegressor": sklearn_forests.read_regressor,
    "ExtraTreesRegressor": sklearn_forests.read_regressor,
    "RandomTreesEmbedding": sklearn_forests.read_embedding,
    "GradientBoostingClassifier": sklearn_boosting.read_classifier,
    "GradientBoostingRegressor": sklearn_boosting.read_regressor,
    "HistGradientBoostingClassifier": sklearn_histograms.read_classifier,
    "HistGradientBoostingRegressor": sklearn_histograms.read_regressor,
    "IsolationForest": sklearn_votes.read_isolation,
    "BaggingClassifier": sklearn_votes.read_bagging_classifier,
    "BaggingRegressor": sklearn_votes.read_bagging_regressor,
    "AdaBoostClassifier": sklearn_votes.read_ada_classifier,
    "AdaBoostRegressor": sklearn_votes.read_ada_regressor,
}


def is_tree_ensemble(estimator: Any) -> bool:
    """Say whether there is a reader for this class."""
    kind = type(estimator)
    return kind.__name__ in READERS and kind.__module__.startswith("sklearn.")


def read(estimator: Any, method: str, *, is_encoded: bool = False) -> Ensemble:
    """Read a fitted tree ensemble.

    Args:
        estimator: Of a class in ``READERS``.
        method: What its ``Step`` is to answer, such as "predict_proba".
        is_encoded: The rows are what a histogram booster's own ``_preprocessor`` returns (categories
            already numbered, their columns first), not what its ``predict`` takes.

    Raises:
        Unconvertible: the class, the method or something fitted into it is not known here.
    """
    if not is_tree_ensemble(estimator):
        raise Unconvertible(f"{type(estimator).__name__} is no tree ensemble of scikit-learn's own")
    name = type(estimator).__name__
    if is_encoded and not name.startswith("HistGradientBoosting"):
        raise Unconvertible(f"{name} encodes no categories")
    reader = sklearn_histograms.read_encoded if is_encoded else READERS[name]
    try:
        return reader(estimator, method)
    except AttributeError as error:
        raise Unconvertible(f"{name} of another version of scikit-learn, or not fitted: {error}") from error
