"""What was counted of one version of a model, in numbers that add up over workers.

Rules of this room:
1. Nothing is estimated: what no worker has counted is not here.
2. A request counts in each step by the time that it spent there: of a call that several shared, each
   counts the whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .families import (
    ANSWERED,
    BATCH_REQUESTS,
    BATCH_ROWS,
    BATCH_SIZES,
    DURATION,
    LAST,
    REQUESTS,
    ROWS,
    STEPS,
    Family,
    Labels,
)

_OK = "200"
Families = Mapping[str, Mapping[Labels, Sequence[float]]]


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of all methods, since the server started; durations in seconds."""

    n_answered: int  #: Requests that got 200.
    answered_s: float
    n_failed: int  #: Requests that got anything else.
    failed_s: float
    n_rows: int  #: That were answered.
    n_calls: int  #: Of the model.
    n_called: int  #: Requests that were in calls.
    queue_s: float  #: That they waited.
    inference_s: float  #: That their calls took.
    read_s: float  #: Reading and checking, of those that got 200.
    write_s: float  #: Writing their answers.
    sizes: Mapping[int, tuple[int, float]]  #: By rows in a call: how many such calls, and their time.
    last: float  #: When a request last got 200, in seconds since 1970; 0.0: never.


def read_statistics(families: Families, model: str, version: str) -> Statistics:
    """Add up the methods of one version of a model."""
    mine = _Mine(families, (model, version))
    n_requests = mine.total(REQUESTS)
    n_answered = mine.total(REQUESTS, _OK)
    answered_s = mine.total(ANSWERED)
    return Statistics(
        n_answered=int(n_answered),
        answered_s=answered_s,
        n_failed=int(n_requests - n_answered),
        failed_s=max(0.0, mine.total(DURATION) - answered_s),  # sums of sums: rounding may be left
        n_rows=int(mine.total(ROWS)),
        n_calls=int(sum(sum(counts) for _, *counts in mine.children(BATCH_ROWS))),
        n_called=int(mine.total(BATCH_REQUESTS)),
        queue_s=mine.total(STEPS, "queue"),
        inference_s=mine.total(STEPS, "inference"),
        read_s=mine.total(STEPS, "read"),
        write_s=mine.total(STEPS, "write"),
        sizes=mine.sizes(),
        last=max((values[0] for values in mine.children(LAST)), default=0.0),
    )


class _Mine:
    """The children whose first labels are a model's and a version's."""

    def __init__(self, families: Families, owner: Labels) -> None:
        self._families = families
        self._owner = owner

    def children(self, family: Family, last: str | None = None) -> list[Sequence[float]]:
        return [
            values
            for labels, values in self._families.get(family.name, {}).items()
            if labels[: len(self._owner)] == self._owner and last in (None, labels[-1])
        ]

    def sizes(self) -> dict[int, tuple[int, float]]:
        """Add up the calls of each size, in order; those of sizes that were not told apart are left out."""
        sizes: dict[int, tuple[int, float]] = {}
        for labels, (seconds, count, *_) in self._families.get(BATCH_SIZES.name, {}).items():
            if labels[: len(self._owner)] == self._owner and labels[-1]:
                n_calls, so_far = sizes.get(int(labels[-1]), (0, 0.0))
                sizes[int(labels[-1])] = (n_calls + int(count), so_far + seconds)
        return dict(sorted(sizes.items()))

    def total(self, family: Family, last: str | None = None) -> float:
        """Add up the value of each child, or the sum that a histogram has."""
        return sum(values[0] for values in self.children(family, last))
