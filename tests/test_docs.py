"""What the documentation says stands in the code, and the other way round."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import pytest

from demijohn import errors
from demijohn.config import Settings

DOCS = Path(__file__).resolve().parent.parent / "docs"
CONFIGURATION_PAGE = DOCS / "configuration.md"
ERRORS_PAGE = DOCS / "errors.md"


def error_classes(root: type[errors.DemijohnError] = errors.DemijohnError) -> Iterator[type]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from error_classes(child)


def first_cells(page: Path) -> set[str]:
    """Return what stands in backquotes in the first column of the page's tables."""
    return set(re.findall(r"^\| `([^`]+)` \|", page.read_text(), flags=re.MULTILINE))


@pytest.mark.parametrize("field", fields(Settings), ids=lambda field: field.name)
def test_every_setting_is_documented(field: Field[Any]) -> None:
    assert f"DEMIJOHN_{field.name.upper()}" in first_cells(CONFIGURATION_PAGE)


def test_every_documented_setting_exists() -> None:
    known = {f"DEMIJOHN_{field.name.upper()}" for field in fields(Settings)}
    mentioned = {
        name for page in DOCS.glob("*.md") for name in re.findall(r"DEMIJOHN_[A-Z_]*[A-Z]", page.read_text())
    }
    assert mentioned == known


def test_the_table_of_errors_lists_every_code_and_no_other() -> None:
    assert first_cells(ERRORS_PAGE) == {error.code for error in error_classes()}


def test_each_error_of_a_request_is_documented_with_its_status() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (\d{3}) \|", ERRORS_PAGE.read_text(), flags=re.MULTILINE))
    answered = [error for error in error_classes() if not issubclass(error, errors.OperatorError)]
    assert rows == {error.code: str(error.status) for error in answered}


def test_every_page_is_in_the_table_of_contents() -> None:
    index = (DOCS / "index.md").read_text()
    contents = re.search(r"```\{toctree\}\n(.*?)```", index, flags=re.DOTALL)
    assert contents is not None
    listed = {line for line in contents[1].splitlines() if line and not line.startswith(":")}
    assert listed == {page.stem for page in DOCS.glob("*.md")} - {"index"}
