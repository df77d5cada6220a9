"""CSV text read as it comes: pieces of whole rows, however the bytes were cut.

Rules of this room:
1. A piece whose columns are each numbers or texts, without quotes, is read by the kernel, where there is
   one; any other by Python's own reader. Both read the same in it, so that nobody can tell which it was.
2. Of the text no more is held than what has come and is in no row yet; a row may be so long and no longer.
3. An error counts rows from the piece that it stands in the place of.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from typing import Self

from demijohn import kernels
from demijohn.errors import DecodeError, Problem
from demijohn.messages import Matrix, RecordCells, Rows

from .pieces import ENDLESS, NO_BOUNDS, Bounds, too_long

CsvPiece = Rows | Matrix | RecordCells

_SPLIT_BYTES = (
    2**14
)  # that are split into lines at a time: of a header and its rows, one line is wanted first
_MARK = b"\xef\xbb\xbf"  # that spreadsheets put in front of UTF-8


class CsvLines:
    """A CSV text that is still coming.

    Args:
        read: Returns what comes next, as soon as anything does; nothing at the end.
        bounds: How much is read at a time.
    """

    def __init__(self, read: Callable[[], bytes], bounds: Bounds = NO_BOUNDS) -> None:
        self._read = read
        self._bounds = bounds
        self._text = b""
        self._at = 0  # where the next row begins
        self._has_ended = False
        while len(self._text) <= max(len(_MARK), bounds.first_bytes) and not self._has_ended:
            self._read_on()
        if self._text.startswith(_MARK):
            self._at = len(_MARK)

    @classmethod
    def of(cls, text: bytes) -> Self:
        """Return the lines of a text that is all there: they are one piece."""
        coming = [text]
        lines = cls(lambda: coming.pop() if coming else b"")
        if not lines._has_ended:
            lines._read_on()
        return lines

    def first_row(self) -> list[str] | None:
        """Return the cells of the first row; None if there is none.

        Raises:
            DecodeError: it is no CSV in UTF-8.
            BodyTooLarge: it is too long.
        """
        while True:
            rows = self._rows(1, row=None)
            if rows:
                return rows[0]
            if self._has_ended:
                return None
            self._read_on()

    def pieces(self, columns: list[str] | None) -> Iterator[CsvPiece]:
        """Yield what is left.

        Args:
            columns: Their names, for the pieces.

        Raises:
            DecodeError: it is no CSV in UTF-8; raised behind the rows before that.
            BodyTooLarge: a row is too long.
        """
        while True:
            yield from self._pieces_so_far(columns)
            if self._has_ended:
                return
            self._read_on()

    def _pieces_so_far(self, columns: list[str] | None) -> Iterator[CsvPiece]:
        most = self._bounds.piece_rows
        while (matrix := self._matrix(columns)) is not None:
            yield matrix
        while rows := self._rows(ENDLESS):
            for start in range(0, len(rows), most):
                yield Rows(rows[start : start + most], columns=columns, is_text=True)

    def _matrix(self, columns: list[str] | None) -> Matrix | RecordCells | None:
        """Read lines by the kernel; None: it does not read what comes next, or nothing does."""
        if not kernels.IS_BUILT:
            return None
        cells = kernels.read_cells(self._text, self._at, self._bounds.piece_rows)
        if cells is None:
            return None if columns is None else self._table(columns)
        begin, self._at = self._at, cells.end
        if not len(cells.numbers):
            return None
        text = self._text[begin : cells.end]
        return Matrix(
            cells.numbers, lambda: Rows(_rows_of(text), columns=columns, is_text=True), columns, cells.n_empty
        )

    def _table(self, columns: list[str]) -> RecordCells | None:
        """Read lines of numbers and texts by the kernel, for columns with names."""
        if len(set(columns)) != len(columns):
            return None
        table = kernels.read_table(self._text, self._at, self._bounds.piece_rows, len(columns))
        if table is None or not len(table.cells):
            return None
        text = self._text[self._at : table.end]
        self._at = table.end

        def again() -> Rows:
            return Rows(_rows_of(text), columns=columns, is_text=True)

        return RecordCells(tuple(columns), table.kinds, table.cells, table.texts, table.n_missing, again)

    def _rows(self, most: int, row: int | None = 0) -> list[list[str]]:
        """Read rows that are complete by now.

        Args:
            most: How many.
            row: Which one is the first, for errors; None for the header.

        Raises:
            DecodeError: the first of them is no CSV in UTF-8; another is told by the next call.
        """
        rows: list[list[str]] = []
        lengths: list[int] = []  # of the lines, in bytes
        n_lines = 0
        try:
            lines = _lines_of(self._text, self._at, lengths, is_all=self._has_ended)
            reader = csv.reader(lines, strict=True)
            for cells in reader:
                n_lines = reader.line_num
                if cells:
                    rows.append(cells)
                if len(rows) >= most:
                    break
        except _MoreWillComeError:
            pass
        except (csv.Error, UnicodeDecodeError) as error:
            if not rows:
                raise _unreadable(error, row) from error
        self._at += sum(lengths[:n_lines])
        return rows

    def _read_on(self) -> None:
        """Let more of the text come: as much as is there already, so that copying it is not quadratic."""
        rest, most = self._text[self._at :], self._bounds.row_bytes
        if len(rest) > most:
            raise too_long(self._bounds)
        pieces, missing = [rest], max(1, min(len(rest), most + 1 - len(rest)))
        while missing > 0:
            piece = self._read()
            if not piece:
                self._has_ended = True
                if rest or len(pieces) > 1:
                    pieces.append(b"" if pieces[-1].endswith(b"\n") else b"\n")
                break
            pieces.append(piece)
            missing -= len(piece)
        self._text, self._at = b"".join(pieces), 0


class _MoreWillComeError(Exception):
    """The lines that are there do not end with a row's end."""


def _lines_of(text: bytes, begin: int, lengths: list[int], *, is_all: bool) -> Iterator[str]:
    """Yield lines, with their ends; no more of the text is looked at than that takes.

    Args:
        text: It need not be UTF-8.
        begin: Where in it the first line begins.
        lengths: Takes how long each is, in bytes.
        is_all: Nothing will come behind it.
    """
    size = _SPLIT_BYTES
    is_last = begin >= len(text)
    while not is_last:
        lines = text[begin : begin + size].splitlines(keepends=True)
        is_last = begin + size >= len(text)
        if not is_last and len(lines) == 1:
            size *= 2
            continue
        if not is_last or not (is_all or lines[-1].endswith(b"\n")):
            lines.pop()  # more of it will come, if only the LF behind a CR
        for line in lines:
            lengths.append(len(line))
            yield line.decode()
        begin += sum(map(len, lines))
    if not is_all:
        raise _MoreWillComeError


def _rows_of(text: bytes) -> list[list[str]]:
    return [row for row in csv.reader(_lines_of(text, 0, [], is_all=True), strict=True) if row]


def _unreadable(error: csv.Error | UnicodeDecodeError, row: int | None) -> DecodeError:
    if isinstance(error, UnicodeDecodeError):
        problem = Problem(row, None, "UTF-8", "other bytes")
        return DecodeError(f"The CSV body is not UTF-8: {problem}", errors=[problem])
    problem = Problem(row, None, "a row of cells", str(error))
    return DecodeError(f"The body is not valid CSV: {problem}", errors=[problem])
