"""What the matrix reader takes means what Python's json reads in it; it takes nothing that json refuses."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from demijohn import kernels
from demijohn.kernels import make_powers, read_matrix

pytestmark = pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)

MANY = 10**6
ALLOWED_KEYS = [["instances"], ["inputs"]]


def numbers_in(text: str) -> list[float]:
    """Return the numbers of a row as Python reads them."""
    return [float(number) for number in json.loads(f"[{text}]")]


def bits(numbers: Any) -> list[bytes]:
    return [struct.pack("<d", number) for number in numbers]


@st.composite
def halfway_cases(draw: st.DrawFn) -> str:
    """Return the decimal digits of the middle of two neighbouring floats, or of something next to it."""
    low = draw(st.floats(allow_nan=False, allow_infinity=False, min_value=0.0, max_value=1e308))
    numerator, denominator = low.as_integer_ratio()
    other, below = math.nextafter(low, math.inf).as_integer_ratio()
    top, bottom = numerator * below + other * denominator, 2 * denominator * below
    places = bottom.bit_length()  # a fraction over a power of two ends after so many digits
    digits = str(top * 10**places // bottom + draw(st.integers(-1, 1)))
    return f"{digits}e-{places}" if draw(st.booleans()) else f"0.{digits}e{len(digits) - places}"


@st.composite
def spellings(draw: st.DrawFn) -> str:
    """Return one number as people, libraries and adversaries write it."""
    value = draw(st.floats(allow_nan=False, allow_infinity=False))
    way = draw(st.sampled_from(["%r", "%.17g", "%.25e", "%.3f", "%.16E", "%d", "%.400e"]))
    return way % value


PLAIN = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
TEXTS = spellings() | halfway_cases() | st.integers(-(10**400), 10**400).map(str) | PLAIN
SPACE = st.text(" \t\r\n", max_size=3)


@settings(max_examples=600, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=6))
@example(["0", "-0", "-0.0", "0e0", "-0e5", "0.0000000000000000000000000000"])
@example(["9007199254740993", "9007199254740992.5", "18446744073709551615", "18446744073709551616"])
@example(["5e-324", "2.4703282292062327e-324", "2.4703282292062328e-324", "2.2250738585072011e-308"])
@example(
    ["1.7976931348623157e308", "17976931348623157" + "0" * 292, "0." + "0" * 400 + "1e400", "1" + "0" * 308]
)
@example(["1e-99999999999999999999", "0e99999999999999999999", "10000000000000000000e-19"])
def test_every_number_is_the_one_that_python_reads(texts: list[str]) -> None:
    row = ",".join(texts)
    expected = []
    for text in texts:
        try:
            expected += numbers_in(text)
        except OverflowError:  # an integer that no float64 holds
            expected.append(math.inf)
    found = read_matrix(f"[[{row}]]".encode(), MANY)
    if not all(map(math.isfinite, expected)):
        assert found is None
    else:
        assert found is not None
        assert bits(found[0]) == bits(expected)


@given(
    st.integers(1, 4).flatmap(
        lambda width: st.lists(
            st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=width, max_size=width),
            min_size=1,
        )
    ),
    st.sampled_from([None, "instances", "inputs"]),
    SPACE,
)
def test_a_matrix_is_read_in_each_of_its_forms(rows: list[list[float]], key: str | None, space: str) -> None:
    document = json.dumps(rows if key is None else {key: rows})
    body = (
        document.replace(", ", f"{space},{space}")
        .replace("[", f"{space}[{space}")
        .replace("]", f"{space}]{space}")
    )
    body = body.replace(":", f"{space}:{space}").replace("{", f"{space}{{{space}")
    found = read_matrix(body.encode(), MANY)
    assert found is not None
    assert found.dtype == np.float64
    assert found.flags.writeable
    assert found.tobytes() == np.array(rows).tobytes()


def refuse_constant(name: str) -> float:
    raise ValueError(name)


def shape_of(document: Any) -> tuple[int, ...] | None:
    """Return the shape of lists in lists of numbers; None where they are not all of one."""
    if not isinstance(document, list):
        return () if type(document) in (int, float) else None
    shapes = {shape_of(part) for part in document}
    (shape,) = shapes if len(shapes) == 1 else (None,)
    return None if shape is None else (len(document), *shape)


def matrix_in(body: bytes) -> Any:
    """Return the rows that a JSON reader finds; None if it finds anything else, or no JSON."""
    try:
        document = json.loads(body.decode("utf-8"), parse_constant=refuse_constant)
    except ValueError:
        return None
    if isinstance(document, dict):
        if list(document) not in ALLOWED_KEYS:
            return None
        document = next(iter(document.values()))
    shape = shape_of(document)
    if shape is None or not 2 <= len(shape) <= 8:
        return None
    try:
        rows = np.array(document, np.float64)
    except OverflowError:
        return None
    return rows if np.isfinite(rows).all() else None


SEEDS = [
    b"[[1, -2.5e3], [0.125, 4]]",
    b'{"instances": [[1, 2], [3, 4E-2]]}',
    b' {"inputs" : [ [ 10 ] , [ 12345678901234567890.5 ] ] } ',
    b"[[1.7976931348623157e308, 123456789.123456789]]",
    b"[[[1, 2], [3, 4]], [[5, 6], [7, 8]]]",
    b'{"instances": [[[[1]], [[2]]]]}',
]
PIECES = [*b'[]{},:".-+eE0123456789 \n\t\\ntruNaIfy\x00\x0b\xff', *(ord(c) for c in "instances")]


@settings(max_examples=2000, deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.lists(
        st.tuples(st.integers(0, 80), st.sampled_from(["put", "insert", "remove"]), st.sampled_from(PIECES)),
        max_size=3,
    ),
    st.none() | st.integers(0, 60),
)
def test_a_broken_body_is_read_as_json_reads_it_or_left_alone(
    seed: bytes, changes: list[tuple[int, str, int]], length: int | None
) -> None:
    body = bytearray(seed)
    for place, change, byte in changes:
        at = place % (len(body) + 1)
        body[at : at + (change != "insert")] = b"" if change == "remove" else bytes([byte])
    text = bytes(body[:length])
    found, expected = read_matrix(text, MANY), matrix_in(text)
    assert (found is None) == (expected is None)
    if found is not None:
        assert (found.shape, found.tobytes()) == (expected.shape, expected.tobytes())


@settings(deadline=None)
@given(
    npst.arrays(
        np.float64,
        npst.array_shapes(min_dims=2, max_dims=8, max_side=3),
        elements=st.floats(allow_nan=False, allow_infinity=False),
    ),
    st.sampled_from([None, "instances", "inputs"]),
)
def test_rows_of_any_shape_are_read(rows: Any, key: str | None) -> None:
    document = rows.tolist() if key is None else {key: rows.tolist()}
    found = read_matrix(json.dumps(document).encode(), MANY)
    assert found is not None
    assert (found.shape, found.tobytes()) == (rows.shape, rows.tobytes())


def test_rows_of_more_dimensions_than_anybody_has_are_left_alone() -> None:
    assert np.asarray(read_matrix(b"[" * 8 + b"1" + b"]" * 8, MANY)).shape == (1,) * 8
    assert read_matrix(b"[" * 9 + b"1" + b"]" * 9, MANY) is None
    assert read_matrix(b"[" * 100_000, MANY) is None


@pytest.mark.parametrize(
    "body",
    [
        "", " ", "[", "[[", "[[1", "[[1]", "[[1]]]", "[[1]],", "[[1]] x", "[]", "[[]]", "[[], []]", "[1]",
        "[[1], 2]", "[[1], []]", "[[1], [2, 3]]", "[[1, 2], [3]]", "[[1,]]", "[[,1]]", "[[1] [2]]",
        "[[1 2]]", "[[1],]", "[[01]]", "[[-01]]", "[[00]]", "[[1.]]", "[[.5]]", "[[+1]]", "[[1e]]",
        "[[1e+]]", "[[1.e5]]", "[[-]]", "[[--1]]", "[[NaN]]", "[[Infinity]]", "[[-Infinity]]", "[[1e309]]",
        "[[-1e400]]", "[[0x10]]", "[[1_000]]", "[[1f]]", "[[null]]", "[[true]]", '[["1"]]',
        "[[[1]], [1]]", "[[1], [[1]]]", "[[[1], [2]], [[3]]]", "[[[1, 2]], [[3], [4]]]", "[[[]]]",
        "[[[1]]", "[[[1], 2]]", "[[1, [2]]]",
        '[{"a": 1}]', '{"rows": [[1]]}', '{"instances": [[1]], "a": 1}',
        '{"instances": [[1]], "instances": [[1]]}', '{"instance\\u0073": [[1]]}', '{"instances": [[1]]',
        '{"instances" [[1]]}', '{"instances": [1]}', "\ufeff[[1]]", "[[1]]\x00", "[[1\x00]]", "[[1]]\x0b",
        "// no\n[[1]]", "{}", "1", '"[[1]]"',
    ],
)  # fmt: skip
def test_anything_else_is_left_alone(body: str) -> None:
    assert read_matrix(body.encode(), MANY) is None


def test_more_numbers_than_allowed_are_left_alone() -> None:
    body = json.dumps([[1.5, 2], [3, 4]]).encode()
    assert read_matrix(body, 4) is not None
    assert [read_matrix(body, limit) for limit in (3, 1, 0, -1)] == [None] * 4
    rows = np.arange(3000.0).reshape(-1, 3)
    large = json.dumps(rows.tolist()).encode()
    assert np.array_equal(np.asarray(read_matrix(large, 3000)), rows)
    assert read_matrix(large, 2999) is None


def test_rows_whose_numbers_grow_shorter_and_longer_are_all_kept() -> None:
    rows = [[1 / 3, 1e-300]] * 700 + [[0.0, 1.0]] * 5000 + [[-1 / 3, 12345.678]] * 700
    assert np.array_equal(np.asarray(read_matrix(json.dumps(rows).encode(), MANY)), np.array(rows))


def test_random_bits_are_read_back() -> None:
    numbers = np.frombuffer(np.random.default_rng(3).bytes(8 * 20_000), np.float64)
    numbers = numbers[np.isfinite(numbers)]
    for spelling in ("%r", "%.17g", "%.20e"):
        body = "[[" + ",".join(spelling % number for number in numbers.tolist()) + "]]"
        found = read_matrix(body.encode(), MANY)
        assert found is not None
        assert found.tobytes() == numbers.tobytes()


@pytest.mark.parametrize("body", ["[[1]]", bytearray(b"[[1]]"), memoryview(b"[[1]]"), None])
def test_a_body_is_bytes(body: Any) -> None:
    with pytest.raises(TypeError, match="as bytes"):
        read_matrix(body, MANY)


def test_the_table_of_powers_is_what_its_script_writes() -> None:
    header = make_powers.__file__.replace("make_powers.py", "_powers.h")
    with open(header, encoding="ascii") as file:  # noqa: PTH123
        assert file.read() == make_powers.table()
