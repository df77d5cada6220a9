"""Engines that answer as the framework does, only faster; and the plan that says which runs when.

Rules of this room:
1. What cannot be proved equal to the framework is not used.
2. It knows no runtime: a model comes as an object of its framework, with the attributes that the
   framework's room in here names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import provers
from .cache import KeptFile, PlanCache, open_cache, open_kept
from .cores import OneCore
from .engine import Candidate, Engine, StepAside
from .engines import Engines
from .key import make_key
from .plan import NATIVE, SIZES, Plan
from .settling import describe_method, settle, take_kept

__all__ = [
    "NATIVE",
    "SIZES",
    "Candidate",
    "Engine",
    "Engines",
    "KeptFile",
    "OneCore",
    "Plan",
    "PlanCache",
    "StepAside",
    "candidates",
    "describe_method",
    "make_key",
    "open_cache",
    "open_kept",
    "prepare",
    "provers",
    "settle",
    "take_kept",
]

BOOSTERS = frozenset({"catboost", "lightgbm", "xgboost"})


def prepare(runtime: Any) -> Sequence[Any]:
    """Make what engines of a model are to share among processes; call it before the fork.

    Args:
        runtime: The model, as its runtime has it.

    Returns:
        What was made, nothing for most models. Engines share it as long as the caller holds it.
    """
    if runtime.framework == "scikit-learn":
        from . import sklearn

        return sklearn.prepare(runtime)
    return []


def candidates(runtime: Any, *, is_fast: bool) -> Sequence[Candidate]:
    """Return every engine that might suit a method of a model, none of them built.

    Args:
        runtime: The model, as its runtime has it.
        is_fast: Engines that round to float32 may take part.
    """
    if runtime.framework == "scikit-learn":
        from . import sklearn

        return list(sklearn.candidates(runtime, is_fast=is_fast))
    if runtime.framework == "keras":
        from . import keras

        return list(keras.candidates(runtime))
    if runtime.framework == "onnx":
        from . import onnx_models

        return onnx_models.candidates(runtime)
    if runtime.framework == "torch":
        from . import torch_models

        return torch_models.candidates(runtime)
    if runtime.framework in BOOSTERS:
        from . import boosters

        return list(boosters.candidates(runtime))
    return []
