"""``check_runtime``: tries every claim of a runtime."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demijohn import runtimes
from demijohn.runtimes.base import Runtime

from .claims import CHECKS, FOUNDATIONS
from .subject import Load, Subject
from .trial import try_all


@dataclass(frozen=True, slots=True)
class Report:
    """What a runtime was seen to keep."""

    framework: str
    framework_version: str | None
    methods: tuple[str, ...]
    claims: tuple[str, ...]  #: Names of the checks that were tried.
    not_tried: Mapping[str, str]  #: Why a claim does not concern it.

    def __str__(self) -> str:
        """Say it in one line."""
        version = f" {self.framework_version}" if self.framework_version else ""
        return f"{self.framework}{version}: {', '.join(self.methods)} keep {len(self.claims)} claims"


def check_runtime(model: Callable[[], Runtime] | Path | str | object, *, example: object = None) -> Report:
    """Check that a runtime keeps every claim of ``CHECKS``.

    Args:
        model: A callable without parameters that loads the model and returns its runtime, anew at
            each call; or the path of a model file, or a model, as ``demijohn.load`` takes them.
        example: One to five rows that fit, in place of the runtime's own.

    Returns:
        What was tried.

    Raises:
        ContractBroken: with every claim that does not hold.
        LoadError: the model cannot be loaded.
        ConfigurationError: there are no rows to try it with.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # a model may warn of the rows that it is tried with
        subject = Subject(_loader(model, example), example)
        return _try_all(subject)


def _loader(model: object, example: object) -> Load:
    if isinstance(model, (str, Path)):
        path = model
        return lambda: runtimes.load(path, example=example)
    if callable(model) and _takes_nothing(model):
        return model
    return lambda: runtimes.wrap(model, example=example)


def _takes_nothing(model: Callable[..., object]) -> bool:
    """Tell a callable that loads from one that is a model, which takes rows."""
    try:
        return not inspect.signature(model).parameters
    except (TypeError, ValueError):  # written in C, and says nothing of itself
        return False


def _try_all(subject: Subject) -> Report:
    runtime = subject.runtime
    framework = getattr(runtime, "framework", type(runtime).__name__)
    not_tried = try_all(f"{framework} runtime", CHECKS, FOUNDATIONS, subject)
    tried = tuple(check.__name__ for check in CHECKS if check.__name__ not in not_tried)
    return Report(framework, runtime.framework_version, runtime.methods, tried, not_tried)
