"""MLflow's scoring protocol as pure functions; MLflow's own cases are in ``tests/clients/CASES.md``."""

from __future__ import annotations

import base64
import io
import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demijohn.config import Settings
from demijohn.errors import (
    BodyTooLarge,
    DecodeError,
    DemijohnError,
    KeyMissing,
    ModelError,
    ModelNotFound,
    NotReady,
    ParameterMismatch,
    SignatureMismatch,
    UnsupportedMediaType,
)
from demijohn.messages import (
    ArrayColumns,
    Columns,
    InferenceRequest,
    InferenceResponse,
    Records,
    Rows,
    as_written,
)
from demijohn.protocols import PROTOCOLS, arrow_columns, mlflow

SETTINGS = Settings()
ROWS = [[1.0, 2.0], [3.0, 4.0]]
RECORDS = [{"a": 1.0, "b": "x"}, {"a": 3.0, "b": "y"}]
JSON = "application/json"
CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"


def decode(document: Any, head: str = JSON) -> InferenceRequest:
    return mlflow.decode(json.dumps(document).encode(), head, SETTINGS)


def written(request: InferenceRequest) -> Any:
    return as_written(request.inputs)


def test_the_dialect_is_in_the_table() -> None:
    assert PROTOCOLS["mlflow"] is mlflow


@pytest.mark.parametrize(
    ("document", "inputs"),
    [
        ({"dataframe_split": {"columns": ["a", "b"], "data": ROWS}}, Rows(ROWS, columns=["a", "b"])),
        (
            {"dataframe_split": {"index": [5, 6], "columns": ["a", "b"], "data": ROWS}},
            Rows(ROWS, columns=["a", "b"]),
        ),
        ({"dataframe_records": RECORDS}, Records(RECORDS)),
        ({"instances": ROWS}, Rows(ROWS)),
        ({"instances": RECORDS}, Records(RECORDS)),
        ({"instances": ["one", "two"]}, Rows(["one", "two"])),
        ({"inputs": ROWS}, Rows(ROWS)),
        ({"inputs": {"a": [1.0, 3.0], "b": ["x", "y"]}}, Columns({"a": [1.0, 3.0], "b": ["x", "y"]})),
        ({"instances": ROWS, "something": "else"}, Rows(ROWS)),
    ],
)
def test_each_form_is_read(document: Any, inputs: Any) -> None:
    request = decode(document)
    assert written(request) == inputs
    assert (request.parameters, request.methods) == ({}, ())


def test_params_stand_beside_the_rows() -> None:
    assert decode({"inputs": ROWS, "params": {"return_std": True}}).parameters == {"return_std": True}


@pytest.mark.parametrize("params", [None, [], "x"])
def test_params_that_are_no_object_are_refused(params: Any) -> None:
    with pytest.raises(ParameterMismatch):
        decode({"inputs": ROWS, "params": params})


@pytest.mark.parametrize(
    "document",
    [
        None, "rows", 3, [], ROWS, RECORDS, {}, {"columns": ["a"], "data": [[1]]},
        {"data": ROWS}, {"instances": ROWS, "inputs": ROWS}, {"dataframe_split": ROWS},
        {"dataframe_split": {"columns": ["a"]}}, {"dataframe_records": {"a": [1]}},
        {"instances": {"a": 1}}, {"inputs": "x"}, {"params": {}},
    ],
)  # fmt: skip
def test_another_form_is_bad(document: Any) -> None:
    with pytest.raises(SignatureMismatch) as raised:
        decode(document)
    assert mlflow.status_of(raised.value) == 400


def test_a_bare_nan_is_a_missing_cell() -> None:
    # What MLflow's client writes of a DataFrame: json.dumps(frame.to_dict(orient="split")).
    body = b'{"dataframe_split": {"columns": ["a", "b"], "data": [[NaN, "NaN"], [1.5, null]]}}'
    inputs = mlflow.decode(body, "application/json", SETTINGS).inputs
    assert inputs == Rows([[None, "NaN"], [1.5, None]], columns=["a", "b"])
    body = b'{"inputs": [[Infinity, -Infinity]]}'
    assert mlflow.decode(body, "application/json", SETTINGS).inputs == Rows([[math.inf, -math.inf]])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"not json",
        b'{"inputs": [nan]}',
        b'{"inputs": [Inf]}',
        b"\xff",
        b'{"inputs":[1],"inputs":[2]}',
    ],
)
def test_what_is_no_json_cannot_be_read(body: bytes) -> None:
    with pytest.raises(DecodeError):
        mlflow.decode(body, JSON, SETTINGS)


