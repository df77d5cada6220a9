"""The native dialect: every body form of DESIGN.md section 3, one way to answer.

Rules of this room:
1. A JSON body is one of ``json_forms``; one that is none of them does not fit (422), one that is not
   well formed cannot be read (400).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from demijohn.config import Settings
from demijohn.errors import DemijohnError, ModelError, NotAcceptable, UnsupportedMediaType
from demijohn.messages import Encoded, ImageBody, InferenceRequest, InferenceResponse, Inputs, Tensors

from . import (
    arrow_columns,
    arrow_media,
    arrow_pieces,
    csv_media,
    image_media,
    json_forms,
    json_media,
    lines_media,
    media_types,
    npy_media,
    parquet_media,
)
from .pieces import Bounds
from .row_writers import CsvWriter, LinesWriter, RowWriter

JSON = media_types.JSON
CSV = media_types.CSV
ARROW, ARROW_FILE, PARQUET = arrow_media.STREAM, arrow_media.FILE, parquet_media.MEDIA_TYPE
PROBLEM = "application/problem+json"
NPY, NPZ, LINES = npy_media.NPY, npy_media.NPZ, lines_media.MEDIA_TYPES
#: Media types that ``encode`` writes, the default first.
ANSWERS = (JSON, CSV, ARROW, ARROW_FILE, PARQUET, NPY, NPZ, *LINES)
BODIES = (*ANSWERS, *image_media.MEDIA_TYPES)  #: Media types that ``decode`` reads.
STREAMED = (CSV, ARROW, *LINES)  #: Media types that ``decode_stream`` and ``encode_stream`` know.

_ROW_WRITERS: Mapping[str, Callable[[str], RowWriter]] = {
    CSV: CsvWriter,
    ARROW: arrow_pieces.ArrowWriter,
    **dict.fromkeys(LINES, LinesWriter),
}
_BY_PYARROW = frozenset({ARROW, ARROW_FILE, PARQUET})


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
    media_type, options = media_types.split(content_type)
    if media_type not in BODIES:
        raise UnsupportedMediaType(
            f"Bodies of type {media_type[:80]!r} are not read; send one of {', '.join(BODIES)}"
        )
    if not is_available(media_type):
        raise UnsupportedMediaType(f"Reading {media_type} {arrow_columns.INSTALL}")
    if options.get("charset", "utf-8").lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise UnsupportedMediaType(f"Only UTF-8 is read, not {options['charset'][:40]!r}")


def is_available(media_type: str) -> bool:
    """Say whether a form of body or answer can be read and written here: some need an extra."""
    return media_type not in _BY_PYARROW or arrow_columns.is_available()


def refuse_answer(media_type: str) -> NotAcceptable:
    """Return the error of an answer in a form that is not available here."""
    return NotAcceptable(f"Writing {media_type} {arrow_columns.INSTALL}")


def decode(body: bytes, head: str, settings: Settings) -> InferenceRequest:
    """Read a request; see ``InferenceProtocol.decode``. The head is the Content-Type."""
    if head and head != JSON:
        check_content_type(head)
        media_type, options = media_types.split(head)
        if media_type != JSON:
            return InferenceRequest(_read(body, media_type, options, settings))
    max_pixels = settings.max_pixels
    return json_forms.decode(
        body, settings, lambda document: json_forms.read_document(document, max_pixels), has_records=True
    )


def _read(body: bytes, media_type: str, options: Mapping[str, str], settings: Settings) -> Inputs:
    """Read a body that is no JSON document."""
    if media_type == CSV:
        return csv_media.decode(body, has_header=_has_header(options))
    if media_type in arrow_media.MEDIA_TYPES:
        return arrow_media.decode(body, media_type, settings)
    if media_type == PARQUET:
        return parquet_media.decode(body, settings)
    if media_type in npy_media.MEDIA_TYPES:
        return npy_media.decode(body, media_type, settings)
    if media_type in LINES:
        return lines_media.decode(body, settings)
    return ImageBody(body, image_media.Images(settings.max_pixels, media_type))


def _has_header(options: Mapping[str, str]) -> bool:
    return options.get("header", "present").lower() != "absent"


def decode_stream(
    read: Callable[[], bytes], head: str, bounds: Bounds, settings: Settings
) -> Iterator[Inputs]:
    """Read a body that is still coming, piece by piece.

    Args:
        read: Returns what comes next of the decompressed body, as soon as anything does; nothing at its end.
        head: What ``read_head`` returned: one of ``STREAMED``.
        bounds: How much is read at a time.
        settings: For the limits, which hold for each row.

    Yields:
        One piece or more; only of a body without rows has one no rows.

    Raises:
        RequestError: what comes next cannot be read; rows are counted from the body's start.
    """
    media_type, options = media_types.split(head)
    if media_type == CSV:
        return csv_media.decode_stream(read, bounds, has_header=_has_header(options))
    if media_type == ARROW:
        return arrow_pieces.decode_stream(read, bounds, settings)
    return lines_media.decode_stream(read, bounds, settings)


def encode_stream(media_type: str) -> RowWriter:
    """Return what writes an answer piece by piece as ``media_type``, one of ``STREAMED``."""
    return _ROW_WRITERS[media_type](media_type)


def encode(response: InferenceResponse, request: InferenceRequest, media_type: str) -> Encoded:
    """Write an answer; see ``InferenceProtocol.encode``."""
    del request  # the native answer has one form
    if media_type != JSON:
        return _encode_otherwise(response, media_type)
    document: dict[str, Any] = {
        "predictions": _predictions(response.outputs, response.method),
        "model": response.model,
        "version": response.version,
    }
    if response.classes is not None:
        document["classes"] = response.classes
    try:
        return Encoded(json_media.dump(document), JSON)
    except TypeError as error:
        raise ModelError(f"The model's answer cannot be written as JSON: {error}") from error


def _predictions(outputs: Tensors, method: str) -> Any:
    if len(outputs) != 1 or method not in outputs:
        return json_forms.records_of({name: json_media.writable(array) for name, array in outputs.items()})
    return json_media.quickly_writable(outputs[method])


def _encode_otherwise(response: InferenceResponse, media_type: str) -> Encoded:
    write = _WRITERS.get(media_type)
    if write is not None:
        return Encoded(write(response), media_type)
    writer = encode_stream(media_type)
    return Encoded(writer.write(response) + writer.end(), writer.content_type)


#: How an answer is written in the forms that are not JSON or text for a spreadsheet.
_WRITERS: Mapping[str, Callable[[InferenceResponse], bytes]] = {
    ARROW: lambda response: arrow_media.encode(response, ARROW),
    ARROW_FILE: lambda response: arrow_media.encode(response, ARROW_FILE),
    PARQUET: parquet_media.encode,
    NPY: lambda response: npy_media.encode(response.outputs, NPY),
    NPZ: lambda response: npy_media.encode(response.outputs, NPZ),
}


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
