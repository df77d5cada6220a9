"""Requests of numbers that the kernel reads, and all others: one answer, whether they fit or not."""

from __future__ import annotations

import json
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.kernels.spoiling import changed_by_chance

from demijohn import kernels
from demijohn.config import Settings
from demijohn.errors import RequestError
from demijohn.messages import Inputs, Matrix, NamedTensors, Rows
from demijohn.protocols import open_inference, v2_numbers
from demijohn.protocols.v2_heads import Note, Wanted

needs_kernels = pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)

SETTINGS = Settings()
X: dict[str, Any] = {"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1.5, 2]}


def a_request(**more: Any) -> bytes:
    """Write a request of one tensor; what is given of it stands in the place of X's own."""
    own = {key: more.pop(key) for key in [*X, "tensor_parameters"] if key in more}
    if "tensor_parameters" in own:
        own["parameters"] = own.pop("tensor_parameters")
    return json.dumps({"inputs": [{**X, **own}], **more}).encode()


def of_array(array: Any) -> Any:
    return array.dtype.str, array.shape, array.tobytes(), array.flags.writeable


def seen_in(inputs: Inputs) -> Any:
    """Return everything that inputs hold, in a form that compares."""
    if isinstance(inputs, Matrix):
        rows = inputs.again()
        assert isinstance(rows, Rows)
        seen = [struct_of(row) for row in rows.rows]
        return of_array(inputs.numbers), seen, inputs.columns, inputs.n_missing, inputs.is_by_name
    assert isinstance(inputs, NamedTensors)
    return {
        name: (array.dtype, array.shape, array.tolist()) if array.dtype == object else of_array(array)
        for name, array in inputs.tensors.items()
    }


def struct_of(row: list[Any]) -> list[tuple[type, str]]:
    return [(type(value), repr(value)) for value in row]


def outcome(body: bytes, own: Settings) -> Any:
    try:
        request = open_inference.decode(body, "", own)
    except RequestError as error:
        return type(error), error.detail
    inputs = request.inputs
    return type(inputs), seen_in(inputs), request.parameters, request.methods, request.note


def assert_one_answer(body: bytes, own: Settings = SETTINGS) -> None:
    """Read a body with the kernel, without, and with it again, when it is remembered."""
    first = outcome(body, own)
    with mock.patch.object(kernels, "IS_BUILT", False):
        wanted = outcome(body, own)
    assert first == wanted
    assert outcome(body, own) == wanted


NO_DATA = a_request().replace(b', "data": [1.5, 2]', b"")
PLAIN = {
    "flat": a_request(),
    "nested": a_request(data=[[1.5, 2]]),
    "id": a_request(id="a-b c"),
    "no id": a_request(id=None),
    "outputs": a_request(outputs=[{"name": "predict", "parameters": {"classification": 2}}, {"name": "x"}]),
    "parameters": a_request(parameters={"binary_data_output": True, "n": 3, "priority": 1}),
    "parameters of the tensor": a_request(tensor_parameters={"content_type": "np"}),
    "FP32": a_request(datatype="FP32", data=[0.1, 16777217]),
    "one axis": a_request(shape=[2]),
    "no axis": a_request(shape=[], data=[1]),
    "three axes": a_request(shape=[2, 1, 2], data=[[[1, 2]], [[3, 4]]]),
    "three axes, flat": a_request(shape=[2, 1, 2], data=[1, 2, 3, 4], datatype="FP32"),
    "three axes, two of them nested": a_request(shape=[2, 2, 1], data=[[1, 2], [3, 4]]),
    "INT8": a_request(datatype="INT8", data=[-128, 127]),
    "INT32": a_request(datatype="INT32", data=[-(2**31), 2**31 - 1]),
    "INT64": a_request(datatype="INT64", data=[-(2**53), 2**53]),
    "UINT8": a_request(datatype="UINT8", data=[0, 255]),
    "UINT64": a_request(datatype="UINT64", data=[0, 2**53]),
    "whole numbers of any size": a_request(data=[2**53 + 1, 2**64 + 5]),
    "named data": a_request(name="data"),
    "named id": a_request(name="id"),
}

OTHERS = {
    "no tensor": b'{"inputs":[]}',
    "two tensors": json.dumps({"inputs": [X, {**X, "name": "y"}]}).encode(),
    "two of one name": json.dumps({"inputs": [X, X]}).encode(),
    "texts": a_request(datatype="BYTES", data=["a", "b"]),
    "numbers as texts": a_request(datatype="BYTES"),
    "truths": a_request(datatype="BOOL", data=[True, False]),
    "numbers as truths": a_request(datatype="BOOL"),
    "halves": a_request(datatype="FP16"),
    "BF16": a_request(datatype="BF16"),
    "strange datatype": a_request(datatype="FP128"),
    "datatype is a number": a_request(datatype=64),
    "missing": a_request(data=[1, None]),
    "a truth among numbers": a_request(data=[1, True]),
    "float among integers": a_request(datatype="INT64", data=[1, 2.0]),
    "minus zero among integers": a_request(datatype="INT64", data=[1, -0.0]),
    "integers beyond a float": a_request(datatype="INT64", data=[1, 2**53 + 1]),
    "too large for INT8": a_request(datatype="INT8", data=[1, 128]),
    "too small for INT8": a_request(datatype="INT8", data=[1, -129]),
    "negative UINT64": a_request(datatype="UINT64", data=[1, -1]),
    "too large for UINT32": a_request(datatype="UINT32", data=[1, 2**32]),
    "too large for FP32": a_request(datatype="FP32", data=[1, 1e39]),
    "just too large for FP32": a_request(datatype="FP32", data=[1, 3.4028235677973366e38]),
    "too large for FP64": a_request().replace(b"1.5", b"1e400"),
    "too few": a_request(data=[1]),
    "too many": a_request(data=[1, 2, 3]),
    "nested otherwise": a_request(data=[[1], [2]]),
    "nested too deep": a_request(data=[[[1], [2]]]),
    "nested, of one axis": a_request(shape=[2], data=[[1, 2]]),
    "nested, of no axis": a_request(shape=[], data=[[1]]),
    "ragged": a_request(shape=[2, 2], data=[[1, 2], [3]]),
    "empty": a_request(shape=[0, 2], data=[]),
    "empty lists": a_request(shape=[1, 0], data=[[]]),
    "no shape": a_request(shape=None),
    "shape of a float": a_request(shape=[1, 2.0]),
    "negative shape": a_request(shape=[-1, -2]),
    "huge shape": a_request(shape=[2**31 - 1] * 9),
    "no name": a_request(name=None),
    "id is a number": a_request(id=7),
    "id with an escape": a_request(id='a"b'),
    "id that is not ASCII": a_request().replace(b'{"inputs"', '{"id":"é","inputs"'.encode()),
    "long id": a_request(id="a" * 200),
    "two ids": a_request(id="a", parameters={"id": "b"}),
    "id among the parameters": a_request(parameters={"id": "b"}),
    "id of the tensor": a_request(tensor_parameters={"id": "b"}),
    "id of the outputs": a_request(outputs=[{"name": "predict", "id": "b"}]),
    "data of the parameters": a_request(data=["a", "b"], parameters={"data": [1, 2]}),
    "data of the tensor's parameters alone": a_request(data=None, tensor_parameters={"data": [1, 2]}),
    "data of the request": a_request(data=None).replace(b'"inputs"', b'"data":[1,2],"inputs"'),
    "data of the parameters and nowhere else": NO_DATA.replace(
        b'"inputs"', b'"parameters":{"data":[1,2]},"inputs"'
    ),
    "data of the request and nowhere else": NO_DATA.replace(b'"inputs"', b'"data":[1,2],"inputs"'),
    "data of the outputs and nowhere else": NO_DATA.replace(
        b'"inputs"', b'"outputs":[{"name":"predict","data":[1,2]}],"inputs"'
    ),
    "data in bytes and in the parameters": NO_DATA.replace(
        b'"FP64"', b'"FP64","parameters":{"binary_data_size":16,"data":[1,2]}'
    ),
    "data under an escape too": a_request(data=[], shape=[0, 2], parameters={"data": [1, 2]}).replace(
        b'"data": []', b'"d\\u0061ta": []'
    ),
    "data under an escape": a_request().replace(b'"data"', b'"dat\\u0061"'),
    "data twice": a_request().replace(b'"data"', b'"data": [1, 2], "data"'),
    "name twice": a_request().replace(b'"name"', b'"name": "y", "name"'),
    "id twice": a_request(id="a").replace(b'"id"', b'"id": "b", "id"'),
    "datatype twice": a_request().replace(b'"datatype"', b'"datatype": "FP32", "datatype"'),
    "text that looks like data": a_request(name='","data":[1,2],"'),
    "shared memory": a_request(tensor_parameters={"shared_memory_region": "r"}),
    "both forms of data": a_request(tensor_parameters={"binary_data_size": 16}),
    "outputs of no name": a_request(outputs=[{}]),
    "outputs no list": a_request(outputs={}),
    "parameters no object": a_request(parameters=[]),
    "a parameter no scalar": a_request(parameters={"n": [1]}),
    "two things wrong": a_request(parameters={"n": [1]}, data=[1]),
    "a flag no truth": a_request(parameters={"binary_data_output": 1}),
    "no object": json.dumps([X]).encode(),
    "inputs an object": json.dumps({"inputs": X}).encode(),
    "a tensor alone": json.dumps(X).encode(),
    "a long rest": a_request(parameters={"text": "a" * 2000}),
    "deep": a_request(parameters={"text": "["}, deep=json.loads("[" * 70 + "]" * 70)),
    "cut short": a_request()[:-1],
    "something behind": a_request() + b"x",
    "a broken text": a_request(name="\xff").replace(b"\\u00ff", b"\xff"),
    "NUL behind": a_request() + b"\0",
    "empty body": b"",
}


@needs_kernels
@pytest.mark.parametrize("body", PLAIN.values(), ids=PLAIN)
def test_a_plain_request_is_read_by_the_kernel(body: bytes) -> None:
    assert v2_numbers.read(body, SETTINGS) is not None
    assert_one_answer(body)


@needs_kernels
@pytest.mark.parametrize("body", OTHERS.values(), ids=OTHERS)
def test_any_other_request_is_answered_as_without_the_kernel(body: bytes) -> None:
    assert_one_answer(body)


def test_without_kernels_it_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "IS_BUILT", False)
    assert v2_numbers.read(PLAIN["flat"], SETTINGS) is None


