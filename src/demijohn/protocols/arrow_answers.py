"""Answers as Arrow tables, which Arrow streams and Parquet files are written from.

Rules of this room:
1. A value is what the model returned: a number of its own width, NaN where it is NaN; null where it is None.
2. The metadata of the schema holds ``model``, ``version`` and, as JSON, ``classes``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from demijohn.errors import NotAcceptable
from demijohn.messages import Array, InferenceResponse

from . import json_media
from .output_columns import columns_of

if TYPE_CHECKING:
    import pyarrow as pa


def table_of(response: InferenceResponse) -> pa.Table:
    """Return an answer as a table: a column per output, ``name_0``… for those of a matrix.

    Raises:
        NotAcceptable: Arrow has no type for what is in one of them.
    """
    import pyarrow as pa

    columns = columns_of(response.outputs)
    arrays = [_array_of(name, values) for name, values in columns]
    metadata = {"model": response.model, "version": response.version}
    if response.classes is not None:
        metadata["classes"] = json_media.dump(response.classes).decode()
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
