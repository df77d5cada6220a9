"""CSV bodies (RFC 4180): text cells in, one column per output out.

Rules of this room:
1. The first row is the header, unless the media type says ``header=absent``.
2. Cells stay text; the signature's dtypes read them. Only an empty cell is missing.
3. A text cell that a spreadsheet would take for a formula is written behind an apostrophe.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from demijohn.errors import DecodeError
from demijohn.messages import Array, Rows, Tensors, plain

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def decode(body: bytes, *, has_header: bool) -> Rows:
    """Read rows of text cells.

    Raises:
        DecodeError: the body is not UTF-8, or its quotes do not match.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DecodeError("The CSV body is not UTF-8") from error
    rows = list(read_rows(io.StringIO(text, newline="")))
    if not rows:
        raise DecodeError("The CSV body is empty")
    return Rows(rows[1:], columns=rows[0], is_text=True) if has_header else Rows(rows, is_text=True)


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
    columns: list[tuple[str, list[Any]]] = []
    for name, array in outputs.items():
        columns += _columns_of(name, array)
    return write_rows([name for name, _ in columns], zip(*(values for _, values in columns), strict=True))


def _columns_of(name: str, array: Array) -> list[tuple[str, list[Any]]]:
    if array.ndim == 1:
        return [(name, plain(array))]
    flat = array.reshape(len(array), -1)
    return [(f"{name}_{index}", plain(flat[:, index])) for index in range(flat.shape[1])]


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
