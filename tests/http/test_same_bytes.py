"""With the fast lane and without it, the bytes on the wire are the same, whatever is asked."""

from __future__ import annotations

import gzip
import re
import socket
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from tests import v2_client
from tests.http import folder, wire
from tests.http.conftest import ROOT
from tests.servers import Server, serving

KEY = "4wK9-first-key"
FRIEND = "https://trusted.example.com"
LIMIT = 100_000
_DATE = re.compile(rb"\r\ndate: [^\r]*", re.IGNORECASE)
_MADE_ID = re.compile(rb"\b[0-9a-f]{32}\b")

Pair = tuple[Server, Server]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """``demijohn serve folder``, with the lane and without it."""
    path = tmp_path_factory.mktemp("models")
    folder.save(path)
    with ExitStack() as stack:
        lane, flask = (
            stack.enter_context(
                serving(
                    [path], "--workers", "1", *folder.OPTIONS,
                    DEMIJOHN_FAST_LANE=on, DEMIJOHN_MAX_BODY_BYTES=str(LIMIT),
                )
            )
            for on in ("1", "0")
        )  # fmt: skip
        yield lane, flask


@pytest.fixture(scope="module")
def hosted() -> Iterator[Pair]:
    """``demijohn serve app``, with keys and CORS, with the lane and without it."""
    environ = {"DEMIJOHN_API_KEY": KEY, "DEMIJOHN_ALLOWED_ORIGINS": FRIEND}
    with ExitStack() as stack:
        lane, flask = (
            stack.enter_context(
                serving(["tests.http.apps:app"], "--workers", "1", cwd=ROOT, DEMIJOHN_FAST_LANE=on, **environ)
            )
            for on in ("1", "0")
        )
        yield lane, flask


def ask(server: Server, request: bytes) -> bytes:
    """Send bytes; returns what came back, but for the time of day and ids that were made."""
    with socket.create_connection(server.address, timeout=wire.TIMEOUT_S) as connection:
        connection.sendall(request)
        answer = bytearray()
        while piece := connection.recv(65_536):
            answer += piece
    return _MADE_ID.sub(b"<made>", _DATE.sub(b"", bytes(answer)))


def post(path: str, body: bytes | str, *headers: tuple[str, str], **options: str) -> bytes:
    """Write a request whose answer ends its connection."""
    body = body if isinstance(body, bytes) else body.encode()
    given = {name.lower() for name, _ in headers}
    usual = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("X-Request-Id", "same"),
    ]
    lines = [pair for pair in usual if pair[0].lower() not in given]
    lines += [(name, value) for name, value in headers if value != "-"]
    return wire.get(path, [*lines, ("Connection", "close")], method="POST", **options) + body


def bare(method: str, path: str, *headers: tuple[str, str], **options: str) -> bytes:
    lines = [("X-Request-Id", "same"), *headers, ("Connection", "close")]
    return wire.get(path, lines, method=method, **options)


ROWS = "[[1,2,3],[4,5.5,-6.25]]"
LONG = "[" + ",".join(["[1,2,3]"] * 3_000) + "]"
PREDICT = "/models/plane/predict"
TENSORFLOW = "/v1/models/plane:predict"
CSV = ("Content-Type", "text/csv")
CHUNKED = ("Transfer-Encoding", "chunked")

V2 = "/v2/models/plane/infer"


def v2_body(rows: list[list[float]] | None = None, **more: Any) -> bytes:
    return v2_client.request({"x": ("FP64", np.array(rows or [[1.0, 2.0, 3.0]]))}, **more).body


V2_JSON = v2_body()
V2_LONG = v2_body([[1.0, 2.0, 3.0]] * 2_000)
V2_BYTES = v2_client.request(
    {"x": ("FP64", np.ones((2, 3)))}, is_binary=True, parameters={"binary_data_output": True}
)

V2_MEBIBYTES = v2_client.request(
    {"x": ("UINT8", np.ones((30_000, 3), np.uint8))},
    is_binary=True,
    outputs=[{"name": "predict_proba", "parameters": {"binary_data": True}}],
)

