"""What Python warned of while a model file was loaded: which other version saved it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable

logger = logging.getLogger("demijohn")


class OtherVersion(UserWarning):
    """Warned of by a loader of ours: another version of the framework saved the file; says which."""


def notes_of(caught: Iterable[warnings.WarningMessage]) -> tuple[str, ...]:
    """Return one line per foreign version; other warnings go to the debug log.

    scikit-learn warns once per estimator in a pipeline; they are told together.
    """
    saved_by: dict[tuple[str, str], list[str]] = {}
    others: list[str] = []
    for warning in caught:
        message = warning.message
        if isinstance(message, OtherVersion):
            others.append(str(message))
            continue
        original = getattr(message, "original_sklearn_version", None)
        if original is None:
            logger.debug("While loading a model: %s", message)
            continue
        names = saved_by.setdefault((original, getattr(message, "current_sklearn_version", "?")), [])
        name = getattr(message, "estimator_name", "?")
        if name not in names:
            names.append(name)
    estimators = (
        f"saved by scikit-learn {original}, and this is {current}: {', '.join(names)}"
        for (original, current), names in saved_by.items()
    )
    return (*estimators, *others)
