"""Arrow streams: the same rows as in JSON, and what is broken, lies or is too large refused."""

from __future__ import annotations

import datetime
import io
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from msgspec.structs import replace

from demijohn.config import Settings
from demijohn.errors import BodyTooLarge, DecodeError, NotAcceptable, RequestError, SignatureMismatch
from demijohn.messages import ArrayColumn, ArrayColumns, InferenceResponse, as_written
from demijohn.protocols import arrow_answers, arrow_media

SETTINGS = Settings()


def decode(body: bytes, settings: Settings, media_type: str = arrow_media.STREAM) -> ArrayColumns:
    found = arrow_media.decode(body, media_type, settings)
    columns = as_written(found)  # the kernel's array of numbers and texts has a room of its own
    assert isinstance(columns, ArrayColumns)
    return columns


def encode(response: InferenceResponse) -> bytes:
    return arrow_media.encode(response, arrow_media.STREAM)


def stream(*batches: pa.RecordBatch | pa.Table, compression: str | None = None) -> bytes:
    out = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(out, batches[0].schema, options=options) as writer:
        for batch in batches:
            writer.write(batch)
    return out.getvalue()


def column_of(array: pa.Array, settings: Settings = SETTINGS) -> ArrayColumn:
    # Beside another, since numbers alone are read in one go.
    batch = pa.record_batch([array, pa.array(["a"] * len(array))], names=["x", "other"])
    return decode(stream(batch), settings).each()[0]


def cells_of(column: ArrayColumn) -> list[Any]:
    """Return what the rows hold, None where nothing is."""
    values = column.values if column.codes is None else np.append(column.values, None)[column.codes]
    if column.missing is not None:
        values = values.astype(object)
        values[column.missing] = None
    cells: list[Any] = values.tolist()
    return cells


DAY = int(np.datetime64("2024-01-02", "ns").astype(int))


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([1, None, 3], pa.int8()), [1, None, 3]),
        (pa.array([2**63, 1], pa.uint64()), [2**63, 1]),
        (pa.array([2**53 + 1, None]), [2**53 + 1, None]),
        (pa.array([1.5, None], pa.float16()), [1.5, None]),
        (pa.array([1.5, -2.0], pa.float32()), [1.5, -2.0]),
        (pa.array([True, None, False]), [True, None, False]),
        (pa.array(["a", None, "", "a"]), ["a", None, "", "a"]),
        (pa.array(["a", None], pa.large_string()), ["a", None]),
        (pa.array(["a", "long enough to stand apart", None], pa.string_view())[1:], [*"x", None]),
        (pa.array([b"a", None], pa.binary()), [b"a", None]),
        (pa.array(["b", None, "b"]).dictionary_encode(), ["b", None, "b"]),
        (pa.array([7, None, 7]).dictionary_encode(), [7, None, 7]),
        (pa.DictionaryArray.from_arrays([0, 1, None], ["a", None]), ["a", None, None]),
        (pa.DictionaryArray.from_arrays(pa.array([None], pa.int8()), pa.array([], pa.string())), [None]),
        (pa.nulls(2), [None, None]),
        (pa.array([Decimal("12.34"), None]), [12.34, None]),
        (pa.array([Decimal("0.1234567890123456789")]), [0.12345678901234568]),
        (pa.array([Decimal(12), None]), [12, None]),
        (pa.array([[1.0, 2.0], [3.0, None]], pa.list_(pa.float64(), 2)), [[1, 2], [3, None]]),
        (pa.array([[1, 2], [3, 4], [5, 6]])[1:], [[3, 4], [5, 6]]),
        (pa.array([[[1, 2]], [[3, 4]]], pa.large_list(pa.list_(pa.int64()))), [[[1, 2]], [[3, 4]]]),
        (pa.array([["a", "b"], ["b", "c"]]), [["a", "b"], ["b", "c"]]),
        (pa.array([[1, 2], [3]]), [[1, 2], [3]]),
        (
            pa.FixedShapeTensorArray.from_numpy_ndarray(np.arange(8.0).reshape(2, 2, 2)),
            np.arange(8.0).reshape(2, 2, 2).tolist(),
        ),
        (pa.array([DAY, None], pa.timestamp("ns")), [DAY, None]),
        (pa.array([datetime.date(2024, 1, 2)]), [datetime.date(2024, 1, 2)]),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
