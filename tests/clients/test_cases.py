"""The list of other servers' cases names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CASES = (HERE / "CASES.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", CASES)))


def test_each_row_names_a_test_or_says_why_there_is_none() -> None:
    rows = re.findall(r"^\| (.*) \| (.*) \|$", CASES, flags=re.MULTILINE)
    cells = [here for case, here in rows if case != "case" and here != "here"]
    assert len(cells) > 70
    silent = [
        here
        for here in cells
        if "`tests/" not in here and not here.startswith(("Does not", "Do not", "Differs"))
    ]
    assert not silent


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_is_named_is_there(file: str, name: str) -> None:
    source = (ROOT / file).read_text()
    assert not name or re.search(rf"^(?:async )?def {name}\(", source, flags=re.MULTILINE)
