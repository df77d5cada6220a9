"""Runs a tree ensemble row by row, in plain Python: what every engine for trees is held against."""

from __future__ import annotations

from typing import Any

import numpy as np

from demijohn.acceleration.engine import StepAside
from demijohn.acceleration.trees.ensemble import Ensemble


def sums(ensemble: Ensemble, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Add up each row's leaves: (n_rows, n_outputs).

    Raises:
        StepAside: a row is not the ensemble's to answer.
    """
    rows = ensemble.prepare(rows) if ensemble.prepare else rows
    if ensemble.casts_to_float32:
        with np.errstate(over="ignore"):
            rows = rows.astype(np.float32)
    if np.isinf(rows).any() or (np.isnan(rows).any() and not ensemble.allows_missing):
        raise StepAside
    found = np.tile(ensemble.start, (len(rows), 1))
    for row, total in zip(rows.astype(np.float64), found, strict=True):
        for root, column in zip(ensemble.roots, ensemble.column, strict=True):
            values = ensemble.values[ensemble.leaf[leaf_of(ensemble, int(root), row)]]
            total[column : column + len(values)] += values
    return found


def leaf_of(ensemble: Ensemble, node: int, row: np.ndarray[Any, Any]) -> int:
    """Walk from a root to a leaf."""
    while ensemble.left[node] >= 0:
        node = int(ensemble.left[node] if _goes_left(ensemble, node, row) else ensemble.right[node])
    return node


def step(ensemble: Ensemble) -> Any:
    """Make a ``Step`` of it."""
    return lambda rows: ensemble.finish(sums(ensemble, rows))


def _goes_left(ensemble: Ensemble, node: int, row: np.ndarray[Any, Any]) -> bool:
    feature = int(ensemble.feature[node])
    value = float(row[feature])
    if np.isnan(value):
        return bool(ensemble.missing_left[node])
    if ensemble.categorical is None or ensemble.categorical[node] < 0:
        return bool(value <= ensemble.threshold[node])
    assert ensemble.left_categories is not None
    assert ensemble.known_categories is not None
    if not _holds(ensemble.known_categories[feature], value):
        return bool(ensemble.missing_left[node])
    return _holds(ensemble.left_categories[ensemble.categorical[node]], value)


def _holds(words: np.ndarray[Any, Any], value: float) -> bool:
    if not (value >= 0 and value == int(value) and value < 256):
        return False
    return bool(int(words[int(value) // 32]) >> int(value) % 32 & 1)
