"""Who waits for a model, and who goes next.

Rules of this room:
1. No thread, no clock, no lock: whoever owns a ``Queue`` brings the time, and takes turns.
2. First in, first out, but for those that join the oldest. Nobody overtakes one of their own layout,
   so a request is served after at most as many calls as there were requests before it.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from demijohn.errors import ModelError
from demijohn.messages import Tensors, count_rows

from .pace import Paces
from .stream import Channel

Layout = tuple[Any, ...]
#: Is told what came of a request, on the model's thread: it is quick, and raises nothing.
Tell = Callable[[Tensors | Exception], None]

_CAUTION = 1.05  # calls vary: of those let in, few should wait longer than was promised
_CALL_SHARE = 0.05  # of the longest wait: so long a joined call may last in any case


class Expired(Exception):
    """Marks a request that was never started; its caller's thread turns it into a 503."""


class Request:
    """One caller's rows, and what became of them."""

    __slots__ = (
        "channel", "cut", "deadline", "done", "error", "is_alone", "is_given_up", "is_probe", "layout",
        "method", "n_rows", "on_fetched", "outputs", "parameters", "since", "tensors",
    )  # fmt: skip

    is_awaited = True  #: A thread waits for it.

    def __init__(
        self,
        method: str,
        tensors: Tensors,
        parameters: Mapping[str, Any],
        deadline: float,
        *,
        is_probe: bool = False,
        is_alone: bool = False,
    ) -> None:
        self.method = method
        self.tensors = tensors
        self.parameters = parameters
        self.deadline = deadline
        self.is_probe = is_probe
        self.is_alone = is_alone or is_probe  #: It is never joined.
        self.channel: Channel | None = None  #: Where it answers in pieces.
        self.n_rows = count_rows(tensors)
        self.layout: Layout | None = None  #: What those it is joined with share; None runs alone.
        self.since = 0.0  #: When it began to wait for its call.
        self.outputs: Tensors = {}
        self.cut: slice | None = None  #: Our rows of ``outputs``, where they are shared.
        self.error: Exception | None = None
        self.is_given_up = False  #: It was started, and nobody waits for it any more.
        self.on_fetched: Callable[[], None] | None = None  #: To be called by who has waited for ``done``.
        # A bare lock is the cheapest thing that a thread can wait for, up to a limit, in Python.
        self.done = threading.Lock()
        self.done.acquire()

    def find_layout(self) -> Layout:
        """Return what a request must share with this one to be joined with it."""
        return (
            self.method,
            *[(name, values.dtype, values.shape[1:]) for name, values in self.tensors.items()],
        )

    def settle(self) -> None:
        """Let the caller have what was computed or raised."""
        self.done.release()

    def expire(self) -> None:
        """Settle a request that was never started; under the batcher's lock."""
        self.error = Expired()
        self.done.release()

    def pass_on(self) -> None:
        """Say that the answer has been fetched."""
        if self.on_fetched is not None:
            self.on_fetched()

    def answer(self) -> Tensors:
        """Return what was computed, or raise what was raised, in the caller's own thread."""
        if self.error is not None:
            raise self._let_go_of_error()
        if self.cut is None:
            return self.outputs
        return {name: values[self.cut].copy() for name, values in self.outputs.items()}

    def _let_go_of_error(self) -> Exception:
        # An error that we held would form a cycle with the frames that it is about to pass through.
        error, self.error = self.error, None
        return error or ModelError()


class Claims(Protocol):
    """Who sees to it that a request's caller is told once."""

    def claim(self, request: SentRequest) -> bool:
        """Take over a request; False: somebody has told its caller, or is about to."""


class SentRequest(Request):
    """The rows of a caller that does not wait, but is told."""

    __slots__ = ("_claims", "on_late", "tell")

    is_awaited = False

    def __init__(
        self,
        method: str,
        tensors: Tensors,
        parameters: Mapping[str, Any],
        deadline: float,
        tell: Tell,
        on_late: Callable[[SentRequest], None],
        claims: Claims,
    ) -> None:
        super().__init__(method, tensors, parameters, deadline)
        self.tell = tell
        self.on_late = on_late  #: Called by who has claimed it when its time is up.
        self._claims = claims

    def settle(self) -> None:
        if self._claims.claim(self):
            self.tell(self._let_go_of_error() if self.error is not None else self.answer())

    def expire(self) -> None:
        """Leave it to ``Deadlines``, which wakes at this very moment: nobody is told under the lock."""
        self.error = Expired()


