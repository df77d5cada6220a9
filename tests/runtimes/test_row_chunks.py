"""Rows through a graph that takes so many at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demijohn.errors import ModelError
from demijohn.messages import Tensors, count_rows
from demijohn.runtimes.row_chunks import ANY_ROWS, ONE_BY_ONE, RowLimits, run_rows


@given(st.integers(1, 40), st.integers(1, 9), st.none() | st.integers(0, 9))
def test_rows_come_back_in_order_whatever_the_graph_takes(n_rows: int, least: int, more: int | None) -> None:
    limits = RowLimits(least, None if more is None else least + more)
    rows = np.arange(2.0 * n_rows).reshape(n_rows, 2)

    def double(chunk: Tensors) -> Tensors:
        assert limits.least <= count_rows(chunk) <= (limits.most or max(n_rows, limits.least))
        return {"y": chunk["x"] * 2, "label": chunk["x"][:, 0].astype(str).astype(object)}

    outputs = run_rows(double, {"x": rows}, limits)
    np.testing.assert_array_equal(outputs["y"], rows * 2)
    assert outputs["label"].tolist() == rows[:, 0].astype(str).tolist()


def test_one_row_is_answered_without_an_axis_for_it() -> None:
    rows = np.arange(6.0).reshape(3, 2)
    outputs = run_rows(
        lambda chunk: {"sum": chunk["x"].sum(), "pair": chunk["x"][0], "same": chunk["x"]},
        {"x": rows},
        ONE_BY_ONE,
    )
    assert outputs["sum"].tolist() == [1, 5, 9]
    np.testing.assert_array_equal(outputs["pair"], rows)
    np.testing.assert_array_equal(outputs["same"], rows)


def test_answers_of_several_lengths_are_lists() -> None:
    rows = np.array([[1], [3]])
    outputs = run_rows(lambda chunk: {"y": np.arange(chunk["x"][0, 0])}, {"x": rows}, ONE_BY_ONE)
    assert outputs["y"].tolist() == [[0], [0, 1, 2]]


@pytest.mark.parametrize("limits", [ANY_ROWS, RowLimits(3, 3)])
def test_a_graph_that_loses_rows_is_an_error(limits: RowLimits) -> None:
    with pytest.raises(ModelError, match="returned 1 rows in 'y' for 3"):
        run_rows(lambda chunk: {"y": chunk["x"][:1]}, {"x": np.zeros((3, 2))}, limits)
    with pytest.raises(ModelError, match="returned no rows in 'y' for 3"):
        run_rows(lambda chunk: {"y": chunk["x"].sum()}, {"x": np.zeros((3, 2))}, limits)
