"""ONNX graphs as models: what they take, what they answer, and through a real server."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LinearRegression
from tests import onnx_models
from tests.onnx_models import BOOL, FLOAT, INT64, WEIGHTS, affine, constant, model, node, own, save, value
from tests.servers import DEMIJOHN, serving, until

from demijohn import load
from demijohn.errors import ConfigurationError, LoadError, ModelRefused
from demijohn.messages import Records, Rows
from demijohn.runtimes import inspect, wrap
from demijohn.runtimes import load as load_runtime
from demijohn.runtimes.graph import GraphRuntime

ROWS = np.random.default_rng(1).normal(size=(64, 4)).astype(np.float32)


def runtime(proto: Any, example: Any = None) -> GraphRuntime:
    found = wrap(proto, example=example)
    assert isinstance(found, GraphRuntime)
    return found


def answer(found: GraphRuntime, rows: Any, method: str = "predict") -> Any:
    given = Records(rows) if isinstance(rows[0], dict) else Rows(rows)
    outputs = found.run(method, found.signature.validate(given), {})
    return outputs[method] if list(outputs) == [method] else outputs


# What a graph takes and answers -------------------------------------------------------------


def test_one_input_is_a_matrix_and_one_output_is_predict() -> None:
    found = runtime(affine())
    assert str(found.signature) == "x: float32 (n_rows, 4)"
    assert found.methods == ("predict",)
    assert found.signature.outputs["predict"][0].shape == (-1, 3)
    rows = ROWS[:3]
    np.testing.assert_array_equal(answer(found, rows.tolist()), own(affine(), {"x": rows})[0])


def test_several_inputs_are_tensors_by_name_and_several_outputs_a_record() -> None:
    found = runtime(onnx_models.mixed())
    assert found.signature.layout == "tensors"
    assert [(spec.name, spec.dtype, spec.shape) for spec in found.signature.inputs] == [
        ("image", "float32", (-1, 2, 2)), ("ids", "int64", (-1, 3)),
    ]  # fmt: skip
    outputs = answer(found, [{"image": [[1, 2], [3, 4.5]], "ids": [1, 2, 3]}])
    assert {name: array.tolist() for name, array in outputs.items()} == {"brightness": [10.5], "total": [6]}


def test_several_columns_are_a_table() -> None:
    proto = model(
        [node("Concat", ["a", "b"], ["both"], axis=1)],
        [value("a", FLOAT, ["n", 1]), value("b", FLOAT, ["n", 1])], [value("both", FLOAT, ["n", 2])],
    )  # fmt: skip
    found = runtime(proto)
    assert found.signature.columns == ("a", "b")
    assert answer(found, [{"a": 1, "b": 2}, {"b": 4, "a": 3}]).tolist() == [[1, 2], [3, 4]]


def test_texts_go_in() -> None:
    found = runtime(onnx_models.cities())
    assert found.signature.layout == "vector"
    assert answer(found, ["Größe", "Oslo", "nowhere"]).tolist() == [8, 7, -1]


@pytest.mark.parametrize(
    ("kind", "dtype", "cell"),
    [
        (BOOL, "bool", True),
        (INT64, "int64", 5),
        (FLOAT, "float32", 1.5),
        (10, "float16", 1.5),
        (11, "float64", 0.1),
        (2, "uint8", 200),
        (6, "int32", -7),
    ],
)
def test_every_dtype_that_numpy_has_comes_through(kind: int, dtype: str, cell: Any) -> None:
    proto = model(
        [node("Identity", ["x"], ["y"])], [value("x", kind, ["n", 2])], [value("y", kind, ["n", 2])]
    )
    found = runtime(proto)
    assert found.signature.inputs[0].dtype == dtype
    result = answer(found, [[cell, cell]])
    assert (result.dtype, result.tolist()) == (dtype, [[cell, cell]])


def test_an_initializer_is_no_input() -> None:
    proto = model(
        [node("MatMul", ["x", "W"], ["y"])],
        [value("x", FLOAT, ["n", 4]), value("W", FLOAT, [4, 3])], [value("y", FLOAT, ["n", 3])],
        constant("W", WEIGHTS),
    )  # fmt: skip
    assert [spec.name for spec in runtime(proto).signature.inputs] == ["x"]


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("texts", [True, False])
def test_a_classifier_of_skl2onnx_has_its_methods_and_classes(zipmap: bool, texts: bool) -> None:
    content = onnx_models.flowers(zipmap=zipmap, texts=texts)
    import onnx

    found = runtime(onnx.load_from_string(content))
    assert found.methods == ("predict", "predict_proba")
    classes = ["setosa", "versicolor", "virginica"] if texts else [0, 1, 2]
    assert found.classes("predict_proba") == classes
    assert found.classes("predict") is None
    rows = onnx_models.iris_rows(150)[::30]
    labels, probabilities = own(content, {"X": rows})
    assert answer(found, rows.tolist()).tolist() == labels.tolist()
    if zipmap:
        probabilities = [[row[label] for label in classes] for row in probabilities]
    np.testing.assert_array_equal(answer(found, rows.tolist(), "predict_proba"), probabilities)


def test_labels_and_scores_whose_classes_are_unknown_are_one_record() -> None:
    proto = model(
        [node("ArgMax", ["x"], ["label"], axis=1, keepdims=0), node("Softmax", ["x"], ["probabilities"])],
        [value("x", FLOAT, ["n", 3])],
        [value("label", INT64, ["n"]), value("probabilities", FLOAT, ["n", 3])],
    )  # fmt: skip
    found = runtime(proto)
    assert found.methods == ("predict",)
    assert list(answer(found, [[1, 2, 3]])) == ["label", "probabilities"]


# Rows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("n_rows", [1, 3, 4, 9])
def test_a_fixed_number_of_rows_is_filled_up_and_cut(size: int, n_rows: int) -> None:
    found = runtime(affine(size))
    assert found.signature.inputs[0].shape == (-1, 4)
    expected = own(affine(), {"x": ROWS[:n_rows]})[0]
    np.testing.assert_allclose(answer(found, ROWS[:n_rows].tolist()), expected, rtol=1e-6)
    assert found.warnings == ()


def test_a_graph_without_an_axis_of_rows_gets_one_row_at_a_time() -> None:
    found = runtime(onnx_models.norm())
    assert answer(found, [[1, 2], [3, 4]]).tolist() == [3, 7]
    assert "each row is a call of its own" in found.warnings[0]


def test_an_input_without_axes_is_one_number_a_row() -> None:
    proto = model(
        [node("Mul", ["x", "k"], ["y"])],
        [value("x", FLOAT, [1, 2]), value("k", FLOAT, [])], [value("y", FLOAT, [1, 2])],
    )  # fmt: skip
    found = runtime(proto)
    rows = [{"x": [1, 2], "k": 10}, {"x": [3, 4], "k": 100}]
    assert answer(found, rows).tolist() == [[10, 20], [300, 400]]


def test_inputs_of_different_numbers_of_rows_are_refused() -> None:
    proto = model(
        [node("Concat", ["a", "b"], ["y"], axis=0)],
        [value("a", FLOAT, [2, 3]), value("b", FLOAT, [5, 3])], [value("y", FLOAT, [7, 3])],
    )  # fmt: skip
    with pytest.raises(LoadError, match=r"different numbers of rows at a time.*a \[2, 3\], b \[5, 3\]"):
        runtime(proto)


def test_sizes_that_vary_are_any_and_so_are_those_of_the_answer() -> None:
    proto = model(
        [node("Neg", ["x"], ["y"])], [value("x", FLOAT, ["n", "t", 2])], [value("y", FLOAT, ["n", "t", 2])]
    )
    found = runtime(proto)
    assert found.signature.inputs[0].shape == (-1, -1, 2)
    assert found.signature.outputs["predict"][0].shape == (-1, -1, 2)
    assert answer(found, [[[1, 2], [3, 4], [5, 6]]]).tolist() == [[[-1, -2], [-3, -4], [-5, -6]]]


def test_what_the_graph_refuses_is_the_rows_fault() -> None:
    handle = load(onnx_models.lookup())
    with pytest.raises(ModelRefused, match="idx=99 must be within"):
        handle.predict([99])
    np.testing.assert_array_equal(handle.predict([2]), WEIGHTS[2:3])


# Examples -----------------------------------------------------------------------------------


def test_an_example_names_the_columns_of_a_matrix() -> None:
    found = runtime(affine(), example=[{"a": 1, "b": 2, "c": None, "d": 4}])
    assert found.signature.columns == ("a", "b", "c", "d")
    assert [spec.nullable for spec in found.signature.inputs] == [False, False, True, False]
    record = dict(zip("dcba", reversed(ROWS[0].tolist()), strict=True))
    np.testing.assert_array_equal(answer(found, [record]), own(affine(), {"x": ROWS[:1]})[0])


def test_an_example_keeps_the_graphs_dtype() -> None:
    found = runtime(affine(), example=np.ones((2, 4)))
    assert found.signature.inputs[0].dtype == "float32"
    assert found.example_rows() == [[1.0] * 4] * 2


def test_an_example_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="does not fit"):
        runtime(affine(), example=[[1, 2, 3]])
    with pytest.raises(ConfigurationError, match="3 columns, and the model takes 4"):
        runtime(affine(), example=[{"a": 1, "b": 2, "c": 3}])


# What it says of itself ---------------------------------------------------------------------


def test_a_graph_that_fails_on_its_example_says_so() -> None:
    refused = runtime(onnx_models.lookup(), example=[99])
    assert refused.fails_on_example
    assert ["give one that it takes" in warning for warning in refused.warnings] == [True]
    taken = runtime(onnx_models.lookup(), example=[1])
    assert (taken.fails_on_example, taken.warnings) == (False, ())


def test_a_file_says_who_made_it() -> None:
    proto = affine(
        producer_name="us", doc_string="Three numbers of four.", model_version=3, domain="test.example"
    )
    proto.metadata_props.add(key="author", value="Ada")
    assert runtime(proto).metadata == {
        "author": "Ada",
        "producer_name": "us",
        "graph_name": "test",
        "domain": "test.example",
        "version": "3",
        "description": "Three numbers of four.",
    }


@pytest.mark.parametrize(
    ("proto", "complaint"),
    [
        (
            model(
                [node("Foo", ["x"], ["y"], domain="evil")],
                [value("x", FLOAT, ["n"])],
                [value("y", FLOAT, ["n"])],
            ),
            "refuses it",
        ),
        (
            model([node("Nope", ["x"], ["y"])], [value("x", FLOAT, ["n"])], [value("y", FLOAT, ["n"])]),
            "refuses it",
        ),
        (model([], [], [value("W", FLOAT, [4, 3])], constant("W", WEIGHTS)), "no inputs"),
        (
            model(
                [node("SequenceConstruct", ["x"], ["y"])],
                [value("x", FLOAT, ["n"])],
                [onnx_models.helper.make_tensor_sequence_value_info("y", FLOAT, None)],
            ),
            r"output 'y' is a seq",
        ),
        (
            model([node("Identity", ["x"], ["y"])], [value("x", 16, ["n"])], [value("y", 16, ["n"])]),
            "bfloat16",
        ),
        (affine(0), "size 0"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_line(proto: Any, complaint: str) -> None:
    with pytest.raises(LoadError, match=complaint) as caught:
        runtime(proto)
    assert "\n" not in str(caught.value)
    assert "onnxruntime_src" not in str(caught.value)


def test_an_opset_of_the_future_is_refused_in_words() -> None:
    proto = affine()
    proto.opset_import[0].version = 99
    with pytest.raises(LoadError, match="refuses it: ONNX Runtime only"):
        runtime(proto)


def test_a_device_that_is_not_here_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="needs onnxruntime-gpu"):
        wrap(affine(), device="cuda")
    with pytest.raises(ConfigurationError, match="no device 'tpu'"):
        wrap(affine(), device="tpu")
    assert wrap(affine(), device="cpu").methods == ("predict",)


def test_models_without_a_device_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="only models of onnx, torch have a device"):
        wrap(len, device="cpu")
    skops.io.dump(LinearRegression().fit([[1.0]], [1.0]), tmp_path / "line.skops")
    command = [*DEMIJOHN, "serve", str(tmp_path / "line.skops"), "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "no model here has one" in done.stderr


def test_a_missing_onnxruntime_is_told_with_the_extra_that_brings_it(tmp_path: Path) -> None:
    path = save(affine(), tmp_path / "m.onnx")
    script = f"""
        import sys
        from demijohn import errors, runtimes

        sys.modules["onnxruntime"] = None
        try:
            runtimes.load({str(path)!r})
        except errors.MissingExtra as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], check=True, capture_output=True, text=True
    )
    assert "needs onnxruntime, which is not installed" in done.stdout
    assert 'pip install "demijohn[onnx]"' in done.stdout


