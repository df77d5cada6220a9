"""Compare every engine with scikit-learn, on many rows, without the code that Demijohn proves engines with.

    python bench/parity.py [--rows 100000] [--only NAME] [--engines kernel,numpy,onnx] [--part 1/2]

Over every estimator of tests/estimators.py and the models of parity_models.py, every method, every engine
that builds. Exit status 1 where an engine that ``acceleration.parity`` accepts is off.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import parity_models
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.acceleration.agreement import Tally, compare, compare_part, joined, row_sets
from tests.estimators import fitted_estimators

from demijohn import acceleration
from demijohn.acceleration import edges, parity
from demijohn.acceleration.engine import Engine, Unconvertible
from demijohn.messages import Tensors
from demijohn.probes import draw, rows_or_records
from demijohn.runtimes import wrap

ENGINES = "kernel,numpy,onnx,treelite,unchecked"
_TIMED_S = 0.02


@dataclass
class Line:
    """One engine of one method of one model."""

    model: str
    method: str
    engine: str
    tally: Tally
    why_not: str | None  #: What parity found against it.
    us: tuple[float, float]  #: Of a row: the framework, the engine.

    @property
    def is_wrong(self) -> bool:
        return self.why_not is None and not self.tally.is_exact

    def show(self) -> str:
        tally = self.tally
        state = "WRONG" if self.is_wrong else "ok" if self.why_not is None else "refused"
        text = (
            f"{self.model:32.32} {self.method:18.18} {self.engine:10} {tally.n_rows:8} {tally.n_aside:6} "
            f"{tally.n_differing:6} {tally.largest_error:8.1e} {self.us[0]:9.1f} {self.us[1]:8.1f} {state}"
        )
        if self.is_wrong:
            return f"{text}: {tally.describe()}"
        return text if self.why_not is None else f"{text}: {self.why_not}"


class Model:
    """One model and everything that is asked of it."""

    def __init__(self, name: str, estimator: Any, rows: Any, options: argparse.Namespace) -> None:
        self.name, self._options = name, options
        self.runtime = wrap(estimator)
        self._example = list(self.runtime.example_rows())
        self._sets = row_sets(self.runtime, rows, options.rows)
        signature = self.runtime.signature
        example = signature.validate(rows_or_records(self._example))
        self._probes = edges.probe_sets(signature, example, self._draw)  # as for a plan
        self._parts: dict[tuple[int, str, str], tuple[str | None, Tally]] = {}

    def lines(self) -> Iterator[Line]:
        """Yield a line per engine and method."""
        wanted = self._options.engines.split(",")
        found: dict[str, dict[str, Engine]] = {}
        for candidate in acceleration.candidates(self.runtime, is_fast=False):
            if candidate.engine not in wanted:
                continue
            try:
                found.setdefault(candidate.method, {})[candidate.engine] = candidate.build()
            except Unconvertible:
                continue
            except Exception as error:  # noqa: BLE001 - converters are foreign code; a plan refuses it too
                print(f"{self.name} {candidate.method} {candidate.engine}: {type(error).__name__}: {error}")
        for method, engines in found.items():
            yield from self._compared(method, engines)

    def _compared(self, method: str, engines: dict[str, Engine]) -> Iterator[Line]:
        def native(tensors: Tensors) -> Tensors:
            return self.runtime.run(method, tensors, {})

        runs = {name: engine.run for name, engine in engines.items()}
        tallies = compare(native, runs, self._sets, self._options.seconds)
        reference = parity.Reference(native, self._probes, budget_s=self._options.proof_seconds)
        one = self._draw(1, 0)
        native_us = _best_us(native, one)
        for name, engine in engines.items():
            parts = [self._judge_part(engine, part) for part in engine.parts]
            why_not = next((why for why, _ in parts if why is not None), None)
            why_not = why_not or reference.judge(engine).why_not
            tally = joined(tallies[name], *(part for _, part in parts))
            us = (native_us, _best_us(engine.run, one))
            yield Line(self.name, method, name, tally, why_not, us)

    def _judge_part(self, engine: Engine, part: Any) -> tuple[str | None, Tally]:
        key = (id(part.estimator), part.method, engine.name)
        if key not in self._parts:
            seconds = self._options.proof_seconds
            why_not = parity.judge_part(part, tolerance=engine.tolerance, budget_s=seconds).why_not
            n_rows = self._options.rows
            tally = compare_part(
                part, n_ordinary=n_rows // 4, most_rows=n_rows, budget_s=self._options.seconds
            )
            self._parts[key] = (why_not, tally)
        return self._parts[key]

    def _draw(self, n_rows: int, seed: int) -> Tensors:
        return dict(draw(self.runtime.signature, self._example, n_rows, seed))


def _best_us(run: Callable[[Tensors], Tensors], rows: Tensors) -> float:
    """Return the least of some calls' microseconds; NaN where it refuses."""
    best = spent = float("inf")
    n_calls = 0
    while n_calls < 3 or spent < _TIMED_S:
        begin = time.perf_counter()
        try:
            run(rows)
        except Exception:  # noqa: BLE001 - a row like the example, refused or stepped aside for
            return float("nan")
        seconds = time.perf_counter() - begin
        best, spent, n_calls = min(best, seconds), (spent if n_calls else 0.0) + seconds, n_calls + 1
    return best * 1e6


