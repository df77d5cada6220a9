"""Claims about threads, loads and memory."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

from demijohn.messages import Tensors
from demijohn.runtimes.base import Runtime

from .subject import Finding, Subject, copied, difference, told

_N_THREADS = 4
_N_ROUNDS = 5
_PATIENCE_S = 60.0
_EAGER_S = 1e-4


def is_thread_safe(subject: Subject) -> Iterator[Finding]:
    """Four threads that call at a time get the answers that each gets alone."""
    for method in subject.runtime.methods:
        inputs = [subject.rows(method, 3, seed) for seed in range(_N_THREADS)]
        expected = [subject.run(method, tensors) for tensors in inputs]
        try:
            answers = _at_a_time([partial(subject.run, method, tensors) for tensors in inputs])
        except Exception as error:  # noqa: BLE001  - foreign code, as above
            yield Finding(method, f"{_N_THREADS} answers at a time", told(error))
            continue
        for index, answer in answers:
            differs = difference(answer, expected[index], inputs[index])
            if differs:
                yield Finding(method, f"the same answers to {_N_THREADS} threads as to one", differs)
                break


def _at_a_time(calls: Sequence[Callable[[], Tensors]]) -> list[tuple[int, Tensors]]:
    """Make each call in a thread of its own, several times, all threads together; returns the answers."""
    together = threading.Barrier(len(calls))

    def work(index: int) -> list[tuple[int, Tensors]]:
        answers = []
        for _ in range(_N_ROUNDS):
            together.wait(_PATIENCE_S)
            answers.append((index, calls[index]()))
        return answers

    def guarded(index: int) -> list[tuple[int, Tensors]]:
        try:
            return work(index)
        except BaseException:
            together.abort()  # nobody waits for this one
            raise

    with _eager_threads(), ThreadPoolExecutor(len(calls)) as pool:
        futures = [pool.submit(guarded, index) for index in range(len(calls))]
        errors = [error for error in (future.exception() for future in futures) if error is not None]
        if errors:
            raise min(errors, key=lambda error: isinstance(error, threading.BrokenBarrierError))
        return [answer for future in futures for answer in future.result()]


@contextmanager
def _eager_threads() -> Iterator[None]:
    """Let Python change from thread to thread often, so that what may meet does."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_EAGER_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def survives_being_loaded_twice(subject: Subject) -> Iterator[Finding]:
    """Two of the same model answer alike side by side, and the second when the first is gone."""
    rows = {method: subject.rows(method, 3) for method in subject.runtime.methods}
    first = subject.load()
    expected = {method: subject.run(method, tensors, first) for method, tensors in rows.items()}
    second = subject.load()
    for whose, runtime in (("the second", second), ("the first beside a second", first)):
        yield from _other_answers(subject, runtime, rows, expected, whose)
    del first, runtime
    gc.collect()
    yield from _other_answers(subject, second, rows, expected, "the second when the first is gone")


def _other_answers(
    subject: Subject,
    runtime: Runtime,
    rows: Mapping[str, Tensors],
    expected: Mapping[str, Tensors],
    whose: str,
) -> Iterator[Finding]:
    for method, tensors in rows.items():
        differs = difference(subject.run(method, tensors, runtime), expected[method], tensors)
        if differs:
            yield Finding(method, f"the same answers of {whose}", differs)


def frees_memory_when_dropped(subject: Subject) -> Iterator[Finding]:
    """Nothing holds a runtime that nobody uses any more, nor what it alone loaded, nor rows."""
    held = _drop_one(subject)
    gc.collect()
    for what, reference in held:
        if reference() is not None:
            yield Finding(what, "gone with the runtime", "still held by something")


def _drop_one(subject: Subject) -> list[tuple[str, weakref.ref[Any]]]:
    runtime = subject.load()
    held: list[tuple[str, weakref.ref[Any]]] = [("the runtime", weakref.ref(runtime))]
    for method in runtime.methods:
        tensors = copied(subject.rows(method, 3))
        runtime.run(method, tensors, {})
        held += [(f"input {name!r} of {method}", weakref.ref(array)) for name, array in tensors.items()]
    shared = {id(value) for value in _attributes(subject.runtime).values()}
    for name, value in _attributes(runtime).items():
        if id(value) not in shared and _can_be_watched(value):
            held.append((f"attribute {name!r}", weakref.ref(value)))
    return held


def _attributes(runtime: object) -> dict[str, Any]:
    return getattr(runtime, "__dict__", {})  # none where it has slots


def _can_be_watched(value: object) -> bool:
    return type(value).__weakrefoffset__ != 0 and not isinstance(value, type)
