"""Tables in JSON that the kernel reads into one array: a frame's rows, or columns by name.

That is ``{"dataframe_split": {"columns": [...], "data": [[...]]}}`` or ``{"inputs": {"a": [...], ...}}``.

Rules of this room:
1. What such a body says beside its cells is the same again and again: it is read once, and remembered by its
   bytes. What clients choose is bounded, in number and in length.
2. It reads what pandas writes: names that are texts, cells of one kind per column, and nulls among them.
   Anything else is left to the general reader.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from demijohn import kernels
from demijohn.config import Settings
from demijohn.errors import RequestError
from demijohn.messages import Matrix, RecordCells, WrittenInputs

from . import json_media, json_records

DEPTH = 4  #: How deep such a body is nested at the most.

_FRAME = "dataframe_split"
_COLUMNS = "inputs"
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
    form = body.lstrip(b"{ \t\r\n")[:20] if kernels.IS_BUILT else b""
    is_frame = form.startswith(b'"dataframe_split"')
    if not is_frame and not form.startswith(b'"inputs"'):
        return None
    found = kernels.read_frame(body, max_cells, is_any_key=not is_frame)
    if found is None or found.are_rows is not is_frame or found.may_exceed(len(body), max_cells):
        return None
    names = _names(found.rest)
    if names is None or len(names) != len(found.kinds):
        return None
    return json_records.inputs_of(
        names, found.kinds, found.cells, found.texts, found.n_missing, again, is_by_name=not is_frame
    )


@lru_cache(_MOST_REMEMBERED)
def _names(rest: bytes) -> tuple[str, ...] | None:
    """Return the columns' names; None: it is another form, or anything is wrong."""
    try:
        document = json_media.parse(rest, _ANY)
    except RequestError:  # whoever reads the whole says it
        return None
    if type(document) is not dict or len(document) != 1:
        return None
    ((form, table),) = document.items()
    if type(table) is not dict:
        return None
    # Each list stands where one was cut out, since the kernel takes none that is empty.
    names = table.get("columns") if form == _FRAME and _is_frame(table) else None
    if form == _COLUMNS and all(cells == [] for cells in table.values()):
        names = list(table)
    if type(names) is not list or not set(map(type, names)) <= {str} or len(set(names)) != len(names):
        return None
    return tuple(names)


def _is_frame(table: dict[str, Any]) -> bool:
    # "data" stands in the whole document as a key once, and was written without escapes: this is it.
    return table.keys() <= _KEYS and table.get("data") == [] and table.get("index", []) == []
