"""What a caller gives for X, before any dialect writes it."""

from __future__ import annotations

import datetime
import decimal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.images import png

from demijohn.client.inputs import Document, ImageFile, Table, Tensor, as_column, read_inputs
from demijohn.errors import SignatureMismatch
from demijohn.signature import Signature, TensorSpec

MATRIX = Signature("matrix", (TensorSpec("inputs", "float64", (-1, 2)),))
TABLE = Signature("table", (TensorSpec("a"), TensorSpec("b", "str")))
ALONE = Signature("table", (TensorSpec("text", "str"),))
TEXTS = Signature("vector", (TensorSpec("inputs", "str"),))


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        ([1, 2], "i", [1, 2]),
        ([1, 2.5], "f", [1.0, 2.5]),
        ([1.5, None], "f", [1.5, None]),
        ([1.5, pd.NA, float("nan"), pd.NaT], "f", [1.5, None, None, None]),
        ([True, False], "b", [True, False]),
        ([True, None], "O", [True, None]),
        ([1, None], "O", [1, None]),
        ([1, pd.NA], "O", [1, None]),
        (["a", None], "O", ["a", None]),
        (["a", float("nan")], "O", ["a", None]),
        ([True, 1], "O", [True, 1]),
        (["1", 1], "O", ["1", 1]),
        ([2**63, 1], "O", [2**63, 1]),
        ([2**64], "O", [2**64]),
        ([np.float32(0.5), np.int8(3)], "f", [0.5, 3.0]),
        ([np.str_("a"), "b"], "O", ["a", "b"]),
        ([np.bool_(True)], "b", [True]),
        ([np.datetime64("2020-01-01"), np.datetime64("NaT")], "O", ["2020-01-01", None]),
        ([pd.Timestamp("2020-01-01"), datetime.date(2020, 1, 2)], "O", ["2020-01-01T00:00:00", "2020-01-02"]),
        ([[1, 2], [3, 4]], "O", [[1, 2], [3, 4]]),
        ([], "O", []),
    ],
)
def test_cells_of_one_kind_become_an_array_of_it(cells: list[Any], kind: str, values: list[Any]) -> None:
    array = as_column(cells, "x")
    assert array.dtype.kind == kind
    assert [None if value != value else value for value in array.tolist()] == values


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(["x", "y", "x"], dtype="category"),
        pd.Series(["x", "y", "x"], dtype="string"),
        pd.Series(["x", "y", "x"], dtype=object),
        np.array(["x", "y", "x"]),
        ("x", "y", "x"),
    ],
)
def test_texts_are_texts_however_a_table_has_them(column: Any) -> None:
    array = as_column(column, "x")
    assert (array.dtype.kind, array.tolist()) == ("O", ["x", "y", "x"])


def test_categories_may_be_missing_and_may_be_numbers() -> None:
    assert as_column(pd.Series(["x", None], dtype="category"), "x").tolist() == ["x", None]
    assert as_column(pd.Series([3, 4, 3], dtype="category"), "x").tolist() == [3, 4, 3]
    assert as_column(pd.Series([1, None], dtype="Int64"), "x").tolist() == [1, None]


@given(st.lists(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), max_size=6))
def test_no_cell_becomes_another_value(cells: list[Any]) -> None:
    array = as_column(cells, "x")
    assert len(array) == len(cells)
    for kept, cell in zip(array.tolist(), cells, strict=True):
        if cell is None or cell != cell:
            assert kept is None or kept != kept
        else:
            assert kept == cell
            assert isinstance(cell, int | float) == isinstance(kept, int | float)
            assert isinstance(cell, bool) == isinstance(kept, bool)


@pytest.mark.parametrize(
    "cells",
    [
        np.array([1j]), [1j], np.array([1], "m8[s]"), [datetime.timedelta(1)], [np.timedelta64(1, "s")],
        pd.Series(pd.to_timedelta(["1 D"])), [decimal.Decimal(1)], [object()], [{1, 2}], np.array([b"a"]),
        np.zeros(1, dtype=[("a", "f8")]), [np.complex64(1)],
    ],
)  # fmt: skip
def test_what_no_dialect_has_a_form_for_is_named(cells: Any) -> None:
    with pytest.raises(SignatureMismatch) as raised:
        read_inputs({"a": cells, "b": ["x"]}, TABLE)
    (problem,) = raised.value.errors
    assert (problem.column, problem.expected) == ("a", "numbers, texts, booleans or instants")


