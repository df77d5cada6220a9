"""What runs a method in place of the framework, and what it may say instead of an answer.

Rules of this room:
1. An engine answers only what it is sure of. Rows that the framework would refuse, or treat in a
   way the engine does not know, make it step aside; the framework answers them.
2. An engine keeps no state between calls, and any number of threads may run it at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from demijohn.messages import Array, Tensors

if TYPE_CHECKING:
    from .trees.ensemble import Ensemble

EXACT = 1e-9  #: Largest relative error of an engine that counts as exact, for float64 frameworks.
FLOAT32 = 1e-5  #: The same for frameworks that calculate in float32 themselves.

#: From a matrix ``(n_rows, k)``, float64 and C-contiguous, to what the estimator's method returns
#: for it. It does not write to the matrix, and raises ``StepAside`` where it is not sure.
Step = Callable[[Array], Array]


class Unconvertible(Exception):
    """An engine cannot be built for this model; the text says why, to the operator, in one line."""


class StepAside(Exception):
    """These rows are the framework's to answer."""


@dataclass(frozen=True, slots=True)
class Part:
    """A tree ensemble inside an engine: proved by itself, at its own thresholds."""

    estimator: Any
    method: str
    step: Step
    #: Reads the ensemble. It is not kept: it may be as large as the model.
    read: Callable[[], Ensemble]

    @property
    def ensemble(self) -> Ensemble:
        """Read the ensemble anew."""
        return self.read()


class Engine(Protocol):
    """Runs one method of one model."""

    name: str  #: "numpy", "kernel", "onnx", "treelite", "onnx-float32", "unchecked".
    is_whole: bool  #: Nothing of the framework runs in it: it may run in a request's own thread.
    tolerance: float  #: Largest relative error that parity allows it.
    parts: tuple[Part, ...]

    def run(self, tensors: Tensors) -> Tensors:
        """Run the method.

        Args:
            tensors: Fit the model's signature; not written to.

        Returns:
            What ``Runtime.run`` returns for them.

        Raises:
            StepAside: the framework is to answer these rows.
        """


@dataclass(frozen=True, slots=True)
class Backend:
    """What an engine is built of, beside numpy."""

    name: str
    trees: Callable[[Ensemble], Step] | None = None  #: Runs a tree ensemble.
    #: Runs any other estimator: called with it, the method and the number of columns.
    others: Callable[[Any, str, int], Step] | None = None
    tolerance: float = EXACT


@dataclass(frozen=True, slots=True)
class Candidate:
    """An engine that may turn out to suit a method."""

    engine: str
    method: str
    build: Callable[[], Engine]  #: Raises ``Unconvertible``.
    #: It is the framework itself, called in the request's own thread: taken unless something is faster.
    is_framework: bool = False
