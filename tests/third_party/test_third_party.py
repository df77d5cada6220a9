"""A runtime and a file format that another package brings, through every door."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from tests.model_files import iris
from tests.servers import DEMIJOHN, serving
from tests.third_party.conftest import HERE, install, make

import demijohn
from demijohn import runtimes
from demijohn.errors import LoadError, UnknownFormat, UntrustedArtifact
from demijohn.targets import Target, find
from demijohn.testing import CHECKS, PROTOCOL_CHECKS, check_runtime

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"
ROWS = np.array([[47.0, 7.5], [46.3, 6.0]])
NEAREST = ["Bern", "Genf"]

APP = """
from flask import Flask
from toyframework import Centres
from demijohn import Demijohn

app = Flask(__name__)
models = Demijohn(app)
models.add("towns", Centres(["Bern", "Genf"], [[46.9, 7.4], [46.2, 6.1]]))
"""

Install = Callable[..., None]


@pytest.fixture
def add_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install another package, of one module."""

    def add(framework: str, source: str, name: str = "another_package") -> None:
        project = {
            "name": name,
            "version": "1",
            "entry-points": {"demijohn.runtimes": {framework: name}},
        }
        monkeypatch.syspath_prepend(install(tmp_path / name, project, {name: source}))
        monkeypatch.delitem(sys.modules, name, raising=False)

    return add


# The contract and Python --------------------------------------------------------------------


def test_it_keeps_the_contract_from_a_file_and_from_memory(installed: Any, model_file: Path) -> None:
    for subject in (model_file, make(installed)):
        assert check_runtime(subject).claims == tuple(check.__name__ for check in CHECKS)


def test_its_model_is_loaded_and_added_like_any_other(installed: Any, model_file: Path) -> None:
    expected = make(installed).distances(ROWS)
    for given in (model_file, make(installed)):
        model = demijohn.load(given)
        assert model.predict(ROWS).tolist() == NEAREST
        assert model.distances(ROWS).tobytes() == expected.tobytes()


# Servers ------------------------------------------------------------------------------------


def test_an_app_with_its_model_is_served(site: Path, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    with serving(["app:app"], "--workers", "1", cwd=tmp_path, PYTHONPATH=str(site)) as server:
        answer = server.post("/ml/models/towns/predict", ROWS.tolist())
        assert answer.json() == {"predictions": NEAREST, "model": "towns", "version": "1"}
        described = server.get("/ml/models/towns").json()
        assert (described["framework"], described["methods"]) == ("toyframework", ["predict", "distances"])


def test_a_file_of_its_format_is_served_by_name_and_from_a_folder(
    installed: Any, model_file: Path, site: Path
) -> None:
    for target in (model_file, model_file.parent):
        with serving([target], "--workers", "1", PYTHONPATH=str(site)) as server:
            answer = server.post("/models/towns/distances", {"instances": ROWS.tolist()}).json()
            assert answer["predictions"] == make(installed).distances(ROWS).tolist()
            assert answer["classes"] == ["Bern", "Basel", "Genf"]


def test_a_file_of_its_format_is_inspected(model_file: Path, site: Path) -> None:
    run = subprocess.run(
        [*DEMIJOHN, "inspect", str(model_file), "--json"],
        env=os.environ | {"PYTHONPATH": str(site)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    said = json.loads(run.stdout)
    assert (said["format"], said["runs_code_when_loaded"]) == ("centres", False)


# What it may not do -------------------------------------------------------------------------


def test_its_suffix_promises_data(installed: Any, tmp_path: Path) -> None:
    hostile = tmp_path / "hostile.centres"
    hostile.write_bytes(pickle.dumps(iris()))
    with pytest.raises(UntrustedArtifact, match=r"is no \.centres file but a pickle file"):
        runtimes.load(hostile)
    broken = tmp_path / "broken.centres"
    broken.write_bytes(b"neither")
    with pytest.raises(UnknownFormat, match="ONNX, centres"):
        find([Target(tmp_path)])


def test_a_file_of_ours_is_never_another_packages(add_package: Install, tmp_path: Path) -> None:
    add_package("greedy", "raise SystemError('imported for a file of ours')")
    joblib.dump(iris(), tmp_path / "iris.joblib")
    assert runtimes.load(tmp_path / "iris.joblib").framework == "scikit-learn"


def test_a_framework_of_ours_is_never_another_packages(add_package: Install, tmp_path: Path) -> None:
    add_package("sklearn", "raise SystemError('imported for a framework of ours')")
    assert demijohn.load(iris()).methods
    (tmp_path / "notes").write_text("no model")
    with pytest.raises(UnknownFormat):
        runtimes.inspect(tmp_path / "notes")


def test_a_package_that_cannot_be_imported_is_told(add_package: Install, tmp_path: Path) -> None:
    add_package("brittle", "import a_module_that_is_not_there")
    (tmp_path / "notes").write_text("no model")
    with pytest.raises(
        LoadError, match=r"for brittle \(another_package\) cannot be imported: ModuleNotFound"
    ):
        runtimes.inspect(tmp_path / "notes")
    assert runtimes.promises_a_model(tmp_path / "notes")  # so that a folder's scan tells it, too


@pytest.mark.parametrize("formats", ["('x',)", "(Format('x', 'sklearn', 'data', 'a:b', bool, ()),)"])
def test_a_format_must_be_the_packages_own(add_package: Install, tmp_path: Path, formats: str) -> None:
    add_package("odd", f"from demijohn.runtimes.formats import Format\nFORMATS = {formats}")
    (tmp_path / "notes").write_text("no model")
    with pytest.raises(LoadError, match="which is no Format of odd"):
        runtimes.inspect(tmp_path / "notes")


def test_two_packages_for_one_framework_are_told(
    installed: Any, add_package: Install, tmp_path: Path
) -> None:
    add_package("toyframework", "")
    with pytest.raises(LoadError, match="Several packages adapt toyframework: another_package, demijohn_toy"):
        demijohn.load(make(installed))


# The page -----------------------------------------------------------------------------------


def test_the_pages_example_is_this_package() -> None:
    page = PAGE.read_text()
    python = re.findall(r"^```python\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)
    assert python[0] == (HERE / "toyframework.py").read_text()
    assert python[1] == (HERE / "demijohn_toy.py").read_text()
    (toml,) = re.findall(r"^```toml\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)
    assert toml in (HERE / "pyproject.toml").read_text()


def test_the_page_lists_every_claim_in_order() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), flags=re.MULTILINE)
    assert listed == [check.__name__ for check in (*CHECKS, *PROTOCOL_CHECKS)]
