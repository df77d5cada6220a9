"""Tables in JSON that the kernel reads into one array: a frame's rows, columns by name, or rows.

That is ``{"dataframe_split": {"columns": [...], "data": [[...]]}}``, ``{"inputs": {"a": [...], ...}}``, or
``[[...], ...]``, bare or as ``instances`` or ``inputs``.

Rules of this room:
1. What such a body says beside its cells is the same again and again: it is read once, and remembered by its
   bytes. What clients choose is bounded, in number and in length.
2. It reads what pandas writes: names that are texts, cells of one kind per column, and nulls among them.
   Anything else is left to the general reader.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from demijohn import kernels
from demijohn.config import Settings
from demijohn.errors import RequestError
from demijohn.messages import Matrix, RecordCells, WrittenInputs

from . import json_media, json_records

DEPTH = 4  #: How deep such a body is nested at the most.

_FRAME, _COLUMNS, _ROWS = "dataframe_split", "columns", "rows"
_HEAD = re.compile(rb'\s*(?:\{\s*"(\w{1,20})"\s*:\s*)?([\[{])')
#: By the first key, and by what stands there.
_FORMS = {
    (b"dataframe_split", b"{"): _FRAME, (b"inputs", b"{"): _COLUMNS,
    (None, b"["): _ROWS, (b"instances", b"["): _ROWS, (b"inputs", b"["): _ROWS,
}  # fmt: skip
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
    head = _HEAD.match(body) if kernels.IS_BUILT else None
    form = None if head is None else _FORMS.get((head[1], head[2]))
    if form is None:
        return None
    if form == _ROWS:
        found = kernels.read_rows(body, max_cells)
    else:
        found = kernels.read_frame(body, max_cells, is_any_key=form == _COLUMNS)
    if found is None or found.are_rows is (form == _COLUMNS) or found.may_exceed(len(body), max_cells):
        return None
    names = _names(found.rest, form)
    if names is None or len(names) != (0 if form == _ROWS else len(found.kinds)):
        return None
    return json_records.inputs_of(
        names or None, found.kinds, found.cells, found.texts, found.n_missing, again,
        is_by_name=form == _COLUMNS,
    )  # fmt: skip


@lru_cache(_MOST_REMEMBERED)
def _names(rest: bytes, form: str) -> tuple[str, ...] | None:
    """Return the columns' names, none of rows; None: it is another form, or anything is wrong."""
    try:
        document = json_media.parse(rest, _ANY)
    except RequestError:  # whoever reads the whole says it
        return None
    # Each list stands where one was cut out, since the kernel takes none that is empty.
    if form == _ROWS:
        is_alone = type(document) is dict and list(document.values()) == [[]]
        return () if document == [] or is_alone else None
    if type(document) is not dict or len(document) != 1:
        return None
    (table,) = document.values()
    if type(table) is not dict:
        return None
    names = table.get("columns") if form == _FRAME and _is_frame(table) else None
    if form == _COLUMNS and all(cells == [] for cells in table.values()):
        names = list(table)
    if type(names) is not list or not set(map(type, names)) <= {str} or len(set(names)) != len(names):
        return None
    return tuple(names)


def _is_frame(table: dict[str, Any]) -> bool:
    # "data" stands in the whole document as a key once, and was written without escapes: this is it.
    return table.keys() <= _KEYS and table.get("data") == [] and table.get("index", []) == []
