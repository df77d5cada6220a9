"""``{"dataframe_split": {"columns": [...], "data": [[...]]}}``, read by the kernel into one array.

Rules of this room:
1. What such a body says beside its rows is the same again and again: it is read once, and remembered by its
   bytes. What clients choose is bounded, in number and in length.
2. It reads what pandas writes: names that are texts, cells of one kind per column, and nulls among them.
   Anything else is left to the general reader.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from demijohn import kernels
from demijohn.config import Settings
from demijohn.errors import RequestError
from demijohn.messages import Matrix, RecordCells, WrittenInputs

from . import json_media, json_records

DEPTH = 4  #: How deep such a body is nested.

_KEY = b'"dataframe_split"'
_KEYS = frozenset({"columns", "index", "data"})
_MOST_REMEMBERED = 128
_ANY = Settings()  # a request's own settings are looked at each time


def read(body: bytes, max_cells: int, again: Callable[[], WrittenInputs]) -> Matrix | RecordCells | None:
    """Read a body; None: it is something else, or there is no kernel.

    Args:
        body: A whole document.
        max_cells: How many values it may hold.
        again: Reads the body as it was written.
    """
    if not (kernels.IS_BUILT and body.lstrip(b"{ \t\r\n").startswith(_KEY)):
        return None
    found = kernels.read_frame(body, max_cells)
    if found is None or not found.are_rows:
        return None
    columns = _columns(found.rest)
    if columns is None or len(columns) != len(found.kinds) or found.may_exceed(len(body), max_cells):
        return None
    return json_records.inputs_of(
        columns, found.kinds, found.cells, found.texts, found.n_missing, again, is_by_name=False
    )


@lru_cache(_MOST_REMEMBERED)
def _columns(rest: bytes) -> tuple[str, ...] | None:
    """Return the names that stand beside the rows; None: it is another form, or anything is wrong."""
    try:
        document = json_media.parse(rest, _ANY)
    except RequestError:  # whoever reads the whole says it
        return None
    if type(document) is not dict or list(document) != ["dataframe_split"]:
        return None
    frame = document["dataframe_split"]
    # "data" stands in the whole document as a key once, and was written without escapes: it was cut out here.
    if type(frame) is not dict or not frame.keys() <= _KEYS or frame.get("data") != []:
        return None
    columns = frame.get("columns")
    if frame.get("index", []) != [] or type(columns) is not list or not set(map(type, columns)) <= {str}:
        return None
    return tuple(columns) if len(set(columns)) == len(columns) else None
