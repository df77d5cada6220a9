"""What the kernel reads in an Arrow stream of numbers and texts is what Arrow reads in it, or refuses."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.kernels.spoiling import spoiled

from demijohn import kernels
from demijohn.config import Settings
from demijohn.errors import RequestError
from demijohn.kernels import ReadRecords, read_columns
from demijohn.messages import RecordCells
from demijohn.protocols import arrow_media
from demijohn.signature import Signature
from demijohn.tensor_spec import TensorSpec

pytestmark = pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)

MOST, MANY = 2**20, 2**16
LIMITS = Settings(max_body_bytes=MOST, max_elements=MANY)


def stream(batch: pa.Table | pa.RecordBatch, **options: Any) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_stream(out, batch.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write(batch)
    return out.getvalue()


def cells_of(found: ReadRecords) -> list[list[Any]]:
    """Return the columns as Python has them."""
    columns = []
    for kind, cells, texts in zip(found.kinds, found.cells.T.tolist(), found.texts, strict=True):
        read = {"f": float, "i": int, "s": lambda cell, texts=texts: texts[int(cell)]}[kind]
        columns.append([None if math.isnan(cell) else read(cell) for cell in cells])
    return columns


def by_arrow(batch: pa.RecordBatch) -> list[list[Any]]:
    """Return the columns as Python has them; what is NaN is missing."""
    return [[None if cell != cell else cell for cell in column.to_pylist()] for column in batch.columns]


# What it reads ------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = {
    pa.float64(): st.floats(),
    pa.float32(): st.floats(width=32),
    pa.int64(): st.integers(1 - 2**53, 2**53 - 1),
    pa.uint64(): st.integers(0, 2**53 - 1),
    **{
        kind: st.integers(-(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1) - 1)
        for kind in (pa.int8(), pa.int16(), pa.int32())
    },
    **{kind: st.integers(0, 2**kind.bit_width - 1) for kind in (pa.uint8(), pa.uint16(), pa.uint32())},
}
INDICES = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]


@st.composite
def columns(draw: st.DrawFn, n_rows: int) -> pa.Array:
    """Return a column of numbers, texts or codes, some of them missing."""
    way = draw(st.sampled_from(["numbers", "texts", "codes"]))
    bits = st.lists(st.booleans(), min_size=n_rows, max_size=n_rows)
    mask = np.array(draw(bits)) if draw(st.booleans()) else None
    if way == "numbers":
        kind = draw(st.sampled_from(list(NUMBERS)))
        numbers = draw(st.lists(NUMBERS[kind], min_size=n_rows, max_size=n_rows))
        return pa.array(numbers, kind, mask=mask)
    texts = draw(st.lists(TEXTS, min_size=n_rows, max_size=n_rows))
    column = pa.array(texts, draw(st.sampled_from([pa.string(), pa.large_string()])), mask=mask)
    if way == "codes" and column.null_count < n_rows:
        codes = column.dictionary_encode()
        index = draw(st.sampled_from(INDICES))
        return pa.DictionaryArray.from_arrays(codes.indices.cast(index), codes.dictionary)
    return column


@settings(max_examples=300, deadline=None)
@given(st.data(), st.integers(1, 20), st.integers(0, 4), st.sampled_from([4, 5]))
def test_numbers_and_texts_are_read_as_arrow_reads_them(
    data: st.DataObject, n_rows: int, n_more: int, version: int
) -> None:
    arrays = [data.draw(columns(n_rows)) for _ in range(n_more)]
    arrays.append(pa.array(data.draw(st.lists(TEXTS, min_size=n_rows, max_size=n_rows))))
    batch = pa.record_batch(arrays, names=[f"c{index}" for index in range(len(arrays))])
    found = read_columns(
        stream(batch, metadata_version=getattr(pa.ipc.MetadataVersion, f"V{version}")), MOST, MANY
    )
    assert found is not None
    assert list(found.names) == batch.schema.names
    assert cells_of(found) == by_arrow(batch)
    assert found.n_missing == sum(cell is None for column in by_arrow(batch) for cell in column)
    assert all(column.flags.c_contiguous for column in found.cells.T)


def test_bits_of_numbers_are_kept() -> None:
    numbers = np.array([-0.0, 5e-324, np.inf, -np.inf, 0.1])
    found = read_columns(stream(pa.record_batch({"x": numbers, "t": ["a"] * 5})), MOST, MANY)
    assert found is not None
    assert found.cells[:, 0].tobytes() == numbers.tobytes()


def test_what_pandas_writes_of_texts_and_categories_is_read() -> None:
    frame = pd.DataFrame({"x": [1.5, None, 2.5], "t": ["é", "", None], "n": [1, 2, 3]})
    frame["c"] = pd.Categorical(["u", "v", "u"], ["w", "v", "u"])
    found = read_columns(stream(pa.Table.from_pandas(frame)), MOST, MANY)
    assert found is not None
    assert found.kinds == "fsis"
    assert cells_of(found) == [[1.5, None, 2.5], ["é", "", None], [1, 2, 3], ["u", "v", "u"]]
    assert found.texts[3] == ["w", "v", "u"]


def test_a_text_that_stands_in_many_rows_is_made_once() -> None:
    found = read_columns(stream(pa.record_batch({"t": ["red", "blue"] * 500})), MOST, MANY)
    assert found is not None
    assert found.texts == (["red", "blue"],)


# What it does not read ----------------------------------------------------------------------

T = pa.array(["a", "b"])
OTHERS = {
    "numbers alone": pa.record_batch({"x": [1.5, 2.5]}),
    "a number that no double is": pa.record_batch({"x": [2**53, 1], "t": T}),
    "one below": pa.record_batch({"x": [-(2**53), 1], "t": T}),
    "an unsigned one": pa.record_batch({"x": pa.array([2**64 - 1, 1], pa.uint64()), "t": T}),
    "half floats": pa.record_batch({"x": pa.array([1.5, 2.5], pa.float16()), "t": T}),
    "truths": pa.record_batch({"x": [True, False], "t": T}),
    "bytes": pa.record_batch({"x": [b"a", b"b"], "t": T}),
    "views": pa.record_batch({"x": pa.array(["a", "b"], pa.string_view()), "t": T}),
    "numbers in a dictionary": pa.record_batch({"x": pa.array([7, 7]).dictionary_encode(), "t": T}),
    "null in a dictionary": pa.record_batch({"t": pa.DictionaryArray.from_arrays([0, 1], ["a", None])}),
    "nothing in a dictionary": pa.record_batch(
        {"t": pa.DictionaryArray.from_arrays(pa.array([None], pa.int8()), pa.array([], pa.string()))}
    ),
    "nulls": pa.record_batch({"x": pa.nulls(2), "t": T}),
    "no rows": pa.record_batch({"t": T})[:0],
    "one name twice": pa.record_batch([T, T], names=["t", "t"]),
}


@pytest.mark.parametrize("other", OTHERS)
def test_whatever_else_is_in_a_batch_is_left_to_arrow(other: str) -> None:
    assert read_columns(stream(OTHERS[other]), MOST, MANY) is None


def test_what_is_no_stream_of_one_batch_is_left_to_arrow() -> None:
    batch = pa.record_batch({"t": T.dictionary_encode(), "x": [1, 2]})
    body, twice = stream(batch), io.BytesIO()
    with pa.ipc.new_stream(twice, batch.schema) as writer:
        writer.write_batch(batch)
        writer.write_batch(batch)
    assert read_columns(body, MOST, MANY) is not None
    assert read_columns(body[:-8], MOST, MANY) is not None
    compressed = stream(pa.record_batch({"t": ["a"] * 500}), compression="lz4")
    schema = batch.schema.serialize().to_pybytes()
    for other in (b"", body[:100], body[:-16], body + b"\0", twice.getvalue(), compressed, schema):
        assert read_columns(other, MOST, MANY) is None


def test_bytes_that_are_no_utf8_are_left_to_who_refuses_them() -> None:
    for column in (pa.array(["abc", "xyz"]), pa.array(["abc", "xyz"]).dictionary_encode()):
        body = stream(pa.record_batch({"t": column}))
        assert read_columns(body, MOST, MANY) is not None
        assert read_columns(body.replace(b"xyz", b"x\xffz"), MOST, MANY) is None


def test_what_takes_more_than_is_allowed_is_left_to_who_refuses_it() -> None:
    body = stream(pa.record_batch({"t": T, "c": T.dictionary_encode(), "x": [1, 2]}))
    for max_bytes, max_texts, is_taken in ((68, 8, True), (68, 7, False), (67, 8, False), (-1, 8, False)):
        assert (read_columns(body, max_bytes, max_texts) is not None) is is_taken


# Spoiled streams ----------------------------------------------------------------------------

SEEDS = [
    stream(pa.record_batch({"t": T, "x": [1.5, None]})),
    stream(pa.record_batch({"t": pa.array(["ab", None, "ab"], pa.large_string()), "x": [1, 2, 3]})),
    stream(pa.record_batch({"t": T.dictionary_encode(), "x": pa.array([1, 2], pa.int8())})),
    stream(pa.record_batch({"t": pa.array([*"abcab"]).dictionary_encode(), "u": pa.array([*"xxyyx"])})),
]


@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spoiled(SEEDS))
def test_what_is_read_in_a_spoiled_stream_is_what_arrow_reads_in_it(body: bytes) -> None:
    found = read_columns(body, MOST, MANY)
    if found is None:
        return
    with pa.ipc.open_stream(body) as reader:
        (batch,) = list(reader)
    batch.validate(full=True)
    assert batch.schema.names == list(found.names)
    assert cells_of(found) == by_arrow(batch)


SIGNATURES = {
    "of these": Signature("table", (TensorSpec("x", nullable=True), TensorSpec("t", "str", nullable=True))),
    "in another order": Signature("table", (TensorSpec("t", "str"), TensorSpec("x"))),
    "of whole numbers": Signature("table", (TensorSpec("x", "int64"), TensorSpec("t", "str"))),
    "of single floats": Signature(
        "table", (TensorSpec("x", "float32", nullable=True), TensorSpec("t", "str"))
    ),
    "of known texts": Signature(
        "table", (TensorSpec("x"), TensorSpec("t", "str", categories=("a", "b"), is_closed=True))
    ),
    "of others": Signature("table", (TensorSpec("x"), TensorSpec("y", "str"))),
    "of anything": Signature("table", (TensorSpec("x", "object"), TensorSpec("t", "object"))),
    "of a matrix": Signature("matrix", (TensorSpec("m", "str", (-1, 2)),)),
}
TABLES = {
    "plain": pa.record_batch({"x": [1.5, 2.0], "t": ["a", "b"]}),
    "whole": pa.record_batch({"x": [3, 4], "t": ["a", "b"]}),
    "large": pa.record_batch({"x": [1e300, 2.0], "t": ["a", "b"]}),
    "with nulls": pa.record_batch({"x": [1.5, None], "t": ["a", None]}),
    "whole, with nulls": pa.record_batch({"x": [1, None], "t": ["a", "b"]}),
    "unknown": pa.record_batch({"x": [1.5, 2.5], "t": ["a", "c"]}),
    "coded": pa.record_batch({"x": [1, 2], "t": pa.DictionaryArray.from_arrays([1, 1], ["unused", "a"])}),
    "texts for numbers": pa.record_batch({"x": ["1", "2"], "t": ["a", "b"]}),
    "NaN": pa.record_batch({"x": [np.nan, 1.0], "t": ["a", "b"]}),
}


@pytest.mark.parametrize("signature", SIGNATURES)
@pytest.mark.parametrize("table", TABLES)
def test_a_signature_says_the_same_of_a_table_without_the_kernel(signature: str, table: str) -> None:
    body = stream(TABLES[table])

    def answer() -> Any:
        try:
            tensors = SIGNATURES[signature].validate(arrow_media.decode(body, arrow_media.STREAM, LIMITS))
        except RequestError as error:
            return str(error), error.errors
        return [(name, array.dtype, array.tolist()) for name, array in tensors.items()]

    with pytest.MonkeyPatch.context() as patch:
        assert isinstance(arrow_media.decode(body, arrow_media.STREAM, LIMITS), RecordCells)
        with_kernel = answer()
        patch.setattr(kernels, "IS_BUILT", False)
        assert repr(with_kernel) == repr(answer())


@settings(max_examples=300, deadline=None)
@given(spoiled(SEEDS))
def test_a_body_is_refused_the_same_without_the_kernel(body: bytes) -> None:
    def error() -> str:
        try:
            arrow_media.decode(body, arrow_media.STREAM, LIMITS)
        except RequestError as error:
            return str(error)
        return ""

    with pytest.MonkeyPatch.context() as patch:
        with_kernel = error()
        patch.setattr(kernels, "IS_BUILT", False)
        assert with_kernel == error()
