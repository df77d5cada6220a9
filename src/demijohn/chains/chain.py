"""A chain, served: its members' predictors one after another.

Rules of this room:
1. Where an engine runs every member in the request's own thread, the chain runs there. Else it waits
   in the chain's queue, and runs on the chain's thread, each member by its own plan.
2. Requests share a call of the chain only if every member lets them.
3. An error of a member names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any

from demijohn.batching import BatchObserver, Stream, Waiting
from demijohn.config import Settings
from demijohn.errors import DemijohnError, NotReady
from demijohn.lifecycle import Lifecycle, call_deadline
from demijohn.messages import InferenceResponse, Tensors, count_rows
from demijohn.predictor import Predictor, State

from .members import ChainRuntime, Member, Word, members_of


class ChainPredictor(Predictor):
    """Answers requests for a chain; see ``Predictor``.

    Args:
        name: Of the chain.
        version: Of the chain.
        words: Its members.
        find: Returns a member's current predictor; None where there is none.
        settings: For the queue and the deadline.
        lifecycle: Hears of calls in progress.
        observer: Hears of batches and the queue.
        batching: False keeps every request alone; None takes it from the settings.

    Raises:
        ConfigurationError: the members are not there, or do not fit.
    """

    runtime: ChainRuntime

    def __init__(
        self,
        name: str,
        version: str,
        words: Sequence[Word],
        find: Callable[[str], Predictor | None],
        settings: Settings,
        lifecycle: Lifecycle,
        observer: BatchObserver | None = None,
        batching: bool | None = None,
    ) -> None:
        found = {word.model: find(word.model) for word in words}
        known = {model: (one.version, one.runtime) for model, one in found.items() if one is not None}
        runtime = ChainRuntime(name, members_of(name, words, known.get))
        super().__init__(name, version, runtime, settings, lifecycle, observer, batching)
        self._steps = [(member, one) for member in runtime.members if (one := found[member.name])]
        self._handovers = [None, *runtime.handovers]  # before each member
        self._failure = ""

    # What it is -------------------------------------------------------------------------------

    @property
    def members(self) -> Sequence[Mapping[str, str | None]]:
        return [
            {"model": member.name, "version": member.version, "method": member.method}
            for member, _ in self._steps
        ]

    @property
    def state(self) -> State:
        if self._failure:
            return "failed"
        return next((one.state for _, one in self._steps if one.state != "ready"), self._state)

    @state.setter
    def state(self, state: State) -> None:
        self._state = state

    def fail(self, reason: str) -> None:
        """Answer nothing any more: a member is gone."""
        self._failure = reason

    def check_method(self, method: str) -> None:
        if self._failure:
            raise NotReady(f"Model {self.name!r} is failed: {self._failure}", headers={"Retry-After": "1"})
        super().check_method(method)
        for member, predictor in self._steps:
            predictor.check_method(member.step(method))

    @property
    def not_joined(self) -> Mapping[str, str]:
        found = {method: self._why_alone(method) for method in self.runtime.methods}
        return {method: why for method, why in found.items() if why is not None}

    def _why_alone(self, method: str) -> str | None:
        if not self._joins or self._settings.max_batch_size == 1:
            return "batching is off"
        for member, predictor in self._steps:
            step = member.step(method)
            if not predictor.joins(step):
                why = predictor.not_joined.get(step, "it has not been proved that its requests may be joined")
                return f"{member.name!r} is kept alone: {why}"
        return None

    def why_together(self, method: str) -> str | None:
        for member, predictor in self._steps:
            why = predictor.why_together(member.step(method))
            if why is not None:
                return f"{member.name!r}: {why}"
        return None

    def joins(self, method: str) -> bool:
        return self._joins and all(one.joins(member.step(method)) for member, one in self._steps)

    def plan(self) -> dict[str, Any]:
        """Tell who runs what: each member by its own plan."""
        plans = [(member, one.plan()) for member, one in self._steps]
        is_settled = all(plan["state"] == "settled" for _, plan in plans)
        return {
            "state": "settled" if is_settled else "proving",
            "methods": {
                method: _together([plan["methods"][member.step(method)] for member, plan in plans])
                for method in self.runtime.methods
            },
            "refused": [],
            "kept_alone": dict(self.not_joined),
        }

    # Nothing is proved of a chain: its members are.

    def settle(self, tell_waiting: Callable[[], None] = lambda: None) -> None:
        del tell_waiting

    def settle_if_known(self) -> None:
        """Leave it to the members."""

    def prove(self) -> None:
        """Leave it to the members."""

    # What it does -----------------------------------------------------------------------------

    def check_room(self, method: str) -> None:
        if not self.needs_no_queue(method):
            self.batcher.check_room()
        for member, predictor in self._steps:
            predictor.check_room(member.step(method))

    def needs_no_queue(self, method: str) -> bool:
        return all(one.needs_no_queue(member.step(method)) for member, one in self._steps)

    def answers_here(self, method: str, n_rows: int) -> bool:
        return all(one.answers_here(member.step(method), n_rows) for member, one in self._steps)

    def begin_answer(
        self, method: str, tensors: Tensors, parameters: Mapping[str, Any], deadline: float
    ) -> InferenceResponse | Waiting:
        start = monotonic()
        n_rows = count_rows(tensors)
        if not parameters and self.answers_here(method, n_rows):
            # Past the deadline, the queue knows what to say.
            outputs = self._run_engines(method, tensors, n_rows) if start < deadline else None
            if outputs is not None:
                inference_s, classes = monotonic() - start, self._classes[method]
                return InferenceResponse(
                    outputs, self.name, self.version, method, n_rows, classes, inference_s, start
                )
        if self.joins(method):
            self.batcher.allow_joining(method)
        respond = self._respond(method, n_rows, start)
        return Waiting(self.batcher, method, tensors, parameters, deadline, respond)

    def run_here(self, method: str, tensors: Tensors, n_rows: int) -> Tensors | None:
        start = monotonic()
        outputs = self._run_engines(method, tensors, n_rows) if self.answers_here(method, n_rows) else None
        if outputs is not None and self._observer is not None:
            self._observer.call_finished(method, n_rows, 1, monotonic() - start)
        return outputs

    def _run_engines(self, method: str, tensors: Tensors, n_rows: int) -> Tensors | None:
        """Run the members' engines in this thread; None: one of them is not sure of these rows."""
        given: Tensors | None = tensors
        for (member, predictor), handover in zip(self._steps, self._handovers, strict=True):
            if given is None:
                return None
            if handover is not None:
                given = handover(given)
            given = predictor.run_here(member.method or method, given, n_rows)
        return given

    def _run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        return self._pass_on(method, tensors, parameters, call_deadline.get())

    def _pass_on(
        self, method: str, tensors: Tensors, parameters: Mapping[str, Any], deadline: float
    ) -> Tensors:
        tensors = self._pass_to_last(method, tensors, deadline)
        return _answer(*self._steps[-1], method, tensors, parameters, deadline)

    def _pass_to_last(self, method: str, tensors: Tensors, deadline: float) -> Tensors:
        for (member, predictor), handover in zip(self._steps, self.runtime.handovers, strict=False):
            tensors = handover(_answer(member, predictor, method, tensors, {}, deadline))
        return tensors

    def open_stream(
        self, method: str, tensors: Tensors, parameters: Mapping[str, Any], deadline: float
    ) -> Stream:
        """Stream from the last member, whose thread is taken; the others answer as a whole."""
        tensors = self._pass_to_last(method, tensors, deadline)
        member, predictor = self._steps[-1]
        try:
            stream = predictor.open_stream(method, tensors, parameters, deadline)
        except DemijohnError as error:
            raise _named(error, member) from error
        stream.tell_as(lambda error: _named(error, member))
        return stream


