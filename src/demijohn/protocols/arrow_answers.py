"""Answers as Arrow tables, which Arrow streams and Parquet files are written from.

Rules of this room:
1. A value is what the model returned: a number of its own width, NaN where it is NaN; null where it is None.
2. Of a stream of numbers alone Arrow writes what stands before them once for each form of answer: the
   bytes are the same as if it wrote them all.
3. The metadata of the schema holds ``model``, ``version`` and, as JSON, ``classes``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from demijohn.errors import NotAcceptable
from demijohn.messages import Array, InferenceResponse

from . import json_media
from .output_columns import columns_of

if TYPE_CHECKING:
    import pyarrow as pa


_MOST_COLUMNS = 64
_END = b"\xff\xff\xff\xff\0\0\0\0"
_ALIGNMENT = 8


class _Form(NamedTuple):
    """What the bytes before an answer's numbers depend on."""

    columns: tuple[tuple[str, np.dtype[Any]], ...]
    n_rows: int
    model: str
    version: str
    classes: bytes | None


def write_numbers(response: InferenceResponse) -> bytes | None:
    """Write an answer of numbers as a stream; None: it has others, or very many columns."""
    columns = columns_of(response.outputs)
    if len(columns) > _MOST_COLUMNS or not all(map(_is_plain, columns)):
        return None
    n_rows = len(columns[0][1])
    classes = None if response.classes is None else json_media.dump(response.classes)
    kinds = tuple((name, values.dtype) for name, values in columns)
    head = _head_of(_Form(kinds, n_rows, response.model, response.version, classes))
    parts = [head]
    for _, values in columns:
        content = values.tobytes()
        parts += (content, bytes(-len(content) % _ALIGNMENT))
    return b"".join([*parts, _END])


def _is_plain(column: tuple[str, Array]) -> bool:
    dtype = column[1].dtype
    return dtype.kind in "fiu" and dtype.isnative and dtype.itemsize <= _ALIGNMENT


@lru_cache(maxsize=256)
def _head_of(form: _Form) -> bytes:
    """Return what Arrow writes before the numbers of such an answer."""
    table = _table_of([(name, np.zeros(form.n_rows, dtype)) for name, dtype in form.columns], form)
    body = write_stream(table)
    n_bytes = sum(form.n_rows * dtype.itemsize + _ALIGNMENT - 1 & -_ALIGNMENT for _, dtype in form.columns)
    return body[: len(body) - len(_END) - n_bytes]


def write_stream(table: pa.Table) -> bytes:
    """Write a table as a stream."""
    import pyarrow as pa

    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    body: bytes = out.getvalue().to_pybytes()
    return body


def table_of(response: InferenceResponse) -> pa.Table:
    """Return an answer as a table: a column per output, ``name_0``… for those of a matrix.

    Raises:
        NotAcceptable: Arrow has no type for what is in one of them.
    """
    classes = None if response.classes is None else json_media.dump(response.classes)
    columns = columns_of(response.outputs)
    kinds = tuple((name, values.dtype) for name, values in columns)
    return _table_of(columns, _Form(kinds, response.n_rows, response.model, response.version, classes))


def _table_of(columns: list[tuple[str, Array]], form: _Form) -> pa.Table:
    import pyarrow as pa

    arrays = [_array_of(name, values) for name, values in columns]
    metadata = {"model": form.model, "version": form.version}
    if form.classes is not None:
        metadata["classes"] = form.classes.decode()
    schema = pa.schema([pa.field(name, array.type) for (name, _), array in zip(columns, arrays, strict=True)])
    return pa.Table.from_arrays(arrays, schema=schema.with_metadata(metadata))


def _array_of(name: str, values: Array) -> Any:
    import pyarrow as pa

    try:
        return pa.array(values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise NotAcceptable(
            f"Column {name!r} of the answer has values of several kinds, or of one that Arrow does not have; "
            "ask for application/json"
        ) from error
