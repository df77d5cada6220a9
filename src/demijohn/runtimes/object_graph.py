"""Walking what a fitted model is made of: estimators inside estimators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

_LEAVES = (str, bytes, int, float, complex, type(None), type)


def parts_of(part: Any) -> list[Any]:
    """Return what a container or an object holds, one level deep."""
    if isinstance(part, dict):
        return [*part.keys(), *part.values()]
    if isinstance(part, (list, tuple, set)):
        return list(part)
    if isinstance(part, np.ndarray):
        return list(part.flat) if part.dtype.kind == "O" else []
    return list(getattr(part, "__dict__", {}).values())


def everything_in(root: Any) -> Iterator[tuple[int | None, Any]]:
    """Yield every object inside, each with the columns of the nearest estimator around it, if known.

    An object that two estimators share is yielded once for each, since each shows it its own rows.
    """
    seen: set[tuple[int, int | None]] = set()
    stack: list[tuple[int | None, Any]] = [(None, root)]
    while stack:
        n_columns, part = stack.pop()
        if isinstance(part, _LEAVES) or (id(part), n_columns) in seen:
            continue
        seen.add((id(part), n_columns))
        yield n_columns, part
        own = getattr(part, "n_features_in_", None) if is_estimator(part) else None
        if isinstance(own, (int, np.integer)):
            n_columns = int(own)
        stack += [(n_columns, inner) for inner in parts_of(part)]


def estimators_in(root: Any) -> Iterator[Any]:
    """Yield an estimator and those inside it; other objects are not looked into."""
    seen: set[int] = set()
    stack = [root]
    while stack:
        part = stack.pop()
        if isinstance(part, _LEAVES) or id(part) in seen:
            continue
        seen.add(id(part))
        if is_estimator(part):
            yield part
        if part is root or is_estimator(part) or isinstance(part, (dict, list, tuple, set, np.ndarray)):
            stack += parts_of(part)


def is_estimator(part: Any) -> bool:
    """Say whether an object is made in scikit-learn's manner."""
    return hasattr(part, "fit") and (hasattr(part, "get_params") or hasattr(part, "predict"))
