"""Arrow streams that are still coming, and answers that are written batch by batch."""

from __future__ import annotations

import gc
import io
import json
import struct
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocols.test_csv_lines import reader

from demijohn.config import Settings
from demijohn.errors import (
    BodyTimeout,
    BodyTooLarge,
    DecodeError,
    DemijohnError,
    NotAcceptable,
    SignatureMismatch,
    TooManySlowBodies,
)
from demijohn.messages import ArrayColumns, InferenceRequest, InferenceResponse, Rows
from demijohn.protocols import arrow_pieces, native
from demijohn.protocols.pieces import Bounds, rows_in
from demijohn.signature import Signature, TensorSpec

LIMIT = 20_000
SETTINGS = Settings(max_body_bytes=LIMIT)
SIGNATURE = Signature("table", (TensorSpec("a"), TensorSpec("text", "str", nullable=True)))
PROBLEM = native.encode_error(DemijohnError("it failed"), "id").body


def table(n_rows: int) -> pa.Table:
    texts = [None if index % 5 == 4 else f"text {index % 3}" for index in range(n_rows)]
    return pa.table({"a": np.arange(float(n_rows)), "text": pa.array(texts).dictionary_encode()})


def written(rows: pa.Table, height: int = 10, **options: Any) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_stream(out, rows.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(rows, max_chunksize=height)
    return out.getvalue()


def read(body: bytes, size: int = 1_000, first_bytes: int = 0) -> list[ArrayColumns]:
    bounds = Bounds(row_bytes=LIMIT, first_bytes=first_bytes)
    return list(arrow_pieces.decode_stream(reader(body, [size]), bounds, SETTINGS))


def values(pieces: list[ArrayColumns]) -> dict[str, list[Any]]:
    checked = [SIGNATURE.validate(piece) for piece in pieces]
    return {name: [value for piece in checked for value in piece[name].tolist()] for name in checked[0]}


@settings(deadline=None)  # the first imports Arrow
@given(st.integers(1, 60), st.integers(1, 30), st.integers(1, 3_000), st.sampled_from([None, "lz4", "zstd"]))
def test_batches_are_pieces_however_their_bytes_come(
    n_rows: int, height: int, size: int, compression: str | None
) -> None:
    rows = table(n_rows)
    body = written(rows, height, compression=compression)
    pieces = read(body, size)
    assert [rows_in(piece) for piece in pieces] == [len(batch) for batch in rows.to_batches(height)]
    assert values(pieces) == rows.to_pydict()
    assert values(read(body[:-8], size)) == rows.to_pydict()  # without the mark of its end
    (whole,) = read(body, size, first_bytes=len(body))
    assert values([whole]) == rows.to_pydict()


def test_a_dictionary_that_is_longer_than_a_batch_is_not_read_for_it() -> None:
    rows = pa.table({"a": [1.0, 2.0], "text": pa.array([f"{n}" for n in range(900)]).dictionary_encode()[:2]})
    (piece,) = read(written(rows))
    assert values([piece]) == {"a": [1, 2], "text": ["0", "1"]}
    assert all(len(column.values) == 2 for column in piece.each())


def test_no_rows_are_a_piece_without_any() -> None:
    for rows in (table(0), table(3).slice(0, 0)):
        assert [rows_in(piece) for piece in read(written(rows))] == [0]


@pytest.mark.parametrize("size", [1, 5_000])
def test_an_error_comes_behind_the_batches_before_it_and_says_where(size: int) -> None:
    body = written(table(30))
    third = len(body) - 300
    unread = pa.table({"a": [{"b": 1}]})
    for broken, error, row in (
        (body[:third], DecodeError, 20),
        (body + b"more", DecodeError, 30),
        (written(unread), SignatureMismatch, 0),
    ):
        pieces = arrow_pieces.decode_stream(reader(broken, [size]), Bounds(row_bytes=LIMIT), SETTINGS)
        heights: list[int] = []
        with pytest.raises(error) as raised:
            heights.extend(map(rows_in, pieces))
        assert sum(heights) == row
        assert raised.value.errors[0].row in {row, None}


@pytest.mark.parametrize(
    "body",
    [b"", b"\x00" * 8, b"ARROW1\x00\x00", b"\xff\xff\xff\xff\x10\x00\x00\x00" + b"\xff" * 16, b"short"],
)
def test_what_is_no_stream_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError, match="Arrow"):
        read(body)


def announcing(n_bytes: int) -> bytes:
    """Return a stream whose batch says that it has such a body."""
    body = bytearray(written(table(10)))
    first = 8 + struct.unpack_from("<I", body, 4)[0]
    schema = bytes(body[:first])
    message = bytes(body[first:])
    size = struct.unpack_from("<I", message, 4)[0]
    batch = pa.ipc.read_message(message)
    found = message[8 : 8 + size].index(struct.pack("<q", len(batch.body)))
    return schema + message[: 8 + found] + struct.pack("<q", n_bytes) + message[16 + found :]


