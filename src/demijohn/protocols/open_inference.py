"""The Open Inference Protocol, version 2, over REST: ``POST /v2/models/{name}/infer``.

Rules of this room:
1. Content-Type says nothing here: tritonclient sends none, KServe's client sends what it likes. The
   header Inference-Header-Content-Length alone says where JSON ends and bytes begin.
2. An output is asked for by the name of a method or of one of its outputs; whoever knows the model
   says which method that is.

Source: Open Inference Protocol, inference_rest.md; Triton, protocol/extension_binary_data.md,
extension_classification.md and extension_parameters.md. Where its clients differ, they win.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache, partial
from math import prod
from typing import Any

import numpy as np

from demijohn import kernels
from demijohn.config import Settings
from demijohn.errors import DecodeError, DemijohnError, ModelError, NotAcceptable
from demijohn.messages import (
    Array,
    Encoded,
    InferenceRequest,
    InferenceResponse,
    Inputs,
    Matrix,
    NamedTensors,
    RawTensor,
    Rows,
)

from . import json_media, v2_columns, v2_heads, v2_numbers, v2_tensors
from .v2_heads import Note, Wanted

ANSWERS = ()  #: A request says itself how each output is to come.
JSON = "application/json"
BINARY = "application/octet-stream"
HEAD_LENGTH = "Inference-Header-Content-Length"

_MOST_DIGITS = 18
_MOST_REMEMBERED = 512
_NULL = b"null"
_FLOAT64 = np.dtype(np.float64)
_ANYHOW = Wanted()
#: What is answered with another status than its own: 422, 406 and an output that is not there.
_BAD_REQUEST = 400
_AS_BAD_REQUEST = frozenset({406, 422})


def read_head(environ: Mapping[str, Any]) -> str:
    """Return Inference-Header-Content-Length; see ``InferenceProtocol.read_head``."""
    length: str = environ.get("HTTP_INFERENCE_HEADER_CONTENT_LENGTH") or ""
    return length


def decode(body: bytes, head: str, settings: Settings) -> InferenceRequest:
    """Read a request; see ``InferenceProtocol.decode``. The head is the length of the JSON part."""
    if not head:
        request = v2_numbers.read(body, settings)
        if request is None:
            request = v2_columns.read(body, settings, partial(_read_tensors, body, settings))
        if request is not None:
            return request
        return _read_document(json_media.parse(body, settings), None, settings, is_finite=_NULL not in body)
    length = _read_length(head, len(body))
    if length == 0:
        # "the request body is the raw binary data" -- extension_binary_data.md; outputs come likewise.
        return InferenceRequest(RawTensor(body), note=Note(is_binary=True))
    given, rest = body[:length], memoryview(body)[length:]
    known = v2_heads.recall(given, settings)
    if known is None:
        return _read_document(json_media.parse(given, settings), rest, settings)
    inputs: Inputs | None = _lone_matrix(known.tensors, rest)
    if inputs is None:
        tensors = _Tensors(rest, settings.max_elements).read(known.tensors)
        inputs = _as_rows(tensors, is_finite=False)
    return InferenceRequest(inputs, known.arguments, known.methods, known.note)


def _read_tensors(body: bytes, settings: Settings) -> NamedTensors:
    """Read several tensors in JSON."""
    document = json_media.parse(body, settings)
    return NamedTensors(_Tensors(None, settings.max_elements).read(v2_heads.tensors_of(document)))


def _read_length(head: str, n_bytes: int) -> int:
    if not (head.isascii() and head.isdigit()) or len(head) > _MOST_DIGITS:
        raise DecodeError(f"{HEAD_LENGTH} is not a number")
    if (length := int(head)) > n_bytes:
        raise DecodeError(f"{HEAD_LENGTH} is {length}, but the body has {n_bytes} bytes")
    return length


def _read_document(
    document: Any, rest: memoryview | None, settings: Settings, *, is_finite: bool = False
) -> InferenceRequest:
    """Read a request.

    Args:
        document: Its JSON part, parsed.
        rest: What follows that; None where the body is JSON alone.
        settings: For the limits.
        is_finite: It is known that no number is missing or infinite.
    """
    if type(document) is not dict:
        raise DecodeError("The request must be an object with 'inputs'")
    parameters, methods, note = v2_heads.read(document)
    tensors = _Tensors(rest, settings.max_elements).read(v2_heads.tensors_of(document))
    inputs = _as_rows(tensors, is_finite=is_finite)
    return InferenceRequest(inputs, v2_heads.arguments(parameters), methods, note)


class _Tensors:
    """Reads the tensors of one request, in their order.

    Args:
        rest: What follows the JSON part; None where the body is JSON alone.
        max_elements: Of BYTES.
    """

    def __init__(self, rest: memoryview | None, max_elements: int) -> None:
        self._rest = rest
        self._max_elements = max_elements
        self._position = 0

    def read(self, given: Iterable[v2_heads.Tensor]) -> dict[str, Array]:
        tensors = {tensor.name: self._read_tensor(tensor, tensor.name[:100]) for tensor in given}
        if self._rest is not None and self._position != len(self._rest):
            raise DecodeError(f"{len(self._rest) - self._position} bytes follow the last tensor")
        return tensors

    def _read_tensor(self, tensor: v2_heads.Tensor, name: str) -> Array:
        _, datatype, shape, size, data = tensor
        if size is None:
            return v2_tensors.read_json(data, datatype, shape, name)
        return v2_tensors.read_binary(self._take(size, name), datatype, shape, name, self._max_elements)

    def _take(self, size: Any, name: str) -> memoryview:
        if self._rest is None:
            raise DecodeError(f"Input {name!r} has binary data, so the request needs {HEAD_LENGTH}")
        if type(size) is not int or size < 0:
            raise DecodeError(f"Input {name!r}: binary_data_size must be a number of bytes")
        start, self._position = self._position, self._position + size
        if self._position > len(self._rest):
            raise DecodeError(f"Input {name!r}: the body ends before its {size} bytes do")
        return self._rest[start : self._position]


def _lone_matrix(tensors: Sequence[v2_heads.Tensor], rest: memoryview) -> Matrix | None:
    """Return a request's only tensor as ``_as_rows`` does, but copied and looked at in one pass.

    Returns:
        None where there are others, it is no matrix of FP64, of another size than its bytes, or not finite.
    """
    _, datatype, shape, size, _ = tensors[0]
    if len(tensors) > 1 or datatype != "FP64" or len(shape) != 2 or not kernels.IS_BUILT:
        return None
    if type(size) is not int or not len(rest) == size == prod(shape) * _FLOAT64.itemsize > 0:
        return None
    numbers = kernels.copy_finite(rest, shape)
    return None if numbers is None else Matrix(numbers, lambda: Rows(numbers.tolist()))


def _as_rows(tensors: dict[str, Array], *, is_finite: bool) -> Inputs:
    """Return a lone matrix of numbers as rows, which every kind of model takes by position."""
    if len(tensors) > 1:
        return NamedTensors(tensors)
    (array,) = tensors.values()
    if array.ndim != 2 or array.dtype.kind != "f" or not array.size:
        return NamedTensors(tensors)
    if not is_finite and not np.isfinite(array).all():
        return NamedTensors(tensors)
    # What is viewed is not ours to write to.
    is_own = array.dtype == _FLOAT64 and array.flags.writeable
    numbers = array if is_own else array.astype(np.float64, order="C")
    return Matrix(numbers, lambda: Rows(numbers.tolist()))


# The answer -------------------------------------------------------------------------------


def encode(response: InferenceResponse, request: InferenceRequest, media_type: str) -> Encoded:
    """Write an answer; see ``InferenceProtocol.encode``. Bytes where the request asks for any."""
    del media_type  # the request says it
    note: Note = request.note
    outputs, pieces = [], []
    for name, array in response.outputs.items():
        wanted = _wanted_of(name, note) if note.outputs else _ANYHOW
        if wanted.n_classes:
            array = _classify(name, array, wanted.n_classes, response.classes)  # noqa: PLW2901
        datatype, tensor = v2_tensors.as_tensor(array)
        head = _head_of_output(name, array.shape, datatype)
        if note.is_binary if wanted.is_binary is None else wanted.is_binary:
            pieces.append(v2_tensors.write_binary(tensor, datatype))
            outputs.append(b'%b,"parameters":{"binary_data_size":%d}}' % (head, len(pieces[-1])))
        else:
            values = _dump(v2_tensors.write_json(tensor, datatype, name))
            outputs.append(b'%b,"data":%b}' % (head, values))
    head = _head_of_answer(response.model, response.version)
    given_id = b"" if note.id is None else b',"id":' + _dump(note.id)
    document = b'%b%b,"outputs":[%b]}' % (head, given_id, b",".join(outputs))
    if not pieces:
        return Encoded(document, JSON)
    return Encoded(b"".join((document, *pieces)), BINARY, {HEAD_LENGTH: str(len(document))})


@lru_cache(_MOST_REMEMBERED)
def _head_of_answer(model: str, version: str) -> bytes:
    """Return how an answer begins, up to its id."""
    return _dump({"model_name": model, "model_version": version})[:-1]


@lru_cache(_MOST_REMEMBERED)
def _head_of_output(name: str, shape: v2_tensors.Shape, datatype: str) -> bytes:
    """Return how an output begins, up to its values."""
    return _dump({"name": name, "shape": shape, "datatype": datatype})[:-1]


def _dump(part: Any) -> bytes:
    try:
        return json_media.dump(part)
    except TypeError as error:
        raise ModelError(f"The model's answer cannot be written as JSON: {error}") from error


def _wanted_of(name: str, note: Note) -> Wanted:
    wanted = note.outputs.get(name)
    if wanted is None and len(note.outputs) == 1:  # a method with several outputs was asked for
        (wanted,) = note.outputs.values()
    return wanted or _ANYHOW


def _classify(name: str, array: Array, n_classes: int, labels: list[Any] | None) -> Array:
    """Return the highest values of each row as ``"value:index[:label]"``, the highest first.

    Source: Triton, protocol/extension_classification.md.
    """
    if array.dtype.kind not in "fiub":
        raise NotAcceptable(f"Output {name!r} holds no numbers, so it has no classification")
    rows = array.reshape(len(array), -1)
    n_classes = min(n_classes, rows.shape[1])
    names = labels if labels is not None and len(labels) == rows.shape[1] else None
    best = np.argsort(-rows.astype(np.float64), axis=1, kind="stable")[:, :n_classes]
    texts = np.empty(best.shape, dtype=object)
    for place, index in np.ndenumerate(best):
        label = "" if names is None else f":{names[index]}"
        texts[place] = f"{rows[place[0], index]:f}:{index}{label}"
    return texts


def status_of(error: DemijohnError) -> int:
    """Return an error's status: what does not fit is 400 here, all else keeps its own."""
    # An output that the model does not have is no address: a path never names a method here.
    is_bad = error.status in _AS_BAD_REQUEST or error.code == "method_not_found"
    return _BAD_REQUEST if is_bad else error.status


def encode_error(error: DemijohnError, request_id: str) -> Encoded:
    """Write an error; "application/json" alone is what KServe's client reads."""
    del request_id  # the header X-Request-Id has it
    text = "; ".join([error.detail, *map(str, error.errors[1:])])  # the detail names the first
    return Encoded(json_media.dump({"error": text}), JSON, error.headers)
