"""Casting of arrays that a protocol has read already to a ``TensorSpec``: exactly, or not at all.

Rules of this room:
1. The answer to an array is the answer to its JSON: an integer is a float, rounded as JSON's numbers are;
   a float is no integer, a bool no number, a number no text.
2. NaN is what null is in JSON: a missing value, refused where the spec allows none. An infinity, which
   JSON cannot write, is left to the model.
3. No Python object is made per number or instant; texts and categories are cast cell by cell.
4. What is returned is the request's own: writable, in C order, in the machine's byte order.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .casting import Caster, Place, Problems, describe, place_in
from .errors import MAX_PROBLEMS, SignatureMismatch
from .messages import Array
from .tensor_spec import TensorSpec, shape_text

#: Kinds of arrays that are cast whole, by the kind of the dtype that is wanted.
_TAKEN = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}
_NUMBERS = "fiub"
_CELLS = "OUM"  # read cell by cell


def cast_array(
    array: Array, spec: TensorSpec, caster: Caster, name: str | int | None, problems: Problems
) -> Array:
    """Cast one tensor.

    Args:
        array: ``(n_rows, ...)``; ``(n_rows, 1)`` is taken where the spec has one dimension.
        spec: What it should be.
        caster: Of that spec.
        name: Of the tensor, or a column's index, for the problems; None where the model has only this one.
        problems: Gains what does not fit.

    Returns:
        The tensor; its content is meaningless if problems were added.
    """
    sizes = _sizes(array, spec)
    if sizes is None:
        problems.add(None, name, f"shape {shape_text(spec.shape)}", f"shape {array.shape}")
        return array
    array = array.reshape(len(array), *sizes)
    kind = array.dtype.kind
    if kind == "M" and spec.dtype.startswith("datetime64") and not spec.is_closed:
        return _instants(array, spec, caster.expected, name, problems)
    if kind in _CELLS or (kind in _NUMBERS and (spec.is_closed or spec.dtype == "object")):
        return caster.flat(_cells(array), Place(name, sizes), problems).reshape(array.shape)
    if spec.dtype in {"str", "object"} or kind not in _TAKEN.get(np.dtype(spec.dtype).kind, ""):
        problems.add(None, name, caster.expected, array.dtype.name)
        return array
    cast, is_misfit = _numbers(array, spec)
    if is_misfit is not None and is_misfit.any():
        _name_misfits(array, is_misfit, caster.expected, name, problems)
    return cast


def view_bytes(body: bytes, spec: TensorSpec) -> Array:
    """View a tensor of which nothing is known but the spec.

    Args:
        body: Row-major and little-endian; for a text, its UTF-8.
        spec: All sizes but axis 0 must be known.

    Raises:
        SignatureMismatch: the bytes are not whole rows, or the spec does not say what they are.
    """
    if spec.dtype == "str":
        return np.array([_text_of(body, spec)], dtype=object).reshape((1,) * len(spec.shape))
    if spec.dtype == "object" or np.dtype(spec.dtype).kind not in _NUMBERS or -1 in spec.shape[1:]:
        raise SignatureMismatch(f"Bytes alone do not say what input {spec.name!r} is; send it with its shape")
    dtype = np.dtype(spec.dtype).newbyteorder("<")
    row_bytes = dtype.itemsize * prod(spec.shape[1:])
    if not body or not row_bytes or len(body) % row_bytes:
        raise SignatureMismatch(f"A row of input {spec.name!r} has {row_bytes} bytes, received {len(body)}")
    return np.frombuffer(body, dtype).reshape(-1, *spec.shape[1:])


def _text_of(body: bytes, spec: TensorSpec) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise SignatureMismatch(f"Input {spec.name!r} is text, and the bytes are not UTF-8") from error


def narrow(numbers: Array, dtype: np.dtype[Any]) -> Array | None:
    """Round float64s to a shorter float; None where one that is finite would become an infinity."""
    with np.errstate(over="ignore"):
        short = numbers.astype(dtype, order="C")
    return None if np.isinf(short).any() else short


def has_missing(floats: Array) -> bool:
    """Say whether any is NaN."""
    # The least of them is, then; an array of truths is not made.
    return bool(np.isnan(floats.min(initial=np.inf)))


def _sizes(array: Array, spec: TensorSpec) -> tuple[int, ...] | None:
    """Return the sizes below axis 0 in which the tensor is taken; None where it has another shape."""
    wanted = spec.shape[1:]
    given = array.shape[1:]
    if array.ndim == 2 and not wanted and given == (1,):
        return ()
    is_fit = array.ndim == len(spec.shape) and all(w in (-1, g) for w, g in zip(wanted, given, strict=True))
    return given if is_fit else None


def _cells(array: Array) -> list[Any]:
    """Return the cells in order, what is missing as None."""
    if array.dtype.kind == "M":  # ``tolist`` would count nanoseconds
        return [None if np.isnat(cell) else cell for cell in array.ravel()]
    cells = array.ravel().tolist()
    return [None if isinstance(cell, float) and cell != cell else cell for cell in cells]


def _numbers(array: Array, spec: TensorSpec) -> tuple[Array, Array | None]:
    """Cast numbers; the second array says which do not fit, None where all do."""
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "f":
        return _floats(array, dtype, nullable=spec.nullable)
    is_misfit = None
    if not np.can_cast(array.dtype, dtype):
        limits = np.iinfo(dtype)
        is_misfit = (array < limits.min) | (array > limits.max)
    return array.astype(dtype, order="C"), is_misfit


def _floats(array: Array, dtype: np.dtype[Any], *, nullable: bool) -> tuple[Array, Array | None]:
    # Integers by way of float64, as JSON's.
    wide = array if array.dtype.kind == "f" else array.astype(np.float64)
    with np.errstate(over="ignore"):
        cast = wide.astype(dtype, order="C")
    is_misfit = None
    if not np.can_cast(wide.dtype, dtype):
        is_misfit = np.isinf(cast) & np.isfinite(wide)
    if not nullable and has_missing(cast):
        is_missing = np.isnan(cast)
        is_misfit = is_missing if is_misfit is None else is_misfit | is_missing
    return cast, is_misfit


def _instants(
    array: Array, spec: TensorSpec, expected: str, name: str | int | None, problems: Problems
) -> Array:
    """Cast instants; numpy wraps in silence those that are out of range, or between two of the others."""
    cast = array.astype(spec.dtype, order="C")
    is_missing = np.isnat(array)
    is_misfit = ~is_missing & (cast.astype(array.dtype) != array)
    if not spec.nullable:
        is_misfit |= is_missing
    for row, *path in np.argwhere(is_misfit)[:MAX_PROBLEMS].tolist():
        value = array[(row, *path)]
        received = "null" if np.isnat(value) else f"{describe(value)}, which is out of range"
        problems.add(row, place_in(name, path), expected, received)
    return cast


def _name_misfits(
    array: Array, is_misfit: Array, expected: str, name: str | int | None, problems: Problems
) -> None:
    for row, *path in np.argwhere(is_misfit)[:MAX_PROBLEMS].tolist():
        value = array[(row, *path)].item()
        received = "NaN" if value != value else f"{describe(value)}, which is too large"
        problems.add(row, place_in(name, path), expected, received)