def _answer(
    member: Member,
    predictor: Predictor,
    method: str,
    tensors: Tensors,
    parameters: Mapping[str, Any],
    deadline: float,
) -> Tensors:
    try:
        response = predictor.answer(member.step(method), tensors, parameters, deadline)
    except DemijohnError as error:
        raise _named(error, member) from error
    predictor.count(response)
    return response.outputs


def _named(error: DemijohnError, member: Member) -> DemijohnError:
    """Return an error of the same kind that says in whom it happened."""
    # An operator's own subclass may be made in another way; our classes are all made alike.
    kind = next(one for one in type(error).__mro__ if one.__module__ == DemijohnError.__module__)
    named: DemijohnError = kind(
        f"model {member.name!r}: {error.detail}", errors=error.errors, headers=error.headers
    )
    named.status, named.code, named.title = error.status, error.code, error.title
    return named


def _together(plans: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Lay the ranges of several plans over each other: engines in a row, times added up."""
    limits = sorted({one["up_to_rows"] for plan in plans for one in plan if one["up_to_rows"] is not None})
    ranges = []
    for limit in [*limits, None]:
        there = [_at(plan, limit) for plan in plans]
        times = [one["us"] for one in there]
        ranges.append(
            {
                "up_to_rows": limit,
                "engine": " + ".join(one["engine"] for one in there),
                "us": None if None in times else sum(times),
            }
        )
    return ranges


def _at(plan: Sequence[Mapping[str, Any]], limit: int | None) -> Mapping[str, Any]:
    for one in plan:
        most = one["up_to_rows"]
        if most is None or (limit is not None and limit <= most):
            return one
    return plan[-1]
