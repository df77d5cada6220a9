"""Arrow IPC streams: columns in, columns out.

Rules of this room:
1. What a stream announces is added up before Arrow's reader sees it, and what the reader returns is
   validated before a value is looked at: offsets, codes and UTF-8 are a client's.
2. An answer says in the schema's metadata what JSON says beside the predictions.

Source: https://arrow.apache.org/docs/format/Columnar.html
"""

from __future__ import annotations

from typing import Any

from demijohn.config import Settings
from demijohn.errors import DecodeError
from demijohn.messages import ArrayColumns, InferenceResponse
from demijohn.refusal_texts import first_line

from . import arrow_answers, arrow_columns, arrow_messages

MEDIA_TYPE = "application/vnd.apache.arrow.stream"
_FILE_MAGIC = b"ARROW1"


def decode(body: bytes, settings: Settings) -> ArrayColumns:
    """Read a stream; its batches are the rows, one after another.

    Raises:
        DecodeError: it is broken.
        BodyTooLarge: decompressed, it has more than ``max_body_bytes``, or more texts than ``max_elements``.
        SignatureMismatch: a column is of a type that no model takes.
    """
    if body.startswith(_FILE_MAGIC):
        raise DecodeError("This is an Arrow file; send an Arrow stream (pyarrow.ipc.new_stream)")
    arrow_messages.check_sizes(body, settings.max_body_bytes)
    import pyarrow as pa

    try:
        reader = pa.ipc.open_stream(pa.py_buffer(body))
        batches = list(reader)
        for batch in batches:
            batch.validate(full=True)
        if len(batches) == 1 and (columns := arrow_columns.read_batch(batches[0])) is not None:
            return columns
        table = pa.Table.from_batches(batches, reader.schema)
        return arrow_columns.read_table(table, settings)
    except (pa.ArrowException, OSError, MemoryError, UnicodeDecodeError) as error:
        raise DecodeError(f"The body is no Arrow stream, or a broken one: {first_line(error)}") from error


def encode(response: InferenceResponse) -> bytes:
    """Write an answer as a stream of one batch.

    Raises:
        NotAcceptable: Arrow has no type for it.
    """
    import pyarrow as pa

    table: Any = arrow_answers.table_of(response)
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    body: bytes = out.getvalue().to_pybytes()
    return body
