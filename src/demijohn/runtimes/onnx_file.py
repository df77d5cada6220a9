"""Looking through an ONNX file before a library reads it: what it is, what it names, what it knows.

Rules of this room:
1. Nothing is imported for it: the file's own bytes are read, as Protocol Buffers' wire format.
2. Every tensor is looked at, wherever it stands: in subgraphs, functions, attributes. What refers to
   another file is told, and what declares more than it holds is refused.
3. Graphs may lie in graphs so deep, and no deeper.

Source: onnx/onnx-ml.proto (ModelProto and its parts); docs/ExternalData.md.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from demijohn.errors import LoadError

from .protobuf_wire import BYTES, VARINT, Malformed, fields, signed, varints

MAX_DEPTH = 16  #: Graphs inside graphs (If, Loop, Scan).
_MOST_SPARSE_ELEMENTS = 2**26  # a sparse tensor is unpacked into a dense one
_MOST_IR_VERSION = 1_000

#: Fields of ModelProto by number: which wire type each has.
_MODEL = {1: VARINT, 2: BYTES, 3: BYTES, 4: BYTES, 5: VARINT, 6: BYTES, 7: BYTES, 8: BYTES, 14: BYTES,
          20: BYTES, 25: BYTES, 26: BYTES}  # fmt: skip
_GRAPH = 7
#: Of each kind of message, which fields hold which kind.
_PARTS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
#: An attribute's numbers, each with a tag of its own: floats (7) and ints (8).
_NUMBERS = re.compile(rb"(?:\x3d[\s\S]{4}|\x40[\x80-\xff]{0,9}[\x00-\x7f])+")
_WHOLE = {6: "<i", 7: "<q"}  # TensorProto.DataType: INT32, INT64
_TEXT = 8
_CLASS_LABELS = re.compile(rb"classlabels_(?:ints|int64s|strings)")


@dataclass(frozen=True, slots=True)
class External:
    """A tensor whose numbers stand in another file."""

    location: str  #: As the file writes it: relative to its own folder.
    offset: int
    length: int | None  #: None: to the file's end.
    n_elements: int


@dataclass(slots=True)
class OnnxFacts:
    """What an ONNX file says of itself, beside its graph."""

    externals: list[External] = field(default_factory=list)
    #: Class labels that its operators name, each list once.
    labels: list[list[Any]] = field(default_factory=list)

    @property
    def locations(self) -> list[str]:
        """Return the names of the other files, each once."""
        return list(dict.fromkeys(one.location for one in self.externals))


def is_onnx(content: bytes) -> bool:
    """Say whether content is an ONNX model: a ModelProto, whole or cut off after its graph begins."""
    seen: set[int] = set()
    try:
        for number, kind, value in fields(memoryview(content)):
            if _MODEL.get(number) != kind:
                return False
            if number == 1 and not 0 < int(value) < _MOST_IR_VERSION:
                return False
            seen.add(number)
    except Malformed as error:
        return 1 in seen and error.number == _GRAPH
    return {1, _GRAPH} <= seen


def read_facts(content: bytes) -> OnnxFacts:
    """Look through a whole ONNX file.

    Raises:
        LoadError: it is broken, or was crafted to harm its reader; says how.
    """
    facts = OnnxFacts()
    try:
        _walk("model", memoryview(content), facts, 0)
        facts.labels += [labels for labels in _label_tables(content) if labels not in facts.labels]
    except (Malformed, UnicodeDecodeError, struct.error) as error:
        raise LoadError(f"it is a broken ONNX file: {error}") from error
    return facts


def _walk(kind: str, message: memoryview, facts: OnnxFacts, depth: int) -> None:
    """Look at one message and all that lies in it."""
    if kind == "tensor":
        _look_at_tensor(message, facts)
        return
    if kind == "sparse":
        _look_at_sparse(message)
    if kind == "attribute":
        labels = _labels_in(message)
        if labels and labels not in facts.labels:
            facts.labels.append(labels)
    depth += kind == "graph"
    if depth > MAX_DEPTH:
        raise LoadError(f"graphs lie in graphs more than {MAX_DEPTH} deep")
    parts = _PARTS[kind]
    for number, _, value in fields(message, _NUMBERS if kind == "attribute" else None):
        if number in parts:
            _walk(parts[number], _bytes(value), facts, depth)


def _bytes(value: memoryview | int) -> memoryview:
    if isinstance(value, int):
        raise Malformed("a number stands where a message should")
    return value


# Tensors ------------------------------------------------------------------------------------


def _look_at_tensor(message: memoryview, facts: OnnxFacts) -> None:
    """Note where a tensor's numbers stand, and refuse one that declares more than it holds."""
    dims: list[int] = []
    entries: list[memoryview] = []
    location = 0
    for number, _, value in fields(message):
        if number == 1:
            dims += _dims_in(value)
        elif number == 13:
            entries.append(_bytes(value))
        elif number == 14:
            location = value if isinstance(value, int) else -1
    n_elements = _count(dims)
    if location not in {0, 1}:
        raise Malformed(f"a tensor's data_location is {location}")
    if location == 1:
        facts.externals.append(_external(entries, n_elements))
    elif n_elements > 2 * len(message):  # two of four bits each are the smallest there are
        raise LoadError(f"a tensor declares {n_elements:,} elements and holds {len(message):,} bytes")


