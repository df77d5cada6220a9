"""What a request of the Open Inference Protocol says beside its tensors' values.

Rules of this room:
1. What a request holds beside what the protocol defines is not looked at, as Triton does not.
2. What is none of the protocol's raises ``DecodeError`` and nothing else.

Source: Open Inference Protocol, inference_rest.md; Triton, protocol/extension_classification.md and
extension_parameters.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from msgspec import Struct

from demijohn.errors import DecodeError

from . import v2_tensors

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


def read_tensor(tensor: dict[str, Any], name: str) -> tuple[str, v2_tensors.Shape, Any]:
    """Read one of a request's inputs, but for its name and its values.

    Args:
        tensor: As JSON has it.
        name: For the errors.

    Returns:
        Its datatype, one of ``v2_tensors.DATATYPES``; its shape; and what "binary_data_size" says, None if
        its values are under "data".

    Raises:
        DecodeError: it is no tensor.
    """
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
    return datatype, shape, size


def name_of(tensor: Any) -> str:
    """Return the name of one of a request's inputs.

    Raises:
        DecodeError: it has none.
    """
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
