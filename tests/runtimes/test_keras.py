"""Keras models as they are served: the answers of ``model.predict``, whatever goes in and comes out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.keras_models import Array, by_name, cnn, keras, layers, mlp, sequential, several, texts, tokens

from demijohn import runtimes
from demijohn.errors import ConfigurationError, LoadError, SignatureMismatch
from demijohn.messages import Columns, NamedTensors, Records, Rows
from demijohn.probes import agree
from demijohn.signature import TensorSpec

RNG = np.random.default_rng(0)
SIZES = (1, 2, 5, 31, 32, 33, 64, 100)


def outputs_of(answer: Any) -> list[Array]:
    parts = answer.values() if isinstance(answer, dict) else answer if isinstance(answer, list) else [answer]
    return [np.asarray(part) for part in parts]


def check_same(model: Any, tensors: dict[str, Array], x: Any) -> None:
    answer = runtimes.wrap(model).run("predict", tensors, {})
    expected = outputs_of(model.predict(x, verbose=0))
    assert [part.dtype for part in answer.values()] == [part.dtype for part in expected]
    assert all(np.array_equal(a, b) for a, b in zip(answer.values(), expected, strict=True))


@pytest.mark.parametrize("n_rows", SIZES)
def test_the_answer_is_that_of_predict_bit_for_bit(n_rows: int) -> None:
    rows = RNG.random((n_rows, 30), dtype=np.float32)
    check_same(mlp(), {"inputs": rows}, rows)


@pytest.mark.parametrize("n_rows", SIZES)
def test_images_have_the_answer_of_predict(n_rows: int) -> None:
    rows = RNG.random((n_rows, 28, 28, 1), dtype=np.float32)
    check_same(cnn(), {"inputs": rows}, rows)


@pytest.mark.parametrize("length", [1, 3, 20])
def test_rows_of_tokens_may_be_of_any_length(length: int) -> None:
    rows = RNG.integers(0, 100, (40, length)).astype(np.int32)
    check_same(tokens(), {"inputs": rows}, rows)


def test_texts_go_in_as_texts() -> None:
    rows = np.array([["the cat"], ["a dog ran"], [""], ["größe 日本"]], dtype=object)
    check_same(texts(), {"inputs": rows}, keras.ops.convert_to_tensor(rows))


def test_several_inputs_go_in_by_name() -> None:
    numbers, image = RNG.random((40, 4), np.float32), RNG.random((40, 6, 6, 1), np.float32)
    check_same(several(), {"numbers": numbers, "image": image}, [numbers, image])


def test_inputs_and_outputs_in_dicts_keep_their_names() -> None:
    x, y = RNG.random((3, 4), np.float32), RNG.random((3, 2), np.float32)
    runtime = runtimes.wrap(by_name())
    assert [spec.name for spec in runtime.signature.inputs] == ["x", "y"]
    expected = by_name().predict({"x": x, "y": y}, verbose=0)
    answer = runtime.run("predict", {"x": x, "y": y}, {})
    assert set(answer) == set(expected)
    assert all(np.array_equal(answer[name], expected[name]) for name in expected)


def test_a_model_is_described_in_its_own_words() -> None:
    runtime = runtimes.wrap(several())
    assert runtime.methods == ("predict",)
    assert runtime.signature.layout == "tensors"
    assert runtime.signature.inputs == (
        TensorSpec("numbers", "float32", (-1, 4)),
        TensorSpec("image", "float32", (-1, 6, 6, 1)),
    )
    assert runtime.signature.outputs["predict"] == (
        TensorSpec("label", "float32", (-1, 3)),
        TensorSpec("size", "float32", (-1, 1)),
    )
    assert runtime.parameters("predict") == ()
    assert runtime.classes("predict") is None


@pytest.mark.parametrize(
    ("model", "spec"),
    [
        (mlp, TensorSpec("inputs", "float32", (-1, 30))),
        (cnn, TensorSpec("inputs", "float32", (-1, 28, 28, 1))),
        (tokens, TensorSpec("inputs", "int32", (-1, -1))),
        (texts, TensorSpec("inputs", "str", (-1, 1))),
    ],
)
def test_a_single_input_is_a_matrix(model: Any, spec: TensorSpec) -> None:
    signature = runtimes.wrap(model()).signature
    assert (signature.layout, signature.inputs) == ("matrix", (spec,))


@pytest.mark.parametrize("model", [mlp, cnn, tokens, texts, several, by_name])
def test_the_example_that_is_made_up_fits_and_is_answered(model: Any) -> None:
    runtime = runtimes.wrap(model())
    rows = list(runtime.example_rows())
    inputs = Records(rows) if isinstance(rows[0], dict) else Rows(rows)
    answer = runtime.run("predict", runtime.signature.validate(inputs), {})
    assert all(len(part) == len(rows) for part in answer.values())


def test_an_example_names_the_columns_and_leaves_the_dtype() -> None:
    frame = pd.DataFrame(RNG.random((3, 30)), columns=[f"c{i}" for i in range(30)])
    runtime = runtimes.wrap(mlp(), example=frame)
    assert runtime.signature.columns == tuple(frame.columns)
    tensors = runtime.signature.validate(Columns({name: frame[name].tolist() for name in frame}))
    rows = frame.to_numpy().astype(np.float32)
    answer = runtime.run("predict", tensors, {})["predict"]
    assert np.array_equal(answer, mlp().predict(rows, verbose=0))


def test_an_example_as_an_array_changes_nothing_of_the_signature() -> None:
    plain = runtimes.wrap(tokens()).signature
    assert runtimes.wrap(tokens(), example=[[1, 2, 3]]).signature == plain


def test_an_example_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="30"):
        runtimes.wrap(mlp(), example=np.zeros((2, 5)))


def test_numbers_of_another_dtype_are_refused_or_rounded_as_json_is() -> None:
    signature = runtimes.wrap(tokens()).signature
    with pytest.raises(SignatureMismatch):
        signature.validate(NamedTensors({"inputs": np.array([[0.5]])}))
    wide = runtimes.wrap(mlp()).signature.validate(NamedTensors({"inputs": np.full((1, 30), 0.1)}))
    assert wide["inputs"].dtype == np.float32


def test_a_token_that_the_model_does_not_know_is_refused() -> None:
    runtime = runtimes.wrap(tokens())
    with pytest.raises(runtime.refusals, match=r"indices\[0,0\] = 100 is not in \[0, 100\)"):
        runtime.run("predict", {"inputs": np.array([[100]], np.int32)}, {})


def test_a_model_that_is_written_by_hand_needs_an_example() -> None:
    class Doubling(keras.Model):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            return {"double": inputs * 2, "one": inputs[:, :1]}

    with pytest.raises(LoadError, match="give an example"):
        runtimes.wrap(Doubling())
    runtime = runtimes.wrap(Doubling(), example=np.ones((2, 3)))
    assert runtime.signature.inputs[0].dtype == "float32"
    answer = runtime.run("predict", {"inputs": np.ones((2, 3))}, {})
    assert {name: part.tolist() for name, part in answer.items()} == {
        "double": [[2.0] * 3] * 2, "one": [[1.0]] * 2,
    }  # fmt: skip
    assert runtime.digest() is None


def test_a_model_of_a_fixed_number_of_rows_takes_any() -> None:
    inputs = keras.Input(batch_shape=(8, 3))
    model = keras.Model(inputs, layers.Dense(2)(inputs))
    runtime = runtimes.wrap(model)
    rows = RNG.random((11, 3), np.float32)
    answer = runtime.run("predict", {runtime.signature.inputs[0].name: rows}, {})["predict"]
    expected = model.predict(np.concatenate([rows, np.repeat(rows[-1:], 5, 0)]), batch_size=8, verbose=0)
    assert np.array_equal(answer, expected[:11])


def test_texts_come_out_as_texts() -> None:
    words = layers.StringLookup(vocabulary=["cat", "dog"], invert=True)
    runtime = runtimes.wrap(sequential((1,), words, dtype="int64"))
    answer = runtime.run("predict", {"inputs": np.array([[1], [2], [0]])}, {})["predict"]
    assert answer.tolist() == [["cat"], ["dog"], ["[UNK]"]]


def test_short_floats_come_out_as_numbers_that_json_knows() -> None:
    model = sequential((3,), layers.Dense(2, dtype="bfloat16"))
    answer = runtimes.wrap(model).run("predict", {"inputs": np.ones((1, 3), np.float32)}, {})["predict"]
    assert answer.dtype == np.float32


def test_a_model_that_keeps_state_is_refused() -> None:
    inputs = keras.Input(batch_shape=(1, 4, 3))
    with pytest.raises(LoadError, match="keeps state"):
        runtimes.wrap(keras.Model(inputs, layers.LSTM(2, stateful=True)(inputs)))


def test_a_layer_alone_is_no_model() -> None:
    with pytest.raises(LoadError, match=r"no keras\.Model"):
        runtimes.wrap(layers.Dense(2))


def test_batch_is_for_functions() -> None:
    with pytest.raises(ConfigurationError, match="for functions"):
        runtimes.wrap(mlp(), batch=True)


def test_a_model_that_fails_on_its_own_example_is_refused() -> None:
    class Failing(keras.Model):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            raise RuntimeError("no")

    with pytest.raises(LoadError, match="fails on an example row: RuntimeError: no"):
        runtimes.wrap(Failing(), example=[[1.0]])


def test_models_of_other_weights_have_other_digests() -> None:
    first, second = sequential((3,), layers.Dense(2, name="d")), sequential((3,), layers.Dense(2, name="d"))
    second.set_weights(first.get_weights())
    digests = [runtimes.wrap(model).digest() for model in (first, second)]
    assert digests[0] is not None
    kept = first.get_weights()
    first.set_weights([kept[0] + 1, kept[1]])
    assert runtimes.wrap(first).digest() not in digests


def test_a_batch_of_rows_agrees_with_its_rows_one_by_one() -> None:
    runtime = runtimes.wrap(mlp())
    rows = RNG.random((16, 30), np.float32)
    joined = runtime.run("predict", {"inputs": rows}, {})
    alone = [runtime.run("predict", {"inputs": rows[i : i + 1]}, {}) for i in range(16)]
    assert agree(joined, alone) is None


def test_a_model_loads_in_each_worker_and_the_plan_says_so() -> None:
    import demijohn

    assert demijohn.load(mlp()).plan["survives_fork"] is False
