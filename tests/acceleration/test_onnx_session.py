"""A session runs a graph quietly, in the caller's thread, or says why it cannot."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest

from demijohn.acceleration.engine import StepAside, Unconvertible
from demijohn.acceleration.onnx_session import first_line, open_session

pytest.importorskip("onnxruntime")
helper = pytest.importorskip("onnx.helper")
DOUBLE = 11


def graph_of(operator, domain=""):
    """Write a graph of one operator, from X (n_rows, 3) to Y, float64."""
    value = helper.make_tensor_value_info
    node = helper.make_node(operator, ["X"], ["Y"], domain=domain)
    graph = helper.make_graph([node], "one", [value("X", DOUBLE, [None, 3])], [value("Y", DOUBLE, [None, 3])])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


def test_a_graph_is_run_on_arrays_by_name():
    session = open_session(graph_of("Neg"))
    rows = np.arange(6.0).reshape(2, 3)
    (answer,) = session({"X": rows})
    assert answer.dtype == np.float64
    assert np.array_equal(answer, -rows)


def test_a_session_starts_no_threads():
    open_session(graph_of("Neg"))({"X": np.ones((1, 3))})
    before = psutil.Process().num_threads()
    sessions = [open_session(graph_of("Neg")) for _ in range(3)]
    for session in sessions:
        session({"X": np.ones((1000, 3))})
    assert psutil.Process().num_threads() == before


def test_many_threads_may_run_it_at_once():
    session = open_session(graph_of("Neg"))
    rows = [np.full((50, 3), float(i)) for i in range(64)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda matrix: session({"X": matrix})[0], rows))
    assert all(np.array_equal(answer, -matrix) for answer, matrix in zip(answers, rows, strict=True))


@pytest.mark.parametrize("inputs", [{"X": np.ones((1, 4))}, {"X": np.ones((1, 3), np.float32)}, {}])
def test_what_the_runtime_fails_on_is_the_frameworks_to_answer(inputs, capfd):
    session = open_session(graph_of("Neg"))
    with pytest.raises(StepAside, match="onnxruntime failed: "):
        session(inputs)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "graph", [b"no graph", graph_of("Imputer", "ai.onnx.ml"), graph_of("NoSuchOperator")]
)
def test_a_graph_that_the_runtime_refuses_is_unconvertible_in_one_quiet_line(graph, capfd):
    with pytest.raises(Unconvertible) as caught:
        open_session(graph)
    text = str(caught.value)
    assert text.startswith("onnxruntime refuses the graph: ")
    assert "\n" not in text
    assert "[ONNXRuntimeError]" not in text
    assert capfd.readouterr() == ("", "")


def test_without_onnxruntime_the_reason_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(
        Unconvertible, match=r"^onnxruntime is not installed: pip install 'demijohn\[accel\]'$"
    ):
        open_session(graph_of("Neg"))


def test_an_errors_text_is_one_short_line():
    assert first_line(ValueError("first\n  second")) == "first second"
    assert first_line(ValueError()) == "ValueError"
    assert first_line(ValueError("x" * 1000)) == "x" * 197 + "..."
