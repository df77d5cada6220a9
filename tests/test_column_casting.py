"""Columns apart from what is missing in them, and texts apart from their rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from demijohn.errors import SignatureMismatch
from demijohn.messages import ArrayColumn, ArrayColumns, RowArray
from demijohn.signature import Signature, TensorSpec

MATRIX = Signature("matrix", (TensorSpec("inputs", "float64", (-1, 2)),))


def columns(**named: Any) -> ArrayColumns:
    made = [c if isinstance(c, ArrayColumn) else ArrayColumn(np.asarray(c)) for c in named.values()]
    return ArrayColumns(list(named), made, len(made[0]))


def problems(signature: Signature, given: ArrayColumns) -> list[tuple[Any, ...]]:
    with pytest.raises(SignatureMismatch) as caught:
        signature.validate(given)
    return [(p.row, p.column, p.expected, p.received) for p in caught.value.errors]


def coded(values: list[Any], codes: list[int], missing: list[bool] | None = None) -> ArrayColumn:
    mask = None if missing is None else np.array(missing)
    return ArrayColumn(np.array(values, object), mask, np.array(codes))


TABLE = Signature("table", (TensorSpec("a"), TensorSpec("b")))


def test_a_table_takes_columns_by_name_and_a_matrix_by_position() -> None:
    given = columns(b=[3.0, 4.0], a=[1.0, 2.0])
    made = TABLE.validate(given)
    assert {name: array.tolist() for name, array in made.items()} == {"a": [1.0, 2.0], "b": [3.0, 4.0]}
    assert MATRIX.validate(given)["inputs"].tolist() == [[3.0, 1.0], [4.0, 2.0]]


def test_numbers_in_one_array_are_columns_too() -> None:
    given = ArrayColumns(["b", "a"], np.array([[3.0, 1.0], [4.0, 2.0]]), 2)
    assert {name: array.tolist() for name, array in TABLE.validate(given).items()} == {
        "a": [1, 2],
        "b": [3, 4],
    }
    assert MATRIX.validate(given)["inputs"].tolist() == [[3.0, 1.0], [4.0, 2.0]]
    whole = Signature("table", (TensorSpec("a", "int64"), TensorSpec("b")))
    assert problems(whole, given) == [(None, "a", "int64", "float64")]


def test_columns_missing_unknown_or_twice_there_are_named() -> None:
    assert problems(TABLE, columns(a=[1.0], c=[2.0])) == [
        (None, "b", "float64", "nothing"),
        (None, "c", "no such column", "an unknown column"),
    ]
    twice = ArrayColumns(["a", "a", "b"], [ArrayColumn(np.zeros(1))] * 3, 1)
    assert problems(TABLE, twice) == [(None, "a", "each column once", "the column twice")]


def test_no_rows_and_another_number_of_columns_are_refused() -> None:
    for signature in (TABLE, MATRIX):
        assert problems(signature, columns(a=[], b=[])) == [(None, None, "at least 1 row", "0 rows")]
    assert problems(MATRIX, columns(a=[1.0])) == [(None, None, "2 columns", "1 columns")]
    vector = Signature("vector", (TensorSpec("text", "str"),))
    assert problems(vector, columns(a=["x"], b=["y"])) == [(None, None, "1 column", "2 columns")]


def test_a_missing_value_is_refused_in_its_row_or_is_what_the_model_knows() -> None:
    given = columns(a=ArrayColumn(np.array([1.0, 0.0]), np.array([False, True])), b=[1.0, 2.0])
    assert problems(TABLE, given) == [(1, "a", "float64", "null")]
    assert problems(MATRIX, given) == [(1, 0, "float64", "null")]
    nullable = Signature("table", (TensorSpec("a", nullable=True), TensorSpec("b", "int64", nullable=True)))
    holes = columns(a=given.each()[0], b=ArrayColumn(np.array([5, 0]), np.array([False, True])))
    made = nullable.validate(holes)
    assert made["a"].tolist()[0] == 1.0
    assert np.isnan(made["a"][1])
    assert made["b"].tolist() == [5, None]


def test_what_lies_under_a_missing_value_is_not_looked_at() -> None:
    spec = TensorSpec("a", "float32", nullable=True)
    given = columns(a=ArrayColumn(np.array([1.0, 1e300]), np.array([False, True])))
    made = Signature("table", (spec,)).validate(given)["a"]
    assert made[0] == 1.0
    assert np.isnan(made[1])


def test_a_column_left_out_is_missing_in_every_row() -> None:
    optional = Signature("table", (TensorSpec("a"), TensorSpec("b", "str", nullable=True, is_optional=True)))
    assert optional.validate(columns(a=[1.0, 2.0]))["b"].tolist() == [None, None]


def test_a_text_of_many_rows_is_looked_at_once_and_refused_in_each() -> None:
    closed = TensorSpec("a", "str", categories=("x", "y"), is_closed=True)
    signature = Signature("table", (closed,))
    good = coded(["never used", "y", "x"], [1, 2, 1])
    made = signature.validate(columns(a=good))["a"]
    assert made.tolist() == ["y", "x", "y"]
    assert made[0] is made[2]
    bad = problems(signature, columns(a=coded(["z", "x"], [0, 1, 0])))
    assert bad == [(row, "a", "one of 'x', 'y'", 'the string "z"') for row in (0, 2)]
    many = coded([f"text {index}" for index in range(50)], list(range(50)))
    assert [row for row, *_ in problems(signature, columns(a=many))] == list(range(20))


def test_a_text_may_be_an_instant() -> None:
    signature = Signature("table", (TensorSpec("a", "datetime64[ns]", nullable=True),))
    made = signature.validate(columns(a=coded(["2024-01-02"], [0, 0], [False, True])))["a"]
    assert made[0] == np.datetime64("2024-01-02")
    assert np.isnat(made[1])


def test_one_column_is_the_tensor_of_a_model_of_one() -> None:
    image = Signature("tensors", (TensorSpec("image", "float32", (-1, 2, 2)),))
    pixels = np.arange(8.0).reshape(2, 2, 2)
    for name in ("image", "whatever"):
        assert image.validate(columns(**{name: pixels}))["image"].tolist() == pixels.tolist()
    assert problems(image, columns(image=np.zeros((1, 3, 2)))) == [
        (None, "image", "shape (n_rows, 2, 2)", "shape (1, 3, 2)")
    ]
    flat = Signature("tensors", (TensorSpec("image", "float32", (-1, 3)),))
    assert flat.validate(columns(a=[1.0], b=[2.0], c=[3.0]))["image"].tolist() == [[1, 2, 3]]


def test_a_value_per_row_is_a_tensor_of_one() -> None:
    specs = (TensorSpec("age", "float32", (-1, 1)), TensorSpec("job", "str", (-1, 1), nullable=True))
    made = Signature("tensors", specs).validate(columns(age=[1, 2], job=coded(["x"], [0, 0], [False, True])))
    assert made["age"].tolist() == [[1], [2]]
    assert made["job"].tolist() == [["x"], [None]]


def test_texts_of_several_axes_are_taken_cell_by_cell() -> None:
    specs = (TensorSpec("words", "str", (-1, 2)), TensorSpec("n"))
    words = np.array([["a", "b"]], object)
    made = Signature("tensors", specs).validate(columns(words=words, n=[1.0]))
    assert made["words"].tolist() == [["a", "b"]]


def test_lists_that_differ_in_length_are_rows_of_a_ragged_tensor() -> None:
    rows = np.empty(2, object)
    rows[:] = [[1, 2], [3]]
    signature = Signature("tensors", (TensorSpec("x", "int64", (-1, -1), ragged_rank=1),))
    made = signature.validate(columns(x=rows))["x"]
    assert [row.tolist() for row in made] == [[1, 2], [3]]


def test_rows_in_one_array_are_columns_in_the_order_of_the_table() -> None:
    for rows in (np.array([[1.0, 2.0], [3.0, 4.0]]), np.asfortranarray([[1, 2], [3, 4]])):
        rows.flags.writeable = False  # as a view of a body is
        made = TABLE.validate(RowArray(rows))
        assert {name: array.tolist() for name, array in made.items()} == {"a": [1, 3], "b": [2, 4]}
        assert all(array.flags.writeable and array.flags.c_contiguous for array in made.values())
        assert MATRIX.validate(RowArray(rows))["inputs"].tolist() == rows.tolist()
    one = Signature("table", (TensorSpec("a", "str"),))
    assert one.validate(RowArray(np.array(["x", "y"], object)))["a"].tolist() == ["x", "y"]


def test_rows_of_another_width_or_of_a_model_of_several_inputs_are_refused() -> None:
    for shape in ((2,), (2, 3), (2, 2, 1)):
        with pytest.raises(SignatureMismatch) as caught:
            TABLE.validate(RowArray(np.zeros(shape)))
        (problem,) = caught.value.errors
        assert (problem.expected, problem.received) == ("shape (n_rows, 2)", f"shape {shape}")
    pair = Signature("tensors", (TensorSpec("a"), TensorSpec("b")))
    with pytest.raises(SignatureMismatch, match="need names"):
        pair.validate(RowArray(np.zeros((2, 2))))


def test_a_missing_number_among_rows_is_refused_in_its_row() -> None:
    with pytest.raises(SignatureMismatch) as caught:
        TABLE.validate(RowArray(np.array([[1.0, 2.0], [3.0, np.nan]])))
    assert [(p.row, p.column, p.received) for p in caught.value.errors] == [(1, "b", "NaN")]


def test_an_instant_out_of_range_is_refused_in_its_row() -> None:
    signature = Signature("table", (TensorSpec("a", "datetime64[ns]"),))
    given = columns(a=np.array(["2024-01-02", "9999-01-01", "NaT"], "M8[D]"))
    assert problems(signature, given) == [
        (1, "a", "datetime64[ns]", "9999-01-01, which is out of range"),
        (2, "a", "datetime64[ns]", "null"),
    ]
    holes = columns(a=ArrayColumn(np.array(["2024-01-02"] * 2, "M8[D]"), np.array([False, True])))
    nullable = Signature("table", (TensorSpec("a", "datetime64[ns]", nullable=True),))
    assert np.isnat(nullable.validate(holes)["a"]).tolist() == [False, True]
