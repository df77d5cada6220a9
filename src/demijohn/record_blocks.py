"""Records of a table read block by block: the cells of all columns of one kind at a time.

Most requests are fine, and a call per column costs a request of one row more than its model. So all
numbers of a request become one array and all its texts another, whose columns the tensors are.

Rules of this room:
1. What it returns is what reading column by column returns, value for value.
2. It never says what is wrong: where anything is, it returns None, and the columns are read one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from .casting import Caster
from .messages import Array, Tensors
from .tensor_spec import TensorSpec

_NUMBERS: Set[type] = {int, float}
_TEXTS: Set[type] = {str}
_NONE: Set[type] = {type(None)}

Pick = Callable[[Any], Sequence[Any]]


class RecordBlocks:
    """Reads records of one table.

    Args:
        inputs: One per column, of one dimension.
    """

    def __init__(self, inputs: Sequence[TensorSpec]) -> None:
        kinds: dict[Any, list[int]] = {}
        for index, spec in enumerate(inputs):
            kinds.setdefault(_kind_of(spec), []).append(index)
        self._blocks = [_Block.of([inputs[index] for index in group], kind) for kind, group in kinds.items()]
        self._names = tuple(spec.name for spec in inputs)
        order = list(chain.from_iterable(kinds.values()))
        self._may_read = bool(inputs) and not any(spec.is_optional for spec in inputs)
        if self._may_read:
            self._in_order = _picker([order.index(index) for index in range(len(inputs))])

    def read(self, records: list[Any]) -> Tensors | None:
        """Read records.

        Returns:
            One array ``(n_rows,)`` per column, in the signature's order; None where a record has other
            keys, or a cell is not plainly of its column's kind.
        """
        width = len(self._names)
        if not self._may_read or set(map(type, records)) != {dict} or set(map(len, records)) != {width}:
            return None
        columns: list[Array] = []
        try:
            for block in self._blocks:
                columns += block.read(records)
        except (KeyError, _Unplain, OverflowError):
            return None
        return dict(zip(self._names, self._in_order(columns), strict=True))


class _Unplain(Exception):
    """A cell has to be looked at by itself."""


class _Block(NamedTuple):
    """Columns of one kind."""

    pick: Pick  #: From a record to its cells.
    kinds: Set[type]  #: That cells may be of; none: ``pack`` knows.
    known: Sequence[frozenset[Any] | None] | None  #: What each column takes; None: anything.
    pack: Callable[[list[Sequence[Any]]], Iterator[Array]]

    @classmethod
    def of(cls, specs: Sequence[TensorSpec], kind: tuple[str, bool]) -> _Block:
        name, is_nullable = kind
        pick, or_none = _picker([spec.name for spec in specs]), _NONE if is_nullable else frozenset()
        if name == "number":
            return cls(pick, _NUMBERS | or_none, None, _numbers)
        if name == "text":
            known = [
                frozenset((*(spec.categories or ()), None)) if spec.is_closed else None for spec in specs
            ]
            return cls(pick, _TEXTS | or_none, known if any(known) else None, _objects)
        (spec,) = specs
        return cls(pick, frozenset(), None, _Single(spec).pack)

    def read(self, records: list[Any]) -> Iterator[Array]:
        rows = [self.pick(record) for record in records]
        if self.kinds and not set(map(type, chain.from_iterable(rows))) <= self.kinds:
            raise _Unplain
        if self.known is not None:
            for row in rows:
                for cell, known in zip(row, self.known, strict=True):
                    if known is not None and cell not in known:
                        raise _Unplain
        return self.pack(rows)


def _kind_of(spec: TensorSpec) -> tuple[str, bool]:
    """Return what columns are read together: open ones of float64, texts; any other is read alone."""
    if spec.dtype == "float64" and not spec.is_closed:
        return ("number", spec.nullable)
    if spec.dtype == "str":
        return ("text", spec.nullable)
    return (f"column {spec.name}", spec.nullable)


def _picker(keys: Sequence[Any]) -> Pick:
    """Return what takes the values of keys out of a record, or those at places out of a list."""
    if len(keys) == 1:
        (key,) = keys
        return lambda record: (record[key],)
    return itemgetter(*keys)


def _numbers(rows: list[Sequence[Any]]) -> Iterator[Array]:
    # None becomes NaN.
    block = np.array(rows, dtype=np.float64)
    return iter(np.ascontiguousarray(block.T))


def _objects(rows: list[Sequence[Any]]) -> Iterator[Array]:
    block = np.empty((len(rows[0]), len(rows)), dtype=object)
    block.T[:] = rows
    return iter(block)


class _Single:
    """A column that is read alone."""

    def __init__(self, spec: TensorSpec) -> None:
        self._caster = Caster(spec)

    def pack(self, rows: list[Sequence[Any]]) -> Iterator[Array]:
        array = self._caster.fast([row[0] for row in rows])
        if array is None:
            raise _Unplain
        return iter([array])
