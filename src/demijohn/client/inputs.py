"""What a caller gave for ``X``, in a form that each dialect can write.

Rules of this room:
1. A value stays what it is: no text becomes a number, no bool one, and the server alone decides what
   fits. What is not tidy enough for an array stays as it was given, so that the server can say where
   it is wrong.
2. What is missing is NaN among floats and None in an array of objects, however the caller's tables
   write it; an instant is a datetime64, or its text in ISO 8601.
3. What no dialect has a form for (complex numbers, durations, bytes that are no image) is refused here,
   with its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from demijohn.errors import Problem, SignatureMismatch
from demijohn.messages import Array
from demijohn.signature import Signature

_FORMS = frozenset({"instances", "inputs", "dataframe_split", "dataframe_records"})
_IMAGES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
_PLAIN = "fiub"
_FLOATS = frozenset({int, float})
_NESTED = (list, tuple, np.ndarray)
_EXPECTED = "numbers, texts, booleans or instants"


@dataclass(frozen=True, slots=True)
class Tensor:
    """All rows of a model's only input, ``(n_rows, ...)``; of kind f, i, u, b, M or O."""

    array: Array


@dataclass(frozen=True, slots=True)
class Table:
    """Each input or column by name, ``(n_rows, ...)``; of kind f, i, u, b, M or O."""

    columns: dict[str, Array]


@dataclass(frozen=True, slots=True)
class Document:
    """A body as JSON has it, or almost: arrays, missing values and instants may be anywhere in it."""

    body: Any


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One row, for a model of images."""

    file: bytes
    media_type: str


Given = Tensor | Table | Document | ImageFile


def read_inputs(X: Any, signature: Signature) -> Given:  # noqa: N803  - scikit-learn's name
    """Read what a caller gave.

    Args:
        X: An array, a DataFrame, a Series, a sparse matrix; rows, records or texts in a list; a dict
            of columns, or a whole body as JSON has it; the bytes of one image.
        signature: Of the method, for the order of columns that come without names.

    Raises:
        SignatureMismatch: no request can carry it.
    """
    if isinstance(X, (bytes, bytearray, memoryview)):
        return _read_image(bytes(X))
    if hasattr(X, "columns") and hasattr(X, "dtypes"):
        if not hasattr(X, "items"):
            raise _unfit(None, "a DataFrame of pandas, or a dict of columns", type(X).__name__)
        return _read_frame(X, signature)
    if hasattr(X, "toarray"):
        X = X.toarray()  # noqa: N806
    elif hasattr(X, "to_numpy"):
        X = as_column(X, None)  # noqa: N806
    if isinstance(X, np.ndarray):
        return _read_array(X, signature)
    if isinstance(X, Mapping):
        return _read_mapping(X)
    if isinstance(X, (list, tuple)):
        return _read_list(X, signature)
    raise _unfit(None, "an array, a DataFrame, rows, records or columns", type(X).__name__)


def _read_image(file: bytes) -> ImageFile:
    for start, media_type in _IMAGES.items():
        if file.startswith(start):
            return ImageFile(file, media_type)
    raise _unfit(None, "rows, or a PNG or JPEG image", f"{len(file)} bytes of another kind")


def _read_frame(frame: Any, signature: Signature) -> Tensor | Table:
    names = [str(name) for name in frame.columns]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise _unfit(twice, "each column once", "the column twice")
    dtypes = set(frame.dtypes)
    if len(dtypes) == 1 and getattr(dtypes.pop(), "kind", "?") in _PLAIN:
        block = np.asarray(frame.to_numpy())  # in a tenth of the time that its columns take one by one
        if signature.layout == "matrix":
            return Tensor(block)
        return Table({name: block[:, index] for index, name in enumerate(names)})
    columns = [column for _, column in frame.items()]  # by place: with pandas, names need not be texts
    return Table({name: as_column(column, name) for name, column in zip(names, columns, strict=True)})


def _read_mapping(given: Mapping[Any, Any]) -> Given:
    """Read columns by name; one of the four words of a request's JSON makes it a body."""
    if len(given.keys() & _FORMS) == 1 and given.keys() <= _FORMS | {"params"}:
        return Document(dict(given))
    for name, values in given.items():
        if isinstance(values, (str, bytes)) or not hasattr(values, "__len__"):
            raise _unfit(str(name), "a list of values", type(values).__name__)
    return Table({str(name): as_column(values, str(name)) for name, values in given.items()})


def _read_array(array: Array, signature: Signature) -> Given:
    if array.ndim == 0:
        raise _unfit(None, "an array whose axis 0 is the row", "one of no dimensions")
    names = signature.columns
    if names is None:
        return Tensor(_tidy(array, None))
    if array.ndim == 1 and len(names) == 1:
        return Table({names[0]: _tidy(array, names[0])})
    if array.ndim == 2 and array.shape[1] == len(names):
        return Table({name: _tidy(array[:, index], name) for index, name in enumerate(names)})
    return Document(_tidy(array, None))


