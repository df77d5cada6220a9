"""Each layer that is converted, beside Keras' own answer; and those that are not, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.keras_models import Array, by_name, cnn, keras, layers, mlp, sequential, several, texts, tokens

from demijohn import runtimes
from demijohn.acceleration.engine import FLOAT32, StepAside, Unconvertible
from demijohn.acceleration.keras import candidates
from demijohn.acceleration.keras.activations import ACTIVATIONS
from demijohn.acceleration.keras.engine import PIECE_BYTES, build
from demijohn.acceleration.keras.layers import LAYERS
from demijohn.acceleration.onnx_session import open_session
from demijohn.messages import Tensors

L = layers
IMAGE, STEPS, LINE = (12, 12, 3), (9, 4), (5,)
N_TOKENS = 100


def fill(model: Any) -> Any:
    """Give a model weights that are no ones and zeros: a scale of 1 would hide where it is applied."""
    rng = np.random.default_rng(1)
    weights = model.get_weights()
    model.set_weights([rng.uniform(0.2, 1.0, weight.shape) - 0.4 * (weight.ndim > 1) for weight in weights])
    return model


def normalized() -> Any:
    layer = L.Normalization()
    layer.adapt(np.random.default_rng(0).random((50, 5)) * 9)
    return layer


def with_states() -> Any:
    inputs = keras.Input(STEPS, name="inputs")
    return keras.Model(inputs, L.LSTM(4, return_state=True)(inputs))


def merged() -> Any:
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    kinds = [L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum, L.Concatenate]
    return keras.Model([a, b], [kind()([a, b]) for kind in kinds])


def operations() -> Any:
    a = keras.Input((4,), name="inputs")
    ops = keras.ops
    first = ops.tanh(a * 2 + 1) / (1 + ops.exp(-a)) - ops.maximum(a, 0.5)
    second = ops.minimum(ops.sigmoid(a), ops.relu(a)) * ops.sqrt(ops.abs(a)) + ops.log(ops.abs(a) + 1)
    return keras.Model(a, [first, second])


def shared() -> Any:
    inner = sequential((4,), L.Dense(3, activation="relu"), L.Dense(4))
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    return keras.Model([a, b], L.Dense(2)(L.Add()([inner(a), inner(b)])))


def fixed() -> Any:
    inputs = keras.Input(batch_shape=(8, 3), name="inputs")
    return keras.Model(inputs, L.Dense(2)(inputs))


MODELS: dict[str, Callable[[], Any]] = {
    "mlp": mlp,
    "cnn": cnn,
    "tokens": tokens,
    "several": several,
    "by_name": by_name,
    "states": with_states,
    "merged": merged,
    "operations": operations,
    "shared": shared,
    "fixed": fixed,
    "conv1d causal": lambda: sequential(STEPS, L.Conv1D(5, 3, padding="causal", dilation_rate=2)),
    "conv1d same": lambda: sequential(STEPS, L.Conv1D(4, 2, strides=2, padding="same", activation="relu")),
    "conv2d groups": lambda: sequential(IMAGE, L.Conv2D(6, (3, 2), strides=2, padding="same", groups=3)),
    "conv2d dilated": lambda: sequential(IMAGE, L.Conv2D(4, (3, 2), dilation_rate=(2, 3), padding="same")),
    "conv2d plain": lambda: sequential(IMAGE, L.Conv2D(4, 3, use_bias=False)),
    "conv3d": lambda: sequential((6, 6, 6, 2), L.Conv3D(3, 2), L.MaxPooling3D(), L.GlobalAveragePooling3D()),
    "pooling3d": lambda: sequential((6, 6, 6, 2), L.AveragePooling3D(2), L.GlobalMaxPooling3D()),
    "depthwise": lambda: sequential(
        IMAGE, L.DepthwiseConv2D(3, depth_multiplier=2, padding="same"), L.DepthwiseConv2D(3, strides=2)
    ),
    "depthwise1d": lambda: sequential(STEPS, L.DepthwiseConv1D(3, depth_multiplier=2, use_bias=False)),
    "separable": lambda: sequential(
        IMAGE, L.SeparableConv2D(5, 3, depth_multiplier=2, activation="relu", padding="same", strides=2)
    ),
    "separable1d": lambda: sequential(STEPS, L.SeparableConv1D(5, 3, use_bias=False)),
    "transposed 3 2 same": lambda: sequential(IMAGE, L.Conv2DTranspose(4, 3, strides=2, padding="same")),
    "transposed 4 2 same": lambda: sequential(IMAGE, L.Conv2DTranspose(4, 4, strides=2, padding="same")),
    "transposed 2 3 same": lambda: sequential(IMAGE, L.Conv2DTranspose(4, 2, strides=3, padding="same")),
    "transposed 2 3 valid": lambda: sequential(IMAGE, L.Conv2DTranspose(4, 2, strides=3, use_bias=False)),
    "transposed1d": lambda: sequential(STEPS, L.Conv1DTranspose(4, 3, strides=2)),
    "transposed3d": lambda: sequential((4, 4, 4, 2), L.Conv3DTranspose(3, 2)),
    "pooling": lambda: sequential(
        IMAGE, L.AveragePooling2D(3, strides=2, padding="same"), L.MaxPooling2D(2, padding="same"),
        L.GlobalMaxPooling2D(),
    ),
    "pooling1d": lambda: sequential(
        STEPS, L.AveragePooling1D(2), L.MaxPooling1D(3, strides=1, padding="same"),
        L.GlobalAveragePooling1D(keepdims=True),
    ),
    "pooling all 1d": lambda: sequential(STEPS, L.GlobalMaxPooling1D()),
    "pooling all 2d": lambda: sequential(IMAGE, L.GlobalAveragePooling2D()),
    "batch normalization": lambda: fill(
        sequential(IMAGE, L.Conv2D(4, 3), L.BatchNormalization(), L.ReLU(max_value=6))
    ),
    "batch normalization of rows": lambda: fill(
        sequential(IMAGE, L.BatchNormalization(axis=1, center=False))
    ),
    "batch normalization without scale": lambda: fill(sequential(LINE, L.BatchNormalization(scale=False))),
    "layer normalization": lambda: fill(
        sequential(STEPS, L.LayerNormalization(), L.LayerNormalization(axis=[1, 2], center=False),
                   L.LayerNormalization(scale=False))
    ),
    "activation layers": lambda: fill(
        sequential(STEPS, L.ELU(alpha=0.5), L.PReLU(), L.LeakyReLU(0.1), L.Softmax(axis=1),
                   L.ReLU(negative_slope=0.1), L.Activation("tanh"))
    ),
    "shapes": lambda: sequential(
        IMAGE, L.ZeroPadding2D(((1, 2), (0, 3))), L.Cropping2D(((1, 0), (2, 1))), L.UpSampling2D((2, 3)),
        L.Permute((3, 1, 2)), L.Reshape((-1, 4)), L.Flatten(),
    ),
    "shapes 1d": lambda: sequential(
        STEPS, L.ZeroPadding1D((1, 2)), L.Cropping1D((2, 1)), L.UpSampling1D(2), L.Flatten()
    ),
    "shapes 3d": lambda: sequential(
        (4, 4, 4, 1), L.ZeroPadding3D(1), L.Cropping3D(((1, 0), (0, 1), (1, 1))), L.UpSampling3D(2)
    ),
    "repeated": lambda: sequential(LINE, L.RepeatVector(3), L.TimeDistributed(L.Dense(2))),
    "rescaled": lambda: sequential(IMAGE, L.Rescaling(1 / 255, offset=-0.5)),
    "rescaled bytes": lambda: sequential(IMAGE, L.Rescaling(1 / 255), L.Flatten(), dtype="uint8"),
    "normalized": lambda: sequential(LINE, normalized(), L.Dense(2)),
    "lstm": lambda: sequential(STEPS, L.LSTM(6, return_sequences=True), L.LSTM(5, use_bias=False)),
    "lstm backwards": lambda: sequential(STEPS, L.LSTM(6, go_backwards=True, activation="relu")),
    "gru": lambda: fill(sequential(STEPS, L.GRU(6, return_sequences=True), L.GRU(5, reset_after=False))),
    "rnn": lambda: sequential(STEPS, L.SimpleRNN(6, use_bias=False)),
    "both ways": lambda: sequential(
        STEPS, L.Bidirectional(L.LSTM(6, return_sequences=True)),
        L.Bidirectional(L.GRU(5, return_sequences=True), merge_mode="ave"),
        L.Bidirectional(L.SimpleRNN(5), merge_mode="mul"),
    ),
    "nothing": lambda: sequential(
        STEPS, L.Dropout(0.5), L.SpatialDropout1D(0.2), L.GaussianNoise(0.1), L.GaussianDropout(0.1),
        L.AlphaDropout(0.1), L.Identity(), L.ActivityRegularization(0.1),
    ),
    "nothing of images": lambda: sequential(IMAGE, L.SpatialDropout2D(0.5)),
    "nothing of solids": lambda: sequential((2, 2, 2, 2), L.SpatialDropout3D(0.5)),
}  # fmt: skip


def drawn(runtime: Any, n_rows: int, length: int = 9) -> Tensors:
    rng = np.random.default_rng(n_rows)
    return {spec.name: _drawn(rng, spec, (n_rows, *(length if size < 0 else size for size in spec.shape[1:])))
            for spec in runtime.signature.inputs}  # fmt: skip


def _drawn(rng: Any, spec: Any, shape: tuple[int, ...]) -> Array:
    if "int" in spec.dtype:
        return np.asarray(rng.integers(0, N_TOKENS, shape).astype(spec.dtype))
    return np.asarray(rng.normal(size=shape).astype(spec.dtype))


def check_equal(got: Tensors, expected: Tensors) -> None:
    assert list(got) == list(expected)
    for name, wanted in expected.items():
        assert (got[name].shape, got[name].dtype) == (wanted.shape, wanted.dtype)
        scale = np.abs(wanted).max(initial=1e-9)
        assert np.abs(got[name] - wanted).max(initial=0) <= FLOAT32 * scale


@pytest.mark.parametrize("make", MODELS.values(), ids=list(MODELS))
def test_a_converted_model_answers_as_keras(make: Callable[[], Any]) -> None:
    runtime = runtimes.wrap(make())
    engine = build(runtime)  # type: ignore[arg-type]
    for n_rows in (1, 2, 64):
        tensors = drawn(runtime, n_rows)
        check_equal(engine.run(tensors), runtime.run("predict", tensors, {}))


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_every_activation_is_that_of_keras(name: str) -> None:
    runtime = runtimes.wrap(sequential(LINE, L.Dense(4, activation=name)))
    tensors = {"inputs": 5 * np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32)}
    check_equal(build(runtime).run(tensors), runtime.run("predict", tensors, {}))  # type: ignore[arg-type]


def test_every_row_of_the_table_is_tried_here() -> None:
    tried = {type(layer).__name__ for make in MODELS.values() for layer in make()._flatten_layers()}
    assert tried | {"Activation"} >= LAYERS.keys()


@pytest.mark.parametrize("length", [1, 2, 30])
def test_rows_may_be_of_any_length(length: int) -> None:
    runtime = runtimes.wrap(tokens())
    tensors = drawn(runtime, 5, length)
    check_equal(build(runtime).run(tensors), runtime.run("predict", tensors, {}))  # type: ignore[arg-type]


# What is left to the framework --------------------------------------------------------------------


@pytest.mark.parametrize("token", [-1, N_TOKENS, 2**31 - 1, -(2**31)])
def test_a_token_that_is_none_is_left_to_keras(token: int) -> None:
    engine = build(runtimes.wrap(tokens()))  # type: ignore[arg-type]
    with pytest.raises(StepAside):
        engine.run({"inputs": np.array([[1, token]], np.int32)})


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 1e10])
def test_a_number_that_is_infinite_or_huge_is_left_to_keras(value: float) -> None:
    engine = build(runtimes.wrap(mlp()))  # type: ignore[arg-type]
    rows = np.zeros((3, 30), np.float32)
    rows[1, 7] = value
    with pytest.raises(StepAside):
        engine.run({"inputs": rows})


class Own(L.Dense):  # type: ignore[misc, name-defined]
    """A layer of somebody's, which may do anything."""


