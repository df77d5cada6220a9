"""The Open Inference Protocol through a real server, with the fast lane and without it."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import urllib3
from tests import v2_client
from tests.http import folder
from tests.http.claims import check_v2_error
from tests.servers import Server, serving
from tests.v2_client import Sent

from demijohn.messages import Array

X = np.array(folder.ROWS)
INFER = "/v2/models/plane/infer"
PLANE = folder.fit_plane().predict(X)


def infer(
    server: Server, sent: Sent, path: str = INFER, **headers: str
) -> tuple[dict[str, Any], dict[str, Array]]:
    answer = server.request("POST", path, sent.body, **sent.headers, **headers)
    assert answer.status == 200, answer.data
    return v2_client.read_answer(answer.data, answer.headers.get(v2_client.HEAD_LENGTH))


@pytest.mark.parametrize("to_binary", [False, True], ids=["json", "binary"])
@pytest.mark.parametrize("is_binary", [False, True], ids=["from json", "from binary"])
@pytest.mark.parametrize("path", [INFER, "/v2/models/plane/versions/1/infer"])
def test_a_model_answers_what_it_answers(server: Server, path: str, is_binary: bool, to_binary: bool) -> None:
    parameters = {"binary_data_output": to_binary}
    sent = v2_client.request({"any": ("FP64", X)}, is_binary=is_binary, id="7", parameters=parameters)
    document, outputs = infer(server, sent, path)
    assert (document["model_name"], document["model_version"], document["id"]) == ("plane", "1", "7")
    assert outputs["predict"].tolist() == PLANE.tolist()


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_the_head_counts_what_is_decompressed(server: Server, encoding: str) -> None:
    sent = v2_client.request({"any": ("FP64", X)}, is_binary=True)
    compress = gzip.compress if encoding == "gzip" else zlib.compress
    _, outputs = infer(server, Sent(compress(sent.body), sent.head), content_encoding=encoding)
    assert outputs["predict"].tolist() == PLANE.tolist()


def test_a_body_that_is_the_tensor_is_answered_in_bytes(server: Server) -> None:
    document, outputs = infer(server, Sent(X.tobytes(), "0"))
    assert "parameters" in document["outputs"][0]
    assert outputs["predict"].tolist() == PLANE.tolist()
    check_v2_error(server.request("POST", INFER, b"\0" * 9, **{v2_client.HEAD_LENGTH: "0"}), 400)


def test_a_raw_body_may_come_in_chunks_and_be_a_text(server: Server, app: Server) -> None:
    pieces = (X.tobytes()[start : start + 7] for start in range(0, X.nbytes, 7))
    answer = server.http.request(
        "POST", server.url + INFER, body=pieces, headers={v2_client.HEAD_LENGTH: "0"}
    )
    _, outputs = v2_client.read_answer(answer.data, answer.headers[v2_client.HEAD_LENGTH])
    assert outputs["predict"].tolist() == PLANE.tolist()
    _, outputs = infer(app, Sent("grüezi".encode(), "0"), "/ml/v2/models/shout/infer")
    assert outputs["predict"].tolist() == ["GRÜEZI".encode()]


def test_a_table_takes_an_input_for_each_column(server: Server) -> None:
    frame = folder.table_rows().iloc[[0, 1, 3]]
    kinds = frame["kind"].to_numpy(dtype=object)
    for ages in (frame["age"].to_numpy(), frame[["age"]].to_numpy()):
        for is_binary in (False, True):
            tensors = {"kind": ("BYTES", kinds), "age": ("FP64", ages)}
            _, outputs = infer(
                server, v2_client.request(tensors, is_binary=is_binary), "/v2/models/table/infer"
            )
            assert outputs["predict"].tolist() == folder.fit_table().predict(frame).tolist()


def test_several_outputs_are_asked_for_at_once(server: Server) -> None:
    asked = [{"name": "predict_proba", "parameters": {"binary_data": True}}, {"name": "predict"}]
    sent = v2_client.request({"x": ("INT32", np.array([[0, 1, 2]]))}, outputs=asked)
    document, outputs = infer(server, sent, "/v2/models/forest/infer")
    assert [output["name"] for output in document["outputs"]] == ["predict_proba", "predict"]
    forest = folder.fit_forest()
    assert outputs["predict_proba"].tolist() == forest.predict_proba([[0.0, 1.0, 2.0]]).tolist()
    assert outputs["predict"].tolist() == [forest.predict([[0.0, 1.0, 2.0]])[0].encode()]


def test_a_model_that_does_not_predict_answers_by_its_first_method(server: Server) -> None:
    sent = v2_client.request({"x": ("FP64", np.ones((1, 2)))})
    document, _ = infer(server, sent, "/v2/models/logarithm/infer")
    assert document["outputs"] == [{"name": "transform", "shape": [1, 2], "datatype": "FP64", "data": [0, 0]}]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", INFER, b"{", 400),
        ("POST", INFER, b"", 400),
        ("POST", INFER, v2_client.request({"x": ("FP64", np.ones((1, 2)))}).body, 400),
        ("POST", INFER, v2_client.request({"x": ("FP64", X)}, outputs=[{"name": "transform"}]).body, 400),
        ("POST", INFER, v2_client.request({"x": ("FP64", X)}, parameters={"depth": 1}).body, 400),
        ("POST", "/v2/models/nobody/infer", b"{}", 404),
        ("POST", "/v2/models/plane/versions/9/infer", b"{}", 404),
        ("GET", "/v2/models/nobody", None, 404),
        ("GET", "/v2/models/plane/versions/9/ready", None, 404),
        ("GET", "/v2/models/nobody/stats", None, 404),
        ("GET", "/v2/nowhere", None, 404),
        ("GET", INFER, None, 405),
        ("POST", "/v2", b"{}", 405),
        ("POST", "/v2/repository/index", b'{"ready":1}', 400),
        ("POST", "/v2/repository/index", b"true", 400),
        ("POST", "/v2/repository/models/plane/load", b"{}", 403),
        ("POST", "/v2/repository/models/plane/unload", b"", 403),
        ("POST", "/v2/models/plane/generate", b'{"text_input":"a"}', 501),
        ("POST", "/v2/models/plane/versions/1/generate_stream", b"{}", 501),
        ("POST", "/v2/models/plane/infer_stream", b"{}", 501),
        ("POST", "/v2/models/plane/versions/1/infer_stream", b"{}", 501),
        (
            "POST",
            "/v2/repository/index",
            b'{"ready":' + b"[" * 250_000 + b"true" + b"]" * 250_000 + b"}",
            400,
        ),
        ("GET", "/v2/systemsharedmemory/status", None, 501),
        ("POST", "/v2/cudasharedmemory/region/r/register", b"{}", 501),
        ("GET", "/v2/models/plane/trace/setting", None, 501),
        ("POST", "/v2/logging", b"{}", 501),
    ],
)
def test_every_error_has_the_protocols_form(
    server: Server, method: str, path: str, body: bytes | None, status: int
) -> None:
    answer = server.request(method, path, body)
    assert check_v2_error(answer, status)
    if status == 405:
        assert answer.headers["Allow"]


def test_a_server_tells_what_it_is(server: Server) -> None:
    assert "binary_tensor_data" in server.get("/v2").json()["extensions"]
    assert server.get("/v2/").data == server.get("/v2").data
    for part in ("live", "ready"):
        assert server.get(f"/v2/health/{part}").json() == {"live": True, "ready": True}
    assert "plane" in server.get("/v2/models").json()["models"]
    index = server.request("POST", "/v2/repository/index", b'{"ready":true}').json()
    assert index == server.request("POST", "/v2/repository/index").json()
    assert {"name": "double", "version": "9", "state": "READY", "reason": ""} in index


def test_a_model_tells_what_it_takes(server: Server) -> None:
    assert server.get("/v2/models/plane").json() == {
        "name": "plane",
        "versions": ["1"],
        "platform": "scikit-learn",
        "inputs": [{"name": "inputs", "datatype": "FP64", "shape": [-1, 3]}],
        "outputs": [{"name": "predict", "datatype": "FP64", "shape": [-1]}],
    }
    table = server.get("/v2/models/table/versions/1").json()
    assert [(tensor["name"], tensor["datatype"]) for tensor in table["inputs"]] == [
        ("age", "FP64"),
        ("kind", "BYTES"),
    ]
    config = server.get("/v2/models/plane/config").json()
    assert config["input"] == [{"name": "inputs", "data_type": "TYPE_FP64", "dims": [3]}]
    assert config["output"][0]["reshape"] == {"shape": []}
    assert server.get("/v2/models/double/versions/9/ready").json() == {"name": "double", "ready": True}


@pytest.fixture(scope="module")
def counted(fast_lane: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of two workers that nobody else asks."""
    path = tmp_path_factory.mktemp("counted")
    folder.save(path)
    with serving([path], "--workers", "2", *folder.OPTIONS, DEMIJOHN_FAST_LANE=fast_lane) as server:
        server.await_workers(2)
        yield server


