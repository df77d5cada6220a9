"""Casting of rows that are nested lists to one tensor of any number of dimensions.

Rules of this room:
1. A row has exactly the row shape of its spec; a free size (-1) is what the first row that fits has,
   and the same in all rows of a request.
2. Rows that are all of one shape are cast as one flat list; only else each is looked at, to say
   where it is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from .casting import Caster, Place, Problems, describe, place_in
from .messages import Array
from .tensor_spec import TensorSpec

Sizes = Sequence[int]


def cast_nested(
    rows: Sequence[Any],
    spec: TensorSpec,
    caster: Caster,
    name: str | None,
    problems: Problems,
    first_row: int = 0,
) -> Array:
    """Cast rows to ``(n_rows, *row shape)``.

    Args:
        rows: At least one.
        spec: Of two dimensions or more.
        caster: Of that spec.
        name: Of the tensor, for the problems; None where the model has only this one.
        problems: Gains what does not fit.
        first_row: Where in the request the rows begin.

    Returns:
        The tensor; its content is meaningless if problems were added.
    """
    found = _rectangle(rows, spec.shape[1:])
    if found is None:
        _name_misfits(enumerate(rows, first_row), spec.shape[1:], caster, name, problems)
        return np.empty(0)
    sizes, cells = found
    values = caster.flat(cells, Place(name, sizes, first_row), problems)
    return values.reshape(len(rows), *sizes)


def _rectangle(rows: Sequence[Any], shape: Sizes) -> tuple[list[int], list[Any]] | None:
    """Return the sizes below axis 0 and the cells in order; None where the rows are not all of ``shape``."""
    sizes: list[int] = []
    level = list(rows)
    for size in shape:
        if not set(map(type, level)) <= {list}:
            return None
        lengths = set(map(len, level)) or {max(size, 0)}
        if len(lengths) > 1 or size not in (-1, *lengths):
            return None
        sizes += lengths
        level = list(chain.from_iterable(level))
    return sizes, level


def _name_misfits(
    rows: Iterable[tuple[int, Any]], shape: Sizes, caster: Caster, name: str | None, problems: Problems
) -> None:
    for row, value in rows:
        found = _rectangle([value], shape)
        if found is None:
            _Walk(row, name, shape, problems).check(value, ())
        else:
            shape, cells = found
            caster.flat(cells, Place(name, shape, first_row=row), problems)


class _Walk:
    """A look through one row that is not of its shape."""

    def __init__(self, row: int, name: str | None, shape: Sizes, problems: Problems) -> None:
        self._row = row
        self._name = name
        self._sizes = list(shape)
        self._problems = problems

    def check(self, value: Any, path: tuple[int, ...]) -> None:
        """Note each list that is of another length, and whatever stands in the place of one."""
        if len(path) == len(self._sizes):
            return
        size = self._sizes[len(path)]
        if not isinstance(value, list) or size not in (-1, len(value)):
            expected = "a list of values" if size < 0 else f"a list of {size} values"
            self._problems.add(self._row, place_in(self._name, path), expected, describe(value))
            return
        self._sizes[len(path)] = len(value)
        for index, below in enumerate(value):
            self.check(below, (*path, index))
