"""Does an engine answer as the framework does? Asked without any code of ``acceleration.parity``.

Rules of this room:
1. The comparison is its own: labels are equal, numbers within a relative error of ``EXACT``, where it is
   relative to the larger of the number and the largest of its output's column.
2. Rows are others than parity's: seeds differ, and the rows that a model was fitted on take part.
3. The framework is asked for the identical batch, since BLAS may sum in another order for another.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from demijohn.acceleration.edges import ProbeSet, probe_sets
from demijohn.acceleration.engine import EXACT, Part, StepAside
from demijohn.acceleration.thresholds import draw_rows, threshold_rows
from demijohn.messages import Array, Records, Rows, Tensors, count_rows
from demijohn.probes import draw

Run = Callable[[Tensors], Tensors]
SEED = 1_000  # of everything here; parity's is 0
_SIZES = (1, 2, 3, 7, 8, 9, 64, 65, 512)
_LARGEST_BATCH = 8_192
_MOST_HALVINGS = 256  # per set
_N_SCALE = 512


@dataclass
class Tally:
    """What came of comparing one engine."""

    n_rows: int = 0
    n_aside: int = 0
    n_ordinary: int = 0  #: Ordinary rows that were answered.
    n_differing: int = 0  #: Labels, and numbers of which one is not finite.
    largest_error: float = 0.0  #: Relative.
    faults: list[str] = field(default_factory=list)  #: Refusals not heeded, exceptions, other forms.
    where: str = ""  #: Of the first difference.

    @property
    def is_exact(self) -> bool:
        return not self.n_differing and not self.faults and self.largest_error <= EXACT

    def describe(self) -> str:
        faults = f"; {self.faults[0]}" if self.faults else ""
        return f"{self.n_differing} differ, error {self.largest_error:.1e}{self.where}{faults}"


# Rows -------------------------------------------------------------------------------------------


def tensors_of(runtime: Any, rows: Any) -> Tensors:
    """Return rows, a matrix or a DataFrame, as a request brings them."""
    if hasattr(rows, "columns"):
        records = rows.astype(object).where(rows.notna(), None).to_dict("records")
        return dict(runtime.signature.validate(Records(records)))
    cells = rows.tolist()
    if runtime.signature.inputs[0].nullable and rows.dtype.kind == "f":
        cells = [[None if cell != cell else cell for cell in row] for row in cells]
    return dict(runtime.signature.validate(Rows(cells)))


def row_sets(runtime: Any, rows: Any, n_rows: int, *, most_edges: int | None = None) -> list[ProbeSet]:
    """Make edges, and ordinary rows: those a model was fitted on, near them, and drawn ones.

    Args:
        runtime: The model.
        rows: Some that it was fitted on.
        n_rows: How many ordinary ones.
        most_edges: Rows of each kind of edge; None: all.
    """
    own = tensors_of(runtime, rows)
    signature, example = runtime.signature, list(runtime.example_rows())

    def draw_some(n: int, seed: int) -> Tensors:
        return dict(draw(signature, example, n, seed))

    sets = probe_sets(signature, own, draw_some, n_ordinary=1, seed=SEED)
    random = np.random.default_rng(SEED)
    third = max(1, n_rows // 3)
    ordinary = {
        "rows of the fit": own,
        "cells of the fit": {name: _resampled(array, third, random) for name, array in own.items()},
        "near the fit": {
            name: _near(_resampled(array, third, random), random) for name, array in own.items()
        },
        "drawn rows": draw_some(third, SEED + 1),
    }
    return [
        *(_some(one, most_edges, random) for one in sets if not one.name.startswith("ordinary")),
        *(
            ProbeSet(name, some, True, n_alone=16 if most_edges is None else 2)
            for name, some in ordinary.items()
        ),
    ]


def _some(rows: ProbeSet, most: int | None, random: np.random.Generator) -> ProbeSet:
    n_rows = count_rows(rows.tensors)
    if most is None or n_rows <= most:
        return rows
    picked = (random.integers(n_rows) + np.arange(most) * (n_rows // most)) % n_rows
    tensors = {name: array[picked] for name, array in rows.tensors.items()}
    return ProbeSet(rows.name, tensors, sizes=(1, most - 1))


def _resampled(array: Array, n_rows: int, random: np.random.Generator) -> Array:
    if array.ndim == 1:
        return array[random.integers(len(array), size=n_rows)]
    return np.column_stack([column[random.integers(len(array), size=n_rows)] for column in array.T])


def _near(array: Array, random: np.random.Generator) -> Array:
    if array.dtype.kind != "f":
        return array
    moved = array * random.normal(1.0, 0.3, array.shape)
    is_rounded = random.random(len(array)) < 0.5  # equal numbers make equal distances and votes
    moved[is_rounded] = moved[is_rounded].round(1)
    return moved.astype(array.dtype)


# Comparing --------------------------------------------------------------------------------------


def compare(
    native: Run, engines: Mapping[str, Run], sets: Sequence[ProbeSet], budget_s: float
) -> dict[str, Tally]:
    """Compare engines with the framework on every set, as far as the time goes.

    Args:
        native: The framework; what it raises is its refusal.
        engines: By name.
        sets: The edges first: every set gets its share of the time that is left, and at least one batch.
        budget_s: Seconds of this process for all of it, about.
    """
    tallies = {name: Tally() for name in engines}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        scales = _scales(native, sets)
        end = time.process_time() + budget_s
        for number, rows in enumerate(sets):
            begin = time.process_time()
            until = begin + max(0.0, end - begin) / (len(sets) - number)
            for start, stop in _batches(rows):
                if start and time.process_time() > until:
                    break
                batch = _Batch(native, rows, start, stop, scales)
                for name, run in engines.items():
                    batch.show(run, tallies[name])
    return tallies


def _scales(native: Run, sets: Sequence[ProbeSet]) -> dict[str, Array]:
    ordinary = [_rows_of(one.tensors, 0, _N_SCALE) for one in sets if one.is_ordinary]
    scales: dict[str, Array] = {}
    for some in ordinary:
        answer, _ = _ask(native, some)
        for name, array in (answer or {}).items():
            if array.dtype.kind == "f":
                found = np.abs(np.where(np.isfinite(array), array, 0.0)).max(axis=0, initial=0.0)
                scales[name] = np.maximum(found, scales.get(name, 0.0))
    return scales


def _batches(rows: ProbeSet) -> Iterator[tuple[int, int]]:
    n_rows = count_rows(rows.tensors)
    yield from ((row, row + 1) for row in range(min(rows.n_alone, n_rows)))
    start, number = 0, 0
    while start < n_rows:
        yield start, min(start + _size(rows, number), n_rows)
        start, number = start + _size(rows, number), number + 1


def _size(rows: ProbeSet, number: int) -> int:
    if rows.sizes:
        return rows.sizes[number % len(rows.sizes)]
    return _SIZES[number] if number < len(_SIZES) else min(_LARGEST_BATCH, 512 * 2 ** (number - 8))


def _rows_of(tensors: Tensors, start: int, stop: int) -> Tensors:
    return {name: np.array(array[start:stop]) for name, array in tensors.items()}


def _ask(native: Run, tensors: Tensors) -> tuple[Tensors | None, str]:
    try:
        return native(tensors), ""
    except Exception as error:  # noqa: BLE001 - foreign code, on rows that it may refuse in any way
        return None, f"{type(error).__name__}: {error}"[:120]


class _Batch:
    """One batch of a set, before the framework and before each engine."""

    def __init__(
        self, native: Run, rows: ProbeSet, start: int, stop: int, scales: Mapping[str, Array]
    ) -> None:
        self._native, self._rows, self._scales = native, rows, scales
        self._answers: dict[tuple[int, int], tuple[Tensors | None, str]] = {}
        self._start, self._stop = start, stop
        self._n_halvings = 0

    def show(self, run: Run, tally: Tally) -> None:
        self._n_halvings = 0
        self._try(run, tally, self._start, self._stop)

    def _try(self, run: Run, tally: Tally, start: int, stop: int) -> None:
        try:
            got = run(_rows_of(self._rows.tensors, start, stop))
        except StepAside:
            self._halve(run, tally, start, stop)
            return
        except Exception as error:  # noqa: BLE001 - what an engine must not do is written down, not raised
            tally.faults.append(
                f"{self._rows.name}, row {start}: raises {type(error).__name__}: {error}"[:200]
            )
            return
        tally.n_rows += stop - start
        tally.n_ordinary += (stop - start) * self._rows.is_ordinary
        if (start, stop) not in self._answers:
            self._answers[start, stop] = _ask(self._native, _rows_of(self._rows.tensors, start, stop))
        wanted, refusal = self._answers[start, stop]
        if wanted is None:
            tally.faults.append(f"{self._rows.name}, row {start}: answers what is refused ({refusal})")
            return
        was_exact = tally.is_exact
        _count_differences(got, wanted, self._scales, tally)
        if was_exact and not tally.is_exact:
            tally.where = f" ({self._rows.name}, rows {start} to {stop - 1})"

    def _halve(self, run: Run, tally: Tally, start: int, stop: int) -> None:
        if stop - start == 1 or self._n_halvings >= _MOST_HALVINGS:
            tally.n_aside += stop - start
            return
        self._n_halvings += 1
        middle = (start + stop) // 2
        self._try(run, tally, start, middle)
        self._try(run, tally, middle, stop)


def _count_differences(got: Tensors, wanted: Tensors, scales: Mapping[str, Array], tally: Tally) -> None:
    if list(got) != list(wanted):
        tally.faults.append(f"outputs {list(got)}, not {list(wanted)}")
        return
    for name, b in wanted.items():
        a = got[name]
        is_text = a.dtype.kind == b.dtype.kind == "U"
        if a.shape != b.shape or not (a.dtype == b.dtype or is_text):
            tally.faults.append(f"{name}: {a.dtype} {a.shape}, not {b.dtype} {b.shape}")
        elif b.dtype.kind == "f":
            _count_numbers(a, b, scales.get(name, np.zeros(())), tally)
        else:
            tally.n_differing += int(np.sum((a != b) & ~((a != a) & (b != b))))


def _count_numbers(a: Array, b: Array, scale: Array, tally: Tally) -> None:
    is_finite = np.isfinite(a) & np.isfinite(b)
    tally.n_differing += int(np.sum(~is_finite & ~((a == b) | (np.isnan(a) & np.isnan(b)))))
    here = np.abs(np.where(np.isfinite(b), b, 0.0)).max(axis=0, initial=0.0)
    allowed = np.maximum(np.abs(b), np.maximum(here, scale))
    off = np.where(is_finite, np.abs(a - b), 0.0)
    relative = np.divide(off, allowed, out=np.where(off > 0, np.inf, 0.0), where=(allowed > 0) & is_finite)
    tally.largest_error = max(tally.largest_error, float(relative.max(initial=0.0)))


# Parts ------------------------------------------------------------------------------------------


def compare_part(part: Part, *, n_ordinary: int, most_rows: int, budget_s: float) -> Tally:
    """Compare a tree ensemble inside an engine with its own estimator, at its thresholds."""
    base = draw_rows(part.ensemble, max(1, n_ordinary), SEED)
    at = threshold_rows(part.ensemble, base[:256], max_rows=most_rows, seed=SEED).rows
    is_missing = np.isnan(at).any(axis=1)
    found = {
        "thresholds": at[~is_missing],
        "missing at thresholds": at[is_missing],
        "around thresholds": base,
    }
    sets = [
        ProbeSet(name, {"rows": rows}, name == "around thresholds")
        for name, rows in found.items()
        if len(rows)
    ]
    own = getattr(part.estimator, part.method)

    def native(tensors: Tensors) -> Tensors:
        return _named(own(tensors["rows"]))

    def step(tensors: Tensors) -> Tensors:
        return _named(part.step(tensors["rows"]))

    return compare(native, {"step": step}, sets, budget_s)["step"]


def _named(result: Any) -> Tensors:
    parts = result if isinstance(result, (list, tuple)) else [result]
    return {str(index): np.asarray(_dense(part)) for index, part in enumerate(parts)}


def _dense(part: Any) -> Any:
    return part.toarray() if hasattr(part, "toarray") else part


def joined(first: Tally, *others: Tally) -> Tally:
    """Add tallies up."""
    every = [first, *others]
    return Tally(
        sum(one.n_rows for one in every),
        sum(one.n_aside for one in every),
        first.n_ordinary,
        sum(one.n_differing for one in every),
        max(one.largest_error for one in every),
        [fault for one in every for fault in one.faults],
        next((one.where for one in every if one.where), ""),
    )
