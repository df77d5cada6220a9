"""Probe rows: what a model is shown to prove something about it, before a client relies on it.

Rules of this room:
1. Every probe fits the signature, and its rows differ as far as the dtypes let them: a model that
   mixes the rows of a batch must be caught.
2. Seeded: the same model gets the same probes in every process.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .messages import Array, Records, Rows, Tensors
from .signature import Signature, TensorSpec

_MOST_HOURS = 1_000
_LEAST_ALLOWED = 1e-12
#: Of numbers that are short themselves: what another order of summing may change of them.
_ALLOWED = {"float32": 1e-5, "float16": 1e-2}
_EXACT = 2**52  # a double holds every whole number up to here


def draw(signature: Signature, example_rows: list[Any], n_rows: int, seed: int = 0) -> Tensors:
    """Draw rows around the example.

    Args:
        signature: Of the model.
        example_rows: At least one row that fits, as JSON writes it.
        n_rows: How many to draw.
        seed: Of the generator.

    Returns:
        Tensors of ``n_rows``: categories drawn from those known, numbers scaled, instants shifted
        and texts cut after a word, around the example's.
    """
    rng = np.random.default_rng(seed)
    example = signature.validate(rows_or_records(example_rows))
    return {spec.name: _vary(example[spec.name], spec, n_rows, rng) for spec in signature.inputs}


def rows_or_records(rows: list[Any]) -> Rows | Records:
    """Wrap plain rows for ``Signature.validate``."""
    return Records(rows) if rows and isinstance(rows[0], dict) else Rows(rows)


def _vary(values: Array, spec: TensorSpec, n_rows: int, rng: np.random.Generator) -> Array:
    if spec.categories:
        return _draw_known(spec.categories, values.dtype, (n_rows, *values.shape[1:]), rng)
    picked: Array = values[rng.integers(len(values), size=n_rows)]
    kind = picked.dtype.kind
    if kind == "b":
        return rng.integers(0, 2, size=picked.shape).astype(bool)
    if kind == "M":
        hours = rng.integers(0, _MOST_HOURS, size=picked.shape).astype("timedelta64[h]")
        return np.asarray(picked + hours)
    if kind == "O":
        return _objects([_vary_cell(cell, spec, rng) for cell in picked.ravel()]).reshape(picked.shape)
    scaled = picked * rng.uniform(0.5, 1.5, picked.shape) + (picked == 0) * rng.uniform(0, 1, picked.shape)
    return scaled.astype(picked.dtype) if kind == "f" else _whole(scaled, picked)


def _draw_known(
    categories: Sequence[Any], dtype: np.dtype[Any], shape: tuple[int, ...], rng: np.random.Generator
) -> Array:
    drawn = [categories[index] for index in rng.integers(len(categories), size=math.prod(shape))]
    cells = [None if cell is None or cell != cell else cell for cell in drawn]
    return (_objects(cells) if dtype.kind == "O" else np.array(cells, dtype)).reshape(shape)


def _whole(scaled: Array, picked: Array) -> Array:
    """Round to ``picked``'s dtype; what it cannot hold stays as it was picked."""
    limits = np.iinfo(picked.dtype)
    fits = (np.abs(scaled) < _EXACT) & (scaled > limits.min) & (scaled < limits.max)
    return np.where(fits, np.rint(np.where(fits, scaled, 0)).astype(picked.dtype), picked)


def _vary_cell(cell: Any, spec: TensorSpec, rng: np.random.Generator) -> Any:
    """Vary a value among others of any kind; a whole number stays one, a ragged row gets another length."""
    if isinstance(cell, (np.ndarray, list)) and len(cell):
        length = int(rng.integers(1, len(cell) + 1))
        if isinstance(cell, list):
            return [_vary_cell(one, spec, rng) for one in cell[:length]]
        return _vary(cell, spec, length, rng)
    if isinstance(cell, str):
        words = cell.split(" ")
        return " ".join(words[: rng.integers(1, len(words) + 1)])
    if isinstance(cell, bool) or not isinstance(cell, (int, float)):
        return cell
    scaled = cell * rng.uniform(0.5, 1.5) if cell else rng.uniform(0, 2)
    return round(scaled) if isinstance(cell, int) else scaled


def agree(joined: Tensors, alone: list[Tensors], rtol: float | None = None) -> str | None:
    """Compare one batch with its rows run one by one.

    Args:
        joined: The outputs of the batch.
        alone: The outputs of each row.
        rtol: Relative to the larger of the number and its column's largest value; None: by how precise
            the numbers are.

    Returns:
        None where labels are equal and numbers within ``rtol``, else what differs.
    """
    for name, batch in joined.items():
        if any(part.keys() != joined.keys() for part in alone):
            return "other outputs"
        parts = [part[name] for part in alone]
        if any(part.shape[1:] != batch.shape[1:] or len(part) != 1 for part in parts):
            return f"{name}: another shape"
        single = np.concatenate(parts) if batch.dtype.kind != "O" else _objects([part[0] for part in parts])
        if batch.dtype.kind in "fc":
            allowed = _ALLOWED.get(batch.dtype.name, _LEAST_ALLOWED) if rtol is None else rtol
            if not _is_close(batch, single, allowed):
                return f"{name}: numbers differ by more than {allowed:g}"
        elif not _equal(batch, single):
            return f"{name}: values differ"
    return None


def _objects(cells: list[Any]) -> Array:
    array = np.empty(len(cells), dtype=object)
    for index, cell in enumerate(cells):  # in one go, rows of one length would become axes
        array[index] = cell
    return array


def _is_close(batch: Array, single: Array, rtol: float) -> bool:
    finite = np.isfinite(batch) & np.isfinite(single)  # an infinity would be within any tolerance of itself
    scale = np.max(np.abs(single), axis=0, initial=0.0, where=np.isfinite(single))
    with np.errstate(invalid="ignore", over="ignore"):
        close = finite & (np.abs(batch - single) <= rtol * np.maximum(np.abs(single), scale))
    return bool((close | (batch == single) | (np.isnan(batch) & np.isnan(single))).all())


def _equal(left: Array, right: Array) -> bool:
    if left.dtype.kind != "O":
        return bool((left == right).all())
    return all(map(_same, left.ravel(), right.ravel()))


def _same(a: Any, b: Any) -> bool:
    is_nan = isinstance(a, float) and isinstance(b, float) and a != a and b != b
    if is_nan or np.array_equal(a, b):
        return True
    return isinstance(a, list) and isinstance(b, list) and a == b  # of several lengths, which are no arrays
