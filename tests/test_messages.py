"""What travels between the steps: plain values."""

from __future__ import annotations

import numpy as np
import pytest

from demijohn.messages import (
    Columns,
    Encoded,
    InferenceRequest,
    InferenceResponse,
    Rows,
    as_array,
    count_rows,
    plain,
)


def test_rows_are_counted_on_axis_0_of_any_tensor() -> None:
    assert count_rows({"x": np.zeros((3, 2))}) == 3
    assert count_rows({"a": np.zeros(2), "b": np.zeros(2)}) == 2


def test_values_become_an_array_of_rows() -> None:
    assert as_array([[1, 2], [3, 4]]).shape == (2, 2)


def test_ragged_values_become_an_array_of_objects() -> None:
    array = as_array([[1], [2, 3]])
    assert array.dtype == object
    assert array.tolist() == [[1], [2, 3]]


def test_two_requests_share_no_parameters() -> None:
    with pytest.raises(TypeError):
        InferenceRequest(Rows([[1]])).parameters["x"] = 1  # type: ignore[index]
    assert InferenceRequest(Columns({})).parameters == {}


def test_an_answer_has_no_classes_and_no_headers_unless_it_says_so() -> None:
    assert InferenceResponse({}, "m", "1", "predict", 0).classes is None
    assert Encoded(b"", "text/csv").headers == {}


@pytest.mark.parametrize("unit", ["ns", "s", "D"])
def test_an_instant_is_plain_as_text_and_not_as_a_count(unit: str) -> None:
    array = np.array(["2020-01-02", "NaT"], dtype=f"datetime64[{unit}]")
    text, missing = plain(array)
    assert np.datetime64(text) == array[0]
    assert missing is None


def test_other_arrays_are_plain_as_nested_lists() -> None:
    assert plain(np.array([[1.5, 2.0]])) == [[1.5, 2.0]]
    assert plain(np.array(["a", None], dtype=object)) == ["a", None]
