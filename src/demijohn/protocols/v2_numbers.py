"""Requests of the Open Inference Protocol that are one tensor of numbers in JSON, read by a kernel.

Rules of this room:
1. What such a request says beside its numbers is the same again and again: it is read once, by those who
   read any request, and remembered by its bytes. Only the id, which changes, stands apart.
2. Whatever else a body is, or if anything in it is wrong, it is handed over, and read again as a whole: so
   answers and errors are the same.
3. What clients choose is bounded, in number and in length: the kernel hands over a request that is longer.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np

from demijohn import kernels
from demijohn.config import Settings
from demijohn.messages import Array, InferenceRequest, Inputs, Matrix, NamedTensors, Rows

from . import v2_heads, v2_tensors

_MOST_REMEMBERED = 512
_FLOAT64 = np.dtype(np.float64)
_ndarray = np.ndarray


class _Meaning(NamedTuple):
    """What a request says beside its numbers."""

    request: v2_heads.Meaning
    dtype: np.dtype[Any]  #: Of numbers, not of truths.
    bounds: tuple[float, float] | None  #: Of whole numbers; None: of any.
    is_float32: bool
    is_matrix: bool  #: Of floats, which every kind of model takes as rows.
    depth: int  #: With the numbers in it, the request is nested as deep as that, or less.


def read(body: bytes, settings: Settings) -> InferenceRequest | None:
    """Read a request; None: it is something else, or there is no kernel."""
    found = kernels.read_tensor(body, settings.max_elements) if kernels.IS_BUILT else None
    if found is None:
        return None
    rest, given_id, shape, are_whole, cells = found
    # A short body cannot hold too many values; of a long one, commas in strings may count.
    if len(body) >= settings.max_elements and rest.count(b",") + prod(shape) > settings.max_elements:
        return None
    meaning = _meaning(rest, shape)
    if meaning is None or meaning.depth > settings.max_depth:
        return None
    request = meaning.request
    note, inputs = request.note.with_id(given_id), _inputs(meaning, cells, are_whole=are_whole)
    if note is None or inputs is None:
        return None
    return InferenceRequest(inputs, request.arguments, request.methods, note)


@lru_cache(_MOST_REMEMBERED)
def _meaning(rest: bytes, shape: v2_tensors.Shape) -> _Meaning | None:
    """Say what a request means.

    Args:
        rest: The request, with an empty list in the place of its numbers.
        shape: Of the lists in which they stood.

    Returns:
        None where it is not one of numbers, or anything is wrong.
    """
    request = v2_heads.understand(rest)
    if request is None or len(request.tensors) != 1:
        return None
    _, datatype, wanted, _, data = request.tensors[0]
    # "data" stands in the whole document as a key once, and was written without escapes.
    if type(data) is not list:
        return None
    dtype = v2_tensors.number_dtype(datatype)
    if dtype is None or not _fits(shape, wanted):
        return None
    bounds = None
    if dtype.kind != "f":
        limits = np.iinfo(dtype)
        bounds = float(limits.min), float(limits.max)
    depth = request.depth + len(shape) - 1
    is_float32, is_matrix = dtype == np.float32, bounds is None and len(wanted) == 2
    return _Meaning(request, dtype, bounds, is_float32, is_matrix, depth)


def _fits(found: v2_tensors.Shape, wanted: v2_tensors.Shape) -> bool:
    """Say whether numbers stand as a shape says: in one list, or nested alike.

    What is nested less deep than its shape is alike if no list is missing: those of one number each.
    """
    is_alike = len(found) == 1 or found == wanted[: len(found)]
    return is_alike and prod(found) == prod(wanted)


def _inputs(meaning: _Meaning, cells: bytearray, *, are_whole: bool) -> Inputs | None:
    """Return numbers as their datatype has them; None: one of them is none of that."""
    bounds = meaning.bounds
    if meaning.is_float32 and not kernels.round_to_float32(cells):
        return None
    if bounds is not None and not (are_whole and kernels.are_between(cells, *bounds)):
        return None
    tensor = meaning.request.tensors[0]
    numbers: Array = _ndarray(tensor.shape, _FLOAT64, cells)
    if meaning.is_matrix:
        return Matrix(numbers, lambda: Rows(numbers.tolist()))
    return NamedTensors({tensor.name: numbers.astype(meaning.dtype, copy=False)})
