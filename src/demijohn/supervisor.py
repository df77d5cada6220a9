"""Keeps the workers alive: starts them, replaces them, ends them.

Rules of this room:
1. No death of a worker ends the server, however often it comes; the first replacement starts at
   once, those after it later and later, each worker for itself. Only a server none of whose
   workers ever became ready gives up.
2. A worker that holds a call past its deadline is doomed: replaced at once, told to drain, killed
   at ``KILL_AFTER_S`` past the deadline if the call still has not ended.
3. One thread, no lock: forking is safe at any moment.
"""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
import signal
import socket
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from types import FrameType

from .slots import Slot, Slots, State
from .worker import STOP_SIGNALS, LoadApp, SupervisorLink, WorkerOptions, run_worker

logger = logging.getLogger("demijohn")

DOOMED_AFTER_S = 0.25
KILL_AFTER_S = 1.0
DRAIN_EXTRA_S = 1.0  # beyond the longest a request may take
GAVE_UP = 2
_TICK_S = 0.25
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.1, 2.0
_STABLE_AFTER_S = 10.0
_FIRST_TICK_S = 0.02  # until the first worker is ready, which somebody waits for
_ECHO_S = 0.2
_STOP_AT_ONCE = 2
_SLOTS_PER_SEAT = 4
_WAKE_BYTES = 4096


@dataclass(slots=True)
class Worker:
    """One worker process."""

    process: BaseProcess
    slot: Slot
    born: float
    patience_ends: float = math.inf  #: When it is killed, if it drains.

    def end_of_patience(self) -> float:
        """Return when a draining worker is killed: earlier if a call of it hangs."""
        return min(self.patience_ends, self.slot.deadline + KILL_AFTER_S)


@dataclass(slots=True)
class Seat:
    """The place of one worker among ``options.workers``: always taken, but for a moment."""

    worker: Worker | None = None
    n_deaths: int = 0  #: In a row, none of which lived for long.
    due: float = 0.0  #: When the next worker may start.

    def empty(self, now: float) -> None:
        """Note that the worker is gone, and when the next may start."""
        if self.worker is not None and now - self.worker.born >= _STABLE_AFTER_S:
            self.n_deaths = 0
        delay = min(_FIRST_DELAY_S * 2 ** (self.n_deaths - 1), _LONGEST_DELAY_S) if self.n_deaths else 0.0
        self.due = now + delay
        self.n_deaths += 1
        self.worker = None


