"""Calls in Demijohn's own dialect, as JSON: what every server reads, and every value has a form in.

Rules of this room:
1. Numbers are written with all their digits, and read so. JSON has no infinity: a request with one is
   for another dialect, and null in an answer's floats may have been one.
2. An image goes as the file that it is.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from typing import Any, cast

import msgspec
import numpy as np
import orjson

from demijohn.errors import Problem, SignatureMismatch
from demijohn.messages import Tensors, plain
from demijohn.protocols import json_media

from .calls import Call, Received, Sent, Unfit, shape_output
from .connection import Answer
from .description import decode as decode_document
from .inputs import Document, ImageFile, Table, Tensor, is_missing
from .problems import PROBLEM

JSON = "application/json"
_ACCEPT = f"{JSON}, {PROBLEM}"
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
_NULL = b"null"


class _Answer(msgspec.Struct):
    predictions: list[Any]
    version: str


def encode(call: Call) -> Sent:
    """Write a call; see ``calls.Dialect``."""
    path = f"{call.place.path}/{call.method}"
    given = call.given
    if isinstance(given, ImageFile):
        if call.parameters:
            raise Unfit("a body that is an image has no place for parameters")
        return Sent(path, given.file, {"Content-Type": given.media_type, "Accept": _ACCEPT})
    body = write_document(_document_of(call))
    return Sent(path, body, {"Content-Type": JSON, "Accept": _ACCEPT})


def write_document(document: Any) -> bytes:
    """Write what may hold arrays, missing values and instants as JSON.

    Raises:
        SignatureMismatch: JSON has no form for some value.
        Unfit: an infinity is one of them.
    """
    try:
        body = orjson.dumps(document, default=_plain, option=_OPTIONS)
    except TypeError as error:  # orjson's own, which covers ours
        cause = error.__cause__
        if isinstance(cause, SignatureMismatch):
            raise cause from None
        raise _unfit("what JSON has a form for", str(error)) from error
    if _NULL in body and _has_infinity(document):
        raise Unfit("JSON has no infinity")
    return body


def _document_of(call: Call) -> Any:
    given = call.given
    if isinstance(given, Tensor):
        document: Any = json_media.writable(given.array)
    elif isinstance(given, Table):
        document = _columns(given, call)
    else:
        document = cast(Document, given).body  # an image has another form
    if not call.parameters:
        return document
    if not isinstance(document, dict):
        return {"instances": document, "params": call.parameters}
    own = document.get("params")
    return {**document, "params": {**(own if isinstance(own, dict) else {}), **call.parameters}}


def _columns(table: Table, call: Call) -> dict[str, Any]:
    columns = {name: json_media.writable(array) for name, array in table.columns.items()}
    if call.description.signature.of(call.method).layout in ("table", "tensors"):
        return {"inputs": columns}
    # A model without column names takes these by place.
    rows = zip(*(plain(array) for array in table.columns.values()), strict=True)
    return {"dataframe_split": {"columns": list(columns), "data": list(rows)}}


def _plain(value: Any) -> Any:
    """Return what is written in the place of what orjson does not know."""
    if is_missing(value):
        return None
    if isinstance(value, np.timedelta64 | datetime.timedelta | complex | np.complexfloating):
        raise _unfit("numbers, texts, booleans or instants", type(value).__name__)
    return json_media.plain_form(value)


def _has_infinity(value: Any) -> bool:
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return bool(np.isinf(value).any())
    if isinstance(value, float):
        return math.isinf(value)
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple, np.ndarray)):
        return False
    return any(map(_has_infinity, value))


def _unfit(expected: str, received: str) -> SignatureMismatch:
    problem = Problem(None, None, expected, received)
    return SignatureMismatch(str(problem), errors=[problem])


# The answer -------------------------------------------------------------------------------


def decode(answer: Answer, call: Call) -> Received:
    """Read the answer to a call; see ``calls.Dialect``."""
    document = decode_document(answer.body, _Answer)
    received = Received(read_predictions(document.predictions, call), document.version)
    if _NULL in answer.body and any(array.dtype.kind == "f" for array in received.outputs.values()):
        raise Unfit("null may have been NaN or an infinity", received)
    return received


def read_predictions(predictions: list[Any], call: Call) -> Tensors:
    """Return the outputs that the predictions of some rows are."""
    specs = {spec.name: spec for spec in call.description.outputs(call.method)}
    labels = call.description.labels(call.method)
    names = _names_in(predictions)
    if names is None:
        return {call.method: shape_output(predictions, specs.get(call.method), labels)}
    return {name: shape_output([row[name] for row in predictions], specs.get(name)) for name in names}


def _names_in(predictions: list[Any]) -> Sequence[str] | None:
    """Return the names of several outputs; None where each prediction is a value."""
    first = predictions[0] if predictions else None
    if not isinstance(first, dict):
        return None
    names = first.keys()
    return list(names) if all(isinstance(row, dict) and row.keys() == names for row in predictions) else None
