"""What is to be known of a served model to plan what runs it: probes, proofs, the plan's key.

Rules of this room:
1. Every probe runs on the model's thread, in the queue's turn, alone, and by the framework itself: a
   request never meets a model that somebody else is just calling.
2. No probe begins once the process ends.
3. A function is never called unasked: nothing of it is proved, and its plan is not kept.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

import numpy as np

from . import acceleration
from .acceleration import Candidate, OneCore, Plan, provers
from .batching import Batcher
from .config import Settings
from .errors import DemijohnError
from .messages import Tensors
from .probes import agree, draw, rows_or_records
from .runtimes.base import Runtime
from .signature import Signature

logger = logging.getLogger("demijohn")

PROBE_ROWS = 16
_NICE = 10
_PROBE_S = 60.0  # a call that takes longer hangs; the supervisor then replaces the worker
_LONGEST_TEXT = 300
_OFF, _FAST = "off", "fast"


class Probe(dict[str, Any]):
    """The parameters of a probe: the framework itself runs it, and tells how long that took.

    Args:
        limit: Makes what holds while it runs, in the thread that runs it.
    """

    def __init__(self, limit: Callable[[], AbstractContextManager[Any]]) -> None:
        super().__init__(seconds=0.0)
        self._limit = limit

    def run(self, runtime: Runtime, method: str, tensors: Tensors) -> Tensors:
        """Run it; raises what the framework raises."""
        # Rows on the edges overflow, and nobody asked for a warning.
        with self._limit(), np.errstate(all="ignore"):
            start = time.perf_counter()
            outputs = runtime.run(method, tensors, {})
            self["seconds"] = time.perf_counter() - start
        return outputs


class Subject:
    """A served model, as planning needs to know it; see ``acceleration.plan.Subject``.

    Args:
        name: For the log.
        runtime: The model.
        settings: Say what may take part, and how long an answer may take.
        batcher: The model's queue and thread.
        joins: Requests may share a call, as far as the operator is concerned.
    """

    def __init__(
        self, name: str, runtime: Runtime, settings: Settings, batcher: Batcher, *, joins: bool
    ) -> None:
        self.name = name
        self.methods: tuple[str, ...] = runtime.methods
        self.signature: Signature = runtime.signature
        self.not_joined: dict[str, str] = {}  #: Why a method's requests are kept alone.
        self._not_alike: dict[str, str | None] = {}  # why not, by what was probed for one request
        self._runtime = runtime
        self._settings = settings
        self._batcher = batcher
        self._joins = joins
        self._on_one_core: Callable[[], AbstractContextManager[Any]] = nullcontext

    def candidates(self) -> Sequence[Candidate]:
        self._on_one_core = OneCore()  # by now the framework has loaded its libraries
        return acceleration.candidates(self._runtime, is_fast=self._settings.acceleration == _FAST)

    def example(self) -> Tensors:
        return self.signature.validate(rows_or_records(list(self._runtime.example_rows())))

    def draw(self, n_rows: int, seed: int, method: str | None = None) -> Tensors:
        method = method or self.methods[0]
        return draw(self.signature.of(method), example_rows(self._runtime, method), n_rows, seed)

    def run_native(self, method: str, tensors: Tensors) -> tuple[Tensors, float]:
        provers.check()
        probe = Probe(self._on_one_core)
        # Under a load that fills the queue, joining is what is needed most.
        outputs = self._batcher.submit(method, tensors, probe, self._deadline(), is_probe=True)
        return outputs, probe["seconds"]

    def keep_alone(self, methods: Mapping[str, str]) -> None:
        for method in self.methods:
            if method not in methods:
                self._batcher.allow_joining(method)
                continue
            self.not_joined[method] = methods[method]
            logger.info("model %s: %s is kept alone: %s", self.name, method, methods[method])

    def prove_joining(self) -> dict[str, str]:
        """Find out which methods must not share a call, and why.

        A batch of probe rows must equal its rows run one by one, labels exactly and numbers within
        1e-12 relative, 1e-5 in float32 (BLAS may sum in another order).
        """
        found = {method: self._why_not_joined(method) for method in self.methods}
        return {method: why for method, why in found.items() if why is not None}

    def why_together(self, method: str) -> str | None:
        """Return why all rows of a request must share a call; None: each row has its answer alone.

        That is asked of a model whose requests are never joined, too, and before the model is proved.
        """
        if getattr(self._runtime, "is_called_by_row", False):
            return None
        if self._joins and self._settings.max_batch_size > 1 and method in self.not_joined:
            return self.not_joined[method]
        if method not in self._not_alike:
            self._not_alike[method] = self._why_not_alike(method)
        return self._not_alike[method]

    def _why_not_joined(self, method: str) -> str | None:
        if not self._joins or self._settings.max_batch_size == 1:
            return "batching is off"
        return self._why_not_alike(method)

    def _why_not_alike(self, method: str) -> str | None:
        if self._runtime.joining != "prove":
            is_joined = self._runtime.joining == "always"
            return None if is_joined else "the function does not take the rows of several requests"
        try:
            tensors = self.draw(PROBE_ROWS, 0, method)
            joined = self._probe(method, tensors)
            rows = range(PROBE_ROWS)
            alone = [self._probe(method, {k: v[i : i + 1] for k, v in tensors.items()}) for i in rows]
        except DemijohnError as error:
            return f"the probe rows failed: {error.detail}"
        except Exception as error:  # the model is foreign code
            logger.debug("model %s: %s of probe rows", self.name, method, exc_info=error)
            return f"the probe rows failed: {self._told(error)}"
        return agree(joined, alone)

    def _told(self, error: Exception) -> str:
        """Return what clients may read of an error: a refusal's first line, unless a path may be in it."""
        line = str(error).strip().partition("\n")[0][:_LONGEST_TEXT]
        is_fit = isinstance(error, self._runtime.refusals) and not {"/", "\\"} & set(line)
        return line if line and is_fit else type(error).__name__

    def _probe(self, method: str, tensors: Tensors) -> Tensors:
        return self.run_native(method, tensors)[0]

    def _deadline(self) -> float:
        return time.monotonic() + max(self._settings.deadline_s, _PROBE_S)


