"""Parquet files: the rows that pyarrow, pandas and others write, and none of the bombs."""

from __future__ import annotations

import datetime
import io
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.parquet_files import deep_file, varint

from demijohn.config import Settings
from demijohn.errors import BodyTooLarge, DecodeError, NotAcceptable, RequestError, SignatureMismatch
from demijohn.messages import ArrayColumns, InferenceResponse
from demijohn.protocols import parquet_media

SETTINGS = Settings()


def parquet(table: pa.Table | dict[str, Any], **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), out, **options)
    return out.getvalue()


def cells_of(found: ArrayColumns) -> dict[str, list[Any]]:
    """Return what the columns hold, None where nothing is."""
    made = {}
    for name, column in zip(found.names, found.each(), strict=True):
        values = column.values if column.codes is None else np.append(column.values, None)[column.codes]
        if column.missing is not None:
            values = values.astype(object)
            values[column.missing] = None
        made[name] = values.tolist()
    return made


MIXED = {
    "x": [1.5, None, 3.0, 4.0],
    "n": pa.array([1, 2, None, 4], pa.int16()),
    "kind": ["a", "b", None, "a"],
    "ok": [True, False, True, None],
    "row": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]],
    "price": [Decimal("1.25"), Decimal("2.50"), None, Decimal("9.99")],
}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": None},
        {"compression": "zstd", "data_page_version": "2.0"},
        {"compression": "gzip", "use_dictionary": False},
        {"compression": "brotli", "row_group_size": 3},
        {"compression": "lz4", "version": "1.0", "store_schema": False},
        {"column_encoding": {"x": "BYTE_STREAM_SPLIT", "n": "DELTA_BINARY_PACKED"}, "use_dictionary": False},
        {"column_encoding": {"kind": "DELTA_LENGTH_BYTE_ARRAY"}, "use_dictionary": False},
    ],
    ids=str,
)
def test_a_file_holds_its_rows_however_it_was_written(options: dict[str, Any]) -> None:
    found = parquet_media.decode(parquet(MIXED, **options), SETTINGS)
    assert cells_of(found) == {
        name: [float(cell) if isinstance(cell, Decimal) else cell for cell in pa.array(column).to_pylist()]
        for name, column in MIXED.items()
    }


@pytest.mark.parametrize("use_dictionary", [True, False])
def test_a_row_group_without_rows_adds_none(use_dictionary: bool) -> None:
    table, out = pa.table(MIXED), io.BytesIO()
    with pq.ParquetWriter(out, table.schema, use_dictionary=use_dictionary) as writer:
        for start, length in ((0, 0), (0, 3), (3, 0), (3, 1)):
            writer.write_table(table.slice(start, length))
    assert pq.ParquetFile(out).num_row_groups == 4
    found, whole = (parquet_media.decode(file, SETTINGS) for file in (out.getvalue(), parquet(table)))
    assert cells_of(found) == cells_of(whole)
    assert (
        parquet_media.decode(parquet(table.slice(0, 0), use_dictionary=use_dictionary), SETTINGS).n_rows == 0
    )


def test_numbers_alone_are_read_in_one_go() -> None:
    numbers = np.random.default_rng(0).normal(size=(50, 3))
    found = parquet_media.decode(parquet(dict(zip("abc", numbers.T, strict=True))), SETTINGS)
    assert isinstance(found.columns, np.ndarray)
    assert found.columns.tolist() == numbers.tolist()


def test_a_frame_of_pandas_comes_without_its_index() -> None:
    frame = pd.DataFrame(
        {"c": pd.Categorical(["u", "v"]), "t": pd.to_datetime(["2024-01-01", None])}, index=[5, 3]
    )
    out = io.BytesIO()
    frame.to_parquet(out)
    made = cells_of(parquet_media.decode(out.getvalue(), SETTINGS))
    assert made["c"] == ["u", "v"]
    assert list(made) == ["c", "t"]


def test_a_type_that_no_model_takes_is_named_with_its_column() -> None:
    with pytest.raises(SignatureMismatch) as caught:
        parquet_media.decode(parquet({"x": [1], "s": [{"a": 1}], "d": [datetime.time(1)]}), SETTINGS)
    assert [problem.column for problem in caught.value.errors] == ["s", "d"]


# Bombs ----------------------------------------------------------------------------------------


def test_a_file_is_measured_decompressed() -> None:
    zeros = parquet({"x": np.zeros(1 << 20)}, compression="zstd")
    assert len(zeros) < 1 << 13
    assert parquet_media.decode(zeros, SETTINGS).n_rows == 1 << 20
    with pytest.raises(BodyTooLarge):
        parquet_media.decode(zeros, Settings(max_body_bytes=8_000_000))