def test_a_batch_that_announces_gigabytes_is_refused_before_they_come() -> None:
    taken = []
    give = reader(announcing(2**33) + b"x" * 100_000, [1_000])

    def count() -> bytes:
        taken.append(piece := give())
        return piece

    with pytest.raises(BodyTooLarge, match="A batch is too long"):
        list(arrow_pieces.decode_stream(count, Bounds(row_bytes=LIMIT), SETTINGS))
    assert sum(map(len, taken)) < LIMIT
    with pytest.raises(DecodeError):
        read(announcing(-8))
    zeros = pa.table({"a": np.zeros(100_000)})
    with pytest.raises(BodyTooLarge, match="decompressed"):
        read(written(zeros, 100_000, compression="zstd"))


def test_dictionaries_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    def batches() -> Any:
        for index in range(50):
            texts = pa.array([f"{index} {n}" for n in range(20)]).dictionary_encode()
            yield pa.record_batch({"a": np.zeros(20), "text": texts})

    out = io.BytesIO()
    with pa.ipc.new_stream(out, next(batches()).schema) as writer:
        for batch in batches():
            writer.write_batch(batch)
    assert sum(map(rows_in, read(out.getvalue()))) == 1_000
    monkeypatch.setattr(arrow_pieces, "_DICTIONARY_BYTES", 5_000)
    with pytest.raises(BodyTooLarge, match="dictionaries"):
        read(out.getvalue())


# Out -----------------------------------------------------------------------------------------


def response(**outputs: Any) -> InferenceResponse:
    return InferenceResponse(outputs, "model", "1", "predict", len(next(iter(outputs.values()))), ["x", "y"])


def test_pieces_make_a_stream_of_the_same_rows() -> None:
    outputs = {"predict": np.arange(6.0).reshape(3, 2), "text": np.array(["a", None, "c"], dtype=object)}
    whole = native.encode(response(**outputs), InferenceRequest(Rows([])), native.ARROW)
    writer = native.encode_stream(native.ARROW)
    pieces = [writer.write(response(**{k: v[i : i + 2] for k, v in outputs.items()})) for i in (0, 2)]
    found = pa.ipc.open_stream(b"".join(pieces) + writer.end()).read_all()
    assert found.equals(pa.ipc.open_stream(whole.body).read_all(), check_metadata=True)
    assert found.column("predict_1").to_pylist() == [1, 3, 5]
    assert whole.content_type == writer.content_type == native.ARROW


def test_an_error_is_a_batch_without_rows_that_breaks_the_stream_off() -> None:
    writer = native.encode_stream(native.ARROW)
    body = writer.write(response(predict=np.array([1.5]))) + writer.fail(PROBLEM)
    stream = pa.ipc.open_stream(body)
    assert stream.read_next_batch().to_pydict() == {"predict": [1.5]}
    last, metadata = stream.read_next_batch_with_custom_metadata()
    assert last.num_rows == 0
    assert json.loads(metadata["error"]) == json.loads(PROBLEM)
    with pytest.raises((pa.ArrowException, OSError)):
        stream.read_next_batch()
    with pytest.raises((pa.ArrowException, OSError)):
        pa.ipc.open_stream(body).read_all()


def test_rows_of_another_kind_than_those_before_cannot_be_written() -> None:
    writer = native.encode_stream(native.ARROW)
    writer.write(response(predict=np.array([1, 2], dtype=object)))
    with pytest.raises(NotAcceptable, match="another kind"):
        writer.write(response(predict=np.array(["a"], dtype=object)))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda body: body + b"more", "Something follows"),
        (lambda body: body[: len(body) // 2], "broken"),
        (lambda body: body.replace(b"text", b"\xff" * 4), "UTF"),
        (lambda body: body[:-8] + b"\xff\xff\xff\x7f" + bytes(8), "too long"),
    ],
)
def test_nothing_is_left_of_a_stream_that_was_refused(spoil: Callable[[bytes], bytes], why: str) -> None:
    body = spoil(written(table(100)))
    refused(body, why)  # pyarrow is imported, and its pools are there
    before = pa.total_allocated_bytes()
    gc.disable()  # what is let go at once needs no collector
    try:
        assert [refused(body, why)() for _ in range(3)] == [None] * 3
        assert pa.total_allocated_bytes() == before
    finally:
        gc.enable()


def refused(body: bytes, why: str) -> weakref.ref[Any]:
    """Read a stream to its refusal; returns what can tell whether the stream's bytes are still held."""

    class Body:
        def __init__(self) -> None:
            self.read = reader(body, [1_000])

        def __call__(self) -> bytes:
            return self.read()

    coming = Body()
    with pytest.raises(DecodeError if why != "too long" else BodyTooLarge, match=why):
        list(arrow_pieces.decode_stream(coming, Bounds(row_bytes=LIMIT), SETTINGS))
    return weakref.ref(coming)


@pytest.mark.parametrize("error", [TooManySlowBodies(), BodyTimeout()])
def test_a_body_that_does_not_come_is_told_as_it_is(error: DemijohnError) -> None:
    def no_more() -> bytes:
        raise error

    with pytest.raises(type(error)):
        list(arrow_pieces.decode_stream(no_more, Bounds(row_bytes=LIMIT), SETTINGS))


def test_a_connection_that_breaks_is_a_broken_stream() -> None:
    def no_more() -> bytes:
        raise ConnectionResetError("gone")

    with pytest.raises(DecodeError, match="gone"):
        list(arrow_pieces.decode_stream(no_more, Bounds(row_bytes=LIMIT), SETTINGS))