SERVED: dict[str, bytes] = {
    # Good bodies, in every form
    "rows": post("/predict", ROWS),
    "one row": post("/predict", "[[1,2,3]]"),
    "no rows": post("/predict", "[]"),
    "instances": post(PREDICT, f'{{"instances":{ROWS}}}'),
    "inputs": post(PREDICT, f'{{"inputs":{ROWS}}}'),
    "split": post(PREDICT, f'{{"dataframe_split":{{"data":{ROWS}}}}}'),
    "records": post("/models/table/predict", '[{"age":null,"kind":"cat"},{"age":3,"kind":"emu"}]'),
    "columns": post("/models/table/predict", '{"inputs":{"age":[1,2],"kind":["cat","dog"]}}'),
    "dataframe records": post("/models/table/predict", '{"dataframe_records":[{"age":1,"kind":"cat"}]}'),
    "csv": post(PREDICT, "a,b,c\n1,2,3\n4,5,6\n", CSV),
    "csv without header": post(PREDICT, "1,2,3\n", ("Content-Type", "text/csv; header=absent")),
    "charset": post(PREDICT, ROWS, ("Content-Type", "application/json; charset=utf-8")),
    "no content type": post(PREDICT, ROWS, ("Content-Type", "-")),
    "gzip": post(PREDICT, gzip.compress(ROWS.encode(), mtime=0), ("Content-Encoding", "gzip")),
    "deflate": post(PREDICT, zlib.compress(ROWS.encode()), ("Content-Encoding", "deflate")),
    "chunked": post(PREDICT, wire.chunked([b"[[1,", b"2,3]]"]), ("Content-Length", "-"), CHUNKED),
    "many rows": post(PREDICT, LONG),
    "probabilities": post("/models/forest/predict_proba", "[[0,1,2]]"),
    "labels": post("/models/forest/predict", "[[0,1,2],[9,10,11]]"),
    "not finite": post("/models/logarithm/transform", "[[0,-1],[1,2]]"),
    "version": post("/models/double/versions/9/predict", "[[1]]"),
    "alias": post("/models/double/aliases/champion/predict", "[[1]]"),
    "query": post(PREDICT + "?verbose=1", ROWS),
    # What the answer may be
    "any answer": post(PREDICT, ROWS, ("Accept", "*/*")),
    "csv answer": post(PREDICT, ROWS, ("Accept", "text/csv")),
    "csv answer of formulas": post("/models/forest/predict", "[[0,1,2]]", ("Accept", "text/csv")),
    "weighed answers": post(PREDICT, ROWS, ("Accept", "application/json;q=0.1, text/csv")),
    "no such answer": post(PREDICT, ROWS, ("Accept", "image/png")),
    "gzipped answer": post(PREDICT, LONG, ("Accept-Encoding", "gzip, deflate, br")),
    "deflated answer": post(PREDICT, LONG, ("Accept-Encoding", "gzip;q=0.1, deflate")),
    "short answer": post(PREDICT, ROWS, ("Accept-Encoding", "gzip")),
    "gzipped csv answer": post(PREDICT, LONG, ("Accept-Encoding", "gzip"), ("Accept", "text/csv")),
    "gzipped refusal": post(PREDICT, "[" + ",".join(["[1]"] * 30) + "]", ("Accept-Encoding", "gzip")),
    # What cannot be read
    "nothing": post(PREDICT, ""),
    "broken": post(PREDICT, "[[1,2"),
    "nan": post(PREDICT, "[[NaN,1,2]]"),
    "utf-16": post(PREDICT, ROWS.encode("utf-16")),
    "twice": post("/models/table/predict", '[{"age":1,"age":2,"kind":"cat"}]'),
    "deep": post(PREDICT, "[" * 100 + "]" * 100),
    "not gzip": post(PREDICT, ROWS, ("Content-Encoding", "gzip")),
    "length that is no number": post(PREDICT, "", ("Content-Length", "x")),
    # What does not fit
    "too short": post(PREDICT, "[[1,2]]"),
    "too long": post(PREDICT, "[[1,2,3,4]]"),
    "text": post(PREDICT, '[[1,2,"3"]]'),
    "null": post(PREDICT, "[[1,2,null]]"),
    "many problems": post(PREDICT, "[" + ",".join(["[1]"] * 30) + "]"),
    "unknown column": post("/models/table/predict", '[{"age":1,"kind":"cat","x":1}]'),
    "unknown category": post("/models/table/predict", '[{"age":1,"kind":"yak"}]'),
    "no form": post(PREDICT, "{}"),
    "parameter": post(PREDICT, f'{{"instances":{ROWS},"params":{{"x":1}}}}'),
    "refused by the model": post("/models/forest/predict", "[[1e300,1,2]]"),
    # What is not there
    "no model": post("/models/nobody/predict", ROWS),
    "no method": post("/models/plane/predict_proba", ROWS),
    "no version": post("/models/plane/versions/7/predict", ROWS),
    "no alias": post("/models/plane/aliases/x/predict", ROWS),
    "no route": post("/nowhere", ROWS),
    "slash": post(PREDICT + "/", ROWS),
    "two slashes": post("//models/plane/predict", ROWS),
    "escaped": post("/models/pl%61ne/predict", ROWS),
    "escaped slash": post("/models/plane%2Fpredict", ROWS),
    "escaped NUL": post("/models/%00/%ff", ROWS),
    "another route": post("/models", ROWS),
    # Limits and media types
    "too large": post(PREDICT, " " * (LIMIT + 1)),
    "too large, decompressed": post(
        PREDICT, gzip.compress(b" " * (LIMIT + 1), mtime=0), ("Content-Encoding", "gzip")
    ),
    "type": post(PREDICT, ROWS, ("Content-Type", "text/plain")),
    "other charset": post(PREDICT, ROWS, ("Content-Type", "application/json; charset=latin-1")),
    "encoding": post(PREDICT, ROWS, ("Content-Encoding", "br")),
    # Host, Origin, ids
    "foreign host": post(PREDICT, ROWS, host="evil.test"),
    "host with port": post(PREDICT, ROWS, host="127.0.0.1:80"),
    "host in capitals": post(PREDICT, ROWS, host="LOCALHOST"),
    "host of two dots": post(PREDICT, ROWS, host="a..b"),
    "two hosts": post(PREDICT, ROWS, ("Host", "localhost")),
    "origin": post(PREDICT, ROWS, ("Origin", "http://evil.test")),
    "own origin": post(PREDICT, ROWS, ("Origin", "http://localhost")),
    "dirty id": post(PREDICT, ROWS, ("X-Request-Id", "a b")),
    "dirty id of a refusal": post(PREDICT, "[", ("X-Request-Id", "<b>")),
    "cookie": post(PREDICT, ROWS, ("Cookie", "session=x")),
    "forwarded": post(PREDICT, ROWS, ("X-Forwarded-Host", "evil.test")),
    # The Open Inference Protocol
    "v2": post(V2, V2_JSON),
    "v2 version": post("/v2/models/double/versions/9/infer", v2_body([[1.0]])),
    "v2 binary": post(V2, V2_BYTES.body, (v2_client.HEAD_LENGTH, V2_BYTES.head)),
    "v2 raw": post(V2, np.ones((2, 3)).tobytes(), (v2_client.HEAD_LENGTH, "0")),
    "v2 raw, chunked": post(
        V2,
        wire.chunked([np.ones((2, 3)).tobytes()]),
        ("Content-Length", "-"),
        CHUNKED,
        (v2_client.HEAD_LENGTH, "0"),
    ),
    "v2 no content type": post(V2, V2_JSON, ("Content-Type", "-")),
    "v2 gzip": post(V2, gzip.compress(V2_JSON, mtime=0), ("Content-Encoding", "gzip")),
    "v2 outputs": post(
        "/v2/models/forest/infer", v2_body(outputs=[{"name": "predict_proba"}, {"name": "predict"}])
    ),
    "v2 answer of more than a mebibyte": post(
        "/v2/models/forest/infer", V2_MEBIBYTES.body, (v2_client.HEAD_LENGTH, V2_MEBIBYTES.head)
    ),
    "v2 of a transformer": post("/v2/models/logarithm/infer", v2_body([[0.0, 1.0]])),
    "v2 broken": post(V2, "{"),
    "v2 misfit": post(V2, v2_body([[1.0]])),
    "v2 no output": post(V2, v2_body(outputs=[{"name": "x"}])),
    "v2 head beyond": post(V2, V2_JSON, (v2_client.HEAD_LENGTH, "99999")),
    "v2 no model": post("/v2/models/nobody/infer", V2_JSON),
    "v2 no version": post("/v2/models/plane/versions/7/infer", V2_JSON),
    "v2 any answer": post(V2, V2_JSON, ("Accept", "image/png")),
    "v2 encoding": post(V2, V2_JSON, ("Content-Encoding", "br")),
    "v2 gzipped answer": post(V2, V2_LONG, ("Accept-Encoding", "gzip")),
    "v2 foreign host": post(V2, V2_JSON, host="evil.test"),
    "v2 origin": post(V2, V2_JSON, ("Origin", "http://evil.test")),
    "v2 too large": post(V2, " " * (LIMIT + 1)),
    "v2 get": bare("GET", V2),
    # Other dialects
    "tensorflow rows": post(TENSORFLOW, f'{{"instances":{ROWS}}}'),
    "tensorflow columns": post(TENSORFLOW, f'{{"inputs":{ROWS}}}', ("Content-Type", "-")),
    "tensorflow in capitals": post("/v1/models/plane/versions/0:PREDICT", f'{{"instances":{ROWS}}}'),
    "tensorflow label": post("/v1/models/double/labels/champion:predict", '{"instances":[[1]]}'),
    "tensorflow classify": post("/v1/models/forest:classify", '{"examples":[{"inputs":[0,1,2]}]}'),
    "tensorflow regress": post("/v1/models/table:regress", '{"examples":[{"age":1,"kind":"cat"}]}'),
    "tensorflow signature": post(
        "/v1/models/logarithm:predict", '{"instances":[[0,-1],[1,2]],"signature_name":"transform"}'
    ),
    "tensorflow no signature": post(TENSORFLOW, f'{{"instances":{ROWS},"signature_name":"x"}}'),
    "tensorflow nan": post("/v1/models/table:predict", '{"instances":[{"age":NaN,"kind":"cat"}]}'),
    "tensorflow misfit": post(TENSORFLOW, '{"instances":[[1,2]]}'),
    "tensorflow broken": post(TENSORFLOW, "[[1,2"),
    "tensorflow verb": post("/v1/models/plane:train", f'{{"instances":{ROWS}}}'),
    "tensorflow explain": post("/v1/models/plane:explain", f'{{"instances":{ROWS}}}'),
    "tensorflow path": post("/v1/model/plane:predict", f'{{"instances":{ROWS}}}'),
    "tensorflow no model": post("/v1/models/nobody:predict", f'{{"instances":{ROWS}}}'),
    "tensorflow no version": post("/v1/models/plane/versions/7:predict", f'{{"instances":{ROWS}}}'),
    "tensorflow foreign host": post(TENSORFLOW, f'{{"instances":{ROWS}}}', host="evil.test"),
    "tensorflow too large": post(TENSORFLOW, " " * (LIMIT + 1)),
    "mlflow": post("/invocations", f'{{"dataframe_split":{{"data":{ROWS}}}}}'),
    "mlflow csv": post("/invocations", "a,b,c\n1,2,3\n", CSV),
    "mlflow without type": post("/invocations", f'{{"inputs":{ROWS}}}', ("Content-Type", "-")),
    "mlflow other type": post("/invocations", ROWS, ("Content-Type", "text/plain")),
    "mlflow rows": post("/invocations", ROWS),
    "mlflow params": post("/invocations", f'{{"inputs":{ROWS},"params":{{"x":1}}}}'),
    # Other methods
    "get": bare("GET", PREDICT),
    "head": bare("HEAD", PREDICT),
    "options": bare("OPTIONS", PREDICT),
    "put": bare("PUT", PREDICT),
    "brew": bare("BREW", PREDICT),
    "websocket": bare("POST", PREDICT, ("Upgrade", "websocket")),
}

