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
    if limits.most is None or n_rows <= limits.most:
        parts = [_run_chunk(call, tensors, limits.least)]
    else:
        parts = [
            _run_chunk(
                call, {name: array[at : at + limits.most] for name, array in tensors.items()}, limits.least
            )
            for at in range(0, n_rows, limits.most)
        ]
    names = parts[0]
    if limits.is_one_by_one:
        parts = _with_rows(parts)
    else:
        for start, part in zip(range(0, n_rows, limits.most or n_rows), parts, strict=True):
            given = max(limits.least, min(n_rows - start, limits.most or n_rows))
            _check_rows(part, given)
    if len(parts) == 1:
        return _cut(parts[0], n_rows)
    return _cut({name: _joined([part[name] for part in parts]) for name in names}, n_rows)


def _run_chunk(call: Call, chunk: Tensors, least: int) -> Tensors:
    n_rows = count_rows(chunk)
    if n_rows < least:
        chunk = {name: _filled(array, least) for name, array in chunk.items()}
    return call(chunk)


def _with_rows(parts: list[Tensors]) -> list[Tensors]:
    """Give answers to one row each an axis of rows, where they have none of length one."""
    for name in parts[0]:
        if any(part[name].ndim == 0 or len(part[name]) != 1 for part in parts):
            for part in parts:
                part[name] = part[name][np.newaxis]
    return parts


def _check_rows(outputs: Tensors, n_rows: int) -> None:
    for name, array in outputs.items():
        if not array.ndim or len(array) != n_rows:
            received = len(array) if array.ndim else "no"
            raise ModelError(f"The model returned {received} rows in {name!r} for {n_rows}")


def _cut(outputs: Tensors, n_rows: int) -> Tensors:
    """Leave out what was only filled up, which stands at the end."""
    return {name: array if len(array) == n_rows else array[:n_rows] for name, array in outputs.items()}


def _filled(array: Array, n_rows: int) -> Array:
    return np.concatenate([array, np.repeat(array[-1:], n_rows - len(array), axis=0)])


def _joined(parts: list[Array]) -> Array:
    """Put the answers of several calls together; what differs in shape becomes objects."""
    if len({part.shape[1:] for part in parts}) == 1:
        return np.concatenate(parts)
    rows = [row for part in parts for row in part]
    array = np.empty(len(rows), dtype=object)
    for index, row in enumerate(rows):
        array[index] = row.tolist()
    return array
