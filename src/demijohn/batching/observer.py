"""What a batcher tells about itself.

Rule of this room: an observer is quick, raises nothing and never calls the batcher.
"""

from __future__ import annotations

from typing import Protocol


class BatchObserver(Protocol):
    """Hears what a batcher does."""

    def call_finished(
        self, method: str, n_rows: int, n_requests: int, duration_s: float, waited_s: float = 0.0
    ) -> None:
        """One call of the model ended, whether it answered or raised.

        Args:
            method: That was called.
            n_rows: Of all its requests.
            n_requests: That shared it.
            duration_s: Of the call, in seconds.
            waited_s: Seconds for which its requests had waited for it, added up.
        """

    def queue_changed(self, n_rows: int) -> None:
        """So many rows wait now; told in order, under the queue's lock."""

    def request_refused(self, reason: str) -> None:
        """A request got 503: "rows", "wait", "expired" or "draining"."""


class Silence:
    """The observer of a batcher that nobody watches."""

    def call_finished(
        self, method: str, n_rows: int, n_requests: int, duration_s: float, waited_s: float = 0.0
    ) -> None: ...

    def queue_changed(self, n_rows: int) -> None: ...

    def request_refused(self, reason: str) -> None: ...
