"""One place in a request that does not fit, and how many of them an answer lists."""

from __future__ import annotations

from dataclasses import dataclass

MAX_PROBLEMS = 20  #: Most problems that one answer lists.
LONGEST_NAME = 500  #: Of a column's name, which may be a client's own: in an answer, what is longer is cut.


@dataclass(frozen=True, slots=True)
class Problem:
    """One place where a request does not fit the signature."""

    row: int | None  #: From 0; None where the whole request is meant.
    column: str | int | None  #: The column's name, else its index.
    expected: str
    received: str

    def __post_init__(self) -> None:
        """Cut a name that is too long: else one answer would tell 20 names as long as a body may be."""
        if isinstance(self.column, str) and len(self.column) > LONGEST_NAME:
            object.__setattr__(self, "column", self.column[:LONGEST_NAME] + "…")

    def __str__(self) -> str:
        """Say where, what was expected and what came, in one line."""
        place = [f"row {self.row}"] if self.row is not None else []
        place += [f"column {self.column!r}"] if self.column is not None else []
        where = ", ".join(place)
        return f"{where + ': ' if where else ''}expected {self.expected}, received {self.received}"
