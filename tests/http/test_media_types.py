"""Binary and other forms of body and answer, through a socket: the same predictions as in JSON."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.http.claims import check_problem
from tests.http.folder import FORMULAS, ROWS
from tests.parquet_files import deep_file
from tests.servers import Server

from demijohn.protocols import native

ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
NPY, NPZ = "application/x-npy", "application/x-npz"
LINES = ("application/x-ndjson", "application/jsonl")
TABLE: Mapping[str, Any] = {
    "age": pa.array([20.0, None, 25.5]),
    "kind": pa.array(["cat", "dog", "cat"]).dictionary_encode(),
}
PLANE = pa.table(dict(zip("abc", np.array(ROWS).T, strict=True)))


def arrow(table: pa.Table, compression: str | None = None) -> bytes:
    out = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(out, table.schema, options=options) as writer:
        writer.write_table(table)
    return out.getvalue()


def predict(server: Server, model: str, body: Any, method: str = "predict", **headers: str) -> Any:
    for _ in range(2):  # the second time its head is known
        answer = server.post(f"/models/{model}/{method}", body, **headers)
        assert answer.status == 200, answer.data
    return answer


def by_json(server: Server, model: str, body: Any, method: str = "predict") -> Any:
    return predict(server, model, body, method).json()["predictions"]


RECORDS = [{"age": 20.0, "kind": "cat"}, {"age": None, "kind": "dog"}, {"age": 25.5, "kind": "cat"}]


@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
def test_an_arrow_stream_is_answered_as_its_rows_in_json_are(server: Server, compression: str | None) -> None:
    table = pa.table(dict(TABLE))
    body = arrow(table.select(["kind", "age"]), compression)
    assert predict(server, "table", body, content_type=ARROW).json()["predictions"] == by_json(
        server, "table", RECORDS
    )
    body = gzip.compress(arrow(PLANE, compression))
    answer = predict(server, "plane", body, content_type=ARROW, content_encoding="gzip")
    assert answer.json()["predictions"] == by_json(server, "plane", ROWS)


def test_an_answer_comes_as_an_arrow_stream(server: Server) -> None:
    answer = predict(server, "forest", ROWS, "predict_proba", accept=ARROW)
    assert answer.headers["Content-Type"] == ARROW
    table = pa.ipc.open_stream(answer.data).read_all()
    assert table.schema.names == [f"predict_proba_{index}" for index in range(len(FORMULAS))]
    columns = zip(*by_json(server, "forest", ROWS, "predict_proba"), strict=True)
    assert [column.to_pylist() for column in table.columns] == [list(column) for column in columns]
    labels = pa.ipc.open_stream(predict(server, "forest", ROWS, accept=ARROW).data).read_all()
    assert labels.column("predict").to_pylist() == by_json(server, "forest", ROWS)


def test_what_does_not_fit_in_arrow_is_told_as_in_json(server: Server) -> None:
    table = pa.table({"age": pa.array(["young", "20", "old"]), "kind": TABLE["kind"]})
    answer = server.post("/models/table/predict", arrow(table), content_type=ARROW)
    problem = check_problem(answer, 422, "signature_mismatch")
    assert problem["errors"][0] == {
        "row": 0, "column": "age", "expected": "float64 or null", "received": 'the string "young"',
    }  # fmt: skip
    holes = arrow(pa.table({"a": pa.array([1.0, None]), "b": [1.0, 2.0], "c": [1, 2]}))
    answer = server.post("/models/plane/predict", holes, content_type=ARROW)
    (place,) = check_problem(answer, 422, "signature_mismatch")["errors"]
    assert place == {"row": 1, "column": 0, "expected": "float64", "received": "null"}
    answer = server.post("/models/table/predict", arrow(table)[:-9], content_type=ARROW)
    check_problem(answer, 400, "unreadable_body")


def test_a_bomb_in_arrow_is_refused_before_it_goes_off(server: Server) -> None:
    zeros = pa.table({name: np.zeros(4 << 20) for name in "abc"})
    body = arrow(zeros, "zstd")
    assert len(body) < 1 << 20
    check_problem(server.post("/models/plane/predict", body, content_type=ARROW), 413, "body_too_large")


def npy(array: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def npz(**arrays: Any) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def test_numpys_files_are_answered_as_their_rows_in_json_are(server: Server) -> None:
    expected = by_json(server, "plane", ROWS)
    for rows in (np.array(ROWS), np.asfortranarray(ROWS)):
        assert predict(server, "plane", npy(rows), content_type=NPY).json()["predictions"] == expected
    assert predict(server, "plane", npz(any=ROWS), content_type=NPZ).json()["predictions"] == expected
    table = npz(kind=np.array(["cat", "dog", "cat"]), age=np.array([20.0, np.nan, 25.5]))
    answer = predict(server, "table", table, content_type=NPZ)
    assert answer.json()["predictions"] == by_json(server, "table", RECORDS)


def test_an_answer_comes_as_numpys_files(server: Server) -> None:
    answer = predict(server, "forest", ROWS, "predict_proba", accept=NPY)
    assert answer.headers["Content-Type"] == NPY
    assert np.load(io.BytesIO(answer.data)).tolist() == by_json(server, "forest", ROWS, "predict_proba")
    with np.load(io.BytesIO(predict(server, "forest", ROWS, accept=NPZ).data)) as labels:
        assert labels["predict"].tolist() == by_json(server, "forest", ROWS)


def test_what_is_wrong_with_numpys_files_is_told(server: Server) -> None:
    def refused(body: bytes, status: int, code: str, media_type: str = NPY) -> Any:
        answer = server.post("/models/plane/predict", body, content_type=media_type)
        return check_problem(answer, status, code)

    out = io.BytesIO()
    np.save(out, np.array([print], object), allow_pickle=True)
    refused(out.getvalue(), 422, "signature_mismatch")
    refused(npy(ROWS)[:-1], 400, "unreadable_body")
    refused(npz(x=ROWS)[:-30], 400, "unreadable_body", NPZ)
    refused(npz(x=np.zeros((9 << 20, 1))), 413, "body_too_large", NPZ)
    refused(npy(np.zeros((2, 4))), 422, "signature_mismatch")
    (place,) = refused(npy([[1.0, np.nan, 2.0]]), 422, "signature_mismatch")["errors"]
    assert place == {"row": 0, "column": 1, "expected": "float64", "received": "NaN"}


@pytest.mark.parametrize("media_type", LINES)
def test_lines_are_rows_and_answers_are_lines(server: Server, media_type: str) -> None:
    body = "\n".join(map(json.dumps, RECORDS)).encode()
    answer = predict(server, "table", body, content_type=media_type, accept=media_type)
    assert answer.headers["Content-Type"] == media_type
    assert [json.loads(line) for line in answer.data.splitlines()] == by_json(server, "table", RECORDS)
    answer = server.post("/models/plane/predict", b"[1,2,3]\n[1,2\n", content_type=media_type)
    assert "row 1" in check_problem(answer, 400, "unreadable_body")["detail"]


def parquet(table: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def test_a_parquet_file_is_answered_as_its_rows_in_json_are(server: Server) -> None:
    table = pa.table(dict(TABLE))
    answer = predict(server, "table", parquet(table), content_type=PARQUET, accept=PARQUET)
    assert answer.headers["Content-Type"] == PARQUET
    found = pq.read_table(io.BytesIO(answer.data))
    assert found.column("predict").to_pylist() == by_json(server, "table", RECORDS)
    rows = parquet(PLANE, data_page_version="2.0", row_group_size=2)
    assert predict(server, "plane", rows, content_type=PARQUET).json()["predictions"] == by_json(
        server, "plane", ROWS
    )


def test_what_is_wrong_with_a_parquet_file_is_told(server: Server) -> None:
    def refused(body: bytes, status: int, code: str) -> Any:
        answer = server.post("/models/plane/predict", body, content_type=PARQUET)
        return check_problem(answer, status, code)

    refused(parquet(PLANE)[:-1], 400, "unreadable_body")
    refused(deep_file(50_000), 400, "unreadable_body")
    refused(parquet(pa.table({"x": np.zeros(9 << 20)}), compression="zstd"), 413, "body_too_large")
    refused(parquet(PLANE.select(["a", "b"])), 422, "signature_mismatch")


def test_mlflows_route_takes_parquet(server: Server) -> None:
    answer = server.post("/invocations", parquet(PLANE), content_type=PARQUET)
    assert answer.json() == {"predictions": by_json(server, "plane", ROWS)}
    broken = server.post("/invocations", parquet(PLANE)[:-1], content_type=PARQUET)
    assert (broken.status, broken.json()["error_code"]) == (400, "BAD_REQUEST")


@pytest.mark.parametrize("media_type", native.ANSWERS)
def test_a_body_in_each_form_is_answered_in_each(server: Server, media_type: str) -> None:
    """What the model answers is, as rows, what it takes: ``double`` has one column."""
    rows = [[1.0], [2.5]]
    body = _as_body(server.post("/models/double/predict", rows, accept=media_type).data, media_type)
    expected = [[value] for value in by_json(server, "double", rows)]
    for accept in native.ANSWERS:
        made = server.post("/models/double/predict", body, content_type=media_type, accept=accept)
        assert made.status == 200, made.data
        assert made.data == server.post("/models/double/predict", expected, accept=accept).data


def _as_body(answer: bytes, media_type: str) -> bytes:
    """Return an answer as a body: JSON says more than the rows, and its rows are no lists."""
    if media_type == native.JSON:
        return json.dumps([[value] for value in json.loads(answer)["predictions"]]).encode()
    if media_type in native.LINES:
        return b"".join(b"[" + line + b"]\n" for line in answer.splitlines())
    if media_type == native.NPY:
        return npy(np.load(io.BytesIO(answer)).reshape(-1, 1))
    if media_type == native.NPZ:
        return npz(rows=np.load(io.BytesIO(answer))["predict"].reshape(-1, 1))
    return answer
