"""Reading a saved_model.pb by hand: what it tells, and that nothing in it surprises the reader."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import tensorflow_models as models

from demijohn.errors import DemijohnError, LoadError
from demijohn.runtimes.folders import read_folder
from demijohn.runtimes.tensorflow_graph import GRAPH, read_graphs
from demijohn.runtimes.tensorflow_safety import check_graphs


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.save_words(tmp_path_factory.mktemp("models") / "words")


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.save_as_version_1(tmp_path_factory.mktemp("models") / "old")


@pytest.mark.parametrize("name", ["words", "old"])
def test_every_operation_is_read(name: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(name)
    (theirs,) = models.read_graph(folder).meta_graphs
    (ours,) = read_graphs((folder / "saved_model.pb").read_bytes())
    expected = {GRAPH: [(node.name, node.op, list(node.input)) for node in theirs.graph_def.node]} | {
        function.signature.name: [(node.name, node.op, list(node.input)) for node in function.node_def]
        for function in theirs.graph_def.library.function
    }
    assert {
        one.name: [(node.name, *node.ops, node.inputs) for node in one.nodes] for one in ours.functions
    } == expected
    calls = {
        value.func.name
        for function in theirs.graph_def.library.function
        for node in function.node_def
        for value in node.attr.values()
        if value.HasField("func")
    }
    assert {name for one in ours.functions if one.name for node in one.nodes for name in node.calls} == calls
    assert ours.version == theirs.meta_info_def.tensorflow_version
    assert ours.has_objects is theirs.HasField("object_graph_def")
    assert list(ours.assets) == ["vocabulary.txt"]
    assert ours.bound == {
        name: [list(one.bound_inputs)] for name, one in theirs.object_graph_def.concrete_functions.items()
    }


def read_and_judge(content: bytes, folder: Path) -> None:
    check_graphs(read_graphs(content), read_folder(folder), is_trusted=False)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_whatever_is_changed_in_a_file_is_read_or_refused(words: Path, data: st.DataObject) -> None:
    content = bytearray((words / "saved_model.pb").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    length = data.draw(st.one_of(st.none(), st.integers(0, len(content))))
    with suppress(DemijohnError):
        read_and_judge(bytes(content[:length]), words)


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=64))
def test_whatever_is_no_graph_is_read_or_refused(words: Path, content: bytes) -> None:
    with suppress(LoadError):
        read_and_judge(content, words)


def nested(depth: int) -> bytes:
    """Return a node with functions in the attributes of functions."""
    value = b""
    for _ in range(depth):
        function = b"\x0a\x01f" + field(2, field(2, value))
        value = field(10, function)
    node = field(2, b"Identity") + field(5, field(2, value))
    return field(2, field(2, field(1, node)))


def field(number: int, content: bytes) -> bytes:
    length, size = len(content), b""
    while length >= 0x80:
        size += bytes([length & 0x7F | 0x80])
        length >>= 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + content


def test_functions_inside_functions_end_somewhere() -> None:
    (graph,) = read_graphs(nested(3))
    assert graph.functions[0].nodes[0].calls == {"f"}
    with pytest.raises(LoadError, match="too deep"):
        read_graphs(nested(100))


def test_a_function_without_a_name_is_refused() -> None:
    function = field(1, field(1, b""))
    with pytest.raises(LoadError, match="a function has no name"):
        read_graphs(field(2, field(2, field(2, field(1, function)))))
