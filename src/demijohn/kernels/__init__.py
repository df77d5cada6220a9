"""Kernels in C: running trees, networks, linear models and neighbours, reading bodies in one pass, sums.

Rules of this room:
1. Demijohn works without them. Where they could not be built when it was installed, ``IS_BUILT`` is false,
   ``WHY_NOT`` says so, and whoever would use them takes another way; calling them is then a RuntimeError.
2. They answer what they are sure of, to the last bit, and say of the rest that it is not theirs.
3. They check what they are given: whatever stands in arrays, nothing outside them is read or written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from demijohn.kernels import absent

if TYPE_CHECKING:
    from demijohn.kernels import _kernels
else:
    try:
        import demijohn.kernels._kernels as _kernels  # noqa: PLR0402 - this one names what is missing
    except ModuleNotFoundError as error:
        if error.name != "demijohn.kernels._kernels":
            raise
        _kernels = absent

__all__ = [
    "IS_BUILT",
    "WHY_NOT",
    "Cells",
    "Forest",
    "Linear",
    "Neighbors",
    "Network",
    "ReadRecords",
    "ReadTable",
    "Tally",
    "add_to",
    "are_between",
    "find_codes",
    "find_numbers",
    "join_columns",
    "read_cells",
    "read_columns",
    "read_matrix",
    "read_records",
    "read_table",
    "read_tensor",
    "round_to_float32",
    "turn_columns",
]

IS_BUILT: bool = _kernels is not absent
WHY_NOT: str = "" if IS_BUILT else absent.WHY_NOT  #: One line for the operator.

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Bits = npt.NDArray[np.uint32]

_FLOAT64 = np.dtype(np.float64)
_ndarray = np.ndarray
_read_matrix = _kernels.read_matrix
#: ``Linear(weights, bias, minus, divide, largest)`` is a linear model in float64, of weights (n_features,
#: n_outputs), bias (n_outputs,), and what is taken from a row and what it is then divided by, (n_features,)
#: or None. Of X (n_rows, n_features) ``scores(X, out)`` fills ``out`` with ``(X - minus) / divide @ weights
#: + bias``, within 5e-10 of what any order of the sums gives, relative to each score; ``probabilities(X,
#: out)`` fills ``out`` with the softmax of scores that are within 1e-10 as such (of one output: what its
#: logistic function leaves of 1, and that); ``winners(X, out)`` says which score is the largest (of one
#: output: whether it is positive), in whatever order. They return 0; else some row is not sure to be so, or
#: has a value that is NaN, infinite or, with its weight, beyond ``largest``, or X is not float64 in C order
#: or has no row, and what stands in ``out`` means nothing. ``winner(X)`` returns that of a single row, or
#: -1. Any number of threads may call them at once.
Linear = _kernels.Linear
#: ``Network(n_features, largest, steps)`` is a neural network in float32: ``run(X, out)`` takes X (n_rows,
#: n_features) float32 in C order and fills ``out`` (n_rows, n_outputs). It returns 0; else some value is NaN
#: or beyond ``largest``, or an answer is not finite, and what stands in ``out`` means nothing. A step begins
#: with its kind (see ``_network.h``): (0, weights, bias), (1, minus, times, plus), or (kind, alpha).
#: Any number of threads may run it at once.
Network = _kernels.Network
#: ``Neighbors(points, targets, n_neighbors, n_classes, is_squared, is_weighted, tree)`` says what the points
#: nearest to a row say: see the stub. Any number of threads may run it at once.
Neighbors = _kernels.Neighbors
#: ``add_to(values, place, amount, place, amount, ...)`` does ``values[place] += amount`` for up to 16 pairs,
#: one caller at a time; ``values`` is a memoryview of float64. Without the kernels it does so, but slower.
add_to = _kernels.add_to
#: ``Tally(values, seconds, sizes, places)`` adds what is counted of one answer: see the stub.
#: Without the kernels it does so, but slower.
Tally = _kernels.Tally
#: ``read_tensor(body, max_elements)`` reads a JSON body in which "data" stands as a key once, before a
#: list of numbers, or of lists, all of one shape, down to numbers. It returns (rest, id, shape,
#: are_whole, numbers): the body with ``[]`` in their place, at most 1,024 bytes; the string that "id"
#: has, "" standing in its place there, or None where it has none; the shape of the lists; whether each
#: number is written as an integer that float64 holds, and all around it; and a bytearray of float64. The
#: body is JSON exactly if the rest is; all else it says. None if the body is anything else, be it fine or
#: broken: the general reader answers it.
read_tensor = _kernels.read_tensor
#: ``round_to_float32(numbers)`` rounds each float64 of a bytearray to the nearest float32, in its place.
#: It returns whether all of them are finite then.
round_to_float32 = _kernels.round_to_float32
#: ``are_between(numbers, least, largest)`` says whether each float64 of a bytearray is neither less nor
#: larger.
are_between = _kernels.are_between


class Forest(_kernels.Forest):
    """A tree ensemble that runs: the arrays are copied, checked and put in order once.

    ``add_up(X, out)`` and ``leaves(X, out)`` take X (n_rows, n_features) float64 in C order and fill ``out``:
    the sums, (n_rows, n_outputs) float64, or the leaves' numbers in the arrays given here, (n_rows, n_trees)
    int32. They return 0; else some value is not theirs to answer (NaN where none is allowed, infinity, what
    float32 or a category does not hold), and what stands in ``out`` means nothing.
    Any number of threads may call them at once.

    ``packed()`` gives the whole as bytes, for ``from_packed`` of this version on this kind of machine:
    several processes can share one memory map of it (which nobody may change meanwhile). ``from_packed``
    believes nothing in it, and raises ValueError.
    """

    __slots__ = ("__weakref__",)

    def __new__(  # noqa: PLR0913 - one per array of an ensemble
        cls,
        *,
        n_features: int,
        roots: Ints,
        column: Ints,
        feature: Ints,
        threshold: Floats,
        left: Ints,
        right: Ints,
        missing_left: npt.NDArray[np.bool_],
        leaf: Ints,
        values: Floats,
        start: Floats,
        casts_to_float32: bool,
        allows_missing: bool,
        categorical: Ints | None = None,
        left_categories: Bits | None = None,
        known_categories: Bits | None = None,
        sums_in_float32: bool = False,
    ) -> Self:
        """Make a forest of the arrays of ``acceleration.trees.ensemble.Ensemble``, whose fields these are.

        Raises:
            ValueError: An index leads nowhere, a node stands in two places, a threshold is NaN, lengths
                contradict each other, or there is more than the kernel can number.
            RuntimeError: The kernels are not built.
        """
        return super().__new__(
            cls,
            n_features=n_features,
            roots=np.ascontiguousarray(roots, np.int32),
            column=np.ascontiguousarray(column, np.int32),
            feature=np.ascontiguousarray(feature, np.int32),
            threshold=np.ascontiguousarray(threshold, np.float64),
            left=np.ascontiguousarray(left, np.int32),
            right=np.ascontiguousarray(right, np.int32),
            missing_left=np.ascontiguousarray(missing_left, np.bool_),
            leaf=np.ascontiguousarray(leaf, np.int32),
            values=np.ascontiguousarray(values, np.float64),
            start=np.ascontiguousarray(start, np.float64),
            casts_to_float32=casts_to_float32,
            allows_missing=allows_missing,
            categorical=None if categorical is None else np.ascontiguousarray(categorical, np.int32),
            left_categories=_bits(left_categories, categorical),
            known_categories=_bits(known_categories, categorical),
            sums_in_float32=sums_in_float32,
        )


def _bits(sets: Bits | None, categorical: Ints | None) -> Bits | None:
    return None if sets is None or categorical is None else np.ascontiguousarray(sets, np.uint32)


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


def turn_columns(columns: Floats) -> tuple[Floats, bool]:
    """Copy a matrix of which each column stands in one piece to one of which each row does.

    Args:
        columns: (n_rows, n_columns) float64, aligned.

    Returns:
        A fresh copy in C order, and whether one of its numbers is NaN.

    Raises:
        RuntimeError: The kernels are not built.
        ValueError: It is no such matrix.
    """
    out = _ndarray(columns.shape, _FLOAT64)
    return out, _kernels.turn_columns(columns, out)


def join_columns(columns: tuple[Floats, ...]) -> Floats:
    """Put columns side by side.

    Args:
        columns: One or more, (n_rows,) float64, each in one piece.

    Returns:
        A fresh array (n_rows, n_columns).

    Raises:
        RuntimeError: The kernels are not built.
        ValueError: A column is none, or not of the length of the first.
    """
    out = _ndarray((len(columns[0]), len(columns)), _FLOAT64)
    _kernels.join_columns(columns, out)
    return out


def find_codes(cells: npt.NDArray[np.object_], codes: dict[Any, float], unknown: float) -> Floats | None:
    """Look up texts.

    Args:
        cells: (n_rows,) of texts and None.
        codes: Of those that are known.
        unknown: The code of any other.

    Returns:
        (n_rows,), writable. None if a cell is something else.

    Raises:
        RuntimeError: The kernels are not built.
        ValueError: It is no array of objects with one dimension.
    """
    found = _kernels.find_codes(cells, codes, unknown)
    return None if found is None else np.frombuffer(found, _FLOAT64)


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
    found = _kernels.read_records(body, max_cells, is_lines)
    if found is None:
        return None
    names, kinds, n_rows, n_missing, cells, texts = found
    if len(set(names)) != len(names):
        return None
    return ReadRecords(names, kinds, n_missing, _ndarray((n_rows, len(names)), _FLOAT64, cells), texts)


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
    found = _kernels.read_columns(body, max_bytes, max_texts)
    if found is None:
        return None
    names, kinds, n_rows, n_missing, cells, texts = found
    if len(set(names)) != len(names):
        return None
    return ReadRecords(names, kinds, n_missing, _ndarray((len(names), n_rows), _FLOAT64, cells).T, texts)


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
