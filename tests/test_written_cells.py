"""Which cells a client wrote for which input."""

from __future__ import annotations

from typing import Any

import pytest

from demijohn.casting import Problems
from demijohn.errors import SignatureMismatch
from demijohn.messages import Columns, Records, Rows
from demijohn.tensor_spec import TensorSpec
from demijohn.written_cells import check_any_rows, check_names, columns_of, rows_of

SPECS = (TensorSpec("a"), TensorSpec("b", is_optional=True))


@pytest.mark.parametrize(
    "inputs",
    [
        Rows([[1, [2]], [3, [4]]]),
        Rows([[[2], 1], [[4], 3]], columns=["b", "a"]),
        Records([{"a": 1, "b": [2]}, {"b": [4], "a": 3}]),
        Columns({"a": [1, 3], "b": [[2], [4]]}),
    ],
)
def test_every_form_becomes_columns_by_name_whose_cells_are_not_looked_at(inputs: Any) -> None:
    problems = Problems()
    found = columns_of(inputs, SPECS, problems)
    assert not problems
    assert found == {"a": [1, 3], "b": [[2], [4]]}


def test_rows_of_one_input_come_by_position_or_under_its_name() -> None:
    assert rows_of(Rows([[1]]), SPECS[0]) == [[1]]
    assert rows_of(Columns({"a": [[1]]}), SPECS[0]) == [[1]]
    with pytest.raises(SignatureMismatch, match="no column names"):
        rows_of(Records([{"a": 1}]), SPECS[0])


def test_names_are_checked_against_the_inputs() -> None:
    problems = Problems()
    check_names(["b", "c"], SPECS, 3, problems)
    assert [(p.row, p.column, p.received) for p in problems] == [
        (3, "a", "nothing"),
        (3, "c", "an unknown column"),
    ]


def test_a_request_has_rows() -> None:
    check_any_rows([None])
    with pytest.raises(SignatureMismatch, match="There are no rows"):
        check_any_rows([])
