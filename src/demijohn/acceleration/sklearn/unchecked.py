"""The framework's own method with its checks of numbers off, for what nothing translates.

Rules of this room:
1. Numbers are looked at here, once: finite, and far from where float32 or a square overflows, so that
   the framework would have found nothing.
2. It runs on the model's thread, as the framework itself does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from demijohn.acceleration.engine import Step, StepAside, Unconvertible
from demijohn.messages import Array

from .parts import parts_of

LARGEST = 1e15  #: Larger numbers are the framework's to judge.


def step(estimator: Any, method: str, n_features: int) -> Step:
    """Return one method of a fitted estimator, without its checks; see ``Backend.others``.

    Raises:
        Unconvertible: it would warn of missing column names, or asks for processes.
    """
    _ = n_features  # the signature, or the step before, has seen to it
    from sklearn import config_context

    name = type(estimator).__name__
    if hasattr(estimator, "feature_names_in_"):
        raise Unconvertible(f"{name} was fitted on a DataFrame")
    if any(getattr(part, "n_jobs", None) not in (None, 1) for part in parts_of(estimator)):
        raise Unconvertible(f"{name} asks for processes")
    ask = getattr(estimator, method)

    def run(rows: Array) -> Array:
        if not np.abs(rows).max(initial=0.0) <= LARGEST:
            raise StepAside("a number is missing, infinite or huge")
        try:
            with config_context(assume_finite=True, skip_parameter_validation=True):
                result = ask(rows.copy())  # some compiled code takes only what it may write to
        except (ValueError, TypeError) as error:
            raise StepAside("the estimator refuses the rows") from error
        return result.toarray() if hasattr(result, "toarray") else result  # type: ignore[no-any-return]

    return run
