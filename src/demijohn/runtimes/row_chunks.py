"""Running rows through a graph that takes so many rows at a time, and no other number.

Rules of this room:
1. What is filled up repeats the last row, and its answers are thrown away.
2. A chunk of rows has as many answers; where a graph answers one row without an axis for it, the
   whole answer is the row's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from demijohn.errors import ModelError
from demijohn.messages import Array, Tensors, count_rows

Call = Callable[[Tensors], Tensors]  #: Runs a graph on tensors whose axis 0 is the row.


@dataclass(frozen=True, slots=True)
class RowLimits:
    """How many rows a graph takes at a time."""

    least: int = 1
    most: int | None = None  #: None: any number.

    @property
    def is_one_by_one(self) -> bool:
        """Say whether each row is a call."""
        return self.most == 1


ANY_ROWS = RowLimits()
ONE_BY_ONE = RowLimits(1, 1)


def run_rows(call: Call, tensors: Tensors, limits: RowLimits = ANY_ROWS) -> Tensors:
    """Run rows in calls of as many as the graph takes.

    Args:
        call: Runs the graph.
        tensors: At least one row.
        limits: Of the graph.

    Raises:
        ModelError: it returned another number of rows than it got.
    """
    n_rows = count_rows(tensors)
    most = n_rows if limits.most is None else limits.most
    parts = [
        _run_chunk(call, {name: array[start : start + most] for name, array in tensors.items()}, limits)
        for start in range(0, n_rows, most)
    ]
    if len(parts) == 1:
        return parts[0]
    return {name: _joined([part[name] for part in parts]) for name in parts[0]}


def _run_chunk(call: Call, chunk: Tensors, limits: RowLimits) -> Tensors:
    n_rows = count_rows(chunk)
    n_given = max(n_rows, limits.least)
    if n_given > n_rows:
        chunk = {name: _filled(array, n_given) for name, array in chunk.items()}
    outputs = {name: _per_row(name, array, n_given, limits) for name, array in call(chunk).items()}
    return outputs if n_given == n_rows else {name: array[:n_rows] for name, array in outputs.items()}


def _filled(array: Array, n_rows: int) -> Array:
    return np.concatenate([array, np.repeat(array[-1:], n_rows - len(array), axis=0)])


def _per_row(name: str, array: Array, n_rows: int, limits: RowLimits) -> Array:
    if array.ndim and len(array) == n_rows:
        return array
    if limits.is_one_by_one:
        return array[np.newaxis]
    received = len(array) if array.ndim else "no"
    raise ModelError(f"The model returned {received} rows in {name!r} for {n_rows}")


def _joined(parts: list[Array]) -> Array:
    """Put the answers of several calls together; what differs in shape becomes objects."""
    if len({part.shape[1:] for part in parts}) == 1:
        return np.concatenate(parts)
    rows = [row for part in parts for row in part]
    array = np.empty(len(rows), dtype=object)
    for index, row in enumerate(rows):
        array[index] = row.tolist()
    return array
