"""Casting of decoded values to a ``TensorSpec``'s dtype, with every misfit located.

Rules of this room:
1. A bool is no number and a string no number; an integer is a float; 3.0 is no integer.
2. Text cells (CSV) are read by the dtype; only an empty cell is missing. Bytes are a text if they are
   one in UTF-8.
3. The fast way looks at the set of Python types of a whole column; only a column that does not
   pass is looked at value by value, to say which row is wrong.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from .errors import MAX_PROBLEMS, Problem, SignatureMismatch
from .messages import Array
from .tensor_spec import TensorSpec

_NUMBERS = {int, float}
_SCALARS = {bool, int, float, str}
_LONGEST_SHOWN = 40


class Problems(list[Problem]):
    """Problems found so far; raises as soon as it is full."""

    def add(self, row: int | None, column: str | int | None, expected: str, received: str) -> None:
        """Note one problem.

        Raises:
            SignatureMismatch: this was the twentieth.
        """
        self.append(Problem(row, column, expected, received))
        if len(self) >= MAX_PROBLEMS:
            self.raise_if_any()

    def raise_if_any(self) -> None:
        """Raise what was noted.

        Raises:
            SignatureMismatch: something was.
        """
        if self:
            more = f" (and {len(self) - 1} more)" if len(self) > 1 else ""
            raise SignatureMismatch(f"{self[0]}{more}", errors=self)


class _Unfit(Exception):
    """A value does not fit; the argument says what came."""


def describe(value: Any) -> str:
    """Say what a JSON value is, shortened, for an error's ``received``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        shown = value if len(value) <= _LONGEST_SHOWN else value[:_LONGEST_SHOWN] + "…"
        return f'the string "{shown}"'
    if isinstance(value, list):
        return f"a list of {len(value)} values"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, dict):
        return "an object"
    text = str(value)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"


def place_in(name: str | int | None, path: Sequence[int]) -> str | int | None:
    """Write where in a row something stands: a column's index, "3,0,2", "image" or "image[3,0]".

    Args:
        name: Of the tensor, or a column's index; None where the model has only this one.
        path: The indices below axis 0.
    """
    inside = ",".join(map(str, path))
    if name is not None:
        return f"{name}[{inside}]" if path else name
    return path[0] if len(path) == 1 else inside or None


@dataclass(frozen=True, slots=True)
class Place:
    """Where the cells of a flat list stand: they are those of rows of one shape, in order."""

    name: str | int | None  #: Of the tensor, or a column's index; None where the model has only this one.
    sizes: Sequence[int]  #: Below axis 0.
    first_row: int = 0

    def of(self, index: int) -> tuple[int, str | int | None]:
        """Return a cell's row, and its place in it."""
        path = []
        for size in reversed(self.sizes):
            index, step = divmod(index, size)
            path.append(step)
        return self.first_row + index, place_in(self.name, path[::-1])


