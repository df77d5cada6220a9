from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demijohn.batching.pace import Paces


def test_what_was_never_timed_is_expected_to_take_no_time() -> None:
    assert Paces().expect("predict", 5, 1000) == 0.0


def test_while_all_calls_are_of_one_size_all_time_is_the_rows() -> None:
    paces = Paces()
    for _ in range(5):
        paces.record("predict", 2, 0.01)
    assert paces.expect("predict", 1, 2) == pytest.approx(0.01)
    assert paces.expect("predict", 1, 200) == pytest.approx(1.0)


def test_overhead_and_rows_are_told_apart_once_calls_differ_in_size() -> None:
    paces = Paces()
    for n_rows in (1, 1, 64, 1, 1000):
        paces.record("predict", n_rows, 0.0044 + 1.9e-6 * n_rows)
    assert paces.expect("predict", 1, 256) == pytest.approx(0.0044 + 1.9e-6 * 256)
    assert paces.expect("predict", 4, 1024) == pytest.approx(4 * 0.0044 + 1.9e-6 * 1024)


def test_a_slow_first_call_is_soon_forgotten() -> None:
    paces = Paces()
    paces.record("predict", 1, 2.0)
    for _ in range(25):
        paces.record("predict", 1, 0.001)
    assert paces.expect("predict", 1, 1) < 0.003


def test_calls_without_rows_are_all_overhead() -> None:
    paces = Paces()
    paces.record("predict", 0, 0.5)
    assert paces.expect("predict", 2, 10) == pytest.approx(1.0)


def test_methods_are_timed_apart() -> None:
    paces = Paces()
    paces.record("predict", 1, 1.0)
    assert paces.expect("transform", 1, 1) == 0.0


@given(st.lists(st.tuples(st.integers(0, 10_000), st.floats(0, 100)), min_size=1, max_size=30))
def test_no_expectation_is_negative_or_falls_with_rows_or_calls(calls: list[tuple[int, float]]) -> None:
    paces = Paces()
    for n_rows, duration_s in calls:
        paces.record("predict", n_rows, duration_s)
    tiny = -1e-9
    assert paces.expect("predict", 1, 0) >= tiny
    assert paces.expect("predict", 1, 100) - paces.expect("predict", 1, 10) >= tiny
    assert paces.expect("predict", 2, 10) - paces.expect("predict", 1, 10) >= tiny


def test_rows_are_joined_while_their_time_is_worth_the_overhead_that_is_saved() -> None:
    paces = Paces()
    assert paces.most_rows("predict", 0.05) == math.inf
    for n_rows in (1, 1, 64, 1, 1000):
        paces.record("predict", n_rows, 0.0044 + 1.9e-6 * n_rows)
    assert paces.most_rows("predict", 0.001) == pytest.approx(4 * 0.0044 / 1.9e-6)
    assert paces.most_rows("predict", 0.19) == pytest.approx(0.19 / 1.9e-6)


def test_a_model_that_takes_as_long_for_many_rows_as_for_one_has_no_bound_of_its_own() -> None:
    paces = Paces()
    paces.record("predict", 0, 0.5)
    assert paces.most_rows("predict", 0.05) == math.inf
