"""Columns in v2's JSON that the kernel reads, and others: one answer, whether they fit or not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.kernels.spoiling import changed_by_chance
from tests.protocols.test_json_records import assert_alike, both_ways, signatures

from demijohn import kernels
from demijohn.config import Settings
from demijohn.messages import NamedTensors, RecordCells, as_written
from demijohn.protocols import open_inference, v2_columns
from demijohn.protocols.v2_heads import Note, Wanted
from demijohn.signature import Signature, TensorSpec

SETTINGS = Settings()
TABLE = Signature(
    "table",
    (
        TensorSpec("a"),
        TensorSpec("b", "str", nullable=True),
        TensorSpec("c", "int64"),
        TensorSpec("d", "bool"),
    ),
)
A: dict[str, Any] = {"name": "a", "shape": [2], "datatype": "FP64", "data": [1, 2.5]}
B: dict[str, Any] = {"name": "b", "shape": [2, 1], "datatype": "BYTES", "data": ["x", None]}
C: dict[str, Any] = {"name": "c", "shape": [2], "datatype": "INT64", "data": [3, -4]}
D: dict[str, Any] = {"name": "d", "shape": [2], "datatype": "BOOL", "data": [True, False]}


def a_request(*tensors: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"inputs": tensors or [A, B, C, D], **more}).encode()


def is_read(body: bytes) -> bool:
    return v2_columns.read(body, SETTINGS, lambda: NamedTensors({})) is not None


def assert_one_answer(body: bytes, own: Settings = SETTINGS, signature: Signature = TABLE) -> None:
    def answer() -> Any:
        request = open_inference.decode(body, "", own)
        said.append((request.parameters, request.methods, request.note))
        return signature.validate(request.inputs)

    for _ in range(2):  # the second time it is remembered
        said: list[Any] = []
        assert_alike(*both_ways(answer))
        assert said[1:] == said[:-1]


PLAIN = {
    "columns": a_request(),
    "in another order": a_request(D, B, A, C),
    "an id": a_request(id="q-1"),
    "outputs and parameters": a_request(outputs=[{"name": "predict"}], parameters={"n": 1}),
    "a parameter of a tensor": a_request({**A, "parameters": {"content_type": "pd"}}, B, C, D),
    "all of them missing": a_request(A, {**B, "data": [None, None]}, C, D),
    "one missing": a_request({**A, "data": [None, 1]}, B, C, D),
    "a column too few": a_request(A, B),
    "an unknown column": a_request(A, B, C, D, {**A, "name": "z"}),
    "floats for integers": a_request(A, B, {**A, "name": "c"}, D),
    "whole floats for integers": a_request(A, B, {**A, "name": "c", "data": [1, 2]}, D),
    "integers for floats": a_request({**C, "name": "a"}, B, C, D),
    "texts for floats": a_request({**B, "name": "a"}, B, C, D),
    "truths for floats": a_request({**D, "name": "a"}, B, C, D),
    "an integer missing": a_request(A, B, {**C, "data": [1, None]}, D),
    "a truth missing": a_request(A, B, C, {**D, "data": [True, None]}),
    "escapes": a_request(A, {**B, "data": ['é/"\n', "\\"]}, C, D, parameters={"name": "é"}),
    "an unknown name with an escape": a_request({**A, "name": "é"}, B, C, D),
    "named after keys": a_request({**A, "name": "data"}, {**B, "name": "id"}, {**C, "name": "index"}),
}
OTHERS = {
    "one": a_request(A),
    "two of one name": a_request(A, A),
    "FP32": a_request({**A, "datatype": "FP32", "data": [0.1, 1]}, B, C, D),
    "INT8": a_request(A, B, {**C, "datatype": "INT8", "data": [1, 300]}, D),
    "numbers as texts": a_request(A, {**B, "data": [1, 2]}, C, D),
    "floats as integers": a_request(A, B, {**C, "data": [1, 2.0]}, D),
    "integers beyond a float": a_request(A, B, {**C, "data": [1, 2**53 + 1]}, D),
    "truths as integers": a_request(A, B, {**C, "data": [True, False]}, D),
    "integers that are all missing": a_request(A, B, {**C, "data": [None, None]}, D),
    "several kinds": a_request({**A, "data": [1, "x"]}, B, C, D),
    "of several lengths": a_request({**A, "shape": [3], "data": [1, 2, 3]}, B, C, D),
    "of no rows": a_request(*({**one, "shape": [0], "data": []} for one in (A, B, C, D))),
    "another shape": a_request({**A, "shape": [1, 2]}, B, C, D),
    "a wrong shape": a_request({**A, "shape": [3]}, B, C, D),
    "nested": a_request({**A, "shape": [2, 1], "data": [[1], [2]]}, B, C, D),
    "half a pair": a_request(A, {**B, "data": ["\ud83d", "x"]}, C, D),
    "a key with an escape": a_request({**A, "a\n": 1}, B, C, D),
    "data under an escape too": a_request().replace(b'"name"', rb'"dat\u0061": [], "name"', 1),
    "one in bytes": a_request({**A, "data": None, "parameters": {"binary_data_size": 16}}, B, C, D),
    "data elsewhere": a_request(A, {**B, "data": None}, parameters={"data": ["x", "y"]}),
    "data elsewhere too": a_request(parameters={"data": [1, 2]}),
    "an id elsewhere": a_request({**A, "parameters": {"id": "x"}}, B, C, D),
    "an id that is no text": a_request(id=5),
    "a parameter that is a list": a_request(parameters={"index": [1, 2]}),
    "no datatype": a_request({**A, "datatype": None}, B, C, D),
    "cut short": a_request()[:-1],
}


@pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)
@pytest.mark.parametrize("body", PLAIN.values(), ids=PLAIN)
def test_plain_columns_are_read_by_the_kernel(body: bytes) -> None:
    assert is_read(body)
    assert_one_answer(body)


@pytest.mark.parametrize("body", OTHERS.values(), ids=OTHERS)
def test_any_other_request_is_answered_as_without_the_kernel(body: bytes) -> None:
    assert not is_read(body)
    assert_one_answer(body)


def test_without_kernels_it_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "IS_BUILT", False)
    assert not is_read(PLAIN["columns"])


@pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)
def test_each_request_has_its_own_id_and_values() -> None:
    for given_id, texts in (("a", ["x", "y"]), ("b", ["z", "z"]), ("a", ["y", None])):
        body = a_request(A, {**B, "data": texts}, id=given_id, outputs=[{"name": "predict"}])
        request = open_inference.decode(body, "", SETTINGS)
        assert isinstance(request.inputs, RecordCells)
        assert request.note == Note(given_id, False, {"predict": Wanted()})
        written = as_written(request.inputs)
        assert isinstance(written, NamedTensors)
        assert written.tensors["b"].ravel().tolist() == texts


@pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)
def test_many_columns_are_nested_no_deeper_than_few() -> None:
    assert is_read(a_request(*({**A, "name": f"x{n}"} for n in range(100))))


@pytest.mark.parametrize("most", [1, 3, 4, 8, 20, 30])
def test_what_one_server_allows_and_another_does_not_is_remembered_for_neither(most: int) -> None:
    for own in (SETTINGS, Settings(max_elements=most), Settings(max_depth=most), SETTINGS):
        assert_one_answer(PLAIN["columns"], own)


@pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)
def test_clients_cannot_have_more_remembered_than_there_is_room_for() -> None:
    v2_columns._table.cache_clear()
    for n in range(v2_columns._MOST_REMEMBERED + 10):
        assert is_read(a_request(A, {**B, "name": f"x{n}"}))
    assert v2_columns._table.cache_info().currsize == v2_columns._MOST_REMEMBERED


VALUES = {
    "FP64": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**65), 2**65),
    "FP32": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "INT64": st.integers(-130, 130) | st.integers(-(2**54), 2**54),
    "INT8": st.integers(-130, 130),
    "BOOL": st.booleans(),
    "BYTES": st.sampled_from(["x", "y", "1", "é", "", "2024-01-02", "\n"]),
}


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    n_rows = draw(st.integers(1, 4))
    tensors = []
    for name in draw(st.permutations(["a", "b", "c"])):
        datatype = draw(st.sampled_from(list(VALUES)))
        cells = VALUES[datatype] | st.none() if draw(st.booleans()) else VALUES[datatype]
        if draw(st.integers(0, 9)) == 0:
            cells = st.sampled_from([1, 2.5, "x", None, True, [1]])
        data = draw(st.lists(cells, min_size=n_rows, max_size=n_rows))
        shape = draw(
            st.sampled_from([[n_rows], [n_rows, 1], [n_rows], [n_rows, 1], [1, n_rows], [n_rows + 1]])
        )
        tensors.append({"name": name, "shape": shape, "datatype": datatype, "data": data})
    return json.dumps({"inputs": tensors}, ensure_ascii=draw(st.booleans())).encode()


@settings(max_examples=1500, deadline=None)
@given(requests(), signatures())
@example(a_request(), TABLE)
def test_columns_get_the_same_answer_without_the_kernel(body: bytes, signature: Signature) -> None:
    assert_one_answer(body, SETTINGS, signature)


SPOILERS = [
    *(bytes([byte]) for byte in b'[]{},:".-+eE019 \n\\\x00\xff'),
    b'"data"', b'"id":"a"', b'"index"', b"null", b":[1]", b'["x"]',
]  # fmt: skip


@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(list(PLAIN.values())), st.integers(0, 2**32))
def test_a_spoiled_request_is_answered_as_without_the_kernel(body: bytes, seed: int) -> None:
    assert_one_answer(changed_by_chance(body, seed, SPOILERS))
