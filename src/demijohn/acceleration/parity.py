"""Proof that an engine answers as the framework does, before it answers a client.

Rules of this room:
1. Whatever batch an engine answers, the framework is asked for the identical batch (BLAS may sum in
   another order for another one): it must answer too, and equally. Stepping aside is always right,
   but for ordinary rows it makes an engine useless.
2. A batch that an engine steps aside for is halved until it answers, or a row is alone: what it would
   say of the other rows is proved as well.
3. The framework is asked once per batch, for all engines of a method together, and within a budget of
   time; every set is given its share, and no set less than one batch.
4. On the edges nobody is asked to be nearer to a framework of float32 than it is to itself: where a batch
   differs, the framework is asked for the same rows moved by the least step of float32, and in two
   halves, and a few times what its own answers then differ is granted. In ordinary rows nothing is.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from demijohn.messages import Array, Tensors, count_rows
from demijohn.refusal_texts import named_line
from demijohn.signature import Signature, TensorSpec

from .comparison import difference, scales_of
from .conduct import misconduct
from .edges import ProbeSet, probe_sets
from .engine import EXACT, Engine, Part, StepAside
from .thresholds import draw_rows

Native = Callable[[Tensors], Tensors]  #: The framework itself; any exception is its refusal.

BUDGET_S = 4.0  #: Seconds that the framework may compute for one method, over all sets, about.
_FIRST_BATCH, _LARGEST_BATCH = 64, 8192
_MOST_HALVINGS = 512  # per set; what is left then counts as stepped aside for
_MOST_KEPT_BYTES = 2**27
_N_PART_ROWS = 4_000
_FLOAT32_ONLY = 1e-7  # engines of a larger tolerance stand for a framework of float32 ...
_FLOAT32_BYTES = 4  # ... if that is what it answers in
_TIMES_OWN = 4.0
_N_SCALE = 512  # ordinary rows that say how large an output is


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a proof."""

    why_not: str | None  #: One line for the operator; None: the engine is equal to the framework.
    n_rows: int  #: Rows compared.
    n_aside: int = 0  #: Rows that the engine left to the framework.


@dataclass(frozen=True, slots=True)
class _Answer:
    outputs: Tensors  #: Empty where the framework refuses.
    refusal: str | None
    native_s: float


