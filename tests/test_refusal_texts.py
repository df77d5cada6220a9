"""What a model says when it fails: one line, without a path of this machine where a client may read it."""

from __future__ import annotations

import pytest

from demijohn.refusal_texts import first_line, named_line


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


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("first\nsecond", "ValueError: first"),
        ("no /home/me/model.bin", "ValueError: no /home/me/model.bin"),
        (" \n", "ValueError"),
        ("x" * 1000, "ValueError: " + "x" * 300),
    ],
)
def test_whoever_runs_the_server_is_told_the_class_and_one_line(said: str, told: str) -> None:
    assert named_line(ValueError(said)) == told
