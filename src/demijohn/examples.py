"""Example and input files of the command line: CSV with a header, or any JSON body form.

Rules of this room:
1. A CSV example says little of dtypes: every number is a float, so that "3" does not forbid 3.5.
2. The same decoders as over HTTP read the files, so a file that works here works as a body.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .config import Settings
from .errors import LoadError
from .messages import Columns, InferenceRequest, Records, Rows
from .protocols import native

_LOWER = {"true": True, "false": False}


def content_type_of(path: Path) -> str:
    """Tell a file's media type: JSON by its extension or first character, else CSV."""
    return native.JSON if path.suffix.lower() == ".json" else native.CSV


def read_file(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        LoadError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise LoadError(f"{path}: {(error.strerror or str(error)).lower()}") from error


def read_example(path: Path, settings: Settings) -> Any:
    """Read example rows.

    Returns:
        Records where the file has column names, else rows.

    Raises:
        LoadError: the file cannot be read.
        RequestError: it is no CSV or JSON body.
    """
    request = native.decode(read_file(path), content_type_of(path), settings)
    return rows_of(request)


def rows_of(request: InferenceRequest, limit: int = 5) -> Any:
    """Return the first rows of a decoded request as plain records or lists."""
    inputs = request.inputs
    if isinstance(inputs, Records):
        return inputs.records[:limit]
    if isinstance(inputs, Columns):
        names = list(inputs.columns)
        rows = zip(*(values[:limit] for values in inputs.columns.values()), strict=False)
        return [dict(zip(names, row, strict=True)) for row in rows]
    return _plain_rows(inputs, limit)


def _plain_rows(inputs: Rows, limit: int) -> Any:
    rows = inputs.rows[:limit]
    if inputs.is_text:
        rows = [[_cell(text) for text in row] for row in rows]
    if inputs.columns is None:
        return rows
    return [dict(zip(inputs.columns, row, strict=False)) for row in rows]


def _cell(text: str) -> Any:
    if text == "":
        return None
    if text.lower() in _LOWER:
        return _LOWER[text.lower()]
    try:
        return float(text)
    except ValueError:
        return text
