"""A batcher under glass: its clock is ours, its model waits when told to, its queue is watched."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np

from demijohn.batching import Batcher
from demijohn.lifecycle import Lifecycle
from demijohn.messages import Tensors

PATIENCE_S = 30.0
CALLERS = ThreadPoolExecutor(64, thread_name_prefix="caller")


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Watch:
    """Observes, and lets a test wait for what it observes."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.queue_rows = 0
        self.n_changes = 0
        self.refusals: list[str] = []
        self.calls: list[tuple[str, int, int, float]] = []
        self.waited_s: list[float] = []

    def call_finished(
        self, method: str, n_rows: int, n_requests: int, duration_s: float, waited_s: float = 0.0
    ) -> None:
        self.calls.append((method, n_rows, n_requests, duration_s))
        self.waited_s.append(waited_s)

    def queue_changed(self, n_rows: int) -> None:
        with self.changed:
            self.queue_rows = n_rows
            self.n_changes += 1
            self.changed.notify_all()

    def request_refused(self, reason: str) -> None:
        self.refusals.append(reason)

    def wait_for_change(self, n_changes: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.n_changes >= n_changes, PATIENCE_S)


def x(*values: Any, dtype: Any = np.int64) -> Tensors:
    """Make the tensors of one column."""
    return {"x": np.array(values, dtype=dtype)}


class Rig:
    """A batcher of a model that doubles, unless another is given."""

    def __init__(self, run: Callable[..., Tensors] | None = None, **options: Any) -> None:
        self.clock = Clock()
        self.watch = Watch()
        self.lifecycle = Lifecycle()
        self.calls: list[tuple[str, Tensors, Any]] = []
        self.threads: list[threading.Thread] = []
        self._run = run or (lambda _, tensors, __: {"y": tensors["x"] * 2})
        given = {"max_batch_size": 8, "max_queue_rows": 10_000, "max_queue_s": 1e9, "clock": self.clock}
        self.batcher = Batcher(
            self.model,
            name="m",
            lifecycle=self.lifecycle,
            observer=self.watch,
            rng=random.Random(0),
            **(given | options),
        )
        self.batcher.allow_joining("predict")

    def model(self, method: str, tensors: Tensors, parameters: Any) -> Tensors:
        self.threads.append(threading.current_thread())
        if method == "hold":
            parameters["started"].set()
            assert parameters["release"].wait(PATIENCE_S)
            return tensors
        self.calls.append((method, tensors, parameters))
        return self._run(method, tensors, parameters)

    def submit(
        self, tensors: Tensors, method: str = "predict", parameters: Any = None, within_s: float = PATIENCE_S
    ) -> Tensors:
        return self.batcher.submit(method, tensors, parameters or {}, self.clock() + within_s)

    def ask(self, tensors: Tensors, **options: Any) -> Future[Tensors]:
        """Submit on a thread of its own."""
        return CALLERS.submit(self.submit, tensors, **options)

    def enqueue(self, tensors: Tensors, **options: Any) -> Future[Tensors]:
        """Submit on a thread of its own, and return when the request waits."""
        n_changes = self.watch.n_changes
        future = self.ask(tensors, **options)
        self.watch.wait_for_change(n_changes + 1)
        return future

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Keep the model busy; at the end, let it take what waits by then."""
        started, release = threading.Event(), threading.Event()
        held = self.ask(x(0), method="hold", parameters={"started": started, "release": release})
        assert started.wait(PATIENCE_S)
        try:
            yield
        finally:
            release.set()
            held.result(PATIENCE_S)

    def rows_of_calls(self) -> list[list[Any]]:
        return [tensors["x"].tolist() for _, tensors, _ in self.calls]

    def close(self) -> None:
        self.batcher.close()
        for thread in self.threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


MakeRig = Callable[..., Rig]  #: Takes what ``Rig`` takes; closes at the end of the test.