# Engines ------------------------------------------------------------------------------------


def test_short_calls_run_in_the_requests_own_thread() -> None:
    handle = load(affine(), acceleration="exact")
    until(lambda: handle.plan["state"] == "settled")
    ranges = handle.plan["methods"]["predict"]
    assert ranges[0]["engine"] == "onnx"
    assert handle.plan["kept_alone"] == {}
    np.testing.assert_array_equal(handle.predict(ROWS[:1]), own(affine(), {"x": ROWS[:1]})[0])
    np.testing.assert_array_equal(handle.predict(ROWS), own(affine(), {"x": ROWS})[0])


# Through the socket -------------------------------------------------------------------------


def test_a_server_answers_as_onnxruntime_itself(tmp_path: Path) -> None:
    iris, cities = save(onnx_models.flowers(), tmp_path / "iris.onnx"), tmp_path / "cities.onnx"
    save(onnx_models.cities(), cities)
    apart = onnx_models.save_apart(affine(producer_name="us"), tmp_path / "apart.onnx")
    mixed = save(onnx_models.mixed(), tmp_path / "mixed.onnx")
    with serving([iris, cities, apart, mixed], "--workers", "2", "--device", "cpu") as server:
        assert any("iris" in line for line in server.printed)
        for n_rows in (1, 64):
            rows = onnx_models.iris_rows(150)[:n_rows]
            labels, maps = own(iris, {"X": rows})
            said = server.post("/models/iris/predict", rows.tolist()).json()
            assert said["predictions"] == labels.tolist()
            said = server.post("/models/iris/predict_proba", rows.tolist()).json()
            assert said["classes"] == ["setosa", "versicolor", "virginica"]
            got = np.array(said["predictions"], np.float32)
            np.testing.assert_array_equal(got, [[row[label] for label in said["classes"]] for row in maps])
            said = server.post("/models/apart/predict", ROWS[:n_rows].tolist()).json()
            np.testing.assert_array_equal(
                np.array(said["predictions"], np.float32), own(apart, {"x": ROWS[:n_rows]})[0]
            )
        assert server.post("/models/cities/predict", ["Oslo", "?"]).json()["predictions"] == [7, -1]
        body = {"inputs": {"image": [[[1, 2], [3, 4]]], "ids": [[1, 2, 3]]}}
        said = server.post("/models/mixed/predict", body).json()
        assert said["predictions"] == [{"brightness": 10.0, "total": 6}]
        assert server.post("/models/mixed/predict", [{"ids": [1, 2]}]).status == 422
        described = server.get("/models/apart").json()
        assert described["metadata"]["producer_name"] == "us"
        assert described["framework"] == "onnx"
        assert inspect(apart).sha256
        assert load_runtime(apart).sha256 == inspect(apart).sha256
