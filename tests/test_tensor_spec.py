"""One input or output, written for people."""

from __future__ import annotations

import pytest

from demijohn.tensor_spec import TensorSpec, shape_text


@pytest.mark.parametrize(
    ("shape", "text"),
    [((-1,), "(n_rows,)"), ((-1, 4), "(n_rows, 4)"), ((-1, -1, 28, 1), "(n_rows, any, 28, 1)")],
)
def test_a_shape_begins_with_the_rows(shape: tuple[int, ...], text: str) -> None:
    assert shape_text(shape) == text
    assert str(TensorSpec("x", "uint8", shape, nullable=True)) == f"x: uint8? {text}"
