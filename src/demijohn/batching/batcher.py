"""The threads of one model, and the way in and out of its queue.

Rule of this room: ``_lock`` guards the queue, the workers and the paces; ``calls`` is called without it.
"""

from __future__ import annotations

import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from demijohn.errors import Draining, QueueFull
from demijohn.lifecycle import Lifecycle, late
from demijohn.messages import Tensors

from .calls import Calls, Run
from .deadlines import Deadlines
from .observer import BatchObserver, Silence
from .pace import Paces
from .queue import Expired, Queue, Request, SentRequest, Tell
from .refusals import Refusals
from .stream import Channel, Stream
from .worker import Worker, dismiss, give_way


class Batcher:
    """The queue of one model version, and the threads that run it.

    Args:
        run: Called as ``run(method, tensors, parameters)`` on a thread of the batcher; returns as
            many rows as ``tensors`` has. It must not write to the tensors.
        name: Of the model, for errors, logs and thread names.
        max_batch_size: Most rows that are joined into one call.
        max_queue_rows: Most rows that wait; a request counts as at most ``max_batch_size``.
        max_queue_s: Longest that a new request may be expected to wait, in seconds.
        lifecycle: Hears of every call, so that a supervisor can see one that hangs.
        concurrency: How many calls may run at a time.
        observer: Hears of calls, refusals and the queue's length.
        clock: Tells the time on which deadlines are given, in seconds.
        rng: Spreads Retry-After.
    """

    def __init__(  # noqa: PLR0913 - plain facts, each given by name
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
        self._thread_name = f"demijohn {name}"
        self._limits = (max_batch_size, max_queue_rows, max_queue_s)
        self._lifecycle = lifecycle
        self._concurrency = concurrency
        self._observer: BatchObserver = observer or Silence()
        self._clock = clock
        self._refusals = Refusals(name, rng or random.Random())  # noqa: S311 - spreads retries
        self._paces = Paces()
        self._joining: frozenset[str] = frozenset()
        self._calls = Calls(run, name, lifecycle, self._observer, clock)
        self._is_closed = False
        self._idle: list[Worker] = []
        self._start_anew()
        _batchers.add(self)
        weakref.finalize(self, dismiss, self._idle).atexit = False

    def _start_anew(self) -> None:
        """Begin without threads and without a queue: at first, and in a child after a fork."""
        self._lock = threading.Lock()
        self._queue = Queue(*self._limits)
        self._workers: list[Worker] = []
        self._idle.clear()
        self._deadlines = Deadlines(self._clock)

    @property
    def queue_rows(self) -> int:
        """Rows that wait, each request counted as at most ``max_batch_size``."""
        return self._queue.rows

    def allow_joining(self, method: str) -> None:
        """Vouch that a call of this method treats its rows one by one."""
        self._joining |= {method}

    def joins(self, method: str) -> bool:
        """Say whether somebody has vouched for a method."""
        return method in self._joining

    def check_room(self) -> None:
        """Refuse, before its body is read, what ``submit`` would refuse even if it had one row.

        Raises:
            QueueFull: too much waits.
        """
        if self._queue.rows:
            with self._lock:
                why = self._queue.why_refused(1, self._expected_wait_s(self._clock()))
            if why is not None:
                raise self._refused(why)

    def submit(
        self,
        method: str,
        tensors: Tensors,
        parameters: Mapping[str, Any],
        deadline: float,
        *,
        is_probe: bool = False,
    ) -> Tensors:
        """Run a request, alone or joined with others; blocks the calling thread until then.

        Args:
            method: Passed on to ``run``.
            tensors: At least one; all of one number of rows. Not to be written to before the
                deadline, even if an error came earlier: the run may still read them.
            parameters: Passed on to ``run``; with any, the request runs alone.
            deadline: On the batcher's clock.
            is_probe: Ours: it waits its turn, but no bound of the queue refuses it; it runs alone, and
                the observer does not hear of it.

        Returns:
            The outputs for these rows.

        Raises:
            QueueFull: too much waits, or the deadline passed before the request was started.
            Draining: the batcher is closed.
            DeadlineExceeded: the request was started and did not finish in time; the run goes on.
            ModelError: the model returned another number of rows, or tried to end the process.
            Exception: whatever ``run`` raised, without the frames of the model's thread.
        """
        request = Request(method, tensors, parameters, deadline, is_probe=is_probe)
        self._await(request)
        return request.answer()

    def send(
        self, method: str, tensors: Tensors, parameters: Mapping[str, Any], deadline: float, tell: Tell
    ) -> None:
        """Run a request as ``submit`` does, without a thread that waits; returns at once.

        Args:
            method: As the next three: see ``submit``.
            tensors: Of the request.
            parameters: Of the request.
            deadline: Of the request.
            tell: Called once, unless this raises, with what ``submit`` would return or raise.

        Raises:
            QueueFull: too much waits, or the deadline has passed.
            Draining: the batcher is closed.
        """
        deadlines = self._deadlines
        request = SentRequest(method, tensors, parameters, deadline, tell, self._tell_late, deadlines)
        request.since = now = self._clock()
        if now >= deadline:
            raise self._expired()
        deadlines.add(request)
        with self._lock:
            why = self._take_in(request, now)
        if why is not None and deadlines.claim(request):
            raise self._refused(why)

    def open(
        self,
        method: str,
        tensors: Tensors,
        start: Callable[[], Iterator[Any]],
        deadline: float,
        item_s: float,
    ) -> Stream:
        """Run a request that answers in pieces, alone; blocks until the first is there.

        Args:
            method: For the books.
            tensors: As ``submit`` has them, for their rows.
            start: Called on the model's thread, which is taken until the stream ends or is closed.
            deadline: Of the first item, on the batcher's clock.
            item_s: Longest that each later item may take to be made, and to be fetched, in seconds.

        Raises:
            ServerError: as ``submit``; but what the model raises comes from the stream.
        """
        request = Request(method, tensors, {}, deadline, is_alone=True)
        request.channel = channel = Channel(
            start, deadline=deadline, item_s=item_s, lifecycle=self._lifecycle, clock=self._clock,
            on_first=request.done.release,
        )  # fmt: skip
        try:
            self._await(request)
        except BaseException:
            channel.close()
            raise
        return Stream(channel, request.n_rows)

    def _await(self, request: Request) -> None:
        """Start a request or let it wait, and wait for its answer."""
        request.since = now = self._clock()
        if now >= request.deadline:
            raise self._expired()
        with self._lock:
            why = self._take_in(request, now)
        if why is not None:
            raise self._refused(why)
        # A wait longer than TIMEOUT_MAX would raise OverflowError.
        try:
            is_done = request.done.acquire(timeout=min(request.deadline - now, threading.TIMEOUT_MAX))
        except BaseException:  # an interrupt, where this is a program's main thread
            if self._give_up(request):
                request.pass_on()
            raise
        if not is_done and not self._give_up(request):
            raise late()
        request.pass_on()
        if isinstance(request.error, Expired):
            raise self._expired()

    def close(self) -> None:
        """Refuse new requests; those that wait are finished, then the threads end. Returns at once."""
        with self._lock:
            self._is_closed = True
            dismiss(self._idle)

    def _take_in(self, request: Request, now: float) -> str | None:
        """Start a request or let it wait; under the lock. Returns why it is refused, if it is."""
        if self._is_closed:
            return "draining"
        if self._idle:
            self._wake(self._idle.pop(), request, now)
        elif self._count_workers() < self._concurrency:
            self._wake(self._hire(), request, now)
        else:
            why = self._queue.why_refused(request.n_rows, self._expected_wait_s(now))
            if why is not None and not request.is_probe:
                return why
            request.layout = request.find_layout() if self._may_join(request) else None
            self._queue.put(request)
            self._observer.queue_changed(self._queue.rows)
        return None

    def _may_join(self, request: Request) -> bool:
        is_small = 0 < request.n_rows < self._queue.max_batch_size and not request.is_alone
        return is_small and not request.parameters and request.method in self._joining

    def _wake(self, worker: Worker, request: Request, now: float) -> None:
        worker.begins([request], now)
        worker.batcher = self
        worker.wake.release()

    def _count_workers(self) -> int:
        # The model cannot end a thread, but an error of our own could: nobody waits for the dead.
        self._workers = [worker for worker in self._workers if worker.thread.is_alive()]
        return len(self._workers)

    def _hire(self) -> Worker:
        worker = Worker(self._thread_name)
        worker.thread.start()
        self._workers.append(worker)
        return worker

    def _expected_wait_s(self, now: float) -> float:
        """Return how long what runs and what waits should take from now on; under the lock."""
        running_s = sum([worker.remaining_s(self._paces, now) for worker in self._workers])
        return (running_s + self._queue.expect(self._paces)) / self._concurrency

    def _give_up(self, request: Request) -> bool:
        """Settle a request for which nobody can wait any longer; False: it was started, and goes on."""
        with self._lock:
            if request in self._queue:
                self._drop(request)
                return True
            if request.on_fetched is None:
                request.is_given_up = not request.done.acquire(blocking=False)
                return not request.is_given_up
        return request.done.acquire()  # it is being handed out: a matter of microseconds

    def _tell_late(self, request: SentRequest) -> None:
        """Tell the caller of a request whose time is up."""
        with self._lock:
            if request in self._queue:
                self._drop(request)
        request.tell(self._expired() if isinstance(request.error, Expired) else late())

    def _drop(self, request: Request) -> None:
        """Take out a request that nobody waits for any longer; under the lock."""
        self._queue.remove(request)
        self._observer.queue_changed(self._queue.rows)
        request.error = Expired()

    def _expired(self) -> QueueFull:
        self._observer.request_refused("expired")
        return self._refusals.expired(self._find_wait_s())

    def _refused(self, why: str) -> QueueFull | Draining:
        self._observer.request_refused(why)
        return self._refusals.refused(why, self._queue, self._find_wait_s())

    def _find_wait_s(self) -> float:
        with self._lock:
            return self._expected_wait_s(self._clock())

    def _work(self, worker: Worker) -> None:
        """Run a worker's batch, then whatever waits by then."""
        while self._let_join(worker):
            self._calls.answer(worker, self)
            with self._lock:
                worker.batch, worker.is_resting = [], worker.is_handing_out
                if worker.is_resting:
                    worker.batcher = None
                    return

    def _let_join(self, worker: Worker) -> bool:
        """Let those join that come while a worker wakes: see rule 1 of the package. See ``_go_on``."""
        first = worker.batch[0] if worker.batch else None
        may_join = first is None or self._may_join(first)
        before = -1
        most = self._queue.max_batch_size
        while may_join and worker.had_company and before < self._queue.rows < most:
            before = self._queue.rows
            give_way()
        worker.had_company = False
        if first is None or (may_join and self._queue.rows):
            with self._lock:
                if first is not None:
                    first.layout = first.find_layout()
                    self._queue.put(first, in_front=True)
                return self._go_on(worker)
        return True

    def _go_on(self, worker: Worker) -> bool:
        """Give a worker its next batch; under the lock. False: it rests, and is not to be looked at again."""
        now, waited = self._clock(), self._queue.rows
        worker.begins(self._queue.take(now, self._paces), now)
        if self._queue.rows != waited:
            self._observer.queue_changed(self._queue.rows)
        if worker.batch:
            return True
        worker.batcher = None
        if self._is_closed or worker not in self._workers:  # not ours: a model that forked came back here
            worker.wake.release()  # it finds itself without a batcher, and ends
        else:
            self._idle.append(worker)
        return False

    def hand_out(self, worker: Worker, batch: Sequence[Request]) -> None:
        """Let the callers of a joined call go, each woken by the one before, the worker by the last.

        Woken all at once they would wait for each other, and then for the model's next call. Those who do
        not wait are told before that.
        """
        worker.had_company = True
        for request in batch:
            if not request.is_awaited:
                request.settle()
        with self._lock:
            waiting = [request for request in batch if request.is_awaited and not request.is_given_up]
            if not waiting:
                return
            worker.is_handing_out = True
            for request, following in pairwise(waiting):
                request.on_fetched = following.done.release
            waiting[-1].on_fetched = partial(self._end_handing_out, worker)
        waiting[0].done.release()

    def _end_handing_out(self, worker: Worker) -> None:
        with self._lock:
            worker.is_handing_out = False
            if not worker.is_resting:  # it has not come so far yet
                return
            worker.is_resting = False
            if self._queue.rows:
                worker.batcher = self
                worker.wake.release()
            else:
                self._go_on(worker)

    def record(self, method: str, n_rows: int, duration_s: float) -> None:
        """Note how long a call took."""
        with self._lock:
            self._paces.record(method, n_rows, duration_s)


_batchers: weakref.WeakSet[Batcher] = weakref.WeakSet()


def _start_all_anew() -> None:
    for batcher in list(_batchers):
        batcher._start_anew()


os.register_at_fork(after_in_child=_start_all_anew)