def by_hand() -> Any:
    class Doubling(keras.Model):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            return inputs * 2

    return Doubling()


def always_training() -> Any:
    inputs = keras.Input((3,))
    return keras.Model(inputs, L.Dropout(0.5)(inputs, training=True))


REFUSED = {
    "texts": (texts, "string"),
    "by hand": (by_hand, "written by hand"),
    "another layer": (lambda: sequential(
        LINE, L.UnitNormalization(name="unit")), r"layer 'unit' \(UnitNormalization\): it is not converted"),
    "a layer of one's own": (lambda: sequential(LINE, Own(2)), r"\(Own\): it is not converted"),
    "an activation of one's own": (
        lambda: sequential(LINE, L.Dense(2, activation=keras.ops.sin)), "the activation sin"),
    "training": (always_training, "called with training"),
    "masks": (lambda: sequential((4,), L.Embedding(9, 2, mask_zero=True), dtype="int32"), "masks tokens"),
    "half precision": (lambda: sequential(LINE, L.Dense(2, dtype="float16")), "float16"),
    "a threshold": (lambda: sequential(LINE, L.ReLU(threshold=1.0)), "threshold"),
    "several axes": (lambda: sequential(STEPS, L.Softmax(axis=(1, 2))), "several axes"),
    "the first axis": (lambda: sequential(STEPS, L.LayerNormalization(axis=1)), "last axes only"),
    "backwards": (
        lambda: sequential(STEPS, L.LSTM(2, go_backwards=True, return_sequences=True)), "backwards"),
    "another recurrent function": (lambda: sequential(STEPS, L.GRU(2, activation="gelu")), "gelu"),
    "both ways with states": (
        lambda: sequential(STEPS, L.Bidirectional(L.LSTM(2), merge_mode="sum", backward_layer=L.GRU(
            2, go_backwards=True))), "Bidirectional"),
    "interpolation": (lambda: sequential(IMAGE, L.UpSampling2D(2, interpolation="bilinear")), "nearest"),
    "several ranks": (
        lambda: keras.Model(inputs := [keras.Input((3, 2)), keras.Input((2,))], L.Add()(inputs)), "ranks"),
    "steps of another layer": (
        lambda: sequential((3, 4, 4, 1), L.TimeDistributed(L.Conv2D(2, 2))), "TimeDistributed of Conv2D"),
    "a normalization undone": (
        lambda: sequential(LINE, L.Normalization(mean=1.0, variance=2.0, invert=True)), "inverse"),
    "padded transposition": (
        lambda: sequential(IMAGE, L.Conv2DTranspose(2, 3, strides=2, output_padding=1)), "output_padding"),
    "an array as an operand": (
        lambda: keras.Model(x := keras.Input((3,)), x + np.ones(3, np.float32)), "argument|converted"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "told"), REFUSED.values(), ids=list(REFUSED))
