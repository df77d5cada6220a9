"""From the framework to the plan's winners: proved once on a machine, then believed."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from tests.accelerated import (
    FEATURES,
    Line,
    Offer,
    ask,
    engines_of,
    no_fault,
    offer,
    offer_candidates,
    predictor,
    regression,
    whys,
)
from tests.acceleration.test_plan import raising

from demijohn import acceleration
from demijohn.acceleration import key as keys
from demijohn.acceleration import provers
from demijohn.acceleration.engine import Candidate, Unconvertible
from demijohn.acceleration.plan import MethodPlan, Plan, Range
from demijohn.acceleration.settling import describe, describe_method
from demijohn.config import Settings
from demijohn.lifecycle import Lifecycle
from demijohn.planning import plan_key
from demijohn.predictor import Predictor
from demijohn.runtimes import load, wrap

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for each test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "demijohn" / "plans"


def settled(**settings: Any) -> Predictor:
    model = predictor(**settings)
    model.settle()
    return model


def probes_of(monkeypatch: pytest.MonkeyPatch, model: Predictor) -> list[str]:
    """Return a list that gets an entry for each call of a model's framework from now on.

    Of this model alone: those of tests before may still be proved in the background.
    """
    calls: list[str] = []
    run = model.runtime.run

    def count(method: str, *rest: Any) -> Any:
        calls.append(method)
        return run(method, *rest)

    monkeypatch.setattr(model.runtime, "run", count)
    return calls


def test_a_plan_that_was_kept_is_used_without_any_proof(
    monkeypatch: pytest.MonkeyPatch, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "demijohn.acceleration")
    engine = Line()
    offered = offer(monkeypatch, engine, Line("wrong", factor=2))
    first = settled()
    assert len(list(folder.glob("*.json"))) == 1
    offered.built.clear()
    engine.n_calls = 0
    second = predictor()
    calls = probes_of(monkeypatch, second)
    second.settle()
    assert (offered.built, engine.n_calls, calls) == (["numpy"], 0, [])
    assert second.plan() == first.plan()
    assert second.plan()["state"] == "settled"
    assert second.times_us("predict") == first.times_us("predict")
    assert second.batcher._joining == {"predict"}
    assert (ask(second).outputs["predict"] == regression().predict(FEATURES[:3])).all()
    assert engine.n_calls == 1
    told = [record for record in caplog.records if record.getMessage().startswith("model m/1: ")]
    assert [record.levelname for record in told if "predict by numpy (" in record.getMessage()] == [
        "INFO", "DEBUG",
    ]  # fmt: skip


def test_a_restart_builds_the_winners_of_a_real_model_and_asks_the_framework_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "model.joblib"
    joblib.dump(make_pipeline(StandardScaler(), LogisticRegression()).fit(FEATURES, FEATURES[:, 0] > 0), path)
    first = Predictor("m", "1", load(path), Settings(), Lifecycle())
    first.settle()
    winners = {(method, engine) for method in first.runtime.methods for engine in engines_of(first, method)}
    restarted = Predictor("m", "1", load(path), Settings(), Lifecycle())
    calls, built = probes_of(monkeypatch, restarted), builds_of(monkeypatch)
    restarted.settle()
    assert calls == []
    assert set(built) == {(method, engine) for method, engine in winners if engine != "native"}
    assert len(built) == len(set(built))
    assert restarted.plan() == first.plan()


def builds_of(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Return a list that gets method and engine of each candidate that is built from now on."""
    built: list[tuple[str, str]] = []
    find = acceleration.candidates

    def counted(candidate: Candidate) -> Candidate:
        def build() -> Any:
            built.append((candidate.method, candidate.engine))
            return candidate.build()

        return Candidate(candidate.engine, candidate.method, build)

    monkeypatch.setattr(
        acceleration, "candidates", lambda *args, **options: [*map(counted, find(*args, **options))]
    )
    return built


def test_another_content_of_the_same_file_has_another_key(tmp_path: Path) -> None:
    keys = set()
    for slope in (1, 2):
        joblib.dump(LinearRegression().fit(FEATURES, slope * FEATURES[:, 0]), tmp_path / "model.joblib")
        keys.add(plan_key(load(tmp_path / "model.joblib"), Settings()))
    assert len(keys) == 2
    assert None not in keys


def test_an_interrupted_proof_leaves_no_plan_and_the_framework_in_charge(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    ending = threading.Event()
    monkeypatch.setattr(provers, "_ending", ending)
    engine = Line(fault=lambda _: ending.set())
    offer(monkeypatch, engine, Line("second"))
    model = predictor()
    with pytest.raises(provers.Interrupted):
        model.settle()
    assert engine.n_calls == 1
    assert list(folder.iterdir()) == []
    assert model.plan()["state"] == "proving"
    assert ask(model).n_rows == 3
    ending.clear()
    engine.fault = no_fault
    model.settle()
    assert model.plan()["state"] == "settled"
    assert engines_of(model)[0] in {"numpy", "second"}  # which of two alike is faster, the moment decides


def test_what_is_kept_alone_is_kept_too(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch)
    transformer = FunctionTransformer(np.cumsum, kw_args={"axis": 0}).fit(np.ones((2, 2)))
    first, second = predictor(transformer), predictor(transformer)
    first.settle()
    assert "transform" in first.not_joined
    calls = probes_of(monkeypatch, second)
    second.settle()
    assert (second.not_joined, second.batcher._joining, calls) == (
        first.not_joined, first.batcher._joining, [],
    )  # fmt: skip


@pytest.mark.parametrize(
    "settings", [{"acceleration": "fast"}, {"batching": False}, {"max_batch_size": 1}], ids=str
)
def test_other_settings_prove_anew(monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]) -> None:
    offered = offer(monkeypatch, Line())
    settled()
    settled(**settings)
    assert offered.built == ["numpy"] * 2


