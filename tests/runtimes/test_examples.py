"""Examples of tensors: what they say beside a signature that a model knows itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from demijohn.errors import ConfigurationError
from demijohn.runtimes.examples import Example, read_example
from demijohn.signature import Signature, TensorSpec

ALBUM = Signature("tensors", (TensorSpec("image", "float32", (-1, 1, 2)), TensorSpec("age", "int64")))
IMAGES = Signature("matrix", (TensorSpec("inputs", "float32", (-1, 1, 2)),))
ARRAYS = {"image": np.ones((9, 1, 2)), "age": np.arange(9)}


def read(example: Any) -> Example:
    made = read_example(example)
    assert made is not None
    return made


def test_arrays_of_all_rows_become_records_at_most_five() -> None:
    example = read(ARRAYS)
    assert example.signature.layout == "tensors"
    assert example.rows == [{"image": [[1.0, 1.0]], "age": age} for age in range(5)]
    assert example.rows_for(ALBUM) == example.rows


@pytest.mark.parametrize(("columns", "name"), [(["a", "a", "b"], "a"), ([1, "1", 2], "1")])
def test_an_example_with_a_column_twice_is_refused_by_its_name(columns: list[Any], name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"more than one column of the name '{name}'"):
        read_example(pd.DataFrame([[1, 2, 3]], columns=columns))


@pytest.mark.parametrize(
    ("series", "dtype", "rows"),
    [
        (pd.Series(["a cat", "two dogs"], index=[7, 9]), "str", ["a cat", "two dogs"]),
        (pd.Series([1.5, 2.5], name="age"), "float64", [1.5, 2.5]),
    ],
)
def test_a_series_is_one_value_per_row(series: Any, dtype: str, rows: list[Any]) -> None:
    example = read(series)
    assert (example.signature.layout, example.rows) == ("vector", rows)
    assert example.signature.inputs == (TensorSpec("inputs", dtype, (-1,)),)


@pytest.mark.parametrize(
    ("known", "given"),
    [
        (ALBUM, ARRAYS),
        (ALBUM, [{"image": [[1, 2]], "age": 3}]),
        (IMAGES, np.ones((2, 1, 2))),
        (IMAGES, [[[1, 2]]]),
    ],
)
def test_a_model_of_tensors_knows_all_itself(known: Signature, given: Any) -> None:
    example = read(given)
    assert example.complete(known) == known


@pytest.mark.parametrize(
    ("known", "given", "why"),
    [
        (ALBUM, {"image": np.ones((2, 1, 2))}, "'age'"),
        (ALBUM, {"image": np.ones((2, 3)), "age": np.arange(2)}, "a list of 1 values"),
        (IMAGES, np.ones((2, 2, 2)), "a list of 1 values"),
    ],
)
def test_an_example_that_does_not_fit_is_refused(known: Signature, given: Any, why: str) -> None:
    with pytest.raises(ConfigurationError, match=f"does not fit the model.*{why}"):
        read(given).complete(known)
