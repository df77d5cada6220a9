"""What holds for the package as a whole."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# Import names, not distribution names; those of later extras too, so that none creeps in.
FRAMEWORKS = [
    "joblib", "keras", "lightgbm", "onnx", "onnxruntime", "pandas", "pyarrow", "scipy", "skl2onnx", "sklearn",
    "skops", "tensorflow", "torch", "treelite", "xgboost",
]  # fmt: skip


def modules_after(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter holds after ``statement``."""
    script = f"{statement}\nimport sys; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize(
    "statement", ["import demijohn", "from demijohn import Demijohn", "import demijohn.cli"]
)
def test_importing_demijohn_imports_no_framework(statement: str) -> None:
    assert modules_after(statement) & set(FRAMEWORKS) == set()


def test_the_public_names_can_all_be_imported() -> None:
    import demijohn

    assert demijohn.__all__
    assert all(getattr(demijohn, name) is not None for name in demijohn.__all__)


def test_the_installed_version_is_the_projects() -> None:
    assert importlib.metadata.version("demijohn") == PROJECT["version"]


def test_dependencies_have_lower_bounds_only() -> None:
    extras = [one for names in PROJECT["optional-dependencies"].values() for one in names]
    for requirement in PROJECT["dependencies"] + extras:
        name = requirement.partition(";")[0]  # what follows says on which systems
        assert re.fullmatch(r"[a-z0-9-]+>=[0-9.]+|demijohn\[[a-z,-]+\]", name), requirement


def test_the_extra_all_names_every_other_extra_but_the_one_of_gigabytes() -> None:
    extras = PROJECT["optional-dependencies"]
    (requirement,) = extras["all"]
    assert set(re.findall(r"[a-z-]+", requirement)) == {"demijohn", *extras} - {"all", "torch"}


def test_flask_offers_the_command() -> None:
    (entry,) = importlib.metadata.entry_points(group="flask.commands", name="demijohn")
    assert entry.value == "demijohn.cli:cli"


def test_changelog_fragments_are_named_for_an_issue_and_a_kind() -> None:
    names = [path.name for path in (ROOT / "changelog.d").iterdir() if path.name != "README.md"]
    assert names
    for name in names:
        assert re.fullmatch(r"\d+\.(added|changed|fixed|removed|security)\.md", name), name
