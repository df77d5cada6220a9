"""Items on their way from a model's thread to a caller, while the model makes more of them.

Rules of this room:
1. The model's thread alone touches the iterator: it asks for items, and closes it, whatever happens.
2. An item may take as long to be made as the first one, and to be fetched as long again. Whoever lets
   the other wait for longer ends the stream; nobody bounds how many items there are.
3. The supervisor hears of each item as of a call, but not of the time in which the caller is slow.
4. The model is a few items ahead of its caller at the most.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from demijohn.errors import DeadlineExceeded, DemijohnError, Draining
from demijohn.lifecycle import Lifecycle, call_deadline

MOST_AHEAD = 16  #: Items that are made and not yet fetched.
_END = object()


class Channel:
    """What both ends of one stream share.

    Args:
        start: Called on the model's thread; returns the iterator.
        deadline: Of the first item, on the clock.
        item_s: Longest that each later item may take, in seconds.
        lifecycle: Hears of the items; once it drains, the stream has ``item_s`` more to finish.
        clock: As ``time.monotonic``.
        on_first: Called once, on the model's thread, when the first item is there or there is none.
    """

    def __init__(
        self,
        start: Callable[[], Iterator[Any]],
        *,
        deadline: float,
        item_s: float,
        lifecycle: Lifecycle,
        clock: Callable[[], float],
        on_first: Callable[[], None],
    ) -> None:
        self._start = start
        self._due = deadline
        self._item_s = item_s
        self._lifecycle = lifecycle
        self._clock = clock
        self._on_first: Callable[[], None] | None = on_first
        self._changed = threading.Condition(threading.Lock())
        self._items: deque[Any] = deque()
        self._error: Exception | None = None
        self._has_ended = False
        self._is_closed = False

    # The model's end --------------------------------------------------------------------------

    def pump(self) -> None:
        """Make items until there are no more, or nobody wants them; on the model's thread.

        Raises:
            BaseException: whatever the model raised.
        """
        items: Iterator[Any] | None = None
        try:
            items = self._timed(self._start)
            while True:
                item = self._timed(next, items, _END)
                if item is _END or not self._put(item):
                    return
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                self._due = self._clock() + self._item_s
                self._timed(close)

    def _timed(self, step: Callable[..., Any], *arguments: Any) -> Any:
        ticket, before = self._lifecycle.call_begins(self._due), call_deadline.set(self._due)
        try:
            return step(*arguments)
        finally:
            call_deadline.reset(before)
            self._lifecycle.call_ends(ticket)

    def _put(self, item: Any) -> bool:
        """Hand an item over; says whether another is wanted."""
        with self._changed:
            self._items.append(item)
            self._tell()
            self._changed.wait_for(self._has_room, timeout=self._item_s)
            if not self._has_room():
                self._error = DeadlineExceeded("The client did not fetch what the model had made")
                self._is_closed = True
            self._due = self._clock() + self._item_s
            return not self._is_closed

    def _has_room(self) -> bool:
        return self._is_closed or len(self._items) < MOST_AHEAD

    def end(self, error: Exception | None) -> None:
        """Say that there are no more items, or why there is none; once, when all is counted."""
        with self._changed:
            self._has_ended = True
            self._error = error or self._error
            self._tell()

    def _tell(self) -> None:
        self._changed.notify_all()
        tell, self._on_first = self._on_first, None
        if tell is not None:
            tell()

    # The caller's end -------------------------------------------------------------------------

    def fetch(self) -> Any:
        """Return the next item.

        Raises:
            StopIteration: there are no more.
            DeadlineExceeded: the next item took too long.
            Draining: the server has waited long enough for the stream to end.
            Exception: whatever the model raised.
        """
        with self._changed:
            while not self._items:
                if self._has_ended:
                    error, self._error = self._error, None
                    raise error or StopIteration
                due = min(self._due, self._lifecycle.draining_since + self._item_s)
                left = due - self._clock()
                if left <= 0:
                    raise self._given_up()
                self._changed.wait(min(left, threading.TIMEOUT_MAX))
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def _given_up(self) -> Exception:
        self._is_closed = True
        self._changed.notify_all()
        if self._clock() < self._due:
            return Draining("The server is shutting down and could not wait for the rest")
        return DeadlineExceeded("The next item was not made before its deadline")

    def close(self) -> None:
        """Want no more items: the model closes its iterator as soon as it has made the one in hand."""
        with self._changed:
            self._is_closed = True
            self._items.clear()
            self._changed.notify_all()


class Stream:
    """The caller's end of a stream: an iterator that may be closed, and is when nobody holds it."""

    def __init__(self, channel: Channel, n_rows: int) -> None:
        self._channel = channel
        self.n_rows = n_rows  #: Of the request.
        self._told: Callable[[DemijohnError], DemijohnError] | None = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._told is None:
            return self._channel.fetch()
        try:
            return self._channel.fetch()
        except DemijohnError as error:
            raise self._told(error) from error

    def tell_as(self, told: Callable[[DemijohnError], DemijohnError]) -> None:
        """Raise another error in the place of each of ours; the last to ask has the last word."""
        before = self._told
        self._told = told if before is None else lambda error: told(before(error))

    def close(self) -> None:
        """Want no more items."""
        self._channel.close()

    def __del__(self) -> None:
        """Free the model: it would wait for somebody to fetch what it made."""
        self._channel.close()
