"""What the documentation says stands in the code, and the other way round."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import click
import pytest
from flask import Flask

from demijohn import errors
from demijohn.cli import cli
from demijohn.config import Settings
from demijohn.metrics.families import FAMILIES
from demijohn.runtimes.formats import MODEL_SUFFIXES
from demijohn.runtimes.sklearn_methods import METHODS
from demijohn.web.blueprint import make_blueprint

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
CONFIGURATION_PAGE = DOCS / "configuration.md"
ERRORS_PAGE = DOCS / "errors.md"
METRICS_PAGE = DOCS / "metrics.md"
HTTP_PAGE = DOCS / "http.md"
V2_PAGE = DOCS / "open_inference.md"
SERVING_PAGE = DOCS / "serving.md"


def error_classes(root: type[errors.DemijohnError] = errors.DemijohnError) -> Iterator[type]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from error_classes(child)


def first_cells(page: Path) -> set[str]:
    """Return what stands in backquotes in the first column of the page's tables."""
    cells = re.findall(r"^\| (`.*?`) \|", page.read_text(), flags=re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def options(command: str) -> set[str]:
    """Return the names of a command's options, the short ones included."""
    described: click.Command = cli.commands[command]
    parameters = [one for one in described.params if isinstance(one, click.Option)]
    return {name for one in parameters for name in (*one.opts, *one.secondary_opts)}


def routes() -> set[str]:
    """Return every route as the page writes it: ``GET /models/{name}``."""
    app = Flask("docs", static_folder=None)
    app.register_blueprint(make_blueprint(Settings(url_prefix="")))
    written = set()
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        written |= {f"{method} {path}" for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}}
    return written


@pytest.mark.parametrize("field", fields(Settings), ids=lambda field: field.name)
def test_every_setting_is_documented(field: Field[Any]) -> None:
    assert f"DEMIJOHN_{field.name.upper()}" in first_cells(CONFIGURATION_PAGE)


def test_every_documented_setting_exists() -> None:
    known = {f"DEMIJOHN_{field.name.upper()}" for field in fields(Settings)}
    pages = [*DOCS.glob("*.md"), ROOT / "README.md"]
    mentioned = {name for page in pages for name in re.findall(r"DEMIJOHN_[A-Z_]*[A-Z]", page.read_text())}
    assert mentioned == known


@pytest.mark.parametrize(
    "field", [field for field in fields(Settings) if isinstance(field.default, int | float)],
    ids=lambda field: field.name,
)  # fmt: skip
def test_a_documented_default_is_the_settings(field: Field[Any]) -> None:
    (cell,) = re.findall(
        rf"^\| `DEMIJOHN_{field.name.upper()}` \| (\S+)", CONFIGURATION_PAGE.read_text(), flags=re.MULTILINE
    )
    written = {"on": True, "off": False}.get(cell, cell)
    assert float(written) == float(field.default)


def test_the_table_of_errors_lists_every_code_and_no_other() -> None:
    codes = re.findall(r"^\| `(\w+)` \|", ERRORS_PAGE.read_text(), flags=re.MULTILINE)
    assert sorted(codes) == sorted({error.code for error in error_classes()})


def test_each_error_of_a_request_is_documented_with_its_status() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (\d{3}) \|", ERRORS_PAGE.read_text(), flags=re.MULTILINE))
    raised = (errors.OperatorError, errors.NoAnswer)
    answered = [error for error in error_classes() if not issubclass(error, raised)]
    assert rows == {error.code: str(error.status) for error in answered}


def test_each_error_that_no_server_answers_with_is_documented_with_its_class() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", ERRORS_PAGE.read_text(), flags=re.MULTILINE))
    kinds = (errors.OperatorError, errors.NoAnswer)
    raised = [error for error in error_classes() if issubclass(error, kinds)]
    assert rows == {error.code: error.__name__ for error in raised}


@pytest.mark.parametrize("command", ["serve", "predict"])
def test_every_option_is_documented_and_no_other(command: str) -> None:
    documented = {name for name in first_cells(SERVING_PAGE) if name.startswith("-")}
    others = options("serve") | options("predict")
    assert options(command) <= documented <= others


def test_the_options_of_inspect_are_documented() -> None:
    section = SERVING_PAGE.read_text().partition("## `demijohn inspect`")[2]
    assert all(f"`{option}`" in section for option in options("inspect"))


def test_every_route_is_documented_and_no_other() -> None:
    cells = [*first_cells(HTTP_PAGE), *first_cells(V2_PAGE)]
    documented = {cell for cell in cells if cell.startswith(("GET ", "POST ", "PUT "))}
    assert documented == routes()


def test_every_metric_is_documented_with_its_kind_and_labels_and_no_other() -> None:
    rows = re.findall(
        r"^\| `(demijohn_\w+)` \| (\w+)[^|]*\| ([^|]*)\|", METRICS_PAGE.read_text(), re.MULTILINE
    )
    documented = {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    shown = {family.name + ("_total" if family.kind == "counter" else ""): family for family in FAMILIES}
    assert documented == {name: (family.kind, family.labels) for name, family in shown.items()}


def test_the_methods_that_are_served_are_documented() -> None:
    page = (DOCS / "runtimes.md").read_text()
    assert all(f"`{method}`" in page for method in METHODS)


def test_the_suffixes_of_model_files_are_documented() -> None:
    page = (DOCS / "serving.md").read_text()
    assert all(f"`{suffix}`" in page for suffix in MODEL_SUFFIXES)


def test_the_picture_of_the_floors_is_what_import_linter_keeps() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    kept = [re.findall(r"\w+", layer) for layer in layers]
    (picture,) = re.findall(r"```\n(doors .*?)```", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.DOTALL)
    drawn = [re.findall(r"\w+", line[10:].partition("   ")[0]) for line in picture.splitlines()]
    assert drawn == kept[1:]  # __main__ is one line long


def test_every_page_is_in_the_table_of_contents() -> None:
    contents = re.findall(r"```\{toctree\}\n(.*?)```", (DOCS / "index.md").read_text(), flags=re.DOTALL)
    listed = [line for part in contents for line in part.splitlines() if line and not line.startswith(":")]
    assert sorted(listed) == sorted({page.stem for page in DOCS.glob("*.md")} - {"index"})
