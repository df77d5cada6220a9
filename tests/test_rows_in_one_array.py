"""Rows of numbers in one array: taken at once, or not at all, and always as column by column."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from demijohn.errors import SignatureMismatch
from demijohn.messages import Array, ArrayColumn, ArrayColumns, Inputs, Matrix, NamedTensors, RowArray, Rows
from demijohn.number_rows import NumberRows
from demijohn.signature import Signature, TensorSpec
from demijohn.tensor_spec import Layout

TABLE = (TensorSpec("a"), TensorSpec("b"), TensorSpec("c"))
NULLABLE = tuple(TensorSpec(name, nullable=True) for name in "abc")
MATRIX = (TensorSpec("x", shape=(-1, 3)),)
SIGNATURES: dict[str, tuple[Layout, tuple[TensorSpec, ...]]] = {
    "table": ("table", TABLE),
    "nullable table": ("table", NULLABLE),
    "matrix": ("matrix", MATRIX),
    "matrix of any width": ("matrix", (TensorSpec("x", shape=(-1, -1), nullable=True),)),
    "matrix of float32": ("matrix", (TensorSpec("x", "float32", shape=(-1, 3)),)),
    "table of integers": ("table", tuple(TensorSpec(name, "int64") for name in "abc")),
    "one tensor": ("tensors", (TensorSpec("x", shape=(-1, 3)),)),
}
NUMBERS = st.floats(allow_nan=True, width=16)
ARRAYS = npst.arrays("<f8", st.tuples(st.integers(1, 5), st.sampled_from([3, 3, 3, 2])), elements=NUMBERS)
FORMS: dict[str, Callable[[Array], Inputs]] = {
    "rows": RowArray,
    "columns": lambda array: ArrayColumns(list("abcd")[: array.shape[1]], array, len(array)),
    "columns in another order": lambda array: ArrayColumns(list("cabd")[: array.shape[1]], array, len(array)),
    "a tensor": lambda array: NamedTensors({"x": array}),
    "columns, as Fortran has them": lambda array: ArrayColumns(
        list("abcd")[: array.shape[1]], np.asfortranarray(array), len(array)
    ),
}


def outcome(validate: Callable[[], Any]) -> Any:
    try:
        return validate()
    except SignatureMismatch as refusal:
        return [str(problem) for problem in refusal.errors]


@given(ARRAYS, st.sampled_from(list(SIGNATURES)), st.sampled_from(list(FORMS)))
def test_what_is_taken_at_once_is_what_casting_makes(array: Array, name: str, form: str) -> None:
    array.flags.writeable = False  # as a view of a body is
    layout, specs = SIGNATURES[name]
    inputs = FORMS[form](array)
    taken = NumberRows(layout, specs).take_array(inputs)
    signature = Signature(layout, specs)
    got = outcome(lambda: signature.validate(inputs))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NumberRows, "take_array", lambda *_: None)
        wanted = outcome(lambda: signature.validate(inputs))
    if taken is None or isinstance(wanted, list):
        assert taken is None or not isinstance(wanted, list)
        np.testing.assert_equal(got, wanted)
        return
    assert list(taken) == list(wanted) == list(got)
    for key, tensor in taken.items():
        assert tensor.dtype == wanted[key].dtype
        assert tensor.flags.c_contiguous
        assert tensor.flags.writeable
        np.testing.assert_array_equal(tensor, wanted[key])


@pytest.mark.parametrize("form", ["rows", "columns"])
def test_a_table_of_numbers_is_taken_at_once(form: str) -> None:
    array = np.arange(6.0).reshape(2, 3)
    taken = NumberRows("table", TABLE).take_array(FORMS[form](array))
    assert taken is not None
    assert {name: column.tolist() for name, column in taken.items()} == {
        "a": [0, 3],
        "b": [1, 4],
        "c": [2, 5],
    }


@pytest.mark.parametrize("form", FORMS)
def test_a_matrix_is_taken_at_once_and_its_memory_left_alone(form: str) -> None:
    array = np.arange(6.0).reshape(2, 3)
    taken = NumberRows("matrix", MATRIX).take_array(FORMS[form](array))
    assert taken is not None
    taken["x"][:] = 0
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_what_is_missing_is_taken_where_it_may_be() -> None:
    rows = RowArray(np.array([[1.0, np.nan, 3.0]]))
    assert NumberRows("table", TABLE).take_array(rows) is None
    assert NumberRows("table", NULLABLE).take_array(rows) is not None


def test_columns_apart_are_left_to_be_cast_one_by_one() -> None:
    columns = ArrayColumns(list("abc"), [ArrayColumn(np.zeros(1))] * 3, 1)
    assert NumberRows("table", TABLE).take_array(columns) is None


def test_records_are_no_rows_of_a_model_without_column_names() -> None:
    def matrix(*, is_by_name: bool) -> Matrix:
        return Matrix(np.zeros((1, 3)), lambda: Rows([]), list("abc"), is_by_name=is_by_name)

    assert NumberRows("matrix", MATRIX).take(matrix(is_by_name=True)) is None
    assert NumberRows("matrix", MATRIX).take(matrix(is_by_name=False)) is not None
    assert NumberRows("table", TABLE).take(matrix(is_by_name=True)) is not None
