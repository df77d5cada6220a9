"""What an example of named or nested tensors says of a model's inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from demijohn.example_specs import as_json_value, is_columns, read_specs


def read(example: Any) -> tuple[str, list[tuple[str, str, tuple[int, ...], bool]]]:
    layout, specs = read_specs(example)
    return layout, [(spec.name, spec.dtype, spec.shape, spec.nullable) for spec in specs]


IMAGE = np.zeros((2, 3, 4), np.float32)
AGE = np.array([3, 4], np.int32)


@pytest.mark.parametrize(
    ("example", "layout", "specs"),
    [
        (IMAGE, "matrix", [("inputs", "float32", (-1, 3, 4), False)]),
        ([[[1, 2]], [[3, None]]], "matrix", [("inputs", "float64", (-1, 1, 2), True)]),
        (np.array([[["a"]]], object), "matrix", [("inputs", "str", (-1, 1, 1), False)]),
        (
            {"image": IMAGE, "age": AGE},
            "tensors",
            [("image", "float32", (-1, 3, 4), False), ("age", "int32", (-1,), False)],
        ),
        (
            {"a": AGE, "b": np.array(["x", "y"])},
            "table",
            [("a", "int32", (-1,), False), ("b", "str", (-1,), False)],
        ),
        (
            [{"image": [[1, 2]], "age": 3}, {"image": [[3, 4]], "age": None}],
            "tensors",
            [("image", "float64", (-1, 1, 2), False), ("age", "float64", (-1,), True)],
        ),
        (
            {"image": IMAGE[0], "age": 3},
            "tensors",
            [("image", "float32", (-1, 3, 4), False), ("age", "float64", (-1,), False)],
        ),
    ],
)
def test_an_example_of_tensors_says_their_shapes(
    example: Any, layout: str, specs: list[tuple[str, str, tuple[int, ...], bool]]
) -> None:
    assert read(example) == (layout, specs)


def test_arrays_of_all_rows_and_one_record_are_told_apart() -> None:
    assert is_columns({"a": AGE})
    assert not is_columns({"a": AGE, "b": 3})
    assert not is_columns({})
    assert not is_columns([AGE])


def test_rows_of_several_shapes_are_an_error() -> None:
    with pytest.raises(ValueError, match="arrays of one length"):
        read({"a": AGE, "b": AGE[:1]})
    with pytest.raises(ValueError, match="rows of one length"):
        read([[[1], [2, 3]]])


def test_an_array_is_written_as_nested_lists() -> None:
    assert as_json_value(np.array([[1.5, np.nan]])) == [[1.5, None]]
    assert as_json_value((1, (np.int64(2),))) == [1, [2]]
