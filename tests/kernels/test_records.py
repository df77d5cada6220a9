"""What the reader of records takes means what Python's json reads in it; nothing that it refuses is taken."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from demijohn import kernels
from demijohn.kernels import ReadRecords, read_records

pytestmark = pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)

MANY = 10**6
KEYS = (None, "instances", "inputs", "dataframe_records")


def cells_of(found: ReadRecords) -> list[dict[str, Any]]:
    """Return the records that were read, as a JSON reader returns them."""

    def cell_of(index: int, value: float) -> Any:
        if math.isnan(value):
            return None
        texts = found.texts[index]
        if texts is not None:
            return texts[int(value)]
        kind = found.kinds[index]
        return bool(value) if kind == "b" else int(value) if kind == "i" else value

    return [
        {name: cell_of(index, row[index]) for index, name in enumerate(found.names)}
        for row in found.cells.tolist()
    ]


TEXTS = st.text(st.characters(codec="utf-8") | st.sampled_from('"\\/\b\f\n\r\t\x00\U0001f600'), max_size=20)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70)
COLUMNS = st.sampled_from([NUMBERS, st.integers(-(2**53), 2**53), TEXTS, st.booleans(), st.none()])


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Return records whose columns are each of one kind, with nulls among them."""
    names = draw(st.lists(TEXTS, min_size=1, max_size=6, unique=True))
    rows = st.tuples(*(st.none() | draw(COLUMNS) for _ in names))
    return [dict(zip(names, row, strict=True)) for row in draw(st.lists(rows, min_size=1, max_size=8))]


@st.composite
def written(draw: st.DrawFn, records: list[dict[str, Any]]) -> bytes:
    """Return records as JSON, with spaces wherever there may be some."""
    space = st.text(" \t\r\n", max_size=2)
    key = draw(st.sampled_from(KEYS))
    document = records if key is None else {key: records}
    separators = (draw(space) + "," + draw(space), draw(space) + ":" + draw(space))
    text = json.dumps(document, ensure_ascii=draw(st.booleans()), separators=separators)
    return (draw(space) + text + draw(space)).encode()


@settings(max_examples=500, deadline=None)
@given(st.data(), tables())
def test_records_are_read_in_each_of_their_forms(data: st.DataObject, records: list[dict[str, Any]]) -> None:
    found = read_records(data.draw(written(records)), MANY)
    assert found is not None
    assert list(found.names) == list(records[0])
    assert found.cells.flags.writeable
    assert found.n_missing == sum(cell is None for record in records for cell in record.values())
    for got, wanted in zip(cells_of(found), records, strict=True):
        for name, cell in wanted.items():
            if isinstance(cell, (str, bool)) or cell is None:
                assert got[name] is cell or got[name] == cell
                assert type(got[name]) is type(cell)
            else:
                assert struct.pack("<d", got[name]) == struct.pack("<d", float(cell))


@given(tables(), st.sampled_from(["\n", "\r\n", " \n\t\n", "\n\n"]), st.booleans())
def test_lines_of_records_are_read(records: list[dict[str, Any]], line_end: str, has_end: bool) -> None:
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    body = line_end.join(lines).encode() + line_end.encode() * has_end
    found, wanted = read_records(body, MANY, is_lines=True), read_records(json.dumps(records).encode(), MANY)
    assert found is not None
    assert wanted is not None
    assert cells_of(found) == cells_of(wanted)
    assert len(found.cells) == len(records)


def test_the_kind_of_a_column_is_told() -> None:
    body = b'[{"i":1,"f":1,"s":"1","b":true,"n":null},{"i":-0,"f":1.0,"s":null,"b":false,"n":null}]'
    found = read_records(body, MANY)
    assert found is not None
    assert found.kinds == "ifsb-"
    assert found.n_missing == 3


@pytest.mark.parametrize("number", ["9007199254740993", "-9007199254740994", "1e3", "1234567890123456789012"])
def test_a_number_that_is_no_whole_one_in_float64_makes_a_column_of_floats(number: str) -> None:
    found = read_records(b'[{"x":1},{"x":%b}]' % number.encode(), MANY)
    assert found is not None
    assert found.kinds == "f"
    assert found.cells[1, 0] == float(number)


def test_a_text_is_made_once_per_column() -> None:
    rows = [{"a": f"text {row % 7}", "b": f"text {row % 3}"} for row in range(1000)]
    found = read_records(json.dumps(rows).encode(), MANY)
    assert found is not None
    assert [len(texts or ()) for texts in found.texts] == [7, 3]
    assert cells_of(found) == rows


@pytest.mark.parametrize(
    "text",
    ["{}", "{:09}", "x{:06}", "no. {:06}", "{:016}", "{:017}", "{:023}", "Straße {}", "{:06} and more"],
)
def test_many_texts_are_told_apart(text: str) -> None:
    rows = [{"a": text.format(row), "b": 9 * text.format(row)} for row in range(20_000)]
    found = read_records(json.dumps(rows).encode(), MANY)
    assert found is not None
    assert cells_of(found) == rows


