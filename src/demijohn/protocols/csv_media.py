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
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from demijohn.errors import DecodeError, SignatureMismatch
from demijohn.messages import Rows, Tensors, plain

from .output_columns import columns_of

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def decode(
    body: bytes, *, has_header: bool, way_out: str = "if it is data, send 'text/csv; header=absent'"
) -> Rows:
    """Read rows of text cells.

    Args:
        body: The whole of it.
        has_header: The first row is the header.
        way_out: Told to whoever sends data in its place.

    Raises:
        DecodeError: the body is not UTF-8, or its quotes do not match.
        SignatureMismatch: where the header should be is a row of data.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DecodeError("The CSV body is not UTF-8") from error
    rows = list(read_rows(io.StringIO(text, newline="")))
    if not rows:
        raise DecodeError("The CSV body is empty")
    if not has_header:
        return Rows(rows, is_text=True)
    if is_data(rows[0]):
        raise SignatureMismatch(f"The first row is all numbers; {way_out}")
    return Rows(rows[1:], columns=rows[0], is_text=True)


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


def read_rows(lines: Iterable[str]) -> Iterator[list[str]]:
    """Read rows of text cells one by one, the header included.

    Args:
        lines: As a text file gives them that was opened with ``newline=""``.

    Raises:
        DecodeError: the quotes do not match.
    """
    try:
        for row in csv.reader(lines, strict=True):
            if row:
                yield row
    except csv.Error as error:
        raise DecodeError(f"The body is not valid CSV: {error}") from error


def encode(outputs: Tensors) -> bytes:
    """Write one column per one-dimensional output, ``name_0``… for the columns of a matrix."""
    columns = columns_of(outputs)
    cells = [plain(values) for _, values in columns]
    return write_rows([name for name, _ in columns], zip(*cells, strict=True))


def write_rows(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """Write a header and rows of Python values."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([_cell(name) for name in header])
    writer.writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return value if math.isfinite(value) else ""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return value