def test_a_body_of_too_many_values_is_too_large() -> None:
    with pytest.raises(BodyTooLarge):
        mlflow.decode(b'{"instances":[' + b"1," * 20 + b"1]}", JSON, Settings(max_elements=20))


@pytest.mark.parametrize("key", ["messages", "prompt", "input"])
def test_a_call_of_a_language_model_is_one_row_and_its_answer_stands_alone(key: str) -> None:
    document = {key: "Hello", "temperature": 0.5}
    request = decode(document)
    assert request.inputs == Records([document])
    assert json.loads(encode({"predict": ["Hi"]}, request)) == "Hi"
    assert json.loads(encode({"text": ["Hi"], "n": [1]}, request)) == {"text": "Hi", "n": 1}


# CSV --------------------------------------------------------------------------------------


def test_csv_has_a_header() -> None:
    inputs = written(mlflow.decode(b"a,b\r\n1,x\r\n", CSV, SETTINGS))
    assert inputs == Rows([["1", "x"]], columns=["a", "b"], is_text=True)


def test_numbers_in_place_of_the_header_are_refused_with_a_way_out_that_there_is() -> None:
    with pytest.raises(SignatureMismatch, match="names of the columns") as raised:
        mlflow.decode(b"1,2\n3,4\n", CSV, SETTINGS)
    assert "header=absent" not in raised.value.detail


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b'a,b\n"1,2\n'])
def test_what_is_no_csv_cannot_be_read(body: bytes) -> None:
    with pytest.raises(DecodeError):
        mlflow.decode(body, CSV, SETTINGS)


# Content-Type -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "head"),
    [
        (None, JSON),  # MLflow answers 500
        ("", JSON),
        ("application/json", JSON),
        ("Application/JSON; charset=UTF-8", JSON),
        ('application/json; charset="utf-8"', JSON),
        ("text/csv", CSV),
        ("text/csv; charset=utf-8", CSV),
        ("text/csv;", CSV),
        (PARQUET, PARQUET),
    ],
)
def test_json_csv_and_parquet_are_read(content_type: str | None, head: str) -> None:
    environ = {} if content_type is None else {"CONTENT_TYPE": content_type}
    assert mlflow.read_head(environ) == head


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json; charset=latin-1",
        "application/json; charset=utf-16",
        "application/json; format=pandas-split",
        "text/csv; header=absent",
        "text/csv; charset=us-ascii",
        "not_a_content_type",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/vnd.apache.arrow.stream",
    ],
)
def test_another_type_charset_or_parameter_is_415(content_type: str) -> None:
    with pytest.raises(UnsupportedMediaType) as raised:
        mlflow.read_head({"CONTENT_TYPE": content_type})
    assert mlflow.status_of(raised.value) == 415


