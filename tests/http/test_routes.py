"""The route table and the body forms, at the root of ``serve`` and under /ml of somebody's app."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import zlib
from typing import Any

import numpy as np
import pytest
from tests.http import folder
from tests.http.claims import check_problem
from tests.servers import Server

import demijohn

PLANE = folder.fit_plane().predict(np.array(folder.ROWS)).tolist()
TABLE = folder.fit_table().predict(folder.table_rows()).tolist()
RECORDS = [
    {name: None if cell is None or cell != cell else cell for name, cell in row.items()}
    for row in folder.table_rows().to_dict("records")
]
COLUMNS = {name: [record[name] for record in RECORDS] for name in ("age", "kind")}
CELLS = [list(record.values()) for record in RECORDS]
JSON = "application/json"
CSV = "text/csv"


@pytest.fixture(params=["root", "prefix"])
def place(request: pytest.FixtureRequest, fast_lane: str) -> tuple[Server, str]:
    """A server, and the prefix of our routes there."""
    if request.param == "root":
        return request.getfixturevalue("files"), ""
    return request.getfixturevalue("app"), "/ml"


def _csv(rows: list[Any], header: list[str] | None = None) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out).writerows([*([header] if header else []), *rows])
    return out.getvalue().encode()


def _turned(record: dict[str, Any]) -> dict[str, Any]:
    return dict(reversed(record.items()))


MATRIX_BODIES: dict[str, tuple[Any, str]] = {
    "rows": (folder.ROWS, JSON),
    "instances": ({"instances": folder.ROWS}, JSON),
    "tensor": ({"inputs": folder.ROWS}, JSON),
    "named tensor": ({"inputs": {"inputs": folder.ROWS}}, JSON),
    "split": ({"dataframe_split": {"columns": ["a", "b", "c"], "data": folder.ROWS}}, JSON),
    "split without columns": ({"dataframe_split": {"index": [7, 8, 9], "data": folder.ROWS}}, JSON),
    "csv": (_csv(folder.ROWS, ["a", "b", "c"]), CSV),
    "csv without header": (_csv(folder.ROWS), "text/csv; header=absent"),
    "csv with charset": (_csv(folder.ROWS, ["a", "b", "c"]), "Text/CSV; charset=UTF-8"),
    "no content type": (folder.ROWS, ""),
    "json with charset": (folder.ROWS, "application/json; charset=utf-8"),
}
TABLE_BODIES: dict[str, tuple[Any, str]] = {
    "rows": (CELLS, JSON),
    "records": (RECORDS, JSON),
    "records in another order": ([*map(_turned, RECORDS)], JSON),
    "instances of records": ({"instances": RECORDS}, JSON),
    "instances of rows": ({"instances": CELLS}, JSON),
    "columns": ({"inputs": COLUMNS}, JSON),
    "split": ({"dataframe_split": {"columns": ["age", "kind"], "data": CELLS}}, JSON),
    "split in another order": (
        {"dataframe_split": {"columns": ["kind", "age"], "data": [row[::-1] for row in CELLS]}},
        JSON,
    ),
    "records of pandas": ({"dataframe_records": RECORDS}, JSON),
    "csv": (_csv(CELLS, ["age", "kind"]), CSV),
    "csv in another order": (_csv([row[::-1] for row in CELLS], ["kind", "age"]), CSV),
    "csv without header": (_csv(CELLS), "text/csv; header=absent"),
}
ENCODINGS = {
    "identity": lambda body: body,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "gzip, deflate": lambda body: zlib.compress(gzip.compress(body)),
}


def _bytes(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


@pytest.mark.parametrize("form", MATRIX_BODIES)
def test_every_body_form_gives_a_matrix_model_the_same_rows(place: tuple[Server, str], form: str) -> None:
    server, prefix = place
    body, content_type = MATRIX_BODIES[form]
    headers = {"content_type": content_type} if content_type else {}
    answer = server.post(f"{prefix}/models/plane/predict", _bytes(body), **headers)
    assert answer.status == 200, answer.data
    assert answer.json() == {"predictions": PLANE, "model": "plane", "version": "1"}


@pytest.mark.parametrize("form", TABLE_BODIES)
def test_every_body_form_gives_a_table_model_the_same_rows(place: tuple[Server, str], form: str) -> None:
    server, prefix = place
    body, content_type = TABLE_BODIES[form]
    answer = server.post(f"{prefix}/models/table/predict", _bytes(body), content_type=content_type)
    assert answer.status == 200, answer.data
    assert answer.json()["predictions"] == TABLE


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_compressed_body_is_the_same_body(place: tuple[Server, str], encoding: str) -> None:
    server, prefix = place
    body = ENCODINGS[encoding](_bytes(folder.ROWS))
    answer = server.post(f"{prefix}/predict", body, content_type=JSON, content_encoding=encoding)
    assert answer.json()["predictions"] == PLANE


def test_records_do_not_suit_a_model_without_column_names(place: tuple[Server, str]) -> None:
    server, prefix = place
    answer = server.post(f"{prefix}/predict", [{"a": 1, "b": 2, "c": 3}])
    check_problem(answer, 422, "signature_mismatch")


def test_an_answer_comes_as_csv_if_that_is_asked_for(place: tuple[Server, str]) -> None:
    server, prefix = place
    answer = server.post(f"{prefix}/predict", folder.ROWS, accept="text/csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    header, *cells = csv.reader(io.StringIO(answer.data.decode()))
    assert header == ["predict"]
    assert [float(value) for (value,) in cells] == PLANE


def test_a_matrix_answer_has_a_csv_column_for_each_of_its_own(files: Server) -> None:
    answer = files.post("/models/logarithm/transform", [[1.0, 0.0], [math.e, -1.0]], accept="text/csv")
    assert answer.data == b"transform_0,transform_1\r\n0.0,\r\n1.0,\r\n"


@pytest.mark.parametrize(
    "accept", ["*/*", "application/*", "text/html, */*;q=0.1", "application/json;q=0.9, text/csv;q=0.1"]
)
def test_json_is_what_comes_where_several_forms_would_do(place: tuple[Server, str], accept: str) -> None:
    server, prefix = place
    assert server.post(f"{prefix}/predict", folder.ROWS, accept=accept).headers["Content-Type"] == JSON


def test_a_form_that_is_not_written_is_refused(place: tuple[Server, str]) -> None:
    server, prefix = place
    check_problem(server.post(f"{prefix}/predict", folder.ROWS, accept="image/png"), 406, "not_acceptable")


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("/models/double/predict", "10"),
        ("/models/double/versions/9/predict", "9"),
        ("/models/double/versions/10/predict", "10"),
        ("/models/double/aliases/champion/predict", "9"),
    ],
)
def test_versions_and_aliases_lead_to_their_model(place: tuple[Server, str], path: str, version: str) -> None:
    server, prefix = place
    answer = server.post(prefix + path, [[1.0]]).json()
    assert answer["version"] == version
    assert answer["predictions"] == [pytest.approx(float(version))]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/models/nobody/predict", "model_not_found"),
        ("/models/double/versions/8/predict", "version_not_found"),
        ("/models/double/aliases/9/predict", "version_not_found"),
        ("/models/double/aliases/nobody/predict", "version_not_found"),
        ("/models/plane/transform", "method_not_found"),
        ("/models/plane/versions/1/coef_", "method_not_found"),
        ("/nowhere", "route_not_found"),
        ("/models/plane/predict/", "route_not_found"),
        ("/predict/1", "route_not_found"),
    ],
)
def test_what_is_not_there_is_404(place: tuple[Server, str], path: str, code: str) -> None:
    server, prefix = place
    check_problem(server.post(prefix + path, folder.ROWS), 404, code)


def test_a_missing_method_is_answered_with_those_there_are(place: tuple[Server, str]) -> None:
    server, prefix = place
    problem = check_problem(server.post(f"{prefix}/models/plane/transform", [[1]]), 404, "method_not_found")
    assert "predict" in problem["detail"]


def test_the_default_model_answers_predict(place: tuple[Server, str]) -> None:
    server, prefix = place
    assert server.post(f"{prefix}/predict", folder.ROWS).json()["model"] == "plane"


def test_the_models_are_listed(place: tuple[Server, str]) -> None:
    server, prefix = place
    listed = {model["name"]: model for model in server.get(f"{prefix}/models").json()["models"]}
    assert {"plane", "table", "double"} <= listed.keys()
    assert listed["double"] == {"name": "double", "version": "10", "state": "ready", "methods": ["predict"]}


def test_a_model_tells_what_it_is(place: tuple[Server, str]) -> None:
    server, prefix = place
    model = server.get(f"{prefix}/models/double").json()
    assert model.keys() >= {
        "name",
        "version",
        "versions",
        "aliases",
        "state",
        "framework",
        "methods",
        "signature",
        "example",
        "plan",
        "warnings",
    }
    assert sorted(model["versions"]) == ["10", "9"]
    assert model["aliases"] == {"champion": "9"}
    assert model["signature"]["inputs"] == [
        {"name": "inputs", "dtype": "float64", "shape": [-1, 1], "nullable": False, "categories": None}
    ]


@pytest.mark.parametrize("name", ["plane", "table", "double"])
def test_a_models_own_example_is_a_request_that_works(place: tuple[Server, str], name: str) -> None:
    server, prefix = place
    example = server.get(f"{prefix}/models/{name}").json()["example"]
    assert server.post(f"{prefix}/models/{name}/predict", example).status == 200


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/livez", JSON),
        ("/readyz", JSON),
        ("/models", JSON),
        ("/models/plane", JSON),
        ("/openapi.json", JSON),
        ("/metrics", "text/plain"),
        ("/docs", "text/html"),
        ("/", JSON),
    ],
)
def test_a_page_answers_get_and_head_alike(place: tuple[Server, str], path: str, content_type: str) -> None:
    server, prefix = place
    got = server.get(prefix + path)
    assert got.status == 200
    assert got.headers["Content-Type"].partition(";")[0] == content_type
    head = server.request("HEAD", prefix + path)
    assert (head.status, head.data, head.headers["Content-Type"]) == (200, b"", got.headers["Content-Type"])


def test_the_root_is_a_page_for_a_browser_and_a_sign_of_life_for_a_program(place: tuple[Server, str]) -> None:
    server, prefix = place
    page = server.get(f"{prefix}/", accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert page.headers["Content-Type"].startswith("text/html")
    assert server.get(f"{prefix}/", accept=JSON).json() == {"status": "alive"}


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/predict", {"POST"}),
        ("GET", "/models/plane/predict", {"POST"}),
        ("HEAD", "/models/double/versions/9/predict", {"POST"}),
        ("PUT", "/models/plane/predict", {"POST"}),
        ("DELETE", "/models/plane", {"GET"}),
        ("POST", "/models", {"GET"}),
        ("PATCH", "/readyz", {"GET"}),
    ],
)
def test_another_http_method_is_405(
    place: tuple[Server, str], method: str, path: str, allow: set[str]
) -> None:
    server, prefix = place
    answer = server.request(method, prefix + path)
    assert answer.status == 405
    assert {word.strip() for word in answer.headers["Allow"].split(",")} >= allow
    if method != "HEAD":
        check_problem(answer, 405, "method_not_allowed")


@pytest.mark.parametrize(
    ("path", "method"), [("/predict", "POST"), ("/models", "GET"), ("/models/plane/predict", "POST")]
)
def test_options_tells_the_methods(place: tuple[Server, str], path: str, method: str) -> None:
    server, prefix = place
    answer = server.request("OPTIONS", prefix + path)
    assert answer.status == 200
    assert method in answer.headers["Allow"]


def test_a_request_id_is_echoed_and_else_made(place: tuple[Server, str]) -> None:
    server, prefix = place
    assert server.get(f"{prefix}/livez", x_request_id="trace/1:a=b").headers["X-Request-Id"] == "trace/1:a=b"
    made = {server.get(f"{prefix}/livez").headers["X-Request-Id"] for _ in range(3)}
    assert len(made) == 3
    problem = check_problem(server.get(f"{prefix}/nowhere", x_request_id="mine"), 404, "route_not_found")
    assert problem["request_id"] == "mine"


def test_every_answer_tells_our_version_and_is_not_kept(place: tuple[Server, str]) -> None:
    server, prefix = place
    for answer in (server.post(f"{prefix}/predict", folder.ROWS), server.get(f"{prefix}/nowhere")):
        assert answer.headers["X-Demijohn-Version"] == demijohn.__version__
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_classifier_tells_its_classes(files: Server) -> None:
    answer = files.post("/models/forest/predict_proba", [[0.0, 1.0, 2.0]]).json()
    assert answer["classes"] == sorted(folder.FORMULAS)
    assert answer["predictions"] == folder.fit_forest().predict_proba([[0.0, 1.0, 2.0]]).tolist()


def test_the_apps_own_views_stay_and_may_use_the_models(app: Server) -> None:
    assert app.get("/models").json() == {"mine": True}
    assert app.post("/price", folder.ROWS).json() == {"price": PLANE}
    answer = app.get("/nowhere")
    assert answer.status == 404
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "X-Demijohn-Version" not in answer.headers


def test_a_function_is_a_model(app: Server) -> None:
    assert app.post("/ml/models/shout/predict", [{"text": "a\u0308 ok"}, {"text": ""}]).json()[
        "predictions"
    ] == [
        "A\u0308 OK",
        "",
    ]
    assert app.post("/ml/models/whole/predict", {"inputs": {"count": [3, -(2**63)]}}).json()[
        "predictions"
    ] == [
        3,
        -(2**63),
    ]