class _Waiting:
    """How much of one method waits."""

    __slots__ = ("calls_alone", "rows_alone", "rows_joined")

    def __init__(self) -> None:
        self.calls_alone = 0
        self.rows_alone = 0
        self.rows_joined = 0


class Queue:
    """The requests that wait for one model.

    Args:
        max_batch_size: Most rows that are joined into one call.
        max_queue_rows: Most rows that wait.
        max_queue_s: Longest that a new request may be expected to wait, in seconds.
    """

    def __init__(self, max_batch_size: int, max_queue_rows: int, max_queue_s: float) -> None:
        self.max_batch_size = max_batch_size
        self.max_queue_rows = max_queue_rows
        self.max_queue_s = max_queue_s
        self.rows = 0  #: Rows that wait, a request counted as at most ``max_batch_size``.
        self._requests: OrderedDict[Request, None] = OrderedDict()
        self._waiting: dict[str, _Waiting] = {}

    def __contains__(self, request: Request) -> bool:
        """Say whether a request waits."""
        return request in self._requests

    def why_refused(self, n_rows: int, expected_wait_s: float) -> str | None:
        """Return which bound one more request would break: "rows", "wait" or none."""
        if not self._requests:
            return None
        if self.rows + self._weight(n_rows) > self.max_queue_rows:
            return "rows"
        return "wait" if expected_wait_s * _CAUTION > self.max_queue_s else None

    def _weight(self, n_rows: int) -> int:
        # A request without rows counts as one, or any number of them could wait.
        return max(1, min(n_rows, self.max_batch_size))

    def put(self, request: Request, *, in_front: bool = False) -> None:
        """Let a request wait, behind all others or in front of them."""
        self._requests[request] = None
        if in_front:
            self._requests.move_to_end(request, last=False)
        self._count(request, 1)

    def remove(self, request: Request) -> None:
        """Let a request that waits go."""
        del self._requests[request]
        self._count(request, -1)

    def _count(self, request: Request, sign: int) -> None:
        self.rows += sign * self._weight(request.n_rows)
        waiting = self._waiting.get(request.method)
        if waiting is None:
            waiting = self._waiting[request.method] = _Waiting()
        if request.layout is None:
            waiting.calls_alone += sign
            waiting.rows_alone += sign * request.n_rows
        else:
            waiting.rows_joined += sign * request.n_rows

    def expect(self, paces: Paces) -> float:
        """Return the seconds that one thread should need for all that waits."""
        total_s = 0.0
        for method, waiting in self._waiting.items():
            n_calls = waiting.calls_alone + math.ceil(waiting.rows_joined / self.max_batch_size)
            total_s += paces.expect(method, n_calls, waiting.rows_alone + waiting.rows_joined)
        return total_s

    def take(self, now: float, paces: Paces) -> list[Request]:
        """Take out what runs next: the oldest request and those that join it while that pays.

        Those that are found past their deadline are taken out too, and answered ``Expired``.
        """
        batch: list[Request] = []
        expired: list[Request] = []
        n_rows, most = 0, float(self.max_batch_size)
        for request in self._requests:
            if request.deadline <= now:
                expired.append(request)
            elif not batch or request.layout == batch[0].layout:
                n_rows += request.n_rows
                if not batch:
                    most = min(most, paces.most_rows(request.method, self.max_queue_s * _CALL_SHARE))
                elif n_rows > most:
                    break
                batch.append(request)
                if request.layout is None or n_rows >= most:
                    break
        for request in expired + batch:
            self.remove(request)
        for request in expired:
            request.expire()
        return batch


def note_times(batch: Sequence[Request], began: float, ended: float) -> tuple[float, float]:
    """Return how long a call took, and how long its requests had waited for it, added up; in seconds.

    Each begins to wait anew: after a joined call that failed, for its own.
    """
    waited_s = sum([began - request.since for request in batch])
    for request in batch:
        request.since = ended
    return ended - began, waited_s


def check_rows(outputs: Tensors, n_rows: int) -> None:
    """Raise unless every output has a row for each of the inputs'."""
    for name, values in outputs.items():
        if values.shape[:1] != (n_rows,):
            raise ModelError(f"The model returned {name!r} of shape {values.shape} for {n_rows} rows")
