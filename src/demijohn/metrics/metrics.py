"""``Metrics``: what one app counts."""

from __future__ import annotations

import itertools
import os
import platform
import threading
import time
import weakref
from bisect import bisect_left
from collections.abc import Iterable
from importlib.metadata import version as version_of
from pathlib import Path

from demijohn.kernels import Tally, add_to
from demijohn.lifecycle import Lifecycle

from .families import (
    ANSWERED,
    BATCH_REQUESTS,
    BATCH_ROWS,
    BATCH_SIZES,
    BUILD_INFO,
    DURATION,
    INFERENCE,
    LAST,
    MODEL_INFO,
    NONFINITE,
    QUEUE_ROWS,
    REFUSALS,
    REQUESTS,
    RESTARTS,
    ROWS,
    STEPS,
    WORKERS,
    Family,
    Labels,
)  # fmt: skip
from .ledger import Ledger, Reading
from .statistics import Statistics, read_statistics

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

Positions = tuple[int, ...]
Sizes = dict[int, int]  #: By rows in a call, the position of what is counted of such calls.
Call = tuple[int, int, int, int, int, Sizes]

_OK = 200
_MOST_SIZES = 64  # of a method, in a process: clients choose them
_OTHER_SIZES = ""

# By a name of our own, since they are looked up for each request.
_DURATION_BOUNDS = DURATION.bounds
_SIZE_BOUNDS = BATCH_ROWS.bounds


