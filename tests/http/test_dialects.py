"""The dialects of other servers, through real servers: ``serve folder`` and somebody's app.

Their own tests' cases are in ``tests/clients/CASES.md``.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import urllib3
from tests.http import folder
from tests.http.claims import check_no_leak
from tests.servers import Server

import demijohn

PLANE = folder.fit_plane().predict(np.array(folder.ROWS)).tolist()
PREDICT = "/v1/models/plane:predict"
AVAILABLE = {"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}


@pytest.fixture(params=["root", "prefix"])
def place(request: pytest.FixtureRequest, fast_lane: str) -> tuple[Server, str]:
    """A server, and the prefix of our routes there."""
    if request.param == "root":
        return request.getfixturevalue("files"), ""
    return request.getfixturevalue("app"), "/ml"


def ask(place: tuple[Server, str], path: str, body: Any = None, method: str | None = None) -> Any:
    """Ask without any Content-Type; returns the parsed answer."""
    server, prefix = place
    content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    answer = server.request(method or ("GET" if body is None else "POST"), prefix + path, content)
    assert answer.status == 200, answer.data
    assert answer.headers["Content-Type"] == "application/json"
    return json.loads(answer.data)


def refused(
    place: tuple[Server, str], path: str, body: Any, method: str = "POST", **headers: str
) -> tuple[int, Any]:
    """Return status and document of an error."""
    server, prefix = place
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = server.request(method, prefix + path, content, **headers)
    return answer.status, document_of(answer)


def document_of(answer: urllib3.BaseHTTPResponse) -> Any:
    assert answer.headers["Content-Type"] == "application/json"
    check_no_leak(answer.data)
    return json.loads(answer.data)


# TensorFlow Serving -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        PREDICT,
        "/v1/models/plane/versions/1:predict",
        "/v1/models/plane/versions/0:predict",
        "/v1/models/plane/labels/champion:predict",
        "/v1/models/plane:Predict",
    ],
)
def test_rows_are_answered_with_rows_and_columns_with_columns(place: tuple[Server, str], path: str) -> None:
    assert ask(place, path, {"instances": folder.ROWS}) == {"predictions": PLANE}
    assert ask(place, path, {"inputs": folder.ROWS, "signature_name": "serving_default"}) == {
        "outputs": PLANE
    }
    assert ask(place, path, {"inputs": {"inputs": folder.ROWS}, "x": 1}) == {"outputs": PLANE}
    assert ask(place, path, {"instances": [{"inputs": row} for row in folder.ROWS]}) == {"predictions": PLANE}


def test_a_version_and_a_label_lead_to_their_model(place: tuple[Server, str]) -> None:
    body = {"instances": [[1.0]]}
    for under, slope in (
        ("/versions/9", 9),
        ("/versions/10", 10),
        ("/versions/0", 10),
        ("/labels/champion", 9),
    ):
        assert ask(place, f"/v1/models/double{under}:predict", body) == {
            "predictions": [pytest.approx(slope)]
        }


def test_a_table_takes_records_columns_and_bytes(place: tuple[Server, str]) -> None:
    expected = folder.fit_table().predict(folder.table_rows()[:2]).tolist()
    rows = [{"age": 20, "kind": "cat"}, {"age": 40, "kind": {"b64": "ZG9n"}}]
    assert ask(place, "/v1/models/table:predict", {"instances": rows}) == {"predictions": expected}
    columns = {"age": [20, 40], "kind": ["cat", "dog"]}
    assert ask(place, "/v1/models/table:predict", {"inputs": columns}) == {"outputs": expected}


def test_nan_is_missing_and_infinity_is_written(place: tuple[Server, str]) -> None:
    missing = b'{"instances":[{"age":NaN,"kind":"cat"}]}'
    null = b'{"instances":[{"age":null,"kind":"cat"}]}'
    assert ask(place, "/v1/models/table:predict", missing) == ask(place, "/v1/models/table:predict", null)
    huge = ask(place, PREDICT, {"instances": [[1e308, 1e308, 1e308]]})
    assert huge == {"predictions": [math.inf]}


def test_examples_are_regressed(place: tuple[Server, str]) -> None:
    expected = folder.fit_table().predict(folder.table_rows()[:2]).tolist()
    body = {"examples": [{"age": [20]}, {"age": 40, "kind": ["dog"]}], "context": {"kind": "cat"}}
    assert ask(place, "/v1/models/table:regress", body) == {"results": expected}


def test_examples_are_classified(files: Server) -> None:
    results = ask((files, ""), "/v1/models/forest:classify", {"examples": [{"inputs": [0, 1, 2]}]})["results"]
    ((*pairs,),) = results
    assert sorted(label for label, _ in pairs) == sorted(folder.FORMULAS)
    assert sum(score for _, score in pairs) == pytest.approx(1.0)


def test_a_signature_is_a_method_even_of_a_model_that_does_not_predict(files: Server) -> None:
    body = {"instances": [[1.0, 1.0]], "signature_name": "transform"}
    assert ask((files, ""), "/v1/models/logarithm:predict", body) == {"predictions": [[0.0, 0.0]]}
    del body["signature_name"]
    assert ask((files, ""), "/v1/models/logarithm:predict", body) == {"predictions": [[0.0, 0.0]]}


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/v1/models/nobody:predict", 404, "Servable not found for request: Latest(nobody)"),
        ("/v1/models/nobody/versions/2:predict", 404, "Servable not found for request: Specific(nobody, 2)"),
        ("/v1/models/plane/versions/50:predict", 404, "Servable not found for request: Specific(plane, 50)"),
        ("/v1/models/plane/versions/HELLO:predict", 404, "Servable not found"),
        ("/v1/models/plane/versions/18446744073709551615:predict", 404, "Servable not found"),
        ("/v1/models/plane/labels/nobody:predict", 404, "Servable not found"),
        ("/v1/models/plane:explain", 501, "explainer"),
        ("/v1/models/plane:train", 400, "Malformed request: POST "),
        ("/v1/models/plane/version/1:predict", 400, "Malformed request: POST "),
        ("/v1/foo", 400, "Malformed request: POST "),
        ("/v1/models/", 400, "Malformed request: POST "),
        ("/v1/models", 405, "Malformed request: POST "),
        ("/v1/models/plane", 405, "Malformed request: POST "),
        ("/v1/models/plane:classify", 400, ""),
        ("/v1/models/plane:regress", 400, ""),
    ],
)
def test_what_is_not_there_is_refused_in_one_text(
    place: tuple[Server, str], path: str, status: int, text: str
) -> None:
    given, document = refused(place, path, {"instances": folder.ROWS})
    assert (given, document.keys()) == (status, {"error"})
    assert text in document["error"]


@pytest.mark.parametrize(
    ("path", "status", "allow"),
    [
        ("/v1/foo", 400, None),
        ("/v1/models/", 400, None),
        (PREDICT, 405, "POST"),
        ("/v1/models/plane/versions/1:regress", 405, "POST"),
        ("/v1/models/plane/labels/champion:explain", 405, "POST"),
        ("/v1/models/plane:train", 400, None),
        ("/v1/models/nobody", 404, None),
        ("/v1/models/plane/versions/7/metadata", 404, None),
    ],
)
def test_get_is_refused_where_nothing_is_to_be_got(
    place: tuple[Server, str], path: str, status: int, allow: str | None
) -> None:
    server, prefix = place
    answer = server.get(prefix + path)
    assert (answer.status, answer.headers.get("Allow")) == (status, allow)
    assert document_of(answer).keys() == {"error"}


@pytest.mark.parametrize("path", [PREDICT, "/v1/models/plane/versions/1:regress"])
@pytest.mark.parametrize("method", ["OPTIONS", "PUT"])
def test_the_address_of_a_prediction_takes_post_alone(
    place: tuple[Server, str], path: str, method: str
) -> None:
    server, prefix = place
    answer = server.request(method, prefix + path)
    assert set(answer.headers["Allow"].split(", ")) - {"OPTIONS"} == {"POST"}


@pytest.mark.parametrize(
    "body",
    [
        b"", b"instances = [1, 2]", b"[[1,2,3]]", b"{}", b'{"instances":[]}', b'{"instances":[[1,2]]}',
        b'{"instances":[[1,2,"3"]]}', b'{"instances":[[1,2,NaN]]}', b'{"instances":[{"other":[1,2,3]}]}',
        b'{"instances":[[1,2,3]],"inputs":[[1,2,3]]}', b'{"instances":[[1,2,3]],"signature_name":"nobody"}',
        b'{"instances":[[1,2,3],{"inputs":[1,2,3]}]}', b'{"instances":[{"inputs":[1,2,3]},[1,2,3]]}',
        b'{"instances":[[1,2,3],[1,2]]}', b'{"instances":[[1,2,3],[[1,2,3]]]}', b'{"instances":[1,[1]]}',
        b'{"instances":[[1,2,3],["a","b","c"]]}',
        b'{"instances":[[1,2,{"b64":"MQ=="}]]}', b'{"inputs":{"inputs":3}}',
        b'{"inputs":{"inputs":{"b64":"MQ=="}}}', b'{"inputs":{"a":[[1,2,3]]}}',
    ],
)  # fmt: skip
def test_what_does_not_fit_is_400(place: tuple[Server, str], body: bytes) -> None:
    status, document = refused(place, PREDICT, body)
    assert (status, document.keys()) == (400, {"error"})


def test_the_status_is_tensorflows_and_kserves_in_one(place: tuple[Server, str]) -> None:
    both = [{"version": version, **AVAILABLE} for version in ("9", "10")]
    status = ask(place, "/v1/models/double")
    assert (status["name"], status["ready"]) == ("double", True)
    assert sorted(status["model_version_status"], key=lambda one: -len(one["version"])) == both[::-1]
    for under, version in (("/versions/9", "9"), ("/versions/0", "10"), ("/labels/champion", "9")):
        shown = ask(place, f"/v1/models/double{under}")["model_version_status"]
        assert shown == [{"version": version, **AVAILABLE}]


def test_the_metadata_has_a_signature_for_each_method(place: tuple[Server, str]) -> None:
    metadata = ask(place, "/v1/models/table/metadata")
    assert metadata["model_spec"] == {"name": "table", "signature_name": "", "version": "1"}
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    assert signatures.keys() >= {"serving_default", "predict"}
    assert signatures["serving_default"] == signatures["predict"]
    assert signatures["predict"]["method_name"] == "tensorflow/serving/predict"
    assert {name: one["dtype"] for name, one in signatures["predict"]["inputs"].items()} == {
        "age": "DT_DOUBLE",
        "kind": "DT_STRING",
    }
    inputs = ask(place, "/v1/models/plane/labels/champion/metadata")["metadata"]["signature_def"]
    assert inputs["signature_def"]["predict"]["inputs"] == {
        "inputs": {
            "dtype": "DT_DOUBLE",
            "tensor_shape": {
                "dim": [{"size": "-1", "name": ""}, {"size": "3", "name": ""}],
                "unknown_rank": False,
            },
            "name": "inputs:0",
        }
    }


def test_the_models_are_listed_by_name(place: tuple[Server, str]) -> None:
    assert {"plane", "table", "double"} <= set(ask(place, "/v1/models")["models"])


# MLflow -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": ["a", "b", "c"], "index": [0, 1, 2], "data": folder.ROWS}},
        {"dataframe_split": {"index": [1], "data": folder.ROWS}},
        {"instances": folder.ROWS},
        {"inputs": folder.ROWS},
        {"inputs": folder.ROWS, "params": {}},
    ],
)
def test_the_default_model_answers_invocations(place: tuple[Server, str], body: Any) -> None:
    assert ask(place, "/invocations", body) == {"predictions": PLANE}


def test_invocations_takes_csv(place: tuple[Server, str]) -> None:
    server, prefix = place
    text = "a,b,c\n" + "\n".join(",".join(map(str, row)) for row in folder.ROWS)
    answer = server.post(f"{prefix}/invocations", text, content_type="text/csv; charset=utf-8")
    assert answer.json() == {"predictions": PLANE}


@pytest.mark.parametrize("path", ["/ping", "/health"])
def test_a_server_with_a_model_is_healthy(place: tuple[Server, str], path: str) -> None:
    server, prefix = place
    answer = server.get(prefix + path)
    assert (answer.status, answer.data) == (200, b"\n")


def test_the_version_is_plain_text(place: tuple[Server, str]) -> None:
    server, prefix = place
    answer = server.get(f"{prefix}/version")
    assert answer.headers["Content-Type"].partition(";")[0] == "text/plain"
    assert answer.data.decode() == demijohn.__version__


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"{", {}, 400, "BAD_REQUEST"),
        (b"[[1,2,3]]", {}, 400, "BAD_REQUEST"),
        (b'{"instances":[[1,2]]}', {}, 400, "BAD_REQUEST"),
        (b'{"instances":[[1,2,NaN]]}', {}, 400, "BAD_REQUEST"),
        (b'{"instances":[[1,2,3]],"params":{"x":1}}', {}, 400, "BAD_REQUEST"),
        (b'{"dataframe_records":[{"a":1}]}', {}, 400, "BAD_REQUEST"),
        (b"a,b\n1,2\n", {"content_type": "text/csv"}, 400, "BAD_REQUEST"),
        (b"1,2,3\n", {"content_type": "text/csv"}, 400, "BAD_REQUEST"),
        (b"x", {"content_type": "text/plain"}, 415, "BAD_REQUEST"),
        (b"{}", {"content_type": "application/json; charset=latin-1"}, 415, "BAD_REQUEST"),
    ],
)
def test_a_bad_invocation_has_mlflows_three_keys(
    place: tuple[Server, str], body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    given, document = refused(place, "/invocations", body, **headers)
    assert given == status
    assert document.keys() == {"error_code", "message", "stack_trace"}
    assert (document["error_code"], document["stack_trace"]) == (code, "")


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/invocations", "GET", 405), ("/ping", "POST", 405), ("/version", "PUT", 405),
        ("/invocations/1", "POST", 404), ("/ping/", "GET", 404),
    ],
)  # fmt: skip
def test_another_route_or_method_is_refused_in_the_same_form(
    place: tuple[Server, str], path: str, method: str, status: int
) -> None:
    given, document = refused(place, path, b"", method)
    assert (given, document["stack_trace"]) == (status, "")
