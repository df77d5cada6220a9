"""The native dialect: every body form of DESIGN.md section 3, one way to answer.

Rules of this room:
1. A body is rows, records, or an object with exactly one of ``instances``, ``inputs``,
   ``dataframe_split`` and ``dataframe_records``, beside it ``params`` if the method takes any.
2. JSON that is well formed but none of these forms does not fit (422); JSON that is not well
   formed cannot be read (400).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

from demijohn import kernels
from demijohn.config import MAX_PIXELS, Settings
from demijohn.errors import (
    DemijohnError,
    ModelError,
    ParameterMismatch,
    Problem,
    SignatureMismatch,
    UnsupportedMediaType,
)
from demijohn.messages import (
    Columns,
    Encoded,
    ImageBody,
    ImageReader,
    InferenceRequest,
    InferenceResponse,
    Inputs,
    Matrix,
    Records,
    Rows,
    Tensors,
)

from . import csv_media, image_media, json_media

JSON = "application/json"
CSV = "text/csv"
PROBLEM = "application/problem+json"
BODIES = (JSON, CSV, *image_media.MEDIA_TYPES)  #: Media types that ``decode`` reads.
ANSWERS = (JSON, CSV)  #: Media types that ``encode`` writes, the default first.


def read_head(environ: Mapping[str, Any]) -> str:
    """Return the Content-Type; see ``InferenceProtocol.read_head``."""
    content_type: str = environ.get("CONTENT_TYPE") or ""
    check_content_type(content_type)
    return content_type


def check_content_type(content_type: str) -> None:
    """Refuse a body by its Content-Type.

    Raises:
        UnsupportedMediaType: ``decode`` does not read it.
    """
    if not content_type or content_type == JSON:
        return
    media_type, options = _split(content_type)
    if media_type not in BODIES:
        raise UnsupportedMediaType(
            f"Bodies of type {media_type[:80]!r} are not read; send one of {', '.join(BODIES)}"
        )
    if options.get("charset", "utf-8").lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise UnsupportedMediaType(f"Only UTF-8 is read, not {options['charset'][:40]!r}")


def decode(body: bytes, head: str, settings: Settings) -> InferenceRequest:
    """Read a request; see ``InferenceProtocol.decode``. The head is the Content-Type."""
    if head and head != JSON:
        check_content_type(head)
        media_type, options = _split(head)
        if media_type == CSV:
            has_header = options.get("header", "present").lower() != "absent"
            return InferenceRequest(csv_media.decode(body, has_header=has_header))
        if media_type in image_media.MEDIA_TYPES:
            return InferenceRequest(ImageBody(body, image_media.Images(settings.max_pixels, media_type)))
    numbers = kernels.read_matrix(body, settings.max_elements) if kernels.IS_BUILT else None
    if numbers is not None and numbers.ndim < settings.max_depth:
        return InferenceRequest(Matrix(numbers, lambda: _read_rows(body, settings)))
    return read_document(json_media.parse(body, settings), settings.max_pixels)


def _read_rows(body: bytes, settings: Settings) -> Rows:
    """Read a matrix of numbers again, as rows."""
    return cast(Rows, read_document(json_media.parse(body, settings)).inputs)


def _split(content_type: str) -> tuple[str, dict[str, str]]:
    media_type, *options = content_type.split(";")
    pairs = (option.partition("=") for option in options)
    return media_type.strip().lower(), {k.strip().lower(): v.strip().strip('"') for k, _, v in pairs}


def read_document(document: Any, max_pixels: int = MAX_PIXELS) -> InferenceRequest:
    """Read one of the JSON body forms, parsed.

    Args:
        document: As JSON has it.
        max_pixels: Of all images in it.

    Raises:
        SignatureMismatch: it is none of them.
    """
    images = image_media.Images(max_pixels)
    if isinstance(document, list):
        return InferenceRequest(_rows_or_records(document, images))
    if not isinstance(document, dict):
        raise _unknown_form(document)
    forms = [key for key in document if key in _FORMS]
    unknown = [key for key in document if key not in _FORMS and key != "params"]
    if len(forms) != 1 or unknown:
        raise _unknown_form(document)
    parameters = document.get("params", {})
    if not isinstance(parameters, dict):
        raise ParameterMismatch("'params' must be an object of the method's arguments")
    return InferenceRequest(_FORMS[forms[0]](document[forms[0]], images), parameters)


def _unknown_form(document: Any) -> SignatureMismatch:
    received = _kind(document)
    if isinstance(document, dict):
        received = "an object with " + (", ".join(map(repr, list(document)[:8])) or "nothing in it")
    expected = "a list of rows or records, or an object with one of " + ", ".join(_FORMS)
    return SignatureMismatch(
        f"The body is not a form of request: expected {expected}",
        errors=[Problem(None, None, expected, received[:400])],
    )


def _rows_or_records(rows: Any, images: ImageReader) -> Inputs:
    if not isinstance(rows, list):
        raise _misfit("a list of rows or of records", rows)
    if rows and isinstance(rows[0], dict):
        return Records(rows, images)
    return Rows(rows, images=images)


def _tensor_or_columns(inputs: Any, images: ImageReader) -> Inputs:
    return Columns(inputs, images) if isinstance(inputs, dict) else _rows_or_records(inputs, images)


def _records(records: Any, images: ImageReader) -> Inputs:
    if not isinstance(records, list):
        raise _misfit("a list of records", records)
    return Records(records, images)


def _split_frame(frame: Any, images: ImageReader) -> Inputs:
    """Read ``{"columns": [...], "index": [...], "data": [[...]]}``; the index is the client's own."""
    if not isinstance(frame, dict) or not isinstance(frame.get("data"), list):
        raise _misfit("an object with 'data', and 'columns' beside it", frame)
    columns = frame.get("columns")
    if columns is None:
        return Rows(frame["data"], images=images)
    if not isinstance(columns, list) or not all(type(name) in (str, int, float) for name in columns):
        raise _misfit("'columns' as a list of names", columns)
    return Rows(frame["data"], columns=[str(name) for name in columns], images=images)


