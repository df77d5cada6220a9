"""MLflow's scoring protocol: ``POST /invocations``; with ``/ping`` it is SageMaker's contract, too.

Rules of this room:
1. A JSON body is an object with exactly one of ``json_forms.FORMS``, and ``params`` beside it; what else
   is in it is ignored, as MLflow does. One with ``messages``, ``prompt`` or ``input`` is the one row of a
   model of texts, and its answer stands alone, without ``predictions`` around it.
2. A CSV body has a header row; Parquet needs an extra. ``charset=utf-8`` is the only parameter that a
   Content-Type may have.
3. MLflow's client writes a missing cell as a bare NaN, so that is read, and an infinity, too; an answer
   has null in the place of both.
4. An error has MLflow's three keys; ``stack_trace`` is always empty. What does not fit is 400.

Source: https://github.com/mlflow/mlflow, mlflow/pyfunc/scoring_server/__init__.py, of version 3.17;
``dump_input_data`` in mlflow/utils/proto_json_utils.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from demijohn.config import Settings
from demijohn.errors import DemijohnError, ModelError, UnsupportedMediaType
from demijohn.messages import Encoded, ImageReader, InferenceRequest, InferenceResponse, Records

from . import (
    arrow_columns,
    csv_media,
    image_media,
    json_forms,
    json_media,
    json_words,
    media_types,
    parquet_media,
)

ANSWERS = ()  #: MLflow answers in JSON whatever Accept says.
BODIES = (media_types.JSON, media_types.CSV, parquet_media.MEDIA_TYPE)  #: Media types that ``decode`` reads.

_UNWRAPPED = "unwrapped"
_OF_TEXTS = frozenset({"messages", "prompt", "input"})
_EXPECTED = f"an object with exactly one of {', '.join(json_forms.FORMS)}"
#: MLflow's names of errors by status; source: mlflow/exceptions.py and databricks.proto.
_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    429: "RESOURCE_EXHAUSTED",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def read_head(environ: Mapping[str, Any]) -> str:
    """Return the media type; see ``InferenceProtocol.read_head``."""
    content_type: str = environ.get("CONTENT_TYPE") or media_types.JSON  # MLflow answers 500 where none came
    media_type, options = media_types.split(content_type)
    if media_type not in BODIES:
        raise UnsupportedMediaType(f"This predictor reads {', '.join(BODIES)}, received {media_type[:80]!r}")
    if media_type == parquet_media.MEDIA_TYPE and not arrow_columns.is_available():
        raise UnsupportedMediaType(f"Reading {media_type} {arrow_columns.INSTALL}")
    unknown = [name for name in options if name not in {"charset", ""}]
    if unknown:
        raise UnsupportedMediaType(f"Unrecognized content type parameters: {', '.join(unknown)[:80]}")
    if options.get("charset", "utf-8").lower() != "utf-8":
        raise UnsupportedMediaType("The scoring server only supports UTF-8")
    return media_type


def decode(body: bytes, head: str, settings: Settings) -> InferenceRequest:
    """Read a request; see ``InferenceProtocol.decode``. The head is the media type."""
    if head == media_types.CSV:
        way_out = "above data must stand the names of the columns, or 0,1,2…"
        return InferenceRequest(csv_media.decode(body, has_header=True, way_out=way_out))
    if head == parquet_media.MEDIA_TYPE:
        return InferenceRequest(parquet_media.decode(body, settings))
    if body.lstrip(b" \t\r\n")[:1] == b"[":
        # MLflow 1 took a bare list. Rows in one would be read like any others, so it is refused first.
        raise json_forms.misfit(_EXPECTED, [])
    images = image_media.Images(settings.max_pixels)
    return json_forms.decode(
        body, settings, lambda document: _read_document(document, images), _parse, has_records=True
    )


def _parse(body: bytes, settings: Settings) -> Any:
    return json_words.parse(body, settings, json_words.OF_PYTHON)


def _read_document(document: Any, images: ImageReader) -> InferenceRequest:
    if not isinstance(document, dict):
        raise json_forms.misfit(_EXPECTED, document)
    if not _OF_TEXTS.isdisjoint(document):
        return InferenceRequest(Records([document], images), note=_UNWRAPPED)
    return json_forms.read_object(document, images, _EXPECTED)


def encode(response: InferenceResponse, request: InferenceRequest, media_type: str) -> Encoded:
    """Write an answer; see ``InferenceProtocol.encode``."""
    del media_type
    outputs = {
        name: json_media.writable_bytes(array, json_media.as_base64)
        for name, array in response.outputs.items()
    }
    is_plain = list(outputs) == [response.method]
    predictions = outputs[response.method] if is_plain else json_forms.records_of(outputs)
    document = predictions[0] if request.note == _UNWRAPPED else {"predictions": predictions}
    try:
        return Encoded(json_media.dump(document), media_types.JSON)
    except TypeError as error:
        raise ModelError(f"The model's answer cannot be written as JSON: {error}") from error


def status_of(error: DemijohnError) -> int:
    """Return an error's status: MLflow knows no 422."""
    return 400 if error.status == 422 else error.status


def encode_error(error: DemijohnError, request_id: str) -> Encoded:
    """Write an error with MLflow's keys."""
    del request_id
    status = status_of(error)
    fallback = "INTERNAL_ERROR" if status >= 500 else "BAD_REQUEST"
    document = {"error_code": _CODES.get(status, fallback), "message": error.detail, "stack_trace": ""}
    return Encoded(json_media.dump(document), media_types.JSON, error.headers)
