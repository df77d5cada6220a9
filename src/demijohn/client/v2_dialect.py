"""Calls in the Open Inference Protocol v2, its tensors as bytes: no digit is written or read.

Rules of this room:
1. A column with missing values has no binary form unless it is of floats: it goes as JSON beside the
   others. A column of several kinds has none at all.
2. BYTES is a text only where the description says so: the server writes whatever is no number as BYTES.

Source: Open Inference Protocol, inference_rest.md; Triton, protocol/extension_binary_data.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import orjson

from demijohn.errors import BodyTooLarge, DecodeError, ModelError, UnusableAnswer
from demijohn.messages import Array, Tensors, plain
from demijohn.protocols import v2_tensors
from demijohn.tensor_spec import TensorSpec

from .calls import Call, Received, Sent, Unfit, shape_output
from .connection import Answer
from .description import decode as decode_document
from .inputs import Table, Tensor
from .problems import PROBLEM

HEAD_LENGTH = "Inference-Header-Content-Length"
_ACCEPT = f"application/octet-stream, application/json, {PROBLEM}"
_MOST_TEXTS = 2**31
_MOST_DIGITS = 18
_NOT_THERE = "null"
#: Of a column of objects: its datatype, by the type of what is not missing.
_DATATYPES: Mapping[frozenset[type], str] = {
    frozenset({str}): "BYTES", frozenset({int}): "INT64", frozenset({bool}): "BOOL",
}  # fmt: skip
#: What the protocol or its clients mean something else by.
_RESERVED = frozenset({"priority", "timeout", "headers", "content_type", "binary_data_output"})
_RESERVED_STARTS = ("sequence_", "triton_")


class _Output(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    data: list[Any] | None = None
    parameters: dict[str, Any] = {}


class _Answer(msgspec.Struct):
    model_version: str
    outputs: list[_Output]


def encode(call: Call) -> Sent:
    """Write a call; see ``calls.Dialect``."""
    place = call.place
    if place.alias is not None:
        raise Unfit("the protocol has no aliases")
    _check_outputs(call)
    _check_parameters(call.parameters)
    heads, pieces = _write_tensors(_tensors_of(call))
    document = {
        "inputs": heads,
        "outputs": [{"name": call.method}],
        "parameters": {**call.parameters, "binary_data_output": True},
    }
    head = orjson.dumps(document)
    version = "" if place.version is None else f"/versions/{place.version}"
    headers = {
        "Content-Type": "application/octet-stream", "Accept": _ACCEPT, HEAD_LENGTH: str(len(head)),
    }  # fmt: skip
    return Sent(f"/v2/models/{place.name}{version}/infer", b"".join([head, *pieces]), headers)


def _check_outputs(call: Call) -> None:
    specs = call.description.outputs(call.method)
    if not specs or any(spec.dtype == "object" for spec in specs):
        raise Unfit("an output may be of values that the protocol has no form for")


def _check_parameters(parameters: Mapping[str, Any]) -> None:
    for name, value in parameters.items():
        if (
            type(value) not in (str, int, float, bool)
            or name in _RESERVED
            or name.startswith(_RESERVED_STARTS)
        ):
            raise Unfit(f"the protocol cannot carry the parameter {name!r}")


def _tensors_of(call: Call) -> dict[str, Array]:
    """Return the inputs by name, as a model of that layout takes them."""
    given = call.given
    signature = call.description.signature.of(call.method)
    if isinstance(given, Tensor):
        return {signature.inputs[0].name if signature.inputs else "inputs": given.array}
    if not isinstance(given, Table):
        raise Unfit("only JSON can carry what was given")
    columns = given.columns
    if signature.layout != "matrix":
        return columns
    # Without column names, by place. A bool among numbers is for the server to refuse.
    kinds = {array.dtype.kind for array in columns.values()}
    shapes = {array.shape for array in columns.values()}
    if not (kinds <= set("iuf") or kinds == {"b"}) or len(shapes) != 1:
        raise Unfit("columns of several kinds are no tensor")
    return {signature.inputs[0].name: np.column_stack(list(columns.values()))}


def _write_tensors(tensors: Mapping[str, Array]) -> tuple[list[dict[str, Any]], list[bytes]]:
    heads, pieces = [], []
    for name, given in tensors.items():
        datatype, array = _typed(given)
        head: dict[str, Any] = {"name": name, "shape": array.shape, "datatype": datatype}
        if array.dtype.kind == "O" and (datatype != "BYTES" or None in array.flat):
            head["data"] = array.ravel().tolist()
        else:
            pieces.append(_to_bytes(array, datatype))
            head["parameters"] = {"binary_data_size": len(pieces[-1])}
        heads.append(head)
    return heads, pieces


def _typed(array: Array) -> tuple[str, Array]:
    """Return an array's datatype, and the array in a form of it."""
    if array.dtype.kind not in "OM":
        return v2_tensors.as_tensor(array)
    if array.dtype.kind == "M":
        array = np.array(plain(array), dtype=object).reshape(array.shape)
    kinds = frozenset(map(type, array.flat)) - {type(None)}
    datatype = _DATATYPES.get(kinds)
    if datatype is None or (datatype == "INT64" and not all(map(_is_int64, array.flat))):
        raise Unfit("a column of several kinds is no tensor")
    return datatype, array


