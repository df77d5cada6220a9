"""JSON records that the kernel reads into one array: columns of numbers, texts and truths.

Rules of this room:
1. It reads what most clients send: every record with the same keys in one order, cells of one kind per
   column, and nulls among them. Anything else is left to the general reader.
2. What is read can be read again as it was written: an array does not say whether a number was 3 or 3.0,
   nor which cell does not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from demijohn import kernels
from demijohn.messages import Array, Matrix, RecordCells, WrittenInputs

_NUMBERS = frozenset("if-")


def read(
    body: bytes, max_cells: int, again: Callable[[], WrittenInputs], *, is_lines: bool = False
) -> Matrix | RecordCells | None:
    """Read records; None: the body is something else, or there is no kernel.

    Args:
        body: A whole document, or a record per line.
        max_cells: How many there may be.
        again: Reads the body as it was written.
        is_lines: Which of the two it is.
    """
    found = kernels.read_records(body, max_cells, is_lines=is_lines) if kernels.IS_BUILT else None
    if found is None:
        return None
    names, kinds, n_missing, cells, texts = found
    return inputs_of(names, kinds, cells, texts, n_missing, again, is_by_name=True)


def inputs_of(
    names: tuple[str, ...] | None,
    kinds: str,
    cells: Array,
    texts: Sequence[Sequence[str] | None],
    n_missing: int,
    again: Callable[[], WrittenInputs],
    *,
    is_by_name: bool,
) -> Matrix | RecordCells:
    """Return cells that a kernel has read, as rows of numbers where they are no more than that.

    Args: those of ``RecordCells`` and ``Matrix``.
    """
    if not _NUMBERS.issuperset(kinds):
        return RecordCells(names, kinds, cells, texts, n_missing, again)
    return Matrix(
        cells,
        lambda: RecordCells(names, kinds, cells, texts, n_missing, again),
        None if names is None else list(names),
        n_missing,
        is_by_name,
    )
