"""Casting of rows whose lists differ in length from row to row: the inputs that take ragged tensors.

Rules of this room:
1. The tensor is an array of objects ``(n_rows,)``. A row is an array ``(length, *sizes)``, or, where
   more than one axis is ragged, a list of such arrays, nested accordingly.
2. Below the ragged axes every list has exactly the size of the spec; a free size (-1) is what the row's
   first list has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from .casting import Caster, Place, Problems, describe, place_in
from .messages import Array
from .tensor_spec import TensorSpec


def cast_ragged(
    rows: Sequence[Any] | Array, spec: TensorSpec, caster: Caster, name: str | int | None, problems: Problems
) -> Array:
    """Cast rows to an array of rows.

    Args:
        rows: At least one.
        spec: Whose ``ragged_rank`` is one or more.
        caster: Of that spec.
        name: Of the tensor, for the problems; None where the model has only this one.
        problems: Gains what does not fit.

    Returns:
        ``(n_rows,)`` objects; meaningless if problems were added.
    """
    reader = _Reader(spec, caster, name, problems)
    tensor = np.empty(len(rows), dtype=object)
    for index, row in enumerate(rows):
        tensor[index] = reader.read(index, row)
    return tensor


class _Reader:
    def __init__(self, spec: TensorSpec, caster: Caster, name: str | int | None, problems: Problems) -> None:
        self._depth = spec.ragged_rank
        self._sizes = spec.shape[1 + spec.ragged_rank :]
        self._caster = caster
        self._name = name
        self._problems = problems

    def read(self, row: int, value: Any, path: tuple[int, ...] = ()) -> Any:
        value = _as_list(value)
        if not isinstance(value, list):
            self._problems.add(row, place_in(self._name, path), "a list of values", describe(value))
            return None
        if len(path) + 1 < self._depth:
            return [self.read(row, below, (*path, index)) for index, below in enumerate(value)]
        return self._leaf(row, value, path)

    def _leaf(self, row: int, value: list[Any], path: tuple[int, ...]) -> Array | None:
        sizes: list[int] = []
        level = value
        for size in self._sizes:
            level = [_as_list(one) for one in level]
            lengths = {len(one) if isinstance(one, list) else -1 for one in level} or {max(size, 0)}
            if len(lengths) > 1 or -1 in lengths or size not in (-1, *lengths):
                expected = f"lists of {'one length' if size < 0 else f'{size} values'}"
                self._problems.add(row, place_in(self._name, path), expected, describe(value))
                return None
            sizes += lengths
            level = list(chain.from_iterable(level))
        place = _Leaf(self._name, sizes, row, path)
        return self._caster.flat(level, place, self._problems).reshape(len(value), *sizes)


@dataclass(frozen=True, slots=True)
class _Leaf(Place):
    """Where the cells of one innermost list stand."""

    path: tuple[int, ...] = ()

    def of(self, index: int) -> tuple[int, str | int | None]:
        inside = []
        for size in reversed(self.sizes):
            index, step = divmod(index, size)
            inside.append(step)
        return self.first_row, place_in(self.name, (*self.path, index, *inside[::-1]))


def _as_list(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value
