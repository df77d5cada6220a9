"""Comparing an engine's answer with the framework's, array by array.

Rules of this room:
1. Labels, whole numbers, bools and texts are equal, in value and kind; a number may be off by
   ``tolerance * max(|expected|, largest finite |value| of its output column)``, over the rows of
   this batch and ordinary ones, and by what its column is granted beyond that.
2. NaN equals NaN; an infinity equals itself alone.
3. A difference is told in one line that an operator can read.

Source: the design's "Relative error".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from demijohn.messages import Array, Tensors

_LONGEST_SHOWN = 40
_NO_SCALE: Array = np.zeros(())


def difference(
    got: Tensors,
    expected: Tensors,
    tolerance: float,
    first_row: int = 0,
    scales: Mapping[str, Array] | None = None,
    granted: Mapping[str, Array] | None = None,
) -> str | None:
    """Compare two answers to the same rows.

    Args:
        got: The engine's.
        expected: The framework's.
        tolerance: Relative, for numbers that are no whole numbers.
        first_row: What the first of these rows is called.
        scales: By output, how large its columns are in ordinary rows (see ``scales_of``).
        granted: By output, how far numbers of its columns may be off beside the tolerance.

    Returns:
        None where they are equal, else the first difference: row, column, both values, how far off.
    """
    if not isinstance(got, dict) or list(got) != list(expected):
        names = list(got) if isinstance(got, dict) else type(got).__name__
        return f"expected outputs {list(expected)}, got {names}"
    for name, wanted in expected.items():
        scale, beyond = ((given or {}).get(name, _NO_SCALE) for given in (scales, granted))
        why = _form(got[name], wanted) or _first_difference(
            got[name], wanted, tolerance, first_row, scale, beyond
        )
        if why is not None:
            return f"{name}: {why}"
    return None


def scales_of(answer: Tensors) -> dict[str, Array]:
    """Return the largest finite |value| of each column of each output that is numbers."""
    return {name: _scale(array, _NO_SCALE) for name, array in answer.items() if array.dtype.kind in "fc"}


def _form(got: Any, expected: Array) -> str | None:
    if not isinstance(got, np.ndarray):
        return f"expected an array, got {type(got).__name__}"
    if got.shape != expected.shape:
        return f"expected shape {expected.shape}, got {got.shape}"
    if got.dtype.kind != expected.dtype.kind or (
        expected.dtype.kind not in "US" and got.dtype != expected.dtype
    ):
        return f"expected {expected.dtype.name}, got {got.dtype.name}"
    return None


def _first_difference(
    got: Array, expected: Array, tolerance: float, first_row: int, scale: Array, granted: Array = _NO_SCALE
) -> str | None:
    if expected.dtype.kind in "fc":
        is_same = _is_close(got, expected, tolerance, scale, granted)
    elif expected.dtype.kind == "O":
        pairs = zip(got.ravel().tolist(), expected.ravel().tolist(), strict=True)
        is_same = np.array([_is_same(a, b, tolerance) for a, b in pairs], bool).reshape(got.shape)
    elif expected.dtype.kind in "mM":
        is_same = (got == expected) | (np.isnat(got) & np.isnat(expected))
    else:
        is_same = got == expected
    if is_same.all():
        return None
    place = tuple(int(index) for index in np.argwhere(~is_same)[0])
    column = "".join(f", column {index}" for index in place[1:])
    return f"row {first_row + place[0]}{column}: {_describe(got, expected, place, scale)}"


def _is_close(
    got: Array, expected: Array, tolerance: float, scale: Array, granted: Array = _NO_SCALE
) -> Array:
    is_finite = np.isfinite(got) & np.isfinite(expected)  # an infinity is within any tolerance of itself
    with np.errstate(invalid="ignore", over="ignore"):
        allowed = tolerance * np.maximum(np.abs(expected), _scale(expected, scale)) + granted
        is_close = is_finite & (np.abs(got - expected) <= allowed)
    return np.asarray(is_close | (got == expected) | (np.isnan(got) & np.isnan(expected)))


def _scale(expected: Array, ordinary: Array) -> Array:
    """Return the largest finite |value| of each output column, here or in ordinary rows."""
    here = np.max(np.abs(expected), axis=0, initial=0.0, where=np.isfinite(expected))
    return np.asarray(np.maximum(here, ordinary) if ordinary.shape in {(), here.shape} else here)


def _is_same(got: Any, expected: Any, tolerance: float) -> bool:
    """Compare two cells of any kind; an array in a cell is compared as an answer is."""
    if type(got) is not type(expected):
        return False
    if isinstance(expected, np.ndarray):
        return (
            _form(got, expected) is None and _first_difference(got, expected, tolerance, 0, _NO_SCALE) is None
        )
    if isinstance(expected, (list, tuple)):
        pairs = zip(got, expected, strict=False)
        return len(got) == len(expected) and all(_is_same(a, b, tolerance) for a, b in pairs)
    if isinstance(expected, (float, np.floating)):
        return bool(_is_close(np.asarray([got]), np.asarray([expected]), tolerance, _NO_SCALE).all())
    return bool(got is expected or got == expected)


def _describe(got: Array, expected: Array, place: tuple[int, ...], scale: Array) -> str:
    told = f"expected {_shown(expected[place])}, got {_shown(got[place])}"
    if expected.dtype.kind not in "fc" or not np.isfinite([got[place], expected[place]]).all():
        return told
    with np.errstate(all="ignore"):
        off = np.abs(got[place] - expected[place])
        largest = float(np.maximum(np.abs(expected[place]), _scale(expected, scale)[place[1:]]))
        return (
            f"{told}, off by {off / largest:.1e} of {largest:.6g}" if largest else f"{told}, off by {off:.1e}"
        )


def _shown(value: Any) -> str:
    text = repr(value.item() if isinstance(value, np.generic) else value)
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"