_KEY = ("X-API-Key", KEY)
_ML = "/ml/models/plane/predict"
HOSTED: dict[str, bytes] = {
    "key": post(_ML, ROWS, _KEY),
    "bearer": post(_ML, ROWS, ("Authorization", f"Bearer {KEY}")),
    "no key": post(_ML, ROWS),
    "v2": post("/ml" + V2, V2_JSON, _KEY),
    "v2 without key": post("/ml" + V2, V2_JSON),
    "v2 of a function": post(
        "/ml/v2/models/shout/infer",
        b'{"inputs":[{"name":"text","datatype":"BYTES","shape":[1],"data":["a"]}]}',
        _KEY,
    ),
    "v2 of a generator": post(
        "/ml/v2/models/spell/infer",
        b'{"inputs":[{"name":"word","datatype":"BYTES","shape":[1],"data":["ab"]}]}',
        _KEY,
    ),
    "wrong key": post(_ML, ROWS, ("X-API-Key", "wrong")),
    "wrong bearer": post(_ML, ROWS, ("Authorization", "Bearer wrong"), _KEY),
    "no model": post("/ml/models/nobody/predict", ROWS, _KEY),
    "no route": post("/ml/nowhere", ROWS, _KEY),
    "friend": post(_ML, ROWS, _KEY, ("Origin", FRIEND)),
    "gzipped answer for a friend": post(_ML, LONG, _KEY, ("Origin", FRIEND), ("Accept-Encoding", "gzip")),
    "friend without key": post(_ML, ROWS, ("Origin", FRIEND)),
    "like a friend": post(_ML, ROWS, _KEY, ("Origin", f"{FRIEND}.evil.test")),
    "preflight": bare("OPTIONS", _ML, ("Origin", FRIEND), ("Access-Control-Request-Method", "POST")),
    "function": post("/ml/models/shout/predict", '[{"text":"a"}]', _KEY),
    "function of numbers": post("/ml/models/whole/predict", '[{"count":3}]', _KEY),
    "bad input": post("/ml/models/picky/predict", '[{"x":-1}]', _KEY),
    "model error": post("/ml/models/picky/predict", '[{"x":101}]', _KEY),
    "lost row": post("/ml/models/crooked/predict", "[[1,2],[3,4]]", _KEY),
    "lines": post("/ml/models/spell/predict", '[{"word":"ab"}]', _KEY),
    "lines of a chain": post("/ml/models/cry/predict", '[{"text":"ab"}]', _KEY),
    "events": post("/ml/models/spell/predict", '[{"word":"ab!"}]', _KEY, ("Accept", "text/event-stream")),
    "lines, whole": post("/ml/models/spell/predict", '[{"word":"ab"}]', _KEY, ("Accept", "application/json")),
    "lines that are refused": post("/ml/models/spell/predict", '[{"word":"!"}]', _KEY),
    "lines without key": post("/ml/models/spell/predict", '[{"word":"ab"}]'),
    "lines of an alias": post("/ml/models/spell/aliases/x/predict", '[{"word":"ab"}]', _KEY),
    "tensorflow": post("/ml/v1/models/plane:predict", f'{{"instances":{ROWS}}}', _KEY),
    "tensorflow without key": post("/ml/v1/models/plane:predict", f'{{"instances":{ROWS}}}'),
    "tensorflow whole": post("/ml/v1/models/spell:predict", '{"instances":[{"word":"ab"}]}', _KEY),
    "mlflow": post("/ml/invocations", f'{{"inputs":{ROWS}}}', _KEY),
    "mlflow without key": post("/ml/invocations", f'{{"inputs":{ROWS}}}'),
    "host of two dots": post(_ML, ROWS, _KEY, host="a..b"),
    "foreign host": post(_ML, ROWS, _KEY, host="evil.test"),
    "slashes": post("/ml//models/plane/predict", ROWS, _KEY),
    "get": bare("GET", _ML, _KEY),
    "the app's own": post("/price", ROWS),
    "the app's 404": post("/predict", ROWS),
}


