"""Probe rows for parity: ordinary ones, and those on the edges.

Rules of this room:
1. Every row could come from a client or from a caller in Python: the tensors are as
   ``signature.validate`` returns them. (No protocol lets NaN or an infinity into a column that may
   not miss values; a caller in Python may send them.)
2. One set holds values of one kind and one magnitude: a framework may refuse a kind as a whole, and
   a huge number would hide errors in the rows beside it, as errors are relative to a column.
3. Each value comes in one column at a time, among ordinary values; then in all columns at once; then
   in one row of an ordinary batch, at its end and at its beginning.
4. Seeded: the same model gets the same sets in every process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from demijohn.messages import Array, Tensors, count_rows
from demijohn.signature import Signature

from .edge_values import MISSING, Column, columns_of, landmark_values, values_of
from .thresholds import threshold_rows
from .trees.ensemble import Ensemble

#: Draws ordinary rows: called with a number of rows and a seed.
Draw = Callable[[int, int], Tensors]

BATCH_SIZES = (1, 2, 3, 7, 8, 9, 64, 65, 512)  #: Rows of the batches in which engines may differ.
_MAX_EDGE_ROWS = 1024  # per set
_MAX_EDGE_CELLS = 2**19
_MAX_BATCH_CELLS = 2**22
_MAX_COLUMNS = 1024  # a sample of more gets values on the edges
_MAX_ORDINARY_CELLS = 2**22
_N_ALONE = 3
_AMONG = 9
_N_BASE = 256
_N_SPREAD = 2048
_N_OTHER_LENGTH = 9
_OTHER_LENGTHS = (1, 2, 3, 33)

Edit = tuple[int, Column, Any]  # row, column, value


@dataclass(frozen=True, slots=True, eq=False)
class ProbeSet:
    """Rows of one kind, which a framework may refuse as a whole."""

    name: str
    tensors: Tensors
    is_ordinary: bool = False
    sizes: tuple[int, ...] = ()  #: Rows of the batches, over and over; empty: 64, 128, 256, ...
    n_alone: int = 0  #: How many of the rows are shown alone as well.


def probe_sets(
    signature: Signature,
    example: Tensors,
    draw: Draw,
    *,
    ensemble: Ensemble | None = None,
    landmarks: Mapping[str | int, Sequence[float]] | None = None,
    n_ordinary: int = 20_000,
    max_threshold_rows: int = 100_000,
    seed: int = 0,
) -> list[ProbeSet]:
    """Make every set of probe rows for a model.

    Args:
        signature: Of the model.
        example: The example's rows, as ``signature.validate`` returns them.
        draw: Draws ordinary rows, none of them missing.
        ensemble: A tree ensemble over the raw columns, in their order, where there is one. Its
            thresholds are used if all columns are float64 (or float32, where it rounds to that);
            else they have to be proved as the part that they are of an engine.
        landmarks: Values at which something changes (borders of bins), by column name or, of a
            matrix, by index.
        n_ordinary: How many ordinary rows; fewer where they are very wide.
        max_threshold_rows: Of rows at thresholds; larger ensembles are sampled.
        seed: Of everything random.

    Returns:
        The sets in the order in which they should be tried: those that tell most for least first.
    """
    columns = columns_of(signature, example)
    rng = np.random.default_rng(seed)
    some = [columns[place] for place in np.sort(rng.permutation(len(columns))[:_MAX_COLUMNS])]
    width = max(1, len(columns))
    n_spread = max(1, min(_N_SPREAD, _MAX_EDGE_CELLS // width))
    n_base = min(_N_BASE, n_spread)
    n_batched = max(_N_BASE // 8, min(2 * sum(BATCH_SIZES), _MAX_BATCH_CELLS // width))
    # Drawn rows lie around an example that may be made up; all of them may well get the same label.
    spread = _spread(some, draw(n_spread, seed + 4), rng)
    base = _joined(_joined(example, draw(n_base, seed)), _taken(spread, np.arange(n_base)))
    makers = _EdgeRows(base, width, rng)
    sets = [ProbeSet("ordinary batches", draw(n_batched, seed + 1), True, BATCH_SIZES, 8)]
    for name, values in values_of(some):
        sets += makers.sets(name, values)
    sets += makers.sets("values at which something changes", landmark_values(columns, landmarks or {}))
    sets.append(ProbeSet("rows far apart", spread, n_alone=_N_ALONE))
    sets += _sprinkled(some, draw(n_base, seed + 2), seed)
    sets += _of_other_lengths(signature, draw(_N_OTHER_LENGTH, seed + 5))
    if ensemble is not None:
        sets += _threshold_sets(ensemble, columns, base, max_threshold_rows, seed)
    n_ordinary = max(1, min(n_ordinary, _MAX_ORDINARY_CELLS // width))
    sets.append(ProbeSet("ordinary rows", _joined(example, draw(n_ordinary, seed + 3)), True))
    return sets


class _EdgeRows:
    """Writes values of the edges into ordinary rows."""

    def __init__(self, base: Tensors, width: int, rng: np.random.Generator) -> None:
        self._base = base
        self._max_rows = min(_MAX_EDGE_ROWS, max(1, _MAX_EDGE_CELLS // width))
        self._n_base = count_rows(base)
        self._rng = rng

    def sets(self, name: str, values: Mapping[Column, Sequence[Any]]) -> Iterator[ProbeSet]:
        """Yield one set with values in one column at a time and in all, and one of rows among others."""
        pairs = [(column, value) for column, found in values.items() for value in found]
        if not pairs:
            return
        everywhere = []
        if len(values) > 1:
            n_values = max(map(len, values.values()))
            everywhere = [
                [(c, found[n % len(found)]) for c, found in values.items()] for n in range(n_values)
            ]
        rows = [*self._some([[pair] for pair in pairs]), *everywhere]
        edits = [(row, column, value) for row, cells in enumerate(rows) for column, value in cells]
        picked = self._rng.integers(self._n_base, size=len(rows))
        yield ProbeSet(name, edited(_taken(self._base, picked), edits), n_alone=_N_ALONE)
        odd = rows[self._rng.integers(len(rows))]
        picked = self._rng.integers(self._n_base, size=2 * _AMONG)
        edits = [(row, column, value) for row in (_AMONG - 1, _AMONG) for column, value in odd]
        tensors = edited(_taken(self._base, picked), edits)
        yield ProbeSet(f"{name} in one row of a batch", tensors, sizes=(_AMONG,))

    def _some(self, rows: list[list[tuple[Column, Any]]]) -> list[list[tuple[Column, Any]]]:
        """Return the rows, or a sample in the same order where there are too many."""
        return [rows[place] for place in np.sort(self._rng.permutation(len(rows))[: self._max_rows])]


def edited(tensors: Tensors, edits: Sequence[Edit]) -> Tensors:
    """Return a copy with some cells replaced.

    Args:
        tensors: Rows.
        edits: (row, column, value); ``MISSING`` becomes what ``validate`` makes of null: NaN, NaT, or
            None in an array of objects.
    """
    copies = {name: np.array(array, order="C") for name, array in tensors.items()}
    for name in {column.tensor for _, column, value in edits if value is MISSING}:
        if copies[name].dtype.kind in "biu":
            copies[name] = copies[name].astype(object)
    for row, column, value in edits:
        cells = _cells(copies, column)
        cells[row] = _missing(cells) if value is MISSING else value
    return copies


def _missing(array: Array) -> Any:
    if array.dtype.kind == "f":
        return np.nan
    return np.datetime64("NaT") if array.dtype.kind == "M" else None


def _spread(columns: Sequence[Column], rows: Tensors, rng: np.random.Generator) -> Tensors:
    """Move numbers away from the example, by a tenth of their size or of one up to some thirty times it."""
    moved = {name: np.array(array, order="C") for name, array in rows.items()}
    n_rows = count_rows(rows)
    far = 10.0 ** rng.uniform(-1, 1.5, n_rows)
    for column in columns:
        cells = _cells(moved, column)
        if cells.dtype.kind not in "iuf" or column.categories:
            continue
        shifted = cells + far * np.maximum(np.abs(cells), 1.0) * rng.normal(size=n_rows)
        if cells.dtype.kind in "iu":
            limits = np.iinfo(cells.dtype)
            fits = (np.abs(shifted) < 2**31) & (shifted > limits.min) & (shifted < limits.max)
            shifted = np.where(fits, np.rint(np.where(fits, shifted, 0)).astype(cells.dtype), cells)
        cells[:] = shifted
    return moved


def _sprinkled(columns: Sequence[Column], rows: Tensors, seed: int) -> Iterator[ProbeSet]:
    """Yield ordinary rows of which one cell in eight is missing, where it may be."""
    rng = np.random.default_rng(seed)
    nullable = [column for column in columns if column.is_nullable]
    if not nullable:
        return
    at = np.argwhere(rng.random((count_rows(rows), len(nullable))) < 1 / 8)
    edits = [(int(row), nullable[place], MISSING) for row, place in at]
    yield ProbeSet("missing values here and there", edited(rows, edits), n_alone=_N_ALONE)


def _of_other_lengths(signature: Signature, rows: Tensors) -> Iterator[ProbeSet]:
    """Yield rows of other lengths than the example's, along the axes that the model leaves open."""
    # A float64 matrix of any width is that of an estimator that does not know its own.
    open_axes = {
        spec.name: [axis for axis, size in enumerate(spec.shape) if axis and size < 0]
        for spec in signature.inputs
        if spec.dtype != "float64"
    }
    for length in _OTHER_LENGTHS if any(open_axes.values()) else ():
        resized = dict(rows)
        for name, axes in open_axes.items():
            for axis in axes:
                places = np.arange(length) % rows[name].shape[axis]
                resized[name] = np.take(resized[name], places, axis)
        yield ProbeSet(f"rows of length {length}", resized, n_alone=_N_ALONE)


