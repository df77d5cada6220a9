"""What a request of the Open Inference Protocol says beside its tensors' values.

Rules of this room:
1. What a request holds beside what the protocol defines is not looked at, as Triton does not.
2. What is none of the protocol's raises ``DecodeError`` and nothing else.
3. What a client says of tensors in bytes is the same again and again: it is read once, and remembered by
   its bytes. What clients choose is bounded, in number and in length.

Source: Open Inference Protocol, inference_rest.md; Triton, protocol/extension_classification.md and
extension_parameters.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from msgspec import Struct

from demijohn.config import Settings
from demijohn.errors import DecodeError, RequestError

from . import json_media, v2_tensors

_MOST_REMEMBERED = 128
_LONGEST_REMEMBERED = 8192  # bytes
_ANY = Settings()  # a request's own settings are looked at each time
_MOST_CLASSES = 10_000
#: Request parameters that are the protocol's or its clients', never a method's arguments.
_RESERVED = frozenset(
    {"sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "headers",
     "binary_data_output", "content_type"}
)  # fmt: skip
_RESERVED_START = "triton_"
_SCALARS = (str, int, float, bool)
_SHARED_MEMORY = "shared_memory_region"


class Wanted(NamedTuple):
    """How one output is to come."""

    is_binary: bool | None = None  #: None: as the request says for all.
    n_classes: int = 0  #: Of the classification extension; 0: the output itself.


class Note(Struct, frozen=True):
    """What of a request its answer depends on."""

    id: str | None = None
    is_binary: bool = False  #: Where an output does not say.
    outputs: Mapping[str, Wanted] = {}

    def with_id(self, given: str | None) -> Note | None:
        """Return the note of a request in which ``""`` stood for its id; None: that was another's."""
        if given is None:
            return self
        return None if self.id is None else Note(given, self.is_binary, self.outputs)


class Head(NamedTuple):
    """What a request says of itself as a whole."""

    parameters: dict[str, Any]  #: Its own; see ``arguments``.
    methods: tuple[str, ...]  #: Or outputs of methods: those asked for by name, in order.
    note: Note


def read(document: dict[str, Any]) -> Head:
    """Read a request, but for its inputs.

    Raises:
        DecodeError: it is none.
    """
    parameters = _parameters(document)
    is_binary = _flag(parameters, "binary_data_output")
    outputs = _outputs(document.get("outputs"))
    return Head(parameters, tuple(outputs), Note(_id(document), bool(is_binary), outputs))


class Tensor(NamedTuple):
    """One of a request's inputs."""

    name: str
    datatype: str  #: One of ``v2_tensors.DATATYPES``.
    shape: v2_tensors.Shape
    size: Any  #: What "binary_data_size" says; None: its values are ``data``.
    data: Any


class Meaning(NamedTuple):
    """What a request, or its JSON part, says."""

    arguments: Mapping[str, Any]
    methods: tuple[str, ...]
    note: Note
    tensors: tuple[Tensor, ...]
    depth: int  #: It is nested as deep as that, or less.


def recall(given: bytes, settings: Settings) -> Meaning | None:
    """Say what a request means, as one of the same bytes was understood before.

    Args:
        given: Its JSON part.
        settings: For the limits.

    Returns:
        None where it is too long to be remembered, has a tensor in JSON, or anything is wrong: whoever reads
        it anew says that.
    """
    # One as short as that holds no more values than ``max_elements``.
    if len(given) > min(_LONGEST_REMEMBERED, settings.max_elements):
        return None
    meaning = _remembered(given)
    return None if meaning is None or meaning.depth > settings.max_depth else meaning


@lru_cache(_MOST_REMEMBERED)
def _remembered(given: bytes) -> Meaning | None:
    meaning = understand(given)
    return None if meaning is None or any(tensor.size is None for tensor in meaning.tensors) else meaning


