"""Calling the model: for one request, for several at once, in pieces; and the books of each call.

Rules of this room:
1. The books of a call are kept before its answers leave: who has an answer finds it counted.
2. Whatever the model raises is an outcome.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from demijohn.errors import ModelError
from demijohn.lifecycle import Lifecycle, call_deadline, late
from demijohn.messages import Tensors, join_rows

from .observer import BatchObserver
from .queue import Request, check_rows, note_times
from .stream import Channel
from .worker import Worker

logger = logging.getLogger("demijohn")

Run = Callable[[str, Tensors, Mapping[str, Any]], Tensors]


class Keeper(Protocol):
    """Who the threads belong to."""

    def record(self, method: str, n_rows: int, duration_s: float) -> None:
        """Note how long a call took."""

    def hand_out(self, worker: Worker, batch: Sequence[Request]) -> None:
        """Let the callers of a joined call have their answers."""


class Calls:
    """Calls one model.

    Args:
        run: See ``Batcher``, as for all of these.
        name: Of the model.
        lifecycle: Hears of every call.
        observer: Hears of every call that has ended, but for probes.
        clock: Tells the time.
    """

    def __init__(
        self, run: Run, name: str, lifecycle: Lifecycle, observer: BatchObserver, clock: Callable[[], float]
    ) -> None:
        self._run = run
        self._name = name
        self._lifecycle = lifecycle
        self._observer = observer
        self._clock = clock

    def answer(self, worker: Worker, keeper: Keeper) -> None:
        """Answer a worker's batch: in one call, and if that fails, each member alone."""
        if len(worker.batch) == 1:
            self._answer_alone(worker, worker.batch[0], keeper)
        elif not self._answer_joined(worker, worker.batch, keeper):
            self._answer_one_by_one(worker, keeper)

    def _answer_alone(self, worker: Worker, request: Request, keeper: Keeper) -> None:
        if request.channel is not None:
            self._answer_in_pieces(worker, request, request.channel, keeper)
            return
        outcome = self._call(worker, [request], keeper)
        if isinstance(outcome, Exception):
            request.error = outcome
        else:
            request.outputs = outcome
        request.settle()

    def _answer_joined(self, worker: Worker, batch: Sequence[Request], keeper: Keeper) -> bool:
        """Answer all in one call; say whether that went well."""
        outcome = self._call(worker, batch, keeper)
        if isinstance(outcome, Exception):
            return False
        start = 0
        for request in batch:
            request.outputs = outcome
            request.cut = slice(start, start + request.n_rows)
            start += request.n_rows
        keeper.hand_out(worker, batch)
        return True

    def _answer_one_by_one(self, worker: Worker, keeper: Keeper) -> None:
        """Run the members of a call that failed, each alone."""
        rows_left = worker.rows_left
        for index, request in enumerate(worker.batch):
            now = self._clock()
            worker.note(len(worker.batch) - index, rows_left, now)
            rows_left -= request.n_rows
            if request.deadline > now:
                self._answer_alone(worker, request, keeper)
            else:
                request.error = late()
                request.settle()

    def _call(self, worker: Worker, batch: Sequence[Request], keeper: Keeper) -> Tensors | Exception:
        """Call the model once, and keep the books; returns what the model raised."""
        method, n_rows = batch[0].method, sum([request.n_rows for request in batch])
        deadline = max([request.deadline for request in batch])
        ticket, before = self._lifecycle.call_begins(deadline), call_deadline.set(deadline)
        outcome: Tensors | Exception
        try:
            outcome = self._run(
                method, join_rows([request.tensors for request in batch]), batch[0].parameters
            )
            check_rows(outcome, n_rows)
        except BaseException as error:  # noqa: BLE001 - foreign code; SystemExit must not end the thread
            outcome = self._as_ours(method, error)
        finally:
            call_deadline.reset(before)
            self._lifecycle.call_ends(ticket)
        self._keep_books(worker, batch, n_rows, keeper)
        return outcome

    def _answer_in_pieces(self, worker: Worker, request: Request, channel: Channel, keeper: Keeper) -> None:
        error: Exception | None = None
        try:
            channel.pump()
        except BaseException as raised:  # noqa: BLE001 - as in ``_call``
            error = self._as_ours(request.method, raised)
        self._keep_books(worker, [request], request.n_rows, keeper)
        channel.end(error)

    def _keep_books(self, worker: Worker, batch: Sequence[Request], n_rows: int, keeper: Keeper) -> None:
        duration_s, waited_s = note_times(batch, worker.since, self._clock())
        keeper.record(batch[0].method, n_rows, duration_s)
        if not batch[0].is_probe:
            self._observer.call_finished(batch[0].method, n_rows, len(batch), duration_s, waited_s)

    def _as_ours(self, method: str, error: BaseException) -> Exception:
        """Make what the model raised fit to be raised in a caller's thread.

        Its traceback stays behind: the frames hold the rows of the call, and an exception that a
        model keeps and raises again would grow with each caller. Causes keep theirs.
        """
        if isinstance(error, Exception):
            return error.with_traceback(None)
        logger.error("model %s tried to end the process in %s", self._name, method, exc_info=error)
        ours = ModelError(f"The model failed with {type(error).__name__}")
        ours.__cause__ = error.with_traceback(None)
        return ours