_FORMS: dict[str, Callable[[Any, ImageReader], Inputs]] = {
    "instances": _rows_or_records,
    "inputs": _tensor_or_columns,
    "dataframe_split": _split_frame,
    "dataframe_records": _records,
}


def _misfit(expected: str, value: Any) -> SignatureMismatch:
    return SignatureMismatch(
        f"Expected {expected}, received {_kind(value)}", errors=[Problem(None, None, expected, _kind(value))]
    )


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def encode(response: InferenceResponse, request: InferenceRequest, media_type: str) -> Encoded:
    """Write an answer; see ``InferenceProtocol.encode``."""
    del request  # the native answer has one form
    if media_type == CSV:
        return Encoded(csv_media.encode(response.outputs), "text/csv; charset=utf-8")
    outputs = response.outputs
    predictions = outputs.get(response.method) if len(outputs) == 1 else None
    document: dict[str, Any] = {
        "predictions": _records_of(outputs) if predictions is None else json_media.writable(predictions),
        "model": response.model,
        "version": response.version,
    }
    if response.classes is not None:
        document["classes"] = response.classes
    try:
        return Encoded(json_media.dump(document), JSON)
    except TypeError as error:
        raise ModelError(f"The model's answer cannot be written as JSON: {error}") from error


def _records_of(outputs: Tensors) -> list[dict[str, Any]]:
    """Return a record per row, for a method with several named outputs."""
    columns = [_plain(array) for array in outputs.values()]
    return [dict(zip(outputs, row, strict=True)) for row in zip(*columns, strict=True)]


def _plain(array: np.ndarray[Any, Any]) -> list[Any]:
    values = json_media.writable(array)
    return values.tolist() if isinstance(values, np.ndarray) else values  # type: ignore[no-any-return]


def status_of(error: DemijohnError) -> int:
    """Return an error's own status."""
    return error.status


def encode_error(error: DemijohnError, request_id: str) -> Encoded:
    """Write an error as RFC 9457 problem+json."""
    document: dict[str, Any] = {
        "type": f"urn:demijohn:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "errors": [
            {"row": p.row, "column": p.column, "expected": p.expected, "received": p.received}
            for p in error.errors
        ],
        "request_id": request_id,
    }
    return Encoded(json_media.dump(document), PROBLEM, error.headers)
