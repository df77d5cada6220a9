"""Rows that reach a split of a tree, and stand exactly at its threshold or just beside it.

Rules of this room:
1. A row reaches its split from the root: the splits above leave an interval to each column (or a set
   of categories), and every value is chosen inside it. A split that nothing reaches is left out.
2. Values are compared as the ensemble compares them: rounded to float32 where it rounds.
3. Every reachable side of every split has its row before any split gets a second one on a side; so
   below the cap no side of any split is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from demijohn.messages import Array

from .trees.ensemble import Ensemble

_MAX_CELLS = 2**23  # of all threshold rows: 64 MiB
_CHUNK_CELLS = 2**18  # of one step's arrays, so that they stay in the cache
_N_CATEGORIES = 256
_N_NEEDED = 3  # rows per split at most: left, right, missing
_N_ALL = 9  # with the neighbours and the other ways of being missing


@dataclass(frozen=True, slots=True, eq=False)
class ThresholdRows:
    """Rows, and the split that each of them reaches."""

    rows: Array  #: (n_rows, n_features) float64.
    nodes: Array  #: (n_rows,) int64.


def threshold_rows(
    ensemble: Ensemble, base: Array, *, max_rows: int = 100_000, seed: int = 0
) -> ThresholdRows:
    """Make rows at the thresholds of an ensemble.

    Args:
        ensemble: Its splits; of a large one a sample.
        base: (n, n_features) float64, at least one row: where the other columns' values come from.
        max_rows: How many rows at most; fewer where they are very wide.
        seed: Of the sample and of what is chosen for a row.

    Returns:
        The rows, in random order of the splits: any first part is a fair sample.
    """
    rng = np.random.default_rng(seed)
    max_rows = min(max_rows, _MAX_CELLS // max(1, ensemble.n_features))
    trees = _Trees(ensemble)
    splits = rng.permutation(np.flatnonzero(ensemble.left >= 0))[: max(1, max_rows // _N_NEEDED)]
    n_full = max(0, max_rows - _N_NEEDED * len(splits)) // (_N_ALL - _N_NEEDED)
    found = [
        _rows_at(trees, chunk, base, rng, is_full=is_full)
        for part, is_full in ((splits[:n_full], True), (splits[n_full:], False))
        for chunk in _chunks(part, trees)
    ]
    if not found:
        return ThresholdRows(np.empty((0, ensemble.n_features)), np.empty(0, np.int64))
    rows, nodes = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    return ThresholdRows(rows, nodes)


def draw_rows(ensemble: Ensemble, n_rows: int, seed: int) -> Array:
    """Draw rows from around the thresholds, where nothing is known of the columns but the splits.

    Returns:
        (n_rows, n_features) float64, without missing values; known categories where a split asks
        for one.
    """
    rng = np.random.default_rng(seed)
    trees = _Trees(ensemble)
    rows = rng.normal(size=(n_rows, ensemble.n_features))
    is_number = (ensemble.left >= 0) & (trees.category_set < 0) & np.isfinite(ensemble.threshold)
    for column in np.unique(ensemble.feature[is_number]):
        found = ensemble.threshold[is_number & (ensemble.feature == column)]
        spread = np.std(found) or abs(found[0]) or 1.0
        rows[:, column] = rng.choice(found, n_rows) + spread * rng.normal(scale=0.5, size=n_rows)
    for slot, column in enumerate(trees.categorical_columns):
        rows[:, column] = rng.choice(np.flatnonzero(trees.known[slot]), n_rows)
    return rows


class _Trees:
    """An ensemble, with the way up and its bit sets opened."""

    def __init__(self, ensemble: Ensemble) -> None:
        self.ensemble = ensemble
        n_nodes = len(ensemble.left)
        splits = np.flatnonzero(ensemble.left >= 0)
        self.parent = np.full(n_nodes, -1, np.int64)
        self.parent[ensemble.left[splits]] = self.parent[ensemble.right[splits]] = splits
        self.is_left = np.zeros(n_nodes, bool)
        self.is_left[ensemble.left[splits]] = True
        none = np.full(n_nodes, -1, np.int32)
        self.category_set = none if ensemble.categorical is None else ensemble.categorical
        self.left_sets = _open(ensemble.left_categories)
        columns = np.unique(ensemble.feature[self.category_set >= 0])
        self.categorical_columns = columns
        self.slot = np.full(ensemble.n_features, -1)  #: By column: its place among the categorical ones.
        self.slot[columns] = np.arange(len(columns))
        known = ensemble.known_categories
        self.known = np.ones((len(columns), _N_CATEGORIES), bool) if known is None else _open(known[columns])


class _Reach:
    """What leads to some splits: per split and column the values that stay on the way."""

    def __init__(self, trees: _Trees, splits: Array) -> None:
        shape = (len(splits), trees.ensemble.n_features)
        self.low = np.full(shape, -np.inf)  #: Smallest value, as the ensemble compares it.
        self.high = np.full(shape, np.inf)  #: Largest value; below ``low`` where there is none.
        self.may_miss = np.ones(shape, bool)  #: A missing value stays on the way.
        self.categories = np.repeat(trees.known[None], len(splits), axis=0)
        at, current = np.arange(len(splits)), splits
        while len(at):
            above = trees.parent[current]
            is_inside = above >= 0
            at, above, goes_left = at[is_inside], above[is_inside], trees.is_left[current[is_inside]]
            self._narrow(trees, at, above, goes_left)
            current = above
        self.low = _above(self.low, trees.ensemble)
        self.high = _at_most(self.high, trees.ensemble)

    def _narrow(self, trees: _Trees, at: Array, splits: Array, goes_left: Array) -> None:
        """Keep what goes to the left (or right) of one split each."""
        ensemble = trees.ensemble
        column, threshold = ensemble.feature[splits], ensemble.threshold[splits]
        self.may_miss[at, column] &= ensemble.missing_left[splits] == goes_left
        sets = trees.category_set[splits]
        left, right, by_category = (sets < 0) & goes_left, (sets < 0) & ~goes_left, sets >= 0
        places = at[left], column[left]
        self.high[places] = np.minimum(self.high[places], threshold[left])
        places = at[right], column[right]
        self.low[places] = np.maximum(self.low[places], threshold[right])
        if by_category.any():
            goes = trees.left_sets[sets[by_category]] == goes_left[by_category, None]
            self.categories[at[by_category], trees.slot[column[by_category]]] &= goes


def _chunks(splits: Array, trees: _Trees) -> Iterator[Array]:
    width = trees.ensemble.n_features + _N_CATEGORIES * len(trees.categorical_columns)
    step = max(1, _CHUNK_CELLS // width)
    for start in range(0, len(splits), step):
        yield splits[start : start + step]


def _rows_at(
    trees: _Trees, splits: Array, base: Array, rng: np.random.Generator, *, is_full: bool
) -> tuple[Array, Array]:
    """Return the rows of some splits, those of one split together, and the splits that they reach."""
    reach = _Reach(trees, splits)
    chosen, is_reached = _choose(trees, reach, base[rng.integers(len(base), size=len(splits))])
    values = np.zeros((len(splits), _N_ALL))
    is_valid = np.zeros(values.shape, bool)
    by_category = trees.category_set[splits] >= 0
    for kind, offer in ((~by_category, _offer_numbers), (by_category, _offer_categories)):
        if kind.any():
            offered, suits = offer(trees, reach, splits, kind, rng)
            values[kind, : offered.shape[1]] = offered
            is_valid[kind, : offered.shape[1]] = suits
    is_valid &= is_reached[:, None] & _is_first(values, is_valid)
    if not is_full:
        is_valid[:, _N_NEEDED:] = False
    at, which = np.nonzero(is_valid)
    rows = chosen[at]
    rows[np.arange(len(at)), trees.ensemble.feature[splits[at]]] = values[at, which]
    return rows, splits[at]


def _choose(trees: _Trees, reach: _Reach, base: Array) -> tuple[Array, Array]:
    """Choose every column's value: the base row's where it stays on the way, else one that does.

    Returns:
        (n_splits, n_features) values, and which splits can be reached at all.
    """
    compared = _as_compared(base, trees.ensemble)
    fits = (compared >= reach.low) & (compared <= reach.high)
    chosen = np.where(fits, base, _between(reach.low, reach.high, trees.ensemble))
    has_value = reach.low <= reach.high
    for slot, column in enumerate(trees.categorical_columns):
        allowed, own = reach.categories[:, slot], base[:, column]
        is_category = (own >= 0) & (own < _N_CATEGORIES) & (own == np.floor(own))
        place = np.where(is_category, own, 0).astype(np.int64)
        keeps = is_category & allowed[np.arange(len(own)), place]
        chosen[:, column] = np.where(keeps, own, allowed.argmax(axis=1))
        has_value[:, column] = allowed.any(axis=1)
    can_miss = reach.may_miss & _missing_allowed(trees)
    missing = np.nan if trees.ensemble.allows_missing else -1.0
    return np.where(has_value, chosen, missing), np.asarray((has_value | can_miss).all(axis=1))


def _missing_allowed(trees: _Trees) -> Array:
    """By column: NaN is allowed, or a category that counts as missing."""
    return (trees.slot >= 0) | trees.ensemble.allows_missing


def _offer_numbers(
    trees: _Trees, reach: _Reach, splits: Array, kind: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Offer values at the thresholds of splits by number: left, right, missing, then neighbours.

    Returns:
        (n, 9) values, and which of them stay on the way.
    """
    del rng
    ensemble = trees.ensemble
    at = np.flatnonzero(kind), ensemble.feature[splits[kind]]
    low, high, threshold = reach.low[at], reach.high[at], ensemble.threshold[splits[kind]]
    below, above = _at_most(threshold, ensemble), _above(threshold, ensemble)
    with np.errstate(over="ignore", invalid="ignore"):
        others = _neighbours(threshold, below, above, ensemble)
    left, right = np.minimum(below, high), np.maximum(above, low)
    values = np.stack([left, right, np.full_like(left, np.nan), *others], axis=1)
    compared = _as_compared(values, ensemble)
    suits = (compared >= low[:, None]) & (compared <= high[:, None]) & np.isfinite(values)
    suits[:, 2] = reach.may_miss[at] & ensemble.allows_missing
    return values, suits