def test_an_arrays_columns_are_those_of_the_table() -> None:
    table = read_inputs(np.array([[1.0, 2.0]]), Signature("table", (TensorSpec("a"), TensorSpec("b"))))
    assert isinstance(table, Table)
    assert {name: array.tolist() for name, array in table.columns.items()} == {"a": [1.0], "b": [2.0]}


@pytest.mark.parametrize(
    "texts", [["x", "y"], ("x", "y"), np.array(["x", "y"]), pd.Series(["x", "y"])], ids=repr
)
def test_a_list_of_texts_is_the_only_column(texts: Any) -> None:
    table = read_inputs(texts, ALONE)
    assert isinstance(table, Table)
    assert table.columns["text"].tolist() == ["x", "y"]
    tensor = read_inputs(texts, TEXTS)
    assert isinstance(tensor, Tensor)
    assert tensor.array.tolist() == ["x", "y"]


@pytest.mark.parametrize(
    "rows",
    [[], [[1.0]], [[1.0, 2.0], [3.0]], [[1.0, True]], [[1.0, "a"]], [[1.0, None]], [{"a": 1}, {"b": 1}],
     [[[1.0], 2]], [[2**64, 1]]],
)  # fmt: skip
def test_rows_that_are_no_tidy_array_stay_as_they_are(rows: Any) -> None:
    kept = read_inputs(rows, MATRIX)
    if isinstance(kept, Tensor):
        assert kept.array.tolist() == rows
    else:
        assert kept == Document(rows)


@pytest.mark.parametrize(
    "rows", [[["a"], ["b", 1]], [[1.0, "x"], {"a": 1}], [1.0, 2.0], [{"a": 1}, {"a": 1, "b": ""}]]
)
def test_rows_that_are_no_tidy_table_stay_as_they_are(rows: Any) -> None:
    assert read_inputs(rows, TABLE) == Document(rows)


def test_a_body_is_told_from_columns_by_its_words() -> None:
    for body in ({"instances": [[1.0, 2.0]]}, {"inputs": {"a": [1.0]}, "params": {}}):
        assert read_inputs(body, MATRIX) == Document(body)
    assert isinstance(read_inputs({"a": [1.0], "params": [2.0]}, TABLE), Table)


@pytest.mark.parametrize("columns", [{"a": "text"}, {"a": 5}, {"a": b"bytes"}])
def test_a_column_is_a_list(columns: Any) -> None:
    with pytest.raises(SignatureMismatch, match="expected a list of values"):
        read_inputs(columns, TABLE)


def test_a_frame_has_each_column_once() -> None:
    frame = pd.DataFrame([[1.0, 2.0]], columns=["a", "a"])
    with pytest.raises(SignatureMismatch, match="twice"):
        read_inputs(frame, TABLE)


def test_columns_of_a_frame_may_have_numbers_for_names() -> None:
    for frame in (pd.DataFrame([[1.0, 2.0]]), pd.DataFrame([[1.0, "x"]])):
        table = read_inputs(frame, TABLE)
        assert isinstance(table, Table)
        assert list(table.columns) == ["0", "1"]


def test_a_frame_of_numbers_is_a_matrix_where_columns_have_no_names() -> None:
    tensor = read_inputs(pd.DataFrame([[1.0, 2.0]], columns=["a", "b"]), MATRIX)
    assert isinstance(tensor, Tensor)
    assert tensor.array.tolist() == [[1.0, 2.0]]
    assert isinstance(read_inputs(pd.DataFrame([[1.0, 2]]), MATRIX), Table)  # of two dtypes


def test_an_array_has_rows() -> None:
    with pytest.raises(SignatureMismatch, match="axis 0"):
        read_inputs(np.array(5.0), MATRIX)


def test_a_frame_of_another_library_is_not_taken_for_an_array() -> None:
    frame = SimpleNamespace(columns=["a"], dtypes=[float], to_numpy=lambda: np.zeros((1, 1)))
    with pytest.raises(SignatureMismatch, match="expected a DataFrame of pandas"):
        read_inputs(frame, TABLE)


def test_bytes_are_an_image_or_nothing() -> None:
    file = png(np.zeros((2, 2), np.uint8))
    assert read_inputs(file, MATRIX) == ImageFile(file, "image/png")
    assert read_inputs(bytearray(b"\xff\xd8\xff\xe0"), MATRIX) == ImageFile(b"\xff\xd8\xff\xe0", "image/jpeg")
    with pytest.raises(SignatureMismatch, match="3 bytes of another kind"):
        read_inputs(b"GIF", MATRIX)