def understand(given: bytes) -> Meaning | None:
    """Say what a request means; None where anything is wrong but the depth: whoever reads it says what."""
    try:
        document = json_media.parse(given, _ANY)
        if type(document) is not dict:
            return None
        parameters, methods, note = read(document)
        tensors = tuple(tensors_of(document))
        depth = json_media.depth_of(document, _ANY.max_depth)
        return Meaning(arguments(parameters), methods, note, tensors, depth)
    except RequestError:
        return None


def tensors_of(document: dict[str, Any]) -> Iterator[Tensor]:
    """Yield a request's inputs, of which there is at least one, no two of one name.

    Raises:
        DecodeError: it has no such inputs.
    """
    given = document.get("inputs")
    if type(given) is not list or not given:
        raise DecodeError("'inputs' must be a list of at least one tensor")
    names: set[str] = set()
    for tensor in given:
        if (name := _name_of(tensor)) in names:
            raise DecodeError(f"Two of 'inputs' have the name {name[:100]!r}")
        names.add(name)
        yield _tensor(tensor, name[:100])


def _tensor(tensor: dict[str, Any], name: str) -> Tensor:
    datatype = tensor.get("datatype")
    if type(datatype) is not str or datatype not in v2_tensors.DATATYPES:
        known = ", ".join(v2_tensors.DATATYPES)
        raise DecodeError(f"Input {name!r}: its datatype must be one of {known}")
    shape = v2_tensors.check_shape(tensor.get("shape"), name)
    parameters = _parameters(tensor) if "parameters" in tensor else {}
    if _SHARED_MEMORY in parameters:
        raise DecodeError(f"Input {name!r}: shared memory is not offered here; send its data")
    size = parameters.get("binary_data_size")
    if (size is None) == (tensor.get("data") is None):
        raise DecodeError(f"Input {name!r} must have either 'data' or the parameter 'binary_data_size'")
    return Tensor(tensor["name"], datatype, shape, size, tensor.get("data"))


def _name_of(tensor: Any) -> str:
    if type(tensor) is not dict or type(tensor.get("name")) is not str:
        raise DecodeError("Each of 'inputs' must be an object with a 'name'")
    name: str = tensor["name"]
    return name


def _id(document: dict[str, Any]) -> str | None:
    given = document.get("id")
    if given is None or type(given) is str:
        return given
    raise DecodeError("'id' must be a string")


def _parameters(holder: dict[str, Any]) -> dict[str, Any]:
    parameters = holder.get("parameters")
    if parameters is None:
        return {}
    if type(parameters) is not dict:
        raise DecodeError("'parameters' must be an object")
    return parameters


def _flag(parameters: dict[str, Any], name: str) -> bool | None:
    value = parameters.get(name)
    if value is None or type(value) is bool:
        return value
    raise DecodeError(f"The parameter {name!r} must be true or false")


def arguments(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters that are the method's arguments.

    Raises:
        DecodeError: one is no argument.
    """
    if not parameters:
        return {}
    arguments = {
        name: value
        for name, value in parameters.items()
        if name not in _RESERVED and not name.startswith(_RESERVED_START)
    }
    for name, value in arguments.items():
        if type(value) not in _SCALARS:
            raise DecodeError(f"The parameter {name[:100]!r} must be a string, a number or a boolean")
    return arguments


def _outputs(given: Any) -> dict[str, Wanted]:
    if given is None:
        return {}
    if type(given) is not list or not all(type(output) is dict for output in given):
        raise DecodeError("'outputs' must be a list of objects")
    outputs: dict[str, Wanted] = {}
    for output in given:
        name = output.get("name")
        if type(name) is not str or name in outputs:
            raise DecodeError("Each of 'outputs' must have a name of its own")
        outputs[name] = _wanted(_parameters(output))
    return outputs


def _wanted(parameters: dict[str, Any]) -> Wanted:
    if _SHARED_MEMORY in parameters:
        raise DecodeError("Shared memory is not offered here; ask for binary_data")
    n_classes = parameters.get("classification", 0)
    if type(n_classes) is not int or not 0 <= n_classes <= _MOST_CLASSES:
        raise DecodeError("The parameter 'classification' must be a number of classes")
    return Wanted(_flag(parameters, "binary_data"), n_classes)
