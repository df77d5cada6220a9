"""Example and input files of the command line: every form that a body may have.

Rules of this room:
1. A CSV example says little of dtypes: a column of numbers is one of floats, so that "3" does not
   forbid 3.5; one of true and false is one of booleans; any other is text. Binary forms say more:
   an instant is one.
2. The same decoders as over HTTP read the files, so a file that works here works as a body.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .config import Settings
from .errors import LoadError, RequestError
from .messages import (
    Array,
    ArrayColumn,
    ArrayColumns,
    Columns,
    ImageBody,
    InferenceRequest,
    NamedTensors,
    RawTensor,
    Records,
    RowArray,
    Rows,
    as_written,
    plain,
)
from .protocols import csv_media, image_media, native

MOST_ROWS = 1000  #: Rows of an example that are looked at.

_TRUTHS = {"true": True, "false": False}
#: By extension; ``-o`` goes by it, too.
MEDIA_TYPES = {
    ".json": native.JSON,
    ".csv": native.CSV,
    ".parquet": native.PARQUET,
    ".arrow": native.ARROW_FILE,
    ".feather": native.ARROW_FILE,
    ".arrows": native.ARROW,
    ".npy": native.NPY,
    ".npz": native.NPZ,
    ".jsonl": native.LINES[1],
    ".ndjson": native.LINES[0],
    ".png": image_media.PNG,
    ".jpg": image_media.JPEG,
    ".jpeg": image_media.JPEG,
}
_ARROW_STREAM = b"\xff\xff\xff\xff"
_MAGIC = {
    b"PAR1": native.PARQUET,
    b"ARROW1": native.ARROW_FILE,
    _ARROW_STREAM: native.ARROW,
    b"\x93NUMPY": native.NPY,
    b"PK\x03\x04": native.NPZ,
}


def media_type_of(path: Path, start: bytes) -> str:
    """Tell a file's media type by its extension, else by how it begins.

    Args:
        path: "-" for standard input.
        start: The first bytes of the file.
    """
    known = MEDIA_TYPES.get(path.suffix.lower())
    if known == native.ARROW_FILE and start.startswith(_ARROW_STREAM):
        return native.ARROW  # many call a stream so
    return known or _media_type_by(start)


def _media_type_by(start: bytes) -> str:
    for magic, media_type in _MAGIC.items():
        if start.startswith(magic):
            return media_type
    return native.JSON if start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"[", b"{") else native.CSV


def read_example(path: Path, settings: Settings) -> Any:
    """Read example rows.

    Returns:
        Records where the file has column names, else rows; at most ``MOST_ROWS``.

    Raises:
        LoadError: the file cannot be read, or is no body of its media type.
    """
    content = _read(path)
    try:
        request = native.decode(content, media_type_of(path, content[:64]), settings)
        return rows_of(request)
    except (RequestError, LoadError) as error:
        raise LoadError(f"{path}: {error.detail}", errors=error.errors) from error


def why_unreadable(path: Path, error: Exception) -> LoadError:
    """Return the error that says why a file cannot be opened or read."""
    reason = "there is no such file" if isinstance(error, FileNotFoundError) else None
    return LoadError(f"{path}: {reason or (getattr(error, 'strerror', None) or str(error)).lower()}")


def rows_of(request: InferenceRequest, limit: int = MOST_ROWS) -> Any:
    """Return the first rows of a decoded request as plain records or lists.

    Raises:
        LoadError: the rows have not as many cells as there are columns, or are no rows but an image.
    """
    inputs = as_written(request.inputs)
    if isinstance(inputs, ImageBody):
        raise LoadError("an image says too little of a model's inputs; give an example as JSON or in Python")
    if isinstance(inputs, Records):
        return inputs.records[:limit]
    if isinstance(inputs, ArrayColumns):
        cells = [_cells(column, limit) for column in inputs.each()]
        return _records(inputs.names, zip(*cells, strict=True), limit)
    if isinstance(inputs, RowArray):
        return _typed_values(inputs.array[:limit])
    if isinstance(inputs, NamedTensors):
        return _records(
            list(inputs.tensors), zip(*map(_typed_values, inputs.tensors.values()), strict=False), limit
        )
    if isinstance(inputs, Columns):
        return _records(list(inputs.columns), zip(*inputs.columns.values(), strict=False), limit)
    if isinstance(inputs, RawTensor):
        raise LoadError("Bytes alone do not say what rows they are")
    return _plain_rows(inputs, limit)


def _cells(column: ArrayColumn, limit: int) -> list[Any]:
    """Return the first cells of a column, what is missing as None."""
    values = column.values if column.codes is None else column.values[column.codes[:limit]]
    cells = _typed_values(values[:limit])
    if column.missing is None:
        return cells
    return [
        None if is_missing else cell for cell, is_missing in zip(cells, column.missing.tolist(), strict=False)
    ]


def _typed_values(array: Array) -> list[Any]:
    """Return an array as nested lists, in which an instant is one and no text that looks like one."""
    if array.dtype.kind != "M":
        return plain(array)
    values: list[Any] = array.astype("datetime64[us]").tolist()
    return values


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise why_unreadable(path, error) from error


def _plain_rows(inputs: Rows, limit: int) -> Any:
    rows = inputs.rows[:limit]
    if inputs.columns is not None:
        for index, row in enumerate(rows):
            if not isinstance(row, list) or len(row) != len(inputs.columns):
                raise LoadError(f"row {index} has not {len(inputs.columns)} cells, as the header has")
    if inputs.is_text:
        rows = [list(row) for row in zip(*map(_typed, zip(*rows, strict=True)), strict=True)]
    return rows if inputs.columns is None else _records(inputs.columns, rows, limit)


def _records(names: Sequence[str], rows: Any, limit: int) -> list[dict[str, Any]]:
    return [dict(zip(names, row, strict=True)) for row, _ in zip(rows, range(limit), strict=False)]


def _typed(cells: Sequence[str]) -> list[Any]:
    """Read one column: an empty cell is missing, the others are numbers, truths or texts."""
    filled = [cell for cell in cells if cell]
    if all(cell.lower() in _TRUTHS for cell in filled):
        return [_TRUTHS[cell.lower()] if cell else None for cell in cells]
    if all(map(csv_media.is_number, filled)):
        return [float(cell) if cell else None for cell in cells]
    return [cell or None for cell in cells]
