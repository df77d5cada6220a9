"""JSON lines: a row per line in, a prediction per line out.

Rules of this room:
1. A line is a row, a record or, for a model of one value per row, the value: one JSON document of the same
   strictness as a whole body. An empty line is none.
2. The values of a whole body are counted together, as those of other JSON; of one that is scored while it
   comes, each line is held to that limit alone.
3. An error says which row it means, and a line is what would stand for its row in ``predictions``.

Sources: https://github.com/ndjson/ndjson-spec, https://jsonlines.org
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import numpy as np
import orjson

from demijohn import kernels
from demijohn.config import Settings
from demijohn.errors import ModelError, Problem, RequestError
from demijohn.messages import (
    ImageReader,
    Inputs,
    Matrix,
    RecordCells,
    Records,
    Rows,
    Tensors,
    WrittenInputs,
)

from . import image_media, json_forms, json_frames, json_media, json_records
from .pieces import Bounds, counted, rows_in, too_long

MEDIA_TYPES = ("application/x-ndjson", "application/jsonl")


# In -------------------------------------------------------------------------------------------


def decode(body: bytes, settings: Settings) -> Inputs:
    """Read rows or records, one per line; those of numbers become an array at once, plain records columns.

    Raises:
        DecodeError: a line is no JSON; says which.
        BodyTooLarge: there are more than ``max_elements`` values.
    """
    records = _records(body, settings.max_elements, settings)
    if records is not None:
        return records
    lines = _lines(body)
    if len(body) >= settings.max_elements and body.count(b",") + len(lines) > settings.max_elements:
        json_media.check_count(b",".join(lines), settings)
    return _rows(lines, settings, image_media.Images(settings.max_pixels))


def decode_stream(read: Callable[[], bytes], bounds: Bounds, settings: Settings) -> Iterator[Inputs]:
    """Read a body that is still coming; yields one piece or more, the only one without rows perhaps.

    Args:
        read: Returns what comes next, as soon as anything does; nothing at the end.
        bounds: How much is read at a time.
        settings: For the limits, of each line.

    Raises:
        RequestError: as ``decode``; also, a line is too long.
    """
    return counted(_pieces(read, bounds, settings))


def _pieces(read: Callable[[], bytes], bounds: Bounds, settings: Settings) -> Iterator[Inputs]:
    has_rows = False
    for lines in _blocks(read, bounds):
        for start in range(0, len(lines), bounds.piece_rows):
            has_rows = True
            # Of each piece the images are counted anew, as of a request.
            images = image_media.Images(settings.max_pixels)
            yield _piece(lines[start : start + bounds.piece_rows], settings, images)
    if not has_rows:
        yield Rows([])


def _blocks(read: Callable[[], bytes], bounds: Bounds) -> Iterator[list[bytes]]:
    """Yield the lines that are whole by now, whenever there are any."""
    pieces: list[bytes] = []
    length = 0
    is_first = True
    while piece := read():
        end = piece.rfind(b"\n") + 1
        if is_first and length + len(piece) <= bounds.first_bytes:
            end = 0
        if end:
            is_first = False
            yield _lines(b"".join([*pieces, piece[:end]]))
            pieces, length = [], 0
        pieces.append(piece[end:])
        length += len(piece) - end
        if length > max(bounds.row_bytes, bounds.first_bytes):
            raise too_long(bounds)
    yield _lines(b"".join(pieces))


def _lines(text: bytes) -> list[bytes]:
    return [line for line in map(bytes.strip, text.split(b"\n")) if line]


def _records(text: bytes, max_cells: int, settings: Settings) -> Inputs | None:
    """Read lines of plain records; None where they are not that."""
    if not text.startswith(b"{"):
        return None

    def again() -> WrittenInputs:
        return _written_rows(_lines(text), settings, image_media.Images(settings.max_pixels))

    found = json_records.read(text, max_cells, again, is_lines=True)
    return None if found is None or _width(found) > settings.max_elements else found


def _width(found: Matrix | RecordCells) -> int:
    n_columns: int = (found.cells if isinstance(found, RecordCells) else found.numbers).shape[1]
    return n_columns


def _piece(lines: list[bytes], settings: Settings, images: ImageReader) -> Inputs:
    text = b"\n".join(lines)
    # Here each line has its limit, and a cell takes more than a byte.
    records = _records(text, len(text), settings)
    return _rows(lines, settings, images) if records is None else records


def _rows(lines: list[bytes], settings: Settings, images: ImageReader) -> Inputs:
    block = _block(lines, settings)
    return _written_rows(lines, settings, images) if block is None else block


def _block(lines: list[bytes], settings: Settings) -> Matrix | RecordCells | None:
    """Read lines of plain cells, each one list; None where they are not that."""
    joined = b",".join(lines)
    # Each begins with one bracket and ends with the other: with no more of them, it is one list, unless
    # some stand in a text; then there are fewer rows than lines.
    is_list_each = all(line[0] == ord("[") and line[-1] == ord("]") for line in lines)
    if not (is_list_each and joined.count(b"[") == joined.count(b"]") == len(lines)) or not kernels.IS_BUILT:
        return None

    def again() -> Rows:
        return Rows(_values(lines, settings))

    rows = b"[" + joined + b"]"
    numbers = kernels.read_matrix(rows, joined.count(b",") + 1)
    found = json_frames.read(rows, len(rows), again) if numbers is None else Matrix(numbers, again)
    is_ours = found is not None and rows_in(found) == len(lines) and _width(found) <= settings.max_elements
    return found if is_ours else None


def _written_rows(lines: list[bytes], settings: Settings, images: ImageReader) -> Rows | Records:
    return json_forms.rows_or_records(_values(lines, settings), images)


def _values(lines: list[bytes], settings: Settings) -> list[Any]:
    """Return what each line says.

    Raises:
        RequestError: one is not the JSON of ``json_media``, or over a limit.
    """
    try:
        values = list(map(orjson.loads, lines))
    except orjson.JSONDecodeError:
        return _values_one_by_one(lines, settings)
    return values if _are_flat(values, lines, settings) else _values_one_by_one(lines, settings)


def _are_flat(values: list[Any], lines: list[bytes], settings: Settings) -> bool:
    """Say whether all are small rows or records without lists in them, and no key stands twice in one."""
    if len({type(value) for value in values} & {list, dict}) != 1 or len(set(map(type, values))) != 1:
        return False
    is_record = type(values[0]) is dict
    cells = chain.from_iterable(map(dict.values, values) if is_record else values)
    if not {list, dict}.isdisjoint(map(type, cells)):
        return False
    sizes = list(map(len, values))
    # As many colons as there are keys, or more; see ``json_media``.
    has_keys_once = not is_record or sum(line.count(b":") for line in lines) == sum(sizes)
    return has_keys_once and max(sizes) <= settings.max_elements and settings.max_depth >= 1


def _values_one_by_one(lines: list[bytes], settings: Settings) -> list[Any]:
    values = []
    for row, line in enumerate(lines):
        try:
            values.append(json_media.parse(line, settings))
        except RequestError as error:
            problem = Problem(row, None, "a line of JSON within the limits", "another")
            raise type(error)(f"row {row}: {error.detail}", errors=[problem]) from error
    return values


# Out ------------------------------------------------------------------------------------------


def encode(outputs: Tensors, method: str) -> bytes:
    """Write one line per row: what an entry of ``predictions`` is in JSON.

    Raises:
        ModelError: JSON has no form for it.
    """
    written = {name: json_media.writable(array) for name, array in outputs.items()}
    try:
        return _write(written[method] if list(written) == [method] else json_forms.records_of(written))
    except TypeError as error:
        raise ModelError(f"The model's answer cannot be written as JSON: {error}") from error


def _write(rows: Any) -> bytes:
    if not len(rows):
        return b""
    if isinstance(rows, np.ndarray) and rows.ndim == 1:
        return json_media.dump(rows)[1:-1].replace(b",", b"\n") + b"\n"
    if isinstance(rows, np.ndarray) and rows.ndim == 2 and rows.shape[1]:
        return json_media.dump(rows)[1:-1].replace(b"],[", b"]\n[") + b"\n"
    return b"".join([json_media.dump(row) + b"\n" for row in rows])


def encode_error(problem: bytes) -> bytes:
    """Write the last line of an answer that an error ended."""
    return b'{"error":%b}\n' % problem
