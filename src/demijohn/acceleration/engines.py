"""The engines of one model, as a request meets them: who runs these rows?

Rules of this room:
1. Choosing takes no lock: every change builds a new table and swaps one reference.
2. An engine that fails in another way than by stepping aside is let go, at once and for good: the
   framework answers in its place, and the plan says why.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from .engine import Engine
from .plan import NATIVE, SIZES, Chosen, MethodPlan, Plan, Range, Refused, unplanned

logger = logging.getLogger("demijohn.acceleration")

State = Literal["proving", "settled"]
#: The most rows, ascending, and what runs calls of so many; None is the framework.
Table = tuple[tuple[float, Engine | None], ...]

#: A whole engine runs longer calls on the model's thread: there a hand-over costs little, and the
#: deadline, the queue's bounds and the supervisor hold.
LONGEST_OWN_S = 0.01


class Engines:
    """What runs each method of one model version.

    Args:
        methods: Of the model.
        state: "settled" where nothing will be proved.
    """

    def __init__(self, methods: Sequence[str], state: State) -> None:
        self.state: State = state
        self._lock = threading.Lock()
        self._plans = {method: unplanned() for method in methods}
        self._dropped: list[Refused] = []
        self._tables: dict[str, Table] = {}
        self._own: dict[str, Table] = {}
        #: Methods whose requests may be answered without waiting for the model's thread.
        self.whole: frozenset[str] = frozenset()

    def choose(self, method: str, n_rows: int) -> Engine | None:
        """Return what runs a call on the model's thread; None is the framework."""
        for most_rows, engine in self._tables.get(method, ()):
            if n_rows <= most_rows:
                return engine
        return None

    def choose_own(self, method: str, n_rows: int) -> Engine | None:
        """Return what may run a call in the request's own thread; None: nothing may."""
        if n_rows:  # none is the framework's to refuse
            for most_rows, engine in self._own.get(method, ()):
                if n_rows <= most_rows:
                    return engine
        return None

    def take(self, method: str, chosen: Chosen) -> None:
        """Use what was chosen for a method, from now on."""
        table = tuple((_limit(one), chosen.engines.get(one.engine)) for one in chosen.plan.ranges)
        with self._lock:
            self._plans = {**self._plans, method: chosen.plan}
            self._set_table(method, table)

    def drop(self, method: str, engine: Engine, error: Exception) -> None:
        """Let an engine go that failed."""
        with self._lock:
            table = self._tables.get(method, ())
            if all(one is not engine for _, one in table):
                return  # another thread met it too
            why = f"failed with {type(error).__name__}"
            self._dropped = [*self._dropped, Refused(engine.name, method, why)]
            ranges = tuple(
                Range(one.up_to_rows, NATIVE, None) if one.engine == engine.name else one
                for one in self._plans[method].ranges
            )
            plan = self._plans[method]
            self._plans = {**self._plans, method: MethodPlan(_merged(ranges), plan.refused, plan.times_us)}
            self._set_table(method, tuple((most, None if one is engine else one) for most, one in table))
        logger.error("engine %s failed in %s and is not used any more", engine.name, method, exc_info=error)

    def _set_table(self, method: str, table: Table) -> None:
        times = self._plans[method].times_us
        own = tuple(entry for most_rows, engine in table for entry in _own_entries(most_rows, engine, times))
        self._tables = {**self._tables, method: table}
        self._own = {**self._own, method: own}
        is_whole = any(engine is not None for _, engine in own)
        self.whole = self.whole | {method} if is_whole else self.whole - {method}

    def times_us(self, method: str) -> Mapping[str, Mapping[int, float | None]]:
        """Return the measured times of a method, by engine and rows per call, in microseconds."""
        times = self._plans[method].times_us
        return {engine: dict(zip(SIZES, us, strict=True)) for engine, us in times.items()}

    def plan(self, kept_alone: Mapping[str, str]) -> Plan:
        """Return the plan as it is now."""
        return Plan(dict(self._plans), dict(kept_alone))

    def as_json(self) -> dict[str, Any]:
        """Return the plan as ``GET /models/{name}`` has it."""
        refused = [one for plan in self._plans.values() for one in plan.refused]
        return {
            "state": self.state,
            "methods": {
                method: [
                    {"up_to_rows": one.up_to_rows, "engine": one.engine, "us": one.us} for one in plan.ranges
                ]
                for method, plan in self._plans.items()
            },
            "refused": [
                {"engine": one.engine, "method": one.method, "why": one.why}
                for one in [*refused, *self._dropped]
            ],
        }


def _limit(one: Range) -> float:
    return math.inf if one.up_to_rows is None else one.up_to_rows


def _merged(ranges: Sequence[Range]) -> tuple[Range, ...]:
    merged: list[Range] = []
    for one in ranges:
        if merged and merged[-1].engine == one.engine:
            merged[-1] = Range(one.up_to_rows, one.engine, merged[-1].us)
        else:
            merged.append(one)
    return tuple(merged)


def _own_entries(
    most_rows: float, engine: Engine | None, times: Mapping[str, Sequence[float | None]]
) -> Table:
    """Return what a request's own thread may run of one range."""
    if engine is None or not engine.is_whole:
        return ((most_rows, None),)
    most_own_rows = _most_own_rows(times.get(engine.name, ()))
    return ((min(most_rows, most_own_rows), engine), (most_rows, None))


def _most_own_rows(times: Sequence[float | None]) -> float:
    """Return how many rows an engine should run within ``LONGEST_OWN_S``, by its times."""
    us = times[-1] if times else None
    return math.inf if not us else max(1.0, SIZES[-1] * LONGEST_OWN_S * 1e6 / us)
