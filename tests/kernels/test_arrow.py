"""What the kernel finds in an Arrow stream is what Arrow reads in it; it takes nothing that Arrow refuses."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from tests.kernels.spoiling import spoiled

from demijohn import kernels
from demijohn.config import Settings
from demijohn.errors import RequestError
from demijohn.kernels import find_numbers
from demijohn.messages import ArrayColumns, as_written
from demijohn.protocols import arrow_media

pytestmark = pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)

MOST = 2**20
DTYPES = st.sampled_from([*"efdbhiqBHIQ"]).map(np.dtype)
NAMES = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), min_size=1, max_size=5)


def stream(table: pa.Table | pa.RecordBatch, *, compression: str | None = None, version: int = 5) -> bytes:
    out = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(
        compression=compression, metadata_version=getattr(pa.ipc.MetadataVersion, f"V{version}")
    )
    with pa.ipc.new_stream(out, table.schema, options=options) as writer:
        writer.write(table)
    return out.getvalue()


def batch_of(numbers: np.ndarray[Any, Any], names: Sequence[str]) -> pa.RecordBatch:
    return pa.record_batch([pa.array(column) for column in numbers.T], names=list(names))


@given(st.data(), NAMES, DTYPES, st.sampled_from([4, 5]), st.booleans())
def test_each_batch_of_numbers_of_one_type_is_found(
    data: st.DataObject, names: list[str], dtype: np.dtype[Any], version: int, has_end: bool
) -> None:
    rows = data.draw(npst.arrays(dtype, st.tuples(st.integers(1, 40), st.just(len(names)))))
    body = stream(batch_of(rows, names), version=version)
    found = find_numbers(body if has_end else body[:-8], MOST)
    assert found is not None
    assert list(found[0]) == names
    assert found[1].dtype == dtype
    assert found[1].tobytes() == rows.tobytes()
    assert not found[1].flags.writeable


def test_what_pandas_says_beside_the_columns_is_passed_over() -> None:
    frame = pd.DataFrame(np.arange(60.0).reshape(20, 3), columns=["a", "b", "é"])
    found = find_numbers(stream(pa.Table.from_pandas(frame)), MOST)
    assert found is not None
    assert list(found[0]) == ["a", "b", "é"]
    np.testing.assert_array_equal(found[1], frame.to_numpy())


NUMBERS = batch_of(np.arange(20.0).reshape(10, 2), ["a", "b"])
OTHERS = {
    "several types": pa.record_batch({"a": [1.5], "b": [1]}),
    "a missing value": pa.record_batch({"a": [1.5, None], "b": [1.5, 2.5]}),
    "texts": pa.record_batch({"a": ["x"]}),
    "truths": pa.record_batch({"a": [True]}),
    "a dictionary": pa.record_batch({"a": pa.array([1, 1]).dictionary_encode()}),
    "lists": pa.record_batch({"a": pa.array([[1.5]], pa.list_(pa.float64(), 1))}),
    "no rows": NUMBERS[:0],
    "no columns": pa.table({}).select([]),
    "instants": pa.record_batch({"a": pa.array([1], pa.timestamp("ns"))}),
    "a type over another": pa.record_batch({"a": pa.array([True]).cast(pa.bool8())}),
}


@pytest.mark.parametrize("other", OTHERS)
def test_whatever_else_is_in_a_batch_is_left_to_arrow(other: str) -> None:
    assert find_numbers(stream(OTHERS[other]), MOST) is None


def test_what_is_no_stream_of_one_batch_is_left_to_arrow() -> None:
    body, out = stream(NUMBERS), io.BytesIO()
    with pa.ipc.new_stream(out, NUMBERS.schema) as writer:
        writer.write_batch(NUMBERS)
        writer.write_batch(NUMBERS)
    for other in (
        b"",
        body[:100],
        body[:-16],
        body + b"\0",
        out.getvalue(),
        stream(NUMBERS, compression="lz4"),
        NUMBERS.schema.serialize().to_pybytes(),
    ):
        assert find_numbers(other, MOST) is None


def test_columns_that_take_more_than_is_allowed_are_left_to_who_refuses_them() -> None:
    body = stream(NUMBERS)
    assert find_numbers(body, 160) is not None
    assert find_numbers(body, 159) is None


def test_columns_that_share_a_buffer_are_left_to_arrow() -> None:
    body = bytearray(stream(NUMBERS))
    place = body.index(struct.pack("<qqqq", 0, 0, 0, 80)) + 48
    assert struct.unpack_from("<qq", body, place) == (80, 80)
    struct.pack_into("<q", body, place, 0)
    assert find_numbers(bytes(body), MOST) is None
    with_arrow = arrow_media.decode(bytes(body), arrow_media.STREAM, Settings())
    assert isinstance(with_arrow, ArrayColumns)
    np.testing.assert_array_equal(with_arrow.each()[0].values, with_arrow.each()[1].values)


SEEDS = [
    stream(NUMBERS),
    stream(batch_of(np.arange(3, dtype=np.int8).reshape(3, 1), ["x"])),
    stream(pa.Table.from_pandas(pd.DataFrame({"a": [1.5], "b": [2.5], "c": [3.5]}))),
    stream(NUMBERS, version=4),
]


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spoiled(SEEDS))
def test_what_is_found_in_a_spoiled_stream_is_what_arrow_reads_in_it(body: bytes) -> None:
    found = find_numbers(body, MOST)
    if found is None:
        return
    with pa.ipc.open_stream(body) as reader:
        (batch,) = list(reader)
    batch.validate(full=True)
    assert batch.schema.names == list(found[0])
    for index, column in enumerate(batch.columns):
        assert column.null_count == 0
        assert column.to_numpy().tobytes() == found[1][:, index].tobytes()


@settings(max_examples=200, deadline=None)
@given(spoiled(SEEDS))
def test_a_body_is_answered_the_same_without_the_kernel(body: bytes) -> None:
    limits = Settings(max_body_bytes=MOST)

    def answer() -> Any:
        try:
            return as_written(arrow_media.decode(body, arrow_media.STREAM, limits))
        except RequestError as error:
            return str(error)

    with pytest.MonkeyPatch.context() as patch:
        with_kernel = answer()
        patch.setattr(kernels, "IS_BUILT", False)
        without = answer()
    if isinstance(with_kernel, str):
        assert with_kernel == without
    else:
        assert list(with_kernel.names) == list(without.names)
        for one, other in zip(with_kernel.each(), without.each(), strict=True):
            assert one.values.tobytes() == other.values.tobytes()
