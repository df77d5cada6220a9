"""TensorFlow Serving's REST API, version 1, and KServe's on the same paths.

Rules of this room:
1. A method is a signature: ``signature_name`` names one, "" and ``serving_default`` mean the model's first.
   ``:classify`` asks for ``predict_proba`` unless it is told otherwise.
2. ``:predict`` takes rows (``instances``), answered by ``predictions``, or columns (``inputs``), answered
   by ``outputs``; ``:classify`` and ``:regress`` take ``examples`` and a ``context`` that all of them share,
   and answer ``results``: so do code and tests, where the documentation says ``result``.
3. NaN, Infinity and -Infinity are read and written as bare words: as no other dialect of ours does. Read,
   NaN is a missing value, as it is in arrays; an infinity is left to the model. All limits stay.
4. ``{"b64": "..."}`` is bytes. Outputs named ``*_bytes`` are written so, and bytes that are no text.
5. No Content-Type is looked at: TensorFlow Serving looks at none, and curl's own says a form.
6. Keys that it does not know are ignored; what does not fit is 400.

Sources: https://github.com/tensorflow/serving, g3doc/api_rest.md, util/json_tensor.cc and
model_servers/http_rest_api_util.cc; https://kserve.github.io, "V1 Inference Protocol".
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec.structs import replace

from demijohn.config import Settings
from demijohn.errors import (
    DecodeError,
    DemijohnError,
    MethodNotAllowed,
    MethodNotFound,
    ModelError,
    ModelNotFound,
    NotOffered,
    Problem,
    RouteNotFound,
    SignatureMismatch,
    VersionNotFound,
)
from demijohn.messages import (
    Array,
    Columns,
    Encoded,
    ImageReader,
    InferenceRequest,
    InferenceResponse,
    Inputs,
    Matrix,
    RecordCells,
    Records,
    as_written,
)

from . import image_media, json_forms, json_media, json_words, media_types

ANSWERS = ()  #: TensorFlow Serving answers in JSON whatever Accept says.

DEFAULT_SIGNATURE = "serving_default"
_PROBABILITIES = "predict_proba"
_BINARY = "_bytes"  # how an output's name says that it is no text
_B64 = "b64"
_PREDICT, _CLASSIFY, _REGRESS = VERBS = ("predict", "classify", "regress")
EXPLAIN = "explain"  #: KServe's, for models with an explainer; none here has one.
_ROW, _COLUMN = "row", "column"
_KEYS = {_ROW: b'"instances"', _COLUMN: b'"inputs"'}
_LISTS = {_ROW: "instances", _COLUMN: "inputs", _CLASSIFY: "examples", _REGRESS: "examples"}


def read_head(environ: Mapping[str, Any]) -> str:
    """Return what the path asks for, one of ``VERBS``; see ``InferenceProtocol.read_head``."""
    path: str = environ.get("PATH_INFO", "")
    verb = path.rpartition(":")[2].lower()
    if verb == EXPLAIN:
        raise NotOffered("No model here has an explainer")
    if verb not in VERBS:
        error = RouteNotFound()
        error.asked = f"{environ.get('REQUEST_METHOD', 'POST')} {path}"
        raise error
    return verb


def decode(body: bytes, head: str, settings: Settings) -> InferenceRequest:
    """Read a request; see ``InferenceProtocol.decode``. The head is one of ``VERBS``."""
    images = image_media.Images(settings.max_pixels)
    if head != _PREDICT:
        document = json_words.parse(body, settings)
        return _read_examples(document, head, images, may_have_bytes=b'"b64"' in body)
    if body.lstrip(b" \t\r\n")[:1] != b"{":  # a bare list would be read like rows of ``instances``
        raise _misfit("an object with 'instances' or 'inputs'", json_words.parse(body, settings))
    form = _first_form(body)
    request = json_forms.decode(
        body,
        settings,
        lambda document: _read_rows(document, body, images),
        json_words.parse,
        has_records=form is not None,
    )
    if request.note is not None:
        return request
    # An array at once: there is one key in the object, and it is no other.
    inputs = request.inputs
    if isinstance(inputs, RecordCells | Matrix) and len(_columns_of(inputs)) == 1:
        inputs = as_written(inputs)  # a column of one name may be the only input of any model
    return replace(request, inputs=inputs, note=form)


def _first_form(body: bytes) -> str | None:
    """Return the form that the first key of an object says, as far as it says any."""
    place = body.find(b'"')
    return next((form for form, key in _KEYS.items() if body.startswith(key, place)), None)


def _columns_of(inputs: Matrix | RecordCells) -> Sequence[str]:
    return (inputs.names if isinstance(inputs, RecordCells) else inputs.columns) or ()


def _read_rows(document: Any, body: bytes, images: ImageReader) -> InferenceRequest:
    """Read the document of ``:predict``."""
    _check_object(document, "'instances' or 'inputs'")
    if ("instances" in document) == ("inputs" in document):
        raise SignatureMismatch(
            "Not formatted correctly: expected either 'instances' (rows) or 'inputs' (columns)",
            errors=[Problem(None, None, "one of 'instances' and 'inputs'", "both or neither")],
        )
    form = _ROW if "instances" in document else _COLUMN
    values = document[_LISTS[form]]
    if b'"b64"' in body:
        values = _read_bytes(values)
    if form == _ROW:
        inputs = _by_name(json_forms.rows_or_records(values, images))
    else:
        inputs = json_forms.tensor_or_columns(values, images)
    return InferenceRequest(inputs, methods=_methods(document), note=form)


def _read_examples(
    document: Any, verb: str, images: ImageReader, *, may_have_bytes: bool
) -> InferenceRequest:
    """Read the document of ``:classify`` and ``:regress``: features by name, some for all examples."""
    _check_object(document, "'examples'")
    examples, context = document.get("examples"), document.get("context", {})
    if not isinstance(examples, list) or not all(isinstance(example, dict) for example in examples):
        raise _misfit("'examples' as a list of objects", examples)
    if not isinstance(context, dict):
        raise _misfit("'context' as an object", context)
    if may_have_bytes:
        examples, context = _read_bytes(examples), _read_bytes(context)
    records = [_features({**context, **example}) for example in examples]
    methods = _methods(document) or ((_PROBABILITIES,) if verb == _CLASSIFY else ())
    return InferenceRequest(_by_name(json_forms.rows_or_records(records, images)), methods=methods, note=verb)


def _features(example: dict[str, Any]) -> dict[str, Any]:
    """Return an example with plain values: tf.Example knows lists alone, so 46 is written as [46] too.

    A feature that stands alone is kept: it may be the row of a model without column names.
    """
    if len(example) == 1:
        return example
    return {
        name: value[0] if isinstance(value, list) and len(value) == 1 else value
        for name, value in example.items()
    }


def _by_name(inputs: Inputs) -> Inputs:
    """Turn records of one and the same name into a column: it may be the only input of any model."""
    if not isinstance(inputs, Records):
        return inputs
    records = inputs.records
    first = records[0]
    if len(first) != 1 or not all(isinstance(r, dict) and r.keys() == first.keys() for r in records):
        return inputs
    (name,) = first
    return Columns({name: [record[name] for record in records]}, inputs.images)


def _check_object(document: Any, expected: str) -> None:
    if not isinstance(document, dict):
        raise _misfit(f"an object with {expected}", document)


def _misfit(expected: str, value: Any) -> SignatureMismatch:
    return json_forms.misfit(expected, value)


def _methods(document: dict[str, Any]) -> tuple[str, ...]:
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise SignatureMismatch("'signature_name' must be a string value")
    return () if name in ("", DEFAULT_SIGNATURE) else (name,)


def _read_bytes(value: Any) -> Any:
    """Put bytes in the place of each ``{"b64": "..."}``; the parser has bounded the depth."""
    if isinstance(value, list):
        return [_read_bytes(below) for below in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {_B64} and isinstance(value[_B64], str):
        return _from_base64(value[_B64])
    return {name: _read_bytes(below) for name, below in value.items()}


def _from_base64(text: str) -> bytes:
    try:
        return b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DecodeError("What stands under 'b64' is not base64") from error


# Answers ----------------------------------------------------------------------------------


def encode(response: InferenceResponse, request: InferenceRequest, media_type: str) -> Encoded:
    """Write an answer; see ``InferenceProtocol.encode``."""
    del media_type
    form = request.note
    if form in (_CLASSIFY, _REGRESS):
        answer = _classify(response) if form == _CLASSIFY else _regress(response)
        return _write({"results": answer}, response)
    outputs = {name: _writable(name, array) for name, array in response.outputs.items()}
    is_single = len(outputs) == 1
    if form == _COLUMN:
        return _write({"outputs": next(iter(outputs.values())) if is_single else outputs}, response)
    rows = next(iter(outputs.values())) if is_single else json_forms.records_of(outputs)
    return _write({"predictions": rows}, response)


def _writable(name: str, array: Array) -> Any:
    if not name.endswith(_BINARY):
        return json_media.writable_bytes(array, _text_or_b64)
    if array.dtype.kind in "USO":
        array = _encoded(array)
    return json_media.writable_bytes(array, _b64)


def _encoded(array: Array) -> Array:
    """Return an array whose texts are bytes."""
    cells = array.astype(object)
    for index, cell in np.ndenumerate(cells):
        if isinstance(cell, str):
            cells[index] = cell.encode("utf-8", "surrogatepass")
    return cells


def _b64(value: bytes) -> dict[str, str]:
    return {_B64: json_media.as_base64(value)}


def _text_or_b64(value: bytes) -> Any:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return _b64(value)


def _classify(response: InferenceResponse) -> list[list[list[Any]]]:
    """Return a label and its score for each class of each row."""
    scores, classes = _only(response), response.classes
    if scores is None or classes is None or scores.shape[1:] != (len(classes),):
        raise SignatureMismatch(
            f"{response.method} does not classify: it has no score for each of the model's classes"
        )
    labels = list(map(str, classes))
    rows = json_media.writable(scores).tolist()
    return [[[label, score] for label, score in zip(labels, row, strict=True)] for row in rows]


def _regress(response: InferenceResponse) -> Any:
    """Return a number for each row."""
    values = _only(response)
    if values is None or values.dtype.kind not in "fiu" or values.shape[1:] not in ((), (1,)):
        raise SignatureMismatch(f"{response.method} is no regression: it has no single number for each row")
    return json_media.writable(values.reshape(-1))


def _only(response: InferenceResponse) -> Array | None:
    return next(iter(response.outputs.values())) if len(response.outputs) == 1 else None


def _write(document: dict[str, Any], response: InferenceResponse) -> Encoded:
    """Write a document; what may hold numbers that are not finite is written by the slower way."""
    try:
        if all(map(_is_plain, response.outputs.values())):
            return Encoded(json_media.dump(document), media_types.JSON)
        return Encoded(json_words.dump(document), media_types.JSON)
    except TypeError as error:
        raise ModelError(f"The model's answer cannot be written as JSON: {error}") from error


def _is_plain(array: Array) -> bool:
    if array.dtype.kind == "f":
        return bool(np.isfinite(array).all())
    return array.dtype.kind != "O" or set(map(type, array.flat)) <= {str, bool, int}


_STATUSES: Sequence[tuple[type[DemijohnError], int]] = (
    (RouteNotFound, 400),
    (MethodNotFound, 400),  # a signature that is not there is an argument that is wrong
)


def status_of(error: DemijohnError) -> int:
    """Return an error's status: TensorFlow Serving knows no 422, and a path that it cannot read is 400."""
    for kind, status in _STATUSES:
        if isinstance(error, kind):
            return status
    return 400 if error.status == 422 else error.status


def encode_error(error: DemijohnError, request_id: str) -> Encoded:
    """Write an error as TensorFlow Serving and KServe do."""
    del request_id
    return Encoded(json_media.dump({"error": _text_of(error)}), media_types.JSON, error.headers)


def _text_of(error: DemijohnError) -> str:
    if isinstance(error, (RouteNotFound, MethodNotAllowed)) and error.asked:
        return f"Malformed request: {error.asked[:200]}"
    if isinstance(error, (ModelNotFound, VersionNotFound)):
        return f"Servable not found for request: {_servable(error)}"
    return error.detail


def _servable(error: ModelNotFound | VersionNotFound) -> str:
    """Write who was asked as TensorFlow Serving does, in core/manager.h."""
    if error.asked is None:
        return error.detail
    name, version = error.asked
    return f"Latest({name})"[:200] if version is None else f"Specific({name}, {version})"[:200]