def test_parquet_is_read_where_pyarrow_is(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    pq.write_table(pa.table({"a": [1.5], "b": ["x"]}), out)
    found = mlflow.decode(out.getvalue(), PARQUET, Settings()).inputs
    assert isinstance(found, ArrayColumns)
    assert list(found.names) == ["a", "b"]
    monkeypatch.setattr(arrow_columns, "is_available", lambda: False)
    with pytest.raises(UnsupportedMediaType, match=r"demijohn\[arrow\]"):
        mlflow.read_head({"CONTENT_TYPE": PARQUET})


# Answers ----------------------------------------------------------------------------------


def encode(outputs: dict[str, Any], request: InferenceRequest | None = None) -> bytes:
    arrays = {name: np.asarray(values) for name, values in outputs.items()}
    n_rows = len(next(iter(arrays.values())))
    response = InferenceResponse(arrays, "m", "1", "predict", n_rows)
    answer = mlflow.encode(response, request or InferenceRequest(Rows([])), "")
    assert answer.content_type == "application/json"
    return answer.body


@pytest.mark.parametrize(
    ("values", "predictions"),
    [
        ([1.5, 2.0], [1.5, 2.0]),
        ([1, 2], [1, 2]),
        ([True, False], [True, False]),
        (["a", "b"], ["a", "b"]),
        ([[1, 2], [3, 4]], [[1, 2], [3, 4]]),
        ([np.nan, np.inf], [None, None]),
        (np.array(["2020-01-02T03:04"], "M8[m]"), ["2020-01-02T03:04"]),
        (np.array([b"\x00\xff", b"ab"]), ["AP8=", "YWI="]),
        (np.array([[b"\x00\xff", 1], [None, "x"]], dtype=object), [["AP8=", 1], [None, "x"]]),
        (
            np.array([{"raw": b"ab", "list": [b"ab", (b"ab",)]}]),
            [{"raw": "YWI=", "list": ["YWI=", ["YWI="]]}],
        ),
    ],
)
def test_an_array_is_a_list(values: Any, predictions: Any) -> None:
    assert json.loads(encode({"predict": values})) == {"predictions": predictions}


def test_several_outputs_are_records() -> None:
    assert json.loads(encode({"label": ["a", "b"], "score": [0.5, np.nan]})) == {
        "predictions": [{"label": "a", "score": 0.5}, {"label": "b", "score": None}]
    }


def test_one_output_with_a_name_is_a_frame_of_one_column() -> None:
    assert json.loads(encode({"label": ["a"]})) == {"predictions": [{"label": "a"}]}


def test_an_array_in_an_array_of_objects_is_a_list_too() -> None:
    ragged = np.empty(2, dtype=object)
    ragged[:] = [np.array([1.5]), np.array([b"a", b"b"])]
    assert json.loads(encode({"predict": ragged})) == {"predictions": [[1.5], ["YQ==", "Yg=="]]}


def test_what_json_cannot_hold_is_the_models_failure() -> None:
    with pytest.raises(ModelError):
        encode({"predict": np.array([object()])})


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (SignatureMismatch("no"), 400, "BAD_REQUEST"),
        (DecodeError("no"), 400, "BAD_REQUEST"),
        (UnsupportedMediaType("no"), 415, "BAD_REQUEST"),
        (KeyMissing("no", headers={"WWW-Authenticate": "Bearer"}), 401, "UNAUTHENTICATED"),
        (ModelNotFound("no"), 404, "RESOURCE_DOES_NOT_EXIST"),
        (NotReady("no", headers={"Retry-After": "1"}), 503, "TEMPORARILY_UNAVAILABLE"),
        (ModelError("no"), 500, "INTERNAL_ERROR"),
    ],
)
def test_an_error_has_the_three_keys(error: DemijohnError, status: int, code: str) -> None:
    answer = mlflow.encode_error(error, "id")
    assert mlflow.status_of(error) == status
    assert json.loads(answer.body) == {"error_code": code, "message": "no", "stack_trace": ""}
    assert (answer.content_type, answer.headers) == ("application/json", error.headers)


# Whatever comes ---------------------------------------------------------------------------

NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63 - 1)
MATRICES = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(NUMBERS, min_size=width, max_size=width), min_size=1, max_size=4)
)


@given(MATRICES, st.sampled_from(["instances", "inputs"]))
def test_rows_come_as_they_were_written(rows: list[list[float]], form: str) -> None:
    assert written(decode({form: rows})) == Rows(rows)


@given(MATRICES)
def test_numbers_are_answered_exactly(rows: list[list[float]]) -> None:
    values = np.array(rows, dtype=np.float64)
    assert np.array_equal(json.loads(encode({"predict": values}))["predictions"], values)


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=5))
def test_bytes_come_back_from_base64(values: list[bytes]) -> None:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    written = json.loads(encode({"predict": array}))["predictions"]
    assert [base64.b64decode(text) for text in written] == values
