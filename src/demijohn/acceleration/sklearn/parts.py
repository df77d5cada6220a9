"""What is inside a fitted estimator.

Rules of this room:
1. Everything that is reached through attributes counts, fitted or not; nothing is called.
"""

from __future__ import annotations

from typing import Any

import numpy as np

#: Beginnings of the names of ensembles that are of trees, or of anything else.
MAYBE_TREES = ("Bagging", "AdaBoost")

#: Those that only choose columns by what an estimator in them has learnt.
ONLY_SELECT = frozenset({"SelectFromModel", "SequentialFeatureSelector"})


def has_trees(estimator: Any) -> bool:
    """Say whether an estimator is, or has inside it, an ensemble of trees that it predicts with."""
    from demijohn.acceleration.trees import sklearn_trees

    return any(
        sklearn_trees.is_tree_ensemble(part) and not type(part).__name__.startswith(MAYBE_TREES)
        for part in parts_of(estimator, but_not_in=ONLY_SELECT)
    )


def parts_of(estimator: Any, *, but_not_in: frozenset[str] = frozenset()) -> list[Any]:
    """Return an estimator and all that are inside it, fitted or not, each once."""
    seen: dict[int, Any] = {}  # it keeps what it has seen, or an id might come again
    waiting = [estimator]
    while waiting:
        part = waiting.pop()
        if id(part) in seen or not _may_hold(part):
            continue
        seen[id(part)] = part
        if isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, np.ndarray):
            waiting += part.ravel().tolist()
        elif isinstance(part, (list, tuple)):
            waiting += part
        elif type(part).__name__ not in but_not_in:
            waiting += vars(part).values()
    return [part for part in seen.values() if _is_estimator(part)]


def _may_hold(part: Any) -> bool:
    """Say whether estimators can be in it: a container, or an estimator itself."""
    if isinstance(part, np.ndarray):
        return part.dtype == object and not (part.size and isinstance(part.flat[0], str))
    return isinstance(part, (list, tuple, dict)) or _is_estimator(part)


def _is_estimator(part: Any) -> bool:
    is_one = hasattr(part, "get_params") or hasattr(part, "predict_proba")
    return is_one and hasattr(part, "__dict__") and not isinstance(part, type)