def test_a_column_holds_what_its_rows_hold(array: pa.Array, expected: list[Any]) -> None:
    column = column_of(array)
    assert len(column) == len(array)
    expected = ["long enough to stand apart" if cell == "x" else cell for cell in expected]
    cells = cells_of(column)
    if column.values.dtype == np.dtype("M8[ns]"):
        cells = [None if np.isnat(cell) else int(cell.astype(int)) for cell in column.values]
    assert cells == expected


def test_an_instant_with_a_time_zone_is_one_in_utc() -> None:
    there = datetime.datetime(2024, 7, 1, 12, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
    column = column_of(pa.array([there], pa.timestamp("us", tz="Europe/Berlin")))
    assert column.values.tolist() == [np.datetime64("2024-07-01T10:00").astype(object)]


def test_texts_are_made_once_each() -> None:
    column = column_of(pa.array(["red", "blue"] * 500))
    assert column.values.tolist() == ["red", "blue"]
    assert column.codes is not None
    assert len(column.codes) == 1000


def test_numbers_are_views_of_the_body() -> None:
    body = stream(pa.record_batch([pa.array([1.5, 2.5]), pa.array(["a", "b"])], names=["x", "y"]))
    values = decode(body, SETTINGS).each()[0].values
    assert values.base is not None
    assert not values.flags.owndata


def test_batches_are_rows_one_after_another() -> None:
    first = pa.record_batch([pa.array(["a", "b"]).dictionary_encode(), pa.array([1, 2])], names=["x", "y"])
    second = pa.record_batch(
        [pa.array(["c", "b"]).dictionary_encode(), pa.array([3, None])], names=["x", "y"]
    )
    found = decode(stream(first, second), SETTINGS)
    assert [cells_of(column) for column in found.each()] == [["a", "b", "c", "b"], [1, 2, 3, None]]
    assert found.n_rows == 4


def test_what_pandas_calls_its_rows_is_no_column() -> None:
    frame = pd.DataFrame({"x": [1.0]}, index=[7])
    assert pa.Table.from_pandas(frame).schema.names == ["x", "__index_level_0__"]
    for table in (pa.Table.from_pandas(frame), pa.Table.from_pandas(frame.assign(y="a"))):
        found = decode(stream(table), SETTINGS)
        assert "__index_level_0__" not in found.names
        assert found.n_rows == 1


@pytest.mark.parametrize(
    ("array", "received"),
    [
        (pa.array([{"a": 1}]), "values of type struct<a: int64>"),
        (pa.array([datetime.timedelta(1)]), "values of type duration[us]"),
        (pa.array([datetime.time(1)]), "values of type time64[us]"),
        (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())), "values of type map<string, int64>"),
        (pa.array([b"ab"], pa.binary(2)), "values of type fixed_size_binary[2]"),
        (pa.RunEndEncodedArray.from_arrays([1], [5]), "values of type run_end_encoded"),
        (pa.array([[{"a": 1}]]), "values of type struct<a: int64>"),
        (pa.array([b"0123456789abcdef"], pa.uuid()), "values of type extension<arrow.uuid>"),
        (pa.array([[], []], pa.list_(pa.int64(), 0)), "a list of 0 values"),
        (pa.array([[], []], pa.list_(pa.int64())), "a list of 0 values"),
        (pa.array([[1], None]), "null"),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
def test_a_type_that_no_model_takes_is_named_with_its_column(array: pa.Array, received: str) -> None:
    with pytest.raises(SignatureMismatch) as caught:
        column_of(array)
    (problem,) = caught.value.errors
    assert problem.column == "x"
    assert problem.received.startswith(received)


# What lies about itself -----------------------------------------------------------------------

WIDE = pa.record_batch([pa.array(np.zeros(1 << 20)), pa.array(["ab"] * (1 << 20))], names=["x", "y"])


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_a_stream_is_measured_decompressed(compression: str) -> None:
    body = stream(WIDE, compression=compression)
    assert len(body) < 5 << 20
    roomy = Settings(max_elements=1 << 21)
    assert decode(body, roomy).n_rows == 1 << 20
    with pytest.raises(BodyTooLarge, match="decompressed"):
        decode(body, Settings(max_body_bytes=8 << 20, max_elements=1 << 21))
    with pytest.raises(BodyTooLarge, match="1000000 texts"):
        decode(body, SETTINGS)


def test_a_buffer_that_announces_more_than_there_is_is_not_allocated() -> None:
    body = bytearray(stream(WIDE, compression="zstd"))
    real = (8 << 20).to_bytes(8, "little")
    assert body.count(real) == 1
    place = body.index(real)
    body[place : place + 8] = (1 << 40).to_bytes(8, "little")
    with pytest.raises(BodyTooLarge):
        decode(bytes(body), SETTINGS)
    body[place : place + 8] = (-2).to_bytes(8, "little", signed=True)
    with pytest.raises(DecodeError):
        decode(bytes(body), SETTINGS)


def test_rows_without_bytes_are_counted() -> None:
    with pytest.raises(BodyTooLarge):
        column_of(pa.nulls(10_000), Settings(max_body_bytes=100_000))
    with pytest.raises(BodyTooLarge):
        column_of(pa.array([True] * 10_000), Settings(max_body_bytes=9_999))
    big = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int8()), pa.array([list(range(100))]))
    with pytest.raises(BodyTooLarge):
        column_of(big, Settings(max_body_bytes=500_000))


