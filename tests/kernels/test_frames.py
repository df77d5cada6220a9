"""What the frame reader cuts out of a body is what JSON has there; the rest is as sound as the body."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.kernels.spoiling import changed
from tests.kernels.test_tensor import Pairs, as_floats, pairs_of, values_in

from demijohn import kernels
from demijohn.kernels import ReadFrame, read_frame, read_rows

pytestmark = pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)

MANY = 10**6


def cells_of(found: ReadFrame) -> list[list[Any]]:
    """Return the cells of each column as JSON has them."""
    columns = []
    for kind, cells, texts in zip(found.kinds, found.cells.T.tolist(), found.texts, strict=True):
        assert (texts is None) == (kind != "s")
        read = {"s": lambda cell, texts=texts: texts[int(cell)], "b": bool}.get(kind, float)
        columns.append([None if math.isnan(cell) else read(cell) for cell in cells])
    assert sum(cell is None for column in columns for cell in column) == found.n_missing
    return columns


def put_back(value: Any, lists: Iterator[Any], given_id: str | None) -> Any:
    """Return the rest of a body with what was cut out, but for an index."""
    if isinstance(value, Pairs):
        pairs = Pairs()
        for key, below in value:
            if key == "data" and below == []:
                pairs.append((key, next(lists)))
            elif key == "id" and below == "" and given_id is not None:
                pairs.append((key, given_id))
            else:
                pairs.append((key, put_back(below, lists, given_id)))
        return pairs
    if isinstance(value, list):
        return [put_back(below, lists, given_id) for below in value]
    return value


def without_index(value: Any) -> Any:
    """Return a document with an empty list in the place of each index of numbers and texts."""
    if isinstance(value, Pairs):
        return Pairs(
            (key, [] if key == "index" and is_index(below) else without_index(below)) for key, below in value
        )
    return [without_index(below) for below in value] if isinstance(value, list) else value


def is_index(value: Any) -> bool:
    return type(value) is list and {*map(type, value)} <= {int, float, str}


def check(body: bytes) -> bool:
    """Compare what is read with what JSON has; says whether anything is."""
    found = read_frame(body, MANY)
    if found is None:
        return False
    document, rest = pairs_of(body), pairs_of(found.rest)
    assert (document is None) == (rest is None)
    if document is not None:
        columns = cells_of(found)
        lists = [[list(row) for row in zip(*columns, strict=True)]] if found.are_rows else columns
        coming = iter(lists)
        got = put_back(rest, coming, found.id)
        assert next(coming, None) is None
        assert as_floats(got) == as_floats(without_index(document))
    return True


SEEDS = [
    b'{"dataframe_split":{"columns":["a","b"],"index":[0,1],"data":[[1,"x"],[-2.5e3,null]]}}',
    b' { "data" : [ [ true , null , "" ] , [ false , 1 , "x" ] ] , "index" : [ "a" , 2 ] } ',
    b'{"id":"q","inputs":[{"name":"a","shape":[2],"data":[1,2]},{"name":"b","data":["u",null]}]}',
    b'{"inputs":[{"data":[true,false],"parameters":{"id":"x"}},{"data":[ 0.1 , -0.0 ]}]}',
    b'{"data":[null],"index":{"data":[3]}}',
    rb'{"columns":["\u00e9\\","\"data\":"],"data":[["\n\ud83d\ude00",1]]}',
]
PIECES = [
    *(bytes([byte]) for byte in b'[]{},:".-+eE019 \n\t\\u\x00\x0b\xff'),
    b'"data"', b'"id"', b'"index"', b":[1]", b":[[1]]", b'"a"', b"null", b"true",
]  # fmt: skip


@settings(max_examples=3000, deadline=None)
@given(changed(SEEDS, PIECES))
@example(SEEDS[0])
def test_the_rest_is_json_exactly_if_the_body_is(body: bytes) -> None:
    check(body)


KINDS = [
    st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70),
    st.text(st.characters(codec="utf-8") | st.sampled_from('"\\/\n'), max_size=9),
    st.booleans(),
]


@settings(deadline=None)
@given(st.data(), st.integers(1, 9), st.booleans(), st.sampled_from(["", " ", "\n\t\r "]))
def test_columns_and_rows_are_read_as_python_reads_them(
    data: st.DataObject, n_rows: int, are_rows: bool, space: str
) -> None:
    kinds = data.draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=6))
    columns = [data.draw(st.lists(kind | st.none(), min_size=n_rows, max_size=n_rows)) for kind in kinds]
    rows = [list(row) for row in zip(*columns, strict=True)]
    document: Any = {"data": rows} if are_rows else [{"data": column} for column in columns]
    separators = (f"{space},{space}", f"{space}:{space}")
    body = json.dumps(document, ensure_ascii=data.draw(st.booleans()), separators=separators).encode()
    found = read_frame(body, MANY)
    assert found is not None
    assert (found.are_rows, found.cells.shape) == (are_rows, (n_rows, len(columns)))
    assert as_floats(cells_of(found)) == as_floats(columns)
    for kind, column in zip(found.kinds, columns, strict=True):
        are_whole = all(type(cell) is int and abs(cell) <= 2**53 for cell in column if cell is not None)
        wanted = {int: "i" if are_whole else "f", float: "f", str: "s", bool: "b", type(None): "-"}
        assert kind in {wanted[type(cell)] for cell in column if cell is not None} | ({"-"} & {kind})


def test_each_of_the_usual_bodies_is_read() -> None:
    assert all(check(seed) for seed in SEEDS)


@pytest.mark.parametrize(
    "body",
    [
        "", "{}", '{"data":', '{"data":[', '{"data":[1', '{"data":[]}', '{"data":[[]]}', '{"data":1}',
        '{"data":null}', '{"data":[1,"a"]}', '{"data":[true,1]}', '{"data":[1,[2]]}', '{"data":[[1],2]}',
        '{"data":[[1],[2,3]]}', '{"data":[[1,2],[3]]}', '{"data":[NaN]}', '{"data":[1e309]}', '{"data":[01]}',
        '{"data":[1,]}', '{"data":[[1],]}', '{"data":["a]}', '{"data":["\\x"]}', '{"data":["\n"]}',
        '{"data":["\\ud83d"]}', '{"data":[1],"index":["\\x"]}', '{"data":[1],"x":"' + 8192 * '\\"',
        '{"data":[nul]}', '{"data":[1],"x":{"data":[1,2]}}', '{"data":[1],"x":{"data":[[1]]}}',
        '{"data":[[1]],"x":{"data":[1]}}', '{"data":[[1]],"x":{"data":[[1]]}}', '{"data":[[[1]]]}',
        '{"data":[1],"index":[0,1]}', '{"data":[1],"index":[]}', '{"data":[1],"index":[null]}',
        '{"data":[1],"index":[[0]]}', '{"data":[1],"index":[0', '{"index":[0]}', '{"dat\\u0061":[1]}',
        '{"data":[1],"\\n":1}', '{"data":[1],"id":"a","x":{"id":"b"}}', '{"data":[1],"id":"é"}',
        '{"data":[1],"x":"' + "a" * 8192 + '"}', '{"x":"' + "a" * 8192 + '","data":[1]}',
        '{"data":' + "[" * 100_000,
    ],
)  # fmt: skip
def test_anything_else_is_left_alone(body: str) -> None:
    assert read_frame(body.encode(), MANY) is None


def test_texts_that_are_not_utf8_are_left_alone() -> None:
    assert read_frame(b'{"data":["\xff"]}', MANY) is None


def test_by_any_key_all_lists_are_columns() -> None:
    body = b'{"inputs": {"id": [1, 2], "data": ["x", null], "index":[true, false]}, "id": "q"}'
    found = read_frame(body, MANY, is_any_key=True)
    assert found is not None
    assert found.rest == b'{"inputs": {"id": [], "data": [], "index":[]}, "id": ""}'
    assert (found.are_rows, found.kinds, found.id) == (False, "isb", "q")
    assert cells_of(found) == [[1, 2], ["x", None], [True, False]]
    found = read_frame(rb'{"inputs":{"\u00e9\"":[1],"\\":["\u00e9"]}}', MANY, is_any_key=True)
    assert found is not None
    assert (found.rest, cells_of(found)) == (rb'{"inputs":{"\u00e9\"":[],"\\":[]}}', [[1], ["é"]])
    for other in (
        b'{"a":[1],"b":[]}',
        b'{"a":[1],"b":[[1]]}',
        b'{"a":[1],"b":[1,2]}',
        b'{"a":{}}',
        b'{"a":[{}]}',
    ):
        assert read_frame(other, MANY, is_any_key=True) is None


ROWS = [
    b'[[1,"x"],[-2.5e3,null]]',
    rb' { "instances" : [ [ true , "\u00e9" ] , [ false , "]" ] ] } ',
    b'{"inputs":[["x"]]}',
    b"\n[\t[ 1 , null ] ]\r\n",
]


@settings(max_examples=3000, deadline=None)
@given(changed(ROWS, [*PIECES, b'"inputs"', b"[1]", b"]],[["]))
@example(b'[["x"]] "y"')
@example(b'{"inputs":[["x"]],"instances":[["y"]]}')
def test_rows_are_what_json_reads_in_them(body: bytes) -> None:
    found = read_rows(body, MANY)
    if found is None or not found.are_rows:
        return
    document, rest = pairs_of(body), pairs_of(found.rest)
    assert (document is None) == (rest is None)
    if isinstance(rest, Pairs) and len(rest) == 1:
        ((_, rest),), ((_, document),) = rest, document
    if rest == []:
        assert as_floats([list(row) for row in zip(*cells_of(found), strict=True)]) == as_floats(document)


def test_rows_stand_alone_or_behind_their_keys() -> None:
    rests = [b"[]", b' { "instances" : [] } ', b'{"inputs":[]}', b"[]\r\n"]
    for body, rest in zip(ROWS, rests, strict=True):
        found = read_rows(body, MANY)
        assert found is not None
        assert (found.rest.lstrip(), found.are_rows) == (rest.lstrip(), True)
    for body in (b'{"data":[[1]]}', b'[{"inputs":1}]', b"", b"[", b"[["):
        assert read_rows(body, MANY) is None


def test_there_may_be_as_many_cells_as_are_allowed_and_no_more() -> None:
    for body in (b'{"data":[1,2,3]}', b'{"data":[[1,2,3]]}', b'[{"data":[1]},{"data":[2]},{"data":[3]}]'):
        assert read_frame(body, 3) is not None
        assert [read_frame(body, most) for most in (2, 0, -1)] == [None] * 3


def test_many_cells_are_read_to_the_last() -> None:
    numbers = np.random.default_rng(0).normal(size=(1000, 31))
    found = read_frame(json.dumps({"data": numbers.tolist()}).encode(), MANY)
    assert found is not None
    assert found.cells.tobytes() == numbers.tobytes()
    found = read_frame(json.dumps([{"data": column.tolist()} for column in numbers.T]).encode(), MANY)
    assert found is not None
    assert found.cells.T.tobytes() == numbers.T.tobytes()


def test_a_body_that_may_hold_too_many_values_says_so() -> None:
    body = b'{"data":[[1,2],[3,4]],"index":[0,1],"x":[5,6]}'
    found = read_frame(body, MANY)
    assert found is not None
    n_values = sum(
        1 for _ in values_in(json.loads(body, object_pairs_hook=lambda pairs: [v for _, v in pairs]))
    )
    for most in range(2 * n_values):
        assert n_values <= most or len(body) < most or found.may_exceed(len(body), most)
    assert not found.may_exceed(len(body), len(body) + 1)


def test_what_is_no_body_is_refused() -> None:
    with pytest.raises(TypeError):
        read_frame("{}", 1)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        read_frame(b"{}", "1")  # type: ignore[arg-type]