def _is_int64(cell: int | None) -> bool:
    return cell is None or -(2**63) <= cell < 2**63


def _to_bytes(array: Array, datatype: str) -> bytes:
    try:
        return v2_tensors.write_binary(array, datatype)
    except ModelError as error:  # of a text that UTF-8 has no form for
        raise Unfit("half a surrogate pair is no text") from error


# The answer -------------------------------------------------------------------------------


def decode(answer: Answer, call: Call) -> Received:
    """Read the answer to a call; see ``calls.Dialect``."""
    length = answer.headers.get(HEAD_LENGTH, str(len(answer.body)))
    is_number = length.isascii() and length.isdigit() and len(length) <= _MOST_DIGITS
    if not is_number or int(length) > len(answer.body):
        raise UnusableAnswer(f"{HEAD_LENGTH} is {length[:20]!r}, the answer has {len(answer.body)} bytes")
    document = decode_document(answer.body[: int(length)], _Answer)
    specs = {spec.name: spec for spec in call.description.outputs(call.method)}
    rest = memoryview(answer.body)[int(length) :]
    outputs: Tensors = {}
    for output in document.outputs:
        try:
            array, rest = _read_tensor(output, rest)
        except (DecodeError, BodyTooLarge, KeyError) as error:
            raise UnusableAnswer(
                f"The server's output {output.name[:100]!r} cannot be read: {error}"
            ) from error
        spec = specs.get(output.name)
        if output.datatype == "BYTES":
            array = _of_texts(array, spec)
        outputs[output.name] = shape_output(array, spec, call.description.labels(call.method))
    if rest or not outputs:
        raise UnusableAnswer(f"{len(rest)} bytes follow the last of {len(outputs)} outputs")
    return Received(outputs, document.model_version)


def _of_texts(array: Array, spec: TensorSpec | None) -> Array:
    """Return an output of BYTES as the values it stands for."""
    if spec is None:
        raise Unfit("BYTES may be texts, or values written as texts")
    if spec.dtype == "str":
        return array
    array[array == _NOT_THERE] = None  # a missing instant
    return array


def _read_tensor(output: _Output, rest: memoryview) -> tuple[Array, memoryview]:
    """Return a tensor, and what follows it."""
    name, datatype = output.name[:100], output.datatype
    if datatype not in v2_tensors.DATATYPES:
        raise DecodeError(f"there is no datatype {datatype[:100]!r}")
    shape = v2_tensors.check_shape(output.shape, name)
    size = output.parameters.get("binary_data_size")
    if size is None:
        return v2_tensors.read_json(output.data, datatype, shape, name), rest
    if type(size) is not int or not 0 <= size <= len(rest):
        raise DecodeError("its bytes are not there")
    array = v2_tensors.read_binary(rest[:size], datatype, shape, name, _MOST_TEXTS)
    return (array if array.flags.writeable else array.copy()), rest[size:]  # the caller's own, to write to
