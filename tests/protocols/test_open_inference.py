"""The Open Inference Protocol: what is written is read again, and nothing else is read."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tests import v2_client
from tests.v2_client import Sent

from demijohn.config import Settings
from demijohn.errors import (
    BodyTooLarge,
    DecodeError,
    DemijohnError,
    MethodNotFound,
    ModelError,
    ModelNotFound,
    NotAcceptable,
    NotOffered,
    Problem,
    QueueFull,
    SignatureMismatch,
)
from demijohn.messages import (
    Array,
    InferenceRequest,
    InferenceResponse,
    Matrix,
    NamedTensors,
    RawTensor,
    Tensors,
    as_written,
)
from demijohn.protocols import open_inference, v2_heads

SETTINGS = Settings(max_elements=1_000)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=5)


def decode(sent: Sent) -> InferenceRequest:
    return open_inference.decode(sent.body, sent.head, SETTINGS)


def tensors_of(request: InferenceRequest, names: list[str]) -> dict[str, Array]:
    inputs = request.inputs
    if isinstance(inputs, Matrix):
        return {names[0]: inputs.numbers}
    written = as_written(inputs)  # the kernel's array of columns has a room of its own
    assert isinstance(written, NamedTensors)
    return dict(written.tensors)


@st.composite
def typed(draw: st.DrawFn, *, is_binary: bool) -> tuple[str, Array]:
    """A datatype, and an array of it."""
    datatypes = [*v2_client.DTYPES, "BYTES", *(["BF16"] if is_binary else [])]
    datatype = draw(st.sampled_from(datatypes if is_binary else [d for d in datatypes if d != "FP16"]))
    shape = draw(arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4))
    if datatype == "BYTES":
        count = int(np.prod(shape))
        texts = np.empty(count, dtype=object)
        texts[:] = draw(st.lists(TEXTS, min_size=count, max_size=count))
        return datatype, texts.reshape(shape)
    if datatype == "BF16":
        halves = draw(arrays.arrays(np.uint16, shape))
        return datatype, (halves.astype(np.uint32) << 16).view(np.float32)
    elements = (
        None if is_binary or not datatype.startswith("FP") else {"allow_nan": False, "allow_infinity": False}
    )
    return datatype, draw(arrays.arrays(np.dtype(v2_client.DTYPES[datatype]), shape, elements=elements))


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@given(st.dictionaries(TEXTS, typed(is_binary=True), min_size=1, max_size=3))
def test_tensors_in_bytes_are_read_as_they_were_written(tensors: dict[str, tuple[str, Array]]) -> None:
    check_read(tensors, v2_client.request(tensors, is_binary=True))


@given(st.dictionaries(TEXTS, typed(is_binary=False), min_size=1, max_size=3), st.booleans())
@example({"": ("BOOL", np.array([False])), "0": ("FP64", np.array([0.5]))}, False)
def test_tensors_in_json_are_read_as_they_were_written(
    tensors: dict[str, tuple[str, Array]], is_nested: bool
) -> None:
    check_read(tensors, v2_client.request(tensors, is_nested=is_nested))


def check_read(tensors: dict[str, tuple[str, Array]], sent: Sent) -> None:
    read = tensors_of(decode(sent), list(tensors))
    assert read.keys() == tensors.keys()
    for name, (_, array) in tensors.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].shape == array.shape


def test_a_tensor_that_stands_aligned_is_viewed() -> None:
    numbers = np.arange(6).reshape(2, 3)
    for pad in range(8):  # the JSON part may end anywhere
        sent = v2_client.request({"x": ("INT64", numbers)}, is_binary=True, id="i" * pad)
        array = tensors_of(decode(sent), ["x"])["x"]
        np.testing.assert_array_equal(array, numbers)
        assert array.flags.aligned
        assert array.flags.writeable == (array.base is None or array.base.base is None)


def test_a_matrix_is_the_requests_own() -> None:
    sent = v2_client.request({"x": ("FP64", np.ones((2, 2)))}, is_binary=True)
    inputs = decode(sent).inputs
    assert isinstance(inputs, Matrix)
    assert inputs.numbers.flags.writeable
    assert inputs.again().rows == [[1.0, 1.0], [1.0, 1.0]]


def test_a_matrix_of_numbers_is_read_wherever_its_bytes_begin() -> None:
    numbers = np.random.default_rng(0).normal(size=(9, 7))
    for pad in range(8):
        inputs = decode(v2_client.request({"x": ("FP64", numbers)}, is_binary=True, id="i" * pad)).inputs
        assert isinstance(inputs, Matrix)
        assert inputs.numbers.tobytes() == numbers.tobytes()
        assert inputs.numbers.flags.aligned
        assert inputs.numbers.flags.writeable


@given(st.integers(0, 62), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_a_matrix_with_a_number_that_is_not_finite_keeps_its_name(place: int, value: float) -> None:
    numbers = np.ones((9, 7))
    numbers.flat[place] = value
    inputs = decode(v2_client.request({"x": ("FP64", numbers)}, is_binary=True)).inputs
    assert isinstance(inputs, NamedTensors)
    np.testing.assert_array_equal(inputs.tensors["x"], numbers)


def test_a_request_that_was_understood_before_is_held_to_the_settings_of_now() -> None:
    sent = v2_client.request({"x": ("FP64", np.ones((1, 1)))}, is_binary=True)
    for _ in range(2):
        assert isinstance(decode(sent).inputs, Matrix)
        with pytest.raises(DecodeError, match="nested deeper than 2"):
            open_inference.decode(sent.body, sent.head, Settings(max_depth=2))
        with pytest.raises(BodyTooLarge):
            open_inference.decode(sent.body, sent.head, Settings(max_elements=2))


def test_what_a_request_of_many_tensors_says_is_remembered() -> None:
    tensors = {f"x{n}": ("FP64", np.ones(1)) for n in range(70)}
    sent = v2_client.request(tensors, is_binary=True)
    for own in (Settings(), Settings(max_depth=4)):  # a tensor's parameters are that deep
        known = v2_heads.recall(sent.body[: int(sent.head)], own)
        assert known is not None
        assert len(known.tensors) == 70
    assert v2_heads.recall(sent.body[: int(sent.head)], Settings(max_depth=3)) is None


def test_what_a_request_says_is_remembered_with_its_bytes_alone() -> None:
    answers = []
    for value in (1.0, 2.0):
        for name in ("a", "b"):
            sent = v2_client.request({name: ("FP64", np.array([value]))}, is_binary=True, id=name)
            request = decode(sent)
            answers.append((request.note.id, tensors_of(request, [])[name].item()))
    assert answers == [("a", 1.0), ("b", 1.0), ("a", 2.0), ("b", 2.0)]


def test_a_short_float_is_the_number_that_it_is() -> None:
    read = tensors_of(decode(v2_client.request({"x": ("FP32", np.array([[0.1]]))})), ["x"])
    assert read["x"].item() == float(np.float32(0.1))


def test_null_is_a_missing_value() -> None:
    body = {
        "inputs": [
            {"name": "f", "datatype": "FP64", "shape": [1, 2], "data": [1, None]},
            {"name": "i", "datatype": "INT8", "shape": [2], "data": [1, None]},
            {"name": "t", "datatype": "BYTES", "shape": [2], "data": ["a", None]},
        ]
    }
    read = tensors_of(decode(Sent(json.dumps(body).encode())), [])
    np.testing.assert_array_equal(read["f"], [[1.0, np.nan]])
    assert read["i"].tolist() == [1, None]
    assert read["t"].tolist() == ["a", None]


def test_a_lone_matrix_with_gaps_keeps_its_name() -> None:
    tensor = {"name": "x", "datatype": "FP64", "shape": [1, 2], "data": [1, None]}
    assert isinstance(decode(Sent(json.dumps({"inputs": [tensor]}).encode())).inputs, NamedTensors)


# What a request says beside its tensors ---------------------------------------------------

ONE = {"name": "x", "datatype": "FP64", "shape": [1], "data": [1.5]}


def body(**more: Any) -> Sent:
    return Sent(json.dumps({"inputs": [ONE], **more}).encode())


def test_outputs_name_methods() -> None:
    request = decode(body(outputs=[{"name": "b"}, {"name": "a", "parameters": {"binary_data": True}}]))
    assert request.methods == ("b", "a")
    assert decode(body()).methods == decode(body(outputs=[])).methods == ()


def test_parameters_are_arguments_but_for_those_of_the_protocol() -> None:
    reserved = {
        "sequence_id": 1, "sequence_start": True, "sequence_end": True, "priority": 2, "timeout": 3,
        "headers": {"a": "b"}, "binary_data_output": False, "triton_enable": True, "content_type": "np",
    }  # fmt: skip
    assert decode(body(parameters={**reserved, "return_std": True})).parameters == {"return_std": True}


def test_null_is_as_good_as_absent_beside_the_tensors() -> None:
    request = decode(body(id=None, parameters=None, outputs=None))
    assert (request.methods, request.parameters) == ((), {})


def test_what_the_protocol_does_not_know_is_not_looked_at() -> None:
    assert isinstance(decode(body(unheard={"of": [1]})).inputs, NamedTensors)


def test_a_head_of_nothing_means_that_the_body_is_the_tensor() -> None:
    request = open_inference.decode(b"\0" * 16, "0", SETTINGS)
    assert request.inputs == RawTensor(b"\0" * 16)


def test_the_head_is_a_header() -> None:
    assert open_inference.read_head({"HTTP_INFERENCE_HEADER_CONTENT_LENGTH": "12"}) == "12"
    assert open_inference.read_head({}) == ""


# What cannot be read ----------------------------------------------------------------------


def tensor(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**ONE, **changes}.items() if value is not ...}


def binary(**changes: Any) -> dict[str, Any]:
    return tensor(**{"data": ..., "parameters": {"binary_data_size": 8}, **changes})


BROKEN: dict[str, Any] = {
    "no object": [1],
    "no inputs": {},
    "inputs that are no list": {"inputs": ONE},
    "empty inputs": {"inputs": []},
    "an input that is no object": {"inputs": [1]},
    "an input without name": {"inputs": [tensor(name=...)]},
    "two inputs of a name": {"inputs": [ONE, ONE]},
    "no datatype": {"inputs": [tensor(datatype=...)]},
    "a datatype that nobody knows": {"inputs": [tensor(datatype="FP8")]},
    "no shape": {"inputs": [tensor(shape=...)]},
    "a shape that is a number": {"inputs": [tensor(shape=1)]},
    "a size that is a float": {"inputs": [tensor(shape=[1.0])]},
    "a size that is a bool": {"inputs": [tensor(shape=[True])]},
    "a negative size": {"inputs": [tensor(shape=[-1])]},
    "a huge size": {"inputs": [tensor(shape=[2**40])]},
    "many axes": {"inputs": [tensor(shape=[1] * 33)]},
    "no data": {"inputs": [tensor(data=...)]},
    "data that is no list": {"inputs": [tensor(data=1.5)]},
    "too little data": {"inputs": [tensor(shape=[2])]},
    "too much data": {"inputs": [tensor(data=[1, 2])]},
    "data of another nesting": {"inputs": [tensor(shape=[2, 2], data=[[1, 2, 3], [4]])]},
    "data nested in a vector": {"inputs": [tensor(data=[[1]])]},
    "data nested too deep": {"inputs": [tensor(shape=[1, 1], data=[[[1]]])]},
    "data nested in part": {"inputs": [tensor(shape=[2, 1], data=[[1], 2])]},
    "no elements, of sizes without end": {"inputs": [tensor(shape=[0] + [2**30] * 9, data=[])]},
    "a text among numbers": {"inputs": [tensor(data=["1"])]},
    "a bool among numbers": {"inputs": [tensor(data=[True])]},
    "an object among numbers": {"inputs": [tensor(data=[{}])]},
    "a float among integers": {"inputs": [tensor(datatype="INT64")]},
    "a number among bools": {"inputs": [tensor(datatype="BOOL", data=[1])]},
    "a number among texts": {"inputs": [tensor(datatype="BYTES")]},
    "an integer too large": {"inputs": [tensor(datatype="INT8", data=[200])]},
    "an integer too large beside a gap": {"inputs": [tensor(datatype="INT8", shape=[2], data=[200, None])]},
    "a negative unsigned": {"inputs": [tensor(datatype="UINT8", data=[-1])]},
    "a float too large": {"inputs": [tensor(datatype="FP32", data=[1e300])]},
    "FP16 in JSON": {"inputs": [tensor(datatype="FP16")]},
    "BF16 in JSON": {"inputs": [tensor(datatype="BF16")]},
    "data and bytes": {"inputs": [tensor(parameters={"binary_data_size": 8})]},
    "bytes without a head": {"inputs": [binary()]},
    "shared memory": {"inputs": [tensor(data=..., parameters={"shared_memory_region": "r"})]},
    "parameters of an input that are a list": {"inputs": [tensor(parameters=[])]},
    "an id that is a number": {"inputs": [ONE], "id": 1},
    "parameters that are a list": {"inputs": [ONE], "parameters": []},
    "a parameter that is an object": {"inputs": [ONE], "parameters": {"x": {}}},
    "a flag that is a number": {"inputs": [ONE], "parameters": {"binary_data_output": 1}},
    "outputs that are an object": {"inputs": [ONE], "outputs": {}},
    "an output that is a text": {"inputs": [ONE], "outputs": ["predict"]},
    "an output without name": {"inputs": [ONE], "outputs": [{}]},
    "two outputs of a name": {"inputs": [ONE], "outputs": [{"name": "a"}, {"name": "a"}]},
    "an output's flag that is a text": {
        "inputs": [ONE], "outputs": [{"name": "a", "parameters": {"binary_data": "yes"}}]
    },
    "an output in shared memory": {
        "inputs": [ONE], "outputs": [{"name": "a", "parameters": {"shared_memory_region": "r"}}]
    },
    "a classification of texts": {
        "inputs": [ONE], "outputs": [{"name": "a", "parameters": {"classification": "2"}}]
    },
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_json_that_is_no_request_cannot_be_read(case: str) -> None:
    with pytest.raises(DecodeError):
        decode(Sent(json.dumps(BROKEN[case]).encode()))


@pytest.mark.parametrize(
    ("datatype", "value"), [("UINT8", -1), ("INT8", 128), ("INT64", 2**63), ("FP32", 1e39)]
)
def test_a_number_that_a_datatype_cannot_hold_is_said_to_be_outside_its_range(
    datatype: str, value: float
) -> None:
    tensor = {"name": "x", "datatype": datatype, "shape": [1], "data": [value]}
    with pytest.raises(DecodeError, match=f"outside the range of {datatype}"):
        decode(Sent(json.dumps({"inputs": [tensor]}).encode()))


EIGHT = b"\0" * 8
BROKEN_BYTES: dict[str, tuple[dict[str, Any], bytes]] = {
    "too few bytes": (binary(), EIGHT[1:]),
    "bytes that follow": (binary(), EIGHT + b"\0"),
    "a size of another shape": (binary(shape=[2]), EIGHT),
    "a size that is no number": (binary(parameters={"binary_data_size": "8"}), EIGHT),
    "a size that is a bool": (binary(datatype="BOOL", parameters={"binary_data_size": True}), b"\1"),
    "a size that is a float": (binary(shape=[1, 1], parameters={"binary_data_size": 8.0}), EIGHT),
    "a negative size": (binary(parameters={"binary_data_size": -8}), EIGHT),
    "data beside bytes": (tensor(parameters={"binary_data_size": 8}), EIGHT),
    "bytes that nobody claims": (ONE, EIGHT),
    "a bool of two": (binary(datatype="BOOL", parameters={"binary_data_size": 1}), b"\2"),
    "a text without length": (binary(datatype="BYTES", parameters={"binary_data_size": 3}), b"\0\0\0"),
    "a text that ends early": (binary(datatype="BYTES"), b"\5\0\0\0abcd"),
    "a text that ends late": (binary(datatype="BYTES"), b"\3\0\0\0abcd"),
    "texts that end between": (binary(datatype="BYTES", shape=[2]), b"\4\0\0\0abcd"),
    "a text that is not UTF-8": (binary(datatype="BYTES"), b"\4\0\0\0\xff\xff\xff\xff"),
    "more texts than bytes": (binary(datatype="BYTES", shape=[2**20]), EIGHT),
}


@pytest.mark.parametrize("case", BROKEN_BYTES)
def test_bytes_that_are_no_tensors_cannot_be_read(case: str) -> None:
    given, rest = BROKEN_BYTES[case]
    head = json.dumps({"inputs": [given]}).encode()
    with pytest.raises(DecodeError):
        open_inference.decode(head + rest, str(len(head)), SETTINGS)


@pytest.mark.parametrize("head", ["x", "-1", "+1", "1.0", "²", "9" * 40, "1000", "3", " "])
def test_a_head_that_is_no_length_of_the_body_cannot_be_read(head: str) -> None:
    with pytest.raises(DecodeError):
        open_inference.decode(json.dumps({"inputs": [ONE]}).encode(), head, SETTINGS)


def test_more_texts_than_are_allowed_are_too_many() -> None:
    texts = np.full(1_001, "", dtype=object)
    with pytest.raises(BodyTooLarge):
        decode(v2_client.request({"x": ("BYTES", texts)}, is_binary=True))


# Answers ----------------------------------------------------------------------------------


def answer(
    outputs: Tensors, classes: list[Any] | None = None, /, **more: Any
) -> tuple[dict[str, Any], dict[str, Array], Any]:
    """Encode an answer to a request with more keys, and read it as a client would."""
    n_rows = len(next(iter(outputs.values())))
    response = InferenceResponse(outputs, "m", "3", "predict", n_rows, classes)
    encoded = open_inference.encode(response, decode(body(**more)), "")
    return (*v2_client.read_answer(encoded.body, encoded.headers.get(v2_client.HEAD_LENGTH)), encoded)


@given(typed(is_binary=True).filter(lambda pair: pair[0] not in ("BF16", "BYTES")))
def test_outputs_in_bytes_are_what_they_are(pair: tuple[str, Array]) -> None:
    datatype, array = pair
    document, outputs, encoded = answer({"predict": array}, parameters={"binary_data_output": True})
    assert encoded.content_type == "application/octet-stream"
    assert document["outputs"][0]["datatype"] == datatype
    np.testing.assert_array_equal(outputs["predict"], array)


@given(typed(is_binary=False).filter(lambda pair: pair[0] != "BYTES"))
def test_outputs_in_json_are_what_they_are(pair: tuple[str, Array]) -> None:
    datatype, array = pair
    document, outputs, encoded = answer({"predict": array})
    assert encoded.content_type == "application/json"
    assert document["outputs"][0]["datatype"] == datatype
    np.testing.assert_array_equal(outputs["predict"], array)


@pytest.mark.parametrize("is_binary", [False, True])
def test_texts_and_other_values_are_bytes(is_binary: bool) -> None:
    given = {
        "texts": np.array(["a", "é"]),
        "bytes": np.array([b"ab", b"c"]),
        "objects": np.array(["a", 1, None, [1, 2]], dtype=object)[[0, 3]],
        "instants": np.array(["2020-01-01", "NaT"], dtype="datetime64[s]"),
    }
    document, outputs, _ = answer(given, parameters={"binary_data_output": is_binary})
    assert {output["datatype"] for output in document["outputs"]} == {"BYTES"}
    assert {name: list(array) for name, array in outputs.items()} == {
        "texts": [b"a", "é".encode()],
        "bytes": [b"ab", b"c"],
        "objects": [b"a", b"[1,2]"],
        "instants": [b"2020-01-01T00:00:00", b"null"],
    }


def test_an_output_says_for_itself_whether_it_is_binary() -> None:
    asked = [{"name": "a", "parameters": {"binary_data": False}}, {"name": "b"}]
    given = {"a": np.array([1.5]), "b": np.array([2.5])}
    document, outputs, _ = answer(given, outputs=asked, parameters={"binary_data_output": True})
    assert ["data" in output for output in document["outputs"]] == [True, False]
    assert outputs == {"a": [1.5], "b": [2.5]}


def test_a_method_of_several_outputs_gets_what_was_asked_of_it() -> None:
    asked = [{"name": "predict", "parameters": {"binary_data": True}}]
    document, _, _ = answer({"a": np.array([1]), "b": np.array([2])}, outputs=asked)
    assert all("parameters" in output for output in document["outputs"])


def test_an_id_is_echoed_and_none_is_made_up() -> None:
    given = {"predict": np.array([1.5])}
    assert answer(given, id="seven")[0] == {
        "model_name": "m",
        "model_version": "3",
        "id": "seven",
        "outputs": [{"name": "predict", "shape": [1], "datatype": "FP64", "data": [1.5]}],
    }
    assert "id" not in answer(given)[0]


def test_a_classification_names_the_highest_values() -> None:
    given = {"p": np.array([[0.2, 0.5, 0.3], [0.9, 0.1, 0.0]]), "q": np.array([1, 2])}
    asked = [{"name": name, "parameters": {"classification": 2}} for name in given]
    _, outputs, _ = answer(given, ["a", "b", "c"], outputs=asked)
    assert outputs["p"].tolist() == [[b"0.500000:1:b", b"0.300000:2:c"], [b"0.900000:0:a", b"0.100000:1:b"]]
    assert outputs["q"].tolist() == [[b"1.000000:0"], [b"2.000000:0"]]


def test_texts_have_no_classification() -> None:
    with pytest.raises(NotAcceptable):
        answer({"p": np.array(["a"])}, outputs=[{"name": "p", "parameters": {"classification": 1}}])


def test_what_json_has_no_form_for_is_not_written_as_json() -> None:
    for array in (np.array([1.5], np.float16), np.array([b"\xff"])):
        with pytest.raises(NotAcceptable):
            answer({"p": array})


@pytest.mark.parametrize("is_binary", [False, True])
@pytest.mark.parametrize("value", ["\ud800", object()])
def test_what_has_no_form_at_all_is_the_models_error(value: Any, is_binary: bool) -> None:
    with pytest.raises(ModelError):
        answer({"p": np.array([value], dtype=object)}, parameters={"binary_data_output": is_binary})


def test_a_number_that_is_not_finite_is_null() -> None:
    document, _, _ = answer({"p": np.array([np.nan, np.inf, 1.0])})
    assert document["outputs"][0]["data"] == [None, None, 1.0]


def test_a_float_longer_than_a_double_is_a_double() -> None:
    assert answer({"p": np.array([0.5], np.longdouble)})[0]["outputs"][0]["datatype"] == "FP64"


# Errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (DecodeError(), 400),
        (SignatureMismatch(), 400),
        (NotAcceptable(), 400),
        (MethodNotFound(), 400),
        (ModelNotFound(), 404),
        (DemijohnError(), 500),
        (ModelError(), 500),
        (NotOffered(), 501),
        (QueueFull(), 503),
    ],
)
def test_an_error_has_the_status_that_the_protocol_knows(error: DemijohnError, status: int) -> None:
    assert open_inference.status_of(error) == status


def test_an_error_is_one_text() -> None:
    problems = [Problem(index, None, "a", "b") for index in range(2)]
    encoded = open_inference.encode_error(SignatureMismatch(str(problems[0]), errors=problems), "id")
    assert json.loads(encoded.body) == {
        "error": "row 0: expected a, received b; row 1: expected a, received b"
    }
    assert encoded.content_type == "application/json"
