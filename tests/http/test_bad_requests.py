"""What is wrong around a body: its type, coding and length, headers, addresses, names."""

from __future__ import annotations

import gzip
import json
import socket
import zlib
from typing import Any

import pytest
from tests.http import folder, wire
from tests.http.claims import check_no_leak, check_problem
from tests.servers import Server

JSON = "application/json"
LIMIT = 64 * 2**20
GOOD = json.dumps(folder.ROWS).encode()


# Content-Type and Content-Encoding -----------------------------------------------------------


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/xml",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "application/x-python-serialize",
        "application/x-pickle",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "text/csv; charset=latin-1",
        "json",
        "*/*",
        "application/json, text/csv",
        "/",
        ";",
        "application/vnd.apache.parquet2",
        "a" * 5000,
    ],
)
def test_a_media_type_that_is_not_read_is_415(server: Server, content_type: str) -> None:
    answer = server.post("/predict", GOOD, content_type=content_type)
    check_problem(answer, 415, "unsupported_media_type")


def test_multipart_of_100_000_parts_is_415(server: Server) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    answer = server.post(
        "/predict", part * 100_000 + b"--x--", content_type="multipart/form-data; boundary=x"
    )
    check_problem(answer, 415, "unsupported_media_type")


def test_multipart_without_its_boundary_is_415(server: Server) -> None:
    answer = server.post("/predict", b"-" * 60 * 2**20, content_type="multipart/form-data; boundary=y")
    check_problem(answer, 415, "unsupported_media_type")


def test_a_boundary_of_a_megabyte_is_no_header(server: Server) -> None:
    answer = server.post("/predict", GOOD, content_type="multipart/form-data; boundary=" + "x" * 2**20)
    assert answer.status in {400, 415, 431}


