"""Answers written piece by piece: what is sent of each piece, at the end, and for an error in the middle.

Rules of this room:
1. The pieces of an answer make the bytes that the whole answer would have.
2. An error is the last record, and no reader can take it for a row: where its form has no record of
   another kind, it is one that breaks the form.
"""

from __future__ import annotations

from typing import Protocol

from demijohn.messages import InferenceResponse

from . import csv_media, lines_media


class RowWriter(Protocol):
    """Writes one answer."""

    content_type: str

    def write(self, response: InferenceResponse) -> bytes:
        """Write the next rows; before the first, what comes before all rows.

        Raises:
            DemijohnError: the form has nothing for what is in them.
        """

    def end(self) -> bytes:
        """Write what comes behind the last row."""

    def fail(self, problem: bytes) -> bytes:
        """Write the last record in place of all rows that were to come; only behind others.

        Args:
            problem: The error as problem+json.
        """


class CsvWriter:
    """A header, and a line for each row; an error is a line of one cell more than the header has.

    The cells of its columns are empty, the one behind them is the problem: a reader that counts cells stops
    there, as pandas does, and one that does not finds a row without values.
    """

    content_type = "text/csv; charset=utf-8"

    def __init__(self, _media_type: str) -> None:
        self._n_columns = 0

    def write(self, response: InferenceResponse) -> bytes:
        rows = csv_media.encode_rows(response.outputs)
        if self._n_columns:
            return rows
        self._n_columns = csv_media.count_columns(response.outputs)
        return csv_media.encode_header(response.outputs) + rows

    def end(self) -> bytes:
        return b""

    def fail(self, problem: bytes) -> bytes:
        return csv_media.write_rows([[""] * self._n_columns + [problem.decode()]])


class LinesWriter:
    """A line for each row; an error is a line ``{"error": problem}``."""

    def __init__(self, media_type: str) -> None:
        self.content_type = media_type

    def write(self, response: InferenceResponse) -> bytes:
        return lines_media.encode(response.outputs, response.method)

    def end(self) -> bytes:
        return b""

    def fail(self, problem: bytes) -> bytes:
        return lines_media.encode_error(problem)
