"""Answers become the estimator's arrays, whatever they were read from."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from demijohn.client.calls import shape_output
from demijohn.errors import UnusableAnswer
from demijohn.protocols import json_media
from demijohn.tensor_spec import TensorSpec, dtype_name

DTYPES = st.sampled_from(
    [
        "float64",
        "float32",
        "float16",
        "int64",
        "int32",
        "int8",
        "uint8",
        "uint64",
        "bool",
        "datetime64[ns]",
        "<U5",
    ]
)


@given(DTYPES.flatmap(lambda dtype: st_numpy.arrays(
    dtype, st_numpy.array_shapes(max_dims=3, max_side=4),
    elements=st.floats(width=16, allow_infinity=False) if dtype.startswith("float") else
        st.text("aä☃", max_size=5) if dtype == "<U5" else None)))  # fmt: skip
def test_an_array_that_was_written_as_json_comes_back(array: np.ndarray[Any, Any]) -> None:
    spec = TensorSpec("x", dtype_name(array), (-1, *array.shape[1:]))
    read = shape_output(orjson.loads(json_media.dump(json_media.writable(array))), spec, ["aaaaa"])
    assert (read.dtype, read.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([1, 2], "int64", [1, 2]),
        ([1, 2.5], "object", [1, 2.5]),
        ([1.5, None], "float64", [1.5, None]),
        ([None, None], "object", [None, None]),
        ([True, False], "bool", [True, False]),
        ([[1, 2], [3, 4]], "int64", [[1, 2], [3, 4]]),
        ([[1.0, 2.0], [3.0, 4.0]], "float64", [[1.0, 2.0], [3.0, 4.0]]),
        ([["a"], ["b"]], "object", [["a"], ["b"]]),
        ([[1], [2, 3]], "object", [[1], [2, 3]]),
        ([[], []], "object", [[], []]),
        (["a", "bc"], "<U2", ["a", "bc"]),
        (["a", 1], "object", ["a", 1]),
        ([{"a": 1}], "object", [{"a": 1}]),
        ([2**64 - 1, 1], "uint64", [2**64 - 1, 1]),
        ([2**64 - 1, -1], "object", [2**64 - 1, -1]),
    ],
    ids=repr,
)
def test_what_nothing_is_known_of_is_what_its_values_are(values: Any, dtype: str, expected: Any) -> None:
    read = shape_output(values, None)
    assert read.dtype == dtype
    assert [None if value != value else value for value in read.tolist()] == expected


def test_texts_are_as_wide_as_the_longest_label() -> None:
    spec = TensorSpec("predict", "str")
    assert shape_output(["a"], spec, ["a", "versicolor"]).dtype == "<U10"
    assert shape_output(["a"], spec, [1, 2]).dtype == "<U1"
    assert shape_output([""], spec, None).dtype == "<U1"


def test_what_is_of_another_kind_than_was_told_stays_what_it_is() -> None:
    assert shape_output([1.5], TensorSpec("x", "int64")).tolist() == [1.5]
    assert shape_output([True], TensorSpec("x", "float64")).dtype == bool
    assert shape_output(["a"], TensorSpec("x", "float64")).tolist() == ["a"]
    assert shape_output([1], TensorSpec("x", "float32")).dtype == np.float32
    with pytest.raises(UnusableAnswer):
        shape_output(["yesterday"], TensorSpec("x", "datetime64[ns]"))
