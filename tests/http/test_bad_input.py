"""Bad input costs its sender an error, and nobody else anything.

Each answer is problem+json with its own code, tells nothing of the machine, and the same worker
processes go on serving.
"""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from tests.http import folder
from tests.http.claims import check_problem, check_v2_error
from tests.servers import Server

JSON = "application/json"
CSV = "text/csv"


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
    [
        b"[" + b"[1,2,3]," * 333_334 + b"[1,2,3]]",
        b"[" + b"[]," * 1_000_001 + b"[]]",
        b'["' + b'","' * 1_000_001 + b'"]',
    ],
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
    "rows too long for the columns": (
        {"dataframe_split": {"columns": ["age", "kind"], "data": [[1, "cat", 2]]}},
        0,
        None,
    ),
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


LONG = "a" * 100_000
LONG_NAMES: dict[str, tuple[str, Any]] = {
    "records": (JSON, [{LONG + str(n): 1 for n in range(30)}]),
    "columns": (JSON, {"inputs": {LONG: [1]}}),
    "a split frame": (
        JSON,
        {"dataframe_split": {"columns": ["age", "kind", LONG, LONG], "data": [[1, 2, 3, 4]]}},
    ),
    "lines": ("application/jsonl", json.dumps({LONG: 1}).encode()),
    "csv": (CSV, f"{LONG},{LONG}\n1,2\n".encode()),
}


@pytest.mark.parametrize("form", LONG_NAMES)
def test_a_name_as_long_as_a_body_is_not_told_back_whole(server: Server, form: str) -> None:
    content_type, body = LONG_NAMES[form]
    answer = server.post("/models/table/predict", body, content_type=content_type)
    check_problem(answer, 422, "signature_mismatch")
    assert len(answer.data) < 20_000


def test_a_name_of_a_tensor_is_not_told_back_whole_either(server: Server) -> None:
    tensor = {"name": LONG, "shape": [1], "datatype": "FP64", "data": [1]}
    answer = server.post("/v2/models/table/infer", {"inputs": [tensor]})
    assert len(check_v2_error(answer, 400)) < 20_000


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
        return sum(
            float(line.split()[-1])
            for line in lines
            if line.startswith("demijohn_nonfinite_predictions_total{")
        )

    before = counted()
    answer = server.post("/models/logarithm/transform", [[-1.0, 0.0], [1.0, 1.0]])
    assert answer.json()["predictions"] == [[None, None], [0.0, 0.0]]
    assert counted() == before + 2


@pytest.mark.parametrize(
    "params", [{"X": [[1]]}, {"__class__": 1}, {"n_jobs": 4}, {"return_std": True}, {"": 1}]
)
def test_a_parameter_that_the_method_does_not_take_is_422(server: Server, params: dict[str, Any]) -> None:
    body = {"instances": folder.ROWS, "params": params}
    check_problem(server.post("/predict", body), 422, "parameter_mismatch")


def test_params_that_are_no_object_are_422(server: Server) -> None:
    check_problem(
        server.post("/predict", {"instances": folder.ROWS, "params": [1]}), 422, "parameter_mismatch"
    )


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
