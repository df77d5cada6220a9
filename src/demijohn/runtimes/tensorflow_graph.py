"""What a saved_model.pb holds, read without TensorFlow: operations by function, calls, tables, assets.

Rules of this room:
1. Nothing is judged here; ``tensorflow_safety`` does.
2. Where a field stands several times, all its occurrences are told: what TensorFlow would make of them is
   among these.

Source: tensorflow/core/protobuf/saved_model.proto, meta_graph.proto, saved_object_graph.proto, and
tensorflow/core/framework/graph.proto, function.proto, node_def.proto, attr_value.proto.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from demijohn.errors import LoadError

from .protobuf_wire import BYTES, Malformed, fields, varints

GRAPH = ""  #: The name of the graph itself among the functions.
_DEEPEST = 8
_LONGEST_TEXT = 16  # bytes of an attribute's text that anybody looks at
_KINDS = frozenset({4, 5, 6, 7, 8, 9, 10, 12})  # what an object may be, of which the last one counts
_ASSET = 5


@dataclass(frozen=True, slots=True)
class Node:
    """One operation."""

    name: str
    ops: Sequence[str]  #: Its operation; several only in a file that was made by hand.
    inputs: Sequence[str]
    calls: frozenset[str]  #: Functions that it may run.
    texts: Sequence[bytes]  #: How the texts among its attributes begin.
    n_elements: int  #: Of the largest tensor among its attributes, as declared.


@dataclass(frozen=True, slots=True)
class Function:
    """One function of a graph, or the graph itself."""

    name: str
    nodes: Sequence[Node]
    arguments: Sequence[str] = ()
    attributes: frozenset[str] = frozenset()  #: Their names.


@dataclass(slots=True)
class MetaGraph:
    """One graph of a SavedModel, with its functions and objects."""

    functions: list[Function] = field(default_factory=list)  #: The graph itself among them.
    fetches: set[str] = field(default_factory=set)  #: Nodes of the graph that signatures and start-up run.
    restores: set[str] = field(default_factory=set)  #: Nodes of the graph that fill the variables.
    assets: dict[str, str] = field(default_factory=dict)  #: File name -> the node of the graph that it fills.
    checkpoints: set[str] = field(default_factory=set)  #: Nodes that hold the path of the variables.
    #: Functions that objects run -> the objects that are bound to their last arguments, for each time that
    #: the function is told.
    bound: dict[str, list[list[int]]] = field(default_factory=dict)
    asset_objects: set[int] = field(default_factory=set)  #: Objects that stand for an asset's path.
    n_objects: int = 0
    has_objects: bool = False  #: Else it was saved as TensorFlow 1 does.
    version: str = ""  #: Of the TensorFlow that saved it.


def read_graphs(content: bytes) -> list[MetaGraph]:
    """Read a saved_model.pb.

    Raises:
        LoadError: it is none, or is cut off.
    """
    try:
        graphs = [_meta_graph(one) for one in _messages(memoryview(content), 2)]
    except Malformed as error:
        raise LoadError(f"saved_model.pb is broken: {error}") from error
    except UnicodeDecodeError as error:
        raise LoadError("saved_model.pb is broken: a name in it is no UTF-8") from error
    if not graphs:
        raise LoadError("saved_model.pb holds no graph")
    return graphs


def _meta_graph(message: memoryview) -> MetaGraph:
    graph = MetaGraph()
    nodes: list[Node] = []
    readers = {
        1: lambda part: _read_info(part, graph),
        2: lambda part: _read_graph_def(part, nodes, graph),
        3: lambda part: _read_saver(part, graph),
        4: lambda part: _read_collection(part, graph),
        5: lambda part: _read_signature(part, graph),
        6: lambda part: _read_asset(part, graph),
        7: lambda part: _read_objects(part, graph),
    }
    for number, kind, part in fields(message):
        if number in readers and kind == BYTES:
            readers[number](_view(part))
    graph.functions.append(Function(GRAPH, nodes))
    return graph


def _read_info(message: memoryview, graph: MetaGraph) -> None:
    for version in _texts(message, 5):
        graph.version = version


def _read_graph_def(message: memoryview, nodes: list[Node], graph: MetaGraph) -> None:
    nodes += map(_node, _messages(message, 1))
    for library in _messages(message, 2):
        graph.functions += map(_function, _messages(library, 1))


def _function(message: memoryview) -> Function:
    name, arguments = "", []
    for signature in _messages(message, 1):
        for name in _texts(signature, 1):  # noqa: B007  - the last one counts
            pass
        arguments += [text for argument in _messages(signature, 2) for text in _texts(argument, 1)]
    if not name:  # it would be taken for the graph itself
        raise Malformed("a function has no name")
    attributes = frozenset(key for entry in _messages(message, 5) for key in _texts(entry, 1))
    return Function(name, list(map(_node, _messages(message, 3))), arguments, attributes)


def _node(message: memoryview) -> Node:
    name, ops, inputs, attributes = "", [], [], _Attributes()
    for number, kind, part in fields(message):
        if kind != BYTES:
            continue
        if number == 1:
            name = _text(part)
        elif number == 2:
            ops.append(_text(part))
        elif number == 3:
            inputs.append(_text(part))
        elif number == 5:
            attributes.read_entry(_view(part), 0)
    return Node(name, ops, inputs, frozenset(attributes.calls), attributes.texts, attributes.n_elements)


class _Attributes:
    """What the attributes of one operation say."""

    def __init__(self) -> None:
        self.calls: set[str] = set()
        self.texts: list[bytes] = []
        self.n_elements = 0

    def read_entry(self, entry: memoryview, depth: int) -> None:
        for value in _messages(entry, 2):
            self._read(value, depth)

    def _read(self, value: memoryview, depth: int) -> None:
        for number, kind, part in fields(value):
            if kind != BYTES:
                continue
            if number == 1:  # a list of values, whose texts, tensors and functions are numbered 2, 8 and 9
                for inner, inner_kind, one in fields(_view(part)):
                    if inner_kind == BYTES:
                        self._read_one({9: 10}.get(inner, inner), _view(one), depth)
            else:
                self._read_one(number, _view(part), depth)

    def _read_one(self, number: int, value: memoryview, depth: int) -> None:
        if number == 2:
            self.texts.append(bytes(value[:_LONGEST_TEXT]))
        elif number == 8:
            self.n_elements = max(self.n_elements, _count_elements(value))
        elif number == 10:
            if depth == _DEEPEST:
                raise Malformed("functions in the attributes of functions, too deep")
            self.calls.update(_texts(value, 1))
            for entry in _messages(value, 2):
                self.read_entry(entry, depth + 1)


def _count_elements(tensor: memoryview) -> int:
    n_elements = 1
    for shape in _messages(tensor, 2):
        for size in _messages(shape, 2):
            n_elements *= max(1, *_numbers(size, 1), 1)
    return n_elements


# What is run -------------------------------------------------------------------------------


def _read_saver(message: memoryview, graph: MetaGraph) -> None:
    graph.checkpoints.update(map(node_of, _texts(message, 1)))
    graph.restores.update(map(node_of, _texts(message, 3)))


def _read_collection(message: memoryview, graph: MetaGraph) -> None:
    """Note what TensorFlow 1 runs at start, and its assets."""
    for key, value in _entries(message):
        if key in {"saved_model_main_op", "legacy_init_op"}:
            graph.fetches.update(node_of(node) for names in _messages(value, 1) for node in _texts(names, 1))
        elif key == "saved_model_assets":
            for many in _messages(value, 5):
                for one in _messages(many, 1):  # a google.protobuf.Any
                    for asset in _messages(one, 2):
                        _read_asset(asset, graph)


def _read_signature(message: memoryview, graph: MetaGraph) -> None:
    for _, signature in _entries(message):
        for tensor in _messages(signature, 2):
            for _, found in _entries(tensor):
                graph.fetches.update(map(node_of, _tensor_names(found)))


def _tensor_names(tensor: memoryview) -> Iterator[str]:
    """Yield the names in a TensorInfo: of a tensor, of a sparse one's parts, of a composite's."""
    yield from _texts(tensor, 1)
    for sparse in _messages(tensor, 4):
        for number in (1, 2, 3):
            yield from _texts(sparse, number)
    for composite in _messages(tensor, 5):
        for part in _messages(composite, 2):
            yield from _texts(part, 1)


def _read_asset(message: memoryview, graph: MetaGraph) -> None:
    name, node = "", ""
    for tensor in _messages(message, 1):
        for text in _texts(tensor, 1):
            node = node_of(text)
    for name in _texts(message, 2):
        graph.assets[name] = node
    if not name:
        graph.assets[""] = node


def _read_objects(message: memoryview, graph: MetaGraph) -> None:
    graph.has_objects = True
    for node in _messages(message, 1):
        kinds = [number for number, _, _ in fields(node) if number in _KINDS]
        if kinds == [_ASSET]:
            graph.asset_objects.add(graph.n_objects)
        graph.n_objects += 1
    for concrete in _messages(message, 2):
        for name, function in _entries(concrete):
            graph.bound.setdefault(name, []).append(list(_numbers(function, 2)))


# Messages ------------------------------------------------------------------------------------


def _messages(message: memoryview, wanted: int) -> Iterator[memoryview]:
    for number, kind, value in fields(message):
        if number == wanted and kind == BYTES:
            yield _view(value)


def _texts(message: memoryview, wanted: int) -> Iterator[str]:
    return map(_text, _messages(message, wanted))


def _entries(entry: memoryview) -> Iterator[tuple[str, memoryview]]:
    """Yield one entry of a map, as (key, message); what stands several times is told several times."""
    keys = list(_texts(entry, 1)) or [""]
    values = list(_messages(entry, 2)) or [memoryview(b"")]
    for value in values:
        yield keys[-1], value


def _numbers(message: memoryview, wanted: int) -> Iterator[int]:
    for number, kind, value in fields(message):
        if number == wanted:
            yield from varints(_view(value)) if kind == BYTES else [int(value)]


def _text(value: memoryview | int) -> str:
    return str(_view(value), "utf-8")


def _view(value: memoryview | int) -> memoryview:
    if isinstance(value, int):
        raise Malformed("a number stands where a message should")
    return value


def node_of(tensor: str) -> str:
    """Return the node that makes a tensor: "^node", "node:0" or "node"."""
    return tensor.removeprefix("^").partition(":")[0]
