"""SavedModels as models: each signature a method, its answers the loaded function's own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tests import tensorflow_models as models

from demijohn import load, runtimes
from demijohn.config import Settings
from demijohn.errors import ConfigurationError, LoadError, ModelError, ModelRefused, SignatureMismatch
from demijohn.lifecycle import Lifecycle
from demijohn.messages import InferenceRequest, Rows
from demijohn.predictor import Predictor
from demijohn.runtimes.tensorflow import TensorflowRuntime

FOREVER = float("inf")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models")
    models.save_iris(path / "iris")
    models.save_words(path / "words")
    models.save_odd(path / "odd")
    return path


def predictor_of(path: Path, **options: Any) -> Predictor:
    return Predictor(path.name, "1", runtimes.load(path, **options), Settings(), Lifecycle())


@pytest.fixture(scope="module")
def iris(folder: Path) -> Predictor:
    return predictor_of(folder / "iris")


@pytest.fixture(scope="module")
def words(folder: Path) -> Predictor:
    return predictor_of(folder / "words")


@pytest.fixture(scope="module")
def odd(folder: Path) -> Predictor:
    return predictor_of(folder / "odd")


def ask(predictor: Predictor, method: str, rows: Any) -> Any:
    """Answer rows as a request would be."""
    from demijohn.model import request_of

    outputs = predictor.predict(method, request_of(rows), FOREVER).outputs
    return outputs[method] if list(outputs) == [method] else outputs


def same(left: Any, right: Any) -> bool:
    return left.dtype == right.dtype and left.tobytes() == right.tobytes()


# Signatures ------------------------------------------------------------------------------------


def test_serving_default_is_predict_and_comes_first(iris: Predictor) -> None:
    assert iris.runtime.methods == ("predict", "both")
    assert iris.runtime.framework == "tensorflow"
    assert iris.runtime.framework_version == tf.__version__
    assert iris.runtime.warnings == ()
    assert iris.runtime.classes("predict") is None
    assert iris.runtime.parameters("predict") == ()


def test_each_method_has_its_own_inputs_and_outputs(iris: Predictor) -> None:
    document = iris.signature.as_json()
    assert (document["layout"], [one["name"] for one in document["inputs"]]) == ("matrix", ["x"])
    both = document["others"]["both"]
    assert (both["layout"], [(one["name"], one["dtype"], one["shape"]) for one in both["inputs"]]) == (
        "tensors", [("k", "int32", [-1]), ("x", "float32", [-1, 4])],
    )  # fmt: skip
    outputs = {
        method: [(one["name"], one["shape"]) for one in specs]
        for method, specs in document["outputs"].items()
    }
    assert outputs == {
        "predict": [("predict", [-1, 3])],
        "both": [("k", [-1]), ("label", [-1]), ("row", [-1, 4])],
    }


@pytest.mark.parametrize("n_rows", [1, 64])
def test_answers_are_the_loaded_functions_own(folder: Path, iris: Predictor, n_rows: int) -> None:
    own = tf.saved_model.load(str(folder / "iris"))
    rows = models.ROWS[:n_rows]
    assert same(ask(iris, "predict", rows), own.signatures["serving_default"](x=rows)["scores"].numpy())
    k = np.arange(n_rows, dtype=np.int32)
    expected = own.signatures["both"](x=tf.constant(rows), k=tf.constant(k))
    records = [{"x": row.tolist(), "k": int(one)} for row, one in zip(rows, k, strict=True)]
    given = ask(iris, "both", records)
    assert given.keys() == expected.keys()
    assert all(same(given[name], expected[name].numpy()) for name in expected)


def test_rows_are_checked_by_the_signature_of_the_method(iris: Predictor) -> None:
    with pytest.raises(SignatureMismatch, match="column 'k': expected int32, received nothing"):
        ask(iris, "both", [{"x": [1, 2, 3, 4]}])
    with pytest.raises(SignatureMismatch, match="rows as lists"):
        ask(iris, "predict", [{"x": [1, 2, 3, 4], "k": 1}])
    with pytest.raises(SignatureMismatch):
        ask(iris, "predict", [[1, 2, 3]])


def test_an_example_is_shown_and_must_fit(folder: Path) -> None:
    runtime = runtimes.load(folder / "iris", example=models.ROWS[:2])
    assert list(runtime.example_rows()) == models.ROWS[:2].tolist()
    with pytest.raises(ConfigurationError, match="The example does not fit"):
        runtimes.load(folder / "iris", example=models.ROWS[:2, :3])


def test_every_method_has_example_rows_that_it_takes(
    iris: Predictor, words: Predictor, odd: Predictor
) -> None:
    for predictor in (iris, words, odd):
        for method in predictor.runtime.methods:
            if method != "broken_text":
                ask(predictor, method, predictor.example_rows(method))


def test_an_example_is_as_large_as_the_graph_needs(odd: Predictor) -> None:
    (row,) = odd.example_rows("large")
    assert np.shape(row) == (32, 32, 3)


def test_a_batch_option_is_for_functions(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="batch=True is for functions"):
        load(tf.saved_model.load(str(folder / "iris")), batch=True)


# Kinds of inputs and outputs ---------------------------------------------------------------------


def test_texts_go_in_and_come_out(words: Predictor) -> None:
    assert words.signature.inputs[0].dtype == "str"
    answer = ask(words, "predict", ["green", "größe", "red"])
    assert answer["index"].tolist() == [1, 3, 0]
    assert answer["upper"].tolist() == ["GREEN", "GRößE", "RED"]


def test_ragged_rows_are_lists_of_any_length(words: Predictor) -> None:
    spec = words.signature.of("count").inputs[0]
    assert (spec.name, spec.shape, spec.ragged_rank) == ("texts", (-1, -1), 1)
    answer = ask(words, "count", [["a", "b"], [], ["c"]])
    assert answer["n"].tolist() == [2, 0, 1]
    assert answer["upper"].tolist() == [["A", "B"], [], ["C"]]
    with pytest.raises(SignatureMismatch, match="expected str, received 1"):
        ask(words, "count", [["a"], [1]])


@pytest.mark.parametrize("rows", [[[[]]], [[]], [[], [[[1.0, 2.0]], []], [[], [[3.0, 4.0], [5.0, 6.0]]]]])
def test_ragged_rows_may_be_ragged_below_too(odd: Predictor, rows: Any) -> None:
    doubled = tf.ragged.constant(rows, ragged_rank=2, inner_shape=(2,)) * 2
    assert ask(odd, "deep", rows).tolist() == doubled.to_list()


def test_a_graph_of_a_fixed_number_of_rows_gets_as_many(odd: Predictor) -> None:
    rows = np.arange(38, dtype=np.float32).reshape(19, 2)
    assert ask(odd, "eight", rows).tolist() == (rows * 2).tolist()
    assert ask(odd, "eight", rows[:1]).tolist() == (rows[:1] * 2).tolist()
    assert ask(odd, "one", rows[:3]).tolist() == rows[:3].sum(1).tolist()


def test_what_has_no_rows_gets_one_at_a_time(odd: Predictor) -> None:
    with pytest.raises(SignatureMismatch):
        ask(odd, "total", [[1, 2, 3]])
    assert ask(odd, "total", [[1, 2], [3, 4]]).tolist() == [3, 7]


@pytest.mark.parametrize(
    ("method", "rows", "expected", "dtype"),
    [
        ("image", [[[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [0, 255, 1]]]], [255], "uint8"),
        ("brief", [[0.5, 2], [3, 4]], [[1.5, 3], [4, 5]], "float32"),
        ("half", [[0.5, 2]], [[1.5, 3]], "float16"),
        ("negate", [True, False], [False, True], "bool"),
        ("pick", [1, 0], [2.0, 1.0], "float32"),
        ("any_length", [[1, 2, 3], [3, 4, 5]], [2, 4], "float32"),
    ],
)
def test_dtypes_are_the_graphs(odd: Predictor, method: str, rows: Any, expected: Any, dtype: str) -> None:
    answer = ask(odd, method, rows)
    assert answer.tolist() == expected
    assert answer.dtype == dtype
    (spec,) = odd.signature.outputs[method]
    assert spec.dtype == dtype


def test_an_image_of_other_numbers_is_refused(odd: Predictor) -> None:
    with pytest.raises(SignatureMismatch, match="uint8, received 256"):
        ask(odd, "image", [[[[256] * 3] * 2] * 2])


def test_bytes_stay_bytes_where_the_name_says_so_and_else_are_an_error(odd: Predictor) -> None:
    assert ask(odd, "raw", ["x"]).tolist() == [b"\xff\x00x"]
    with pytest.raises(ModelError, match="'y' is no text; name it y_bytes"):
        ask(odd, "broken_text", ["x"])


def test_signatures_that_cannot_be_served_are_told(odd: Predictor) -> None:
    told = "\n".join(odd.runtime.warnings)
    for name, why in {
        "rowless": "different numbers of rows",
        "sparse": "is a SparseTensor",
        "shapeless": "any number of axes",
        "complex_numbers": "complex64",
        "not a name": "cannot stand in a URL",
    }.items():
        assert name not in odd.runtime.methods
        assert f"the signature {name!r} is not served" in told
        assert why in told


def test_rows_that_the_graph_refuses_are_the_clients_fault(odd: Predictor) -> None:
    with pytest.raises(ModelRefused, match=r"\Aindices\[0\] = 7 is not in \[0, 2\)\Z"):
        ask(odd, "pick", [7])


def test_a_text_that_is_no_unicode_is_refused(words: Predictor) -> None:
    request = InferenceRequest(Rows(["\ud800"]))
    with pytest.raises(ModelRefused, match="UTF-8"):
        words.predict("predict", request, FOREVER)


# Planning ----------------------------------------------------------------------------------------


def test_only_what_treats_rows_one_by_one_is_joined(odd: Predictor) -> None:
    odd.settle()
    plan = odd.plan()
    assert plan["state"] == "settled"
    assert set(plan["kept_alone"]) == {"mixing", "broken_text"}
    assert plan["methods"]["pick"][0]["engine"] == "native"


# Where models come from --------------------------------------------------------------------------


def test_a_keras_models_export_is_a_saved_model(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.export(str(tmp_path / "exported"), verbose=False)
    served = load(tmp_path / "exported", batching=False)
    assert served.methods == ("predict", "serve")
    assert same(served.predict(models.ROWS), model(models.ROWS).numpy())


def test_a_module_in_memory_is_a_model() -> None:
    module = models.Iris()
    served = load(module, batching=False)
    assert set(served.methods) == {"both", "scores"}
    assert same(served.scores(models.ROWS), module.scores(models.ROWS)["scores"].numpy())
    assert runtimes.wrap(module).digest() is None


class Called(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="i")])
    def __call__(self, i: Any) -> Any:
        return i * 2


class OneFunction(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="i")])
    def double(self, i: Any) -> Any:
        return i * 2


@pytest.mark.parametrize("kind", [Called, OneFunction])
def test_a_modules_call_or_only_function_is_predict(kind: type[tf.Module]) -> None:
    served = load(kind(), batching=False)
    assert served.methods == ("predict",)
    assert served.predict([1, 2]).tolist() == [2, 4]


def test_a_module_without_a_signature_says_what_is_missing() -> None:
    with pytest.raises(LoadError, match=r"no tf\.function with an input_signature"):
        runtimes.wrap(tf.Module())


def test_a_loaded_model_is_a_model(folder: Path) -> None:
    runtime = runtimes.wrap(tf.saved_model.load(str(folder / "iris")))
    assert isinstance(runtime, TensorflowRuntime)
    assert runtime.methods == ("predict", "both")


def test_a_model_without_signatures_says_what_is_missing(tmp_path: Path) -> None:
    tf.saved_model.save(tf.Module(), str(tmp_path / "model"))
    with pytest.raises(LoadError, match=r"model: It has no signatures.*signatures=\.\.\."):
        runtimes.load(tmp_path / "model")


def test_what_tensorflow_1_saved_is_a_model(tmp_path: Path) -> None:
    predictor = predictor_of(models.save_as_version_1(tmp_path / "old"))
    weights = models.Iris().weights.numpy()
    assert ask(predictor, "predict", models.ROWS).tolist() == tf.matmul(models.ROWS, weights).numpy().tolist()
    assert ask(predictor, "find", ["blue", "grey"]).tolist() == [2, 3]


def test_a_default_signature_wins_over_one_called_predict(tmp_path: Path) -> None:
    module = models.Odd()
    signatures = {"serving_default": module.pick, "predict": module.negate}
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=signatures)
    runtime = runtimes.load(tmp_path / "model")
    assert runtime.signature.inputs[0].dtype == "int32"
    assert runtime.warnings == (
        "the signature 'predict' is not served: serving_default answers to that name",
    )


def test_loading_a_model_twice_gives_two(folder: Path) -> None:
    first, second = (runtimes.load(folder / "iris") for _ in range(2))
    tensors = {"x": models.ROWS[:3]}
    assert same(first.run("predict", tensors, {})["predict"], second.run("predict", tensors, {})["predict"])
    assert first.digest() == second.digest() == runtimes.inspect(folder / "iris").sha256


def test_looking_at_a_folder_imports_nothing(folder: Path) -> None:
    script = f"""
        import sys
        from demijohn import runtimes
        artifact = runtimes.inspect({str(folder / "iris")!r})
        assert (artifact.format, artifact.framework) == ("savedmodel", "tensorflow")
        assert not (artifact.runs_code or artifact.survives_fork)
        assert "tensorflow" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)


def test_a_missing_tensorflow_is_told_with_the_extra_that_brings_it(folder: Path) -> None:
    script = f"""
        import sys
        sys.modules["tensorflow"] = None
        del sys.modules["tensorflow"]
        from demijohn import errors, runtimes

        class Absent:
            def find_spec(self, name, path=None, target=None):
                if name == "tensorflow":
                    raise ModuleNotFoundError("No module named 'tensorflow'", name=name)

        sys.meta_path.insert(0, Absent())
        try:
            runtimes.load({str(folder / "iris")!r})
        except errors.MissingExtra as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], check=True, capture_output=True, text=True
    )
    assert (
        'iris needs tensorflow, which is not installed: pip install "demijohn[tensorflow-cpu]"' in done.stdout
    )
