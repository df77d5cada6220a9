"""Encoders of categories: each known category has a row in a table of what it becomes.

Rules of this room:
1. What a category becomes is worked out when the step is made, by the framework's own rules; at run
   time there is nothing but looking up.
2. Few rows are looked up in dicts, many in arrays; both find the same.
3. A category that the framework would refuse makes the engine step aside.

Source: scikit-learn 1.9.1, ``preprocessing/_encoders.py``, ``_target_encoder.py``, ``_discretization.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from demijohn.acceleration.engine import Backend, Step, StepAside, Unconvertible
from demijohn.messages import Array

from .building import Building
from .preprocessing import only_transform

_FEW = 4  #: Rows; up to here dicts are faster than arrays.
_LARGEST_TABLE = 1 << 22  #: Cells of a table by code; a model of more has its texts looked up in dicts.
_EXACT = 2**53  #: Above, not every whole number is a float64.

#: From rows to ranks ``(n_rows, n_columns)``: a category's place among its column's, or their number for
#: a category that is not known.
Ranks = Callable[[Array], Array]


class _Column:
    """The categories of one column, as numbers."""

    __slots__ = ("is_text", "missing", "n_categories", "table")

    def __init__(self, categories: Any, codes: Mapping[str, int]) -> None:
        cells = np.asarray(categories).tolist()
        self.n_categories = len(cells)
        gaps = [rank for rank, cell in enumerate(cells) if cell is None or cell != cell]
        if len(gaps) > 1:
            raise Unconvertible("an encoder tells two kinds of missing values apart")
        self.missing = gaps[0] if gaps else self.n_categories
        known = [(rank, cell) for rank, cell in enumerate(cells) if rank not in gaps]
        self.is_text = any(isinstance(cell, str) for _, cell in known)
        self.table = {_as_number(cell, codes, is_text=self.is_text): rank for rank, cell in known}
        if len(self.table) != len(known):
            raise Unconvertible("categories of an encoder are too large to be told apart")


def _as_number(cell: Any, codes: Mapping[str, int], *, is_text: bool) -> float:
    if is_text and isinstance(cell, str):
        return float(codes[cell])
    if is_text or not isinstance(cell, (bool, int, float)) or abs(cell) >= _EXACT:
        raise Unconvertible("categories of an encoder are neither all texts nor all plain numbers")
    return float(cell)


def _ranks_of(encoder: Any, backend: Backend) -> tuple[Ranks, list[_Column]]:
    """Return what looks categories up, and the columns it knows."""
    building = Building.of(backend)
    columns = [_Column(categories, building.codes) for categories in encoder.categories_]
    for index, column in enumerate(columns):
        if column.table and column.is_text != (index in building.texts):
            raise Unconvertible("an encoder's categories are not of its column's type")
    few = _few(columns)
    many = _many(columns, len(building.codes))
    return (lambda rows: few(rows) if len(rows) <= _FEW else many(rows)), columns


def _few(columns: Sequence[_Column]) -> Ranks:
    known = [(column.table.get, column.n_categories, column.missing) for column in columns]

    def ranks(rows: Array) -> Array:
        return np.array([
            [
                get(value, unknown) if value == value else missing
                for value, (get, unknown, missing) in zip(row, known, strict=True)
            ]
            for row in rows.tolist()
        ])  # fmt: skip

    return ranks


def _many(columns: Sequence[_Column], n_codes: int) -> Ranks:
    if len(columns) * (n_codes + 2) > _LARGEST_TABLE:
        return _few(columns)
    finders = [_by_code(column, n_codes) if column.is_text else _by_search(column) for column in columns]

    def ranks(rows: Array) -> Array:
        result = np.empty(rows.shape, dtype=np.intp)
        for index, find in enumerate(finders):
            result[:, index] = find(rows[:, index])
        return result

    return ranks


def _by_code(column: _Column, n_codes: int) -> Step:
    """Find ranks of texts: by code, -1 for what is unknown and -2 for what is missing, from the end."""
    table = np.full(n_codes + 2, column.n_categories, dtype=np.intp)
    for code, rank in column.table.items():
        table[int(code)] = rank
    table[-2] = column.missing

    def find(values: Array) -> Array:
        codes = np.where(np.isnan(values), -2.0, values)
        return table[codes.astype(np.intp)]

    return find


def _by_search(column: _Column) -> Step:
    """Find ranks of numbers, by halving."""
    numbers = np.array(sorted(column.table), dtype=np.float64)
    ranks = np.array([column.table[number] for number in numbers.tolist()], dtype=np.intp)

    def find(values: Array) -> Array:
        result = np.full(len(values), column.n_categories, dtype=np.intp)
        if len(numbers):
            places = np.minimum(np.searchsorted(numbers, values), len(numbers) - 1)
            is_known = numbers[places] == values
            result[is_known] = ranks[places[is_known]]
        if column.missing != column.n_categories:
            result[np.isnan(values)] = column.missing
        return result

    return find


def _refuse_unknown(columns: Sequence[_Column]) -> Callable[[Array], None]:
    sizes = np.array([column.n_categories for column in columns])

    def check(ranks: Array) -> None:
        if (ranks == sizes).any():
            raise StepAside("a category is unknown")

    return check


def _accept(ranks: Array) -> None:
    """Take unknown categories."""


def _all_categories(columns: Sequence[_Column]) -> tuple[Array, Array]:
    """Return rows in which each category of each column comes, then an unknown one, and which are known."""
    sizes = np.array([column.n_categories for column in columns])
    counting = np.arange(sizes.max(initial=0) + 1)[:, None]
    is_known = counting < sizes
    return np.where(is_known, counting, 0), is_known


# One column per category ------------------------------------------------------------------


def _one_hot(encoder: Any, backend: Backend) -> Step:
    if np.dtype(encoder.dtype).kind == "O":
        raise Unconvertible("OneHotEncoder with dtype=object")
    ranks_of, columns = _ranks_of(encoder, backend)
    refuses, dtype = encoder.handle_unknown == "error", np.dtype(encoder.dtype)
    places, width = _one_hot_places(encoder, columns)
    few = _one_hot_few(columns, places, width, dtype, refuses=refuses)
    many = _one_hot_many(ranks_of, _refuse_unknown(columns) if refuses else _accept, places, width, dtype)
    return lambda rows: few(rows) if len(rows) <= _FEW else many(rows)


def _one_hot_places(encoder: Any, columns: Sequence[_Column]) -> tuple[Array, int]:
    """Return (n_ranks, n_columns): the output column of each category; ``width`` where it has none."""
    ranks, is_known = _all_categories(columns)
    encoder._map_infrequent_categories(ranks, is_known, None)
    if encoder._drop_idx_after_grouping is not None:
        dropped = encoder._drop_idx_after_grouping
        is_known &= ranks != dropped
        limits = [
            column.n_categories if drop is None else drop
            for column, drop in zip(columns, dropped, strict=True)
        ]
        ranks[ranks > np.array(limits)] -= 1
    ends = np.cumsum([0, *encoder._n_features_outs])
    places = ranks + ends[:-1]
    width = int(ends[-1])
    places[~is_known] = width
    return places, width


def _one_hot_few(
    columns: Sequence[_Column], places: Array, width: int, dtype: np.dtype[Any], *, refuses: bool
) -> Step:
    """Write a 1 for each cell; a place of None is that of an unknown category which is refused."""
    known = []
    for column, of_rank in zip(columns, places.T.tolist(), strict=True):
        if refuses:
            of_rank[column.n_categories] = None
        table = {number: of_rank[rank] for number, rank in column.table.items()}
        known.append((table.get, of_rank[column.n_categories], of_rank[column.missing]))

    def transform(rows: Array) -> Array:
        result = np.zeros((len(rows), width + 1), dtype=dtype)  # see _one_hot_many
        for index, row in enumerate(rows.tolist()):
            for value, (get, unknown, missing) in zip(row, known, strict=True):
                place = get(value, unknown) if value == value else missing
                if place is None:
                    raise StepAside("a category is unknown")
                result[index, place] = 1
        return np.ascontiguousarray(result[:, :width])

    return transform


def _one_hot_many(
    ranks_of: Ranks, check: Callable[[Array], None], places: Array, width: int, dtype: np.dtype[Any]
) -> Step:
    every_column = np.arange(places.shape[1])
    stops = np.arange(1 << 12)[:, None] * (width + 1)

    def transform(rows: Array) -> Array:
        ranks = ranks_of(rows)
        check(ranks)
        n_rows = len(rows)
        # What becomes no column goes into one more, which is cut off.
        result = np.zeros((n_rows, width + 1), dtype=dtype)
        offsets = stops[:n_rows] if n_rows <= len(stops) else np.arange(n_rows)[:, None] * (width + 1)
        result.ravel()[places[ranks, every_column] + offsets] = 1
        return np.ascontiguousarray(result[:, :width])

    return transform


# One number per category ------------------------------------------------------------------


def _ordinal(encoder: Any, backend: Backend) -> Step:
    ranks_of, columns = _ranks_of(encoder, backend)
    refuses = encoder.handle_unknown == "error"
    ranks, is_known = _all_categories(columns)
    encoder._map_infrequent_categories(ranks, is_known, encoder._missing_indices)
    values = ranks.astype(encoder.dtype)
    for index, missing in encoder._missing_indices.items():
        values[ranks[:, index] == missing, index] = encoder.encoded_missing_value
    if not refuses:
        values[~is_known] = encoder.unknown_value
    check = _refuse_unknown(columns) if refuses else _accept
    every_column = np.arange(len(columns))

    def transform(rows: Array) -> Array:
        ranks = ranks_of(rows)
        check(ranks)
        return np.asarray(values[ranks, every_column])

    return transform


def _target(encoder: Any, backend: Backend) -> Step:
    ranks_of, columns = _ranks_of(encoder, backend)
    is_multiclass = encoder.target_type_ == "multiclass"
    n_outputs = len(encoder.classes_) if is_multiclass else 1
    means = np.atleast_1d(np.asarray(encoder.target_mean_, dtype=np.float64))
    n_ranks = 1 + max((column.n_categories for column in columns), default=0)
    values = np.empty((n_ranks, len(columns), n_outputs))
    for index, column in enumerate(columns):
        for output in range(n_outputs):
            encoding = encoder.encodings_[index * n_outputs + output]
            values[:, index, output] = means[output]
            values[: column.n_categories, index, output] = encoding
    every_column = np.arange(len(columns))

    def transform(rows: Array) -> Array:
        return values[ranks_of(rows), every_column].reshape(len(rows), -1)

    return transform


# Bins -------------------------------------------------------------------------------------


def _bins(discretizer: Any, backend: Backend) -> Step:
    if discretizer.dtype not in (None, np.float64):
        raise Unconvertible(f"KBinsDiscretizer with dtype={discretizer.dtype}")
    edges = [np.ascontiguousarray(edges[1:-1]) for edges in discretizer.bin_edges_]

    def bins(rows: Array) -> Array:
        result = np.empty_like(rows)
        for index, inner in enumerate(edges):
            result[:, index] = np.searchsorted(inner, rows[:, index], side="right")
        return result

    if discretizer.encode == "ordinal":
        return bins
    encode = _one_hot(discretizer._encoder, backend)
    return lambda rows: encode(bins(rows))


TRANSFORMS = {
    "OneHotEncoder": only_transform(_one_hot),
    "OrdinalEncoder": only_transform(_ordinal),
    "TargetEncoder": only_transform(_target),
    "KBinsDiscretizer": only_transform(_bins),
}
