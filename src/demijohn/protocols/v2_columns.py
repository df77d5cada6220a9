"""Requests of the Open Inference Protocol that are the columns of a table in JSON, read by a kernel.

Rules of this room:
1. As in ``v2_numbers``: what a request says beside its values is read once, and remembered by its bytes;
   whatever else a body is, or if anything in it is wrong, it is handed over.
2. A column is as what its datatype says, never as what its values look like: a float is no integer. Whatever
   a datatype would do to its values, but for null among them, is left to those who read any request.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from demijohn import kernels
from demijohn.config import Settings
from demijohn.messages import InferenceRequest, NamedTensors, RecordCells

from . import v2_heads

_MOST_REMEMBERED = 128
#: By datatype, and by what a kernel says of the values: the kind of ``RecordCells``.
_KINDS = {
    ("FP64", "i"): "f", ("FP64", "f"): "f", ("FP64", "-"): "f", ("INT64", "i"): "i", ("BOOL", "b"): "b",
    ("BYTES", "s"): "s", ("BYTES", "-"): "s",
}  # fmt: skip


class _Table(NamedTuple):
    """What a request says beside its values."""

    request: v2_heads.Meaning
    names: tuple[str, ...]
    datatypes: tuple[str, ...]


def read(body: bytes, settings: Settings, again: Callable[[], NamedTensors]) -> InferenceRequest | None:
    """Read a request; None: it is something else, or there is no kernel.

    Args:
        body: A whole document.
        settings: For the limits.
        again: Reads the body's inputs as any.
    """
    most = settings.max_elements
    found = kernels.read_frame(body, most) if kernels.IS_BUILT else None
    if found is None or found.are_rows or found.may_exceed(len(body), most):
        return None
    table = _table(found.rest, *found.cells.shape)
    if table is None or table.request.depth > settings.max_depth:
        return None
    kinds = [_KINDS.get(pair, "") for pair in zip(table.datatypes, found.kinds, strict=True)]
    note = table.request.note.with_id(found.id)
    if note is None or "" in kinds:
        return None
    cells = RecordCells(table.names, "".join(kinds), found.cells, found.texts, found.n_missing, again)
    return InferenceRequest(cells, table.request.arguments, table.request.methods, note)


@lru_cache(_MOST_REMEMBERED)
def _table(rest: bytes, n_rows: int, n_columns: int) -> _Table | None:
    """Say what a request means.

    Args:
        rest: The request, with an empty list in the place of each column.
        n_rows: Of each column.
        n_columns: As many lists were cut out.

    Returns:
        None where it is not one of columns, or anything is wrong.
    """
    request = v2_heads.understand(rest)
    # A lone tensor is any model's, whatever its name: it needs none of this.
    if request is None or not 1 < len(request.tensors) == n_columns:
        return None
    # As many as there are keys "data", each written without escapes: they are the tensors' own.
    if any(type(tensor.data) is not list for tensor in request.tensors):
        return None
    if any(tensor.shape not in ((n_rows,), (n_rows, 1)) for tensor in request.tensors):
        return None
    names, datatypes = zip(*((tensor.name, tensor.datatype) for tensor in request.tensors), strict=True)
    return _Table(request, names, datatypes)
