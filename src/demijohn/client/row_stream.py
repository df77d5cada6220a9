"""Rows that are more than memory holds: sent while they are read, answered while they are sent.

Rules of this room:
1. Rows go as CSV, JSON lines or an Arrow stream, as the file has them, and the predictions come as JSON
   lines: what is in memory is one piece of either.
2. An error behind the first predictions is the last line, ``{"error": problem}``, and is raised there.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson

from demijohn.errors import ConfigurationError, UnusableAnswer
from demijohn.messages import Tensors

from .arrow_dialect import ARROW
from .calls import Call
from .connection import Connection
from .events import blocks_of
from .json_dialect import read_predictions, write_document
from .problems import PROBLEM, read_document

LINES = "application/x-ndjson"
_MEDIA_TYPES = {".arrows": ARROW, ".csv": "text/csv", ".jsonl": LINES, ".ndjson": LINES}
_GZIP = ".gz"
_PIECE_BYTES = 2**16

Source = str | Path | Iterable[bytes] | Iterable[Any]


def stream_rows(
    connection: Connection, call: Call, source: Source, media_type: str | None
) -> Iterator[Tensors]:
    """Send rows, and yield the outputs of as many at a time as come together.

    Args:
        connection: To the server.
        call: Whom to ask; what is given in it is not looked at.
        source: A file's path; or pieces of such a file, as bytes; or rows or records, one by one.
        media_type: Of the file or of the pieces; None: as the path's suffix says.

    Raises:
        DemijohnError: the server's, also in the place of predictions; or the answer broke off.
        ConfigurationError: it is not known what the bytes are.
    """
    headers = {"Accept": f"{LINES}, {PROBLEM};q=0.1"}
    if isinstance(source, (str, Path)):
        path = Path(source)
        suffixes = path.suffixes
        if suffixes[-1:] == [_GZIP]:
            headers["Content-Encoding"] = "gzip"
            suffixes.pop()
        media_type = media_type or _MEDIA_TYPES.get("".join(suffixes[-1:]).lower())
        body: Generator[bytes] = _pieces_of(path)
    else:
        body, media_type = _body_of(iter(source), media_type)
    if media_type is None:
        raise ConfigurationError(
            f"media_type must say what the bytes are: one of {set(_MEDIA_TYPES.values())}"
        )
    headers["Content-Type"] = media_type
    with closing(body), connection.exchange(f"{call.place.path}/{call.method}", body, headers) as pieces:
        for lines in blocks_of(pieces, connection.max_answer_bytes):
            yield from _outputs(lines, call)


def _pieces_of(path: Path) -> Generator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


def _body_of(source: Iterator[Any], media_type: str | None) -> tuple[Generator[bytes], str | None]:
    """Return a body, and what it is: pieces of bytes as they are, anything else as JSON lines."""
    first = next(source, None)
    if isinstance(first, bytes):
        return _after(first, source), media_type
    return _lines_of(_after(first, source) if first is not None else source), LINES


def _after(first: Any, rest: Iterator[Any]) -> Generator[Any]:
    yield first
    yield from rest


def _lines_of(rows: Iterable[Any]) -> Generator[bytes]:
    """Write rows or records as JSON lines, some at a time."""
    lines: list[bytes] = []
    n_bytes = 0
    for row in rows:
        lines.append(write_document(row) + b"\n")
        n_bytes += len(lines[-1])
        if n_bytes >= _PIECE_BYTES:
            yield b"".join(lines)
            lines, n_bytes = [], 0
    yield b"".join(lines)


def _outputs(lines: list[bytes], call: Call) -> Iterator[Tensors]:
    try:
        predictions = orjson.loads(b"[" + b",".join(line for line in lines if line) + b"]")
    except orjson.JSONDecodeError as error:
        raise UnusableAnswer(f"What came are no JSON lines: {error}") from error
    problem = _problem_in(predictions[-1:])
    if problem is not None:
        predictions.pop()
    if predictions:
        yield read_predictions(predictions, call)
    if problem is not None:
        raise problem


def _problem_in(last: list[Any]) -> Exception | None:
    """Return the error that the last line tells of, if it tells of one."""
    if not last or not isinstance(last[0], dict) or last[0].keys() != {"error"}:
        return None
    return read_document(orjson.dumps(last[0]["error"]))
