"""TensorFlow Serving's REST API as pure functions; its own cases are in ``tests/clients/CASES.md``."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demijohn.config import Settings
from demijohn.errors import (
    BodyTooLarge,
    DecodeError,
    DemijohnError,
    KeyMissing,
    MethodNotAllowed,
    MethodNotFound,
    ModelError,
    ModelNotFound,
    NotOffered,
    NotReady,
    RouteNotFound,
    SignatureMismatch,
    UnsupportedMediaType,
    VersionNotFound,
)
from demijohn.messages import Columns, InferenceRequest, InferenceResponse, Records, Rows, as_written
from demijohn.protocols import PROTOCOLS, tensorflow

SETTINGS = Settings()
ROWS = [[1.0, 2.0], [3.0, 4.0]]
RECORDS = [{"a": 1.0, "b": "x"}, {"a": 3.0, "b": "y"}]
HELLO, WORLD = {"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}


def decode(document: Any, verb: str = "predict", **limits: int) -> InferenceRequest:
    body = document.encode() if isinstance(document, str) else json.dumps(document).encode()
    return tensorflow.decode(body, verb, Settings(**limits) if limits else SETTINGS)


def written(request: InferenceRequest) -> Any:
    return as_written(request.inputs)


def test_the_dialect_is_in_the_table() -> None:
    assert PROTOCOLS["tensorflow"] is tensorflow


@pytest.mark.parametrize(
    ("path", "verb"),
    [
        ("/v1/models/m:predict", "predict"),
        ("/ml/v1/models/m/versions/3:CLASSIFY", "classify"),
        ("/v1/models/m/labels/stable:Regress", "regress"),
    ],
)
def test_the_path_says_what_is_asked_whatever_the_content_type(path: str, verb: str) -> None:
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": path, "CONTENT_TYPE": "text/odd"}
    assert tensorflow.read_head(environ) == verb


def test_another_verb_is_a_malformed_request() -> None:
    with pytest.raises(RouteNotFound) as raised:
        tensorflow.read_head({"REQUEST_METHOD": "POST", "PATH_INFO": "/v1/models/m:train"})
    assert tensorflow.status_of(raised.value) == 400
    assert text_of(raised.value) == "Malformed request: POST /v1/models/m:train"


def test_no_model_has_an_explainer() -> None:
    with pytest.raises(NotOffered) as raised:
        tensorflow.read_head({"REQUEST_METHOD": "POST", "PATH_INFO": "/v1/models/m:explain"})
    assert tensorflow.status_of(raised.value) == 501


# Predict ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "inputs", "form"),
    [
        ({"instances": ROWS}, Rows(ROWS), "row"),
        ({"instances": [1.0, 2]}, Rows([1.0, 2]), "row"),
        ({"instances": ["foo", "bar"]}, Rows(["foo", "bar"]), "row"),
        ({"instances": RECORDS}, Records(RECORDS), "row"),
        ({"instances": [{"x": [1, 2]}, {"x": [3, 4]}]}, Columns({"x": [[1, 2], [3, 4]]}), "row"),
        ({"instances": [HELLO, WORLD]}, Rows([b"hello", b"world"]), "row"),
        ({"instances": [[HELLO], [WORLD]]}, Rows([[b"hello"], [b"world"]]), "row"),
        ({"instances": [{"a": HELLO, "b": 1}]}, Records([{"a": b"hello", "b": 1}]), "row"),
        ({"instances": [{"a": [[HELLO], [WORLD]]}]}, Columns({"a": [[[b"hello"], [b"world"]]]}), "row"),
        ({"instances": [{"a": {"b64": 5}, "b": 1}]}, Records([{"a": {"b64": 5}, "b": 1}]), "row"),
        ({"inputs": ROWS}, Rows(ROWS), "column"),
        ({"inputs": {"a": [1, 2], "b": ["x", "y"]}}, Columns({"a": [1, 2], "b": ["x", "y"]}), "column"),
        ({"inputs": {"x": [HELLO]}}, Columns({"x": [b"hello"]}), "column"),
        ({"inputs": [HELLO]}, Rows([b"hello"]), "column"),
        ({"instances": ROWS, "more": {"deep": [1]}}, Rows(ROWS), "row"),
        ({"instances": [{"a": 1}, 5]}, Records([{"a": 1}, 5]), "row"),  # type: ignore[list-item]
    ],
)
def test_rows_and_columns_are_read(document: Any, inputs: Any, form: str) -> None:
    request = decode(document)
    assert written(request) == inputs
    assert (request.note, request.methods, request.parameters) == (form, (), {})


@pytest.mark.parametrize(
    ("name", "methods"), [("", ()), ("serving_default", ()), ("predict_proba", ("predict_proba",))]
)
def test_a_signature_is_a_method(name: str, methods: tuple[str, ...]) -> None:
    assert decode({"signature_name": name, "instances": ROWS}).methods == methods


@pytest.mark.parametrize(
    "document",
    [
        None, 5, "x", [], ROWS, RECORDS, {}, {"instances": ROWS, "inputs": ROWS},
        {"signature_name": "predict"}, {"instances": 5}, {"instances": {"a": [1]}},
        {"instances": None}, {"inputs": 5}, {"inputs": "x"},
        {"instances": ROWS, "signature_name": 5}, {"instances": ROWS, "signature_name": None},
        {"examples": [{"a": 1}]},
    ],
)  # fmt: skip
def test_another_form_is_400(document: Any) -> None:
    with pytest.raises(SignatureMismatch) as raised:
        decode(json.dumps(document))
    assert tensorflow.status_of(raised.value) == 400


@pytest.mark.parametrize("text", ["aGVsb*8=", "a", "aGVsbG8=é"])
def test_what_is_no_base64_cannot_be_read(text: str) -> None:
    with pytest.raises(DecodeError, match="base64"):
        decode({"instances": [{"b64": text}]})


def test_base64_may_lack_its_padding() -> None:
    assert decode({"instances": [{"b64": "aGVsbG8"}]}).inputs == Rows([b"hello"])


# Bare words -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "value"),
    [("NaN", None), ("Infinity", math.inf), ("-Infinity", -math.inf), ("Inf", math.inf), ("-Inf", -math.inf)],
)
def test_bare_words_are_numbers(word: str, value: float | None) -> None:
    assert decode(f'{{"instances": [[1, {word}], [{word}, "NaN"]]}}').inputs == Rows(
        [[1, value], [value, "NaN"]]
    )
    assert decode(f'{{"inputs": {{"NaN": [{word}]}}}}').inputs == Columns({"NaN": [value]})


@pytest.mark.parametrize(
    "body",
    [
        "", " ", "instances = [1, 2]",
        '{"instances": [1,]}', '{"instances": [1NaN]}', '{"instances": [NaNNaN]}',
        '{"instances": [-NaN]}', '{"instances": [nan]}', '{"instances": [Infinit]}',
        '{"instances": [+Infinity]}',
        '{"instances": [1e999]}', '{NaN: 1, "instances": [1]}', '{"instances": [{NaN: 1}]}',
        '{"instances": [NaN], "instances": [NaN]}', '{"instances": [NaN], "a": {"x": 1, "x": 2}}',
        '{"instances": ["NaN]}', '{"instances": [NaN]', '{"instances": "\\ud800", "x": NaN}',
    ],
)  # fmt: skip
def test_broken_json_is_400_with_bare_words_and_without(body: str) -> None:
    with pytest.raises(DecodeError) as raised:
        decode(body)
    assert tensorflow.status_of(raised.value) == 400


def test_the_limits_hold_with_bare_words() -> None:
    deep = "[" * 70 + "NaN" + "]" * 70
    with pytest.raises(DecodeError, match="nested deeper"):
        decode(f'{{"instances": {deep}}}')
    with pytest.raises(BodyTooLarge):
        decode('{"instances": [' + "NaN," * 20 + "1]}", max_elements=20)


def test_numbers_beside_bare_words_stay_exact() -> None:
    rows = [9007199254740993, 0.1, -(2**63), 5e-324]
    inputs = decode('{"instances": [NaN, ' + json.dumps(rows)[1:] + "}").inputs
    assert inputs == Rows([None, *rows])


# Classify and regress ---------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["classify", "regress"])
def test_examples_are_records_and_share_the_context(verb: str) -> None:
    request = decode(
        {"context": {"b": "x", "a": 0}, "examples": [{"a": 1}, {"b": [HELLO], "a": [2, 3]}]}, verb
    )
    assert request.inputs == Records([{"b": "x", "a": 1}, {"b": b"hello", "a": [2, 3]}])
    assert request.note == verb


def test_the_only_feature_may_be_the_row_of_any_model() -> None:
    assert decode({"examples": [{"x": [5.0]}, {"x": [6.0]}]}, "regress").inputs == Columns(
        {"x": [[5.0], [6.0]]}
    )


def test_classify_asks_for_probabilities_unless_told_otherwise() -> None:
    assert decode({"examples": [{"a": 1}]}, "classify").methods == ("predict_proba",)
    assert decode({"examples": [{"a": 1}], "signature_name": "other"}, "classify").methods == ("other",)
    assert decode({"examples": [{"a": 1}]}, "regress").methods == ()


@pytest.mark.parametrize(
    "document",
    [
        [], [{"a": 1}], {}, {"instances": ROWS}, {"examples": {"a": 1}}, {"examples": [1]},
        {"examples": None},
        {"examples": [{"a": 1}], "context": [1]}, {"examples": [{"a": 1}], "signature_name": 1},
    ],
)  # fmt: skip
@pytest.mark.parametrize("verb", ["classify", "regress"])
def test_malformed_examples_are_400(document: Any, verb: str) -> None:
    with pytest.raises(SignatureMismatch):
        decode(document, verb)


# Answers ----------------------------------------------------------------------------------


def encode(
    outputs: dict[str, Any], note: str = "row", method: str = "predict", classes: list[Any] | None = None
) -> Any:
    arrays = {name: np.asarray(values) for name, values in outputs.items()}
    n_rows = len(next(iter(arrays.values())))
    response = InferenceResponse(arrays, "m", "1", method, n_rows, classes)
    answer = tensorflow.encode(response, InferenceRequest(Rows([]), note=note), "")
    assert answer.content_type == "application/json"
    return json.loads(answer.body)


def test_rows_are_answered_with_rows_and_columns_with_columns() -> None:
    assert encode({"predict": [1.5, 2.0]}) == {"predictions": [1.5, 2.0]}
    assert encode({"predict": [1.5, 2.0]}, "column") == {"outputs": [1.5, 2.0]}
    several = {"mean": [1.5, 2.0], "label": ["a", "b"]}
    assert encode(several) == {"predictions": [{"mean": 1.5, "label": "a"}, {"mean": 2.0, "label": "b"}]}
    assert encode(several, "column") == {"outputs": several}


def test_the_only_output_has_no_name() -> None:
    assert encode({"scores": [[1, 2]]}) == {"predictions": [[1, 2]]}
    assert encode({"scores": [[1, 2]]}, "column") == {"outputs": [[1, 2]]}


def test_numbers_that_are_not_finite_are_bare_words() -> None:
    answer = encode({"predict": [math.nan, math.inf, -math.inf, 0.1]})["predictions"]
    assert math.isnan(answer[0])
    assert answer[1:] == [math.inf, -math.inf, 0.1]
    mixed = np.empty(3, dtype=object)
    mixed[:] = ["é", [math.inf, np.float32(0.5)], np.array([math.inf])]
    assert encode({"predict": mixed}) == {"predictions": ["é", [math.inf, 0.5], [math.inf]]}


def test_bytes_are_text_if_they_are_one_and_base64_by_name() -> None:
    values = np.array([b"hello", b"\xff\xfe"])
    assert encode({"predict": values}) == {"predictions": ["hello", {"b64": "//4="}]}
    assert encode({"image_bytes": values}) == {"predictions": [HELLO, {"b64": "//4="}]}
    assert encode({"image_bytes": ["hello"]}, "column") == {"outputs": [HELLO]}
    assert encode({"n_bytes": [1], "m": [2]}) == {"predictions": [{"n_bytes": 1, "m": 2}]}


def test_instants_are_texts() -> None:
    assert encode({"predict": np.array(["2020-01-02"], "M8[D]")}) == {"predictions": ["2020-01-02"]}


@pytest.mark.parametrize("value", [object(), "\ud800", {1j: 1}])
def test_what_json_cannot_hold_is_the_models_failure(value: Any) -> None:
    array = np.empty(2, dtype=object)
    array[:] = [value, math.nan]
    with pytest.raises(ModelError):
        encode({"predict": array})
    array[1] = "x"
    with pytest.raises(ModelError):
        encode({"predict": array})


def test_a_class_is_a_label_and_its_score() -> None:
    answer = encode({"predict_proba": [[0.25, 0.75]]}, "classify", "predict_proba", [0, 1])
    assert answer == {"results": [[["0", 0.25], ["1", 0.75]]]}


@pytest.mark.parametrize(
    ("outputs", "classes"),
    [
        ({"predict": [1, 2]}, None),
        ({"predict": [[1.0, 2.0]]}, None),
        ({"decision_function": [0.5]}, ["a", "b"]),
        ({"output_0": [[0.5, 0.5]], "output_1": [[0.5, 0.5]]}, [["a", "b"], ["c", "d"]]),
    ],
)
def test_what_has_no_score_for_each_class_does_not_classify(outputs: Any, classes: Any) -> None:
    with pytest.raises(SignatureMismatch, match="does not classify"):
        encode(outputs, "classify", classes=classes)


def test_a_regression_is_a_number_for_each_row() -> None:
    assert encode({"predict": [1.5, 2.0]}, "regress") == {"results": [1.5, 2.0]}
    assert encode({"predict": [[1.5], [2.0]]}, "regress") == {"results": [1.5, 2.0]}


@pytest.mark.parametrize("outputs", [{"predict": ["a"]}, {"predict": [[1.0, 2.0]]}, {"a": [1.0], "b": [1.0]}])
def test_what_is_no_single_number_is_no_regression(outputs: Any) -> None:
    with pytest.raises(SignatureMismatch, match="no regression"):
        encode(outputs, "regress")


def text_of(error: DemijohnError) -> str:
    answer = tensorflow.encode_error(error, "id")
    assert (answer.content_type, answer.headers) == ("application/json", error.headers)
    document = json.loads(answer.body)
    assert document.keys() == {"error"}
    return document["error"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (SignatureMismatch("no"), 400, "no"),
        (DecodeError("no"), 400, "no"),
        (MethodNotFound("no"), 400, "no"),
        (RouteNotFound("no"), 400, "no"),
        (MethodNotAllowed("no", headers={"Allow": "POST"}), 405, "no"),
        (UnsupportedMediaType("no"), 415, "no"),
        (KeyMissing("no", headers={"WWW-Authenticate": "Bearer"}), 401, "no"),
        (ModelNotFound("no"), 404, "Servable not found for request: no"),
        (VersionNotFound("no"), 404, "Servable not found for request: no"),
        (NotReady("no", headers={"Retry-After": "1"}), 503, "no"),
        (ModelError("no"), 500, "no"),
    ],
)
def test_an_error_is_one_text(error: DemijohnError, status: int, text: str) -> None:
    assert (tensorflow.status_of(error), text_of(error)) == (status, text)


@pytest.mark.parametrize(
    ("asked", "servable"),
    [(("m", None), "Latest(m)"), (("m", "9"), "Specific(m, 9)"), (("m" * 300, "9"), "Specific(" + "m" * 191)],
)
@pytest.mark.parametrize("kind", [ModelNotFound, VersionNotFound])
def test_who_was_asked_is_repeated_in_the_servers_words(kind: Any, asked: Any, servable: str) -> None:
    error = kind("no")
    error.asked = asked
    assert text_of(error) == f"Servable not found for request: {servable}"


# Whatever comes ---------------------------------------------------------------------------

NUMBERS = st.floats(allow_nan=False) | st.integers(-(2**63), 2**63 - 1)
MATRICES = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(NUMBERS, min_size=width, max_size=width), min_size=1, max_size=4)
)


@given(MATRICES, st.sampled_from(["instances", "inputs"]))
def test_rows_come_as_they_were_written(rows: list[list[float]], form: str) -> None:
    assert written(decode({form: rows})) == Rows(rows)  # json writes Infinity for what is one


@given(MATRICES)
def test_what_is_answered_can_be_asked_again(rows: list[list[float]]) -> None:
    values = np.array(rows, dtype=np.float64)
    answer = encode({"predict": values})["predictions"]
    assert np.array_equal(np.array(answer, dtype=np.float64), values)
    again = written(decode({"instances": answer}))
    assert np.array_equal(np.array(again.rows, dtype=np.float64), values)


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=5))
def test_bytes_come_back(values: list[bytes]) -> None:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    answer = encode({"x_bytes": array})["predictions"]
    assert [base64.b64decode(one["b64"]) for one in answer] == values
    assert decode({"instances": answer}).inputs == Rows(values)