class Caster:
    """Casts values to one spec."""

    __slots__ = ("_cell", "_dtype", "_is_text", "_spec", "expected")

    def __init__(self, spec: TensorSpec, *, is_text: bool = False) -> None:
        self._spec = spec
        self._is_text = is_text
        self._dtype = _numpy_dtype(spec)
        self._cell = _cell_reader(spec, self._dtype, is_text=is_text)
        self.expected = _expected(spec)  #: What a cell should be, for problems.

    def column(self, values: Sequence[Any] | Array, name: str | int | None, problems: Problems) -> Array:
        """Cast one column.

        Args:
            values: ``n_rows`` cells.
            name: For the problems.
            problems: Gains what does not fit.

        Returns:
            An array ``(n_rows,)``; its content is meaningless if problems were added.
        """
        fast = None if isinstance(values, np.ndarray) else self.fast(values)
        if fast is not None:
            return fast
        cells = [self._read(value, row, name, problems) for row, value in enumerate(values)]
        return self._pack(cells)

    def flat(self, values: Sequence[Any], place: Place, problems: Problems) -> Array:
        """Cast the cells of rows of any shape, flattened; see ``column``."""
        fast = self.fast(values)
        if fast is not None:
            return fast
        cells: list[Any] = []
        for index, value in enumerate(values):
            try:
                cells.append(self._read_cell(value))
            except _Unfit as misfit:
                problems.add(*place.of(index), self.expected, str(misfit))
                cells.append(None)
        return self._pack(cells)

    def matrix(self, rows: list[Any], problems: Problems) -> Array:
        """Cast rows of equal length to ``(n_rows, n_features)``."""
        width = self._spec.shape[1] if len(self._spec.shape) > 1 else -1
        if width < 0:
            width = len(rows[0]) if isinstance(rows[0], list) else -1
        if _is_rectangle(rows, width):
            fast = self.fast(list(chain.from_iterable(rows)))
            if fast is not None:
                return fast.reshape(len(rows), width)
        return self._matrix_by_cells(rows, width, problems)

    def _matrix_by_cells(self, rows: list[Any], width: int, problems: Problems) -> Array:
        expected = "a list of values" if width < 0 else f"a list of {width} values"
        cells: list[Any] = []
        for index, row in enumerate(rows):
            if not isinstance(row, list):
                problems.add(index, None, expected, describe(row))
            elif len(row) != width:
                problems.add(index, None, f"{width} values", f"{len(row)} values")
            else:
                cells += [self._read(value, index, column, problems) for column, value in enumerate(row)]
        return np.empty((0, 0)) if problems else self._pack(cells).reshape(len(rows), width)

    def fast(self, values: Sequence[Any]) -> Array | None:
        """Cast a whole column if its Python types allow it at a glance, else return None."""
        if self._spec.is_closed:
            return None
        kinds = set(map(type, values))
        if self._is_text:
            return self._fast_text(values) if self._dtype == np.float64 and kinds == {str} else None
        if self._dtype.kind == "f":
            if type(None) in kinds and self._spec.nullable:
                values = [math.nan if value is None else value for value in values]
                kinds.discard(type(None))
            return self._fast_floats(values) if kinds <= _NUMBERS else None
        if self._dtype.kind in "iu":
            return self._fast_integers(values) if kinds == {int} else None
        if self._dtype.kind == "b":
            return np.array(values, dtype=bool) if kinds == {bool} else None
        return _objects(values) if self._may_be_objects(kinds) else None

    def _may_be_objects(self, kinds: set[type]) -> bool:
        if self._spec.nullable:
            kinds.discard(type(None))
        return kinds <= ({str} if self._spec.dtype == "str" else _SCALARS) and self._dtype.kind == "O"

    def _fast_text(self, values: Sequence[str]) -> Array | None:
        """Cast CSV cells to floats; anything unusual among them is left to be looked at one by one."""
        n_missing = values.count("") if self._spec.nullable else 0
        try:
            array = np.array([float(value or "nan") for value in values])
        except ValueError:
            return None
        # What is written as "nan" or "inf" is no number here; Python's 1_000 and other scripts' digits
        # are none either.
        is_usual = np.isfinite(array).sum() == len(values) - n_missing
        is_plain = all(value.isascii() and "_" not in value for value in values)
        return array if is_usual and is_plain else None

    def _fast_integers(self, values: Sequence[int]) -> Array | None:
        try:
            return np.array(values, dtype=self._dtype)
        except OverflowError:
            return None

    def _fast_floats(self, values: Sequence[Any]) -> Array | None:
        try:
            array = np.array(values, dtype=np.float64)
        except OverflowError:
            return None
        if self._dtype == np.float64:
            return array
        with np.errstate(over="ignore"):
            narrow = array.astype(self._dtype)
        return None if np.isinf(narrow).any() else narrow

    def _read(self, value: Any, row: int, column: str | int | None, problems: Problems) -> Any:
        try:
            return self._read_cell(value)
        except _Unfit as misfit:
            problems.add(row, column, self.expected, str(misfit))
            return None

    def _read_cell(self, value: Any) -> Any:
        if value is None or (self._is_text and value == ""):
            if self._spec.nullable:
                return None
            raise _Unfit("null" if value is None else "an empty cell")
        cell = self._cell(value)
        categories = self._spec.categories
        if self._spec.is_closed and categories is not None and cell not in categories:
            raise _Unfit(describe(value))
        return cell

    def _pack(self, cells: list[Any]) -> Array:
        if self._dtype.kind == "f":
            return np.array([math.nan if cell is None else cell for cell in cells], dtype=self._dtype)
        if self._dtype.kind == "M":
            return np.array([np.datetime64("NaT") if cell is None else cell for cell in cells], self._dtype)
        if self._dtype.kind == "O" or None in cells:
            return _objects(cells)
        return np.array(cells, dtype=self._dtype)