def test_texts_that_share_their_bytes_are_counted_each() -> None:
    validity, views, text = pa.array(["x" * 10_000], pa.string_view()).buffers()
    buffers = [validity, pa.py_buffer(views.to_pybytes() * 100), text]
    shared = pa.Array.from_buffers(pa.string_view(), 100, buffers)
    assert len(stream(pa.record_batch([shared], names=["x"]))) < 100_000
    with pytest.raises(BodyTooLarge, match="bytes"):
        column_of(shared, Settings(max_body_bytes=500_000))


def test_columns_that_share_their_bytes_are_counted_each() -> None:
    """Two columns are made to lie in the same place: their buffers' offsets stand in the metadata."""
    batch = pa.record_batch([pa.array(np.zeros(1000)), pa.array(np.ones(1000))], names=["x", "y"])
    body = stream(batch)
    offsets = b"".join(n.to_bytes(8, "little") for n in (8000, 0, 8000, 8000))
    shared = b"".join(n.to_bytes(8, "little") for n in (0, 0, 0, 8000))
    assert body.count(offsets) == 1
    found = decode(body.replace(offsets, shared), SETTINGS)
    assert not found.each()[1].values.any()
    with pytest.raises(BodyTooLarge):
        decode(body.replace(offsets, shared), Settings(max_body_bytes=15_000))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no Arrow stream"),
        (b"[[1, 2]]", "no Arrow stream"),
        (b"\xff" * 64, "no Arrow stream"),
        (stream(WIDE)[:-1000], "no Arrow stream"),
        (stream(WIDE.slice(0, 2)) + b"more", "Something follows"),
        (b"ARROW1\0\0" + b"\0" * 64, "Arrow file"),
    ],
    ids=["nothing", "json", "ones", "cut", "more", "file"],
)
def test_what_is_no_stream_is_unreadable(body: bytes, said: str) -> None:
    with pytest.raises(DecodeError, match=said):
        decode(body, SETTINGS)


def test_a_file_is_the_stream_inside() -> None:
    table = pa.table({"x": [1.0, None], "y": ["a", "b"]})
    for compression in (None, "zstd"):
        out = io.BytesIO()
        options = pa.ipc.IpcWriteOptions(compression=compression)
        with pa.ipc.new_file(out, table.schema, options=options) as writer:
            writer.write_table(table)
        body = out.getvalue()
        found = decode(body, SETTINGS, arrow_media.FILE)
        assert [cells_of(column) for column in found.each()] == [[1.0, None], ["a", "b"]]
        for broken in (
            body[:-1],
            body[8:],
            b"ARROW1ARROW1",
            body[:-10] + b"\xff\xff\xff\x7fARROW1",
            body[:-300],
        ):
            with pytest.raises(DecodeError):
                arrow_media.decode(broken, arrow_media.FILE, SETTINGS)
    made = pa.ipc.open_file(
        arrow_media.encode(answer_of(predict=np.array([1.5])), arrow_media.FILE)
    ).read_all()
    assert made.to_pydict() == {"predict": [1.5]}


def test_codes_beyond_the_dictionary_and_texts_that_are_none_are_found() -> None:
    indices = pa.array([0, 5], pa.int8())
    array = pa.DictionaryArray.from_arrays(indices, pa.array(["a"]), safe=False)
    for broken in (array, pa.array([b"\xff"]).view(pa.string())):
        with pytest.raises(DecodeError):
            column_of(broken)


def sample_bodies() -> list[bytes]:
    batch = pa.record_batch(
        {
            "x": pa.array([1.5, None, 3.0]),
            "kind": pa.array(["a", "b", None]).dictionary_encode(),
            "text": pa.array(["one", "two", "three"]),
            "row": pa.array([[1, 2], [3, 4], [5, 6]]),
            "view": pa.array(["one", "longer than twelve", None], pa.string_view()),
        }
    )
    return [stream(batch), stream(batch, batch, compression="zstd"), stream(batch, compression="lz4")]