BOMB = gzip.compress(b" " * (LIMIT + 1), 9)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (BOMB, "gzip"),
        (gzip.compress(BOMB), "gzip, gzip"),
        (zlib.compress(BOMB), "gzip, deflate"),
        (zlib.compress(b"[" * (LIMIT + 1)), "deflate"),
        (gzip.compress(b" " * (LIMIT // 2)) * 3, "gzip"),
    ],
    ids=["gzip", "gzip twice", "gzip in deflate", "deflate", "several members"],
)
def test_a_bomb_is_413_at_the_limit_of_what_it_unpacks_to(server: Server, body: bytes, encoding: str) -> None:
    assert len(body) < LIMIT / 300
    check_problem(server.post("/predict", body, content_encoding=encoding), 413, "body_too_large")


@pytest.mark.parametrize(
    "encoding", ["br", "zstd", "compress", "gzip, br", "gzip, gzip, gzip", "utf-8", "chunked"]
)
def test_an_encoding_that_is_not_read_is_415(server: Server, encoding: str) -> None:
    check_problem(server.post("/predict", GOOD, content_encoding=encoding), 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "body",
    [GOOD, gzip.compress(GOOD)[:-1], gzip.compress(GOOD)[:12], gzip.compress(GOOD) + b"x", b"\x1f\x8b"],
    ids=["not gzip", "without its end", "head alone", "with a tail", "magic alone"],
)
def test_broken_gzip_is_400(server: Server, body: bytes) -> None:
    check_problem(server.post("/predict", body, content_encoding="gzip"), 400, "unreadable_body")


# Lengths ------------------------------------------------------------------------------------


def test_10_gb_announced_are_413_before_they_come(server: Server) -> None:
    head = wire.post("/predict", [("Content-Length", str(10 * 2**30))])
    (answer,) = wire.exchange(server.address, head)
    assert (answer.status, answer.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("length", ["99999999999999999999999", "18446744073709551616"])
def test_a_length_beyond_all_integers_is_4xx(server: Server, length: str) -> None:
    answers = wire.exchange(server.address, wire.post("/predict", [("Content-Length", length)]) + GOOD)
    assert [answer.status // 100 for answer in answers] in ([4], [])


def test_an_endless_chunked_body_is_413_at_the_limit(server: Server) -> None:
    chunk = b"10000\r\n" + b" " * 2**16 + b"\r\n"
    sent = 0
    with socket.create_connection(server.address, timeout=30) as connection:
        connection.sendall(wire.post("/predict", [("Transfer-Encoding", "chunked")]))
        try:
            while sent < 4 * LIMIT:
                connection.sendall(chunk)
                sent += 2**16
        except OSError:
            answered = None
        else:
            answered = wire.read_answers(connection)
    # What is on its way in the buffers of two sockets has not been read.
    assert sent < LIMIT + 32 * 2**20 or (answered and answered[0].status == 413)


def test_a_body_of_the_limit_and_one_byte_is_413(server: Server) -> None:
    with socket.create_connection(server.address, timeout=30) as connection:
        connection.sendall(wire.post("/predict", [("Transfer-Encoding", "chunked")]))
        connection.sendall(b"%x\r\n" % (LIMIT + 1) + b" " * (LIMIT + 1) + b"\r\n0\r\n\r\n")
        (answer,) = wire.read_answers(connection, 1)
    assert (answer.status, answer.json()["code"]) == (413, "body_too_large")


def test_a_body_that_breaks_off_is_nobodys_trouble(server: Server) -> None:
    for framing in ([("Content-Length", "1000")], [("Transfer-Encoding", "chunked")]):
        with socket.create_connection(server.address, timeout=30) as connection:
            connection.sendall(wire.post("/predict", framing) + b"10\r\n[[1,")


def test_a_body_that_ends_early_is_400_or_the_end(server: Server) -> None:
    answers = wire.exchange(
        server.address, wire.post("/predict", [("Content-Length", "1000")]) + GOOD, half_close=True
    )
    assert [answer.status for answer in answers] in ([], [400])


def test_a_body_that_stops_is_given_up(server: Server) -> None:
    (answer,) = wire.exchange(server.address, wire.post("/predict", [("Content-Length", "1000")]) + b"[[1,")
    assert (answer.status, answer.json()["code"]) == (408, "body_timeout")


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("/v2/models/plane/infer", {"error"}),
        ("/v2/repository/index", {"error"}),
        ("/v1/models/plane/versions/0:predict", {"error"}),
        ("/invocations", {"error_code", "message", "stack_trace"}),
    ],
)
def test_a_dialects_body_that_stops_is_given_up_in_the_dialects_form(
    server: Server, path: str, keys: set[str]
) -> None:
    (answer,) = wire.exchange(server.address, wire.post(path, [("Content-Length", "1000")]) + b"[[1,")
    assert (answer.status, answer.headers["content-type"]) == (408, "application/json")
    assert answer.json().keys() == keys


def test_an_answer_that_leaves_a_body_unread_says_that_the_connection_ends(server: Server) -> None:
    """Else the next request on it is lost, and its sender cannot know why."""
    body = b" " * 2**20
    for path, content_type in (("/nowhere", JSON), ("/models", JSON), ("/models/plane/fit", JSON)):
        answer = server.post(path, body, content_type=content_type)
        assert answer.status in {404, 405}
        assert answer.headers["Connection"] == "close"
        assert server.post("/predict", folder.ROWS).status == 200


def test_an_answer_after_the_whole_body_keeps_the_connection(server: Server) -> None:
    for answer in (
        server.post("/predict", folder.ROWS),
        server.post("/predict", b"["),
        server.get("/nowhere"),
    ):
        assert answer.headers.get("Connection", "keep-alive").lower() == "keep-alive"


# Headers and addresses ------------------------------------------------------------------------


def test_101_headers_are_431(server: Server) -> None:
    answers = wire.exchange(server.address, wire.get("/livez", [(f"X-{n}", "1") for n in range(101)]))
    assert [answer.status for answer in answers] == [431]


@pytest.mark.parametrize(
    "name",
    [
        "X-Long",
        "X-Request-Id",
        "Authorization",
        "Cookie",
        "Accept",
        "Origin",
        "Content-Type",
        "Content-Encoding",
    ],
)
def test_a_header_of_9_kib_is_431(server: Server, name: str) -> None:
    answer = server.post("/predict", GOOD, **{name: "x" * 9 * 1024})
    check_problem_of_server(answer, 431, "header_too_large")


def test_an_address_of_5_kib_is_414(server: Server) -> None:
    for path in ("/models/" + "a" * 5 * 1024, "/livez?" + "a" * 5 * 1024, "/" + "%41" * 5 * 1024):
        check_problem_of_server(server.get(path), 414, "uri_too_long")


def check_problem_of_server(answer: Any, status: int, code: str) -> None:
    """Check what the server answers before there is an application."""
    assert (answer.status, json.loads(answer.data)["code"]) == (status, code)
    assert answer.headers["Content-Type"] == "application/problem+json"
    check_no_leak(answer.data)


def test_a_header_with_underscores_frames_no_body(server: Server) -> None:
    for name, value in (("Content_Length", "50"), ("Transfer_Encoding", "chunked")):
        (answer,) = wire.exchange(
            server.address, wire.get("/livez", [(name, value), ("Connection", "close")])
        )
        assert answer.status == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Forwarded-For", "1.2.3.4"),
        ("X-Forwarded-Host", "evil.test"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Prefix", "/evil"),
        ("X_Forwarded_For", "1.2.3.4"),
        ("X_Forwarded_Host", "evil.test"),
        ("X-Forwarded-Port", "1"),
        ("Forwarded", "for=1.2.3.4;host=evil.test;proto=https"),
        ("X-Original-URL", "/metrics"),
        ("X-Rewrite-URL", "/metrics"),
        ("X-HTTP-Method-Override", "DELETE"),
    ],
)
def test_what_a_proxy_would_say_is_not_believed_of_others(server: Server, name: str, value: str) -> None:
    own = server.url
    headers = {name: value, "Origin": own}
    answer = server.http.request("GET", own + "/openapi.json", headers=headers)
    assert (answer.status, answer.headers["Content-Type"]) == (200, JSON)
    assert answer.data == server.get("/openapi.json").data
    answer = server.http.request("POST", own + "/predict", body=GOOD, headers=headers | {"Host": "evil.test"})
    check_problem(answer, 400, "host_refused")
    assert server.http.request("POST", own + "/predict", body=GOOD, headers=headers).status == 200


