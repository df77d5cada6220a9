"""Records that came as cells of one array: taken block by block, where each column is of its input's kind.

Rules of this room:
1. What it returns is what casting column by column returns, value for value.
2. It never says what is wrong: where anything is, it returns None, and the records are read again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .array_casting import has_missing, narrow
from .messages import Array, RecordCells, Tensors
from .tensor_spec import Layout, TensorSpec

_FEW = 16  #: Up to so many rows, a list of texts costs less than a lookup by numpy.
_OBJECT = np.dtype(object)

#: From cells, and their texts, to a tensor; None: they do not fit.
Read = Callable[[Array, Sequence[str] | None], Array | None]


class PlainCells:
    """Takes cells of records for the columns of one table.

    Args:
        layout: Of the signature; only a table takes records.
        inputs: One per column.
    """

    __slots__ = ("_inputs", "_is_table", "_names", "_reads")

    def __init__(self, layout: Layout, inputs: Sequence[TensorSpec]) -> None:
        self._is_table = layout == "table"
        self._inputs = inputs
        self._names = tuple(spec.name for spec in inputs)
        self._reads: list[tuple[str, Read]] = []

    def take(self, records: RecordCells) -> Tensors | None:
        """Return one array ``(n_rows,)`` per column, in the signature's order; None: read them again."""
        order = self._order_of(records.names)
        if order is None:
            return None
        if not self._reads:
            self._reads = [_reader_of(spec) for spec in self._inputs]
        block = records.cells.T.copy(order="C")
        if records.n_missing and not self._may_miss(block[order]):
            return None
        tensors = {}
        for name, index, (kinds, read) in zip(self._names, order, self._reads, strict=True):
            tensor = read(block[index], records.texts[index]) if records.kinds[index] in kinds else None
            if tensor is None:
                return None
            tensors[name] = tensor
        return tensors

    def _order_of(self, names: tuple[str, ...]) -> Sequence[int] | None:
        """Return where each column of ours stands; None where others came."""
        if not self._is_table:
            return None
        if names == self._names:
            return range(len(names))
        places = {name: index for index, name in enumerate(names)}
        if len(names) != len(self._names) or places.keys() != set(self._names):
            return None
        return [places[name] for name in self._names]

    def _may_miss(self, block: Array) -> bool:
        return all(
            spec.nullable or not has_missing(cells) for spec, cells in zip(self._inputs, block, strict=True)
        )


def _reader_of(spec: TensorSpec) -> tuple[str, Read]:
    """Return of which kinds cells may be (of none: they are not plain), and how they are read."""
    if spec.dtype == "str":
        known = frozenset(spec.categories or ()) if spec.is_closed else None
        return "s-", lambda cells, texts: _texts(cells, texts or (), known)
    if spec.is_closed or spec.dtype == "object":
        return "", lambda _cells, _texts: None
    dtype = np.dtype(spec.dtype)
    if dtype == np.float64:
        return "if-", lambda cells, _texts: cells
    if dtype.kind == "f":
        return "if-", lambda cells, _texts: narrow(cells, dtype)
    if dtype.kind in "iu":
        return "i", lambda cells, _texts: _whole(cells, dtype)
    if dtype.kind == "b":
        return "b", lambda cells, _texts: None if has_missing(cells) else cells.astype(dtype)
    return "", lambda _cells, _texts: None


def _whole(cells: Array, dtype: np.dtype[np.generic]) -> Array | None:
    limits = np.iinfo(dtype)  # type: ignore[type-var] # an integer's
    least, most = cells.min(), cells.max()
    # Of NaN neither holds: no array of integers has what is missing.
    return cells.astype(dtype) if least >= limits.min and most <= limits.max else None


def _texts(cells: Array, texts: Sequence[str], known: frozenset[str] | None) -> Array | None:
    if known is not None and not known.issuperset(texts):
        return None
    table = [*texts, None]
    if len(cells) <= _FEW:
        values: list[str | None] = [None if cell != cell else table[int(cell)] for cell in cells.tolist()]
        return _objects(values)
    cells[np.isnan(cells)] = len(texts)
    return _objects(table)[cells.astype(np.intp)]


def _objects(values: Sequence[str | None]) -> Array:
    array = np.empty(len(values), dtype=_OBJECT)
    array[:] = values
    return array
