"""Natural batching: what arrives while the model is busy goes together in its next call.

Rules of this room:
1. There is no timer: a model that is idle runs a request at once, on the model's own thread, so
   that the waiting request can be answered 504 at its deadline while the run goes on.
2. The oldest waiting request decides the layout of the next call. Others of that layout join it, in
   their order, up to ``max_batch_size`` rows. A layout is the method, the names, dtypes and row
   shapes of the tensors; a request with parameters, one as large as a batch, one without rows and
   one of a method that nobody vouched for run alone and whole.
3. What cannot be joined after all costs nobody their answer: where a joined call raises or returns
   another number of rows, its members run alone, and a bad row fails alone.
4. An empty queue takes any request. Else one is refused (503) that would make it too long in rows
   or in expected seconds. What expires before it is started is refused too, and never computed.
5. Who is answered gets arrays of its own: a cut of the joined answer is copied, since a view would
   keep everybody's rows alive, and within reach (``.base``), for as long as one caller keeps its own.
6. Threads start on first use, are daemons, outlive whatever the model raises, and hold the batcher
   only while they work. A fork copies no threads and may copy a held lock: a child starts anew.
"""

from __future__ import annotations

import logging
import math
import os
import random
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .errors import DeadlineExceeded, Draining, ModelError, QueueFull
from .messages import Tensors, count_rows

if TYPE_CHECKING:
    from .lifecycle import Lifecycle

logger = logging.getLogger("demijohn")

Run = Callable[[str, Tensors, Mapping[str, Any]], Tensors]
Layout = tuple[Any, ...]

_LONGEST_RETRY_S = 30
_NO_PARAMETERS: Mapping[str, Any] = {}


class BatchObserver(Protocol):
    """Hears what a batcher does; must be quick, and must not call the batcher."""

    def call_finished(self, method: str, n_rows: int, n_requests: int, duration_s: float) -> None:
        """One call of the model ended, whether it answered or raised; before its answers leave."""

    def queue_changed(self, n_rows: int) -> None:
        """So many rows wait now; in order, since it is told under the queue's lock."""

    def request_refused(self, reason: str) -> None:
        """A request got 503: "rows", "wait", "expired" or "draining"."""


class _Silence:
    """The observer of a batcher that nobody watches."""

    def call_finished(self, method: str, n_rows: int, n_requests: int, duration_s: float) -> None: ...

    def queue_changed(self, n_rows: int) -> None: ...

    def request_refused(self, reason: str) -> None: ...


class _Request:
    """One caller's rows, and what became of them."""

    __slots__ = (
        "cut", "deadline", "done", "error", "is_abandoned", "layout", "method", "n_rows", "outputs",
        "parameters", "tensors",
    )  # fmt: skip

    def __init__(self, method: str, tensors: Tensors, parameters: Mapping[str, Any], deadline: float) -> None:
        self.method = method
        self.tensors = tensors
        self.parameters = parameters
        self.deadline = deadline
        self.n_rows = count_rows(tensors)
        self.layout: Layout | None = None  #: None runs alone.
        self.is_abandoned = False  #: Its caller has been answered 504.
        self.outputs: Tensors = {}
        self.cut: slice | None = None  #: Our rows of ``outputs``, where they are shared.
        self.error: BaseException | None = None
        # A bare lock is the cheapest thing a thread can wait for, with a limit, in Python.
        self.done = threading.Lock()
        self.done.acquire()

    def answer(self) -> Tensors:
        """Return what was computed, or raise what was raised, in the caller's own thread."""
        if self.error is not None:
            raise self._take_error()
        if self.cut is None:
            return self.outputs
        return {name: values[self.cut].copy() for name, values in self.outputs.items()}

    def _take_error(self) -> BaseException:
        """Let go of the error, so that it and the frames it will pass through form no cycle."""
        error, self.error = self.error, None
        assert error is not None  # noqa: S101 - for the type checker; the only caller has looked
        return error


