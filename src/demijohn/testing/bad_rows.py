"""Rows that nobody means well with: cells that do not fit, and extreme values that do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from demijohn.errors import SignatureMismatch
from demijohn.messages import Array, Tensors
from demijohn.probes import rows_or_records
from demijohn.signature import Signature, TensorSpec

_TEXTS = ("", " ", "\0", "𝔘nicode\u202e", "x" * 10_000)


def bad_cells(signature: Signature, rows: list[Any]) -> Iterator[tuple[str, bool]]:
    """Yield misfits in words, and whether the signature refuses each."""
    yield "no rows", _is_refused(signature, [])
    for what, row in (("an object as a cell", {"no": "cell"}), ("a list too deep", [[[[[[1]]]]]])):
        yield what, _is_refused(signature, [_spoiled(rows[0], row)])


def _spoiled(row: Any, cell: Any) -> Any:
    if isinstance(row, dict):
        return {**row, next(iter(row)): cell}
    return [cell, *row[1:]] if isinstance(row, list) else cell


def _is_refused(signature: Signature, rows: list[Any]) -> bool:
    try:
        signature.validate(rows_or_records(rows))
    except SignatureMismatch:
        return True
    return False


def bad_tensors(signature: Signature, tensors: Tensors) -> Iterator[tuple[str, Tensors]]:
    """Yield tensors of one row that fit, with one input full of an extreme value."""
    for spec in signature.inputs:
        if spec.ragged_rank:
            continue
        for value in _extremes(spec, tensors[spec.name].dtype):
            array: Array = np.empty_like(tensors[spec.name])
            array[...] = value
            yield f"{spec.name!r} of {_shown(value)}", {**tensors, spec.name: array}


def _extremes(spec: TensorSpec, dtype: np.dtype[Any]) -> list[Any]:
    if spec.categories is not None and spec.is_closed:
        return [value for value in spec.categories if value is not None and value == value]
    if dtype.kind == "f":
        real = np.finfo(dtype)
        return [real.max, real.min, real.tiny, np.inf, -np.inf, 0.0, *([np.nan] if spec.nullable else [])]
    if dtype.kind in "iu":
        whole = np.iinfo(dtype)
        return [whole.max, whole.min, 0, *([-1] if whole.min < 0 else [])]
    if dtype.kind == "b":
        return [True, False]
    if dtype.kind == "M":
        return [np.datetime64("1678-01-01"), np.datetime64("2261-12-31")]
    return [*_TEXTS] if spec.dtype == "str" else [*_TEXTS, -1e300, True]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:40] + "…"