class Reference:
    """The framework's answers to the probe sets of one method, for all its candidates.

    Args:
        native: The framework; it may write to what it is given.
        sets: At least one of ordinary rows.
        budget_s: Seconds that ``native`` may take for one judgement, about; slow models get fewer rows.

    One thread at a time may use it.
    """

    def __init__(self, native: Native, sets: Sequence[ProbeSet], *, budget_s: float = BUDGET_S) -> None:
        self.sets = tuple(sets)
        self.budget_s = budget_s
        self._native = native
        self._answers: dict[tuple[int, int, int], _Answer] = {}
        self._n_kept_bytes = 0
        self._is_measured = False
        self.first_batch = _FIRST_BATCH  #: Rows of a set's first batch.
        self.scales: dict[str, Array] = {}  #: How large the columns of an output are in ordinary rows.
        self.unfit: str | None = None  #: Why no engine can be compared with it.

    def judge(
        self, engine: Engine, *, tolerance: float | None = None, takes_any_layout: bool = True
    ) -> Verdict:
        """Prove one engine.

        Args:
            engine: Run on every probe set, alone and in two threads at once.
            tolerance: Relative; the engine's own unless given.
            takes_any_layout: Memory that is not C-contiguous is tried too.
        """
        trial = _Trial(engine, self, engine.tolerance if tolerance is None else tolerance)
        # The edges make frameworks and engines warn of overflows, unknown categories, missing names.
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            self._measure(trial.tolerance)
            why_not = self.unfit or trial.run(takes_any_layout=takes_any_layout)
        return Verdict(why_not, trial.n_rows, trial.n_aside)

    def rows(self, index: int, start: int, stop: int) -> Tensors:
        """Return rows of one set, in memory of their own."""
        return {name: np.array(array[start:stop]) for name, array in self.sets[index].tensors.items()}

    def answer(self, index: int, start: int, stop: int) -> _Answer:
        """Return the framework's answer to rows of one set, asked for at most once if there is room."""
        key = (index, start, stop)
        if key not in self._answers:
            answer = self._ask(self.rows(index, start, stop))
            n_bytes = sum(array.nbytes for array in answer.outputs.values())
            if self._n_kept_bytes + n_bytes > _MOST_KEPT_BYTES:
                return answer
            self._n_kept_bytes += n_bytes
            self._answers[key] = answer
        return self._answers[key]

    def own_differences(self, index: int, start: int, stop: int) -> dict[str, Array]:
        """Return how far the framework's own answers to almost the same rows differ, by output and column."""
        expected = self.answer(index, start, stop).outputs
        rows, middle = self.rows(index, start, stop), (stop - start) // 2
        answers = [self._ask(_nudged(rows, towards)).outputs for towards in (np.inf, -np.inf)]
        if middle:
            halves = [self._ask(self.rows(index, *ends)).outputs
                      for ends in ((start, start + middle), (start + middle, stop))]  # fmt: skip
            if all(halves):
                answers.append({n: np.concatenate([half[n] for half in halves]) for n in expected})
        return {
            name: np.max([_apart(answer[name], array) for answer in answers if answer], axis=0, initial=0.0)
            for name, array in expected.items()
            if array.dtype.kind == "f" and array.dtype.itemsize <= _FLOAT32_BYTES
        }

    def _ask(self, tensors: Tensors) -> _Answer:
        begin = time.perf_counter()
        try:
            outputs = self._native(tensors)
        except Exception as error:  # noqa: BLE001
            # The framework is foreign code, and the edges are there to make it refuse.
            return _Answer({}, named_line(error), time.perf_counter() - begin)
        native_s = time.perf_counter() - begin
        return _Answer({name: np.array(array) for name, array in outputs.items()}, None, native_s)

    def _measure(self, tolerance: float) -> None:
        """Look once whether the framework answers ordinary rows, steadily, and how fast."""
        if self._is_measured:
            return
        self._is_measured = True
        index = next(index for index, probes in enumerate(self.sets) if probes.is_ordinary)
        n_rows = min(8, count_rows(self.sets[index].tensors))
        first, again = (self._ask(self.rows(index, 0, n_rows)) for _ in range(2))
        if first.refusal is not None:
            self.unfit = f"the framework itself refuses ordinary rows ({first.refusal})"
        elif difference(again.outputs, first.outputs, tolerance) is not None:
            self.unfit = "the framework's own answers differ from call to call"
        affordable = self.budget_s / len(self.sets) / 2 * n_rows / max(again.native_s, 1e-9)
        self.first_batch = int(np.clip(affordable, 4, _FIRST_BATCH))
        self.scales = scales_of(self._ask(self.rows(index, 0, int(np.clip(affordable, 4, _N_SCALE)))).outputs)


