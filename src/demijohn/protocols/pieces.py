"""What the readers of bodies that are still coming share: how much at a time, which row an error means."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

from demijohn.errors import BodyTooLarge, Problem, RequestError
from demijohn.messages import ArrayColumns, Inputs, Matrix, RecordCells, Records, Rows

Piece = TypeVar("Piece", bound=Inputs)

ENDLESS = 2**62


class Bounds(NamedTuple):
    """How much is read at a time."""

    piece_rows: int = ENDLESS  #: Most rows of a piece.
    row_bytes: int = ENDLESS  #: Longest row, about.
    #: A body no longer than this is one piece, if it has no more rows: more is awaited before the first.
    first_bytes: int = 0


NO_BOUNDS = Bounds()


def rows_in(piece: Inputs) -> int:
    """Return how many rows a client wrote.

    Raises:
        TypeError: these have no number of rows before the signature has seen them.
    """
    if isinstance(piece, Rows):
        return len(piece.rows)
    if isinstance(piece, Matrix):
        return len(piece.numbers)
    if isinstance(piece, RecordCells):
        return len(piece.cells)
    if isinstance(piece, Records):
        return len(piece.records)
    if isinstance(piece, ArrayColumns):
        return piece.n_rows
    raise TypeError(f"a {type(piece).__name__} is no piece of a body")


def counted(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Pass pieces on; an error in the place of one counts its rows on from those before."""
    n_rows = 0
    try:
        for piece in pieces:
            yield piece
            n_rows += rows_in(piece)
    except RequestError as error:
        error.count_rows_on(n_rows)
        raise


def too_long(bounds: Bounds) -> BodyTooLarge:
    """Return the error of a row that is longer than it may be; it is the next one."""
    problem = Problem(0, None, f"a row of at most {bounds.row_bytes} bytes", "a longer one")
    return BodyTooLarge(f"A row is too long: {problem}", errors=[problem])