BODIES = sample_bodies()


@given(st.sampled_from(BODIES), st.data())
@settings(deadline=None)  # the first imports parts of pyarrow
def test_a_broken_stream_is_refused_or_read_and_nothing_else(body: bytes, data: st.DataObject) -> None:
    broken = bytearray(body)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del broken[data.draw(st.integers(0, len(body))) :]
    try:
        found = decode(bytes(broken), SETTINGS)
    except RequestError:
        return
    assert isinstance(found, ArrayColumns)


# Answers --------------------------------------------------------------------------------------


def answer_of(**outputs: Any) -> InferenceResponse:
    return InferenceResponse(outputs, "m", "2", "predict", len(next(iter(outputs.values()))))


def read(body: bytes) -> pa.Table:
    return pa.ipc.open_stream(body).read_all()


def test_an_answer_is_a_column_named_after_the_method() -> None:
    table = read(encode(answer_of(predict=np.array([1.5, np.nan], np.float32))))
    assert table.schema.names == ["predict"]
    assert table.column(0).type == pa.float32()
    assert table.column(0).null_count == 0
    assert np.isnan(table.column(0)[1].as_py())
    assert table.schema.metadata == {b"model": b"m", b"version": b"2"}


def test_a_matrix_is_a_column_for_each_of_its_own_and_classes_are_told() -> None:
    response = replace(answer_of(predict_proba=np.arange(4.0).reshape(2, 2)), classes=["a", 1])
    table = read(encode(response))
    assert table.to_pydict() == {"predict_proba_0": [0, 2], "predict_proba_1": [1, 3]}
    assert table.schema.metadata[b"classes"] == b'["a",1]'


def test_texts_instants_and_what_is_missing_have_types_of_their_own() -> None:
    table = read(
        encode(
            answer_of(
                label=np.array(["a", None], object),
                fixed=np.array(["b", "cc"]),
                when=np.array(["2024-01-01", "NaT"], "M8[s]"),
            )
        )
    )
    assert [str(kind) for kind in table.schema.types] == ["string", "string", "timestamp[s]"]
    assert table.to_pydict()["label"] == ["a", None]


def test_an_answer_that_arrow_cannot_hold_is_not_acceptable() -> None:
    for values in (np.array(["a", 1], object), np.array([1 + 2j])):
        with pytest.raises(NotAcceptable, match="'predict'"):
            encode(answer_of(predict=values))


def test_a_table_of_no_rows_keeps_its_columns() -> None:
    found = decode(
        stream(pa.record_batch({"x": pa.array([], pa.float64()), "y": pa.array([], pa.string())})), SETTINGS
    )
    assert (found.names, found.n_rows) == (["x", "y"], 0)


def test_a_stream_of_a_hundred_thousand_messages_is_refused() -> None:
    batch = pa.record_batch({"x": pa.array([], pa.float64())})
    out = io.BytesIO()
    with pa.ipc.new_stream(out, batch.schema):
        pass
    schema = out.getvalue()[:-8]  # without the stream's end
    with pytest.raises(DecodeError, match="messages"):
        decode(schema * 100_001, SETTINGS)


@given(st.data(), st.sampled_from([*"efdbhiqBHIQ"]), st.integers(1, 9), st.sampled_from([None, 1, 3]))
def test_numbers_are_written_as_arrow_writes_them(
    data: st.DataObject, dtype: str, n_rows: int, width: int | None
) -> None:
    shape = (n_rows,) if width is None else (n_rows, width)
    values = data.draw(npst.arrays(dtype, shape))
    classes = data.draw(st.sampled_from([None, ["a", "é"]]))
    outputs = {"predict": values, **({"std": np.zeros(n_rows, np.float32)} if n_rows % 2 else {})}
    response = InferenceResponse(outputs, "m", "1", "predict", n_rows, classes)
    for _ in range(2):
        assert encode(response) == arrow_answers.write_stream(arrow_answers.table_of(response))


def test_numbers_of_another_byte_order_and_very_many_columns_are_left_to_arrow() -> None:
    wide = InferenceResponse({"transform": np.ones((2, 100))}, "m", "1", "transform", 2)
    assert arrow_answers.write_numbers(wide) is None
    assert pa.ipc.open_stream(encode(wide)).read_all().num_columns == 100
    swapped = InferenceResponse({"predict": np.array([1.5, 2.5], ">f8")}, "m", "1", "predict", 2)
    assert arrow_answers.write_numbers(swapped) is None