@needs_kernels
def test_each_request_has_its_own_id_and_numbers() -> None:
    wanted = {"predict": Wanted()}
    for given_id, numbers in (("a", [1.0, 2.0]), ("b", [3.0, 4.0]), ("a", [5.0, 6.0])):
        request = v2_numbers.read(
            a_request(id=given_id, data=numbers, outputs=[{"name": "predict"}]), SETTINGS
        )
        assert request is not None
        assert isinstance(request.inputs, Matrix)
        assert request.inputs.numbers.tolist() == [numbers]
        assert request.note == Note(given_id, False, wanted)
        request.inputs.numbers[:] = 0.0  # nobody else holds it


@needs_kernels
@pytest.mark.parametrize("most", [1, 6, 7, 8, 20])
@pytest.mark.parametrize("name", ["flat", "named data", "nested", "three axes"])
def test_what_one_server_allows_and_another_does_not_is_remembered_for_neither(name: str, most: int) -> None:
    for own in (SETTINGS, Settings(max_elements=most), Settings(max_depth=most), SETTINGS):
        assert_one_answer(PLAIN[name], own)


@needs_kernels
def test_commas_in_texts_are_no_values() -> None:
    body = a_request(name="," * 50)
    for most in range(5, 70):
        assert_one_answer(body, Settings(max_elements=most))


