"""One version of one model, ready to answer: signature, queue, runtime.

Rules of this room:
1. The way of a prediction is one straight street: method, parameters, signature, queue, runtime.
2. Requests share a call only by a method that has been proved to treat rows one by one.
3. What a model raises becomes either "it refused these rows" (422) or "it failed" (500); its text
   reaches the client only in the first case, first line only, without paths.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from .batching import Batcher, BatchObserver
from .config import Settings
from .errors import DemijohnError, MethodNotFound, ModelError, ModelRefused, NotReady, ParameterMismatch
from .lifecycle import Lifecycle
from .messages import InferenceRequest, InferenceResponse, Tensors, count_rows
from .probes import agree, draw
from .runtimes.base import Runtime

logger = logging.getLogger("demijohn")

State = Literal["loading", "ready", "failed"]
PROBE_ROWS = 16
_NICE = 10
_PATH = re.compile(r"(?<![\w.])(?:[A-Za-z]:)?[/\\](?:[\w.\-+]+[/\\])*[\w.\-+]+")
_LONGEST_TEXT = 300
_LONGEST_LINE = 10 * _LONGEST_TEXT  # that is searched for paths: it may hold a client's text


class Predictor:
    """Answers requests for one version of one model.

    Args:
        name: Of the model.
        version: Of this one.
        runtime: Runs it.
        settings: For the queue and the deadline.
        lifecycle: Hears of calls in progress.
        observer: Hears of batches and the queue.
        batching: False keeps every request alone; None takes it from the settings.
    """

    def __init__(
        self,
        name: str,
        version: str,
        runtime: Runtime,
        settings: Settings,
        lifecycle: Lifecycle,
        observer: BatchObserver | None = None,
        batching: bool | None = None,
    ) -> None:
        self.name = name
        self.version = version
        self.runtime = runtime
        self.signature = runtime.signature
        self.state: State = "ready"
        self.not_joined: dict[str, str] = {}  #: Why a method's requests are kept alone.
        self._settings = settings
        self._joins = settings.batching if batching is None else batching
        self._proof = threading.Lock()
        self._is_proved = False
        self.batcher = Batcher(
            self._run,
            name=f"{name}/{version}",
            max_batch_size=settings.max_batch_size,
            max_queue_rows=settings.max_queue_rows,
            max_queue_s=settings.max_queue_s,
            concurrency=runtime.concurrency,
            lifecycle=lifecycle,
            observer=observer,
        )

    @property
    def deadline_s(self) -> float:
        """Return how long an answer may take, in seconds."""
        return self._settings.deadline_s

    def predict(self, method: str, request: InferenceRequest, deadline: float) -> InferenceResponse:
        """Answer one request; blocks until then.

        Args:
            method: One of the runtime's methods.
            request: Decoded, not yet checked.
            deadline: On ``time.monotonic()``'s clock.

        Raises:
            RequestError: no such method or parameter, or the rows do not fit or were refused.
            ServerError: the queue is full, the deadline passed, or the model failed.
        """
        self.check_method(method)
        self._check_parameters(method, request.parameters)
        tensors = self.signature.validate(request.inputs)
        return self.answer(method, tensors, request.parameters, deadline)

    def answer(
        self, method: str, tensors: Tensors, parameters: Mapping[str, Any], deadline: float
    ) -> InferenceResponse:
        """Answer tensors that fit the signature; see ``predict``."""
        outputs = self.batcher.submit(method, tensors, parameters, deadline)
        return InferenceResponse(
            outputs, self.name, self.version, method, count_rows(tensors), self.runtime.classes(method)
        )

    def check_method(self, method: str) -> None:
        """Refuse a method before its request costs anything.

        Raises:
            MethodNotFound: the model does not have it.
            NotReady: the model cannot answer now.
        """
        if self.state != "ready":
            raise NotReady(f"Model {self.name!r} is {self.state}", headers={"Retry-After": "1"})
        if method not in self.runtime.methods:
            known = ", ".join(self.runtime.methods)
            raise MethodNotFound(f"Model {self.name!r} has no such method; it has: {known}")

    def _check_parameters(self, method: str, parameters: Mapping[str, Any]) -> None:
        for name in parameters:
            if name not in self.runtime.parameters(method):
                known = ", ".join(self.runtime.parameters(method)) or "none"
                raise ParameterMismatch(f"{method} takes no parameter {name[:100]!r}; it takes: {known}")

    def _run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        try:
            return self.runtime.run(method, tensors, parameters)
        except DemijohnError:
            raise
        except self.runtime.refusals as error:
            raise ModelRefused(_first_line(error)) from error
        except Exception as error:  # the model is foreign code
            logger.exception("model %s/%s failed in %s", self.name, self.version, method)
            raise ModelError(f"The model failed with {type(error).__name__}") from error

    def prove(self) -> None:
        """Find out which methods may be joined; once, in whichever thread comes first.

        A batch of probe rows must equal its rows run one by one, labels exactly and numbers within
        1e-12 relative (BLAS may sum in another order).
        """
        if self._is_proved or not self._proof.acquire(blocking=False):
            return
        try:
            for method in self.runtime.methods:
                why = self._why_not_joined(method)
                if why is None:
                    self.batcher.allow_joining(method)
                else:
                    self.not_joined[method] = why
                    logger.info("model %s/%s: %s is kept alone: %s", self.name, self.version, method, why)
            self._is_proved = True
        finally:
            self._proof.release()

    def _why_not_joined(self, method: str) -> str | None:
        if not self._joins or self._settings.max_batch_size == 1:
            return "batching is off"
        if self.runtime.joining != "prove":
            is_joined = self.runtime.joining == "always"
            return None if is_joined else "the function does not take the rows of several requests"
        try:
            tensors = draw(self.signature, list(self.runtime.example_rows()), PROBE_ROWS)
            joined = self._probe(method, tensors)
            rows = range(PROBE_ROWS)
            alone = [self._probe(method, {k: v[i : i + 1] for k, v in tensors.items()}) for i in rows]
        except DemijohnError as error:
            return f"the probe rows failed: {error.detail}"
        return agree(joined, alone)

    def _probe(self, method: str, tensors: Tensors) -> Tensors:
        # Under a load that fills the queue, joining is what is needed most.
        deadline = time.monotonic() + self._settings.deadline_s
        return self.batcher.submit(method, tensors, {}, deadline, is_probe=True)

    def plan(self) -> dict[str, Any]:
        """Tell which engine runs each method; in this stage always the framework itself."""
        methods = {
            method: [{"up_to_rows": None, "engine": "native", "us": None}] for method in self.runtime.methods
        }
        return {"state": "settled", "methods": methods, "refused": [], "kept_alone": dict(self.not_joined)}

    def run_alone(self, method: str, tensors: Tensors) -> Tensors:
        """Run a method in the calling thread, outside the queue; for measuring, never for requests."""
        return self._run(method, tensors, {})


def prove_in_background(predictors: Sequence[Predictor]) -> None:
    """Prove predictors one after another in a thread of low priority; returns at once."""

    def prove_all() -> None:
        if sys.platform == "linux":  # where each thread has its own niceness; a request comes first
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        for predictor in predictors:
            predictor.prove()

    threading.Thread(target=prove_all, name="demijohn-prover", daemon=True).start()


def _first_line(error: Exception) -> str:
    """Return what the model said, fit for a client: one line, no path of this machine."""
    lines = str(error).strip().splitlines()
    text = _PATH.sub("…", lines[0][:_LONGEST_LINE]) if lines else type(error).__name__
    return text[:_LONGEST_TEXT]
