"""Bodies read by the kernels in one pass, as arrays; what they leave alone, the general readers answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .built import _kernels

Floats = npt.NDArray[np.float64]

_FLOAT64 = np.dtype(np.float64)
_DATA, _ANY_KEY, _ROWS = range(3)  # as _frames.c numbers them
_ndarray = np.ndarray
_read_matrix = _kernels.read_matrix


def read_matrix(body: bytes, max_elements: int) -> Floats | None:
    """Read a JSON body that is exactly a matrix of numbers, or rows of any other shape.

    Args:
        body: Any bytes. ``[[1, 2.5], [3, 4]]``, or that as the only value of an object, under ``instances``
            or ``inputs``. In place of a number there may be lists of numbers, all of one shape.
        max_elements: How many numbers there may be.

    Returns:
        (n_rows, width), or of more dimensions, at most 8; writable, each number the float64 that Python's
        ``json`` and ``float`` make of it; None if the body is anything else, be it fine or broken: the
        general reader answers it.

    Raises:
        RuntimeError: The kernels are not built.
    """
    found = _read_matrix(body, max_elements)
    return None if found is None else _ndarray(found[0], _FLOAT64, found[1])


def find_numbers(body: bytes, max_bytes: int) -> tuple[Sequence[str], npt.NDArray[Any]] | None:
    """Find the columns of an Arrow stream of one batch of numbers of one type, none missing.

    Args:
        body: Any bytes.
        max_bytes: That the buffers of all columns may take together.

    Returns:
        The names, and ``(n_rows, n_columns)``: a read-only view of the body, in which each column stands in
        one piece. None if the body is anything else, be it fine or broken: Arrow's own reader answers it.

    Raises:
        RuntimeError: The kernels are not built.
    """
    found = _kernels.find_numbers(body, max_bytes)
    if found is None:
        return None
    names, dtype, n_rows, begin, step = found
    numbers = _ndarray((len(names), n_rows), dtype, body, begin, (step, int(dtype[2])))
    return names, numbers.T


class Cells(NamedTuple):
    """Lines of CSV, read."""

    numbers: Floats  #: (n_rows, width), writable; NaN where a cell was empty.
    n_empty: int  #: Cells that were.
    end: int  #: Where the next line begins.


def read_cells(text: bytes, begin: int, max_rows: int) -> Cells | None:
    """Read lines of CSV whose cells are all numbers, or empty.

    Args:
        text: Any bytes.
        begin: Where in it the first line begins.
        max_rows: How many to read; the last one without its LF is not read at all.

    Returns:
        Each number the float64 that Python's ``float`` makes of it; (0, 0) where there is no whole line.
        None if anything else stands there: quotes, texts, lines of another width, NaN or Infinity.

    Raises:
        RuntimeError: The kernels are not built.
        ValueError: It begins outside the text.
    """
    found = _kernels.read_cells(text, begin, max_rows)
    if found is None:
        return None
    n_rows, width, n_empty, end, cells = found
    return Cells(_ndarray((n_rows, width), _FLOAT64, cells), n_empty, end)


class ReadRecords(NamedTuple):
    """JSON records, or an Arrow stream, read."""

    names: tuple[str, ...]  #: Of the columns; none twice.
    #: A letter per column: i whole numbers that float64 holds, f numbers, s texts, b truths, - nulls alone.
    kinds: str
    n_missing: int  #: Cells that were null.
    cells: Floats  #: (n_rows, n_columns), writable; a text's place in ``texts``, 0 or 1, NaN for null.
    texts: tuple[Sequence[str] | None, ...]  #: Per column of texts the distinct ones.


def read_records(body: bytes, max_cells: int, *, is_lines: bool = False) -> ReadRecords | None:
    """Read JSON records whose keys stand in one order, and whose columns are numbers, texts or truths.

    Args:
        body: Any bytes. ``[{"a": 1, "b": null}, ...]``, or that as the only value of an object, under
            ``instances``, ``inputs`` or ``dataframe_records``.
        max_cells: How many there may be.
        is_lines: The body is a record per line; empty lines are none.

    Returns:
        Each number the float64 that Python's ``json`` and ``float`` make of it. None if the body is anything
        else, be it fine or broken: the general reader answers it.

    Raises:
        RuntimeError: The kernels are not built.
    """
    return _named(_kernels.read_records(body, max_cells, is_lines), are_rows=True)


def read_columns(body: bytes, max_bytes: int, max_texts: int) -> ReadRecords | None:
    """Read an Arrow stream of one batch, some of whose columns are texts, the others numbers.

    Args:
        body: Any bytes.
        max_bytes: Of all columns together, and of what they become.
        max_texts: Of all columns of texts together, those of dictionaries counted too.

    Returns:
        As ``read_records``; each column stands in one piece, and NaN is missing too. None if the body is
        anything else, be it fine or broken, or if its columns are all numbers: Arrow's own reader answers it.

    Raises:
        RuntimeError: The kernels are not built.
    """
    return _named(_kernels.read_columns(body, max_bytes, max_texts), are_rows=False)


def _named(found: Any, *, are_rows: bool) -> ReadRecords | None:
    """Return what a kernel has read of columns with names; None: nothing, or a name stands twice."""
    if found is None:
        return None
    names, kinds, n_rows, n_missing, cells, texts = found
    if len(set(names)) != len(names):
        return None
    return ReadRecords(names, kinds, n_missing, _block(cells, n_rows, len(names), are_rows=are_rows), texts)


def _block(cells: bytearray, n_rows: int, n_columns: int, *, are_rows: bool) -> Floats:
    """View cells as (n_rows, n_columns), of which each row stands in one piece, or each column."""
    return _ndarray((n_rows, n_columns), _FLOAT64, cells, 0, None, "C" if are_rows else "F")


class ReadFrame(NamedTuple):
    """A JSON body whose values stand under "data", read; see ``ReadRecords``."""

    rest: bytes  #: The body, with ``[]`` in the place of each list of values; at most 8 KiB.
    id: str | None  #: The string that "id" has, ``""`` standing in its place in the rest.
    are_rows: bool  #: There is one list, of rows; else each list is a column.
    kinds: str
    n_missing: int
    cells: Floats  #: (n_rows, n_columns); each row stands in one piece, or each column.
    texts: tuple[Sequence[str] | None, ...]

    def may_exceed(self, n_bytes: int, max_values: int) -> bool:
        """Say whether a body of that length may hold too many values, those of an index and the rest too."""
        n_values = self.cells.size + len(self.cells) + self.rest.count(b",") + 1
        return n_bytes >= max_values and n_values > max_values  # a short body cannot hold so many


def read_frame(body: bytes, max_cells: int, *, is_any_key: bool = False) -> ReadFrame | None:
    """Read a JSON body in which "data" stands as a key before lists of numbers, texts, truths and nulls.

    Args:
        body: Any bytes. The lists are columns, of one length, or there is one, of rows. A list of a value for
            each row, under "index", is cut out too, and not kept.
        max_cells: How many values there may be.
        is_any_key: The lists stand under any keys, and are columns.

    Returns:
        Each number the float64 that Python's ``json`` and ``float`` make of it. The body is JSON exactly if
        the rest is; all else it says. None if the body is anything else, be it fine or broken: the general
        reader answers it.

    Raises:
        RuntimeError: The kernels are not built.
    """
    return _frame(_kernels.read_frame(body, max_cells, _ANY_KEY if is_any_key else _DATA))


def read_rows(body: bytes, max_cells: int) -> ReadFrame | None:
    """Read a JSON body that is rows, or has them behind "instances" or "inputs"; see ``read_frame``.

    Args:
        body: Any bytes.
        max_cells: How many values there may be.

    Raises:
        RuntimeError: The kernels are not built.
    """
    return _frame(_kernels.read_frame(body, max_cells, _ROWS))


def _frame(found: tuple[Any, ...] | None) -> ReadFrame | None:
    if found is None:
        return None
    rest, given_id, are_rows, n_rows, kinds, n_missing, cells, texts = found
    block = _block(cells, n_rows, len(kinds), are_rows=are_rows)
    return ReadFrame(rest, given_id, are_rows, kinds, n_missing, block, texts)


class ReadTable(NamedTuple):
    """Lines of CSV, read; see ``ReadRecords``."""

    kinds: str  #: As of records; none is b.
    n_missing: int  #: Cells that were empty.
    cells: Floats
    texts: tuple[Sequence[str] | None, ...]
    end: int  #: Where the next line begins.


def read_table(text: bytes, begin: int, max_rows: int, width: int) -> ReadTable | None:
    """Read lines of CSV whose columns are each numbers or texts, or empty.

    Args:
        text: Any bytes.
        begin: Where in it the first line begins.
        max_rows: How many to read; the last one without its LF is not read at all.
        width: How many cells each line has, at least 1.

    Returns:
        Each number as in ``read_cells``; no rows where there is no whole line. None if anything else stands
        there: quotes, lines of another width, texts in a column that began with a number.

    Raises:
        RuntimeError: The kernels are not built.
        ValueError: It begins outside the text, or has no width.
    """
    found = _kernels.read_table(text, begin, max_rows, width)
    if found is None:
        return None
    kinds, n_rows, n_missing, end, cells, texts = found
    return ReadTable(kinds, n_missing, _ndarray((n_rows, width), _FLOAT64, cells), texts, end)
