"""The package of this folder, installed: as pip leaves it, in a folder on the path."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
MODULES = ("demijohn_toy", "toyframework")


def install(site: Path, project: dict[str, Any], modules: dict[str, str]) -> Path:
    """Write a distribution's modules and metadata into a folder."""
    metadata = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for name, source in modules.items():
        (site / f"{name}.py").write_text(source)
    return site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package in it."""
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    sources = {name: (HERE / f"{name}.py").read_text() for name in MODULES}
    return install(tmp_path_factory.mktemp("site"), project, sources)


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The framework, in a process where it and its runtime can be imported."""
    monkeypatch.syspath_prepend(site)
    import toyframework

    yield toyframework
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def model_file(installed: Any, tmp_path: Path) -> Path:
    path = tmp_path / "towns.centres"
    path.write_bytes(make(installed).dump())
    return path


def make(toyframework: Any) -> Any:
    return toyframework.Centres(["Bern", "Basel", "Genf"], [[46.9, 7.4], [47.6, 7.6], [46.2, 6.1]])