def cases(only: str) -> dict[str, Callable[[], tuple[Any, Any]]]:
    """Return what makes a fitted estimator and rows of it, by name."""
    methods = ("predict", "transform", "score_samples", "predict_proba", "decision_function")
    found: dict[str, Callable[[], tuple[Any, Any]]] = {
        name: partial(tuple, case)
        for name, case in fitted_estimators().items()
        if any(hasattr(case[0], method) for method in methods)
    }
    found |= {name: partial(parity_models.fit, make) for name, make in parity_models.variants().items()}
    return {name: make for name, make in found.items() if only in name}


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rows", type=int, default=100_000, help="ordinary rows; of trees also at thresholds"
    )
    parser.add_argument("--only", default="", help="models whose name contains this")
    parser.add_argument("--engines", default=ENGINES)
    parser.add_argument("--part", default="1/1", help="2/3: the second third of the models")
    parser.add_argument("--seconds", type=float, default=20.0, help="for one method's comparison, about")
    parser.add_argument(
        "--proof-seconds", type=float, default=4.0, help="for one proof of acceleration.parity"
    )
    return parser.parse_args()


def summarise(lines: Sequence[Line], seconds: float) -> None:
    accepted = [line for line in lines if line.why_not is None]
    wrong = [line for line in lines if line.is_wrong]
    harsh = sum(line.tally.is_exact for line in lines if line.why_not is not None)
    print(f"\n{len(lines)} engines of {len({line.model for line in lines})} models in {seconds:.0f} s")
    print(f"accepted {len(accepted)}: {dict(Counter(line.engine for line in accepted))}")
    print(f"refused {len(lines) - len(accepted)}, of which nothing was found here against {harsh}")
    if accepted:
        worst = max(accepted, key=lambda line: line.tally.largest_error)
        print(f"rows compared of those accepted: {sum(line.tally.n_rows for line in accepted):,}")
        print(f"labels that differ: {sum(line.tally.n_differing for line in accepted)}")
        print(
            f"largest error: {worst.tally.largest_error:.1e} ({worst.model}, {worst.method}, {worst.engine})"
        )
    print(f"wrong though accepted: {len(wrong)}")
    for line in wrong:
        print(line.show())


def main() -> int:
    options = read_options()
    part, n_parts = map(int, options.part.split("/"))
    begin = time.perf_counter()
    lines = []
    print(
        f"{'model':32} {'method':18} {'engine':10} {'rows':>8} {'aside':>6} {'differ':>6} {'error':>8} "
        f"{'native µs':>9} {'µs':>8}"
    )
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        for name, make in list(cases(options.only).items())[part - 1 :: n_parts]:
            for line in Model(name, *make(), options).lines():
                lines.append(line)
                print(line.show(), flush=True)
    summarise(lines, time.perf_counter() - begin)
    return int(any(line.is_wrong for line in lines))


if __name__ == "__main__":
    sys.exit(main())
