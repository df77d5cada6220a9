"""Which of an estimator's methods are served, and which of their arguments a request may give.

Rules of this room:
1. Only the names in ``METHODS``, and only where the estimator has them (``available_if`` respected).
2. A request gives arguments that change the question; never rows, targets, weights, or what
   concerns memory and processes.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from demijohn.signature import as_json_value

from .sklearn_parts import is_a

METHODS = (
    "predict", "predict_proba", "predict_log_proba", "decision_function", "transform", "score_samples",
    "kneighbors", "radius_neighbors", "apply", "mahalanobis",
)  # fmt: skip

_NOT_FOR_REQUESTS = frozenset({
    "X", "x", "y", "Y", "T", "sample_weight", "check_input", "copy", "n_jobs", "order", "memory", "verbose",
    "validate_features", "working_memory", "batch_size",
})  # fmt: skip
#: ``Pipeline`` hands the arguments of these to its last step.
_HANDED_ON = frozenset({"predict", "predict_proba", "predict_log_proba"})
_WITH_CLASSES = frozenset({"predict_proba", "predict_log_proba", "decision_function"})


def methods_of(estimator: Any) -> tuple[str, ...]:
    """Return the prediction methods that an estimator has, ``predict`` first."""
    return tuple(name for name in METHODS if _takes_rows(getattr(estimator, name, None)))


def _takes_rows(method: Any) -> bool:
    """Say whether a method takes rows and needs nothing else (LabelEncoder.transform takes y)."""
    if not callable(method):
        return False
    arguments = _arguments(method)
    if (
        not arguments
        or arguments[0].name in {"y", "Y"}
        or arguments[0].kind is inspect.Parameter.KEYWORD_ONLY
    ):
        return False
    return all(
        argument.default is not inspect.Parameter.empty or _is_open(argument) for argument in arguments[1:]
    )


def _arguments(method: Any) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(method).parameters.values())
    except (TypeError, ValueError):  # built-in methods may have none that can be read
        return []


def _is_open(argument: inspect.Parameter) -> bool:
    return argument.kind in {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}


def parameters_of(estimator: Any, method: str) -> tuple[str, ...]:
    """Return the names of a method's own arguments that a request may give."""
    arguments = _arguments(getattr(estimator, method))
    names = [a.name for a in arguments[1:] if not _is_open(a) and a.kind is not a.POSITIONAL_ONLY]
    if is_a(estimator, "Pipeline") and method in _HANDED_ON:
        names += parameters_of(estimator.steps[-1][1], method)
    return tuple(name for name in names if name not in _NOT_FOR_REQUESTS and not name.startswith("_"))


def classes_of(estimator: Any, method: str) -> list[Any] | None:
    """Return the labels of a method's columns; a list of lists for several outputs."""
    classes = getattr(estimator, "classes_", None) if method in _WITH_CLASSES else None
    if classes is None:
        return None
    if isinstance(classes, (list, tuple)):
        return [[as_json_value(label) for label in labels] for labels in classes]
    return [as_json_value(label) for label in np.asarray(classes)]
