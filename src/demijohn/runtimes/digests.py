"""What tells a fitted model from every other: the digest of its file, or of its pickle.

Rules of this room:
1. A digest stands for the data and the code of a model. A model that brings code of its own (a
   class or function from outside the libraries whose versions are known) has none: that code may
   change while the file stays the same.
2. Pickling changes nothing, and is never the reason that a model is not served.
"""

from __future__ import annotations

import hashlib
import logging
import pickle
from typing import Any, cast

import numpy as np

from .object_graph import everything_in

logger = logging.getLogger("demijohn")

#: Root modules of code whose version is known to whoever keeps what was found out about a model.
KNOWN = frozenset({
    "_catboost", "builtins", "catboost", "collections", "ctypes", "datetime", "decimal", "lightgbm", "numpy",
    "pandas", "scipy", "sklearn", "xgboost",
})  # fmt: skip


class _Hash:
    """A file that keeps a digest of what is written to it, and nothing else."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()

    def write(self, content: Any) -> int:
        view = memoryview(content)
        self._sha256.update(view)
        return view.nbytes

    def hexdigest(self) -> str:
        return self._sha256.hexdigest()


def digest_of(model: object, sha256: str | None) -> str | None:
    """Return the digest of a model; None where it has none.

    Args:
        model: Fitted.
        sha256: Of its file; None for a model without, which is pickled to find out.
    """
    if not all(_is_known(part) for _, part in everything_in(model)):
        return None
    return sha256 or _digest_of_pickle(model)


def _is_known(part: object) -> bool:
    modules = [type(part).__module__]
    if callable(part):
        modules.append(getattr(part, "__module__", None) or "builtins")
    return all(module.partition(".")[0] in KNOWN for module in modules)


#: Classes of search trees in ``sklearn.neighbors``, and where in their state they count their calls.
_SEARCH_TREES = {"KDTree", "KDTree32", "BallTree", "BallTree32"}
_COUNTS = slice(7, 11)


class _Pickler(pickle.Pickler):
    """Leaves out what is not the model's own.

    Between the fields of an array of records lies whatever was in memory before: a forest that is loaded
    twice has two pickles. A search tree counts its calls: a neighbours model has another pickle after each.
    """

    def reducer_override(self, part: object) -> Any:
        if isinstance(part, np.ndarray) and part.dtype.names:
            names = part.dtype.names
            return _fields, (names, *(part[name] for name in names))
        kind = type(part)
        if kind.__name__ in _SEARCH_TREES and kind.__module__.startswith("sklearn.neighbors."):
            state = list(cast(Any, part).__getstate__())
            del state[_COUNTS]
            return _fields, ((kind.__name__,), *state)
        return NotImplemented


def _fields(names: tuple[str, ...], *arrays: Any) -> None:
    """Stand in a pickle that nobody reads."""


def _digest_of_pickle(model: object) -> str | None:
    hash_ = _Hash()
    try:
        _Pickler(hash_, protocol=5).dump(model)
    except Exception as error:  # noqa: BLE001  - foreign code: whatever a model's own methods raise
        logger.debug("%s cannot be pickled: %s", type(model).__name__, error)
        return None
    return "pickle:" + hash_.hexdigest()
