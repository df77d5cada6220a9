"""How long calls of a model take, learned from those that were made.

Rules of this room:
1. A call costs an overhead and a time per row, and both matter: a forest needs 4.4 ms for one row
   and 6.3 ms for a thousand. A time per row alone, measured on single rows, would refuse the very
   bursts that joining digests best.
2. What was never timed is expected to take no time.
"""

from __future__ import annotations

import math

_WORTH_OVERHEADS = 4.0  # a joined call's rows may cost so many times its overhead
_KEEP = 0.8  # a call's weight shrinks by this with each later call: the last dozen count
_LEAST_SPREAD = 0.01  # variance of the rows per call, relative to their mean squared


class Pace:
    """The pace of one method.

    Exponentially weighted least squares over (rows, seconds) tell the overhead from the time per
    row once calls differ in size; until then all time is counted as the rows'. The line never
    falls with the rows, and never starts below zero.
    """

    __slots__ = ("_n", "_nn", "_nt", "_t", "_w", "per_call_s", "per_row_s")

    def __init__(self) -> None:
        self._w = self._n = self._t = self._nn = self._nt = 0.0
        self.per_call_s = 0.0
        self.per_row_s = 0.0

    def record(self, n_rows: int, duration_s: float) -> None:
        """Learn from one call."""
        self._w = self._w * _KEEP + 1
        self._n = self._n * _KEEP + n_rows
        self._t = self._t * _KEEP + duration_s
        self._nn = self._nn * _KEEP + n_rows * n_rows
        self._nt = self._nt * _KEEP + n_rows * duration_s
        self.per_row_s = self._slope()
        self.per_call_s = (self._t - self.per_row_s * self._n) / self._w

    def _slope(self) -> float:
        if not self._n:  # calls without rows
            return 0.0
        steepest = self._t / self._n
        spread = self._w * self._nn - self._n * self._n
        if spread <= _LEAST_SPREAD * self._n * self._n:
            return steepest
        slope = (self._w * self._nt - self._n * self._t) / spread
        return min(max(slope, 0.0), steepest)


class Paces:
    """The pace of every method of one model."""

    def __init__(self) -> None:
        self._by_method: dict[str, Pace] = {}

    def record(self, method: str, n_rows: int, duration_s: float) -> None:
        """Learn from one call."""
        pace = self._by_method.get(method)
        if pace is None:
            pace = self._by_method[method] = Pace()
        pace.record(n_rows, duration_s)

    def most_rows(self, method: str, call_s: float) -> float:
        """Return how many rows a joined call should have at the most.

        Joining saves a call's overhead. Where the rows cost more than that, it saves little, and who
        is joined waits for everybody's rows.

        Args:
            method: Of the call.
            call_s: That a call may always last, in seconds.
        """
        pace = self._by_method.get(method)
        if pace is None or not pace.per_row_s:
            return math.inf
        return max(_WORTH_OVERHEADS * pace.per_call_s, call_s) / pace.per_row_s

    def expect(self, method: str, n_calls: int, n_rows: int) -> float:
        """Return the seconds that so many calls, with so many rows in all, should take."""
        pace = self._by_method.get(method)
        return 0.0 if pace is None else pace.per_call_s * n_calls + pace.per_row_s * n_rows
