"""What the tensor reader cuts out of a body is what JSON has there; the rest is as sound as the body."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from tests.kernels.spoiling import changed

from demijohn import kernels
from demijohn.kernels import are_between, read_tensor, round_to_float32

pytestmark = pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)

MANY = 10**6
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


def refuse_constant(name: str) -> float:
    raise ValueError(name)


def pairs_of(body: bytes) -> Any:
    """Return a document, each object in it as its pairs, so that no key is lost; None: it is no JSON."""
    try:
        return json.loads(body.decode("utf-8"), parse_constant=refuse_constant, object_pairs_hook=Pairs)
    except (ValueError, RecursionError):
        return None


class Pairs(list[Any]):
    """An object's keys and values."""


def put_back(value: Any, given_id: str | None, numbers: Any) -> Any:
    """Return the rest of a body with what was cut out."""
    if isinstance(value, Pairs):
        cut = {"data": numbers, "id": given_id}
        is_cut = [
            (key == "data" and below == []) or (key == "id" and below == "" and given_id is not None)
            for key, below in value
        ]
        return Pairs(
            (key, cut[key] if was else put_back(below, given_id, numbers))
            for was, (key, below) in zip(is_cut, value, strict=True)
        )
    if isinstance(value, list):
        return [put_back(below, given_id, numbers) for below in value]
    return value


def values_in(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for below in value:
            yield from values_in(below)
    else:
        yield value


def as_floats(value: Any) -> Any:
    """Return a document each of whose numbers is a float64, written to the last bit."""
    if isinstance(value, Pairs):
        return [(key, as_floats(below)) for key, below in value]
    if isinstance(value, list):
        return [as_floats(below) for below in value]
    return struct.pack("<d", value) if type(value) in (int, float) else value


def check(body: bytes) -> bool:
    """Compare what is read with what JSON has; says whether anything is."""
    found = read_tensor(body, MANY)
    if found is None:
        return False
    rest, given_id, shape, are_whole, cells = found
    document, without = pairs_of(body), pairs_of(rest)
    assert (document is None) == (without is None)
    assert len(cells) == 8 * math.prod(shape)
    if document is not None:
        numbers = np.ndarray(shape, np.float64, cells)
        assert as_floats(put_back(without, given_id, numbers.tolist())) == as_floats(document)
        # Exactly where each value is an integer, and one that float64 holds all around.
        written = next(value for value in lists_under_data(document) if value != [])
        wanted = all(type(value) is int and abs(value) <= 2**53 for value in values_in(written))
        assert are_whole == wanted
    return True


def lists_under_data(value: Any) -> Iterator[Any]:
    if isinstance(value, Pairs):
        for key, below in value:
            if key == "data":
                yield below
            yield from lists_under_data(below)
    elif isinstance(value, list):
        for below in value:
            yield from lists_under_data(below)


SEEDS = [
    b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP64","data":[1,-2.5e3]}]}',
    b' { "id" : "a-1" , "inputs" : [ { "name" : "data" , "data" : [ [ 1 , 2 ] , [ 3 , 4 ] ] } ] } ',
    b'{"data":[10, 9007199254740992],"parameters":{"name":"data","n":7},"id":""}',
    b'{"x":"\\"data\\":[1]","data":[1],"outputs":[{"name":"predict"}]}',
    b'{"parameters":{"id":"b"},"inputs":[{"data":[[[1],[2]]]}]}',
    b'{"data":[0.1,-0,-0.0,1e300,123456789012345678901234567890]}',
]
PIECES = [
    *(bytes([byte]) for byte in b'[]{},:".-+eE019 \n\t\\u\x00\x0b\xff'),
    b'"data"',
    b'"id"',
    b":[1]",
    b'"a"',
]


@settings(max_examples=3000, deadline=None)
@given(changed(SEEDS, PIECES))
@example(SEEDS[0])
def test_the_rest_is_json_exactly_if_the_body_is(body: bytes) -> None:
    check(body)


@settings(deadline=None)
@given(
    npst.arrays(np.float64, npst.array_shapes(max_dims=8, max_side=3), elements=NUMBERS),
    st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='"\\'), max_size=128),
    st.sampled_from(["", " ", "\n\t\r "]),
)
def test_numbers_of_any_shape_are_read_as_python_reads_them(array: Any, given_id: str, space: str) -> None:
    document = {"id": given_id, "inputs": [{"name": "x", "data": array.tolist(), "shape": [3]}], "end": None}
    body = json.dumps(document).replace(": ", f"{space}:{space}").replace(", ", f"{space},{space}").encode()
    found = read_tensor(body, MANY)
    if f"{space}:{space}" in given_id or f"{space},{space}" in given_id:  # the id itself was spaced out
        return
    assert found is not None
    rest, read_id, shape, _, cells = found
    assert (read_id, shape, bytes(cells)) == (given_id, array.shape, array.tobytes())
    document["id"], document["inputs"] = "", [{"name": "x", "data": [], "shape": [3]}]
    assert json.loads(rest) == document


def test_each_of_the_usual_bodies_is_read() -> None:
    assert [check(seed) for seed in SEEDS] == [True] * len(SEEDS)