def test_what_is_not_converted_is_told(make: Callable[[], Any], told: str) -> None:
    example = np.ones((1, 3)) if make is by_hand else None
    runtime = runtimes.wrap(make(), example=example)
    with pytest.raises(Unconvertible, match=told):
        build(runtime)  # type: ignore[arg-type]


def test_a_large_model_is_not_held_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demijohn.acceleration.keras.conversion.MAX_WEIGHT_BYTES", 1_000)
    with pytest.raises(Unconvertible, match="too much for a second copy"):
        build(runtimes.wrap(mlp()))  # type: ignore[arg-type]


def test_the_engine_is_whole_and_named_for_what_runs_it() -> None:
    _, candidate = candidates(runtimes.wrap(mlp()))  # type: ignore[arg-type]
    engine = candidate.build()
    assert (candidate.engine, candidate.method) == ("onnx", "predict")
    assert (engine.name, engine.is_whole, engine.tolerance) == ("onnx", True, 1e-5)


def test_many_images_run_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def watch(content: bytes) -> Any:
        session = open_session(content)

        def run(inputs: Tensors) -> list[Array]:
            sizes.extend({len(array) for array in inputs.values()})
            return session(inputs)

        return run

    monkeypatch.setattr("demijohn.acceleration.keras.engine.open_session", watch)
    runtime = runtimes.wrap(several())
    engine = build(runtime)  # type: ignore[arg-type]
    tensors = drawn(runtime, 1000)
    check_equal(engine.run(tensors), runtime.run("predict", tensors, {}))
    assert sum(sizes) == 1000
    assert max(sizes) * 40 * 4 <= PIECE_BYTES < 1000 * 40 * 4
