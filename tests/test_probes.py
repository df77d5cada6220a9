"""Probe rows, and the comparison of a batch with its rows one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from demijohn.messages import Records, Rows
from demijohn.probes import agree, draw, rows_or_records
from demijohn.signature import Signature, TensorSpec

N_ROWS = 16


def draw_column(dtype: str, example: list[Any], **spec: Any) -> np.ndarray[Any, Any]:
    signature = Signature("table", (TensorSpec("x", dtype, **spec),))
    return draw(signature, [{"x": value} for value in example], N_ROWS)["x"]


def test_plain_rows_and_records_are_told_apart() -> None:
    assert rows_or_records([[1]]) == Rows([[1]])
    assert rows_or_records([{"a": 1}]) == Records([{"a": 1}])
    assert rows_or_records([]) == Rows([])


def test_a_probe_has_as_many_rows_as_asked_for_and_the_signatures_columns() -> None:
    signature = Signature("matrix", (TensorSpec("inputs", "float64", (-1, 3)),))
    assert draw(signature, [[1.0, 2.0, 3.0]], 7)["inputs"].shape == (7, 3)


def test_the_same_seed_draws_the_same_rows_and_another_one_others() -> None:
    signature = Signature("matrix", (TensorSpec("inputs", "float64", (-1, 3)),))
    first, again, other = (draw(signature, [[1.0, 2.0, 0.0]], 5, seed)["inputs"] for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize(
    ("dtype", "example"),
    [
        ("float64", 3.0),
        ("float64", 0.0),
        ("float32", -1.5),
        ("int64", 40),
        ("int64", 0),
        ("uint8", 250),
        ("int8", -128),
        ("bool", True),
        ("str", "one two three"),
        ("object", "one two three"),
        ("datetime64[ns]", "2020-01-02T03:04:05"),
    ],
)
def test_one_example_row_is_enough_for_rows_that_differ(dtype: str, example: Any) -> None:
    drawn = draw_column(dtype, [example])
    assert len(set(drawn.tolist())) > 1
    assert drawn.dtype == (np.dtype(object) if dtype in {"str", "object"} else np.dtype(dtype))


@pytest.mark.parametrize(("dtype", "value"), [("int64", 2**62), ("int64", -(2**63)), ("uint64", 2**64 - 1)])
def test_a_whole_number_too_large_to_be_scaled_exactly_stays(dtype: str, value: int) -> None:
    assert set(draw_column(dtype, [value]).tolist()) == {value}


@pytest.mark.parametrize(
    ("dtype", "categories"),
    [("str", ("a", "b", "c")), ("object", ("a", None)), ("int64", (10, 20)), ("float64", (0.5, 1.5))],
)
def test_where_categories_are_known_only_they_are_drawn(dtype: str, categories: tuple[Any, ...]) -> None:
    drawn = draw_column(
        dtype, [categories[0]], categories=categories, is_closed=True, nullable=None in categories
    )
    assert set(drawn.tolist()) == set(categories)


def test_a_missing_category_is_drawn_as_none_or_as_a_number_that_is_none() -> None:
    assert None in draw_column("str", ["a"], categories=("a", float("nan")), nullable=True).tolist()
    assert np.isnan(draw_column("float64", [1.0], categories=(1.0, None), nullable=True)).any()


def test_what_is_missing_stays_missing() -> None:
    assert np.isnan(draw_column("float64", [None], nullable=True)).all()
    assert np.isnat(draw_column("datetime64[ns]", [None], nullable=True)).all()
    assert set(draw_column("str", [None, ""], nullable=True).tolist()) == {None, ""}


def test_a_matrix_of_anything_is_varied_cell_by_cell() -> None:
    signature = Signature("matrix", (TensorSpec("inputs", "object", (-1, 6), nullable=True),))
    drawn = draw(signature, [["a b c", 40, 1.5, True, None, 0]], N_ROWS)["inputs"]
    kinds = [set(map(type, column)) for column in zip(*drawn.tolist(), strict=True)]
    assert kinds == [{str}, {int}, {float}, {bool}, {type(None)}, {int}]
    assert [len(set(column)) > 1 for column in zip(*drawn.tolist(), strict=True)] == [
        True,
        True,
        True,
        False,
        False,
        True,
    ]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5), st.integers(0, 5))
def test_every_probe_fits_the_signature(example: list[float], seed: int) -> None:
    signature = Signature("matrix", (TensorSpec("inputs", "float64", (-1, len(example))),))
    with np.errstate(over="ignore"):
        drawn = draw(signature, [example], 4, seed)["inputs"]
    assert drawn.shape == (4, len(example))


# agree ------------------------------------------------------------------------------------


def rows_of(array: Any, name: str = "predict") -> list[dict[str, Any]]:
    array = np.asarray(array)
    return [{name: array[index : index + 1]} for index in range(len(array))]


matrices = npst.arrays(np.float64, (3, 2), elements=st.floats(-1e6, 1e6))


@given(npst.arrays(np.float64, (3, 2)))
def test_a_batch_agrees_with_its_own_rows_whatever_their_numbers(array: np.ndarray[Any, Any]) -> None:
    assert agree({"predict": array}, rows_of(array)) is None


@given(matrices, npst.arrays(np.float64, (3, 2), elements=st.floats(-1, 1)))
def test_what_differs_by_less_than_the_tolerance_agrees_both_ways(
    array: np.ndarray[Any, Any], noise: np.ndarray[Any, Any]
) -> None:
    other = array + noise * 1e-13 * np.abs(array).max(axis=0)
    assert agree({"predict": array}, rows_of(other)) is None
    assert agree({"predict": other}, rows_of(array)) is None


@given(matrices, st.integers(0, 2), st.integers(0, 1), st.sampled_from([-1, 1]))
def test_what_differs_by_more_does_not_either_way(
    array: np.ndarray[Any, Any], row: int, column: int, sign: int
) -> None:
    other = array.copy()
    other[row, column] += sign * max(1e-11 * np.abs(array[:, column]).max(), 1e-300)
    if other[row, column] == array[row, column]:
        return  # a number this small is lost in a large one
    assert agree({"predict": array}, rows_of(other)) is not None
    assert agree({"predict": other}, rows_of(array)) is not None


def test_a_number_is_measured_by_the_largest_of_its_own_column() -> None:
    array, other = np.array([[1e6, 1.0], [0.0, 1.0]]), np.array([[1e6, 1.0], [1e-7, 1.0]])
    assert agree({"predict": array}, rows_of(other)) is None
    assert agree({"predict": array[:, ::-1][:, :1]}, rows_of(other[:, ::-1][:, :1] + 1e-7)) is not None


@pytest.mark.parametrize(
    ("batch", "single", "agrees"),
    [
        (["a", "b"], ["a", "b"], True),
        (["a", "b"], ["a", "c"], False),
        ([1, 2], [1, 2], True),
        ([1, 2], [2, 1], False),
        ([np.nan, 1.0], [np.nan, 1.0], True),
        ([np.nan, 1.0], [0.0, 1.0], False),
        ([np.inf, 1.0], [np.inf, 1.0], True),
        ([np.inf, 1.0], [-np.inf, 1.0], False),
        ([1.0, 2.0], [1.0, np.inf], False),
    ],
)
def test_labels_agree_where_they_are_equal_and_what_is_not_finite_where_it_is_the_same(
    batch: list[Any], single: list[Any], agrees: bool
) -> None:
    assert (agree({"predict": np.array(batch)}, rows_of(single)) is None) == agrees


def test_objects_agree_one_by_one() -> None:
    lists = np.empty(3, dtype=object)
    lists[:] = [np.array([1, 2]), "a", float("nan")]
    assert agree({"predict": lists}, rows_of(lists)) is None
    other = lists.copy()
    other[0] = np.array([1, 3])
    assert agree({"predict": lists}, rows_of(other)) == "predict: values differ"


def test_short_numbers_are_compared_as_precisely_as_they_are() -> None:
    for dtype, allowed in (("float64", 1e-12), ("float32", 1e-5), ("float16", 1e-2)):
        ones = np.ones(2, dtype)
        near, far = (np.array([1, 1 + factor * allowed], np.float64) for factor in (0.5, 3))
        assert (
            agree({"y": ones.astype(dtype)}, [{"y": near[i : i + 1].astype(dtype)} for i in range(2)]) is None
        )
        assert agree({"y": ones}, [{"y": far[i : i + 1].astype(dtype)} for i in range(2)]) is not None


def test_another_shape_or_name_does_not_agree() -> None:
    ones = np.ones((2, 3))
    assert agree({"predict": ones}, rows_of(np.ones((2, 2)))) == "predict: another shape"
    assert agree({"predict": ones}, [{"predict": np.ones((2, 3))}]) == "predict: another shape"
    assert agree({"predict": ones}, rows_of(ones, "other")) == "other outputs"


def test_tensors_of_any_shape_are_drawn() -> None:
    specs = (
        TensorSpec("image", "uint8", (-1, 2, 3)),
        TensorSpec("words", "str", (-1, 2), categories=("a", "b")),
        TensorSpec("age", "float32"),
    )
    row = {"image": [[1, 2, 3], [4, 5, 200]], "words": ["a", "b"], "age": 1.5}
    drawn = draw(Signature("tensors", specs), [row], N_ROWS)
    assert {name: (array.dtype, array.shape) for name, array in drawn.items()} == {
        "image": (np.dtype("uint8"), (N_ROWS, 2, 3)),
        "words": (np.dtype(object), (N_ROWS, 2)),
        "age": (np.dtype("float32"), (N_ROWS,)),
    }
    assert len({array.tobytes() for array in drawn["image"]}) > 1
    assert set(drawn["words"].ravel()) == {"a", "b"}