class Metrics:
    """What one app counts, in this process; shown with what the server's other processes counted.

    Several apps of one process count apart. Those that are made in the same order in each process
    of a server belong together.

    Args:
        lifecycle: Knows how many workers were replaced.
        folder: Where the processes of a server count; None takes PROMETHEUS_MULTIPROC_DIR, without
            which this process counts alone.
    """

    def __init__(self, lifecycle: Lifecycle, folder: str | os.PathLike[str] | None = None) -> None:
        folder = folder or os.environ.get(FOLDER_VARIABLE)
        self._lifecycle = lifecycle
        self._folder = Path(folder) if folder else None
        self._number = next(_numbers)
        self._models: set[tuple[str, str]] = set()
        self._described: dict[Labels, list[float]] = {}
        self._start_anew()
        _all_metrics.add(self)

    def _start_anew(self) -> None:
        """Begin without a ledger: at first, and in a child after a fork, which is a process of its own."""
        self._lock = threading.Lock()
        self._ledger: Ledger | None = None
        # A mapping holds its file open, and by that our parent's lock: let go of it.
        self._values: memoryview[float] = memoryview(b"").cast("d")
        self._answered: dict[tuple[str, str, str], tuple[Tally, Sizes]] = {}
        self._refused: dict[tuple[str, str, str, int], Positions] = {}
        self._calls: dict[tuple[str, str, str], Call] = {}
        self._singles: dict[tuple[str, ...], int] = {}

    # What is counted ----------------------------------------------------------------------

    def observer(self, model: str, version: str) -> ModelObserver:
        """Register a model's name and version as labels; returns who counts for its batcher."""
        self._models.add((model, version))
        observer = ModelObserver(self, model, version)
        observer.queue_changed(0)
        return observer

    def describe_model(self, model: str, version: str, framework: str, framework_version: str) -> None:
        """Show what a model is."""
        self._described[model, version, framework, framework_version] = [1.0]

    def observe_request(
        self,
        model: str,
        version: str,
        method: str,
        status: int,
        duration_s: float,
        n_rows: int,
        inference_s: float | None = None,
        around_s: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """Count a request for a prediction.

        Args:
            model: With ``version``, registered; any other is counted under "".
            version: Of the model.
            method: One of the model's, else "".
            status: Of the answer.
            duration_s: From entering our callable to the answer, in seconds.
            n_rows: That were answered; 0 where there was an error.
            inference_s: Of a call of the model for this request alone, in seconds; None: there was none,
                or the model's observer has heard of it.
            around_s: That reading and checking the body took, and writing the answer, in seconds.
        """
        if status != _OK:
            self._count_refused((model, version, method, status), duration_s, n_rows)
            return
        method_of = (model, version, method)
        tally, by_size = self._answered.get(method_of) or self._place_answers(method_of)
        if inference_s is None:
            tally.add(time.time(), duration_s, n_rows, *around_s)
            return
        size = by_size.get(n_rows) or self._place_size(self._known(method_of), n_rows)
        tally.add(time.time(), duration_s, n_rows, *around_s, inference_s, size)

    def observe_nonfinite(self, model: str, version: str, method: str, n_numbers: int) -> None:
        """Count numbers that are NaN or infinite, in an answer of a registered model."""
        self._count(NONFINITE, (model, version, method), n_numbers)

    # What is shown ------------------------------------------------------------------------

    def render(self) -> tuple[bytes, str]:
        """Return the text for ``GET /metrics`` and its content type: all processes added up."""
        from .exposition import CONTENT_TYPE, add_up, write

        readings = self._read()
        families = add_up(readings)
        build = (version_of("demijohn"), platform.python_version())
        families[RESTARTS.name] = {(): [self._lifecycle.restarts()]}
        families[WORKERS.name] = {(): [sum(reading.is_alive for reading in readings)]}
        families[MODEL_INFO.name] = self._described
        families[BUILD_INFO.name] = {build: [1.0]}
        return write(families), CONTENT_TYPE

    def statistics(self, models: Iterable[tuple[str, str]]) -> list[Statistics]:
        """Return what was counted of versions of models, all processes and methods added up.

        Args:
            models: Name and version of each.
        """
        from .exposition import add_up

        families = add_up(self._read())
        return [read_statistics(families, model, version) for model, version in models]

    def _read(self) -> list[Reading]:
        with self._lock:
            ledger = self._open()
            ours = ledger.read()
        return [ours, *ledger.read_siblings()]

    # Places -------------------------------------------------------------------------------

    def _open(self) -> Ledger:
        """Return the ledger, opened when it is first needed: a process that only forks has none."""
        if self._ledger is None:
            self._ledger = Ledger(self._folder, self._number)
            self._values = self._ledger.values
        return self._ledger

    def _place(self, family: Family, labels: Labels) -> int:
        with self._lock:
            return self._open().place(family, labels)

    def _place_answers(self, method_of: tuple[str, str, str]) -> tuple[Tally, Sizes]:
        named = self._known(method_of)
        request = self._place_request(named, _OK)
        around = (
            self._place(ANSWERED, named),
            self._place(STEPS, (*named, "read")),
            self._place(STEPS, (*named, "write")),
            self._place(LAST, named),
        )
        *call, _, by_size = self._place_call(named)
        tally = Tally(self._values, DURATION.bounds, BATCH_ROWS.bounds, (*request, *around, *call))
        if named == method_of:  # a name that is not ours is not kept either: a client could fill memory
            self._answered[method_of] = (tally, by_size)
        return tally, by_size

    def _known(self, method_of: tuple[str, str, str]) -> tuple[str, str, str]:
        return method_of if method_of[:2] in self._models else ("", "", "")

    def _place_request(self, named: tuple[str, str, str], status: int) -> Positions:
        return (
            self._place(REQUESTS, (*named, str(status))),
            self._place(DURATION, named),
            self._place(ROWS, named),
        )

    def _count_refused(self, key: tuple[str, str, str, int], duration_s: float, n_rows: int) -> None:
        """Count a request that got another status than 200."""
        positions = self._refused.get(key)
        if positions is None:
            named = self._known(key[:3])
            positions = self._place_request(named, key[3])
            if named == key[:3]:
                self._refused[key] = positions
        requests, duration, rows = positions
        bucket = duration + 1 + bisect_left(_DURATION_BOUNDS, duration_s)
        add_to(self._values, requests, 1.0, duration, duration_s, bucket, 1.0, rows, n_rows)

    def _count(self, family: Family, labels: Labels, amount: float) -> None:
        position = self._single(family, labels)
        add_to(self._values, position, amount)

    def _single(self, family: Family, labels: Labels) -> int:
        key = (family.name, *labels)
        position = self._singles.get(key)
        if position is None:
            position = self._singles[key] = self._place(family, labels)
        return position

    def _set(self, family: Family, labels: Labels, value: float) -> None:
        position = self._single(family, labels)
        self._values[position] = value

    def _count_call(
        self, labels: tuple[str, str, str], n_rows: int, n_requests: int, duration_s: float, waited_s: float
    ) -> None:
        rows, requests, inference, step, queue, by_size = self._place_call(labels)
        size = by_size.get(n_rows) or self._place_size(labels, n_rows)
        add_to(
            self._values, rows, n_rows, rows + 1 + bisect_left(_SIZE_BOUNDS, n_rows), 1.0,
            requests, n_requests, requests + 1 + bisect_left(_SIZE_BOUNDS, n_requests), 1.0,
            inference, duration_s, inference + 1 + bisect_left(_DURATION_BOUNDS, duration_s), 1.0,
            step, n_requests * duration_s, queue, waited_s, size, duration_s, size + 1, 1.0,
        )  # fmt: skip

    def _place_call(self, labels: tuple[str, str, str]) -> Call:
        call = self._calls.get(labels)
        if call is None:
            rows, requests, inference = (
                self._place(family, labels) for family in (BATCH_ROWS, BATCH_REQUESTS, INFERENCE)
            )
            step, queue = (self._place(STEPS, (*labels, step)) for step in ("inference", "queue"))
            call = self._calls[labels] = (rows, requests, inference, step, queue, {})
        return call

    def _place_size(self, labels: tuple[str, str, str], n_rows: int) -> int:
        sizes = self._calls[labels][-1]
        if len(sizes) >= _MOST_SIZES:  # this one is not kept either
            return self._place(BATCH_SIZES, (*labels, _OTHER_SIZES))
        position = sizes[n_rows] = self._place(BATCH_SIZES, (*labels, str(n_rows)))
        return position


class ModelObserver:
    """Counts what the batcher of one model version does."""

    __slots__ = ("_metrics", "_model", "_version")

    def __init__(self, metrics: Metrics, model: str, version: str) -> None:
        self._metrics = metrics
        self._model = model
        self._version = version

    def call_finished(
        self, method: str, n_rows: int, n_requests: int, duration_s: float, waited_s: float = 0.0
    ) -> None:
        """Count a call of the model."""
        labels = (self._model, self._version, method)
        self._metrics._count_call(labels, n_rows, n_requests, duration_s, waited_s)

    def queue_changed(self, n_rows: int) -> None:
        """Note how many rows wait; the caller sees to the order."""
        self._metrics._set(QUEUE_ROWS, (self._model, self._version), float(n_rows))

    def request_refused(self, reason: str) -> None:
        """Count a request that the queue refused."""
        self._metrics._count(REFUSALS, (self._model, self._version, reason), 1.0)


_numbers = itertools.count()
_all_metrics: weakref.WeakSet[Metrics] = weakref.WeakSet()


def _start_all_anew() -> None:
    for metrics in list(_all_metrics):
        metrics._start_anew()


os.register_at_fork(after_in_child=_start_all_anew)