@pytest.mark.parametrize(
    "body",
    [
        "", "{}", '{"data":', '{"data":[', '{"data":[1', '{"data":[1,', '{"data":[]}', '{"data":[[]]}',
        '{"data":1}', '{"data":null}', '{"data":"[1]"}', '{"data":[true]}', '{"data":["1"]}',
        '{"data":[null]}', '{"data":[1,null]}', '{"data":[{"data":1}]}', '{"data":[1,[2]]}',
        '{"data":[[1],2]}', '{"data":[[1],[2,3]]}', '{"data":[NaN]}', '{"data":[1e309]}', '{"data":[01]}',
        '{"data":[1,]}', '["data",[1]]', '{"data" [1]}', '{"data",[1]}', '{data:[1]}', "{'data':[1]}",
        '{"Data":[1]}', '{"dat\\u0061":[1]}', '{"data":[1],"data":[2]}', '{"data":[1],"data":null}',
        '{"a":{"data":[1]},"data":[]}', '{"\\\\":1,"data":[1]}', '{"data":[1],"\\n":1}',
        '{"data":[1],"id":"a","x":{"id":"b"}}', '{"id":1,"data":[1],"id":"b"}', '{"id":"é","data":[1]}',
        '{"id":"a\\n","data":[1]}', '{"id":"a\n","data":[1]}', '{"id":"a\0","data":[1]}',
        '{"id":"\x7f","data":[1]}', '{"id":"a', '{"data":[1],"id":"a',
        '{"data":[1],"id":"' + "a" * 129 + '"}', "x" * 2000, " " * 2000 + '{"data":[1]}',
        '{"data":[1],"x":"' + "a" * 1024 + '"}', '{"x":"' + "a" * 1024 + '","data":[1]}',
        '{"data":[1]}' + " " * 1024, '{"data":' + "[" * 9 + "1" + "]" * 9 + "}", '{"data":' + "[" * 100_000,
    ],
)  # fmt: skip
def test_anything_else_is_left_alone(body: str) -> None:
    assert read_tensor(body.encode(), MANY) is None


@pytest.mark.parametrize(
    "body",
    [
        '{"data":[1]', '"data":[1]', '{"a" "data":[1]}', '{a"data":[1]}', '{"data":[1]]}', '{"data":[1] 2}',
        '{"data":[1]"a"}', '{"id":"a""data":[1]}', '{"id":"a"b,"data":[1]}', '["id":"a","data":[1]]',
        '{"data":[1]}\0', '{"data":[1]} x',
    ],
)  # fmt: skip
def test_around_the_numbers_a_broken_body_is_as_broken_without_them(body: str) -> None:
    assert check(body.encode())
    found = read_tensor(body.encode(), MANY)
    assert found is not None
    assert pairs_of(found[0]) is None


def test_a_rest_of_as_many_bytes_as_are_allowed_is_read() -> None:
    for n_bytes, is_read in ((1024, True), (1025, False)):
        filled = '{"data":[1,2,3],"x":""}'
        body = filled.replace('""', '"' + "a" * (n_bytes - len(filled) + len("1,2,3")) + '"').encode()
        assert (read_tensor(body, MANY) is not None) == is_read


def test_there_may_be_as_many_numbers_as_are_allowed_and_no_more() -> None:
    body = b'{"data":[1,2,3]}'
    assert read_tensor(body, 3) is not None
    assert read_tensor(body, 2) is None
    assert read_tensor(body, 0) is None
    assert read_tensor(body, -1) is None


def test_many_numbers_are_read_to_the_last() -> None:
    numbers = np.random.default_rng(0).normal(size=(1000, 31))
    for array in (numbers, numbers.ravel()):
        found = read_tensor(json.dumps({"data": array.tolist()}).encode(), MANY)
        assert found is not None
        assert (found[2], bytes(found[4])) == (array.shape, array.tobytes())


@settings(deadline=None)
@given(st.lists(NUMBERS | st.floats(-1e-37, 1e-37)))
@example([3.4028235677973366e38])
@example([3.4028235677973362e38, 1e-46, -1e-46, 16777217.0])
def test_numbers_are_rounded_as_numpy_rounds_them(numbers: list[float]) -> None:
    cells = bytearray(np.array(numbers, np.float64).tobytes())
    with np.errstate(all="ignore"):
        wanted = np.array(numbers, np.float64).astype(np.float32)
    assert round_to_float32(cells) == bool(np.isfinite(wanted).all())
    assert cells == wanted.astype(np.float64).tobytes()


def test_bounds_are_allowed_and_what_is_beyond_them_is_not() -> None:
    cells = bytearray(np.array([-128.0, 0.0, 127.0]).tobytes())
    assert are_between(cells, -128.0, 127.0)
    assert not are_between(cells, -127.0, 127.0)
    assert not are_between(cells, -128.0, 126.0)
    assert are_between(bytearray(), 1.0, 0.0)
    assert not are_between(bytearray(np.array([np.nan]).tobytes()), -math.inf, math.inf)


@pytest.mark.parametrize(
    "call",
    [
        lambda: read_tensor("{}", 1),  # type: ignore[arg-type]
        lambda: read_tensor(b"{}"),  # type: ignore[call-arg]
        lambda: read_tensor(b"{}", "1"),  # type: ignore[arg-type]
        lambda: round_to_float32(b"12345678"),  # type: ignore[arg-type]
        lambda: are_between(bytearray(8), 1.0),  # type: ignore[call-arg]
        lambda: are_between(bytearray(8), 1.0, "2"),  # type: ignore[arg-type]
        lambda: are_between(b"12345678", 1.0, 2.0),  # type: ignore[arg-type]
    ],
)
def test_other_arguments_are_refused(call: Any) -> None:
    with pytest.raises(TypeError):
        call()
