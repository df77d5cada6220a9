"""Chains of dense layers on the kernel, beside Keras' own answers; and what is no such chain, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.acceleration.keras.test_conversion import Own, check_equal, drawn, fill, normalized
from tests.keras_models import by_name, cnn, keras, layers, mlp, sequential, texts, tokens

from demijohn import kernels, runtimes
from demijohn.acceleration.engine import StepAside, Unconvertible
from demijohn.acceleration.keras import candidates, network
from demijohn.acceleration.keras.network import ACTIVATIONS, LAYERS, build

L = layers
LINE = (5,)

needs_kernels = pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)


def nested() -> Any:
    inner = sequential(LINE, L.Dense(3, activation="relu"), L.Dense(4))
    return sequential(LINE, inner, L.Dense(2, use_bias=False))


def functional() -> Any:
    given = keras.Input((30,), name="given")
    hidden = L.Dropout(0.5)(L.Dense(20, activation="tanh")(given))
    return keras.Model(given, L.Dense(1, name="price")(hidden))


MODELS: dict[str, Callable[[], Any]] = {
    "mlp": mlp,
    "nested": nested,
    "functional": functional,
    "wide": lambda: sequential(LINE, L.Dense(3000, activation="relu"), L.Dense(1)),
    "normalized": lambda: fill(sequential(
        LINE, normalized(), L.Dense(17), L.BatchNormalization(), L.ReLU(),
        L.BatchNormalization(scale=False), L.BatchNormalization(center=False), L.Dense(2),
    )),
    "activation layers": lambda: sequential(
        LINE, L.Dense(9), L.LeakyReLU(0.1), L.ELU(alpha=0.5), L.ReLU(max_value=2.0),
        L.ReLU(negative_slope=0.3), L.Activation("tanh"), L.Softmax(),
    ),
    "nothing": lambda: sequential(
        LINE, L.Dropout(0.5), L.GaussianNoise(0.1), L.GaussianDropout(0.1), L.AlphaDropout(0.1), L.Identity(),
        L.Flatten(),
    ),
}  # fmt: skip


@needs_kernels
@pytest.mark.parametrize("make", MODELS.values(), ids=list(MODELS))
def test_a_chain_answers_as_keras(make: Callable[[], Any]) -> None:
    runtime = runtimes.wrap(make())
    engine = build(runtime)  # type: ignore[arg-type]
    for n_rows in (1, 2, 65):
        tensors = drawn(runtime, n_rows)
        check_equal(engine.run(tensors), runtime.run("predict", tensors, {}))


@needs_kernels
@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_every_activation_is_that_of_keras(name: str) -> None:
    runtime = runtimes.wrap(sequential(LINE, L.Dense(4, activation=name)))
    tensors = {"inputs": 5 * np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32)}
    check_equal(build(runtime).run(tensors), runtime.run("predict", tensors, {}))  # type: ignore[arg-type]


def test_every_row_of_the_table_is_tried_here() -> None:
    tried = {type(layer).__name__ for make in MODELS.values() for layer in make()._flatten_layers()}
    assert tried >= LAYERS.keys()


@needs_kernels
def test_columns_by_name_are_rows_too() -> None:
    frame = [{name: float(index) for index, name in enumerate("abcde")}]
    runtime = runtimes.wrap(sequential(LINE, L.Dense(3, activation="relu")), example=frame)
    tensors = {name: np.arange(4, dtype=np.float32) + index for index, name in enumerate("abcde")}
    check_equal(build(runtime).run(tensors), runtime.run("predict", tensors, {}))  # type: ignore[arg-type]


@needs_kernels
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 1e10])
def test_a_number_that_is_infinite_or_huge_is_left_to_keras(value: float) -> None:
    rows = np.zeros((3, 30), np.float32)
    rows[1, 7] = value
    with pytest.raises(StepAside):
        build(runtimes.wrap(mlp())).run({"inputs": rows})  # type: ignore[arg-type]


def branching() -> Any:
    given = keras.Input((4,))
    hidden = L.Dense(4)(given)
    L.Dense(4)(hidden)
    return keras.Model(given, L.Add()([given, hidden]))


def early() -> Any:
    given = keras.Input((4,))
    first = L.Dense(4)(given)
    return keras.Model(given, [first, L.Dense(2)(first)])


def twice() -> Any:
    given = keras.Input((4,))
    first, second = L.Dense(4)(given), L.Dense(4)(given)
    return keras.Model(given, L.Dense(2)(L.Add()([first, second])))


REFUSED = {
    "images": (cnn, "no lines of float32"),
    "tokens": (tokens, "no lines of float32 but int32"),
    "texts": (texts, "no lines of float32 but string"),
    "several inputs": (by_name, "several inputs or outputs"),
    "several outputs": (early, "several inputs or outputs"),
    "a branch": (branching, r"\(Add\): it is not converted"),
    "two branches": (twice, "not fed by the layer before alone"),
    "longer rows": (lambda: sequential(LINE, L.RepeatVector(3)), r"\(RepeatVector\): it is not converted"),
    "an axis more": (lambda: sequential(LINE, L.Reshape((5, 1))), r"\(Reshape\): it is not converted"),
    "a layer of one's own": (lambda: sequential(LINE, Own(2)), r"\(Own\): it is not converted"),
    "an activation of one's own": (
        lambda: sequential(LINE, L.Dense(2, activation=keras.ops.sin)), "the activation sin"),
    "an activation that it does not know": (
        lambda: sequential(LINE, L.Dense(2, activation="mish")), "the activation mish"),
    "half precision": (lambda: sequential(LINE, L.Dense(2, dtype="float16")), "float16"),
    "a threshold": (lambda: sequential(LINE, L.ReLU(threshold=1.0)), "this form of ReLU"),
    "a cap and a leak": (
        lambda: sequential(LINE, L.ReLU(max_value=1.0, negative_slope=0.1)), "this form of ReLU"),
    "a normalization undone": (
        lambda: sequential(LINE, L.Normalization(mean=1.0, variance=2.0, invert=True)), "inverse"),
    "softmax over a list of axes": (lambda: sequential(LINE, L.Softmax(axis=[1])), "another axis"),
}  # fmt: skip


@needs_kernels
@pytest.mark.parametrize(("make", "told"), REFUSED.values(), ids=list(REFUSED))
def test_what_is_no_chain_is_told(make: Callable[[], Any], told: str) -> None:
    with pytest.raises(Unconvertible, match=told):
        build(runtimes.wrap(make()))  # type: ignore[arg-type]


@needs_kernels
def test_a_large_network_is_not_held_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "MAX_WEIGHT_BYTES", 1_000)
    with pytest.raises(Unconvertible, match="weights"):
        build(runtimes.wrap(mlp()))  # type: ignore[arg-type]


def test_without_the_kernels_a_chain_is_left_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "IS_BUILT", False)
    monkeypatch.setattr(kernels, "WHY_NOT", "no compiler")
    with pytest.raises(Unconvertible, match="no compiler"):
        build(runtimes.wrap(mlp()))  # type: ignore[arg-type]


@needs_kernels
def test_the_kernel_is_tried_before_onnx() -> None:
    first, second = candidates(runtimes.wrap(mlp()))  # type: ignore[arg-type]
    assert (first.engine, second.engine) == ("kernel", "onnx")
    engine = first.build()
    assert (engine.name, engine.is_whole, engine.tolerance) == ("kernel", True, 1e-5)
