"""Arrow IPC, streams and files: columns in, columns out.

Rules of this room:
1. What a stream announces is added up before Arrow's reader sees it, and what the reader returns is
   validated before a value is looked at: offsets, codes and UTF-8 are a client's. A batch of numbers, or
   of numbers and texts, is read by the kernels, where there are any, which are as strict.
2. A file is read as the stream that it has inside; its footer, which says where what is, is not looked at.
3. An answer says in the schema's metadata what JSON says beside the predictions.

Source: https://arrow.apache.org/docs/format/Columnar.html
"""

from __future__ import annotations

from typing import Any

from demijohn.config import Settings
from demijohn.errors import DecodeError
from demijohn.messages import ArrayColumns, InferenceResponse, RecordCells
from demijohn.refusal_texts import first_line

from . import arrow_answers, arrow_columns, arrow_messages

STREAM = "application/vnd.apache.arrow.stream"
FILE = "application/vnd.apache.arrow.file"
MEDIA_TYPES = (STREAM, FILE)

_MAGIC = b"ARROW1"
_HEAD_BYTES = 8
_TAIL_BYTES = 4 + len(_MAGIC)


def decode(body: bytes, media_type: str, settings: Settings) -> ArrayColumns | RecordCells:
    """Read a stream or a file; its batches are the rows, one after another.

    Raises:
        DecodeError: it is broken.
        BodyTooLarge: decompressed, it has more than ``max_body_bytes``, or more texts than ``max_elements``.
        SignatureMismatch: a column is of a type that no model takes.
    """
    if media_type == FILE:
        body = _stream_in(body)
    else:
        check_kind(body)
    columns = arrow_columns.find_numbers(body, settings)
    if columns is not None:
        return columns
    cells = arrow_columns.read_cells(body, settings, lambda: _read(body, settings))
    return _read(body, settings) if cells is None else cells


def _read(body: bytes, settings: Settings) -> ArrayColumns:
    """Read a stream by Arrow; see ``decode``."""
    arrow_messages.check_sizes(body, settings.max_body_bytes)
    import pyarrow as pa

    try:
        reader = pa.ipc.open_stream(pa.py_buffer(body))
        return read_batches(list(reader), reader.schema, settings)
    except (pa.ArrowException, OSError, MemoryError, UnicodeDecodeError) as error:
        raise broken(error) from error


def check_kind(beginning: bytes | bytearray) -> None:
    """Refuse a file where a stream should be.

    Raises:
        DecodeError: it is one.
    """
    if beginning.startswith(_MAGIC):
        raise DecodeError(f"This is an Arrow file: send it as {FILE}")


def read_batches(batches: list[Any], schema: Any, settings: Settings) -> ArrayColumns:
    """Read batches, one after another, as one; they are validated first.

    Raises:
        RequestError: as ``decode``.
        pyarrow.ArrowException: they are not valid.
    """
    import pyarrow as pa

    for batch in batches:
        batch.validate(full=True)
    if len(batches) == 1 and (columns := arrow_columns.read_batch(batches[0])) is not None:
        return columns
    return arrow_columns.read_table(pa.Table.from_batches(batches, schema), settings)


def broken(error: Exception) -> DecodeError:
    """Return what a client is told of an error of Arrow's."""
    return DecodeError(f"The body is no Arrow stream, or a broken one: {first_line(error)}")


def _stream_in(body: bytes) -> bytes:
    """Return the stream that is in a file.

    "<magic number "ARROW1"> <empty padding bytes [to 8 byte boundary]> <STREAMING FORMAT with EOS> <FOOTER>
    <FOOTER SIZE: int32> <magic number "ARROW1">".
    """
    tail = body[-_TAIL_BYTES:]
    end = len(body) - _TAIL_BYTES - int.from_bytes(tail[:4], "little")
    if not (body.startswith(_MAGIC) and tail.endswith(_MAGIC)) or end < _HEAD_BYTES:
        raise DecodeError("The body is no Arrow file")
    return body[_HEAD_BYTES:end]


def encode(response: InferenceResponse, media_type: str) -> bytes:
    """Write an answer as a stream or a file of one batch.

    Raises:
        NotAcceptable: Arrow has no type for it.
    """
    if media_type == STREAM:
        numbers = arrow_answers.write_numbers(response)
        return arrow_answers.write_stream(arrow_answers.table_of(response)) if numbers is None else numbers
    import pyarrow as pa

    table: Any = arrow_answers.table_of(response)
    out = pa.BufferOutputStream()
    with pa.ipc.new_file(out, table.schema) as writer:
        writer.write_table(table)
    body: bytes = out.getvalue().to_pybytes()
    return body
