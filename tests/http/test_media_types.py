"""Binary and other forms of body and answer, through a socket: the same predictions as in JSON."""

from __future__ import annotations

import gzip
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.http.claims import check_problem
from tests.http.folder import FORMULAS, ROWS
from tests.servers import Server

ARROW = "application/vnd.apache.arrow.stream"
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
