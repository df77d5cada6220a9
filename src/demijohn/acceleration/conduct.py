"""How an engine treats memory and threads: right answers are not enough in a server.

Rules of this room:
1. A result belongs to its caller: it shares no memory with the input, none with another result
   unless that can be written to by nobody, and no later call changes it.
2. Two threads may run an engine at a time, and get what one gets.
3. Where rows lie in memory (strided, column by column, read-only) changes no answer.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from itertools import product

import numpy as np

from demijohn.messages import Array, Tensors, count_rows

from . import provers
from .comparison import difference
from .engine import Engine, StepAside

_N_ROUNDS = 20
_LONGEST_S = 60.0  # beyond it a thread hangs


def misconduct(engine: Engine, tensors: Tensors, tolerance: float, *, takes_any_layout: bool) -> str | None:
    """Watch how an engine behaves over several calls.

    Args:
        engine: Proved to answer these rows as the framework does.
        tensors: Ordinary rows, at least two.
        tolerance: Relative, between two of the engine's own answers.
        takes_any_layout: Memory that is not C-contiguous is tried too.

    Returns:
        What it does wrong, in one line, else None. Rows that it steps aside for prove nothing here.
    """
    n_rows = count_rows(tensors)
    for size in sorted({1, min(65, n_rows // 2), min(512, n_rows // 2)}):
        pair = [_cut(tensors, 0, size), _cut(tensors, size, 2 * size)]
        try:
            results = [engine.run(one) for one in pair]
            why = _kept(engine, pair, results) or _in_threads(engine, pair, results, tolerance)
            if why is None and takes_any_layout:
                why = _in_layouts(engine, pair[0], results[0], tolerance)
        except StepAside:
            continue
        if why is not None:
            return why
    return None


def _kept(engine: Engine, pair: list[Tensors], results: list[Tensors]) -> str | None:
    if any(_share(given, result) for given, result in zip(pair, results, strict=True)):
        return "its result shares memory with its input"
    if _share(*results):
        return "two of its results share memory"
    copies = [{name: np.array(array) for name, array in result.items()} for result in results]
    for one in pair:
        engine.run(one)
    if any(difference(now, kept, 0.0) for now, kept in zip(results, copies, strict=True)):
        return "a later call changes its earlier result"
    return None


def _share(first: Tensors, second: Tensors) -> bool:
    return any(np.may_share_memory(one, other) for one, other in product(first.values(), second.values()))


def _in_threads(engine: Engine, pair: list[Tensors], results: list[Tensors], tolerance: float) -> str | None:
    """Run an engine in two threads at once, each on rows of its own."""
    found: list[str] = []
    together = threading.Barrier(2)

    def repeat(given: Tensors, expected: Tensors) -> None:
        together.wait()
        for _ in range(_N_ROUNDS):
            try:
                why = difference(engine.run(given), expected, tolerance)
            except Exception as error:  # noqa: BLE001
                # Alone it has answered these rows, so whatever it raises is the other thread's doing.
                why = type(error).__name__
            if why is not None:
                found.append(why)
                return

    threads = [
        provers.start(partial(repeat, *both), name="demijohn-prover-twin")
        for both in zip(pair, results, strict=True)
    ]
    for thread in threads:
        thread.join(_LONGEST_S)
    if any(thread.is_alive() for thread in threads):
        return "two threads at once wait for each other"
    return f"two threads at once get other answers: {found[0]}" if found else None


def _in_layouts(engine: Engine, given: Tensors, expected: Tensors, tolerance: float) -> str | None:
    for name, laid_out in _layouts(given):
        try:
            why = difference(engine.run(laid_out), expected, tolerance)
        except StepAside:
            continue
        except Exception as error:  # noqa: BLE001
            # As in parity: an engine may be another library's code.
            why = f"{type(error).__name__}: {error}"
        if why is not None:
            return f"{name} input: {why}"
    return None


def _layouts(given: Tensors) -> Iterator[tuple[str, Tensors]]:
    """Lay the same rows out in memory in other ways."""
    yield "column-major", {name: np.array(array, order="F") for name, array in given.items()}
    yield "strided", {name: np.repeat(array, 2, axis=0)[::2] for name, array in given.items()}
    yield "reversed", {name: np.array(array[::-1])[::-1] for name, array in given.items()}
    yield "read-only", {name: _frozen(array) for name, array in given.items()}


def _frozen(array: Array) -> Array:
    copy = np.array(array)
    copy.flags.writeable = False
    return copy


def _cut(tensors: Tensors, start: int, stop: int) -> Tensors:
    return {name: np.array(array[start:stop]) for name, array in tensors.items()}
