"""Compressed answers on the wire: in every dialect, and what they hold is what the others hold."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import numpy as np
import pytest
import urllib3
from tests import v2_client
from tests.servers import Server

ROWS = np.arange(6_000.0).reshape(-1, 3)
V2 = v2_client.request({"x": ("FP64", ROWS)}, is_binary=True, parameters={"binary_data_output": True})
V2_JSON = v2_client.request({"x": ("FP64", ROWS)}, is_binary=True)
READ = {"gzip": gzip.decompress, "deflate": zlib.decompress}

ASKED: dict[str, tuple[str, Any, dict[str, str]]] = {
    "native": ("/models/plane/predict", ROWS.tolist(), {}),
    "v2": ("/v2/models/plane/infer", V2_JSON.body, V2_JSON.headers),
    "v2 in bytes": ("/v2/models/plane/infer", V2.body, V2.headers),
    "tensorflow": ("/v1/models/plane:predict", {"instances": ROWS.tolist()}, {}),
    "mlflow": ("/invocations", {"inputs": ROWS.tolist()}, {}),
}


def ask(server: Server, dialect: str, **more: str) -> urllib3.BaseHTTPResponse:
    path, body, headers = ASKED[dialect]
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return server.http.request(
        "POST", server.url + path, body=content, headers={**headers, **more}, decode_content=False
    )


@pytest.mark.parametrize("encoding", READ)
@pytest.mark.parametrize("dialect", ASKED)
def test_an_answer_is_compressed_for_whom_asks(server: Server, dialect: str, encoding: str) -> None:
    plain = ask(server, dialect, **{"Content-Type": "application/json"})
    answer = ask(server, dialect, **{"Content-Type": "application/json", "Accept-Encoding": encoding})
    assert (plain.status, answer.status) == (200, 200)
    assert "Content-Encoding" not in plain.headers
    assert (answer.headers["Content-Encoding"], answer.headers["Vary"]) == (encoding, "Accept-Encoding")
    assert READ[encoding](answer.data) == plain.data
    assert answer.headers.get(v2_client.HEAD_LENGTH) == plain.headers.get(v2_client.HEAD_LENGTH)
    assert len(answer.data) < len(plain.data)


def test_a_short_answer_is_not_compressed(server: Server) -> None:
    answer = server.post("/models/plane/predict", [[1, 2, 3]], accept_encoding="gzip")
    assert "Content-Encoding" not in answer.headers
    assert answer.json()["predictions"] == [pytest.approx(14.0)]