@dataclass(slots=True)
class Supervisor:
    """Starts, watches and ends the workers of one server; ``run`` it once, in the main thread.

    Args:
        load_app: Called in each worker.
        options: Of each worker.
        n_workers: How many.
        deadline_s: Longest that a request in flight may take.
        on_ready: Called once, when the first worker serves.
    """

    load_app: LoadApp
    options: WorkerOptions
    n_workers: int
    deadline_s: float
    on_ready: Callable[[], None]

    failure: str = field(default="", init=False)  #: Why the last worker that could not load did not.
    _slots: Slots = field(init=False)
    _seats: list[Seat] = field(init=False)
    _leaving: list[Worker] = field(default_factory=list, init=False)
    _was_ready: bool = field(default=False, init=False)
    _stop_asked: list[float] = field(default_factory=list, init=False)
    _link: SupervisorLink = field(init=False)
    _wake: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        """Make what the workers will share."""
        # Of a seat, one process may serve while its predecessors drain.
        self._slots = Slots(_SLOTS_PER_SEAT * self.n_workers)
        self._seats = [Seat() for _ in range(self.n_workers)]

    def run(self) -> int:
        """Serve until a signal says stop.

        Returns:
            0 after that; ``GAVE_UP`` if no worker could load the app, and ``failure`` says why.
        """
        life, life_end = os.pipe()
        self._wake, writer = socket.socketpair()
        self._wake.setblocking(False)
        writer.setblocking(False)
        self._link = SupervisorLink(os.getpid(), life, (life_end, self._wake.fileno(), writer.fileno()))
        old_handlers = {number: signal.signal(number, self._on_stop_signal) for number in STOP_SIGNALS}
        old_fd = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            status = self._watch()
            self._drain()
            return status
        finally:
            self._kill_all()
            signal.set_wakeup_fd(old_fd)
            for number, handler in old_handlers.items():
                signal.signal(number, handler)
            self._wake.close()
            writer.close()
            os.close(life)
            os.close(life_end)

    # The loop ---------------------------------------------------------------------------------

    def _watch(self) -> int:
        while not self._stop_asked:
            now = time.monotonic()
            self._reap(now)
            if not self._was_ready and all(seat.n_deaths and not seat.worker for seat in self._seats):
                return GAVE_UP
            self._fill_seats(now)
            self._doom(now)
            self._kill_overdue(now)
            self._announce()
            self._sleep(now)
        return 0

    def _sleep(self, now: float) -> None:
        """Wait until a worker dies, a signal comes, or there is something to do."""
        tick = _TICK_S if self._was_ready else _FIRST_TICK_S
        events = [seat.due for seat in self._seats if not seat.worker and self._was_ready]
        events += [worker.slot.deadline + DOOMED_AFTER_S for worker in self._seated()]
        events += [worker.end_of_patience() for worker in self._leaving]
        seconds = min([tick, *(event - now for event in events)])
        wait([*(worker.process.sentinel for worker in self._workers()), self._wake], max(0.0, seconds))
        while self._heard_something():
            continue

    def _heard_something(self) -> bool:
        try:
            return bool(self._wake.recv(_WAKE_BYTES))
        except BlockingIOError:
            return False

    def _on_stop_signal(self, _number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        # One Ctrl-C may come twice: to the group from the terminal, and from a parent that passes it on.
        if not self._stop_asked or now - self._stop_asked[-1] > _ECHO_S:
            self._stop_asked.append(now)

    def _seated(self) -> list[Worker]:
        return [seat.worker for seat in self._seats if seat.worker]

    def _workers(self) -> list[Worker]:
        return self._seated() + self._leaving

    # Birth ------------------------------------------------------------------------------------

    def _fill_seats(self, now: float) -> None:
        for seat in self._seats:
            is_first = seat.n_deaths == 0
            if seat.worker or now < seat.due or not (is_first or self._was_ready):
                continue
            slot = self._slots.take_free()
            if slot is None:  # its predecessors take their time to drain
                continue
            seat.worker = self._start(slot, now)
            if not is_first:
                self._slots.restarts += 1

    def _start(self, slot: Slot, now: float) -> Worker:
        process = multiprocessing.get_context("fork").Process(
            target=run_worker,
            args=(self.load_app, self.options, self._slots, slot, self._link),
            name=f"demijohn-worker-{slot.number}",
        )
        # A stop signal must not reach the child while it still has this process's handlers.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            with warnings.catch_warnings():
                # Python 3.12 warns of threads at a fork. Those of numerical libraries survive it by
                # handlers of their own, and this process starts none.
                warnings.simplefilter("ignore", DeprecationWarning)
                process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        return Worker(process, slot, now)

    def _announce(self) -> None:
        if not self._was_ready and any(worker.slot.state is State.READY for worker in self._seated()):
            self._was_ready = True
            self.on_ready()

    # Death ------------------------------------------------------------------------------------

    def _reap(self, now: float) -> None:
        for seat in self._seats:
            if seat.worker and not seat.worker.process.is_alive():
                self._note_death(seat.worker)
                self._bury(seat.worker)
                seat.empty(now)
        for worker in [worker for worker in self._leaving if not worker.process.is_alive()]:
            self._leaving.remove(worker)
            self._bury(worker)

    def _note_death(self, worker: Worker) -> None:
        status = worker.process.exitcode or 0
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        if worker.slot.state is State.FAILED:
            self.failure = worker.slot.reason
            how = f"could not load: {self.failure}"
        elif worker.slot.state is State.STARTING:
            self.failure = f"a worker {how} while it loaded"
        if self._was_ready:
            logger.error("worker %d %s; starting another", worker.slot.number, how)

    def _bury(self, worker: Worker) -> None:
        worker.process.join()
        worker.process.close()
        worker.slot.state = State.FREE

    def _doom(self, now: float) -> None:
        for seat in self._seats:
            worker = seat.worker
            if worker and now >= worker.slot.deadline + DOOMED_AFTER_S:
                logger.error("worker %d holds a call past its deadline; starting another", worker.slot.number)
                self._dismiss(worker, now)
                seat.empty(now)

    def _dismiss(self, worker: Worker, now: float) -> None:
        worker.process.terminate()
        worker.patience_ends = now + self.deadline_s + DRAIN_EXTRA_S
        self._leaving.append(worker)

    def _kill_overdue(self, now: float) -> None:
        for worker in self._leaving:
            if now >= worker.end_of_patience():
                worker.process.kill()

    def _drain(self) -> None:
        """Let every worker finish what is in flight; the second signal ends that."""
        now = time.monotonic()
        for seat in self._seats:
            if seat.worker:
                self._dismiss(seat.worker, now)
                seat.worker = None
        while self._leaving and len(self._stop_asked) < _STOP_AT_ONCE:
            now = time.monotonic()
            self._kill_overdue(now)
            self._sleep(now)
            self._reap(now)

    def _kill_all(self) -> None:
        for worker in self._workers():
            worker.process.kill()
        for worker in self._workers():
            self._bury(worker)