def _neighbours(threshold: Array, below: Array, above: Array, ensemble: Ensemble) -> list[Array]:
    """Return the threshold itself and what lies closest to it, in float64 and in float32."""
    minus_zero = np.where(threshold == 0, -0.0, np.nan)
    if ensemble.casts_to_float32:
        # A double halfway between two floats is rounded to the even one, its neighbours apart.
        halfway = below / 2 + above / 2
        beside = [np.nextafter(halfway, -np.inf), halfway, np.nextafter(halfway, np.inf)]
        return [threshold, _float32_below(below), *beside, minus_zero]
    rounded = threshold.astype(np.float32).astype(np.float64)
    beside = [_float32_below(rounded), rounded, _float32_above(rounded)]
    return [np.nextafter(threshold, -np.inf), *beside, minus_zero]


def _offer_categories(
    trees: _Trees, reach: _Reach, splits: Array, kind: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Offer categories of both sides, and what counts as missing; as ``_offer_numbers``."""
    ensemble = trees.ensemble
    column = ensemble.feature[splits[kind]]
    slot = trees.slot[column]
    allowed = reach.categories[np.flatnonzero(kind), slot]
    goes_left = trees.left_sets[trees.category_set[splits[kind]]]
    left, right = allowed & goes_left, allowed & ~goes_left
    unknown = ~trees.known[slot]
    may_miss = reach.may_miss[np.flatnonzero(kind), column]
    is_nan_allowed = may_miss & ensemble.allows_missing
    offers = [
        _pick(left, rng),
        _pick(right, rng),
        (np.where(is_nan_allowed, np.nan, -1.0), may_miss),
        _pick(unknown, rng, may_miss),
        (np.full(len(slot), -1.0), may_miss),
        (np.full(len(slot), float(_N_CATEGORIES + 1)), may_miss),
        _pick(left, rng),
        _pick(right, rng),
        _pick(allowed, rng),
    ]
    values, suits = zip(*offers, strict=True)
    return np.stack(values, axis=1), np.stack(suits, axis=1)


def _pick(members: Array, rng: np.random.Generator, may: Array | None = None) -> tuple[Array, Array]:
    """Pick one category of each set; False where there is none, or where it may not be."""
    picked = np.argmax(members * rng.random(members.shape), axis=1).astype(np.float64)
    suits = members.any(axis=1)
    return picked, np.asarray(suits if may is None else suits & may)


def _is_first(values: Array, is_valid: Array) -> Array:
    """Say which values come for the first time in their row; -0.0 is not 0.0."""
    bits = np.where(is_valid, values, 0.0).view(np.int64)
    is_first = np.ones(values.shape, bool)
    for later in range(1, values.shape[1]):
        same = (bits[:, :later] == bits[:, later, None]) & is_valid[:, :later]
        is_first[:, later] = ~same.any(axis=1)
    return is_first


# Floats as the ensemble compares them -------------------------------------------------------


def _as_compared(values: Array, ensemble: Ensemble) -> Array:
    if not ensemble.casts_to_float32:
        return values
    with np.errstate(over="ignore", under="ignore"):
        return values.astype(np.float32).astype(np.float64)


def _at_most(bound: Array, ensemble: Ensemble) -> Array:
    """Return the largest value that is finite and not above ``bound``, as the ensemble compares it."""
    if not ensemble.casts_to_float32:
        return np.minimum(bound, np.finfo(np.float64).max)
    rounded = _as_compared(bound, ensemble)
    lower = np.where(rounded > bound, _float32_below(rounded), rounded)
    return np.minimum(lower, float(np.finfo(np.float32).max))


def _above(bound: Array, ensemble: Ensemble) -> Array:
    """Return the smallest value above ``bound``; infinity where there is none."""
    if not ensemble.casts_to_float32:
        return np.nextafter(bound, np.inf)
    rounded = _as_compared(bound, ensemble)
    return np.where(rounded > bound, rounded, _float32_above(rounded))


def _float32_below(values: Array) -> Array:
    with np.errstate(over="ignore", under="ignore"):
        return np.nextafter(values.astype(np.float32), np.float32(-np.inf)).astype(np.float64)


def _float32_above(values: Array) -> Array:
    with np.errstate(over="ignore", under="ignore"):
        return np.nextafter(values.astype(np.float32), np.float32(np.inf)).astype(np.float64)


def _between(low: Array, high: Array, ensemble: Ensemble) -> Array:
    """Return the middle of each interval; where it is open to one side, its end."""
    most = float(np.finfo(np.float32 if ensemble.casts_to_float32 else np.float64).max)
    with np.errstate(invalid="ignore", over="ignore"):
        middle = low / 2 + high / 2
    middle = np.where((low == -most) & (high < most), high, middle)
    return np.where((high == most) & (low > -most), low, middle)


def _open(words: Array | None) -> Array:
    """Return sets of 256 bits, (n, 8) uint32, as (n, 256) bool."""
    if words is None:
        return np.zeros((0, _N_CATEGORIES), bool)
    shifts = np.arange(32, dtype=np.uint32)
    bits = (words[:, :, None] >> shifts) & np.uint32(1)
    return bits.reshape(len(words), _N_CATEGORIES).astype(bool)
