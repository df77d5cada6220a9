"""JSON in and out: strict, bounded, always valid."""

from __future__ import annotations

import datetime
import decimal
import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from demijohn.config import Settings
from demijohn.errors import BodyTooLarge, DecodeError
from demijohn.protocols import json_media

SETTINGS = Settings()
FEW = Settings(max_elements=10)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
scalars |= st.text(st.characters(codec="utf-8"))
documents = st.recursive(
    scalars,
    lambda below: st.lists(below, max_size=5) | st.dictionaries(st.text(st.characters(codec="utf-8")), below),
)


def _leaves(document: Any) -> int:
    """Count scalars and empty containers."""
    below = (
        document.values() if isinstance(document, dict) else document if isinstance(document, list) else None
    )
    return sum(map(_leaves, below)) if below else 1


@given(documents)
def test_what_json_writes_is_read_as_it_was(document: Any) -> None:
    assert json_media.parse(json.dumps(document).encode(), SETTINGS) == document
    assert json_media.parse(json.dumps(document, ensure_ascii=False, indent=1).encode(), SETTINGS) == document


@given(documents)
def test_what_is_written_is_read_as_it_was(document: Any) -> None:
    assert json_media.parse(json_media.dump(document), SETTINGS) == document


@given(documents, st.integers(1, 20))
def test_the_number_of_values_is_counted_exactly(document: Any, most: int) -> None:
    body = json.dumps(document).encode()
    settings = Settings(max_elements=most)
    if _leaves(document) > most:
        with pytest.raises(BodyTooLarge):
            json_media.parse(body, settings)
    else:
        assert json_media.parse(body, settings) == document


def test_a_million_values_pass_and_one_more_does_not() -> None:
    rows = [[0] * 1_000] * 1_000
    assert len(json_media.parse(json.dumps(rows).encode(), SETTINGS)) == 1_000
    with pytest.raises(BodyTooLarge):
        json_media.parse(json.dumps([*rows, 0]).encode(), SETTINGS)


def test_commas_in_texts_are_no_values() -> None:
    text = 'a,b\\",",' * 20
    assert json_media.parse(json.dumps([text, text]).encode(), FEW) == [text, text]


@pytest.mark.parametrize("tail", [b'\\"' * 300_000, b'"' * 300_001, b"\\" * 300_000, b'"' + b"a" * 300_000])
def test_a_broken_body_is_counted_in_one_pass(tail: bytes) -> None:
    # Where each quote is tried anew this takes hours.
    with pytest.raises((BodyTooLarge, DecodeError)):
        json_media.parse(b"[" + b"1," * 20 + tail, FEW)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_the_depth_limit_is_exact(opening: str) -> None:
    closing = {"[": "]", '{"a":': "}"}[opening]
    for depth in (63, 64):
        json_media.parse(f"{opening * depth}1{closing * depth}".encode(), SETTINGS)
    with pytest.raises(DecodeError, match="deeper than 64"):
        json_media.parse(f"{opening * 65}1{closing * 65}".encode(), SETTINGS)


@given(st.integers(1, 40), st.integers(1, 40), st.lists(st.booleans(), min_size=40, max_size=40))
def test_nesting_of_any_mix_is_measured_exactly(depth: int, most: int, is_list: list[bool]) -> None:
    document: Any = 0
    for level in range(depth):
        document = [0, document] if is_list[level] else {"a": document, "b": "[[[{{{"}
    body, settings = json.dumps(document).encode(), Settings(max_depth=most)
    if depth > most:
        with pytest.raises(DecodeError):
            json_media.parse(body, settings)
    else:
        assert json_media.parse(body, settings) == document


@pytest.mark.parametrize("depth", [1_500, 500_000])
def test_a_body_of_any_depth_is_refused_and_harms_nobody(depth: int) -> None:
    for body in (b"[" * depth, b"[" * depth + b"]" * depth, b'{"a":' * depth):
        with pytest.raises(DecodeError):
            json_media.parse(body, SETTINGS)


def test_brackets_in_texts_are_no_nesting() -> None:
    assert json_media.parse(json.dumps(["[" * 100]).encode(), SETTINGS) == ["[" * 100]


@given(documents, st.text(st.characters(codec="utf-8")), scalars, st.integers(0, 5))
def test_a_duplicate_key_is_found_wherever_it_stands(document: Any, key: str, value: Any, depth: int) -> None:
    pair = f"{json.dumps(key)}: {json.dumps(value)}"
    body = f'{{{pair}, "other:": {json.dumps(document)}, {pair}}}'
    for _ in range(depth):
        body = f'[{json.dumps(document)}, {{"in": {body}}}]'
    with pytest.raises(DecodeError, match="stands twice"):
        json_media.parse(body.encode(), SETTINGS)


def test_a_duplicate_key_written_in_two_ways_is_one() -> None:
    with pytest.raises(DecodeError, match="'a' stands twice"):
        json_media.parse(b'{"a": 1, "\\u0061": 2}', SETTINGS)