class _Worker:
    """One thread of a model."""

    __slots__ = ("batch", "batcher", "calls_left", "rows_left", "since", "wake")

    def __init__(self) -> None:
        self.batcher: Batcher | None = None  #: Set while it works, and only then.
        self.batch: list[_Request] = []
        self.since = 0.0  #: When what it is doing was begun.
        self.calls_left = 0
        self.rows_left = 0
        self.wake = threading.Lock()
        self.wake.acquire()

    def loop(self) -> None:
        """Work when woken with a batcher; end when woken without."""
        while True:
            self.wake.acquire()
            if self.batcher is None:
                return
            self.batcher._work(self)

    def begins(self, batch: list[_Request], now: float) -> None:
        """Note what is being done, for whoever estimates how long it will take."""
        self.batch = batch
        self.note(1, sum([request.n_rows for request in batch]), now)

    def note(self, calls_left: int, rows_left: int, now: float) -> None:
        """Note how much is left to do from now on."""
        self.calls_left, self.rows_left, self.since = calls_left, rows_left, now


class _Pace:
    """How long a method takes: an overhead per call and a time per row.

    Both matter. A forest needs 4.4 ms for one row and 6.3 ms for a thousand: a time per row alone,
    measured on single rows, would refuse the very bursts that joining digests best. Exponentially
    weighted least squares over (rows, seconds) tell the two apart once calls differ in size; until
    then all time is counted as the rows'.
    """

    __slots__ = ("_n", "_nn", "_nt", "_t", "_w", "per_call_s", "per_row_s")

    KEEP = 0.8  #: The weight of a call shrinks by this with each later call.

    def __init__(self) -> None:
        self._w = self._n = self._t = self._nn = self._nt = 0.0
        self.per_call_s = 0.0
        self.per_row_s = 0.0

    def record(self, n_rows: int, duration_s: float) -> None:
        """Learn from one call."""
        self._w = self._w * self.KEEP + 1
        self._n = self._n * self.KEEP + n_rows
        self._t = self._t * self.KEEP + duration_s
        self._nn = self._nn * self.KEEP + n_rows * n_rows
        self._nt = self._nt * self.KEEP + n_rows * duration_s
        self._fit()

    def _fit(self) -> None:
        if not self._n:
            self.per_call_s = self._t / self._w
            return
        steepest = self._t / self._n
        spread = self._w * self._nn - self._n * self._n
        if spread <= 0.01 * self._n * self._n:
            self.per_row_s = steepest
        else:
            slope = (self._w * self._nt - self._n * self._t) / spread
            self.per_row_s = min(max(slope, 0.0), steepest)
        self.per_call_s = (self._t - self.per_row_s * self._n) / self._w

    def expect(self, n_calls: int, n_rows: int) -> float:
        """Return the seconds that so many calls with so many rows in all should take."""
        return self.per_call_s * n_calls + self.per_row_s * n_rows


class _Waiting:
    """How much of one method waits."""

    __slots__ = ("calls_alone", "rows_alone", "rows_joined")

    def __init__(self) -> None:
        self.calls_alone = 0
        self.rows_alone = 0
        self.rows_joined = 0

    def add(self, request: _Request, sign: int) -> None:
        """Count a request in (1) or out (-1)."""
        if request.layout is None:
            self.calls_alone += sign
            self.rows_alone += sign * request.n_rows
        else:
            self.rows_joined += sign * request.n_rows


