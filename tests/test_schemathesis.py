"""Schemathesis against ``/openapi.json`` of the demo's models, served by a real ``demijohn serve``."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import joblib
import pytest
from demo.models import MODELS
from tests.servers import Server, serving

ROOT = Path(__file__).parent.parent
KEY = "a-key-of-the-tests"
#: The first is replaced by ``accepts_what_fits``; the others follow resources that are made and
#: deleted, of which there are none.
NOT_FOR_US = "positive_data_acceptance,use_after_free,ensure_resource_availability,object_level_authorization"

SAID_TWICE = re.compile(
    r"^POST \S*/v2/models/\S+/infer$|^POST \S*/v1/models/\S+:(classify|regress)$|^PUT \S*/predict$"
)
OF_NO_ALIAS = "GET /models/{name}/aliases/{alias}"  # few models have one

IMAGES_APP = """
import numpy as np
from demijohn import Demijohn
from flask import Flask

app = Flask(__name__)
models = Demijohn(app)

@models.model("photo", example=np.zeros((1, 2, 3, 3)))
def photo(images: np.ndarray) -> np.ndarray:
    return images.sum(axis=(1, 2))
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name, fit in MODELS.items():
        estimator, _ = fit()
        joblib.dump(estimator, folder / f"{name}.joblib")
    return folder


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[Server]:
    with serving([models], "--workers", "2", "--alias", "diabetes@champion=1") as server:
        yield server


def run_schemathesis(url: str, folder: Path, *options: str) -> str:
    """Run every check that applies, with a seed; returns what it says."""
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"]
    command += [f"{url}/openapi.json", "--continue-on-failure", "--exclude-checks", NOT_FOR_US]
    command += ["--phases", "examples,coverage,fuzzing", "--seed", "2", "--generation-database", "none"]
    # One thread: Python 3.11's parser fails at random when two threads are deep in it, and Hypothesis
    # parses the lambdas that it prints.
    command += ["--workers", "1", *options]
    environ = os.environ | {"SCHEMATHESIS_HOOKS": "tests.schemathesis_checks", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def assert_all_was_tested(said: str) -> None:
    # It warns of operations that refuse most of what fits their schema. Those are the ones whose bodies
    # say twice how large they are, or name columns in each example or in a line above the rows: no JSON
    # Schema can ask for agreement.
    doubted = re.findall(r"^  - (.+)$", said, re.MULTILINE)
    assert all(SAID_TWICE.search(operation) for operation in {*doubted} - {OF_NO_ALIAS}), said
    assert doubted or "No issues found" in said, said
    assert re.search(r"Selected: (\d+)/\d+\s+Tested: \1\b", said), said


def test_every_operation_of_the_demo_keeps_its_word(server: Server, tmp_path: Path) -> None:
    # Rows of any length are the same operations once more; the other servers are asked for those.
    said = run_schemathesis(server.url, tmp_path, "--max-examples", "100", "--exclude-method", "PUT")
    assert_all_was_tested(said)


def test_a_server_with_a_key_keeps_its_word(models: Path, tmp_path: Path) -> None:
    with serving([models / "diabetes.joblib"], "--workers", "1", DEMIJOHN_API_KEY=KEY) as server:
        # Made-up keys beside the right one would say nothing; ``ignored_auth`` sends them without it.
        options = ["--header", f"X-API-Key: {KEY}", "--generation-with-security-parameters", "false"]
        said = run_schemathesis(server.url, tmp_path, "--max-examples", "20", *options)
    assert_all_was_tested(said)


def test_a_model_of_images_keeps_its_word(tmp_path: Path) -> None:
    (tmp_path / "images_app.py").write_text(IMAGES_APP)
    with serving(["images_app:app"], "--workers", "1", cwd=tmp_path) as server:
        said = run_schemathesis(f"{server.url}/ml", tmp_path, "--max-examples", "20")
    assert_all_was_tested(said)
