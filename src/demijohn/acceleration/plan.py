"""Which engine runs a method for how many rows: proved, then measured, never believed.

Rules of this room:
1. No engine is used before ``parity`` has found nothing against it. One that is beaten by far, with
   one row and with many, by another that is proved will not be used, and need not be proved.
2. A time is what one call of ``run`` costs, the best of several, in microseconds. What is around
   it is not counted, such as the hand-over to the model's own thread (some 17 µs), which the
   framework needs and a whole engine does not.
3. Engines within a tenth of each other count as equally fast: the framework itself is then kept (in the
   request's own thread where it can run there), else the engine that runs a smaller number of rows already.
4. One candidate's failure, of whatever kind, costs only that candidate.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from msgspec import Struct

from demijohn.messages import Array, Tensors
from demijohn.refusal_texts import named_line
from demijohn.signature import Signature

from . import edges, parity, provers
from .cores import OneCore
from .engine import Candidate, Engine, Part, Step, StepAside, Unconvertible

logger = logging.getLogger("demijohn.acceleration")

NATIVE = "native"  #: The framework itself.
SIZES = (1, 8, 64, 512)  #: Rows per call that are timed ...
BORDERS = (2, 22, 181, None)  #: ... and the most rows that each stands for: the geometric middles.

_EQUALLY_FAST = 1.1
_BEATEN = 3.0
_SHORT_S = 0.02  # for one time
_LONG_S = 0.25  # no call of the framework should take longer: requests wait behind it
_LEAST_CALLS, _MOST_CALLS = 3, 1_000
_PROOF_S = 10.0  # that the framework computes for the proofs of all methods, about


class Range(Struct, frozen=True, forbid_unknown_fields=True):
    """What runs calls of up to so many rows."""

    up_to_rows: int | None  #: None: any number.
    engine: str
    us: float | None  #: Of one call with the smallest timed number of rows; None: not measured.


class Refused(Struct, frozen=True, forbid_unknown_fields=True):
    """An engine that is not used, and why."""

    engine: str
    method: str
    why: str


class MethodPlan(Struct, frozen=True, forbid_unknown_fields=True):
    """What runs one method."""

    ranges: tuple[Range, ...]
    refused: tuple[Refused, ...] = ()
    times_us: dict[str, tuple[float | None, ...]] = {}  #: By engine, of a call with each of ``SIZES`` rows.

    @property
    def engines(self) -> list[str]:
        """Names of the engines in use, without the framework."""
        return list(dict.fromkeys(one.engine for one in self.ranges if one.engine != NATIVE))


class Plan(Struct, frozen=True, forbid_unknown_fields=True):
    """What runs a model."""

    methods: dict[str, MethodPlan]
    kept_alone: dict[str, str]  #: Methods whose requests are not joined, and why.


class Subject(Protocol):
    """A model, as far as planning needs to know it."""

    name: str  #: For the log.
    methods: tuple[str, ...]
    signature: Signature

    def candidates(self) -> Sequence[Candidate]:
        """Return every engine that might suit a method."""

    def example(self) -> Tensors:
        """Return the example's rows."""

    def draw(self, n_rows: int, seed: int, method: str | None = None) -> Tensors:
        """Draw ordinary rows that a method takes; None: the first one."""

    def run_native(self, method: str, tensors: Tensors) -> tuple[Tensors, float]:
        """Run the framework itself, on the model's thread; returns how many seconds it took, too.

        Raises:
            Exception: whatever the framework raised.
        """

    def prove_joining(self) -> dict[str, str]:
        """Find out which methods must not share a call, and why."""

    def keep_alone(self, methods: Mapping[str, str]) -> None:
        """Let requests of all other methods share a call."""


@dataclass(slots=True)
class Chosen:
    """What came of planning one method."""

    plan: MethodPlan
    engines: dict[str, Engine] = field(default_factory=dict)  #: Those in use, by name.


def unplanned() -> MethodPlan:
    """Return the plan of a method of which nothing is known: the framework runs it."""
    return MethodPlan((Range(None, NATIVE, None),))


