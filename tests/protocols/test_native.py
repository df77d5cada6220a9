"""The native dialect: every body form in, one form of answer out."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from demijohn import kernels
from demijohn.config import Settings
from demijohn.errors import (
    DecodeError,
    ModelError,
    ParameterMismatch,
    Problem,
    QueueFull,
    SignatureMismatch,
    UnsupportedMediaType,
)
from demijohn.messages import (
    Columns,
    InferenceRequest,
    InferenceResponse,
    Matrix,
    Records,
    Rows,
    as_written,
)
from demijohn.protocols import PROTOCOLS, arrow_columns, native
from demijohn.protocols.pieces import rows_in

SETTINGS = Settings()
ROWS = [[1.0, 2.0], [3.0, 4.0]]
RECORDS = [{"a": 1.0, "b": 2.0}, {"b": 4.0, "a": 3.0}]


def decode(document: Any, content_type: str = native.JSON) -> InferenceRequest:
    return native.decode(json.dumps(document).encode(), content_type, SETTINGS)


def test_the_native_dialect_is_in_the_table() -> None:
    assert PROTOCOLS["native"] is native


@pytest.mark.parametrize(
    ("document", "inputs"),
    [
        (ROWS, Rows(ROWS)),
        (RECORDS, Records(RECORDS)),
        ([], Rows([])),
        (["a", "b"], Rows(["a", "b"])),
        ({"instances": ROWS}, Rows(ROWS)),
        ({"instances": RECORDS}, Records(RECORDS)),
        ({"inputs": ROWS}, Rows(ROWS)),
        ({"inputs": RECORDS}, Records(RECORDS)),
        ({"inputs": {"a": [1], "b": [2]}}, Columns({"a": [1], "b": [2]})),
        ({"dataframe_records": RECORDS}, Records(RECORDS)),
        ({"dataframe_split": {"columns": ["a", "b"], "data": ROWS}}, Rows(ROWS, columns=["a", "b"])),
        (
            {"dataframe_split": {"columns": [0, 1], "index": [7, 8], "data": ROWS}},
            Rows(ROWS, columns=["0", "1"]),
        ),
        ({"dataframe_split": {"data": ROWS}}, Rows(ROWS)),
        ({"dataframe_split": {"data": ROWS, "columns": None}}, Rows(ROWS)),
    ],
)
def test_each_body_form_is_read(document: Any, inputs: Any) -> None:
    request = decode(document)
    assert as_written(request.inputs) == inputs
    assert request.parameters == {}


@pytest.mark.parametrize("form", ["instances", "inputs"])
def test_parameters_stand_beside_the_rows(form: str) -> None:
    assert decode({form: ROWS, "params": {"return_std": True}}).parameters == {"return_std": True}


@pytest.mark.parametrize("params", [None, [], "x", 1])
def test_parameters_that_are_no_object_do_not_fit(params: Any) -> None:
    with pytest.raises(ParameterMismatch):
        decode({"instances": ROWS, "params": params})


@pytest.mark.parametrize(
    ("document", "received"),
    [
        (None, "null"),
        (True, "a boolean"),
        (1.5, "a number"),
        ("rows", "a string"),
        ({}, "an object with nothing in it"),
        ({"data": ROWS}, "an object with 'data'"),
        ({"instances": ROWS, "inputs": ROWS}, "an object with 'instances', 'inputs'"),
        ({"instances": ROWS, "signature_name": "x"}, "an object with 'instances', 'signature_name'"),
        ({"params": {}}, "an object with 'params'"),
        ({"instances": {"a": 1}}, "an object"),
        ({"instances": None}, "null"),
        ({"inputs": 5}, "a number"),
        ({"dataframe_records": {"a": [1]}}, "an object"),
        ({"dataframe_split": ROWS}, "a list"),
        ({"dataframe_split": {"columns": ["a"]}}, "an object"),
        ({"dataframe_split": {"columns": "ab", "data": ROWS}}, "a string"),
        ({"dataframe_split": {"columns": [True], "data": ROWS}}, "a list"),
        ({"dataframe_split": {"columns": [None], "data": ROWS}}, "a list"),
    ],
)
def test_json_of_another_form_does_not_fit(document: Any, received: str) -> None:
    with pytest.raises(SignatureMismatch) as raised:
        decode(document)
    (problem,) = raised.value.errors
    assert (problem.row, problem.column, problem.received) == (None, None, received)


def test_a_form_of_many_strange_keys_is_described_in_short() -> None:
    with pytest.raises(SignatureMismatch) as raised:
        decode({f"{index}" + "x" * 500: 1 for index in range(100)})
    assert len(raised.value.errors[0].received) <= 400


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/json",
        "Application/JSON",
        "application/json; charset=UTF-8",
        'application/json;charset="utf-8"',
        "application/json;",
    ],
)
def test_json_is_what_comes_by_any_of_its_names_or_none(content_type: str) -> None:
    assert as_written(decode(ROWS, content_type).inputs) == Rows(ROWS)


@pytest.mark.parametrize(
    ("content_type", "columns", "n_rows"),
    [
        ("text/csv", ["0", "1"], 1),
        ("Text/CSV; Charset=utf-8", ["0", "1"], 1),
        ("text/csv; header=present", ["0", "1"], 1),
        ("text/csv; header=absent", None, 2),
        ('text/csv;HEADER="Absent"; charset=us-ascii', None, 2),
    ],
)
def test_csv_has_a_header_unless_it_says_otherwise(
    content_type: str, columns: list[str] | None, n_rows: int
) -> None:
    inputs = native.decode(b"0,1\n3,4\n", content_type, SETTINGS).inputs
    assert isinstance(inputs, Rows | Matrix)
    assert (inputs.columns, rows_in(inputs)) == (columns, n_rows)
    rows = inputs.again() if isinstance(inputs, Matrix) else inputs
    assert (rows.columns, len(rows.rows), rows.is_text) == (columns, n_rows, True)


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain", "application/octet-stream", "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x", "application/x-pickle", "application/python-pickle",
        "application/vnd.apache.avro", "application/x-hdf5",
        "application/json; charset=utf-16", "text/csv; charset=latin-1", "json", ";", "*/*",
    ],
)  # fmt: skip
def test_another_media_type_or_charset_is_refused_before_the_body_is_looked_at(content_type: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        native.check_content_type(content_type)
    with pytest.raises(UnsupportedMediaType):
        native.decode(b"\x80\x04K\x01.", content_type, SETTINGS)


def test_what_is_no_json_cannot_be_read() -> None:
    with pytest.raises(DecodeError):
        native.decode(b"[1", "", SETTINGS)


# Answers ----------------------------------------------------------------------------------


def encode(
    outputs: dict[str, Any], method: str = "predict", media_type: str = native.JSON, classes: Any = None
) -> Any:
    arrays = {name: np.asarray(values) for name, values in outputs.items()}
    n_rows = len(next(iter(arrays.values())))
    response = InferenceResponse(arrays, "m", "3", method, n_rows, classes)
    return native.encode(response, InferenceRequest(Rows([])), media_type)


@pytest.mark.parametrize(
    ("values", "predictions"),
    [
        ([1.5, 2.0], [1.5, 2.0]),
        ([1, 2], [1, 2]),
        (["a", "b"], ["a", "b"]),
        ([[1.5, 2.0]], [[1.5, 2.0]]),
        ([np.nan, np.inf], [None, None]),
        (np.array(["2020-01-02"], dtype="M8[D]"), ["2020-01-02"]),
    ],
)
def test_one_output_is_one_entry_per_row(values: Any, predictions: Any) -> None:
    answer = encode({"predict": values})
    assert json.loads(answer.body) == {"predictions": predictions, "model": "m", "version": "3"}
    assert answer.content_type == "application/json"


def test_several_outputs_are_a_record_per_row() -> None:
    answer = encode({"mean": [1.0, 2.0], "std": [0.5, np.nan], "label": ["a", "b"]})
    assert json.loads(answer.body)["predictions"] == [
        {"mean": 1.0, "std": 0.5, "label": "a"},
        {"mean": 2.0, "std": None, "label": "b"},
    ]


def test_one_output_of_another_name_is_a_record_too() -> None:
    assert json.loads(encode({"indices": [[1], [2]]}, "kneighbors").body)["predictions"] == [
        {"indices": [1]},
        {"indices": [2]},
    ]


def test_classes_are_told_where_they_name_columns() -> None:
    document = json.loads(encode({"predict_proba": [[0.5, 0.5]]}, "predict_proba", classes=["a", "b"]).body)
    assert document["classes"] == ["a", "b"]


def test_csv_is_written_where_it_is_asked_for() -> None:
    answer = encode({"predict": [1, 2]}, media_type="text/csv")
    assert (answer.body, answer.content_type) == (b"predict\r\n1\r\n2\r\n", "text/csv; charset=utf-8")


def test_an_answer_that_json_cannot_hold_is_the_models_failure() -> None:
    with pytest.raises(ModelError, match="cannot be written as JSON"):
        encode({"predict": np.array([object()])})


def test_an_error_is_a_problem_of_rfc_9457() -> None:
    error = QueueFull("full", errors=[Problem(1, "a", "int64", "null")], headers={"Retry-After": "2"})
    answer = native.encode_error(error, "id-1")
    assert answer.content_type == "application/problem+json"
    assert answer.headers == {"Retry-After": "2"}
    assert json.loads(answer.body) == {
        "type": "urn:demijohn:problem:queue_full",
        "title": QueueFull.title,
        "status": 503,
        "detail": "full",
        "code": "queue_full",
        "errors": [{"row": 1, "column": "a", "expected": "int64", "received": "null"}],
        "request_id": "id-1",
    }


@pytest.mark.skipif(not kernels.IS_BUILT, reason="no kernels were built here: every body is read as rows")
@pytest.mark.parametrize("document", [ROWS, {"instances": ROWS}, {"inputs": ROWS}])
def test_rows_of_numbers_are_read_into_one_array(document: Any) -> None:
    inputs = decode(document).inputs
    assert isinstance(inputs, Matrix)
    assert np.array_equal(inputs.numbers, ROWS)


@pytest.mark.parametrize("document", [[[1.0], [1.0, 2.0]], [[]], [["1"]], [[True]], RECORDS])
def test_rows_that_are_no_matrix_of_numbers_are_kept_as_they_are_written(document: Any) -> None:
    assert not isinstance(decode(document).inputs, Matrix)


@pytest.mark.parametrize("media_type", [native.ARROW, native.ARROW_FILE, native.PARQUET])
def test_a_missing_extra_is_named(media_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    native.check_content_type(media_type)
    monkeypatch.setattr(arrow_columns, "is_available", lambda: False)
    with pytest.raises(UnsupportedMediaType, match=r"needs pyarrow.*demijohn\[arrow\]"):
        native.check_content_type(media_type)
    assert not native.is_available(media_type)
    for other in (native.JSON, native.CSV, native.NPY, native.NPZ, *native.LINES):
        assert native.is_available(other)