def _objects(values: Sequence[Any]) -> Array:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _expected(spec: TensorSpec) -> str:
    expected = spec.dtype
    if spec.is_closed and spec.categories is not None:
        shown = ", ".join(repr(value) for value in spec.categories[:10])
        expected = f"one of {shown}{', …' if len(spec.categories) > 10 else ''}"
    return f"{expected} or null" if spec.nullable else expected


def _is_rectangle(rows: list[Any], width: int) -> bool:
    return width >= 0 and set(map(type, rows)) == {list} and set(map(len, rows)) == {width}


def _numpy_dtype(spec: TensorSpec) -> np.dtype[Any]:
    return np.dtype(object) if spec.dtype in {"str", "object"} else np.dtype(spec.dtype)


def _cell_reader(spec: TensorSpec, dtype: np.dtype[Any], *, is_text: bool) -> Callable[[Any], Any]:
    if dtype.kind == "O":
        return _any_text if is_text and spec.dtype == "object" else lambda value: _scalar(value, spec)
    readers = {"f": _float, "i": _int, "u": _int, "b": _bool, "M": _instant}
    read = readers[dtype.kind]
    return lambda value: read(value, dtype, is_text)


def _scalar(value: Any, spec: TensorSpec) -> Any:
    if isinstance(value, bytes) and spec.dtype == "str":
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise _Unfit(f"{describe(value)}, which are no text in UTF-8") from error
    if isinstance(value, (list, dict)) or (spec.dtype == "str" and not isinstance(value, str)):
        raise _Unfit(describe(value))
    return value


def _any_text(text: str) -> Any:
    """Read a cell of unknown dtype: a number if it is one, else the text."""
    try:
        return _number_in(text, float)
    except _Unfit:
        return text


def _float(value: Any, dtype: np.dtype[Any], is_text: bool) -> float:
    if is_text:
        value = _number_in(value, float)
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise _Unfit(describe(value))
    try:
        number = float(value)
        with np.errstate(over="ignore"):
            # An infinity can only come from a caller in Python (no protocol lets one in): its model's matter.
            fits = math.isfinite(dtype.type(number)) or not math.isfinite(number)
    except OverflowError:
        fits = False
    if not fits:
        raise _Unfit(f"{describe(value)}, which is too large")
    return number


def _int(value: Any, dtype: np.dtype[Any], is_text: bool) -> int:
    if is_text:
        value = _number_in(value, int)
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise _Unfit(describe(value))
    limits = np.iinfo(dtype)
    if not limits.min <= value <= limits.max:
        raise _Unfit(f"{describe(value)}, which is too large")
    return int(value)


def _bool(value: Any, dtype: np.dtype[Any], is_text: bool) -> bool:
    del dtype
    if is_text and value.strip().lower() in {"true", "false"}:
        return bool(value.strip().lower() == "true")
    if not isinstance(value, (bool, np.bool_)):
        raise _Unfit(describe(value))
    return bool(value)


def _instant(value: Any, dtype: np.dtype[Any], is_text: bool) -> np.datetime64:
    """Read an ISO 8601 instant; one with an offset becomes UTC, one without stays as it is."""
    del is_text
    try:
        # numpy's own reader takes "now" and "NaT" too, and warns of offsets.
        instant = datetime.datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError as error:
        raise _Unfit(describe(value)) from error
    if isinstance(instant, datetime.datetime) and instant.tzinfo is not None:
        instant = instant.astimezone(datetime.UTC).replace(tzinfo=None)
    if not isinstance(instant, (datetime.date, np.datetime64)):
        raise _Unfit(describe(value))
    exact = np.datetime64(instant)
    narrow: np.datetime64 = exact.astype(dtype)
    if narrow.astype(exact.dtype) != exact:  # numpy wraps in silence: nanoseconds reach from 1677 to 2262
        raise _Unfit(f"{describe(value)}, which is out of range")
    return narrow


def _number_in(text: str, read: Callable[[str], Any]) -> Any:
    """Read a number from a CSV cell; ``1_000``, ``nan`` and other scripts' digits are Python's own idea."""
    if "_" in text or not text.isascii() or text.strip().lower().lstrip("+-") in {"nan", "inf", "infinity"}:
        raise _Unfit(describe(text))
    try:
        number = read(text)
    except ValueError as error:
        raise _Unfit(describe(text)) from error
    if number in {math.inf, -math.inf}:
        raise _Unfit(f"{describe(text)}, which is too large")
    return number