class Planner:
    """Proves and times the engines of one model, method by method."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._candidates = subject.candidates()
        self._probe_sets = None if not self._candidates else _probe_sets(subject)
        self._verdicts: dict[tuple[int, str, str], _PartVerdict] = {}
        self._part_references: dict[tuple[int, str], parity.Reference] = {}
        self._on_one_core = OneCore()

    def plan(self, method: str) -> Chosen:
        """Find the engines of one method.

        Raises:
            provers.Interrupted: the process ends.
        """
        try:
            times = _time_native(self._subject, method)
        except Exception as error:  # noqa: BLE001  - the model is foreign code
            logger.debug("%s: %s fails on drawn rows: %s", self._subject.name, method, error)
            return self._give_up(method, f"{method} fails on rows like the example, so nothing can be proved")
        trial = _Trial(self._subject, method, times)
        candidates = [one for one in self._candidates if one.method == method]
        reference = self._reference(method) if candidates else None
        for candidate in candidates:
            provers.check()
            try:
                self._try(candidate, trial, reference)
            except Unconvertible as error:
                trial.refuse(candidate.engine, str(error))
            except Exception as error:
                # Converters are foreign code too, and meet models that nobody foresaw.
                logger.debug(
                    "%s: %s for %s failed", self._subject.name, candidate.engine, method, exc_info=True
                )
                trial.refuse(candidate.engine, f"failed with {named_line(error)}")
        self._part_references.clear()  # of answers and rows they hold some hundred MB
        return trial.decide()

    def _try(self, candidate: Candidate, trial: _Trial, reference: parity.Reference | None) -> None:
        engine = candidate.build()
        if candidate.is_framework:
            trial.prefer(candidate.engine)
        why_not = trial.why_beaten(engine) or self._why_not(engine, reference)
        trial.enter(candidate.engine, engine, why_not)

    def _give_up(self, method: str, why: str) -> Chosen:
        refused = tuple(Refused(one.engine, method, why) for one in self._candidates if one.method == method)
        return Chosen(MethodPlan(unplanned().ranges, refused))

    def _reference(self, method: str) -> parity.Reference:
        subject = self._subject

        def native(tensors: Tensors) -> Tensors:
            return subject.run_native(method, tensors)[0]

        return parity.Reference(native, self._probe_sets or [], budget_s=self._share_s())

    def _share_s(self) -> float:
        return _PROOF_S / 2 / len(self._subject.methods)

    def _why_not(self, engine: Engine, reference: parity.Reference | None) -> str | None:
        for part in engine.parts:
            key = (id(part.estimator), part.method, engine.name)
            if key not in self._verdicts:  # ``predict`` and ``predict_proba`` may have the same part
                self._verdicts[key] = _PartVerdict(part.estimator, self._judge_part(part, engine.tolerance))
            if (why := self._verdicts[key].why_not) is not None:
                return why
        return None if reference is None else reference.judge(_Watched.of(engine)).why_not

    def _judge_part(self, part: Part, tolerance: float) -> str | None:
        key = (id(part.estimator), part.method)
        with self._on_one_core():
            if key not in self._part_references:  # one for the engines of all kinds
                self._part_references[key] = parity.part_reference(part, budget_s=self._share_s())
            watched = replace(part, step=_watched(part.step))
            return parity.judge_part(
                watched, tolerance=tolerance, reference=self._part_references[key]
            ).why_not


@dataclass(frozen=True, slots=True)
class _PartVerdict:
    estimator: Any  #: Held, so that no other gets its ``id``.
    why_not: str | None


@dataclass(slots=True)
class _Watched:
    """An engine that is being proved: once the process ends, it runs no more."""

    name: str
    is_whole: bool
    tolerance: float
    parts: tuple[Part, ...]
    run: Callable[[Tensors], Tensors]

    @classmethod
    def of(cls, engine: Engine) -> _Watched:
        def run(tensors: Tensors) -> Tensors:
            provers.check()
            return engine.run(tensors)

        return cls(engine.name, engine.is_whole, engine.tolerance, engine.parts, run)


def _watched(step: Step) -> Step:
    def run(rows: Array) -> Array:
        provers.check()
        return step(rows)

    return run


def _probe_sets(subject: Subject) -> list[edges.ProbeSet]:
    return edges.probe_sets(subject.signature, subject.example(), subject.draw)


class _Trial:
    """The engines of one method, and what is known of each."""

    def __init__(self, subject: Subject, method: str, native_us: list[tuple[float, bool]]) -> None:
        self._method = method
        self._rows = [subject.draw(n_rows, 0, method) for n_rows in SIZES]
        self._native_us = native_us
        self._engines: dict[str, Engine] = {}
        self._times: dict[str, list[float]] = {NATIVE: [us for us, _ in native_us]}
        self._refused: list[Refused] = []
        self._measured: dict[tuple[str, int], float] = {}
        self._preferred: list[str] = []

    def prefer(self, engine: str) -> None:
        """Take an engine, rather than the framework as such, wherever it is as fast."""
        self._preferred.append(engine)

    def refuse(self, engine: str, why: str) -> None:
        self._refused.append(Refused(engine, self._method, why))

    def why_beaten(self, engine: Engine) -> str | None:
        """Say, before an engine is proved, who beats it by far with the fewest rows and with the most."""
        try:
            least, most = (self._time(engine, index) for index in (0, len(SIZES) - 1))
        except StepAside:
            return None  # whether that is right will be seen
        for name, times in self._times.items():
            if times[0] * _BEATEN < least and times[-1] * _BEATEN < most:
                return (
                    f"nowhere the fastest, so it was not proved: {least:g} µs for one row and {most:g} for "
                    f"{SIZES[-1]}, {name} takes {times[0]:g} and {times[-1]:g}"
                )
        return None

    def enter(self, name: str, engine: Engine, why_not: str | None) -> None:
        """Time an engine, unless something was found against it."""
        if why_not is None:
            try:
                self._times[name] = [self._time(engine, index) for index in range(len(SIZES))]
                self._engines[name] = engine
                return
            except StepAside:
                why_not = "leaves rows like the example to the framework"
        self.refuse(name, why_not)

    def _time(self, engine: Engine, index: int) -> float:
        """Time an engine once with each of ``SIZES``."""
        key = engine.name, index
        if key not in self._measured:
            self._measured[key] = _time_engine(engine, self._rows[index])
        return self._measured[key]

    def decide(self) -> Chosen:
        """Choose for each number of rows; the engines that win nowhere are let go."""
        winners = _winners(self._times, self._preferred)
        shown = {
            name: tuple(us if name != NATIVE or self._native_us[i][1] else None for i, us in enumerate(times))
            for name, times in self._times.items()
        }
        for name in self._engines.keys() - set(winners):
            one, best = self._times[name][0], self._times[winners[0]][0]
            self.refuse(
                name,
                "equal, but nowhere the fastest by a tenth: "
                f"{one:g} µs for one row, {winners[0]} takes {best:g}",
            )
        ranges = _ranges(winners, [shown[winner][index] for index, winner in enumerate(winners)])
        used = {name: engine for name, engine in self._engines.items() if name in winners}
        return Chosen(MethodPlan(ranges, tuple(self._refused), shown), used)


def _ranges(winners: Sequence[str], times: Sequence[float | None]) -> tuple[Range, ...]:
    """Give each winner the rows that its size stands for; neighbours of one engine become one."""
    ranges: list[Range] = []
    for border, winner, us in zip(BORDERS, winners, times, strict=True):
        if ranges and ranges[-1].engine == winner:
            ranges[-1] = Range(border, winner, ranges[-1].us)
        else:
            ranges.append(Range(border, winner, us))
    return tuple(ranges)


def _winners(times: Mapping[str, Sequence[float]], preferred: Sequence[str] = ()) -> list[str]:
    """Return the engine for each of ``SIZES``."""
    winners: list[str] = []
    for index in range(len(SIZES)):
        now = {name: us[index] for name, us in times.items()}
        best = min(now, key=now.__getitem__)
        favourites = (*preferred, NATIVE, *winners[-1:])
        equal = [name for name in favourites if name in now and now[name] <= now[best] * _EQUALLY_FAST]
        winners.append(equal[0] if equal else best)
    return winners


# Times ----------------------------------------------------------------------------------------


def _time_native(subject: Subject, method: str) -> list[tuple[float, bool]]:
    """Return microseconds per call by ``SIZES``, and whether each was measured.

    A size for which a call would hold up requests for long is estimated from the two before it.
    """
    times: list[tuple[float, bool]] = []
    for n_rows in SIZES:
        expected_us = _extrapolate([us for us, _ in times], n_rows)
        if expected_us > _LONG_S * 1e6:
            times.append((expected_us, False))
            continue
        tensors = subject.draw(n_rows, 0, method)
        times.append((_best_us(lambda rows=tensors: subject.run_native(method, rows)[1]), True))  # type: ignore[misc]
    return times


def _extrapolate(times: Sequence[float], n_rows: int) -> float:
    if not times:
        return 0.0
    last = times[-1]
    if len(times) == 1:
        return last
    sizes = SIZES[len(times) - 2 : len(times)]
    per_row = max(0.0, last - times[-2]) / (sizes[1] - sizes[0])
    return round(last + per_row * (n_rows - sizes[1]), 1)


def _time_engine(engine: Engine, tensors: Tensors) -> float:
    def call() -> float:
        start = time.perf_counter()
        engine.run(tensors)
        return time.perf_counter() - start

    return _best_us(call)


def _best_us(call: Callable[[], float]) -> float:
    """Return the least of some calls' seconds, in microseconds: the least disturbed is the truest."""
    best = spent = call()
    n_calls = 1
    while spent < _LONG_S and (n_calls < _LEAST_CALLS or (spent < _SHORT_S and n_calls < _MOST_CALLS)):
        provers.check()
        seconds = call()
        best, spent, n_calls = min(best, seconds), spent + seconds, n_calls + 1
    return round(best * 1e6, 1)
