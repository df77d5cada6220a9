"""What is known, and noted, while the steps of one engine are made.

Rules of this room:
1. Texts are numbers inside an engine: every text that a model knows has a code, an unknown one is
   ``UNKNOWN`` and a missing one NaN. Only steps that know of codes may get a column of them.
2. Nothing here is used while an engine runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from demijohn.acceleration.engine import Backend, Part

UNKNOWN = -1.0  #: The code of a text that the model does not know.


@dataclass(frozen=True, slots=True)
class Building(Backend):
    """A backend, with what the steps that are made with it need to know of their columns."""

    codes: Mapping[str, int] = field(default_factory=dict)  #: Of every text that the model knows.
    texts: frozenset[int] = frozenset()  #: Columns that hold codes, not numbers.
    parts: list[Part] = field(default_factory=list)  #: Gains the tree ensembles that are found inside.
    converted: list[Any] = field(default_factory=list)  #: Gains the estimators that ``others`` runs.

    @property
    def prefers_others(self) -> bool:
        """Say whether ``others`` gets what numpy could do too, so that the two can be compared."""
        return self.name != "unchecked"

    @classmethod
    def of(cls, backend: Backend) -> Building:
        """Return the building that a backend is, or a new one for models without texts."""
        if isinstance(backend, Building):
            return backend
        return cls(backend.name, backend.trees, backend.others, backend.tolerance)

    def with_texts(self, columns: Iterable[int]) -> Building:
        """Return the building for steps that get other columns."""
        return replace(self, texts=frozenset(columns))


def texts_of(backend: Backend) -> frozenset[int]:
    """Return the columns that hold codes of texts."""
    return backend.texts if isinstance(backend, Building) else frozenset()


def code_of(backend: Backend) -> Callable[[str], int]:
    """Return what gives a known text's code."""
    return Building.of(backend).codes.__getitem__