def test_there_may_be_so_many_cells_and_no_more() -> None:
    for n_rows in (1, 600, 5000):
        body = json.dumps([{"a": 1, "b": 2}] * n_rows).encode()
        assert read_records(body, 2 * n_rows) is not None
        assert read_records(body, 2 * n_rows - 1) is None


@pytest.mark.parametrize(
    "body",
    [
        b"[]", b"[{}]", b"{}", b"", b"[", b"[{", b'[{"a":1}', b'[{"a":1}]]', b'[{"a":1},]', b'[{"a":1,}]',
        b'[{"a":1,"a":2}]',
        b'[{"a":1},{"b":1}]', b'[{"a":1,"b":2},{"b":2,"a":1}]', b'[{"a":1},{"a":1,"b":2}]',
        b'[{"a":1,"b":2},{"a":1}]', b'[{"a":1},{"a":"x"}]', b'[{"a":true},{"a":1}]', b'[{"a":[1]}]',
        b'[{"a":{"b":1}}]', b'[{"a":01}]', b'[{"a":1e999}]', b'[{"a":NaN}]', b'[{"a":nul}]',
        b'[{"a":"\x01"}]', b'[{"a":"\\n\n"}]', b'[{"a":"\xff"}]', b'[{"\xff":1}]', b'[{"a":1}{"a":1}]',
        rb'[{"a":"\x"}]', rb'[{"a":"\u00e"}]', rb'[{"a":"\u00eg"}]', rb'[{"a":"\"}]', rb'[{"a":"\u',
        b'[{"a":"\\', rb'[{"a":"\ud83d"}]', rb'[{"a":"\ud83d\ud83d"}]', rb'[{"a":"\ude00\ud83d"}]',
        rb'[{"a":"\ud83d\n"}]', rb'[{"\ud83d":1}]', rb'[{"a":1},{"\u0061":1}]',
        b'{"instances":[{"a":1}],"params":{}}', b'{"columns":[{"a":1}]}', b'\xef\xbb\xbf[{"a":1}]',
        b'[{"a":1}]\0',
        b'[{"a" 1}]', b'[[{"a":1}]]', b'[{"a":"x}]', b'[{"a":1},{"a":1]',
        b'[{"a":1};{"a":1}]',
    ],
)  # fmt: skip
def test_whatever_else_there_is_is_left_to_the_general_reader(body: bytes) -> None:
    assert read_records(body, MANY) is None


@pytest.mark.parametrize(
    "body", [b"", b"\n", b'{"a":1}{"a":1}', b'{"a":1},\n{"a":1}', b'{"a":\n1}', b'{"a":1}\n[1]', b'[{"a":1}]']
)
def test_lines_that_are_no_records_are_left_to_the_general_reader(body: bytes) -> None:
    assert read_records(body, MANY, is_lines=True) is None


def refuse_constant(name: str) -> float:
    raise ValueError(name)


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key stands there twice")
    return dict(pairs)


def document_of(text: bytes) -> Any:
    return json.loads(
        text.decode("utf-8"),
        parse_constant=refuse_constant,
        parse_int=lambda digits: float(int(digits)),
        object_pairs_hook=unique,
    )


SEEDS = [
    '[{"a": 1, "b": -2.5e3}, {"a": null, "b": 4}]',
    '{"instances": [{"a": "x", "é": true}, {"a": "x", "é": false}]}',
    ' {"dataframe_records" : [ { "a" : 10 , "long name" : "a text of some length" } ] } ',
    '[{"a":12345678901234567890.5,"b":"aaaaaaaaaaaaaaaa"},{"a":0.1,"b":"aaaaaaaab"}]',
    '{"a":1,"b":"x"}\n{"a":2,"b":"y"}\n',
    '{"a":1.5}\r\n\n{"a":null}',
    r'[{"a\n":"\u00e9\"\ud83d\ude00","b":1},{"a\n":"\\","b":2}]',
]
PIECES = [
    *(bytes([byte]) for byte in b'[]{},:".-+eE01 \n\t\\ntab\x00\x0b\xff'),
    b"\\u00e9",
    b"\\ud83d\\ude00",
    b"null",
    b"true",
    b'"a"',
    b"1",
]


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    body = draw(st.sampled_from(SEEDS)).encode()
    for _ in range(draw(st.integers(1, 3))):
        begin = draw(st.integers(0, len(body)))
        end = begin + draw(st.integers(0, 3))
        body = body[:begin] + draw(st.sampled_from([*PIECES, b""])) + body[end:]
    return body


@settings(max_examples=3000, deadline=None)
@given(spoiled(), st.booleans())
@example(b'[{"a":1,"a":1}]', False)
@example(b'[{"a":12345678901234567805}]', False)
def test_what_is_read_in_a_spoiled_body_is_what_json_reads_in_it(body: bytes, is_lines: bool) -> None:
    found = read_records(body, MANY, is_lines=is_lines)
    if found is None:
        return
    if is_lines:
        document = [document_of(line) for line in body.split(b"\n") if line.strip()]
    else:
        document = document_of(body)
        if isinstance(document, dict):
            (document,) = document.values()
    assert [list(record) for record in document] == [list(found.names)] * len(document)
    np.testing.assert_equal(cells_of(found), document)
