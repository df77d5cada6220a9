"""Rows whose lists differ in length from row to row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demijohn.errors import SignatureMismatch
from demijohn.messages import Columns, NamedTensors, Records, Rows
from demijohn.probes import draw
from demijohn.signature import Signature, TensorSpec

WORDS = Signature("matrix", (TensorSpec("words", "str", (-1, -1), ragged_rank=1),))
POINTS = Signature("matrix", (TensorSpec("points", "float32", (-1, -1, 2), ragged_rank=1),))
PATHS = Signature("tensors", (
    TensorSpec("k", "int32"), TensorSpec("paths", "float64", (-1, -1, -1, -1), ragged_rank=2),
))  # fmt: skip


def plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [plain(one) for one in value] if isinstance(value, list) else value


@given(st.lists(st.lists(st.floats(-1e6, 1e6, width=32)), min_size=1))
def test_rows_of_any_length_are_kept(rows: list[list[float]]) -> None:
    signature = Signature("matrix", (TensorSpec("x", "float32", (-1, -1), ragged_rank=1),))
    tensor = signature.validate(Rows(rows))["x"]
    assert tensor.shape == (len(rows),)
    assert [row.tolist() for row in tensor] == rows
    assert {row.dtype for row in tensor} == {np.dtype("float32")}


def test_every_form_is_read() -> None:
    rows = [["a"], [], ["b", "c"]]
    for inputs in (Rows(rows), Columns({"words": rows}), NamedTensors({"words": as_objects(rows)})):
        assert [row.tolist() for row in WORDS.validate(inputs)["words"]] == rows
    (points,) = POINTS.validate(NamedTensors({"points": np.ones((3, 4, 2), np.float32)})).values()
    assert [row.shape for row in points] == [(4, 2)] * 3


def as_objects(rows: list[Any]) -> Any:
    array = np.empty(len(rows), dtype=object)
    for index, row in enumerate(rows):
        array[index] = row
    return array


def test_rows_may_be_ragged_at_several_depths() -> None:
    records = [{"k": 1, "paths": [[], [[1, 2]]]}, {"k": 2, "paths": []}, {"k": 3, "paths": [[[1], [2], [3]]]}]
    tensors = PATHS.validate(Records(records))
    assert [plain(row) for row in tensors["paths"]] == [record["paths"] for record in records]
    assert tensors["k"].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["a"], "b"], 'row 1: expected a list of values, received the string "b"'),
        ([["a", 1]], "row 0, column 1: expected str, received 1"),
        ([["a"], ["b", None]], "row 1, column 1: expected str, received null"),
        ([["a", ["b"]]], "row 0, column 1: expected str, received a list of 1 values"),
        ([], "There are no rows"),
    ],
)
def test_a_misfit_is_told_with_its_place(rows: list[Any], message: str) -> None:
    with pytest.raises(SignatureMismatch) as error:
        WORDS.validate(Rows(rows))
    assert error.value.detail == message


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[[1, 2]], [[1, 2], [3]]], "row 1: expected lists of 2 values, received a list of 2 values"),
        ([[1]], "row 0: expected lists of 2 values, received a list of 1 values"),
        ([[[1, 2], [3, "x"]]], "row 0, column '1,1': expected float32, received the string \"x\""),
    ],
)
def test_what_is_not_ragged_has_its_size(rows: list[Any], message: str) -> None:
    with pytest.raises(SignatureMismatch) as error:
        POINTS.validate(Rows(rows))
    assert error.value.detail == message


def test_probe_rows_differ_in_length_and_content() -> None:
    words = draw(WORDS, [["a b", "c", "d e f", "g"]], 16)["words"]
    assert len({len(row) for row in words}) > 1
    assert len({text for row in words for text in row.tolist()}) > 3
    paths = draw(PATHS, [{"k": 1, "paths": [[[1, 2], [3, 4]], [[5, 6]]]}], 16)["paths"]
    assert len({str(plain(row)) for row in paths}) == 16
