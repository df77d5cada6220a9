"""What a model says of rows that it refuses: one line, without a path of this machine."""

from __future__ import annotations

import pytest

from demijohn.refusal_texts import first_line


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("too large for float32", "too large for float32"),
        ("first\nsecond", "first"),
        ("cannot read /home/me/model.bin here", "cannot read … here"),
        (r"cannot read C:\models\a.bin", "cannot read …"),
        ("a/b and 1/2 stay", "a/b and 1/2 stay"),
        ("", "ValueError"),
        ("x" * 1000, "x" * 300),
    ],
)
def test_of_what_a_model_says_one_clean_line_is_told(said: str, told: str) -> None:
    assert first_line(ValueError(said)) == told