@pytest.mark.parametrize("asked", SERVED)
def test_a_server_answers_the_same_bytes(served: Pair, asked: str) -> None:
    with_lane, without = (ask(server, SERVED[asked]) for server in served)
    assert with_lane.startswith(b"HTTP/1.1 ")
    assert with_lane == without


@pytest.mark.parametrize("asked", HOSTED)
def test_an_app_answers_the_same_bytes(hosted: Pair, asked: str) -> None:
    with_lane, without = (ask(server, HOSTED[asked]) for server in hosted)
    assert with_lane.startswith(b"HTTP/1.1 ")
    assert with_lane == without


def test_each_is_asked_a_second_time_when_its_path_is_known(served: Pair, hosted: Pair) -> None:
    for pair, asked in ((served, SERVED), (hosted, HOSTED)):
        for name, request in asked.items():
            assert ask(pair[0], request) == ask(pair[1], request), name


def test_every_status_that_a_prediction_may_have_is_among_them(served: Pair, hosted: Pair) -> None:
    met = set()
    for pair, asked in ((served, SERVED), (hosted, HOSTED)):
        met |= {int(ask(pair[0], request).split()[1]) for request in asked.values()}
    assert met >= {200, 204, 400, 401, 403, 404, 405, 406, 413, 415, 422, 500}
