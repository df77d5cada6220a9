"""Arrays that a protocol has read already: exact, or refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from demijohn.array_casting import cast_array, narrow, view_bytes
from demijohn.casting import Caster, Problems
from demijohn.errors import SignatureMismatch
from demijohn.messages import Array
from demijohn.tensor_spec import TensorSpec

Found = list[tuple[int | None, str | int | None, str, str]]


def cast(
    array: Array, dtype: str, shape: tuple[int, ...] = (-1,), name: str | None = "x", **more: Any
) -> tuple[Array, Found]:
    spec = TensorSpec("x", dtype, shape, **more)
    problems = Problems()
    made = cast_array(array, spec, Caster(spec), name, problems)
    return made, [(p.row, p.column, p.expected, p.received) for p in problems]


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        (np.array([1, -2], np.int64), "float64"),
        (np.array([1, 2], np.uint8), "float32"),
        (np.array([1, 2], np.uint8), "float16"),
        (np.array([1.5, -2.0], np.float32), "float64"),
        (np.array([1.5, 1e-60], np.float64), "float32"),
        (np.array([1, 2], np.int64), "int8"),
        (np.array([1, 2], np.int8), "uint64"),
        (np.array([1, 2], ">i4"), "int32"),
        (np.array([1.5, 2], ">f8"), "float64"),
        (np.array([True, False]), "bool"),
        (np.array(["a", "é"]), "str"),
        (np.array(["a", "é"], object), "str"),
        (np.array(["2024-01-01"], "datetime64[D]"), "datetime64[ns]"),
        (np.array(["2024-01-01T12:00"]), "datetime64[ns]"),
        (np.array([1, 2]), "object"),
        (np.array(["a", 1, True], object), "object"),
    ],
)
def test_what_a_dtype_holds_becomes_it_as_its_json_does(given: Array, dtype: str) -> None:
    made, problems = cast(given, dtype)
    json = [str(one) for one in given] if given.dtype.kind == "M" else given.tolist()
    expected = Caster(TensorSpec("x", dtype)).column(json, "x", Problems())
    assert not problems
    assert made.dtype == expected.dtype
    assert made.dtype.isnative
    assert made.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("given", "dtype", "received"),
    [
        (np.array([1.0]), "int64", "float64"),
        (np.array([True]), "float64", "bool"),
        (np.array([True]), "int64", "bool"),
        (np.array([1]), "bool", "int64"),
        (np.array([1]), "str", "int64"),
        (np.array([1j]), "float64", "complex128"),
        (np.array([1j]), "object", "complex128"),
        (np.array([b"a"]), "str", "bytes8"),
        (np.array([1]), "datetime64[ns]", "int64"),
    ],
)
def test_what_a_dtype_does_not_hold_is_refused_as_a_whole(given: Array, dtype: str, received: str) -> None:
    assert cast(given, dtype)[1] == [(None, "x", dtype, received)]


def test_cells_of_another_kind_are_refused_one_by_one() -> None:
    assert cast(np.array(["a", 1], object), "str")[1] == [(1, "x", "str", "1")]
    assert cast(np.array([["1"]]), "float64", (-1, 1))[1] == [(0, "x[0]", "float64", 'the string "1"')]


def test_what_is_too_large_is_named_and_never_wrapped() -> None:
    assert cast(np.array([[1, 300]]), "uint8", (-1, 2))[1] == [
        (0, "x[1]", "uint8", "300, which is too large")
    ]
    assert cast(np.array([-1]), "uint64")[1] == [(0, "x", "uint64", "-1, which is too large")]
    assert cast(np.array([2**63], np.uint64), "int64")[1][0][0] == 0
    assert cast(np.array([1.0, 1e300]), "float32")[1] == [(1, "x", "float32", "1e+300, which is too large")]
    assert cast(np.array([70_000]), "float16")[1] == [(0, "x", "float16", "70000, which is too large")]


def test_nan_is_missing_and_an_infinity_is_the_models_matter() -> None:
    for dtype in ("float64", "float32", "float16"):
        assert np.isnan(cast(np.array([math.nan]), dtype, nullable=True)[0][0])
        assert cast(np.array([1, math.nan]), dtype)[1] == [(1, "x", dtype, "NaN")]
        assert cast(np.array([math.inf]), dtype)[0].tolist() == [math.inf]
    both = np.array([math.nan, 1e300])
    assert [received for *_, received in cast(both, "float32")[1]] == ["NaN", "1e+300, which is too large"]


def test_what_is_missing_among_other_values_is_none() -> None:
    assert cast(np.array(["a", math.nan, None], object), "str", nullable=True)[0].tolist() == [
        "a",
        None,
        None,
    ]
    assert cast(np.array([1.5, math.nan]), "object", nullable=True)[0].tolist() == [1.5, None]
    nat = np.array(["NaT"], "datetime64[s]")
    assert np.isnat(cast(nat, "datetime64[ns]", nullable=True)[0][0])
    assert cast(nat, "datetime64[ns]")[1] == [(0, "x", "datetime64[ns]", "null")]


def test_a_closed_input_takes_its_categories_alone() -> None:
    _, problems = cast(np.array([1, 3]), "int64", categories=(1, 2), is_closed=True)
    assert problems == [(1, "x", "one of 1, 2", "3")]
    assert cast(np.array([1, 2]), "int64", categories=(1, 2), is_closed=True)[0].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("shape", "given", "received"),
    [
        ((-1, 28, 28), (2, 28), "shape (2, 28)"),
        ((-1, 28, 28), (2, 28, 27), "shape (2, 28, 27)"),
        ((-1,), (2, 2), "shape (2, 2)"),
        ((-1, 2), (2, 2, 1), "shape (2, 2, 1)"),
    ],
)
def test_another_shape_is_refused_as_a_whole(
    shape: tuple[int, ...], given: tuple[int, ...], received: str
) -> None:
    assert cast(np.zeros(given), "float64", shape)[1][0][3] == received


def test_a_column_of_one_value_per_row_is_one_of_values() -> None:
    assert cast(np.zeros((3, 1)), "float64")[0].shape == (3,)
    assert cast(np.zeros((3, 1)), "float64", (-1, 1))[0].shape == (3, 1)


@pytest.mark.parametrize("given", [np.frombuffer(bytes(16)), np.zeros((2, 2)).T[:, 0]])
def test_the_tensor_is_the_requests_own(given: Array) -> None:
    made, _ = cast(given, "float64")
    assert made.flags.c_contiguous
    assert made.flags.writeable
    assert not np.shares_memory(made, given)


def test_the_twentieth_problem_ends_the_search() -> None:
    with pytest.raises(SignatureMismatch) as caught:
        cast(np.full((3, 28), 1e300), "float32", (-1, 28), None)
    assert [problem.column for problem in caught.value.errors] == list(range(20))


def test_numbers_are_rounded_unless_one_would_become_an_infinity() -> None:
    short = narrow(np.array([[1 / 3]]), np.dtype("float32"))
    assert short is not None
    assert short.tolist() == [[float(np.float32(1 / 3))]]
    assert narrow(np.array([[1e39]]), np.dtype("float32")) is None


# Bytes ------------------------------------------------------------------------------------


def test_bytes_are_rows_of_what_the_spec_says() -> None:
    numbers = np.arange(6, dtype="<i4").reshape(2, 3)
    viewed = view_bytes(numbers.tobytes(), TensorSpec("x", "int32", (-1, 3)))
    assert viewed.tolist() == numbers.tolist()
    assert view_bytes("é".encode(), TensorSpec("x", "str", (-1, 1))).tolist() == [["é"]]


@pytest.mark.parametrize(
    ("body", "spec"),
    [
        (b"", TensorSpec("x", "float64", (-1, 3))),
        (b"\0" * 23, TensorSpec("x", "float64", (-1, 3))),
        (b"\0" * 24, TensorSpec("x", "float64", (-1, -1))),
        (b"\0" * 24, TensorSpec("x", "float64", (-1, 0))),
        (b"\0" * 8, TensorSpec("x", "object")),
        (b"\0" * 8, TensorSpec("x", "datetime64[ns]")),
        (b"\xff", TensorSpec("x", "str")),
    ],
)
def test_bytes_that_are_no_rows_do_not_fit(body: bytes, spec: TensorSpec) -> None:
    with pytest.raises(SignatureMismatch):
        view_bytes(body, spec)
