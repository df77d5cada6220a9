"""Pieces of a body on their way to a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demijohn.errors import SignatureMismatch
from demijohn.messages import Rows, count_rows, join_rows
from demijohn.row_pieces import checked, regrouped
from demijohn.signature import Signature, TensorSpec

SIGNATURE = Signature("table", (TensorSpec("a"), TensorSpec("b")))


def test_a_piece_that_does_not_fit_counts_its_rows_from_the_first_piece() -> None:
    pieces = checked(SIGNATURE, [Rows([[1, 2]] * 3), Rows([[1, 2]] * 2), Rows([[1, 2], [1, "x"], [1]])])
    assert [count_rows(next(pieces)) for _ in range(2)] == [3, 2]
    with pytest.raises(SignatureMismatch) as raised:
        next(pieces)
    assert [(problem.row, problem.column) for problem in raised.value.errors] == [(7, None)]
    assert raised.value.detail == "row 7: expected 2 values, received 1 values"
    assert str(raised.value) == raised.value.detail


def test_a_body_without_rows_is_refused_as_such() -> None:
    with pytest.raises(SignatureMismatch, match="There are no rows"):
        next(checked(SIGNATURE, [Rows([])]))


@given(st.lists(st.integers(1, 9), min_size=1), st.integers(1, 12))
def test_pieces_are_regrouped_without_a_row_lost(heights: list[int], n_rows: int) -> None:
    rows = np.arange(sum(heights))
    pieces: list[Any] = [{"x": part} for part in np.split(rows, np.cumsum(heights)[:-1])]
    found = list(regrouped(pieces, n_rows))
    assert join_rows(found)["x"].tolist() == rows.tolist()
    assert {count_rows(piece) for piece in found[:-1]} <= {n_rows}
    assert 0 < count_rows(found[-1]) <= n_rows