@needs_kernels
def test_clients_cannot_have_more_remembered_than_there_is_room_for() -> None:
    v2_numbers._meaning.cache_clear()
    for n in range(v2_numbers._MOST_REMEMBERED + 10):
        assert v2_numbers.read(a_request(name=f"x{n}"), SETTINGS) is not None
    assert v2_numbers._meaning.cache_info().currsize == v2_numbers._MOST_REMEMBERED


NUMBERS = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(2**70), 2**70)
    | st.integers(-300, 300)
    | st.sampled_from([0, -0.0, 127, 128, 2**31, 2**53, 2**53 + 1, 3.4028235677973366e38, 1e-46, 16777217])
)
STRANGE = st.sampled_from([None, True, "1", [], {}, [1], 1.5, -1])


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Write a request that is nearly right."""

    def mostly(usual: st.SearchStrategy[Any]) -> Any:
        return draw(STRANGE) if draw(st.integers(0, 15)) == 0 else draw(usual)

    shape = draw(st.lists(st.integers(0, 3), max_size=4))
    values = np.empty(int(np.prod(shape)), object)
    values[:] = [mostly(NUMBERS) for _ in range(values.size)]
    nested = values.reshape(shape).tolist() if shape and draw(st.booleans()) else values.tolist()
    dtypes = [
        *(f"{kind}{bits}" for kind in ("INT", "UINT") for bits in (8, 16, 32, 64)),
        *["FP32", "FP64"] * 4,
    ]
    tensor = {
        "name": mostly(st.sampled_from(["x", "data", "id", ",", "é"])),
        "shape": mostly(st.just(shape)),
        "datatype": mostly(st.sampled_from([*dtypes, "BYTES", "BOOL", "FP16"])),
        "data": mostly(st.just(nested)),
    }
    parameters = {"n": 1, "binary_data_output": True, "id": "p", "data": [1], "priority": 0}
    more: dict[str, Any] = {}
    for key, usual in (
        ("id", st.text(max_size=5)),
        ("parameters", st.sampled_from([{}, *({name: value} for name, value in parameters.items())])),
        ("outputs", st.sampled_from([[], [{"name": "predict"}], [{"name": "a"}, {"name": "b"}], [{}]])),
    ):
        if draw(st.integers(0, 2)) == 0:
            more[key] = mostly(usual)
        if draw(st.integers(0, 9)) == 0:
            tensor[key] = mostly(usual)
    tensors = [tensor] * draw(st.sampled_from([1, 1, 1, 1, 1, 1, 2]))
    document = {"inputs": tensors, **more} if draw(st.booleans()) else {**more, "inputs": tensors}
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" , ", " :\n ")]))
    return json.dumps(document, separators=separators, ensure_ascii=draw(st.booleans())).encode()


@needs_kernels
@settings(max_examples=2000, deadline=None)
@given(requests(), st.sampled_from([SETTINGS, SETTINGS, Settings(max_elements=9), Settings(max_depth=4)]))
@example(a_request(data=[-0.0, 0]), SETTINGS)
def test_a_request_that_is_nearly_right_is_answered_as_without_the_kernel(body: bytes, own: Settings) -> None:
    assert_one_answer(body, own)


SPOILERS = [
    *(bytes([byte]) for byte in b'[]{},:".-+eE019 \n\\\x00\xff'),
    b'"data"',
    b'"id":"a"',
    b"null",
    b":[1]",
]


@needs_kernels
@settings(max_examples=2000, deadline=None)
@given(st.sampled_from([*PLAIN.values()]), st.integers(0, 2**32))
def test_a_spoiled_request_is_answered_as_without_the_kernel(body: bytes, seed: int) -> None:
    assert_one_answer(changed_by_chance(body, seed, SPOILERS))