def test_colons_in_texts_hide_no_duplicate_and_make_none() -> None:
    assert json_media.parse(b'{"a:b": "12:30", "c": ":"}', SETTINGS) == {"a:b": "12:30", "c": ":"}
    with pytest.raises(DecodeError, match="twice"):
        json_media.parse(b'[{"a:": 1, "a:": 2}]', SETTINGS)


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"[1", b"[1] 2", b"[1,]", b"{'a': 1}", b"[01]", b"[+1]", b"[.5]", b"// no\n[1]",
        b"[NaN]", b"[Infinity]", b"[-Infinity]", b"[1e400]", b"[-1e400]", b"[" + b"9" * 5_000 + b"]",
        b"\xef\xbb\xbf[1]", b"[\"\xff\"]", b'["\\ud800"]', b'["\\udc00\\ud800"]', b'["\xed\xa0\x80"]',
        '[1, "é"]'.encode("utf-16"), "[1]".encode("utf-16-le"), "[1]".encode("utf-32"),
        '["é"]'.encode("latin-1"),
        b'["a\nb"]', b'["\x00"]', b"\x80\x04K\x01.",
    ],
)  # fmt: skip
def test_what_is_no_strict_json_in_utf_8_cannot_be_read(body: bytes) -> None:
    with pytest.raises(DecodeError):
        json_media.parse(body, SETTINGS)


def test_whole_numbers_of_64_bits_are_kept_exactly() -> None:
    assert json_media.parse(b"[-9223372036854775808, 18446744073709551615]", SETTINGS) == [
        -(2**63),
        2**64 - 1,
    ]


# Writing ----------------------------------------------------------------------------------


@given(npst.arrays(np.float64, npst.array_shapes(max_dims=3, min_side=0)))
def test_an_array_is_written_exactly_and_what_is_not_finite_as_null(array: np.ndarray[Any, Any]) -> None:
    written = json.loads(json_media.dump(json_media.writable(array)), parse_constant=pytest.fail)
    flat = np.array(written, dtype=object).ravel().tolist()
    if array.size:
        assert [_null(value) for value in array.ravel().tolist()] == flat
    else:
        assert written == array.tolist()


def _null(value: float) -> float | None:
    return value if math.isfinite(value) else None


@given(npst.arrays(np.float32, 5))
def test_a_float32_is_written_as_the_double_that_it_is(array: np.ndarray[Any, Any]) -> None:
    written = json.loads(json_media.dump(json_media.writable(array)))
    assert written == [_null(value) for value in array.astype(np.float64).tolist()]


@given(npst.arrays(npst.integer_dtypes() | npst.unsigned_integer_dtypes() | npst.boolean_dtypes(), (2, 3)))
def test_whole_numbers_and_truths_are_written_exactly(array: np.ndarray[Any, Any]) -> None:
    assert json.loads(json_media.dump(json_media.writable(array))) == array.tolist()
    assert json.loads(json_media.dump({"x": array.T})) == {"x": array.T.tolist()}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (np.array(["a", "ß"]), ["a", "ß"]),
        (np.array(["a", None, math.nan], dtype=object), ["a", None, None]),
        (np.array([[1, 2], [3, 4]])[:, 0], [1, 3]),
        (np.array(["2020-01-02", "NaT"], dtype="datetime64[D]"), ["2020-01-02", None]),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        ({1: "a", False: "b"}, {"1": "a", "false": "b"}),
        ({"b", "a"}, ["a", "b"]),
        (math.inf, None),
        (datetime.date(2020, 1, 2), "2020-01-02"),
        (pd.Timestamp("2020-01-02"), "2020-01-02T00:00:00"),
        (datetime.timedelta(days=1), "1 day, 0:00:00"),
        (decimal.Decimal("1.10"), "1.10"),
        (1 + 2j, "(1+2j)"),
        (np.complex64(1 + 2j), "(1+2j)"),
    ],
)
def test_what_models_return_has_a_form(value: Any, written: Any) -> None:
    form = json_media.writable(value) if isinstance(value, np.ndarray) else value
    assert json.loads(json_media.dump([form])) == [written]


def test_bytes_are_written_as_base64() -> None:
    values = np.array([b"\xff\x00", b""], dtype=object)
    assert json_media.dump({"a": json_media.writable(values)}) == b'{"a":[{"b64":"/wA="},{"b64":""}]}'


@pytest.mark.parametrize("value", [object(), 2**64, "\ud800", {1, "a"}])
def test_what_has_no_form_is_an_error_and_never_an_address(value: Any) -> None:
    with pytest.raises(TypeError) as raised:
        json_media.dump([value])
    assert "0x" not in str(raised.value)


@pytest.mark.parametrize("key", ["instances", "a b", "]]]]"])
@pytest.mark.parametrize("text", ["", '"]]]]"', '"[["'])
def test_the_depth_of_many_lists_is_exact_whatever_stands_between_them(key: str, text: str) -> None:
    """A body of more lists than the limit has levels is counted by its bytes, if no text is in it."""
    limit = 64
    for depth, is_allowed in ((limit - 1, True), (limit, False)):
        row = "[" * depth + text + "]" * depth
        body = json.dumps({key: None}).replace("null", f"[{','.join(['[]'] * limit)}]")
        for document in (
            row,
            f"[{row[1:-1]},{','.join(['[]'] * limit)}]",
            body.replace("[[]", f"[{row[1:-1]}"),
        ):
            if is_allowed:
                json_media.parse(document.encode(), SETTINGS)
            else:
                with pytest.raises(DecodeError, match="deeper"):
                    json_media.parse(f"[{document}]".encode(), SETTINGS)
