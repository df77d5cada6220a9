"""JSON body forms that several dialects share: rows, records and columns, and how answers have them.

Rules of this room:
1. A body is rows, records, or an object with exactly one of ``FORMS``, beside it ``params`` if the method
   takes any.
2. JSON that is well formed but none of these forms does not fit (422).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import numpy as np

from demijohn import kernels
from demijohn.config import MAX_PIXELS, Settings
from demijohn.errors import ParameterMismatch, Problem, SignatureMismatch
from demijohn.messages import (
    Columns,
    ImageReader,
    InferenceRequest,
    Inputs,
    Matrix,
    Records,
    Rows,
    WrittenInputs,
)

from . import image_media, json_frames, json_media, json_records

_DEPTH_OF_RECORDS = 3  # in a list in an object
_EXPECTED = (
    "a list of rows or records, or an object with one of "
    "instances, inputs, dataframe_split, dataframe_records"
)


def decode(
    body: bytes,
    settings: Settings,
    read: Callable[[Any], InferenceRequest],
    parse: Callable[[bytes, Settings], Any] = json_media.parse,
    *,
    has_records: bool = False,
) -> InferenceRequest:
    """Read a body; rows of numbers and nothing else become an array at once, plain records and frames, too.

    Args:
        body: As the client sent it.
        settings: For the limits.
        read: Reads the parsed document; of a list of rows, and of ``{"instances": rows}`` and
            ``{"inputs": rows}``, it makes ``Rows``.
        parse: Of JSON.
        has_records: ``read`` makes ``Records`` of records, bare or under any of the ``FORMS`` that has such;
            and ``Rows`` of a frame, where that is what the first key says.

    Raises:
        RequestError: it is not JSON, over a limit, or what ``read`` raises.
    """
    numbers = kernels.read_matrix(body, settings.max_elements) if kernels.IS_BUILT else None
    if numbers is not None and numbers.ndim < settings.max_depth:
        return InferenceRequest(Matrix(numbers, lambda: _read_again(body, settings, read)))
    if has_records and settings.max_depth >= _DEPTH_OF_RECORDS:
        most, again = settings.max_elements, partial(_read_again, body, settings, read)
        inputs = json_records.read(body, most, again)
        if inputs is None and settings.max_depth >= json_frames.DEPTH:
            inputs = json_frames.read(body, most, again)
        if inputs is not None:
            return InferenceRequest(inputs)
    return read(parse(body, settings))


def _read_again(body: bytes, settings: Settings, read: Callable[[Any], InferenceRequest]) -> WrittenInputs:
    """Read rows or records again, as they were written."""
    return cast(WrittenInputs, read(json_media.parse(body, settings)).inputs)


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
        return InferenceRequest(rows_or_records(document, images))
    if not isinstance(document, dict):
        raise unknown_form(document)
    if any(key not in FORMS and key != "params" for key in document):
        raise unknown_form(document)
    return read_object(document, images)


def read_object(document: dict[str, Any], images: ImageReader, expected: str = _EXPECTED) -> InferenceRequest:
    """Read an object with exactly one of the forms; what else is in it is not looked at.

    Raises:
        SignatureMismatch: it has none or several.
        ParameterMismatch: ``params`` is no object.
    """
    forms = [key for key in document if key in FORMS]
    if len(forms) != 1:
        raise unknown_form(document, expected)
    parameters = document.get("params", {})
    if not isinstance(parameters, dict):
        raise ParameterMismatch("'params' must be an object of the method's arguments")
    return InferenceRequest(FORMS[forms[0]](document[forms[0]], images), parameters)


def unknown_form(document: Any, expected: str = _EXPECTED) -> SignatureMismatch:
    """Return the error of a document that is none of the forms that are expected."""
    received = kind(document)
    if isinstance(document, dict):
        received = "an object with " + (", ".join(map(repr, list(document)[:8])) or "nothing in it")
    return SignatureMismatch(
        f"The body is not a form of request: expected {expected}",
        errors=[Problem(None, None, expected, received[:400])],
    )


def rows_or_records(rows: Any, images: ImageReader) -> Rows | Records:
    """Read a list of rows, or of records.

    Raises:
        SignatureMismatch: it is no list.
    """
    if not isinstance(rows, list):
        raise misfit("a list of rows or of records", rows)
    if rows and isinstance(rows[0], dict):
        return Records(rows, images)
    return Rows(rows, images=images)


def tensor_or_columns(inputs: Any, images: ImageReader) -> Inputs:
    """Read columns by name, or the rows of one tensor.

    Raises:
        SignatureMismatch: it is neither.
    """
    return Columns(inputs, images) if isinstance(inputs, dict) else rows_or_records(inputs, images)


def _records(records: Any, images: ImageReader) -> Inputs:
    if not isinstance(records, list):
        raise misfit("a list of records", records)
    return Records(records, images)


def _split_frame(frame: Any, images: ImageReader) -> Inputs:
    """Read ``{"columns": [...], "index": [...], "data": [[...]]}``; the index is the client's own."""
    if not isinstance(frame, dict) or not isinstance(frame.get("data"), list):
        raise misfit("an object with 'data', and 'columns' beside it", frame)
    columns = frame.get("columns")
    if columns is None:
        return Rows(frame["data"], images=images)
    if not isinstance(columns, list) or not all(type(name) in (str, int, float) for name in columns):
        raise misfit("'columns' as a list of names", columns)
    return Rows(frame["data"], columns=[str(name) for name in columns], images=images)


FORMS: dict[str, Callable[[Any, ImageReader], Inputs]] = {
    "instances": rows_or_records,
    "inputs": tensor_or_columns,
    "dataframe_split": _split_frame,
    "dataframe_records": _records,
}


def misfit(expected: str, value: Any) -> SignatureMismatch:
    """Return the error of a part that is of another kind than expected."""
    return SignatureMismatch(
        f"Expected {expected}, received {kind(value)}", errors=[Problem(None, None, expected, kind(value))]
    )


def kind(value: Any) -> str:
    """Say of which kind a parsed value is."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def records_of(outputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a record per row, for a method with several named outputs.

    Args:
        outputs: Each in a form that ``json_media.writable`` returns, of one length.
    """
    columns = [values.tolist() if isinstance(values, np.ndarray) else values for values in outputs.values()]
    return [dict(zip(outputs, row, strict=True)) for row in zip(*columns, strict=True)]
