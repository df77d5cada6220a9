"""What is asked of an engine besides right answers."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from tests.acceleration.forests import FunctionEngine

from demijohn.acceleration import conduct
from demijohn.acceleration.conduct import misconduct
from demijohn.acceleration.engine import StepAside
from demijohn.messages import Array, Tensors

ROWS = np.random.default_rng(0).normal(size=(100, 3))


def watch(step: Any, *, takes_any_layout: bool = True) -> str | None:
    engine = FunctionEngine(lambda tensors: {"y": step(tensors["x"])})
    return misconduct(engine, {"x": ROWS}, 1e-9, takes_any_layout=takes_any_layout)


def test_an_engine_without_habits_is_fit() -> None:
    assert watch(lambda rows: rows.sum(axis=1)) is None


def test_an_engine_that_returns_a_view_of_its_input_is_not() -> None:
    assert watch(lambda rows: rows[:, 1:]) == "its result shares memory with its input"


def test_a_constant_that_is_handed_out_is_shared_memory() -> None:
    constant = np.ones(100)
    assert watch(lambda rows: constant[: len(rows)]) == "two of its results share memory"


def test_a_constant_that_nobody_can_write_to_is_not_a_users_own() -> None:
    constant = np.ones(100)
    constant.flags.writeable = False
    assert watch(lambda rows: constant[: len(rows)]) == "two of its results share memory"


@pytest.mark.parametrize(
    ("name", "is_meant"),
    [
        ("column-major", lambda rows: not rows.flags.c_contiguous and rows.strides[0] == 8),
        ("strided", lambda rows: rows.strides[0] == 48),
        ("reversed", lambda rows: rows.strides[0] < 0),
        ("read-only", lambda rows: not rows.flags.writeable),
    ],
)
def test_memory_of_every_layout_is_tried(name: str, is_meant: Any) -> None:
    def wrong(rows: Array) -> Array:
        return rows.sum(axis=1) + is_meant(rows)

    def failing(rows: Array) -> Array:
        if is_meant(rows):
            raise ValueError("not like this")
        return np.asarray(rows.sum(axis=1))

    assert (watch(wrong) or "").startswith(f"{name} input: y: row 0: ")
    assert watch(failing) == f"{name} input: ValueError: not like this"
    assert watch(wrong, takes_any_layout=False) is None


def test_an_engine_may_step_aside_for_a_layout_and_for_rows() -> None:
    def step(rows: Array) -> Array:
        if len(rows) == 1 or not rows.flags.c_contiguous:
            raise StepAside
        return np.asarray(rows.sum(axis=1))

    assert watch(step) is None


def test_an_engine_that_fails_in_a_thread_is_told_by_its_error() -> None:
    main = threading.current_thread()

    def run(tensors: Tensors) -> Tensors:
        if threading.current_thread() is not main:
            raise KeyError("not here")
        return {"y": tensors["x"].sum(axis=1)}

    told = misconduct(FunctionEngine(run), {"x": ROWS}, 1e-9, takes_any_layout=True)
    assert told == "two threads at once get other answers: KeyError"


def test_an_engine_in_which_two_threads_wait_for_each_other_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conduct, "_LONGEST_S", 0.0)
    main, released = threading.current_thread(), threading.Event()

    def step(rows: Array) -> Array:
        if threading.current_thread() is not main:
            released.wait()
        return np.asarray(rows.sum(axis=1))

    assert watch(step) == "two threads at once wait for each other"
    released.set()
