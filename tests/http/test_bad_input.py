"""Bad input costs its sender an error, and nobody else anything.

Each answer is problem+json with its own code, tells nothing of the machine, and the same worker
processes go on serving.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import socket
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.http import folder, wire
from tests.http.claims import check_alive, check_no_leak, check_problem
from tests.servers import Server

JSON = "application/json"
CSV = "text/csv"
LIMIT = 64 * 2**20


@pytest.fixture
def server(files: Server) -> Iterator[Server]:
    """The shared server; whatever a test sends, it must leave it as it was."""
    workers = files.workers
    yield files
    check_alive(files, workers)


# Bodies that cannot be read -----------------------------------------------------------------

GOOD = json.dumps(folder.ROWS).encode()
UNREADABLE: dict[str, bytes] = {
    "nothing": b"",
    "spaces": b"   \n",
    "half a list": b"[[1, 2",
    "two documents": b"[[1,2,3]] [[1,2,3]]",
    "a trailing comma": b"[[1,2,3],]",
    "single quotes": b"{'instances': [[1,2,3]]}",
    "a comment": b"[[1,2,3]] // rows",
    "no json": b"<rows/>",
    "NUL": b"[[1,2,3]]\0",
    "UTF-16": GOOD.decode().encode("utf-16"),
    "UTF-16 without a mark": GOOD.decode().encode("utf-16-le"),
    "UTF-32": GOOD.decode().encode("utf-32"),
    "a byte order mark": b"\xef\xbb\xbf" + GOOD,
    "invalid UTF-8": b'{"instances": [["\xff\xfe"]]}',
    "overlong UTF-8": b'{"instances": [["\xc0\xaf"]]}',
    "a surrogate in UTF-8": b'{"instances": [["\xed\xa0\x80"]]}',
    "a lone surrogate": b'{"instances": [["\\ud800"]]}',
    "a lone low surrogate": b'{"instances": [["\\udc00 x"]]}',
    "a lone surrogate in a key": b'[{"\\ud800": 1}]',
    "a duplicate key": b'{"instances": [[1,2,3]], "instances": [[9,9,9]]}',
    "a duplicate key within": b'[{"age": 1, "kind": "cat", "age": 2}]',
    "a duplicate key in disguise": b'[{"age": 1, "\\u0061ge": 2, "kind": "a:b"}]',
    "NaN": b"[[1, 2, NaN]]",
    "Infinity": b"[[1, 2, Infinity]]",
    "-Infinity": b"[[1, 2, -Infinity]]",
    "1e400": b"[[1, 2, 1e400]]",
    "-1e400": b"[[1, 2, -1e400]]",
    "a leading zero": b"[[1, 2, 03]]",
    "a plus": b"[[1, 2, +3]]",
    "hexadecimal": b"[[1, 2, 0x3]]",
    "a control character in a string": b'[["a\x01"]]',
    "5,000 digits": b"[[1, 2, " + b"9" * 5000 + b"]]",
    "65 levels": b"[" * 65 + b"]" * 65,
    "65 levels of objects": b'{"a":' * 65 + b"1" + b"}" * 65,
    "500,000 levels": b"[" * 500_000 + b"]" * 500_000,
    "500,000 levels and no end": b"[" * 500_000,
    "500,000 objects and no end": b'{"a":' * 500_000,
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_body_that_is_no_strict_json_is_400(server: Server, kind: str) -> None:
    for path in ("/predict", "/models/table/predict"):
        check_problem(server.post(path, UNREADABLE[kind], content_type=JSON), 400, "unreadable_body")


def test_an_integer_of_5000_digits_is_400_in_a_function_of_integers_too(app: Server) -> None:
    body = b'[{"count": ' + b"9" * 5000 + b"}]"
    check_problem(app.post("/ml/models/whole/predict", body), 400, "unreadable_body")


def test_64_levels_are_read(server: Server) -> None:
    body = b"[" * 64 + b"1" + b"]" * 64
    check_problem(server.post("/predict", body, content_type=JSON), 422, "signature_mismatch")


@pytest.mark.parametrize(
    "body",
    [b"[" + b"[1,2,3]," * 333_334 + b"[1,2,3]]", b"[" + b"[]," * 1_000_001 + b"[]]", b'["' + b'","' * 1_000_001 + b'"]'],
    ids=["rows", "empty rows", "empty texts"],
)
def test_more_than_a_million_values_are_413(server: Server, body: bytes) -> None:
    check_problem(server.post("/predict", body, content_type=JSON), 413, "body_too_large")


def test_a_million_commas_in_one_text_are_one_value(server: Server) -> None:
    body = json.dumps({"inputs": {"age": [1.0], "kind": ["," * 1_000_001]}}).encode()
    check_problem(server.post("/models/table/predict", body), 422, "signature_mismatch")


# Rows that do not fit -----------------------------------------------------------------------

MISFITS: dict[str, Any] = {
    "no form": {"rows": [[1, 2, 3]]},
    "an empty object": {},
    "two forms": {"instances": [[1, 2, 3]], "inputs": [[1, 2, 3]]},
    "a number": 3,
    "a text": "text",
    "null": None,
    "true": True,
    "no rows": [],
    "no instances": {"instances": []},
    "instances of null": {"instances": None},
    "instances of a text": {"instances": "1,2,3"},
    "rows of no width": [[], []],
    "one flat row": [1, 2, 3],
    "a row too short": [[1, 2, 3], [1, 2]],
    "a row too long": [[1, 2, 3, 4]],
    "rows of rows": [[[1, 2, 3]]],
    "rows and records": [[1, 2, 3], {"a": 1}],
    "a row of null": [[1, 2, 3], None],
    "a text for a number": [["1", 2, 3]],
    "a boolean for a number": [[True, 2, 3]],
    "null for a number": [[None, 2, 3]],
    "an object for a number": [[{}, 2, 3]],
    "a list for a number": [[[1], 2, 3]],
    "a formula": [["=1+1", 2, 3]],
    "an address": [["http://127.0.0.1:9/", 2, 3]],
    "a split of no data": {"dataframe_split": {"columns": ["a"]}},
    "a split of a text": {"dataframe_split": "x"},
    "a split with columns of objects": {"dataframe_split": {"columns": [{}], "data": [[1]]}},
    "an integer beyond a double": [[1, 2, 10**400]],
}


@pytest.mark.parametrize("kind", MISFITS)
def test_rows_that_do_not_fit_a_matrix_are_422(server: Server, kind: str) -> None:
    answer = server.post("/predict", json.dumps(MISFITS[kind]), content_type=JSON)
    if kind == "an integer beyond a double":
        check_problem(answer, 400, "unreadable_body")
        return
    problem = check_problem(answer, 422, "signature_mismatch")
    assert problem["errors"]


TABLE_MISFITS: dict[str, tuple[Any, int | None, str | None]] = {
    "a column missing": ([{"age": 1}], 0, "kind"),
    "an unknown column": ([{"age": 1, "kind": "cat", "x": 1}], 0, "x"),
    "a column missing in the second": ([{"age": 1, "kind": "cat"}, {"age": 1}], 1, "kind"),
    "a category unknown": ([{"age": 1, "kind": "yak"}], 0, "kind"),
    "a twin in another normal form": ([{"age": 1, "kind": "cat", "a\u0308": 1}], 0, "a\u0308"),
    "a name written right to left": ([{"age": 1, "kind": "cat", "\u202eega": 1}], 0, "\u202eega"),
    "a homoglyph": ([{"\u0430ge": 1, "kind": "cat"}], 0, "age"),
    "a zero-width name": ([{"age\u200b": 1, "kind": "cat"}], 0, "age"),
    "a name of 10,000 letters": ([{"a" * 10_000: 1, "age": 1, "kind": "cat"}], 0, None),
    "null where nothing may miss": ([{"age": 1, "kind": None}], 0, "kind"),
    "a text for a number": ([{"age": "20", "kind": "cat"}], 0, "age"),
    "a boolean for a number": ([{"age": False, "kind": "cat"}], 0, "age"),
    "a number for a text": ([{"age": 1, "kind": 7}], 0, "kind"),
    "an object for a text": ([{"age": 1, "kind": {"$ref": "cat"}}], 0, "kind"),
    "a list for a number": ([{"age": [1], "kind": "cat"}], 0, "age"),
    "a record that is none": ([{"age": 1, "kind": "cat"}, [1, "cat"]], 1, None),
    "columns of two lengths": ({"inputs": {"age": [1, 2], "kind": ["cat"]}}, None, "kind"),
    "a column that is no list": ({"inputs": {"age": 1, "kind": ["cat"]}}, None, "age"),
    "a column missing among columns": ({"inputs": {"kind": ["cat"]}}, None, "age"),
    "columns without rows": ({"inputs": {"age": [], "kind": []}}, None, None),
    "a column twice": ({"dataframe_split": {"columns": ["age", "age"], "data": [[1, 2]]}}, None, "age"),
    "rows too long for the columns": ({"dataframe_split": {"columns": ["age", "kind"], "data": [[1, "cat", 2]]}}, 0, None),
    "a row too short": ([[1, "cat"], [2]], 1, None),
    "records of pandas that are none": ({"dataframe_records": {"age": [1]}}, None, None),
    "a name out of the machine": ([{"__class__": 1, "age": 1, "kind": "cat"}], 0, "__class__"),
}


@pytest.mark.parametrize("kind", TABLE_MISFITS)
def test_rows_that_do_not_fit_a_table_are_422_and_say_where(server: Server, kind: str) -> None:
    body, row, column = TABLE_MISFITS[kind]
    problem = check_problem(server.post("/models/table/predict", body), 422, "signature_mismatch")
    places = [(error["row"], error["column"]) for error in problem["errors"]]
    assert row in {place[0] for place in places}
    if column is not None:
        assert (row, column) in places


def test_20_problems_are_told_at_once(server: Server) -> None:
    problem = check_problem(server.post("/predict", [["x", 1, 2]] * 1000), 422, "signature_mismatch")
    assert [error["row"] for error in problem["errors"]] == list(range(20))


@pytest.mark.parametrize("count", [2**63, -(2**63) - 1, 2**64, 2**64 + 1, -(2**70), 10**30])
def test_an_integer_that_int64_cannot_hold_is_422(app: Server, count: int) -> None:
    for body in ([{"count": count}], {"inputs": {"count": [1, count]}}):
        check_problem(app.post("/ml/models/whole/predict", body), 422, "signature_mismatch")


@pytest.mark.parametrize("value", ["1.0", "1e3", '"1"', "true", "null", "[1]"])
def test_only_an_integer_is_an_integer(app: Server, value: str) -> None:
    check_problem(app.post("/ml/models/whole/predict", f'[{{"count": {value}}}]'), 422, "signature_mismatch")


def test_what_float32_cannot_hold_is_refused_by_the_forest_itself(server: Server) -> None:
    problem = check_problem(server.post("/models/forest/predict", [[1e300, 0, 0]]), 422, "model_refused")
    assert "float32" in problem["detail"]


def test_a_prediction_that_is_no_number_is_null_and_counted(server: Server) -> None:
    def counted() -> float:
        lines = server.get("/metrics").data.decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("demijohn_nonfinite_predictions_total{"))

    before = counted()
    answer = server.post("/models/logarithm/transform", [[-1.0, 0.0], [1.0, 1.0]])
    assert answer.json()["predictions"] == [[None, None], [0.0, 0.0]]
    assert counted() == before + 2


@pytest.mark.parametrize("params", [{"X": [[1]]}, {"__class__": 1}, {"n_jobs": 4}, {"return_std": True}, {"": 1}])
def test_a_parameter_that_the_method_does_not_take_is_422(server: Server, params: dict[str, Any]) -> None:
    body = {"instances": folder.ROWS, "params": params}
    check_problem(server.post("/predict", body), 422, "parameter_mismatch")


def test_params_that_are_no_object_are_422(server: Server) -> None:
    check_problem(server.post("/predict", {"instances": folder.ROWS, "params": [1]}), 422, "parameter_mismatch")


# What a model of somebody's does -------------------------------------------------------------


def test_a_function_refuses_in_its_own_words(app: Server) -> None:
    problem = check_problem(app.post("/ml/models/picky/predict", [{"x": -1}]), 422, "bad_input")
    assert problem["detail"] == "x must not be negative"


def test_a_model_that_fails_is_500_and_keeps_its_secrets(app: Server) -> None:
    workers = app.workers
    problem = check_problem(app.post("/ml/models/picky/predict", [{"x": 101}]), 500, "model_error")
    assert "RuntimeError" in problem["detail"]
    assert "secret" not in problem["detail"]
    check_problem(app.post("/ml/models/crooked/predict", [[1.0], [2.0]]), 500, "model_error")
    check_alive_at(app, workers)


def check_alive_at(app: Server, workers: set[int]) -> None:
    assert app.workers == workers
    assert app.get("/ml/readyz").status == 200


# CSV ----------------------------------------------------------------------------------------

UNREADABLE_CSV = {
    "nothing": b"",
    "an open quote": b'age,kind\n1,"cat\n',
    "text after a quote": b'age,kind\n1,"cat"x\n',
    "invalid UTF-8": b"age,kind\n1,\xff\n",
    "UTF-16": "age,kind\n1,cat\n".encode("utf-16"),
    "a cell without an end": b"age,kind\n1," + b"x" * 200_000 + b"\n",
}


@pytest.mark.parametrize("kind", UNREADABLE_CSV)
def test_csv_that_cannot_be_read_is_400(server: Server, kind: str) -> None:
    answer = server.post("/models/table/predict", UNREADABLE_CSV[kind], content_type=CSV)
    check_problem(answer, 400, "unreadable_body")


MISFIT_CSV = {
    "a header alone": b"age,kind\n",
    "a ragged row": b"age,kind\n1,cat\n2\n",
    "a row too long": b"age,kind\n1,cat,3\n",
    "a column twice": b"age,age\n1,2\n",
    "an unknown column": b"age,kind,x\n1,cat,2\n",
    "a column missing": b"age\n1\n",
    "another separator": b"age;kind\n1;cat\n",
    "a text for a number": b"age,kind\ntwenty,cat\n",
    "Python's idea of a number": b"age,kind\n1_000,cat\n",
    "nan": b"age,kind\nnan,cat\n",
    "inf": b"age,kind\ninf,cat\n",
    "NUL": b"age,kind\n1,ca\0t\n",
    "1e400": b"age,kind\n1e400,cat\n",
    "digits of another script": "age,kind\n\u0661\u0662,cat\n".encode(),
    "an empty cell that may not be": b"age,kind\n1,\n",
    "a formula": b"age,kind\n=1+1,cat\n",
}


@pytest.mark.parametrize("kind", MISFIT_CSV)
def test_csv_that_does_not_fit_is_422(server: Server, kind: str) -> None:
    answer = server.post("/models/table/predict", MISFIT_CSV[kind], content_type=CSV)
    check_problem(answer, 422, "signature_mismatch")


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbfage,kind\r\n20,cat\r\n",
        b'"age","kind"\n"20","cat"\n',
        b"age,kind\n20,cat",
        b"age,kind\n\n20,cat\n\n",
        b"age,kind\n 20 ,cat\n",
    ],
)
def test_csv_as_spreadsheets_write_it_is_read(server: Server, body: bytes) -> None:
    assert server.post("/models/table/predict", body, content_type=CSV).status == 200


def test_an_answer_in_csv_holds_no_formula(server: Server) -> None:
    rows = [[float(3 * index), 3 * index + 1.0, 3 * index + 2.0] for index in range(len(folder.FORMULAS))]
    answer = server.post("/models/forest/predict", rows, accept=CSV)
    cells = [row[0] for row in csv.reader(io.StringIO(answer.data.decode(), newline=""))][1:]
    assert cells == ["'" + formula for formula in folder.FORMULAS]


# Content-Type and Content-Encoding -----------------------------------------------------------


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain", "application/xml", "application/octet-stream", "application/x-www-form-urlencoded",
        "application/x-python-serialize", "application/x-pickle", "multipart/form-data; boundary=x",
        "application/json; charset=utf-16", "text/csv; charset=latin-1", "json", "*/*", "application/json, text/csv",
        "/", ";", "application/vnd.apache.parquet2", "a" * 5000,
    ],
)  # fmt: skip
def test_a_media_type_that_is_not_read_is_415(server: Server, content_type: str) -> None:
    answer = server.post("/predict", GOOD, content_type=content_type)
    check_problem(answer, 415, "unsupported_media_type")


def test_multipart_of_100_000_parts_is_415(server: Server) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    answer = server.post("/predict", part * 100_000 + b"--x--", content_type="multipart/form-data; boundary=x")
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


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, br", "gzip, gzip, gzip", "utf-8", "chunked"])
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
    answers = wire.exchange(server.address, wire.post("/predict", [("Content-Length", "1000")]) + GOOD, half_close=True)
    assert [answer.status for answer in answers] in ([], [400])


def test_a_body_that_stops_is_given_up(server: Server) -> None:
    (answer,) = wire.exchange(server.address, wire.post("/predict", [("Content-Length", "1000")]) + b"[[1,")
    assert (answer.status, answer.json()["code"]) == (408, "body_timeout")


# Headers and addresses ------------------------------------------------------------------------


def test_101_headers_are_431(server: Server) -> None:
    answers = wire.exchange(server.address, wire.get("/livez", [(f"X-{n}", "1") for n in range(101)]))
    assert [answer.status for answer in answers] == [431]


@pytest.mark.parametrize(
    "name", ["X-Long", "X-Request-Id", "Authorization", "Cookie", "Accept", "Origin", "Content-Type", "Content-Encoding"]
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
        (answer,) = wire.exchange(server.address, wire.get("/livez", [(name, value), ("Connection", "close")]))
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
    "fit", "fit_transform", "partial_fit", "set_params", "get_params", "score", "__class__", "__reduce__", "__init__",
    "__dict__", "__getstate__", "_get_tags", "_decision_function", "_validate_params", "coef_", "feature_names_in_",
    "set_output", "get_metadata_routing", "predict_", "Predict", "predict%00", "predict.__call__", "predict%2f..",
    "\u1d56redict", "predict\u200b",
]  # fmt: skip


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_what_is_no_prediction_method_is_404(server: Server, method: str) -> None:
    for path in (f"/models/plane/{method}", f"/models/plane/versions/1/{method}", f"/models/double/aliases/champion/{method}"):
        answer = server.post(path, folder.ROWS)
        assert answer.status == 404
        assert answer.json()["code"] in {"method_not_found", "route_not_found"}
        check_no_leak(answer.data)


MODEL_NAMES = [
    "..", "%2e%2e", "%252e%252e", "..%2f..%2fetc%2fpasswd", "..%5c..", "%00", "plane%00", "plane.joblib", "file:plane",
    "http:%2f%2fevil.test", "plane ", " plane", "PLANE", "pl\u0430ne", "plane\u200b", "\u202eenalp", "$(touch x)", "`id`",
    "a" * 129, "%ff%fe", "\U0001f40d", "{{7*7}}", "%0d%0aX: y", "~root", "con", "plane;v=1", "'\"<>",
]  # fmt: skip


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_a_name_that_no_model_has_is_404(server: Server, name: str) -> None:
    for path in (f"/models/{name}/predict", f"/models/plane/versions/{name}/predict", f"/models/plane/aliases/{name}/predict"):
        raw = path.encode("utf-8", "surrogatepass").replace(b" ", b"%20").decode("latin-1")
        (answer,) = wire.exchange(
            server.address, wire.post(raw, [("Content-Length", str(len(GOOD))), ("Connection", "close")]) + GOOD
        )
        assert answer.status in {400, 404, 405}
        check_no_leak(answer.body)
