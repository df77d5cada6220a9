"""The engine of PyTorch's exported programs: equal within float32's bound, or PyTorch answers."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import torch
from tests.torch_models import ROWS, Digits, Mlp, Words, exported, made
from torch.export import Dim

from demijohn.acceleration import candidates
from demijohn.acceleration.engine import Engine, StepAside, Unconvertible
from demijohn.config import Settings
from demijohn.lifecycle import Lifecycle
from demijohn.messages import Tensors
from demijohn.predictor import Predictor
from demijohn.runtimes import wrap

IDS, WEIGHT = torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([1.0, 2.0])


def words() -> Any:
    return exported(Words, IDS, WEIGHT, dynamic_shapes=({0: Dim("n"), 1: Dim("t")}, {0: Dim("n")}))


def built(model: Any, **options: Any) -> Engine:
    (candidate,) = candidates(wrap(model, **options), is_fast=False)
    return candidate.build()


@pytest.mark.parametrize(
    ("make", "tensors"),
    [
        (exported, {"x": ROWS.numpy()}),
        (lambda: exported(Mlp, ROWS[:4], dynamic_shapes=None), {"x": ROWS.numpy()}),
        (lambda: exported(Digits, torch.ones(2, 1, 8, 8)), {"image": torch.rand(64, 1, 8, 8).numpy()}),
        (words, {"ids": torch.arange(64 * 3).reshape(64, 3).numpy() % 20, "weight": torch.rand(64).numpy()}),
    ],
)
def test_it_answers_within_the_bound(make: Any, tensors: Tensors) -> None:
    program = make()
    runtime, engine = wrap(program), built(program)
    for n_rows in (1, 64):
        given = {name: array[:n_rows] for name, array in tensors.items()}
        expected, got = runtime.run("predict", given, {}), engine.run(given)
        assert list(got) == list(expected)
        for name, array in expected.items():
            assert got[name].dtype == array.dtype
            np.testing.assert_allclose(got[name], array, rtol=1e-5, atol=1e-5 * np.abs(array).max())


def test_it_is_proved_and_takes_over() -> None:
    served = Predictor("m", "1", wrap(words()), Settings(), Lifecycle())
    served.settle()
    plan = served.plan()
    assert (plan["methods"]["predict"][0]["engine"], plan["refused"], plan["kept_alone"]) == ("onnx", [], {})
    assert served.times_us("predict")["onnx"][1] < served.times_us("predict")["native"][1]  # type: ignore[operator]


def test_it_leaves_numbers_that_the_two_treat_differently() -> None:
    engine = built(exported())
    for cell in (np.nan, np.inf, -1e6):
        with pytest.raises(StepAside, match="too large, or none"):
            engine.run({"x": np.array([[1, 2, 3, cell]], np.float32)})


def test_it_leaves_indices_that_pytorch_refuses() -> None:
    engine = built(words())
    for index in (-1, 99):
        with pytest.raises(StepAside):
            engine.run({"ids": np.array([[1, index]]), "weight": np.ones(1, np.float32)})


def test_it_leaves_answers_that_are_not_finite() -> None:
    class Inverse(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 1 / x

    program = torch.export.export(Inverse().eval(), (ROWS[:2],), dynamic_shapes=({0: Dim("n")},))
    with pytest.raises(StepAside, match="not finite"):
        built(program).run({"x": np.zeros((1, 4), np.float32)})


def test_a_module_is_not_compiled_and_the_plan_says_why() -> None:
    served = Predictor("m", "1", wrap(made(Mlp), example=ROWS[:2]), Settings(), Lifecycle())
    served.settle()
    plan = served.plan()
    assert plan["methods"]["predict"][0]["engine"] == "native"
    assert "only exported programs are compiled" in plan["refused"][0]["why"]


def test_what_is_missing_is_told_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(Unconvertible, match=r"onnxscript is not installed: pip install 'demijohn\[torch\]'"):
        built(exported())


def test_what_has_no_counterpart_is_refused_in_one_line() -> None:
    class Strange(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.special.bessel_j0(x)

    program = torch.export.export(Strange().eval(), (ROWS[:2],), dynamic_shapes=({0: Dim("n")},))
    with pytest.raises(Unconvertible, match="cannot convert it") as caught:
        built(program)
    assert "\n" not in str(caught.value)
