"""Probe rows: what a model is shown to prove something about it, before a client relies on it.

Rules of this room:
1. Every probe fits the signature, and no two rows of a probe are alike: a model that mixes the rows
   of a batch must be caught.
2. Seeded: the same model gets the same probes in every process.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .messages import Array, Rows, Tensors
from .signature import Signature, TensorSpec


def draw(signature: Signature, example_rows: list[Any], n_rows: int, seed: int = 0) -> Tensors:
    """Draw rows around the example.

    Args:
        signature: Of the model.
        example_rows: At least one row that fits, as JSON writes it.
        n_rows: How many to draw.
        seed: Of the generator.

    Returns:
        Tensors of ``n_rows``: floats scaled and shifted, categories and texts drawn from those
        known, whole numbers and instants drawn from the example.
    """
    rng = np.random.default_rng(seed)
    example = signature.validate(rows_or_records(example_rows))
    return {spec.name: _vary(example[spec.name], spec, n_rows, rng) for spec in signature.inputs}


def rows_or_records(rows: list[Any]) -> Any:
    """Wrap plain rows for ``Signature.validate``."""
    from .messages import Records

    return Records(rows) if rows and isinstance(rows[0], dict) else Rows(rows)


def _vary(values: Array, spec: TensorSpec, n_rows: int, rng: np.random.Generator) -> Array:
    picked = values[rng.integers(len(values), size=n_rows)]
    if values.dtype.kind == "f":
        scale = rng.uniform(0.5, 1.5, size=picked.shape)
        return (picked * scale + (picked == 0) * rng.uniform(0, 1, size=picked.shape)).astype(values.dtype)
    if spec.categories and values.dtype.kind == "O":
        drawn = np.empty(n_rows, dtype=object)
        drawn[:] = [spec.categories[i] for i in rng.integers(len(spec.categories), size=n_rows)]
        return np.array([None if cell != cell else cell for cell in drawn], dtype=object)
    return np.asarray(picked)


def agree(joined: Tensors, alone: list[Tensors], rtol: float = 1e-12) -> str | None:
    """Compare one batch with its rows run one by one.

    Args:
        joined: The outputs of the batch.
        alone: The outputs of each row.
        rtol: Relative to the larger of the number and its column's largest value.

    Returns:
        None where labels are equal and numbers within ``rtol``, else what differs.
    """
    for name, batch in joined.items():
        parts = [part[name] for part in alone]
        if any(part.shape[1:] != batch.shape[1:] or len(part) != 1 for part in parts):
            return f"{name}: another shape"
        single = np.concatenate(parts) if batch.dtype.kind != "O" else _objects(parts)
        if batch.dtype.kind in "fc":
            scale = np.nanmax(np.abs(single), axis=0, initial=0.0, where=np.isfinite(single))
            with np.errstate(invalid="ignore"):
                close = np.abs(batch - single) <= rtol * np.maximum(np.abs(single), scale)
            if not (close | (batch == single) | (np.isnan(batch) & np.isnan(single))).all():
                return f"{name}: numbers differ by more than {rtol:g}"
        elif not _equal(batch, single):
            return f"{name}: values differ"
    return None


def _objects(parts: list[Array]) -> Array:
    array = np.empty(len(parts), dtype=object)
    array[:] = [part[0] for part in parts]
    return array


def _equal(left: Array, right: Array) -> bool:
    if left.dtype.kind != "O":
        return bool((left == right).all())
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))
