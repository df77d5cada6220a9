"""A runtime on trial, and the rows that it is tried with.

Rules of this room:
1. What a check runs, it runs on copies: no check sees what another left behind.
2. Rows are drawn around the example; where the model refuses those, the example's own are repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np

from demijohn.errors import ConfigurationError, RequestError
from demijohn.messages import Array, Tensors, count_rows
from demijohn.probes import agree, draw, rows_or_records
from demijohn.runtimes.base import Runtime
from demijohn.runtimes.examples import read_example
from demijohn.signature import Signature

Load = Callable[[], Runtime]

_SHORT_RTOL = 1e-5  # of frameworks that compute in float32
_RTOL = 1e-9


class Finding(NamedTuple):
    """One way in which a claim does not hold."""

    where: str  #: A method, an attribute, an input.
    expected: str
    received: str


class NotTried(Exception):
    """A claim that does not concern this runtime; the argument says why."""


class Subject:
    """A runtime on trial.

    Args:
        load: Makes it anew at each call.
        example: Rows to try it with; None takes its own.

    Raises:
        ConfigurationError: the example cannot be read.
    """

    def __init__(self, load: Load, example: object = None) -> None:
        self.load = load
        self.runtime = load()
        self._given = read_example(example)
        self._is_drawn: dict[str, bool] = {}

    def signature(self, method: str) -> Signature:
        """Return what a method accepts."""
        return self.runtime.signature.of(method)

    def example_rows(self, method: str) -> list[Any]:
        """Return the example's rows, as JSON can write them.

        Raises:
            ConfigurationError: there are none.
        """
        other = self.runtime.signature.others.get(method)
        if other is not None:
            rows = list(other.example)
        elif self._given is not None:
            rows = list(self._given.rows_for(self.runtime.signature))
        else:
            rows = list(self.runtime.example_rows())
        if not rows:
            raise ConfigurationError(
                f"The runtime knows no example rows of {method}: give some, check_runtime(..., example=...)"
            )
        return rows

    def example(self, method: str) -> Tensors:
        """Return the example's rows as tensors."""
        return self.signature(method).validate(rows_or_records(self.example_rows(method)))

    def rows(self, method: str, n_rows: int, seed: int = 0) -> Tensors:
        """Return rows that the method answers."""
        if method not in self._is_drawn:
            self._is_drawn[method] = self._takes(method, self._draw(method, 5, 0))
        return (self._draw if self._is_drawn[method] else self._repeat)(method, n_rows, seed)

    def run(self, method: str, tensors: Tensors, runtime: Runtime | None = None) -> Tensors:
        """Run a method on a copy of the rows."""
        return (runtime or self.runtime).run(method, copied(tensors), {})

    def refusals(self) -> tuple[type[Exception], ...]:
        """Return what stands for "not these rows"."""
        return (*self.runtime.refusals, RequestError)

    def _draw(self, method: str, n_rows: int, seed: int) -> Tensors:
        return draw(self.signature(method), self.example_rows(method), n_rows, seed)

    def _repeat(self, method: str, n_rows: int, seed: int) -> Tensors:
        example = self.example(method)
        return {name: array[(np.arange(n_rows) + seed) % len(array)] for name, array in example.items()}

    def _takes(self, method: str, tensors: Tensors) -> bool:
        try:
            self.run(method, tensors)
        except self.refusals():
            return False
        return True


def copied(tensors: Tensors) -> Tensors:
    """Return the same rows in arrays of their own, as a request's are."""
    return {
        name: deepcopy(array) if array.dtype.kind == "O" else np.array(array, order="C")
        for name, array in tensors.items()
    }


def cut(tensors: Tensors) -> Iterator[Tensors]:
    """Yield the rows one by one."""
    for row in range(count_rows(tensors)):
        yield {name: array[row : row + 1] for name, array in tensors.items()}


def difference(answer: Tensors, expected: Tensors, inputs: Tensors) -> str | None:
    """Say how an answer differs from what it should be: labels exactly, numbers as the dtypes allow."""
    if any(len(array) != count_rows(inputs) for array in (*answer.values(), *expected.values())):
        return "another number of rows"
    arrays: list[Array] = [*answer.values(), *inputs.values()]
    is_short = any(array.dtype.kind == "f" and array.dtype.itemsize < 8 for array in arrays)
    return agree(answer, list(cut(expected)), _SHORT_RTOL if is_short else _RTOL)


def told(error: BaseException) -> str:
    """Say what was raised, in one line."""
    return f"{type(error).__name__}: {str(error)[:300]}"
