"""Sound bodies of the binary media types and of JSON lines, of each type that is read and a few more."""

from __future__ import annotations

import io
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

MATRIX = np.array([[1.5, -2.0], [0.25, 4.0]])

_TEXTS = ["x", None, "é", "a text that is too long for a view of sixteen bytes"]
_A = pa.array([1.5, -2.0, None, 4.0])


def _column(kind: pa.Array) -> pa.Table:
    return pa.table({"x": kind})


def tables() -> list[pa.Table]:
    """Return tables of columns a and b, as one signature has them, and of one column x of each type."""
    texts = pa.array(text or "" for text in _TEXTS)
    lists = [[1.0, 2.0], [3.0, None], [5.0, 6.0]]
    return [
        pa.table({"a": _A, "b": texts}),
        pa.table({"a": _A, "b": pa.array(_TEXTS).dictionary_encode()}),
        pa.table({"a": [1.0, 2.0], "b": [3.0, 4.0]}),
        pa.table({"x": pa.array([1, 2], pa.int8()), "y": [True, None]}),
        _column(pa.array(_TEXTS, pa.string_view())[1:]),
        _column(pa.array(_TEXTS, pa.large_string())),
        _column(pa.array([7, None, 7]).dictionary_encode()),
        _column(pa.array([1, None], pa.timestamp("us", "UTC"))),
        _column(pa.array([1, None], pa.date32())),
        _column(pa.array([Decimal("1.50"), None])),
        _column(pa.array([Decimal(12), None], pa.decimal256(40, 0))),
        _column(pa.array([None, None])),
        _column(pa.array(lists)),
        _column(pa.array(lists, pa.list_(pa.float64(), 2))),
        _column(pa.array([[["a"], ["b"]], [["c"]]], pa.large_list(pa.list_(pa.string())))),
        _column(pa.FixedShapeTensorArray.from_numpy_ndarray(np.ones((2, 2, 3), np.float32))),
        _column(pa.array([{"y": 1}, None])),
    ]


def _only_in_arrow() -> list[pa.Table]:
    codes = pa.array([0, 1], pa.int8())
    return [
        _column(pa.array(["a", "a", "b"]).dictionary_encode().dictionary_decode().cast(pa.binary_view())),
        _column(pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array([1.0, 2.0]))),
        _column(pa.UnionArray.from_sparse(codes, [pa.array([1, 2]), pa.array(["a", "b"])])),
        _column(pa.array([1.5, None], pa.float16())),
    ]


def arrow_streams() -> list[bytes]:
    """Return streams, plain and compressed, in one batch and in several, with a dictionary that grows."""
    plain = [_arrow(table) for table in (*tables(), *_only_in_arrow())]
    packed = [_arrow(table, compression=kind) for table in tables()[:4] for kind in ("lz4", "zstd")]
    grows = [pa.table({"b": pa.array(some).dictionary_encode()}) for some in (["a"], ["a", "b"])]
    return [
        *plain,
        *packed,
        *(_arrow(table, height=1) for table in tables()[:4]),
        _arrow_batches(grows, emit_dictionary_deltas=True),
        _arrow_batches(grows),
        _arrow(tables()[0].slice(0, 0)),
    ]


def _arrow(table: pa.Table, height: int | None = None, **options: Any) -> bytes:
    return _arrow_batches(
        [pa.Table.from_batches([batch]) for batch in table.to_batches(height)] or [table], **options
    )


def _arrow_batches(tables: Sequence[pa.Table], **options: Any) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_stream(out, tables[0].schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for table in tables:
            writer.write_table(table)
    return out.getvalue()


def arrow_files() -> list[bytes]:
    """Return files of the same tables."""
    return [_arrow_file(table) for table in tables()]


def _arrow_file(table: pa.Table) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_file(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


#: Ways to write a Parquet file.
_PARQUET: Sequence[dict[str, Any]] = [
    {},
    {"compression": "none", "use_dictionary": False, "write_statistics": False},
    {"compression": "zstd", "data_page_version": "2.0"},
    {"compression": "gzip", "row_group_size": 1},
    {"compression": "lz4", "write_page_index": True, "write_page_checksum": True},
    {"compression": "brotli", "use_dictionary": False, "use_byte_stream_split": ["a"]},
    {"use_dictionary": False, "column_encoding": {"b": "DELTA_LENGTH_BYTE_ARRAY"}},
]


def parquet_files() -> list[bytes]:
    """Return files of the same tables, the first in each way of writing them."""
    first, *others = [table for table in tables() if _fits_parquet(table)]
    return [
        *(_parquet(first, store_schema=False, **way) for way in _PARQUET),
        *(_parquet(table, store_schema=False) for table in others),
        _parquet(first),
    ]


def _fits_parquet(table: pa.Table) -> bool:
    return not any(str(kind).startswith("extension") for kind in table.schema.types)


def _parquet(table: pa.Table, **way: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **way)
    return out.getvalue()


def npy_files() -> list[bytes]:
    """Return npy files of each kind of dtype, one with an object in it among them."""
    arrays = [
        MATRIX, np.asfortranarray(MATRIX), MATRIX.astype(">f4"), np.array([[1, 2]], np.int8),
        np.array([True]), np.array(["x", "é"]), np.array([b"x"]), np.array([1.5 + 2j]),
        np.array(["2024-01-02"], "M8[D]"), np.ones((1, 2, 3), np.float16), np.array(1.5), np.zeros((0, 2)),
        np.array([None], object), np.zeros(2, [("a", "f8"), ("b", "U1")]),
    ]  # fmt: skip
    return [*map(_npy, arrays), _npy(MATRIX, (2, 0)), _npy(MATRIX, (3, 0))]


def _npy(array: np.ndarray[Any, Any], version: tuple[int, int] | None = None) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array, version)
    return out.getvalue()


def npz_files() -> list[bytes]:
    """Return archives, stored and deflated."""
    out = [io.BytesIO() for _ in range(3)]
    np.savez(out[0], x=MATRIX)
    np.savez_compressed(out[1], a=MATRIX[0], b=np.array(["x", "é"]))
    np.savez_compressed(out[2], x=np.array([[1, 2]], np.int8), y=np.array([[True, False]]))
    return [one.getvalue() for one in out]


JSON_LINES = [
    b"[1.5,-2.0]\n[0.25,4]\n",
    b'{"a":1.5,"b":"x"}\n{"a":null,"b":"\xc3\xa9"}\n\n{"b":"y","a":2}',
    b'[1,"x"]\r\n[null,"y"]\r\n',
    b'{"x":[1,2],"y":[true,false]}\n{"x":[3,4],"y":[false,false]}\n',
    b'"x"\n"y"\n1\n',
    b'{"x":{"b64":"aGk="}}\n',
]
