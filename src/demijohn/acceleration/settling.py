"""From "the framework answers" to "the plan's winners answer", in the background.

Rules of this room:
1. A plan that was kept is believed: its key covers all that it depends on. Its engines are built, and
   nothing is proved or timed again. If one cannot be built after all, the plan is made anew.
2. A method's engines take over as soon as they are chosen; requests see either the old or the new.
3. A proof that the end of the process interrupts leaves no plan behind.
"""

from __future__ import annotations

import ctypes
import logging
import sys
from collections.abc import Callable, Mapping

from . import provers
from .cache import PlanCache
from .engine import Engine
from .engines import Engines
from .plan import NATIVE, Chosen, MethodPlan, Plan, Planner, Subject

logger = logging.getLogger("demijohn.acceleration")


def settle(
    subject: Subject,
    engines: Engines,
    key: str | None,
    cache: PlanCache | None,
    tell_waiting: Callable[[], None] = lambda: None,
) -> None:
    """Find the engines of a model; blocks until then.

    Args:
        subject: The model.
        engines: Learns of them.
        key: Of the model's plan; None where it may not be kept.
        cache: Where plans are kept; None where there is no safe place.
        tell_waiting: Called where another process proves the model, if it takes longer than a second.

    Raises:
        provers.Interrupted: the process ends.
    """
    if key is None or cache is None:
        _prove(subject, engines)
        return
    if take_kept(subject, engines, cache.read(key)):
        return
    with cache.turn(key, tell_waiting):
        if not take_kept(subject, engines, cache.read(key)):  # somebody proved it meanwhile
            cache.write(key, _prove(subject, engines))


def take_kept(subject: Subject, engines: Engines, plan: Plan | None) -> bool:
    """Use a plan that was kept, if there is one that can be used; says whether."""
    if plan is None or plan.methods.keys() != set(subject.methods):
        return False
    try:
        built = _build(subject, plan.methods)
    except Exception as error:  # noqa: BLE001  - converters are foreign code
        logger.warning("model %s: its plan is made anew: %s: %s", subject.name, type(error).__name__, error)
        return False
    subject.keep_alone(plan.kept_alone)
    for method, chosen in built.items():
        engines.take(method, chosen)
    engines.state = "settled"
    logger.debug("model %s: its plan was kept: %s", subject.name, describe(plan))
    return True


def _build(subject: Subject, plans: Mapping[str, MethodPlan]) -> dict[str, Chosen]:
    """Build the engines of a plan; raises whatever building one raises."""
    if not any(plan.engines for plan in plans.values()):
        return {method: Chosen(plan) for method, plan in plans.items()}
    candidates = {(one.method, one.engine): one for one in subject.candidates()}
    built = {}
    for method, plan in plans.items():
        found: dict[str, Engine] = {name: candidates[method, name].build() for name in plan.engines}
        built[method] = Chosen(plan, found)
    return built


def _prove(subject: Subject, engines: Engines) -> Plan:
    kept_alone = subject.prove_joining()
    subject.keep_alone(kept_alone)
    planner = Planner(subject)
    for method in subject.methods:
        chosen = planner.plan(method)
        provers.check()  # or what was broken off would count as proved
        engines.take(method, chosen)
    engines.state = "settled"
    plan = engines.plan(kept_alone)
    logger.info("model %s: %s", subject.name, describe(plan))
    for method, one in plan.methods.items():
        for refused in one.refused:
            logger.debug("model %s: %s by %s: %s", subject.name, method, refused.engine, refused.why)
    _give_memory_back()
    return plan


def _give_memory_back() -> None:
    """Return to the system what proving took: glibc keeps 300 MB after a forest of 7 million nodes."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "malloc_trim"):  # musl has none
            libc.malloc_trim(0)


def describe(plan: Plan) -> str:
    """Return one line: what runs each method, and how long a call with one row takes."""
    return "; ".join(f"{method} by {describe_method(one)}" for method, one in plan.methods.items())


def describe_method(plan: MethodPlan) -> str:
    """Return what runs a method: ``kernel up to 22 rows, then native (4.1 µs a row; native 4,480 µs)``."""
    names = [
        one.engine if one.up_to_rows is None else f"{one.engine} up to {one.up_to_rows} rows"
        for one in plan.ranges
    ]
    native_us = plan.times_us.get(NATIVE, (None,))[0]
    first = plan.ranges[0]
    times = [] if first.us is None else [f"{_us(first.us)} a row"]
    times += [f"{NATIVE} {_us(native_us)}"] if native_us is not None and first.engine != NATIVE else []
    return ", then ".join(names) + (f" ({'; '.join(times)})" if times else "")


def _us(us: float) -> str:
    return f"{us:.1f} µs" if us < 10 else f"{us:,.0f} µs"