def test_a_text_of_many_rows_is_there_once() -> None:
    text = "x" * 10_000
    body = parquet({"x": [text] * 10_000}, compression="zstd")
    (column,) = parquet_media.decode(body, SETTINGS).each()
    assert column.values.tolist() == [text]
    plain = parquet({"x": [text] * 7_000}, compression="zstd", use_dictionary=False)
    assert len(plain) < 1 << 20
    with pytest.raises(BodyTooLarge):
        parquet_media.decode(plain, SETTINGS)


def test_texts_that_share_their_beginnings_are_not_read() -> None:
    texts = [("x" * 1_000_000) + str(index) for index in range(60)]
    body = parquet({"x": texts}, use_dictionary=False, column_encoding={"x": "DELTA_BYTE_ARRAY"})
    assert len(body) < 2 << 20
    with pytest.raises(DecodeError, match="DELTA_BYTE_ARRAY"):
        parquet_media.decode(body, SETTINGS)


def test_a_page_that_says_it_will_be_large_is_not_decompressed() -> None:
    body = parquet({"x": np.arange(3.0)}, compression="zstd", use_dictionary=False)
    honest = b"\x15\x00\x15" + varint(2 * 30)  # a data page, of so many bytes: zigzag
    assert body.count(honest) == 1
    lies = body.replace(honest, b"\x15\x00\x15" + varint(2 * 2**30))
    position = body.index(honest)
    size = len(lies) - len(body)
    # All that stands behind keeps its place: the page is at the file's start, and shrinks by as much.
    end = lies.index(b"\x28\xb5\x2f\xfd", position)
    with pytest.raises(BodyTooLarge):
        parquet_media.decode(lies[:end] + lies[end + size :], SETTINGS)


def test_a_schema_that_is_nested_deep_is_refused() -> None:
    with pytest.raises(DecodeError, match="nested"):
        parquet_media.decode(deep_file(50_000), SETTINGS)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no Parquet file"),
        (b"PAR1PAR1", "no Parquet file"),
        (b"[[1, 2]]", "no Parquet file"),
        (parquet(MIXED)[:-1], "no Parquet file"),
        (b"PAR1" + b"\0" * 64 + b"PAR1", "footer"),
        (b"PAR1" + b"\0" * 60 + b"\xff\xff\xff\x7fPAR1", "footer"),
        (
            parquet(MIXED).replace(b"parquet-cpp-arrow version 26.0.1", b"parquet-mr version 1.2.8 (build)"),
            "1.2.9",
        ),
    ],
)
def test_what_is_no_file_is_unreadable(body: bytes, said: str) -> None:
    with pytest.raises(DecodeError, match=said):
        parquet_media.decode(body, SETTINGS)


BODIES = [
    parquet(MIXED, compression="zstd"),
    parquet(MIXED, compression=None, data_page_version="2.0"),
    parquet({"x": np.arange(5.0)}, compression="snappy"),
]


@given(st.sampled_from(BODIES), st.data())
@settings(deadline=None, max_examples=300)
def test_a_broken_file_is_refused_or_read_and_nothing_else(body: bytes, data: st.DataObject) -> None:
    broken = bytearray(body)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(4, len(body) - 9))] = data.draw(st.integers(0, 255))
    try:
        parquet_media.decode(bytes(broken), SETTINGS)
    except RequestError:
        return


# Answers --------------------------------------------------------------------------------------


def answer_of(values: Any) -> InferenceResponse:
    return InferenceResponse({"predict": np.asarray(values)}, "m", "1", "predict", len(values), ["a", "b"])


def test_an_answer_is_a_file_with_a_column_named_after_the_method() -> None:
    table = pq.read_table(io.BytesIO(parquet_media.encode(answer_of([[1.5, 2.0], [np.nan, 4.0]]))))
    assert table.column_names == ["predict_0", "predict_1"]
    assert table.column(0)[0].as_py() == 1.5
    assert np.isnan(table.column(0)[1].as_py())
    assert table.schema.metadata[b"classes"] == b'["a","b"]'


def test_an_answer_that_parquet_cannot_hold_is_not_acceptable() -> None:
    for values in (np.array(["a", 1], object), np.array([{}, {}], object)):
        with pytest.raises(NotAcceptable):
            parquet_media.encode(answer_of(values))


def test_a_file_of_more_pages_than_bytes_allow_is_refused() -> None:
    body = parquet({"x": np.arange(20_000.0)}, data_page_size=8, write_batch_size=1, use_dictionary=False)
    with pytest.raises(DecodeError, match="pages"):
        parquet_media.decode(body, SETTINGS)