class _Trial:
    """One engine before the probe sets."""

    def __init__(self, engine: Engine, reference: Reference, tolerance: float) -> None:
        self.tolerance = tolerance
        self.n_rows = 0
        self.n_aside = 0
        self._engine = engine
        self._reference = reference
        self._n_calls = 0
        self._n_halvings = 0
        self._spent_s = 0.0  #: By the framework, whether it was asked now or before.

    def run(self, *, takes_any_layout: bool) -> str | None:
        sets = self._reference.sets
        for index, probes in enumerate(sets):
            until_s = self._spent_s + (self._reference.budget_s - self._spent_s) / (len(sets) - index)
            n_rows_before = self.n_rows
            why = self._try_set(index, until_s)
            if why is not None:
                return f"{probes.name}: {why}"
            if probes.is_ordinary and self.n_rows == n_rows_before:
                return f"steps aside for ordinary rows ({probes.name})"
        index = next(index for index, probes in enumerate(sets) if probes.is_ordinary)
        return misconduct(
            self._engine, sets[index].tensors, self.tolerance, takes_any_layout=takes_any_layout
        )

    def _try_set(self, index: int, until_s: float) -> str | None:
        self._n_halvings = 0
        probes = self._reference.sets[index]
        for number, (start, stop) in enumerate(_batches(probes, self._reference.first_batch)):
            if number and self._spent_s >= until_s:
                break
            why = self._try_batch(index, start, stop)
            if why is not None:
                return why
        return None

    def _try_batch(self, index: int, start: int, stop: int) -> str | None:
        given, kept = self._reference.rows(index, start, stop), self._reference.rows(index, start, stop)
        if self._n_calls % 2:  # an engine that copies only what it may not write to is seen the other time
            for array in given.values():
                array.flags.writeable = False
        self._n_calls += 1
        try:
            got = self._engine.run(given)
        except StepAside:
            return self._halve(index, start, stop)
        except Exception as error:  # noqa: BLE001
            # An engine may be another library's code; whatever it raises, it is not fit to answer.
            return f"fails on {_rows(start, stop)}: {named_line(error)}"
        if not _is_unchanged(given, kept):
            return f"writes to its input, at {_rows(start, stop)}"
        answer = self._reference.answer(index, start, stop)
        self._spent_s += answer.native_s
        if answer.refusal is not None:
            return f"answers {_rows(start, stop)}, which the framework refuses ({answer.refusal})"
        self.n_rows += stop - start
        reference = self._reference
        why = difference(got, answer.outputs, self.tolerance, start, reference.scales)
        if why is None or self.tolerance < _FLOAT32_ONLY or reference.sets[index].is_ordinary:
            return why
        own = reference.own_differences(index, start, stop)
        granted = {name: _TIMES_OWN * apart for name, apart in own.items()}
        return difference(got, answer.outputs, self.tolerance, start, reference.scales, granted)

    def _halve(self, index: int, start: int, stop: int) -> str | None:
        if stop - start == 1 or self._n_halvings >= _MOST_HALVINGS:
            self.n_aside += stop - start
            return None
        self._n_halvings += 1
        middle = (start + stop) // 2
        return self._try_batch(index, start, middle) or self._try_batch(index, middle, stop)


def judge(
    engine: Engine,
    native: Native,
    sets: Sequence[ProbeSet],
    *,
    tolerance: float | None = None,
    budget_s: float = BUDGET_S,
) -> Verdict:
    """Prove one engine; for several of one method, see ``Reference``.

    Args:
        engine: To be proved.
        native: The framework.
        sets: Of ``edges.probe_sets``; at least one of ordinary rows.
        tolerance: Relative; the engine's own unless given.
        budget_s: Seconds that ``native`` may take, about.
    """
    return Reference(native, sets, budget_s=budget_s).judge(engine, tolerance=tolerance)


def part_reference(
    part: Part, *, budget_s: float = BUDGET_S, max_threshold_rows: int = 100_000, seed: int = 0
) -> Reference:
    """Make the reference of a tree ensemble inside engines: its own estimator, at its own thresholds.

    Args:
        part: Of any of the engines; the same estimator and method have the same reference.
        budget_s: Seconds that the estimator may take, about.
        max_threshold_rows: Of rows at thresholds; larger ensembles are sampled.
        seed: Of everything random.
    """
    ensemble = part.ensemble
    spec = TensorSpec("inputs", "float64", (-1, ensemble.n_features), nullable=ensemble.allows_missing)
    sets = probe_sets(
        Signature("matrix", (spec,)),
        {"inputs": draw_rows(ensemble, 5, seed)},
        lambda n_rows, seed: {"inputs": draw_rows(ensemble, n_rows, seed)},
        ensemble=ensemble,
        n_ordinary=_N_PART_ROWS,
        max_threshold_rows=max_threshold_rows,
        seed=seed,
    )
    return Reference(lambda tensors: _by_estimator(part, tensors), sets, budget_s=budget_s)


