"""Small ONNX graphs, made in the test that uses them."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_iris

Proto = Any
WEIGHTS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
FLOAT, INT64, STRING, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING, TensorProto.BOOL


def value(name: str, kind: int, shape: list[Any] | None) -> Proto:
    return helper.make_tensor_value_info(name, kind, shape)


def node(kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> Proto:
    return helper.make_node(kind, inputs, outputs, **attributes)


def model(
    nodes: list[Proto], inputs: list[Proto], outputs: list[Proto], *constants: Proto, **about: Any
) -> Proto:
    graph = helper.make_graph(nodes, "test", inputs, outputs, list(constants))
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, **about)


def constant(name: str, array: np.ndarray[Any, Any]) -> Proto:
    return numpy_helper.from_array(array, name)


def affine(rows: str | int = "n", **about: Any) -> Proto:
    """x (rows, 4) -> y (rows, 3)."""
    return model(
        [node("MatMul", ["x", "W"], ["y"])],
        [value("x", FLOAT, [rows, 4])], [value("y", FLOAT, [rows, 3])], constant("W", WEIGHTS), **about,
    )  # fmt: skip


def mixed() -> Proto:
    """Image (n, 2, 2) and ids (n, 3) -> their sums."""
    axes = constant("axes", np.array([1, 2]))
    last = constant("last", np.array([1]))
    return model(
        [
            node("ReduceSum", ["image", "axes"], ["brightness"], keepdims=0),
            node("ReduceSum", ["ids", "last"], ["total"], keepdims=0),
        ],
        [value("image", FLOAT, ["n", 2, 2]), value("ids", INT64, ["n", 3])],
        [value("brightness", FLOAT, ["n"]), value("total", INT64, ["n"])],
        axes, last,
    )  # fmt: skip


def cities() -> Proto:
    """Text (n,) -> number of the city; -1 for one that is not known."""
    encoder = node(
        "LabelEncoder", ["city"], ["number"], domain="ai.onnx.ml",
        keys_strings=["Oslo", "Größe", "New York"], values_int64s=[7, 8, 9], default_int64=-1,
    )  # fmt: skip
    return model([encoder], [value("city", STRING, ["n"])], [value("number", INT64, ["n"])])


def norm() -> Proto:
    """x (n, 2) -> one number for all rows together."""
    return model(
        [node("ReduceSum", ["x"], ["y"], keepdims=0)], [value("x", FLOAT, ["n", 2])], [value("y", FLOAT, [])]
    )


def lookup() -> Proto:
    """Row numbers of ``WEIGHTS`` (n,) -> its rows."""
    return model(
        [node("Gather", ["W", "i"], ["row"])],
        [value("i", INT64, ["n"])], [value("row", FLOAT, ["n", 3])], constant("W", WEIGHTS),
    )  # fmt: skip


@cache
def flowers(*, zipmap: bool = True, texts: bool = True) -> bytes:
    """A classifier of irises, converted by skl2onnx."""
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    rows, numbers = load_iris(return_X_y=True)
    labels = np.array(["setosa", "versicolor", "virginica"])[numbers] if texts else numbers
    estimator = LogisticRegression(max_iter=500).fit(rows, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # skl2onnx's own
        proto = to_onnx(
            estimator,
            rows[:1].astype(np.float32),
            options=None if zipmap else {id(estimator): {"zipmap": False}},
        )
    content: bytes = proto.SerializeToString()
    return content


def iris_rows(n_rows: int) -> np.ndarray[Any, Any]:
    return np.asarray(load_iris().data[:n_rows], np.float32)


def save(proto: Proto | bytes, path: Path) -> Path:
    path.write_bytes(proto if isinstance(proto, bytes) else proto.SerializeToString())
    return path


def save_apart(proto: Proto, path: Path, location: str = "weights.bin") -> Path:
    """Save a model with its weights in another file."""
    onnx.save_model(
        proto,
        path,
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=location,
        size_threshold=0,
    )
    return path


def own(content: Proto | bytes | Path, feeds: dict[str, Any]) -> list[Any]:
    """Return what onnxruntime itself answers."""
    if not isinstance(content, (bytes, Path)):
        content = content.SerializeToString()
    session = onnxruntime.InferenceSession(
        str(content) if isinstance(content, Path) else content, providers=["CPUExecutionProvider"]
    )
    found: list[Any] = session.run(None, feeds)
    return found
