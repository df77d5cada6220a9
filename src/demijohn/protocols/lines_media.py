"""JSON lines: a row per line in, a prediction per line out.

Rules of this room:
1. A line is a row, a record or, for a model of one value per row, the value: one JSON document of the same
   strictness as a whole body. An empty line is none.

Sources: https://github.com/ndjson/ndjson-spec, https://jsonlines.org
"""

from __future__ import annotations

from typing import Any

from demijohn import kernels
from demijohn.config import Settings
from demijohn.errors import DecodeError, ModelError
from demijohn.messages import Inputs, Matrix, Rows, Tensors

from . import image_media, json_forms, json_media

MEDIA_TYPES = ("application/x-ndjson", "application/jsonl")


def decode(body: bytes, settings: Settings) -> Inputs:
    """Read rows or records, one per line; lines of numbers and nothing else become an array at once.

    Raises:
        DecodeError: a line is no JSON; says which.
        BodyTooLarge: there are more than ``max_elements`` values.
    """
    lines = [line for line in map(bytes.strip, body.split(b"\n")) if line]
    numbers = _read_matrix(lines, settings)
    if numbers is not None:
        return Matrix(numbers, lambda: Rows(_read(lines, settings)))
    return json_forms.rows_or_records(_read(lines, settings), image_media.Images(settings.max_pixels))


def _read_matrix(lines: list[bytes], settings: Settings) -> Any:
    """Read lines of numbers alone, each one list; None where they are not that."""
    joined = b",".join(lines)
    # Each begins with one bracket and ends with the other: with no more of them, it is one list.
    is_list_each = all(line[0] == ord("[") and line[-1] == ord("]") for line in lines)
    if not (is_list_each and joined.count(b"[") == joined.count(b"]") == len(lines)) or not kernels.IS_BUILT:
        return None
    return kernels.read_matrix(b"[" + joined + b"]", settings.max_elements)


def _read(lines: list[bytes], settings: Settings) -> list[Any]:
    json_media.check_count(b",".join(lines), settings)
    documents = []
    for number, line in enumerate(lines, 1):
        try:
            documents.append(json_media.parse(line, settings))
        except DecodeError as error:
            raise DecodeError(f"Line {number}: {error.detail}") from error
    return documents


def encode(outputs: Tensors, method: str) -> bytes:
    """Write one line per row: what an entry of ``predictions`` is in JSON.

    Raises:
        ModelError: JSON has no form for it.
    """
    written = {name: json_media.writable(array) for name, array in outputs.items()}
    rows = written[method] if list(written) == [method] else json_forms.records_of(written)
    try:
        return b"".join(json_media.dump(row) + b"\n" for row in rows)
    except TypeError as error:
        raise ModelError(f"The model's answer cannot be written as JSON: {error}") from error