def _threshold_sets(
    ensemble: Ensemble, columns: Sequence[Column], base: Tensors, max_rows: int, seed: int
) -> Iterator[ProbeSet]:
    kinds = {column.dtype for column in columns}
    fits = kinds == {"float64"} or (kinds <= {"float64", "float32"} and ensemble.casts_to_float32)
    if not fits or len(columns) != ensemble.n_features:
        return
    matrix = np.column_stack([_cells(base, column) for column in columns]).astype(np.float64)
    rows = threshold_rows(ensemble, matrix, max_rows=max_rows, seed=seed).rows
    # A row that may be refused for what is missing would take its whole batch with it.
    is_missing = np.isnan(rows).any(axis=1)
    for name, part in (
        ("rows at thresholds", rows[~is_missing]),
        ("missing values at thresholds", rows[is_missing]),
    ):
        if len(part):
            yield ProbeSet(name, _as_tensors(part, columns, base), n_alone=_N_ALONE)


def _as_tensors(rows: Array, columns: Sequence[Column], base: Tensors) -> Tensors:
    if columns[0].index is not None:
        return {columns[0].tensor: rows.astype(base[columns[0].tensor].dtype)}
    return {
        column.tensor: np.ascontiguousarray(rows[:, place]).astype(base[column.tensor].dtype)
        for place, column in enumerate(columns)
    }


def _cells(tensors: Tensors, column: Column) -> Array:
    """View one column; the tensor is in C order."""
    array = tensors[column.tensor]
    return array if column.index is None else array.reshape(len(array), -1)[:, column.index]


def _joined(first: Tensors, second: Tensors) -> Tensors:
    return {name: np.concatenate([array, second[name]]) for name, array in first.items()}


def _taken(tensors: Tensors, rows: Array) -> Tensors:
    return {name: array[rows] for name, array in tensors.items()}
