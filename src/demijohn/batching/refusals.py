"""What callers are told whose requests are not taken, and when they may try again."""

from __future__ import annotations

import random

from demijohn.errors import Draining, QueueFull

from .queue import Queue

_LONGEST_RETRY_S = 30


class Refusals:
    """The refusals of one model.

    Args:
        name: Of the model.
        rng: Spreads Retry-After, so that not all come back at once.
    """

    def __init__(self, name: str, rng: random.Random) -> None:
        self._name = name
        self._rng = rng

    def expired(self, wait_s: float) -> QueueFull:
        """Return what a request is told that was not started; all before it should take ``wait_s``."""
        return QueueFull(
            f"The deadline passed before model {self._name!r} was free; try again",
            headers=self._retry(wait_s),
        )

    def refused(self, why: str, queue: Queue, wait_s: float) -> QueueFull | Draining:
        """Return what a request is told for which there is no room: "draining", "rows" or "wait"."""
        headers = self._retry(wait_s)
        if why == "draining":
            return Draining(f"Model {self._name!r} takes no more requests; try again", headers=headers)
        if why == "rows":
            rows = f"{queue.rows} rows of at most {queue.max_queue_rows}"
            return QueueFull(f"The queue of model {self._name!r} holds {rows}; try again", headers=headers)
        longest = f"{queue.max_queue_s:g} s"
        return QueueFull(
            f"A request for model {self._name!r} would wait longer than {longest}; try again", headers=headers
        )

    def _retry(self, wait_s: float) -> dict[str, str]:
        soonest_s = min(1 + wait_s, _LONGEST_RETRY_S / 3)
        return {"Retry-After": str(round(self._rng.uniform(soonest_s, 3 * soonest_s)))}