def _stats(server: Server, path: str) -> list[dict[str, Any]]:
    stats: list[dict[str, Any]] = server.get(path).json()["model_stats"]
    return stats


def test_statistics_are_those_of_all_workers(counted: Server) -> None:
    good = v2_client.request({"x": ("FP64", X)}).body

    def ask(body: bytes) -> urllib3.BaseHTTPResponse:
        return counted.request("POST", INFER, body, connection="close")

    with ThreadPoolExecutor(4) as pool:
        statuses = [answer.status for answer in pool.map(ask, [good] * 20 + [b"{"] * 5)]
    assert statuses == [200] * 20 + [400] * 5
    counted.post("/models/plane/predict", folder.ROWS)  # one set of statistics for every dialect
    (stats,) = _stats(counted, "/v2/models/plane/stats")
    assert stats in _stats(counted, "/v2/models/stats")
    assert [stats] == _stats(counted, "/v2/models/plane/versions/1/stats")
    durations = stats["inference_stats"]
    assert (durations["success"]["count"], durations["fail"]["count"]) == (21, 5)
    assert stats["inference_count"] == 21 * len(X)
    assert 1 <= stats["execution_count"] <= durations["compute_infer"]["count"] == 21
    parts = [durations[part]["ns"] for part in ("compute_input", "compute_infer", "compute_output")]
    assert all(parts)
    assert sum(parts) + durations["queue"]["ns"] <= durations["success"]["ns"]
    assert stats["last_inference"] > 1_700_000_000_000
    sizes = {one["batch_size"]: one["compute_infer"] for one in stats["batch_stats"]}
    assert sum(size * counted["count"] for size, counted in sizes.items()) == stats["inference_count"]
    assert sum(one["count"] for one in sizes.values()) == stats["execution_count"]
    assert all(one["ns"] for one in sizes.values())
    assert (stats["response_stats"], stats["memory_usage"]) == ({}, [])