def test_another_version_of_a_library_proves_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = offer(monkeypatch, Line())
    settled()
    surroundings = dict(keys._surroundings())
    monkeypatch.setattr(keys, "_surroundings", lambda: surroundings | {"numpy": "0.0"})
    settled()
    assert offered.built == ["numpy"] * 2


def test_another_model_proves_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {plan_key(wrap(regression(), example=FEATURES[:n]), Settings()) for n in (1, 2)}
    other = regression().__class__().fit(FEATURES, FEATURES[:, 0])
    keys |= {plan_key(wrap(other, example=FEATURES[:1]), Settings())}
    assert len(keys) == 3
    assert None not in keys


def test_a_broken_file_is_replaced_by_a_new_proof(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    offered = offer(monkeypatch, Line())
    first = settled()
    (path,) = folder.glob("*.json")
    path.write_bytes(b"{")
    assert engines_of(settled()) == engines_of(first)
    assert offered.built == ["numpy"] * 2
    assert engines_of(settled()) == engines_of(first)
    assert offered.built == ["numpy"] * 3  # built, and nothing more


def test_a_plan_for_other_methods_is_made_anew(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    offer(monkeypatch, Line())
    settled()
    (path,) = folder.glob("*.json")
    document = json.loads(path.read_bytes())
    document["plan"]["methods"]["transform"] = document["plan"]["methods"]["predict"]
    path.write_text(json.dumps(document))
    assert list(settled().plan()["methods"]) == ["predict"]


@pytest.mark.parametrize("candidates", [[], [Candidate("numpy", "predict", raising(Unconvertible("gone")))]])
def test_a_plan_whose_engine_cannot_be_built_is_made_anew(
    monkeypatch: pytest.MonkeyPatch, candidates: list[Candidate], caplog: pytest.LogCaptureFixture
) -> None:
    offer(monkeypatch, Line())
    settled()
    offer_candidates(monkeypatch, candidates)
    model = settled()
    assert engines_of(model) == ["native"]
    assert whys(model) == {one.engine: "gone" for one in candidates}
    assert "its plan is made anew" in caplog.text


def test_where_no_folder_is_safe_each_process_proves_for_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "demijohn").mkdir()
    (tmp_path / "demijohn").chmod(0o777)
    offered = offer(monkeypatch, Line())
    assert engines_of(settled()) == engines_of(settled()) == ["numpy"]
    assert offered.built == ["numpy"] * 2


def test_a_model_with_code_of_its_own_is_proved_each_time_and_not_kept(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    offer(monkeypatch)
    model = predictor(FunctionTransformer(raising).fit(np.ones((2, 2))))
    model.settle()
    assert model.plan()["state"] == "settled"
    assert not folder.exists()


@pytest.mark.parametrize("model", [None, lambda x: x], ids=["off", "a function"])
def test_nothing_is_planned_for_functions_and_where_it_is_off(
    monkeypatch: pytest.MonkeyPatch, folder: Path, model: Callable[..., Any] | None
) -> None:
    offered = offer(monkeypatch, Line())
    found = predictor(model, **({} if model else {"acceleration": "off"}))
    assert found.plan()["state"] == "settled"
    found.settle()
    assert engines_of(found) == ["native"]
    assert offered == Offer([])
    assert not folder.exists()
    assert bool(found.not_joined) == (model is not None)


_PROVE = """
import sys
from pathlib import Path
from tests.accelerated import Line, predictor
from demijohn import acceleration
from demijohn.acceleration import Candidate

def build():
    with Path(sys.argv[1]).open("a") as file:
        file.write("proved\\n")
    return Line()


acceleration.candidates = lambda runtime, is_fast: [
    Candidate("numpy", "predict", build), Candidate("broken", "predict", lambda: 1 / 0)
]
model = predictor()
print("ready", flush=True)
sys.stdin.readline()
model.settle()
print(model.plan()["refused"], model.times_us("predict"), flush=True)
"""


def test_of_two_processes_one_proves_and_the_other_reads(tmp_path: Path) -> None:
    log = tmp_path / "log"
    provers = [
        subprocess.Popen(
            [sys.executable, "-c", _PROVE, log], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for _ in range(2)
    ]  # fmt: skip
    for prover in provers:
        assert prover.stdout is not None
        assert prover.stdout.readline() == "ready\n"
    told = []
    for prover in provers:
        assert prover.stdin is not None
        prover.stdin.write("go\n")
        prover.stdin.flush()
    for prover in provers:
        out, _ = prover.communicate(timeout=120)
        assert prover.returncode == 0
        told.append(out)
    assert told[0] == told[1]  # measured times would differ, had both measured
    assert log.read_text() == "proved\n" * 2  # built to be proved, and built to be used


def test_the_log_says_what_runs_a_model_and_how_fast() -> None:
    plan = MethodPlan(
        (Range(22, "kernel", 4.1), Range(None, "native", 300.0)), (), {"native": (4480.0, 1.0, 1.0, 1.0)}
    )
    assert describe_method(plan) == ("kernel up to 22 rows, then native (4.1 µs a row; native 4,480 µs)")
    unknown = MethodPlan((Range(None, "native", None),))
    assert describe(Plan({"predict": plan, "transform": unknown}, {})) == (
        f"predict by {describe_method(plan)}; transform by native"
    )
