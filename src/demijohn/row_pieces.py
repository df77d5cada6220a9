"""Pieces of a body on their way to a model: each is checked as a request of its own would be.

What is read of a file by ``demijohn predict``, and of a request that is scored while it comes, goes this way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .errors import RequestError
from .messages import Inputs, Tensors, count_rows, join_rows
from .signature import Signature


def checked(signature: Signature, pieces: Iterable[Inputs]) -> Iterator[Tensors]:
    """Check pieces against a signature, one after another.

    Args:
        signature: Of the method that is to run on them.
        pieces: As the protocols' ``decode_stream`` yields them.

    Raises:
        RequestError: a piece does not fit; its rows are counted on from those before, as are the reader's.
    """
    n_rows = 0
    for piece in pieces:
        try:
            tensors = signature.validate(piece)
        except RequestError as error:
            error.count_rows_on(n_rows)
            raise
        yield tensors
        n_rows += count_rows(tensors)


def regrouped(pieces: Iterable[Tensors], n_rows: int) -> Iterator[Tensors]:
    """Put pieces together, or cut them, to just so many rows; the last has what is left."""
    waiting: list[Tensors] = []
    n_waiting = 0
    for piece in pieces:
        waiting.append(piece)
        n_waiting += count_rows(piece)
        if n_waiting < n_rows:
            continue
        whole = join_rows(waiting)
        stop = n_waiting - n_waiting % n_rows
        for start in range(0, stop, n_rows):
            yield {name: array[start : start + n_rows] for name, array in whole.items()}
        waiting = [{name: array[stop:] for name, array in whole.items()}]
        n_waiting -= stop
    if n_waiting:
        yield join_rows(waiting)