class Once:
    """What is done once in a process, by whoever comes first; the others do not wait."""

    def __init__(self) -> None:
        self.is_done = False
        self._turn = (os.getpid(), threading.Lock())

    @contextmanager
    def first(self) -> Iterator[bool]:
        """Say whether nobody else does it, or has done it."""
        pid, lock = self._turn
        if pid != os.getpid():  # a fork may have copied the lock while it was held
            lock = threading.Lock()
            self._turn = (os.getpid(), lock)
        if self.is_done or not lock.acquire(blocking=False):
            yield False
            return
        try:
            yield True
        finally:
            lock.release()


def example_rows(runtime: Runtime, method: str) -> list[Any]:
    """Return one to five rows that fit what a method accepts, as JSON can write them."""
    other = runtime.signature.others.get(method)
    return list(runtime.example_rows() if other is None else other.example)


def shown_rows(runtime: Runtime, method: str | None = None) -> list[Any]:
    """Return example rows for people to send: none where the model has failed on them.

    Args:
        runtime: The model.
        method: That takes them; None: what the model as such is said to take.
    """
    if getattr(runtime, "fails_on_example", False):
        return []
    return list(runtime.example_rows()) if method is None else example_rows(runtime, method)


def may_plan(runtime: Runtime, settings: Settings) -> bool:
    """Say whether anything but the framework itself may come to run a model."""
    return runtime.is_callable_unasked and settings.acceleration != _OFF


def plan_key(runtime: Runtime, settings: Settings, *, joins: bool | None = None) -> str | None:
    """Return the key under which a model's plan is kept; None where it is not.

    Args:
        runtime: The model.
        settings: Say which engines may take part.
        joins: Requests may share a call; None takes it from the settings.
    """
    digest = runtime.digest() if may_plan(runtime, settings) else None
    if digest is None:
        return None
    joins = settings.batching if joins is None else joins
    facts = {
        "model": digest,
        "framework": f"{runtime.framework} {runtime.framework_version}",
        "methods": " ".join(runtime.methods),
        "signature": repr(runtime.signature.as_json()),
        "example": repr(list(runtime.example_rows())),
        "acceleration": settings.acceleration,
        "joining": str(joins and settings.max_batch_size > 1),
    }
    return acceleration.make_key(facts)


def kept_plan(runtime: Runtime, settings: Settings, *, joins: bool | None = None) -> Plan | None:
    """Return the plan that was kept of a model, if there is one; the arguments are ``plan_key``'s."""
    key = plan_key(runtime, settings, joins=joins)
    cache = None if key is None else acceleration.open_cache()
    return None if key is None or cache is None else cache.read(key)


def prepare(runtime: Runtime, settings: Settings) -> Sequence[Any]:
    """Make before the fork what the workers' engines are to share; nothing where no plan would use it.

    Returns:
        What is to be held as long as workers are forked.
    """
    if not may_plan(runtime, settings):
        return []
    plan = kept_plan(runtime, settings)
    if plan is not None and not any("kernel" in method.engines for method in plan.methods.values()):
        return []
    return acceleration.prepare(runtime)


class Settles(Protocol):
    """A predictor."""

    def settle(self) -> None:
        """Find out what runs each method."""


def settle_in_background(predictors: Sequence[Settles]) -> None:
    """Settle predictors one after another in a thread of low priority; returns at once.

    A model that nobody serves any more by the time that its turn comes is passed over.
    """
    waiting = [weakref.ref(predictor) for predictor in predictors]

    def settle_all() -> None:
        if sys.platform == "linux":  # where each thread has its own niceness; a request comes first
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        for reference in waiting:
            if (predictor := reference()) is not None:
                predictor.settle()

    provers.start(settle_all, name="demijohn-prover")
