"""One call of a remote method, on its way through a dialect.

Rules of this room:
1. A dialect says by ``Unfit`` that it has no form for a call, or that its answer may mean two things;
   then the next is asked. What no dialect can carry is an error of the caller's.
2. Whatever dialect carried it, an answer becomes the same arrays: ``shape_output`` has the last word.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple, Protocol

import numpy as np

from demijohn.errors import UnusableAnswer
from demijohn.messages import Array, Tensors
from demijohn.tensor_spec import TensorSpec

from .connection import Answer
from .description import Description
from .inputs import Given

_HALF = 2**63
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")


def is_name(text: str) -> bool:
    """Say whether a model, a version or an alias may be named so; then it can stand in a path."""
    return _NAME.match(text) is not None


class Place(NamedTuple):
    """Which model is meant, and which version of it."""

    name: str
    version: str | None = None
    alias: str | None = None

    @property
    def path(self) -> str:
        """The path below which the native dialect has it."""
        if self.version is not None:
            return f"/models/{self.name}/versions/{self.version}"
        return f"/models/{self.name}" + ("" if self.alias is None else f"/aliases/{self.alias}")


class Call(NamedTuple):
    """What is asked of whom."""

    place: Place
    method: str
    given: Given
    parameters: Mapping[str, Any]
    description: Description


class Sent(NamedTuple):
    """A request, ready to go."""

    path: str
    body: bytes
    headers: Mapping[str, str]


class Received(NamedTuple):
    """An answer, read."""

    outputs: Tensors
    version: str  #: Of the model that gave it.


class Unfit(Exception):
    """A dialect cannot carry this call, or what it brought can be read in two ways.

    Args:
        why: For the caller, where no other dialect can.
        received: What was brought, read in the likelier way.
    """

    def __init__(self, why: str, received: Received | None = None) -> None:
        super().__init__(why)
        self.received = received


class Dialect(Protocol):
    """What a dialect offers."""

    def encode(self, call: Call) -> Sent:
        """Write a call.

        Raises:
            Unfit: the dialect has no form for it.
            SignatureMismatch: no dialect has.
        """

    def decode(self, answer: Answer, call: Call) -> Received:
        """Read the answer to a call.

        Raises:
            Unfit: it can mean two things, which another dialect tells apart.
            UnusableAnswer: it is none.
        """


def shape_output(
    values: Array | Sequence[Any], spec: TensorSpec | None, labels: Sequence[Any] | None = None
) -> Array:
    """Return an output as the estimator returns it.

    Args:
        values: As a dialect read it: an array, or a list of what JSON has.
        spec: Of the output; None where nothing is known of it.
        labels: The classes of which the output is one, where it is.

    Returns:
        An array of the spec's dtype, if the values are of that kind; texts as numpy's own, as wide as the
        longest label.
    """
    if not isinstance(values, np.ndarray):
        values = _as_array(values, spec)
    if values.dtype.kind == "O":
        return _shape_objects(values, spec, labels)
    if spec is None or spec.dtype in ("str", "object"):
        return values
    return _cast(values, np.dtype(spec.dtype))


def _cast(array: Array, dtype: np.dtype[Any]) -> Array:
    """Return numbers as another dtype, unless one of them would become another number."""
    if array.dtype == dtype or array.dtype.kind not in "iuf" or dtype.kind not in "iuf":
        return array
    with np.errstate(over="ignore", invalid="ignore"):
        cast = array.astype(dtype)
    return cast if np.array_equal(cast, array, equal_nan=True) else array


def _shape_objects(array: Array, spec: TensorSpec | None, labels: Sequence[Any] | None) -> Array:
    dtype = None if spec is None else spec.dtype
    if dtype is not None and dtype.startswith("datetime64"):
        return _as_instants(array, dtype)
    if dtype not in (None, "str") or not all(type(cell) is str for cell in array.flat):
        return array
    known = labels if labels and all(type(label) is str for label in labels) else ()
    width = max(map(len, [*array.flat, *known]), default=0)
    return array.astype(f"U{max(width, 1)}")


def _as_instants(array: Array, dtype: str) -> Array:
    try:
        return array.astype(dtype)  # None becomes NaT
    except (TypeError, ValueError) as error:
        raise UnusableAnswer(f"What was to be instants is none: {error}") from error


def _as_array(values: Sequence[Any], spec: TensorSpec | None) -> Array:
    """Return what JSON has for the rows of an output.

    Args:
        values: One per row.
        spec: Of the output; where it is not known, lists of numbers are a matrix, and all other lists
            are values.

    Returns:
        An array of floats (null is NaN), integers or bools, if the cells are of one of these kinds; else
        of objects.
    """
    cells, shape = values, [len(values)]
    n_axes, dtype = (None, "") if spec is None else (len(spec.shape), spec.dtype)
    while len(shape) != n_axes and set(map(type, cells)) == {list} and len({*map(len, cells)}) == 1:
        shape.append(len(cells[0]))
        cells = list(chain.from_iterable(cells))
    array = None if dtype == "object" else _of_one_kind(cells, is_float=dtype.startswith("float"))
    if array is not None:
        return array.reshape(shape)
    if n_axes is None:
        cells, shape = values, [len(values)]
    return np.fromiter(cells, dtype=object, count=len(cells)).reshape(shape)


def _of_one_kind(cells: Sequence[Any], *, is_float: bool) -> Array | None:
    """Return numbers or bools as an array; None where they are of several kinds, or of another."""
    kinds = set(map(type, cells))
    if kinds <= {float, type(None)} and (is_float or float in kinds):
        return np.array(cells, dtype=np.float64)
    if kinds == {bool}:
        return np.array(cells, dtype=bool)
    if kinds != {int}:
        return None
    low, high = min(cells), max(cells)
    if low >= -_HALF and high < _HALF:
        return np.array(cells, dtype=np.int64)
    return np.array(cells, dtype=np.uint64) if low >= 0 and high < 2 * _HALF else None