def _look_at_sparse(message: memoryview) -> None:
    dims = [dim for number, _, value in fields(message) if number == 3 for dim in _dims_in(value)]
    if _count(dims) > _MOST_SPARSE_ELEMENTS:
        raise LoadError(f"a sparse tensor declares {_count(dims):,} elements")


def _dims_in(value: memoryview | int) -> Iterator[int]:
    """Yield dimensions, packed or not."""
    return map(signed, (value,) if isinstance(value, int) else varints(value))


def _count(dims: list[int]) -> int:
    if any(dim < 0 for dim in dims):
        raise LoadError("a tensor declares a negative dimension")
    return math.prod(dims)


def _external(entries: list[memoryview], n_elements: int) -> External:
    named: dict[str, str] = {}
    for entry in entries:
        key, text = _pair(entry)
        if key in named:
            raise LoadError(f"a tensor in another file has {key!r} twice")
        named[key] = text
    if "location" not in named:
        raise LoadError("a tensor is in another file, and the file is not named")
    offset, length = _size(named.get("offset", "0")), named.get("length")
    return External(named["location"], offset, None if length is None else _size(length), n_elements)


def _pair(entry: memoryview) -> tuple[str, str]:
    texts = {number: bytes(_bytes(value)).decode() for number, _, value in fields(entry)}
    return texts.get(1, ""), texts.get(2, "")


def _size(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise LoadError(f"a tensor in another file has the offset or length {text[:40]!r}")
    return int(text)


# Classes ------------------------------------------------------------------------------------


def _labels_in(attribute: memoryview) -> list[Any]:
    """Return the labels that an attribute ``classlabels_*`` of a classifier lists."""
    # The name is the first field, wherever protobuf's own writers wrote the file.
    if not _CLASS_LABELS.search(attribute[:32]):
        return []
    labels: list[Any] = []
    for number, _, value in fields(attribute):
        if number == 8:
            labels += _dims_in(value)
        elif number == 9:
            labels.append(bytes(_bytes(value)).decode())
    return labels


def _label_tables(content: bytes) -> Iterator[list[Any]]:
    """Yield the vectors of which a graph picks by index, as converters write what ``argmax`` stands for."""
    graphs = [_bytes(value) for number, _, value in fields(memoryview(content)) if number == _GRAPH]
    for graph in graphs:
        parts = [(number, value) for number, _, value in fields(graph) if number in {1, 5}]
        picked = {name for number, node in parts if number == 1 for name in _picked_from(_bytes(node))}
        for number, tensor in parts if picked else ():
            if number == 5:
                yield from _vector(_bytes(tensor), picked)


def _picked_from(node: memoryview) -> list[str]:
    """Return the first input of an ArrayFeatureExtractor; of any other node nothing."""
    inputs, operator = [], ""
    for number, _, value in fields(node):
        if number == 1:
            inputs.append(bytes(_bytes(value)).decode())
        elif number == 4:
            operator = bytes(_bytes(value)).decode()
    return inputs[:1] if operator == "ArrayFeatureExtractor" else []


def _vector(tensor: memoryview, names: set[str]) -> Iterator[list[Any]]:
    """Yield the values of an initializer, if it is one of those, a vector, and of texts or whole numbers."""
    kind, name, n_dims = 0, "", 0
    values: list[Any] = []
    raw = b""
    for number, _, value in fields(tensor):
        if number == 1:
            n_dims += len(list(_dims_in(value)))
        elif number == 2 and isinstance(value, int):
            kind = value
        elif number in {5, 7}:
            values += _dims_in(value)
        elif number == 6:
            values.append(bytes(_bytes(value)).decode())
        elif number == 8:
            name = bytes(_bytes(value)).decode()
        elif number == 9:
            raw = bytes(_bytes(value))
    if kind in _WHOLE and raw:
        values = [whole for (whole,) in struct.iter_unpack(_WHOLE[kind], raw)]
    if name in names and n_dims == 1 and kind in {*_WHOLE, _TEXT}:
        yield values
