"""The engine of ONNX models: the session itself, in the request's own thread."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from tests.onnx_models import WEIGHTS, affine, lookup

from demijohn.acceleration import candidates
from demijohn.acceleration.engine import StepAside
from demijohn.config import Settings
from demijohn.lifecycle import Lifecycle
from demijohn.messages import Tensors
from demijohn.predictor import Predictor
from demijohn.runtimes import wrap


def settled(proto: Any) -> Predictor:
    made = Predictor("m", "1", wrap(proto), Settings(), Lifecycle())
    made.settle()
    return made


def test_every_method_has_one_and_it_is_the_framework() -> None:
    found = candidates(wrap(affine()), is_fast=False)
    assert [(one.engine, one.method, one.is_framework) for one in found] == [("onnx", "predict", True)]


def test_it_answers_what_the_framework_answers_and_leaves_it_what_it_refuses() -> None:
    runtime = wrap(lookup())
    (candidate,) = candidates(runtime, is_fast=False)
    engine = candidate.build()
    assert engine.is_whole
    np.testing.assert_array_equal(engine.run({"i": np.array([3, 0])})["predict"], WEIGHTS[[3, 0]])
    with pytest.raises(StepAside, match="idx=99"):
        engine.run({"i": np.array([99])})


def test_a_model_that_waits_for_company_has_none() -> None:
    class Busy:
        framework = "onnx"
        methods = ("predict",)
        is_free = False

        def run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
            raise AssertionError

    assert candidates(Busy(), is_fast=False) == []


def test_short_calls_run_in_the_threads_of_their_requests() -> None:
    made = settled(affine())
    assert made.plan()["methods"]["predict"][0]["engine"] == "onnx"
    threads = set()
    run = made.runtime.run

    def watch(method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        threads.add(threading.current_thread())
        return run(method, tensors, parameters)

    made.runtime.run = watch  # type: ignore[method-assign]
    made.answer("predict", {"x": np.ones((1, 4), np.float32)}, {}, float("inf"))
    assert threads == {threading.current_thread()}
