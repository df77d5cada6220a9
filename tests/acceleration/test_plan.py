"""Which engine runs how many rows: proved, then measured."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import FunctionTransformer
from tests.accelerated import (
    FEATURES,
    Line,
    engines_of,
    offer,
    offer_candidates,
    predictor,
    regression,
    whys,
)

from demijohn import acceleration
from demijohn.acceleration import plan as planning
from demijohn.acceleration.engine import Candidate, Part, StepAside, Unconvertible
from demijohn.acceleration.plan import BORDERS, NATIVE, SIZES, Range


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demijohn.predictor.open_cache", lambda: None)


# Choosing, by given times -----------------------------------------------------------------


def ranges(**times: list[float]) -> list[tuple[int | None, str]]:
    winners = planning._winners(times)
    us = [times[winner][index] for index, winner in enumerate(winners)]
    return [(one.up_to_rows, one.engine) for one in planning._ranges(winners, us)]


def test_the_fastest_runs_the_rows_that_its_size_stands_for() -> None:
    assert ranges(native=[100, 100, 100, 100], a=[5, 20, 300, 900], b=[50, 50, 50, 50]) == [
        (22, "a"), (None, "b"),
    ]  # fmt: skip
    assert ranges(native=[10, 10, 10, 10], a=[20, 20, 5, 20]) == [(22, NATIVE), (181, "a"), (None, NATIVE)]


def test_one_engine_that_always_wins_is_one_range() -> None:
    assert ranges(native=[9, 9, 9, 9], a=[1, 2, 3, 4]) == [(None, "a")]


def test_the_framework_stays_where_nothing_is_faster_by_a_tenth() -> None:
    assert ranges(native=[10, 10, 10, 10], a=[9.5, 9.5, 9.5, 9.5]) == [(None, NATIVE)]


def test_the_framework_runs_in_the_requests_own_thread_where_it_can_unless_something_is_faster() -> None:
    times = {NATIVE: [10.0] * 4, "own": [10.4] * 4, "a": [20, 9.5, 5, 5]}
    assert planning._winners(times, ["own"]) == ["own", "own", "a", "a"]
    assert planning._winners({NATIVE: [10.0] * 4}, ["own"]) == [NATIVE] * 4


def test_an_engine_in_use_stays_where_another_is_hardly_faster() -> None:
    assert ranges(native=[99] * 4, a=[1, 5, 5.2, 5.2], b=[4, 4.9, 5, 4.9]) == [(None, "a")]


def test_the_time_of_a_range_is_that_of_its_smallest_size() -> None:
    assert planning._ranges(["a", "a", "b", "b"], [1.0, 2.0, 3.0, 4.0]) == (
        Range(22, "a", 1.0), Range(None, "b", 3.0),
    )  # fmt: skip


def test_borders_are_the_geometric_middles_of_the_sizes() -> None:
    middles = [int((a * b) ** 0.5) for a, b in pairwise(SIZES)]
    assert (*middles, None) == BORDERS


@pytest.mark.parametrize(
    ("times", "n_rows", "expected"),
    [([], 1, 0), ([7.0], 8, 7), ([10.0, 24.0], 64, 136), ([10.0, 5.0], 64, 5), ([1.0, 8.0, 64.0], 512, 512)],
)
def test_a_time_is_foreseen_from_the_two_before_it(times: list[float], n_rows: int, expected: float) -> None:
    assert planning._extrapolate(times, n_rows) == expected


def test_the_best_of_several_calls_counts() -> None:
    seconds = iter([0.02, 0.004, 0.006, 0.01])
    assert planning._best_us(lambda: next(seconds)) == 4000


def test_a_long_call_is_made_once() -> None:
    seconds = iter([1.0])
    assert planning._best_us(lambda: next(seconds)) == 1e6


# Proving and measuring, with real engines -------------------------------------------------


def test_a_proved_engine_that_is_faster_runs_the_method(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, Line())
    model = predictor()
    assert model.plan()["state"] == "proving"
    assert model.plan()["methods"] == {"predict": [{"up_to_rows": None, "engine": "native", "us": None}]}
    model.settle()
    plan = model.plan()
    assert (plan["state"], plan["refused"], plan["kept_alone"]) == ("settled", [], {})
    (one,) = plan["methods"]["predict"]
    assert (one["up_to_rows"], one["engine"]) == (None, "numpy")
    assert 0 < one["us"] < model.times_us("predict")["native"][1]  # type: ignore[operator]
    assert list(model.times_us("predict")["numpy"]) == list(SIZES)


def test_a_wrong_engine_is_never_used(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Line(factor=1.000001)
    offer(monkeypatch, wrong)
    model = predictor()
    model.settle()
    assert engines_of(model) == ["native"]
    assert "predict" in whys(model)["numpy"]


def test_an_engine_that_answers_what_the_framework_refuses_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Bold(Line):
        def run(self, tensors: Any) -> Any:
            return super().run({name: np.nan_to_num(array) for name, array in tensors.items()})

    offer(monkeypatch, Bold())
    model = predictor()
    model.settle()
    assert engines_of(model) == ["native"]
    assert "the framework refuses" in whys(model)["numpy"]


def test_an_engine_that_is_slower_is_let_go_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def idle(rows: Any) -> None:
        until = time.perf_counter() + 0.002
        while time.perf_counter() < until:
            pass

    slow = Line("slow", fault=idle)
    offer(monkeypatch, Line(), slow)
    model = predictor()
    model.settle()
    assert engines_of(model) == ["numpy"]
    assert "nowhere the fastest" in whys(model)["slow"]


def raising(error: BaseException) -> Any:
    def fail(*args: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (Unconvertible("no such estimator"), "no such estimator"),
        (KeyError("x"), "failed with KeyError: 'x'"),
        (RuntimeError(), "failed with RuntimeError"),
    ],
)
def test_a_candidate_that_cannot_be_built_is_told_and_costs_the_others_nothing(
    monkeypatch: pytest.MonkeyPatch, error: Exception, why: str
) -> None:
    candidates = [Candidate("broken", "predict", raising(error)), Candidate("numpy", "predict", Line)]
    offer_candidates(monkeypatch, candidates)
    model = predictor()
    model.settle()
    assert engines_of(model) == ["numpy"]
    assert whys(model) == {"broken": why}


def test_an_engine_that_always_steps_aside_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, Line(fault=raising(StepAside())))
    model = predictor()
    model.settle()
    assert engines_of(model) == ["native"]
    assert whys(model)["numpy"]


def test_a_model_that_fails_on_drawn_rows_keeps_the_framework(monkeypatch: pytest.MonkeyPatch) -> None:
    model = predictor(FunctionTransformer(raising(RuntimeError("no"))).fit(np.ones((2, 2))))
    candidates = [Candidate("numpy", "transform", Line)]
    offer_candidates(monkeypatch, candidates)
    model.settle()
    assert engines_of(model, "transform") == ["native"]
    assert whys(model)["numpy"].startswith("transform fails on rows like the example")


def test_a_size_that_would_hold_up_requests_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, Line())
    monkeypatch.setattr(planning, "_LONG_S", 1e-6)
    model = predictor()
    model.settle()
    times = model.times_us("predict")["native"]
    assert times[1] is not None
    assert [times[n_rows] for n_rows in SIZES[1:]] == [None] * 3


def test_parts_are_proved_once_for_all_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def judge_part(part: Part, **options: Any) -> Any:
        asked.append(part)
        return planning.parity.Verdict("the trees differ", 1)

    monkeypatch.setattr(planning.parity, "part_reference", lambda *_, **__: None)
    monkeypatch.setattr(planning.parity, "judge_part", judge_part)
    part = Part(regression(), "predict", lambda rows: rows, raising(AssertionError()))
    one = Line(parts=(part,))
    candidates = [Candidate("numpy", method, lambda: one) for method in ("transform", "inverse")]
    subject: Any = predictor(FunctionTransformer().fit(np.ones((2, 2))))._subject
    offer_candidates(monkeypatch, candidates)
    planner = planning.Planner(subject)
    assert planner._why_not(one, None) == "the trees differ"
    assert planner._why_not(one, None) == "the trees differ"
    assert len(asked) == 1


def test_engines_of_all_kinds_are_compared_with_the_same_answers_to_a_part() -> None:
    rows, labels = FEATURES, FEATURES[:, 0] > 0
    model = predictor(RandomForestClassifier(5, max_depth=3, random_state=0).fit(rows, labels))
    planner = planning.Planner(model._subject)
    engines = [
        one.build()
        for one in planner._candidates
        if one.method == "predict_proba" and one.engine in ("onnx", "treelite")
    ]
    assert [planner._why_not(engine, None) for engine in engines] == [None, None]
    (reference,) = planner._part_references.values()
    n_answers = len(reference._answers)
    assert n_answers
    assert planner._why_not(replace(engines[0], name="once more"), None) is None  # type: ignore[type-var]
    assert len(reference._answers) == n_answers
    planner.plan("predict_proba")
    assert planner._part_references == {}


def test_an_engine_that_is_beaten_by_far_is_not_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([1.0, 1.0, 1.0, 1.0, 4.0, 40.0])  # the ends before the proof, the middle after it
    proved = []
    monkeypatch.setattr(planning, "_time_engine", lambda *_: next(times))
    monkeypatch.setattr(planning.Planner, "_why_not", lambda *given: proved.append(given[1].name))
    offer(monkeypatch, Line(), Line("slow"))
    model = predictor()
    model.settle()
    assert proved == ["numpy"]
    assert whys(model) == {
        "slow": "nowhere the fastest, so it was not proved: 4 µs for one row and 40 for 512, "
        "numpy takes 1 and 1"
    }


@pytest.mark.parametrize("slow", [(2.9, 40.0), (40.0, 2.9)])
def test_an_engine_that_may_win_somewhere_is_proved(
    monkeypatch: pytest.MonkeyPatch, slow: tuple[float, float]
) -> None:
    times = iter([1.0, 1.0, 1.0, 1.0, *slow])
    monkeypatch.setattr(planning, "_time_engine", lambda *_: next(times))
    offer(monkeypatch, Line(), Line("slow", factor=2))
    model = predictor()
    model.settle()
    assert whys(model)["slow"].startswith("ordinary batches: ")


def test_an_engine_that_steps_aside_while_it_is_timed_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning.Planner, "_why_not", lambda *_: None)
    offer(monkeypatch, Line(fault=raising(StepAside())))
    model = predictor()
    model.settle()
    assert whys(model) == {"numpy": "leaves rows like the example to the framework"}


def test_frameworks_without_engines_have_no_candidates() -> None:
    class Runtime:
        framework = "another"

    assert acceleration.candidates(Runtime(), is_fast=True) == []
