"""Who runs these rows? A table, swapped whole."""

from __future__ import annotations

import math

import pytest
from tests.accelerated import Line

from demijohn.acceleration import Engines
from demijohn.acceleration.engines import LONGEST_OWN_S
from demijohn.acceleration.plan import Chosen, MethodPlan, Range

WHOLE, INNER = Line("numpy"), Line("unchecked", is_whole=False)
TIMES = {"native": (99.0,) * 4, "numpy": (1.0,) * 4, "unchecked": (9.0,) * 4}


def chosen(*ranges: tuple[int | None, str], us: float = 1.0) -> Chosen:
    times = {**TIMES, "numpy": (us,) * 4}
    plan = MethodPlan(tuple(Range(rows, engine, 1.0) for rows, engine in ranges), (), times)
    return Chosen(plan, {"numpy": WHOLE, "unchecked": INNER})


@pytest.fixture
def engines() -> Engines:
    found = Engines(["predict", "transform"], "proving")
    found.take("predict", chosen((2, "native"), (22, "numpy"), (None, "unchecked")))
    return found


def test_nothing_runs_what_nobody_planned() -> None:
    engines = Engines(["predict"], "proving")
    assert engines.choose("predict", 1) is engines.choose_own("predict", 1) is None
    assert "predict" not in engines.whole


@pytest.mark.parametrize(
    ("n_rows", "expected"), [(1, None), (2, None), (3, WHOLE), (22, WHOLE), (23, INNER), (10**6, INNER)]
)
def test_rows_choose_the_engine(engines: Engines, n_rows: int, expected: Line | None) -> None:
    assert engines.choose("predict", n_rows) is expected
    assert engines.choose_own("predict", n_rows) is (expected if expected is WHOLE else None)
    assert engines.choose("transform", n_rows) is None


def test_a_method_with_a_whole_engine_for_some_rows_needs_no_queue(engines: Engines) -> None:
    assert "predict" in engines.whole
    engines.take("predict", chosen((None, "unchecked")))
    assert "predict" not in engines.whole


def test_a_long_call_runs_on_the_models_thread_and_not_by_the_next_engine() -> None:
    engines = Engines(["predict"], "proving")
    us = 1e6 * LONGEST_OWN_S * 512 / 100  # a hundred rows take as long as is allowed
    engines.take("predict", chosen((181, "numpy"), (None, "numpy"), us=us))
    assert engines.choose_own("predict", 100) is WHOLE
    assert engines.choose_own("predict", 101) is None
    assert engines.choose("predict", 101) is WHOLE


def test_one_row_always_runs_in_its_own_thread() -> None:
    engines = Engines(["predict"], "proving")
    engines.take("predict", chosen((None, "numpy"), us=1e9))
    assert engines.choose_own("predict", 1) is WHOLE


def test_an_engine_without_a_time_has_no_bound() -> None:
    engines = Engines(["predict"], "proving")
    engines.take("predict", Chosen(MethodPlan((Range(None, "numpy", None),)), {"numpy": WHOLE}))
    assert engines.choose_own("predict", 10**9) is WHOLE
    assert engines._own["predict"][0][0] == math.inf


def test_an_engine_that_fails_is_dropped_once_and_the_plan_says_so(
    engines: Engines, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        engines.drop("predict", WHOLE, KeyError("x"))
    assert [engines.choose("predict", n_rows) for n_rows in (1, 22, 23)] == [None, None, INNER]
    assert "predict" not in engines.whole
    plan = engines.as_json()
    assert plan["refused"] == [{"engine": "numpy", "method": "predict", "why": "failed with KeyError"}]
    assert [(one["up_to_rows"], one["engine"]) for one in plan["methods"]["predict"]] == [
        (22, "native"), (None, "unchecked"),
    ]  # fmt: skip
    assert len(caplog.records) == 1
    assert caplog.records[0].exc_info


def test_times_are_told_by_engine_and_rows(engines: Engines) -> None:
    assert engines.times_us("predict")["unchecked"] == {1: 9.0, 8: 9.0, 64: 9.0, 512: 9.0}
    assert engines.times_us("transform") == {}
