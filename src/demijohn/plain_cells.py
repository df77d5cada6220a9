"""Records that came as cells of one array: taken block by block, where each column is of its input's kind.

Rules of this room:
1. What it returns is what casting column by column returns, value for value.
2. It never says what is wrong: where anything is, it returns None, and the records are read again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .array_casting import has_missing, narrow
from .messages import Array, RecordCells, Tensors
from .tensor_spec import Layout, TensorSpec

_FEW = 16  #: Up to so many rows, a list of texts costs less than a lookup by numpy.
_OBJECT = np.dtype(object)

#: From cells to a tensor; None: they do not fit.
Read = Callable[[Array], Array | None]


class _Plan(NamedTuple):
    """How cells of some names and kinds become the tensors."""

    names: tuple[str, ...] | None
    kinds: str
    #: In the signature's order: its column's name, and where that stands among ``names``.
    places: Sequence[tuple[str, int]]
    #: Those of texts, and which are known; None: any.
    texts: Sequence[tuple[str, int, frozenset[str] | None]]
    #: Those that are neither texts nor as the cells are.
    others: Sequence[tuple[str, int, Read]]


class PlainCells:
    """Takes cells of records for the columns of one table.

    Args:
        layout: Of the signature; only a table takes records.
        inputs: One per column.
    """

    __slots__ = ("_inputs", "_is_table", "_names", "_plan")

    def __init__(self, layout: Layout, inputs: Sequence[TensorSpec]) -> None:
        self._is_table = layout == "table"
        self._inputs = inputs
        self._names = tuple(spec.name for spec in inputs)
        self._plan = _Plan((), "", (), (), ())  # of the last that came: most clients send the same again

    def take(self, records: RecordCells) -> Tensors | None:
        """Return one array ``(n_rows,)`` per column, in the signature's order; None: read them again."""
        plan = self._plan
        if records.names != plan.names or records.kinds != plan.kinds:
            made = self._plan_of(records.names, records.kinds)
            if made is None:
                return None
            self._plan = plan = made
        columns = list(records.cells.T.copy(order="C"))
        if records.n_missing and not self._may_miss(columns, plan):
            return None
        tensors = {name: columns[index] for name, index in plan.places}
        for name, index, read in plan.others:
            tensor = read(columns[index])
            if tensor is None:
                return None
            tensors[name] = tensor
        return tensors if self._take_texts(columns, records.texts, plan, tensors) else None

    def _plan_of(self, given: tuple[str, ...] | None, kinds: str) -> _Plan | None:
        """Return how columns become ours; None where others came, or of other kinds."""
        names = self._names if given is None else given
        if not self._is_table or len(kinds) != len(self._names) or set(names) != set(self._names):
            return None
        places = {name: index for index, name in enumerate(names)}
        texts, others = [], []
        for spec in self._inputs:
            index = places[spec.name]
            allowed, read = _reader_of(spec)
            if kinds[index] not in allowed:
                return None
            if spec.dtype == "str":
                known = frozenset(spec.categories or ()) if spec.is_closed else None
                texts.append((spec.name, index, known))
            elif read is not None:
                others.append((spec.name, index, read))
        return _Plan(given, kinds, [(name, places[name]) for name in self._names], texts, others)

    def _may_miss(self, columns: Sequence[Array], plan: _Plan) -> bool:
        return all(
            spec.nullable or not has_missing(columns[index])
            for spec, (_, index) in zip(self._inputs, plan.places, strict=True)
        )

    def _take_texts(
        self,
        columns: Sequence[Array],
        texts: Sequence[Sequence[str] | None],
        plan: _Plan,
        tensors: Tensors,
    ) -> bool:
        """Put the texts in the place of their codes; False: one is not known."""
        for _, index, known in plan.texts:
            if known is not None and not known.issuperset(texts[index] or ()):
                return False
        if not plan.texts:
            return True
        if len(columns[0]) > _FEW:
            for name, index, _ in plan.texts:
                tensors[name] = _of_codes(columns[index], texts[index] or ())
            return True
        cells = [_few_of_codes(columns[index], texts[index] or ()) for _, index, _ in plan.texts]
        block = np.empty((len(cells), len(columns[0])), dtype=_OBJECT)
        block[:] = cells
        for (name, _, _), column in zip(plan.texts, block, strict=True):
            tensors[name] = column
        return True


def _reader_of(spec: TensorSpec) -> tuple[str, Read | None]:
    """Say of which kinds cells may be, none where they are never plain; and what more is done to numbers."""
    if spec.dtype == "str":
        return "s-", None
    if spec.is_closed or spec.dtype == "object":
        return "", None
    dtype = np.dtype(spec.dtype)
    if dtype == np.float64:
        return "if-", None
    if dtype.kind == "f":
        return "if-", lambda cells: narrow(cells, dtype)
    if dtype.kind in "iu":
        return "i", lambda cells: _whole(cells, dtype)
    if dtype.kind == "b":
        return "b", lambda cells: None if has_missing(cells) else cells.astype(dtype)
    return "", None


def _whole(cells: Array, dtype: np.dtype[np.generic]) -> Array | None:
    limits = np.iinfo(dtype)  # type: ignore[type-var] # an integer's
    least, most = cells.min(), cells.max()
    # Of NaN neither holds: no array of integers has what is missing.
    return cells.astype(dtype) if least >= limits.min and most <= limits.max else None


def _few_of_codes(codes: Array, texts: Sequence[str]) -> list[str | None]:
    return [None if code != code else texts[int(code)] for code in codes.tolist()]


def _of_codes(codes: Array, texts: Sequence[str]) -> Array:
    codes[np.isnan(codes)] = len(texts)
    table = np.empty(len(texts) + 1, dtype=_OBJECT)
    table[:] = [*texts, None]
    return table[codes.astype(np.intp)]
