"""Parquet files: columns in, columns out.

Rules of this room:
1. What the pages announce is added up before one is decompressed, and what Arrow's reader returns is
   validated before a value is looked at.
2. Where texts have a dictionary they are read as its codes: a text that stands in many rows is there once.

Source: https://parquet.apache.org/docs/file-format/
"""

from __future__ import annotations

from typing import Any

from demijohn.config import Settings
from demijohn.errors import DecodeError, NotAcceptable
from demijohn.messages import ArrayColumns, InferenceResponse
from demijohn.refusal_texts import first_line

from . import arrow_answers, arrow_columns, parquet_pages
from .parquet_pages import ColumnType
from .thrift_compact import Struct

MEDIA_TYPE = "application/vnd.apache.parquet"


def decode(body: bytes, settings: Settings) -> ArrayColumns:
    """Read a file; its row groups are the rows, one after another.

    Raises:
        DecodeError: it is broken, encrypted, or written in a way that is not read.
        BodyTooLarge: decompressed, it has more than ``max_body_bytes``, or more texts than ``max_elements``.
        SignatureMismatch: a column is of a type that no model takes.
    """
    footer = parquet_pages.read_footer(body, settings.max_body_bytes)
    import pyarrow as pa

    try:
        table = _read(body, footer, settings.max_body_bytes)
        batches = table.to_batches()
        columns = arrow_columns.read_batch(batches[0]) if len(batches) == 1 else None
        return arrow_columns.read_table(table, settings) if columns is None else columns
    except (pa.ArrowException, OSError, MemoryError, UnicodeDecodeError) as error:
        raise DecodeError(f"The body is no Parquet file, or a broken one: {first_line(error)}") from error


def _read(body: bytes, footer: Struct, max_bytes: int) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    source = pa.BufferReader(body)
    metadata = pq.read_metadata(source)
    columns = [metadata.schema.column(index) for index in range(metadata.num_columns)]
    types = [ColumnType(column.physical_type, column.length) for column in columns]
    coded = parquet_pages.check_sizes(body, footer, types, max_bytes)
    texts = [columns[index].path for index in coded if types[index].physical == "BYTE_ARRAY"]
    file = pq.ParquetFile(source, metadata=metadata, read_dictionary=texts, pre_buffer=False)
    table = file.read(use_threads=False)
    table.validate(full=True)
    return table


def encode(response: InferenceResponse) -> bytes:
    """Write an answer as a file.

    Raises:
        NotAcceptable: Parquet has no type for it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = pa.BufferOutputStream()
    try:
        pq.write_table(arrow_answers.table_of(response), out)
    except pa.ArrowException as error:
        raise NotAcceptable(f"Parquet cannot hold the answer: {first_line(error)}") from error
    body: bytes = out.getvalue().to_pybytes()
    return body