# Names --------------------------------------------------------------------------------------

METHOD_NAMES = [
    "fit",
    "fit_transform",
    "partial_fit",
    "set_params",
    "get_params",
    "score",
    "__class__",
    "__reduce__",
    "__init__",
    "__dict__",
    "__getstate__",
    "_get_tags",
    "_decision_function",
    "_validate_params",
    "coef_",
    "feature_names_in_",
    "set_output",
    "get_metadata_routing",
    "predict_",
    "Predict",
    "predict%00",
    "predict.__call__",
    "predict%2f..",
    "\u1d56redict",
    "predict\u200b",
]


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_what_is_no_prediction_method_is_404(server: Server, method: str) -> None:
    for path in (
        f"/models/plane/{method}",
        f"/models/plane/versions/1/{method}",
        f"/models/double/aliases/champion/{method}",
    ):
        answer = server.post(path, folder.ROWS)
        assert answer.status == 404
        assert answer.json()["code"] in {"method_not_found", "route_not_found"}
        check_no_leak(answer.data)


MODEL_NAMES = [
    "..",
    "%2e%2e",
    "%252e%252e",
    "..%2f..%2fetc%2fpasswd",
    "..%5c..",
    "%00",
    "plane%00",
    "plane.joblib",
    "file:plane",
    "http:%2f%2fevil.test",
    "plane ",
    " plane",
    "PLANE",
    "pl\u0430ne",
    "plane\u200b",
    "\u202eenalp",
    "$(touch x)",
    "`id`",
    "a" * 129,
    "%ff%fe",
    "\U0001f40d",
    "{{7*7}}",
    "%0d%0aX: y",
    "~root",
    "con",
    "plane;v=1",
    "'\"<>",
]


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_a_name_that_no_model_has_is_404(server: Server, name: str) -> None:
    for path in (
        f"/models/{name}/predict",
        f"/models/plane/versions/{name}/predict",
        f"/models/plane/aliases/{name}/predict",
    ):
        raw = path.encode("utf-8", "surrogatepass").replace(b" ", b"%20").decode("latin-1")
        (answer,) = wire.exchange(
            server.address,
            wire.post(raw, [("Content-Length", str(len(GOOD))), ("Connection", "close")]) + GOOD,
        )
        assert answer.status in {400, 404, 405}
        check_no_leak(answer.body)
