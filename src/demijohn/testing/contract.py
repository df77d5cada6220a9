"""``check_runtime``: tries every claim, and raises those that are broken, all at once."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from demijohn import runtimes
from demijohn.errors import ConfigurationError
from demijohn.runtimes.base import Runtime

from .claims import CHECKS, FOUNDATIONS, Check
from .subject import Finding, Load, NotTried, Subject, told


class Breach(NamedTuple):
    """One broken claim."""

    claim: str  #: Name of the check.
    where: str  #: A method, an attribute, an input.
    expected: str
    received: str

    def __str__(self) -> str:
        """Say it in one line."""
        where = f" ({self.where})" if self.where else ""
        return f"{self.claim}{where}: expected {self.expected}, received {self.received}"


class ContractBroken(AssertionError):
    """A runtime does not do what every runtime claims; ``breaches`` are all that was found."""

    def __init__(self, framework: str, breaches: tuple[Breach, ...]) -> None:
        super().__init__("\n".join([f"The {framework} runtime breaks its contract:", *map(str, breaches)]))
        self.breaches = breaches


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
    breaches: list[Breach] = []
    not_tried: dict[str, str] = {}
    for check in CHECKS:
        name = check.__name__
        try:
            found = [Breach(name, *finding) for finding in _findings(check, subject)]
        except NotTried as why:
            not_tried[name] = str(why)
            continue
        breaches += found
        if found and check in FOUNDATIONS:
            break
    runtime = subject.runtime
    framework = getattr(runtime, "framework", type(runtime).__name__)
    if breaches:
        raise ContractBroken(framework, tuple(breaches))
    tried = tuple(check.__name__ for check in CHECKS if check.__name__ not in not_tried)
    return Report(framework, runtime.framework_version, runtime.methods, tried, not_tried)


def _findings(check: Check, subject: Subject) -> list[Finding]:
    found: list[Finding] = []
    try:
        found.extend(check(subject))
    except (NotTried, ConfigurationError):
        raise
    except Exception as error:  # noqa: BLE001  - foreign code: a check that is stopped by it has not held
        found.append(Finding("", "no error", told(error)))
    return found