def judge_part(
    part: Part,
    *,
    tolerance: float = EXACT,
    budget_s: float = BUDGET_S,
    reference: Reference | None = None,
) -> Verdict:
    """Prove a tree ensemble inside an engine against its own estimator.

    Args:
        part: Its step is given matrices (n_rows, n_features), float64 and C-contiguous.
        tolerance: Relative.
        budget_s: Seconds that the estimator may take, about.
        reference: That ``part_reference`` made; None makes one.
    """
    reference = part_reference(part, budget_s=budget_s) if reference is None else reference
    return reference.judge(_PartEngine(part, tolerance), takes_any_layout=False)


class _PartEngine:
    """A part of an engine as an engine."""

    is_whole = True
    parts: tuple[Part, ...] = ()

    def __init__(self, part: Part, tolerance: float) -> None:
        self.name = part.method
        self.tolerance = tolerance
        self._part = part

    def run(self, tensors: Tensors) -> Tensors:
        return _named(self._part.method, self._part.step(tensors["inputs"]))


def _by_estimator(part: Part, tensors: Tensors) -> Tensors:
    with _in_turn():
        return _named(part.method, getattr(part.estimator, part.method)(tensors["inputs"]))


def _named(method: str, result: Any) -> Tensors:
    if isinstance(result, (list, tuple)):
        return {f"output_{index}": _as_given(part) for index, part in enumerate(result)}
    return {method: _as_given(result)}


def _as_given(result: Any) -> Array:
    return result if isinstance(result, np.ndarray) else np.asarray(result)


def _in_turn() -> AbstractContextManager[Any]:
    """Keep an estimator with ``n_jobs`` on this thread, as its runtime does."""
    try:
        from joblib import parallel_config
    except ModuleNotFoundError:  # it comes with scikit-learn; an estimator in its manner needs none
        return nullcontext()
    in_turn: AbstractContextManager[Any] = parallel_config(backend="sequential")
    return in_turn


def _batches(probes: ProbeSet, first: int) -> Iterator[tuple[int, int]]:
    """Cut a set into batches (start, stop), then name the rows that are shown alone."""
    n_rows = count_rows(probes.tensors)
    start, number, size = 0, 0, first
    while start < n_rows:
        if probes.sizes:
            size = probes.sizes[number % len(probes.sizes)]
        yield start, min(start + size, n_rows)
        start, number, size = start + size, number + 1, min(2 * size, _LARGEST_BATCH)
    for row in np.unique(np.linspace(0, n_rows - 1, min(probes.n_alone, n_rows), dtype=int)).tolist():
        yield row, row + 1


def _nudged(tensors: Tensors, towards: float) -> Tensors:
    """Move each number of floats to its neighbour among float32."""
    return {
        name: np.nextafter(array.astype(np.float32), np.float32(towards)).astype(array.dtype)
        if array.dtype.kind == "f"
        else array
        for name, array in tensors.items()
    }


def _apart(one: Array, other: Array) -> Array:
    """Return the largest finite difference in each column of two answers."""
    apart = np.abs(one.astype(np.float64) - other) if one.shape == other.shape else np.zeros(other.shape)
    return np.asarray(np.max(apart, axis=0, initial=0.0, where=np.isfinite(apart)))


def _is_unchanged(given: Tensors, kept: Tensors) -> bool:
    if given.keys() != kept.keys():
        return False
    for name, array in kept.items():
        now = given[name]
        if array.dtype.kind == "O":
            if any(a is not b for a, b in zip(now.ravel().tolist(), array.ravel().tolist(), strict=True)):
                return False
        elif now.tobytes() != array.tobytes():
            return False
    return True


def _rows(start: int, stop: int) -> str:
    return f"row {start}" if stop - start == 1 else f"rows {start} to {stop - 1}"
