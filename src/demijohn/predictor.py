"""One version of one model, ready to answer: signature, engines, queue, runtime.

Rules of this room:
1. The way of a prediction is one straight street: method, parameters, signature; then a proved
   engine in the request's own thread, or the queue and, on the model's thread, an engine or the
   framework itself. Where an engine steps aside or fails, the framework answers that very request.
2. Requests share a call only by a method that has been proved to treat rows one by one.
3. What a model raises becomes either "it refused these rows" (422) or "it failed" (500); its text
   reaches the client only in the first case, first line only, without paths.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import Any, Literal, cast

from msgspec.structs import replace

from .acceleration import Engine, Engines, StepAside, open_cache, settle, take_kept
from .batching import Batcher, BatchObserver, Stream, Waiting
from .config import Settings
from .errors import DemijohnError, MethodNotFound, ModelError, ModelRefused, NotReady, ParameterMismatch
from .lifecycle import Lifecycle
from .messages import InferenceRequest, InferenceResponse, Tensors, count_rows
from .named_outputs import gather, methods_by_name
from .planning import Once, Probe, Subject, kept_plan, may_plan, plan_key, shown_rows
from .refusal_texts import TOLD_AS_THEY_ARE, first_line
from .runtimes.base import Runtime, StreamingRuntime

logger = logging.getLogger("demijohn")

State = Literal["loading", "ready", "failed"]


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
        self._signatures = {method: runtime.signature.of(method) for method in runtime.methods}
        self.streams: frozenset[str] = frozenset(getattr(runtime, "streams", ()))
        self._state: State = "ready"
        self._settings = settings
        self._joins = settings.batching if batching is None else batching
        self._classes = {method: runtime.classes(method) for method in runtime.methods}
        self._observer: BatchObserver | None = observer
        self._proof = Once()
        self._engines = Engines(runtime.methods, "proving" if may_plan(runtime, settings) else "settled")
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
        self._subject = Subject(f"{name}/{version}", runtime, settings, self.batcher, joins=self._joins)

    @property
    def members(self) -> Sequence[Mapping[str, str | None]]:
        """Return the models that this one is a chain of: model, version, method."""
        return ()

    @property
    def state(self) -> State:
        """Return whether it answers."""
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        self._state = state

    @property
    def not_joined(self) -> Mapping[str, str]:
        """Why a method's requests are kept alone, by method."""
        return self._subject.not_joined

    @property
    def deadline_s(self) -> float:
        """Return how long an answer may take, in seconds."""
        return self._settings.deadline_s

    @property
    def max_pixels(self) -> int:
        """Return how many pixels the images of one request may have."""
        return self._settings.max_pixels

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
        begun = self.begin(method, request, deadline)
        return begun.wait() if isinstance(begun, Waiting) else begun

    def begin(self, method: str, request: InferenceRequest, deadline: float) -> InferenceResponse | Waiting:
        """Answer one request, or say that its rows are for the queue; see ``predict``.

        Args:
            method: That has passed ``check_method``.
            request: Decoded, not yet checked.
            deadline: On ``time.monotonic()``'s clock.
        """
        inputs, parameters = request.inputs, request.parameters
        if parameters:
            self._check_parameters(method, parameters)
        return self.begin_answer(method, self._signatures[method].validate(inputs), parameters, deadline)

    def predict_each(self, request: InferenceRequest, deadline: float) -> InferenceResponse:
        """Answer by each method that a request names, as ``named_outputs.gather`` has it; see ``predict``."""
        names = methods_by_name(request.methods, self.runtime.methods, self.signature)
        methods = dict.fromkeys(names.values())
        for method in methods:
            self.check_method(method)
            self._check_parameters(method, request.parameters)
        # Once by each signature: most models have one for all methods.
        signatures = {id(one): one for one in map(self._signatures.__getitem__, methods)}
        checked = {key: signature.validate(request.inputs) for key, signature in signatures.items()}
        answers = [
            self.answer(method, checked[id(self._signatures[method])], request.parameters, deadline)
            for method in methods
        ]
        for answer in answers[1:]:
            self.count(answer)  # of the first, whoever asks tells the metrics
        outputs = gather(names, {answer.method: answer.outputs for answer in answers})
        classes = next((answer.classes for answer in answers if answer.classes is not None), None)
        return replace(answers[0], outputs=outputs, classes=classes)

    def answer(
        self, method: str, tensors: Tensors, parameters: Mapping[str, Any], deadline: float
    ) -> InferenceResponse:
        """Answer tensors that fit the signature; see ``predict``."""
        begun = self.begin_answer(method, tensors, parameters, deadline)
        return begun.wait() if isinstance(begun, Waiting) else begun

    def begin_answer(
        self, method: str, tensors: Tensors, parameters: Mapping[str, Any], deadline: float
    ) -> InferenceResponse | Waiting:
        """Answer tensors that fit the signature, or say that they are for the queue; see ``begin``."""
        start = monotonic()
        n_rows = count_rows(tensors)
        engine = None if parameters else self._engines.choose_own(method, n_rows)
        if engine is not None:
            # Past the deadline, the queue knows what to say.
            outputs = self._try(engine, method, tensors) if start < deadline else None
            if outputs is not None:
                inference_s = monotonic() - start
                classes = self._classes[method]
                return InferenceResponse(
                    outputs, self.name, self.version, method, n_rows, classes, inference_s, start
                )
        return Waiting(
            self.batcher, method, tensors, parameters, deadline, self._respond(method, n_rows, start)
        )

    def _respond(self, method: str, n_rows: int, start: float) -> Callable[[Tensors], InferenceResponse]:
        """Return what makes the queue's outputs an answer."""
        return partial(
            InferenceResponse, model=self.name, version=self.version, method=method, n_rows=n_rows,
            classes=self._classes[method], inference_s=None, asked=start,
        )  # fmt: skip

    def stream(self, method: str, request: InferenceRequest, deadline: float) -> Stream:
        """Answer one request item by item; blocks until the first item is there.

        What the model raises comes from the stream, in the place of an item: also for the first.

        Args:
            method: One of ``streams``.
            request: Decoded, not yet checked.
            deadline: Of the first item, on ``time.monotonic()``'s clock.

        Raises:
            RequestError: as ``predict``.
            ServerError: as ``predict``.
        """
        self.check_method(method)
        if method not in self.streams:
            raise MethodNotFound(f"{method} of model {self.name!r} does not answer item by item")
        if request.parameters:
            self._check_parameters(method, request.parameters)
        tensors = self._signatures[method].validate(request.inputs)
        return self.open_stream(method, tensors, request.parameters, deadline)

    def open_stream(
        self, method: str, tensors: Tensors, parameters: Mapping[str, Any], deadline: float
    ) -> Stream:
        """Answer tensors that fit the signature item by item; see ``stream``."""
        start = partial(self._items, method, tensors, parameters)
        return self.batcher.open(method, tensors, start, deadline, self.deadline_s)

    def _items(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Iterator[Any]:
        """Yield a call's items on the model's thread."""
        runtime = cast(StreamingRuntime, self.runtime)
        try:
            yield from runtime.stream(method, tensors, parameters)
        except TOLD_AS_THEY_ARE:
            raise
        except Exception as error:  # the model is foreign code
            raise self._told(method, error) from error

    def example_rows(self, method: str) -> list[Any]:
        """Return rows that a method accepts, for people to send; see ``shown_rows``."""
        return shown_rows(self.runtime, method)

    def count(self, response: InferenceResponse) -> None:
        """Count a call that nobody else has counted: that of an engine, for a caller in Python."""
        if self._observer is not None and response.inference_s is not None:
            self._observer.call_finished(response.method, response.n_rows, 1, response.inference_s)

    def _try(self, engine: Engine, method: str, tensors: Tensors) -> Tensors | None:
        """Run an engine; None: the framework is to answer these rows."""
        try:
            return engine.run(tensors)
        except StepAside:
            return None
        except Exception as error:  # noqa: BLE001  - whatever it is, the framework can still answer
            self._engines.drop(method, engine, error)
            return None

    def check_room(self, method: str) -> None:
        """Refuse, before its body is read, a request that would have to wait for too long.

        Raises:
            QueueFull: too much waits, and no engine answers this method beside the queue.
        """
        if method not in self._engines.whole:
            self.batcher.check_room()

    def needs_no_queue(self, method: str) -> bool:
        """Say whether some requests of a method are answered in their own thread."""
        return method in self._engines.whole

    def answers_here(self, method: str, n_rows: int) -> bool:
        """Say whether so many rows, without parameters, are answered in the request's own thread."""
        return self._engines.choose_own(method, n_rows) is not None

    def run_here(self, method: str, tensors: Tensors, n_rows: int) -> Tensors | None:
        """Run an engine in this thread, and count the call; None: these rows are for the queue."""
        engine = self._engines.choose_own(method, n_rows)
        if engine is None:
            return None
        start = monotonic()
        outputs = self._try(engine, method, tensors)
        if outputs is not None and self._observer is not None:
            self._observer.call_finished(method, n_rows, 1, monotonic() - start)
        return outputs

    def joins(self, method: str) -> bool:
        """Say whether requests of a method may share a call, as far as is known by now."""
        return self.batcher.joins(method)

    def why_together(self, method: str) -> str | None:
        """Return why all rows of a request must share a call; None: they may be run piece by piece.

        The first to ask waits for probes to run, where the model has not been proved yet.
        """
        return None if self.joins(method) else self._subject.why_together(method)

    def check_method(self, method: str) -> None:
        """Refuse a method before its request costs anything.

        Raises:
            MethodNotFound: the model does not have it.
            NotReady: the model cannot answer now.
        """
        if self._state != "ready":
            raise NotReady(f"Model {self.name!r} is {self._state}", headers={"Retry-After": "1"})
        if method not in self.runtime.methods:
            known = ", ".join(self.runtime.methods)
            raise MethodNotFound(f"Model {self.name!r} has no such method; it has: {known}")

    def _check_parameters(self, method: str, parameters: Mapping[str, Any]) -> None:
        for name in parameters:
            if name not in self.runtime.parameters(method):
                known = ", ".join(self.runtime.parameters(method)) or "none"
                raise ParameterMismatch(f"{method} takes no parameter {name[:100]!r}; it takes: {known}")

    def _run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        """Run a call on the model's thread."""
        if isinstance(parameters, Probe):
            return parameters.run(self.runtime, method, tensors)
        engine = None if parameters else self._engines.choose(method, count_rows(tensors))
        outputs = None if engine is None else self._try(engine, method, tensors)
        return self._run_native(method, tensors, parameters) if outputs is None else outputs

    def _run_native(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        try:
            return self.runtime.run(method, tensors, parameters)
        except TOLD_AS_THEY_ARE:
            raise
        except Exception as error:  # the model is foreign code
            raise self._told(method, error) from error

    def _told(self, method: str, error: Exception) -> DemijohnError:
        """Return what a client is told of what the model raised; see rule 3."""
        if isinstance(error, self.runtime.refusals):
            return ModelRefused(first_line(error))
        logger.error("model %s/%s failed in %s", self.name, self.version, method, exc_info=error)
        return ModelError(f"The model failed with {type(error).__name__}")

    # Proof ------------------------------------------------------------------------------------

    def settle(self, tell_waiting: Callable[[], None] = lambda: None) -> None:
        """Find out what runs each method, and which may be joined; once, in whichever thread is first.

        What was found out before, by whatever process of this user, is taken from the plan's file.

        Args:
            tell_waiting: Called where another process is finding it out, if that takes a while.

        Raises:
            provers.Interrupted: the process ends; the framework goes on answering.
        """
        with self._proof.first() as is_first:
            if not is_first:
                return
            try:
                self._settle(tell_waiting)
            except Exception:
                # Foreign code again. The framework goes on answering, alone where nothing is proved.
                logger.exception("model %s/%s: no plan could be made", self.name, self.version)
            self._engines.state = "settled"
            self._proof.is_done = True

    def _settle(self, tell_waiting: Callable[[], None]) -> None:
        if not may_plan(self.runtime, self._settings):
            self._subject.keep_alone(self._subject.prove_joining())
            return
        key = plan_key(self.runtime, self._settings, joins=self._joins)
        settle(self._subject, self._engines, key, open_cache() if key else None, tell_waiting)

    def settle_if_known(self) -> None:
        """Use the plan's file where there is one; nothing is proved."""
        with self._proof.first() as is_first:
            if is_first:
                plan = kept_plan(self.runtime, self._settings, joins=self._joins)
                self._proof.is_done = take_kept(self._subject, self._engines, plan)

    def prove(self) -> None:
        """Find out which methods may be joined; once, in whichever thread comes first."""
        with self._proof.first() as is_first:
            if is_first:
                self._subject.keep_alone(self._subject.prove_joining())
                self._proof.is_done = True

    def plan(self) -> dict[str, Any]:
        """Tell which engine runs each method, which are not used, what is never joined, and who loads it."""
        return {
            **self._engines.as_json(),
            "kept_alone": dict(self.not_joined),
            "survives_fork": self.runtime.survives_fork,
        }

    def times_us(self, method: str) -> Mapping[str, Mapping[int, float | None]]:
        """Return the measured times of a method, by engine and rows per call, in microseconds."""
        return self._engines.times_us(method)

    def run_alone(self, method: str, tensors: Tensors) -> Tensors:
        """Run the framework in the calling thread, outside the queue; for measuring, never for requests."""
        return self._run_native(method, tensors, {})