def _read_list(given: Sequence[Any], signature: Signature) -> Given:
    kinds = set(map(type, given))
    if kinds == {dict}:
        return _read_records(given, signature)
    if kinds == {np.ndarray} and len({(row.shape, row.dtype) for row in given}) == 1:
        return _read_array(np.stack(given), signature)
    names = signature.columns
    if names is not None:
        return _read_rows(given, names, are_scalars=not any(isinstance(row, _NESTED) for row in given))
    if kinds == {str}:
        return Tensor(_objects(given))
    if kinds <= {list, tuple} and len(set(map(len, given))) == 1:
        cells = set(map(type, chain.from_iterable(given)))
        if cells and cells <= _FLOATS | {np.float64}:
            array = np.asarray(given)
            if array.dtype.kind in "if":
                return Tensor(array)
    return Document(given)


def _read_rows(rows: Sequence[Any], names: Sequence[str], *, are_scalars: bool) -> Given:
    if are_scalars and len(names) == 1 and rows:
        return Table({names[0]: as_column(rows, names[0])})
    if rows and all(isinstance(row, (list, tuple)) and len(row) == len(names) for row in rows):
        columns = zip(names, zip(*rows, strict=True), strict=True)
        return Table({name: as_column(cells, name) for name, cells in columns})
    return Document(rows)


def _read_records(records: Sequence[dict[str, Any]], signature: Signature) -> Given:
    names = records[0].keys()
    if signature.layout not in ("table", "tensors") or any(record.keys() != names for record in records):
        return Document(records)
    return Table({name: as_column([record[name] for record in records], name) for name in names})


# Cells --------------------------------------------------------------------------------------


def as_column(values: Any, name: str | None) -> Array:
    """Return the cells of one column as an array of one kind, if they are.

    Args:
        values: A list, an array, or a column of a DataFrame.
        name: For the error.

    Returns:
        An array of kind f, i, u, b or M; else of objects, what is missing as None.

    Raises:
        SignatureMismatch: no dialect has a form for it.
    """
    if isinstance(values, (list, tuple)):
        return _of_cells(values, name)
    if hasattr(values, "to_list") and not isinstance(values.dtype, np.dtype):
        return _of_cells(values.to_list(), name)  # as an array, an integer beside a missing one is a float
    return _tidy(np.asarray(values), name)


def _tidy(array: Array, name: str | None) -> Array:
    kind = array.dtype.kind
    if kind == "f" and array.dtype.itemsize > np.dtype(np.float64).itemsize:
        return array.astype(np.float64)
    if kind in _PLAIN or kind == "M":
        return array
    if kind not in "OU":
        raise _unfit(name, _EXPECTED, array.dtype.name)
    return _of_cells(array.ravel().tolist(), name).reshape(array.shape)


def _of_cells(cells: Sequence[Any], name: str | None) -> Array:
    """Return plain values as an array of one kind where they are of one, else of objects."""
    kinds = set(map(type, cells))
    if kinds in ({float}, _FLOATS):
        return _floats(cells)
    if not kinds <= {str, bool, int}:
        cells = [_plain(cell, name) for cell in cells]
        kinds = set(map(type, cells))
        if float in kinds and kinds <= {float, int, type(None)}:
            return _floats(cells)
    if kinds == {bool}:
        return np.array(cells, dtype=bool)
    if kinds == {int}:
        array = np.asarray(cells)
        if array.dtype.kind in "iu":
            return array
    nested = _stack(cells)
    return _objects(cells) if nested is None else _tidy(nested, name)


def _floats(cells: Sequence[Any]) -> Array:
    try:
        return np.array(cells, dtype=np.float64)  # None becomes NaN
    except OverflowError:  # an integer that no float holds
        return _objects(cells)


def _stack(cells: Sequence[Any]) -> Array | None:
    """Join rows that are arrays, all of one shape and dtype; None where they are not."""
    if not cells or not all(isinstance(cell, np.ndarray) for cell in cells):
        return None
    return np.stack(cells) if len({(cell.shape, cell.dtype) for cell in cells}) == 1 else None


def _plain(cell: Any, name: str | None) -> Any:
    """Return one cell as a plain value; a list, a dict or an array in it is for JSON to look into."""
    if isinstance(cell, np.generic):
        if cell.dtype.kind not in "fiubMU":
            raise _unfit(name, _EXPECTED, cell.dtype.name)
        cell = (None if np.isnat(cell) else str(cell)) if cell.dtype.kind == "M" else cell.item()
    if is_missing(cell):
        return None
    if hasattr(cell, "isoformat"):
        return cell.isoformat()
    if isinstance(cell, str):
        return str(cell)
    if isinstance(cell, (bool, int, float, list, tuple, dict, np.ndarray, bytes)):
        return cell
    raise _unfit(name, _EXPECTED, type(cell).__name__)


def is_missing(cell: Any) -> bool:
    """Say whether a cell is how a table in Python writes a missing value."""
    if isinstance(cell, float):
        return cell != cell
    # pandas' marks answer no comparison, so they are told by their names.
    return cell is None or type(cell).__name__ in ("NAType", "NaTType")


def _objects(cells: Sequence[Any]) -> Array:
    return np.fromiter(cells, dtype=object, count=len(cells))


def _unfit(column: str | None, expected: str, received: str) -> SignatureMismatch:
    problem = Problem(None, column, expected, received)
    return SignatureMismatch(str(problem), errors=[problem])
