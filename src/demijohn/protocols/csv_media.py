"""CSV bodies (RFC 4180): text cells in, one column per output out.

Rules of this room:
1. The first row is the header, unless the media type says ``header=absent``; a row of numbers in
   its place is refused, not dropped.
2. Cells stay text; the signature's dtypes read them. Only an empty cell is missing.
3. A text cell that a spreadsheet would take for a formula is written behind an apostrophe.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from demijohn.errors import DecodeError, SignatureMismatch
from demijohn.messages import Array, Rows, Tensors, plain

from . import json_media
from .csv_lines import CsvLines, CsvPiece
from .output_columns import columns_of
from .pieces import Bounds, counted

WAY_OUT = "if it is data, send 'text/csv; header=absent'"
LINE_END = b"\r\n"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def decode(body: bytes, *, has_header: bool, way_out: str = WAY_OUT) -> CsvPiece:
    """Read rows of text cells; columns of numbers, and of texts without quotes, become an array at once.

    Args:
        body: The whole of it.
        has_header: The first row is the header.
        way_out: Told to whoever sends data in its place.

    Raises:
        DecodeError: the body is not UTF-8, or its quotes do not match.
        SignatureMismatch: where the header should be is a row of data.
    """
    (rows,) = list(_pieces(CsvLines.of(body), has_header=has_header, way_out=way_out))
    return rows


def decode_stream(
    read: Callable[[], bytes], bounds: Bounds, *, has_header: bool, way_out: str = WAY_OUT
) -> Iterator[CsvPiece]:
    """Read a body that is still coming; yields one piece or more, the only one without rows perhaps.

    Args:
        read: Returns what comes next, as soon as anything does; nothing at the end.
        bounds: How much is read at a time.
        has_header: As in ``decode``.
        way_out: As in ``decode``.

    Raises:
        RequestError: as ``decode``; also, a row is too long.
    """
    return _pieces(CsvLines(read, bounds), has_header=has_header, way_out=way_out)


def _pieces(lines: CsvLines, *, has_header: bool, way_out: str) -> Iterator[CsvPiece]:
    header = lines.first_row() if has_header else None
    if header is not None and is_data(header):
        raise SignatureMismatch(f"The first row is all numbers; {way_out}")
    pieces = counted(lines.pieces(header))
    first = next(pieces, None)
    if first is None and header is None:
        raise DecodeError("The CSV body is empty")
    yield Rows([], columns=header, is_text=True) if first is None else first
    yield from pieces


def is_data(header: Sequence[str]) -> bool:
    """Say whether a first row is no header but a row of data, which would be lost.

    All its cells are numbers; but 0, 1, 2… is what pandas writes above columns that have no names.
    """
    return all(map(is_number, header)) and list(header) != [str(index) for index in range(len(header))]


def is_number(cell: str) -> bool:
    """Say whether a cell is a finite number."""
    try:
        return "_" not in cell and math.isfinite(float(cell))
    except ValueError:
        return False


def encode(outputs: Tensors) -> bytes:
    """Write one column per one-dimensional output, ``name_0``… for the columns of a matrix."""
    return encode_header(outputs) + encode_rows(outputs)


def encode_header(outputs: Tensors) -> bytes:
    """Write the names of the columns; see ``encode``."""
    return write_rows([[name for name, _ in columns_of(outputs)]])


def encode_rows(outputs: Tensors) -> bytes:
    """Write the rows alone; see ``encode``."""
    numbers = _numbers_of(outputs)
    if numbers is not None:
        return _write_numbers(numbers)
    return write_rows(zip(*(plain(column) for _, column in columns_of(outputs)), strict=True))


def count_columns(outputs: Tensors) -> int:
    """Return how many columns there are; see ``encode``."""
    return len(columns_of(outputs))


def _flat(array: Array) -> Array:
    return array.reshape(len(array), math.prod(array.shape[1:]))


def _numbers_of(outputs: Tensors) -> Array | None:
    """Return ``(n_rows, n_columns)`` numbers or truths; None where there is anything else."""
    arrays = [_flat(array) for array in outputs.values()]
    if len({array.dtype for array in arrays}) != 1 or arrays[0].dtype.kind not in "fiub":
        return None
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=1)


def _write_numbers(numbers: Array) -> bytes:
    if not numbers.size:
        return LINE_END * len(numbers)
    is_single = numbers.shape[1] == 1
    written = json_media.dump(json_media.writable(numbers.ravel() if is_single else numbers))
    # In both the shortest decimal that means the number, and true for a truth.
    lines = written[1:-1].replace(b",", LINE_END) if is_single else written[2:-2].replace(b"],[", LINE_END)
    if numbers.dtype.kind == "f":
        lines = lines.replace(b"null", b'""' if is_single else b"")  # an empty line would be no row
    return lines + LINE_END


def write_rows(rows: Iterable[Sequence[Any]]) -> bytes:
    """Write rows of Python values."""
    out = io.StringIO(newline="")
    csv.writer(out).writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return value if math.isfinite(value) else ""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return value
