"""ONNX files that were made to harm their reader, and what honest ones tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import onnx_models
from tests.onnx_models import BOOL, FLOAT, WEIGHTS, affine, constant, helper, model, node, save, value

from demijohn.errors import LoadError
from demijohn.runtimes import inspect, load
from demijohn.runtimes.onnx_file import MAX_DEPTH, is_onnx, read_facts

HONEST: bytes = affine().SerializeToString()


def nested(depth: int) -> Any:
    """An If whose branches hold an If, and so on."""
    result = [value("y", FLOAT, ["n"])]
    graph = helper.make_graph([node("Identity", ["x"], ["y"])], "leaf", [], result)
    for level in range(depth):
        branch = node("If", ["c"], ["y"], then_branch=graph, else_branch=graph if level < 2 else _leaf())
        graph = helper.make_graph([branch], f"level{level}", [], result)
    return model(
        [node("If", ["c"], ["y"], then_branch=graph, else_branch=_leaf())],
        [value("x", FLOAT, ["n"]), value("c", BOOL, [])], result,
    )  # fmt: skip


def _size(length: int) -> bytes:
    size = b""
    while length > 127:
        size += bytes([length & 127 | 128])
        length >>= 7
    return size + bytes([length])


def _leaf() -> Any:
    return helper.make_graph([node("Identity", ["x"], ["y"])], "leaf", [], [value("y", FLOAT, ["n"])])


def declared(dims: list[int], raw: bytes = b"") -> Any:
    tensor = constant("W", WEIGHTS)
    tensor.dims[:] = dims
    tensor.raw_data = raw
    return tensor


def with_tensor(tensor: Any) -> Any:
    proto = affine()
    proto.graph.initializer[0].CopyFrom(tensor)
    return proto


def test_an_onnx_file_is_told_by_its_content(tmp_path: Path) -> None:
    artifact = inspect(save(affine(), tmp_path / "anything"))
    assert (artifact.format, artifact.framework, artifact.runs_code, artifact.survives_fork) == (
        "ONNX", "onnx", False, False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x08",
        b"\x08\x0a",
        b"\x80\x04.",
        b"x,y\n1,2\n",
        b"PK\x03\x04",
        b"\x08\x00" + HONEST[2:],
        HONEST[2:],
        b"\x08\x0a\x0b",
        bytes(100),
        b"\x00\x00\x00\x00ORTM",
    ],
)
def test_other_content_is_no_onnx_file(content: bytes) -> None:
    assert not is_onnx(content)


def test_tensors_that_declare_more_than_they_hold_are_refused() -> None:
    for tensor in (declared([10**18]), declared([2**62, 2**62]), declared([10**9], b"1234")):
        with pytest.raises(LoadError, match=r"declares .* elements and holds"):
            read_facts(with_tensor(tensor).SerializeToString())
    with pytest.raises(LoadError, match="negative dimension"):
        read_facts(with_tensor(declared([-4, 3])).SerializeToString())


def test_a_constant_inside_a_node_is_looked_at_too() -> None:
    proto = model([node("Constant", [], ["y"], value=declared([10**15]))], [], [value("y", FLOAT, None)])
    with pytest.raises(LoadError, match="declares"):
        read_facts(proto.SerializeToString())


def test_a_sparse_tensor_that_would_fill_the_memory_is_refused() -> None:
    proto = affine()
    sparse = proto.graph.sparse_initializer.add()
    sparse.dims[:] = [10**6, 10**6]
    with pytest.raises(LoadError, match="sparse tensor declares 1,000,000,000,000 elements"):
        read_facts(proto.SerializeToString())


def test_graphs_lie_in_graphs_so_deep_and_no_deeper() -> None:
    read_facts(nested(MAX_DEPTH - 2).SerializeToString())
    with pytest.raises(LoadError, match="graphs lie in graphs more than"):
        read_facts(nested(MAX_DEPTH).SerializeToString())


def test_a_file_of_nothing_but_nesting_ends_early() -> None:
    message = b""
    for tag in (0x32, 0x2A, 0x0A) * 5_000:  # a graph in an attribute in a node in a graph ...
        message = bytes([tag]) + _size(len(message)) + message
    with pytest.raises(LoadError, match="graphs lie in graphs"):
        read_facts(b"\x08\x0a\x3a" + _size(len(message)) + message)


def test_millions_of_numbers_with_a_tag_each_are_passed_over() -> None:
    attribute = helper.make_attribute("nodes_values", [1.5] * 200_000)
    proto = model([], [value("x", FLOAT, ["n"])], [])
    proto.graph.node.add(op_type="Anything").attribute.append(attribute)
    proto.graph.node[0].attribute.append(helper.make_attribute("nodes_ids", list(range(200_000))))
    assert read_facts(proto.SerializeToString()).externals == []


def test_labels_are_read_where_converters_write_them() -> None:
    assert read_facts(onnx_models.flowers()).labels == [["setosa", "versicolor", "virginica"]]
    assert read_facts(onnx_models.flowers(texts=False)).labels == [[0, 1, 2]]


@pytest.mark.parametrize("keep", [0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_file_that_is_cut_off_is_refused_in_one_line(tmp_path: Path, keep: float) -> None:
    content = onnx_models.flowers()
    path = save(content[: int(len(content) * keep)], tmp_path / "m.onnx")
    with pytest.raises(LoadError, match=r"broken ONNX file|no known format") as caught:
        load(path)
    assert "\n" not in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_file_with_flipped_bits_is_refused_or_served_and_ends_nothing(data: st.DataObject) -> None:
    content = bytearray(onnx_models.flowers())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        read_facts(bytes(content))
    except LoadError:
        return


def test_files_with_flipped_bits_are_loaded_or_refused(tmp_path: Path) -> None:
    content = onnx_models.flowers()
    n_refused = 0
    for at in range(0, len(content), 9):
        flipped = bytearray(content)
        flipped[at] ^= 0x11
        try:
            load(save(bytes(flipped), tmp_path / "m.onnx"))
        except LoadError:
            n_refused += 1
    assert n_refused > 10
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]