class Batcher:
    """The queue of one model version, and the threads that run it.

    Args:
        run: Called as ``run(method, tensors, parameters)`` on a thread of the batcher; its result
            has as many rows as ``tensors``.
        name: Of the model, for errors, logs and thread names.
        max_batch_size: Most rows that are joined into one call.
        max_queue_rows: Most rows that wait; a request counts as at most ``max_batch_size``.
        max_queue_s: Longest that a new request may be expected to wait, in seconds.
        concurrency: How many calls may run at a time.
        lifecycle: Hears of every call, so that a supervisor can see one that hangs.
        observer: Hears of calls, refusals and the queue's length.
        clock: Tells the time in which deadlines are given, in seconds.
        rng: Spreads Retry-After.
    """

    def __init__(
        self,
        run: Run,
        *,
        name: str,
        max_batch_size: int,
        max_queue_rows: int,
        max_queue_s: float,
        lifecycle: Lifecycle,
        concurrency: int = 1,
        observer: BatchObserver | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self.lifecycle = lifecycle
        self.observer: BatchObserver = observer or _Silence()
        self._run = run
        self._name = name
        self._max_batch_size = max_batch_size
        self._max_queue_rows = max_queue_rows
        self._max_queue_s = max_queue_s
        self._concurrency = concurrency
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._joining: frozenset[str] = frozenset()
        self._paces: dict[str, _Pace] = {}
        self._is_closed = False
        self._idle: list[_Worker] = []
        self._start_anew()
        _BATCHERS.add(self)
        weakref.finalize(self, _dismiss, self._idle).atexit = False

    def _start_anew(self) -> None:
        """Begin without threads and without a queue: at first, and in a child after a fork."""
        self._lock = threading.Lock()
        self._queue: OrderedDict[_Request, None] = OrderedDict()
        self._queue_rows = 0
        self._waiting: dict[str, _Waiting] = {}
        self._workers: list[_Worker] = []
        self._idle.clear()

    # What others call ---------------------------------------------------------------------

    @property
    def queue_rows(self) -> int:
        """Rows that wait, each request counted as at most ``max_batch_size``."""
        return self._queue_rows

    def allow_joining(self, method: str) -> None:
        """Vouch that a call of this method treats its rows one by one."""
        self._joining |= {method}

    def submit(
        self, method: str, tensors: Tensors, parameters: Mapping[str, Any], deadline: float
    ) -> Tensors:
        """Run a request, alone or joined with others; blocks the calling thread until then.

        Args:
            method: Passed on to ``run``.
            tensors: At least one; all of one number of rows.
            parameters: Passed on to ``run``; with any, the request runs alone.
            deadline: On the batcher's clock.

        Returns:
            The outputs for these rows; nobody else holds them.

        Raises:
            QueueFull: too much waits, or the deadline passed before the request was started.
            Draining: the batcher is closed.
            DeadlineExceeded: the request was started, and did not finish in time; it goes on.
            ModelError: the model returned another number of rows, or tried to end the process.
            Exception: whatever ``run`` raised, without the frames of the model's thread.
        """
        request = _Request(method, tensors, parameters, deadline)
        now = self._clock()
        if now >= deadline:
            raise self._expired(request)
        with self._lock:
            why = self._take_in(request, now)
        if why is not None:
            raise self._refused(why)
        # TIMEOUT_MAX: a wait that is longer raises OverflowError.
        if not request.done.acquire(timeout=min(deadline - now, threading.TIMEOUT_MAX)):
            self._give_up(request)
        if isinstance(request.error, _Expired):
            raise self._expired(request)
        return request.answer()

    def close(self) -> None:
        """Refuse new requests; those that wait are finished, then the threads end. Returns at once."""
        with self._lock:
            self._is_closed = True
            _dismiss(self._idle)

    # Coming in ----------------------------------------------------------------------------

    def _take_in(self, request: _Request, now: float) -> str | None:
        """Start a request or let it wait; under the lock. Returns why it is refused, if it is."""
        if self._is_closed:
            return "draining"
        if self._idle:
            self._wake(self._idle.pop(), request, now)
        elif len(self._workers) < self._concurrency:
            self._hire(request, now)
        else:
            request.layout = self._layout(request)
            why = self._why_refused(request, now)
            if why is not None:
                return why
            self._queue[request] = None
            self._count(request, 1)
        return None

    def _wake(self, worker: _Worker, request: _Request, now: float) -> None:
        worker.begins([request], now)
        worker.batcher = self
        worker.wake.release()

    def _hire(self, request: _Request, now: float) -> None:
        worker = _Worker()
        threading.Thread(target=worker.loop, name=f"demijohn {self._name}", daemon=True).start()
        self._workers.append(worker)
        self._wake(worker, request, now)

    def _layout(self, request: _Request) -> Layout | None:
        """Return what a request must share with those it is joined with; None if with nobody."""
        if (
            request.method not in self._joining
            or request.parameters
            or not 0 < request.n_rows < self._max_batch_size
        ):
            return None
        return (
            request.method,
            *[(name, values.dtype, values.shape[1:]) for name, values in request.tensors.items()],
        )

    def _weight(self, request: _Request) -> int:
        # A request without rows counts as one, or any number of them could wait.
        return max(1, min(request.n_rows, self._max_batch_size))

    def _count(self, request: _Request, sign: int) -> None:
        """Count a request into (1) or out of (-1) what waits; under the lock."""
        self._queue_rows += sign * self._weight(request)
        waiting = self._waiting.get(request.method)
        if waiting is None:
            waiting = self._waiting[request.method] = _Waiting()
        waiting.add(request, sign)
        self.observer.queue_changed(self._queue_rows)

    def _why_refused(self, request: _Request, now: float) -> str | None:
        if not self._queue:
            return None
        if self._queue_rows + self._weight(request) > self._max_queue_rows:
            return "rows"
        return "wait" if self._expected_wait_s(now) > self._max_queue_s else None

    def _expected_wait_s(self, now: float) -> float:
        """Return how long what runs and what waits should take from now on."""
        total_s = sum(self._remaining_s(worker, now) for worker in self._workers if worker.batch)
        for method, waiting in self._waiting.items():
            n_calls = waiting.calls_alone + math.ceil(waiting.rows_joined / self._max_batch_size)
            total_s += self._expect(method, n_calls, waiting.rows_alone + waiting.rows_joined)
        return total_s / self._concurrency

    def _remaining_s(self, worker: _Worker, now: float) -> float:
        # What is overdue is expected to take as long again as it is overdue: a hung model, or one
        # that was never timed, fills no queue while we go on believing that it ends any moment.
        expected_s = self._expect(worker.batch[0].method, worker.calls_left, worker.rows_left)
        return abs(expected_s - (now - worker.since))

    def _expect(self, method: str, n_calls: int, n_rows: int) -> float:
        pace = self._paces.get(method)
        return 0.0 if pace is None else pace.expect(n_calls, n_rows)

    # Going out without an answer ----------------------------------------------------------

    def _give_up(self, request: _Request) -> None:
        """Decide what a request becomes whose deadline passes now, unless it has just been answered."""
        with self._lock:
            if request in self._queue:
                del self._queue[request]
                self._count(request, -1)
                request.error = _Expired()
                return
        if request.done.acquire(blocking=False):
            return
        request.is_abandoned = True
        raise DeadlineExceeded("The prediction was started and did not finish before the deadline")

    def _expired(self, request: _Request) -> QueueFull:
        self.observer.request_refused("expired")
        return QueueFull(
            f"The request reached its deadline before model {self._name!r} was free; try again",
            headers=self._retry_after(),
        )

    def _refused(self, why: str) -> QueueFull | Draining:
        self.observer.request_refused(why)
        if why == "draining":
            return Draining(f"Model {self._name!r} takes no more requests", headers=self._retry_after())
        told = {
            "rows": f"The queue of model {self._name!r} holds {self._queue_rows} rows "
            f"of at most {self._max_queue_rows}; try again",
            "wait": f"A request for model {self._name!r} would wait longer than {self._max_queue_s:g} s; try again",
        }
        return QueueFull(told[why], headers=self._retry_after())

    def _retry_after(self) -> dict[str, str]:
        """Return when to come again: after the queue is done with, spread so that not all come at once."""
        with self._lock:
            soonest_s = 1 + min(self._expected_wait_s(self._clock()), _LONGEST_RETRY_S / 3 - 1)
            return {"Retry-After": str(round(self._rng.uniform(soonest_s, 3 * soonest_s)))}

    # The model's thread -------------------------------------------------------------------

    def _work(self, worker: _Worker) -> None:
        """Run the worker's batch, then whatever waits by then."""
        while worker.batch:
            if len(worker.batch) == 1:
                self._answer_alone(worker, worker.batch[0])
            elif not self._answer_joined(worker, worker.batch):
                self._answer_one_by_one(worker)
            with self._lock:
                self._go_on(worker)

    def _go_on(self, worker: _Worker) -> None:
        """Give a worker its next batch, or nothing; under the lock."""
        now = self._clock()
        worker.begins(self._next_batch(now), now)
        if worker.batch:
            return
        worker.batcher = None
        if self._is_closed:
            worker.wake.release()  # it finds itself without a batcher, and ends
        elif worker in self._workers:  # else it is a parent's, and its model forked
            self._idle.append(worker)

    def _next_batch(self, now: float) -> list[_Request]:
        """Take out of the queue what runs next; under the lock."""
        batch: list[_Request] = []
        n_rows = 0
        gone: list[_Request] = []
        for request in self._queue:
            if request.deadline <= now:
                request.error = _Expired()
                request.done.release()
                gone.append(request)
            elif not batch or request.layout == batch[0].layout:
                n_rows += request.n_rows
                if batch and n_rows > self._max_batch_size:
                    break  # who does not fit is not overtaken by those behind it
                batch.append(request)
                if request.layout is None or n_rows >= self._max_batch_size:
                    break
        for request in gone + batch:
            del self._queue[request]
            self._count(request, -1)
        return batch

    def _answer_alone(self, worker: _Worker, request: _Request) -> None:
        outcome = self._call(worker, [request], request.tensors, request.parameters)
        if isinstance(outcome, BaseException):
            request.error = outcome
        else:
            request.outputs = outcome
        request.done.release()

    def _answer_joined(self, worker: _Worker, batch: Sequence[_Request]) -> bool:
        """Answer all in one call; say whether that went well."""
        names = batch[0].tensors
        tensors = {name: np.concatenate([request.tensors[name] for request in batch]) for name in names}
        outcome = self._call(worker, batch, tensors, _NO_PARAMETERS)
        if isinstance(outcome, BaseException):
            return False
        start = 0
        for request in batch:
            request.outputs = outcome
            request.cut = slice(start, start + request.n_rows)
            start += request.n_rows
            request.done.release()
        return True

    def _answer_one_by_one(self, worker: _Worker) -> None:
        """Run the members of a call that failed, each alone."""
        rows_left = worker.rows_left
        for index, request in enumerate(worker.batch):
            now = self._clock()
            worker.note(len(worker.batch) - index, rows_left, now)
            rows_left -= request.n_rows
            if request.deadline > now and not request.is_abandoned:
                self._answer_alone(worker, request)
            else:
                request.error = DeadlineExceeded()
                request.done.release()

    def _call(
        self, worker: _Worker, batch: Sequence[_Request], tensors: Tensors, parameters: Mapping[str, Any]
    ) -> Tensors | BaseException:
        """Call the model once, and keep the books; never raises."""
        method, n_rows = batch[0].method, count_rows(tensors)
        ticket = self.lifecycle.call_begins(max([request.deadline for request in batch]))
        outcome: Tensors | BaseException
        try:
            outcome = self._run(method, tensors, parameters)
            _check_rows(outcome, n_rows)
        except BaseException as error:  # noqa: BLE001 - foreign code; SystemExit must not end the thread
            outcome = self._as_ours(method, error)
        finally:
            self.lifecycle.call_ends(ticket)
        duration_s = self._clock() - worker.since
        with self._lock:
            pace = self._paces.get(method)
            if pace is None:
                pace = self._paces[method] = _Pace()
            pace.record(n_rows, duration_s)
        self.observer.call_finished(method, n_rows, len(batch), duration_s)
        return outcome

    def _as_ours(self, method: str, error: BaseException) -> Exception:
        """Make an error of the model's thread fit to be raised in a caller's thread.

        Its traceback stays behind: the frames hold the rows of the call, and an exception that a
        model keeps and raises again would grow with each caller. Causes keep theirs.
        """
        if isinstance(error, Exception):
            return error.with_traceback(None)
        logger.error("model %s tried to end the process in %s", self._name, method, exc_info=error)
        ours = ModelError(f"The model failed with {type(error).__name__}")
        ours.__cause__ = error.with_traceback(None)
        return ours


class _Expired(Exception):
    """Marks a request that was never started; its caller's thread turns it into a 503."""


def _check_rows(outputs: Tensors, n_rows: int) -> None:
    for name, values in outputs.items():
        if values.shape[:1] != (n_rows,):
            raise ModelError(
                f"The model returned {name!r} of shape {values.shape} for {n_rows} rows; "
                "axis 0 must be the row"
            )


def _dismiss(idle: list[_Worker]) -> None:
    """End the threads that have nothing to do."""
    while idle:
        idle.pop().wake.release()


_BATCHERS: weakref.WeakSet[Batcher] = weakref.WeakSet()


def _start_all_anew() -> None:
    for batcher in list(_BATCHERS):
        batcher._start_anew()


os.register_at_fork(after_in_child=_start_all_anew)
