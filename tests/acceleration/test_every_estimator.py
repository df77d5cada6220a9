"""Every estimator, every method, every engine that is built: equal to the framework, or refused by parity."""

from __future__ import annotations

import functools
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.acceleration.agreement import Tally, compare, compare_part, joined, row_sets
from tests.estimators import fitted_estimators
from threadpoolctl import threadpool_limits

from demijohn import acceleration, kernels
from demijohn.acceleration import edges, parity
from demijohn.acceleration.engine import Engine, Unconvertible
from demijohn.messages import Tensors
from demijohn.probes import draw, rows_or_records
from demijohn.runtimes import wrap

N_ROWS, MOST_EDGES, BUDGET_S = 2_000, 16, 0.12
SERVED = {"predict", "transform", "score_samples", "predict_proba", "decision_function"}
NAMES = sorted(
    name
    for name, (estimator, _) in fitted_estimators().items()
    if any(hasattr(estimator, method) for method in SERVED)
)
#: Engines without which Demijohn would not be fast: parity accepts each of them.
MUST_HAVES = [
    ("LinearRegression", "predict", "numpy"),
    ("LinearRegression", "predict", "onnx"),
    ("LogisticRegression", "predict", "kernel"),
    ("LogisticRegression", "predict_proba", "numpy"),
    ("StandardScaler", "transform", "numpy"),
    ("PCA", "transform", "numpy"),
    ("SVC", "predict", "numpy"),
    ("MLPClassifier", "predict_proba", "numpy"),
    ("RandomForestClassifier", "predict", "kernel"),
    ("RandomForestClassifier", "predict", "onnx"),
    ("RandomForestClassifier", "predict", "treelite"),
    ("RandomForestRegressor", "predict", "kernel"),
    ("GradientBoostingClassifier", "predict_proba", "kernel"),
    ("HistGradientBoostingRegressor", "predict", "kernel"),
    ("HistGradientBoostingClassifier", "predict_proba", "kernel"),
    ("IsolationForest", "decision_function", "kernel"),
]
#: Estimators with an exact engine, by method: those of today, less a few for other versions of libraries.
LEAST_EXACT = {
    "predict": 108,
    "transform": 60,
    "predict_proba": 36,
    "predict_log_proba": 25,
    "decision_function": 29,
    "score_samples": 10,
    "apply": 9,
}


@dataclass
class Found:
    """An engine, and what came of comparing it."""

    engine: Engine
    tally: Tally


class Model:
    """A runtime with engines and rows."""

    def __init__(self, name: str) -> None:
        estimator, self._rows = fitted_estimators()[name]
        self.runtime = wrap(estimator)
        self._example = list(self.runtime.example_rows())

    def engines(self, method: str | None = None) -> Iterator[tuple[str, str, Engine]]:
        """Yield method, name and engine of all that can be built."""
        for candidate in acceleration.candidates(self.runtime, is_fast=False):
            if method in {None, candidate.method}:
                try:
                    yield candidate.method, candidate.engine, candidate.build()
                except Unconvertible:
                    continue

    def native(self, method: str, tensors: Tensors) -> Tensors:
        return self.runtime.run(method, tensors, {})

    def compare(self) -> dict[tuple[str, str], Found]:
        """Compare every engine with the framework."""
        sets = row_sets(self.runtime, self._rows, N_ROWS, most_edges=MOST_EDGES)
        by_method: dict[str, dict[str, Engine]] = {}
        for method, name, engine in self.engines():
            by_method.setdefault(method, {})[name] = engine
        found = {}
        for method, engines in by_method.items():
            runs = {name: engine.run for name, engine in engines.items()}
            tallies = compare(functools.partial(self.native, method), runs, sets, BUDGET_S)
            for name, engine in engines.items():
                parts = [
                    compare_part(part, n_ordinary=200, most_rows=1_000, budget_s=BUDGET_S)
                    for part in engine.parts
                ]
                found[method, name] = Found(engine, joined(tallies[name], *parts))
        return found

    def why_not(self, engine: Engine, method: str) -> str | None:
        """Ask parity."""
        for part in engine.parts:
            if why_not := parity.judge_part(part, tolerance=engine.tolerance).why_not:
                return why_not
        example = self.runtime.signature.validate(rows_or_records(self._example))
        sets = edges.probe_sets(self.runtime.signature, example, self.draw, n_ordinary=N_ROWS)
        return parity.judge(engine, functools.partial(self.native, method), sets).why_not

    def draw(self, n_rows: int, seed: int, method: str | None = None) -> Tensors:
        return dict(draw(self.runtime.signature, self._example, n_rows, seed))


@functools.cache
def compared(name: str) -> tuple[Model, dict[tuple[str, str], Found]]:
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some estimators are deprecated
        model = Model(name)
        return model, model.compare()


@pytest.mark.parametrize("name", NAMES)
def test_an_engine_answers_as_the_framework_does_or_parity_refuses_it(name: str) -> None:
    model, found = compared(name)
    wrong = {
        (method, engine): one.tally.describe()
        for (method, engine), one in found.items()
        if not one.tally.is_exact and model.why_not(one.engine, method) is None
    }
    assert wrong == {}


@pytest.mark.parametrize(("name", "method", "engine"), MUST_HAVES)
def test_parity_accepts_the_engines_that_make_demijohn_fast(name: str, method: str, engine: str) -> None:
    if engine == "kernel" and not kernels.IS_BUILT:
        pytest.skip(str(kernels.WHY_NOT))
    model, found = compared(name)
    one = found[method, engine]
    assert one.tally.is_exact, one.tally.describe()
    assert one.tally.n_ordinary
    assert model.why_not(one.engine, method) is None


def test_most_estimators_have_an_exact_engine() -> None:
    """It is asked of what parity would accept: equal here, and ordinary rows are answered."""
    exact = {
        (name, method)
        for name in NAMES
        for (method, engine), one in compared(name)[1].items()
        if one.tally.is_exact and one.tally.n_ordinary and (kernels.IS_BUILT or engine != "kernel")
    }
    counts = Counter(method for _, method in exact)
    assert {method: counts[method] for method, least in LEAST_EXACT.items() if counts[method] < least} == {}
