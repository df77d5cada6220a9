"""``demijohn serve --chain``: files, one after another."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.http.claims import check_problem
from tests.model_files import save
from tests.servers import DEMIJOHN, Server, serving, until

X, Y = load_iris(return_X_y=True)
PIPELINE = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chained")
    for name, (_, step) in zip(("clean", "score"), PIPELINE.steps, strict=True):
        save(step, path / f"{name}.joblib")
    return path


@pytest.fixture(scope="module")
def server(folder: Path, fast_lane: str) -> Iterator[Server]:
    options = ["--workers", "1", "--chain", "both=clean.transform,score", "--default", "both", "--reload"]
    with serving(
        ["clean.joblib", "score.joblib"], *options, cwd=folder, DEMIJOHN_FAST_LANE=fast_lane
    ) as server:
        yield server


@pytest.mark.parametrize("n_rows", [1, 64])
def test_a_chain_of_files_answers_as_their_pipeline(server: Server, n_rows: int) -> None:
    rows = X[:n_rows].tolist()
    until(lambda: server.get("/models/both").json()["plan"]["state"] == "settled", within_s=60)
    assert server.post("/predict", rows).json()["predictions"] == PIPELINE.predict(X[:n_rows]).tolist()
    answer = server.post("/models/both/predict_proba", rows).json()
    assert answer["classes"] == [0, 1, 2]
    np.testing.assert_allclose(answer["predictions"], PIPELINE.predict_proba(X[:n_rows]), rtol=1e-9)


def test_a_chain_is_printed_with_a_command(server: Server) -> None:
    (line,) = [line for line in server.printed if line.startswith("  both  version 1")]
    assert line.endswith("engine: those of clean, score")
    assert any("/models/both/predict" in line for line in server.printed)


def test_rows_of_a_chain_are_checked_by_its_first_member(server: Server) -> None:
    check_problem(server.post("/predict", [[1.0]]), 422, "signature_mismatch")


@pytest.mark.parametrize(
    ("chain", "why"),
    [
        ("both", "write NAME=MODEL,MODEL"),
        ("both=clean,", "write NAME=MODEL,MODEL"),
        ("clean=clean,score", "there is a model 'clean' already"),
        ("both=score,clean", "what 'score' returns does not fit 'clean'"),
        ("both=clean,nobody", "there is no model 'nobody'"),
        ("b c=clean,score", "cannot name a chain"),
    ],
)
def test_what_is_wrong_with_a_chain_is_one_line(folder: Path, chain: str, why: str) -> None:
    command = [*DEMIJOHN, "serve", "clean.joblib", "score.joblib", "--port", "0", "--chain", chain]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert why in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_member_that_is_reloaded_is_the_chains_too(server: Server, folder: Path) -> None:
    """Last, since it changes what is served."""
    other = StandardScaler().fit(X * 3)
    save(other, folder / "clean.joblib")
    wanted = PIPELINE.steps[1][1].predict_proba(other.transform(X[:3]))

    def is_new() -> bool:
        got = server.post("/models/both/predict_proba", X[:3].tolist()).json()["predictions"]
        return bool(np.allclose(got, wanted, rtol=1e-9))

    try:
        until(is_new)
    finally:
        save(PIPELINE.steps[0][1], folder / "clean.joblib")
