"""Engines for the tests of what chooses and runs them: real ones, of one line each, that count."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression

from demijohn import acceleration
from demijohn.acceleration import Candidate, Engine, StepAside
from demijohn.config import Settings
from demijohn.lifecycle import Lifecycle
from demijohn.messages import Array, InferenceRequest, InferenceResponse, Rows, Tensors
from demijohn.predictor import Predictor
from demijohn.runtimes import wrap

FEATURES, PROGRESS = load_diabetes(return_X_y=True)
ROWS = FEATURES[:3].tolist()


@cache
def regression() -> LinearRegression:
    return LinearRegression().fit(FEATURES, PROGRESS)


def no_fault(rows: Array) -> None:
    """Find nothing wrong."""


@dataclass
class Line:
    """The regression in one line, with a fault if one is asked for."""

    name: str = "numpy"
    is_whole: bool = True
    tolerance: float = 1e-9
    parts: tuple[Any, ...] = ()
    factor: float = 1.0  #: Of the answer; any other than 1 is wrong.
    fault: Callable[[Array], None] = no_fault
    n_calls: int = 0

    def run(self, tensors: Tensors) -> Tensors:
        self.n_calls += 1
        (rows,) = tensors.values()
        self.fault(rows)
        if not np.isfinite(rows).all():
            raise StepAside
        model = regression()
        return {"predict": (rows @ model.coef_ + model.intercept_) * self.factor}


@dataclass
class Offer:
    """Candidates in place of those that Demijohn would find, and how often each was built."""

    built: list[str] = field(default_factory=list)

    def candidate(self, name: str, build: Callable[[], Engine], method: str = "predict") -> Candidate:
        def count() -> Engine:
            self.built.append(name)
            return build()

        return Candidate(name, method, count)


def offer(monkeypatch: pytest.MonkeyPatch, *engines: Engine) -> Offer:
    """Let these engines be the candidates for ``predict`` of every model."""
    made = Offer()
    candidates = [made.candidate(engine.name, lambda engine=engine: engine) for engine in engines]  # type: ignore[misc]
    offer_candidates(monkeypatch, candidates)
    return made


def await_provers() -> None:
    """Wait for what is being proved in the background.

    It is told apart from what a test does by nothing, and Python's filters of warnings, which a proof
    changes for a while, are all threads' own.
    """
    for thread in threading.enumerate():
        if thread.name == "demijohn-prover":
            thread.join(60)


def offer_candidates(monkeypatch: pytest.MonkeyPatch, candidates: Sequence[Candidate]) -> None:
    """Let these be the candidates of every model.

    Those of tests before that are still proved in the background would be counted among them.
    """
    await_provers()

    def find(runtime: Any, *, is_fast: bool) -> Sequence[Candidate]:
        return candidates

    monkeypatch.setattr(acceleration, "candidates", find)


def predictor(model: Any = None, *, observer: Any = None, **settings: Any) -> Predictor:
    runtime = wrap(regression() if model is None else model)
    return Predictor("m", "1", runtime, Settings(**settings), Lifecycle(), observer)


def ask(model: Predictor, rows: Any = None, method: str = "predict", **parameters: Any) -> InferenceResponse:
    request = InferenceRequest(Rows(ROWS if rows is None else rows), parameters)
    return model.predict(method, request, time.monotonic() + 30)


def engines_of(model: Predictor, method: str = "predict") -> list[str]:
    """Return which engines a method's plan names, by rows."""
    return [one["engine"] for one in model.plan()["methods"][method]]


def whys(model: Predictor) -> dict[str, str]:
    """Return why engines are not used."""
    return {one["engine"]: one["why"] for one in model.plan()["refused"]}
