"""A model's method as steps of numpy, from a request's tensors to its outputs.

Rules of this room:
1. Outputs are named as the runtime names the framework's own; a result of another kind is the
   framework's to give.
2. Where a pipeline begins with what nothing translates, the framework runs that beginning.
3. What numpy warns of on the way, the framework's own arithmetic would have warned of too. Where a
   warning is an error, the rows are the framework's. (``np.errstate`` would cost a fifth of a run.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from demijohn.acceleration.engine import Backend, Part, Step, StepAside, Unconvertible
from demijohn.messages import Array, Tensors

from .building import Building
from .columns import is_kept, make_chain
from .entry import Entry, Model, codes_of, make_entry, text_columns
from .parts import parts_of
from .tables import make_checked_step

#: A native head may not make more columns: what it makes is sparse then, and the steps want it dense.
_WIDEST = 4096


@dataclass(slots=True)
class Program:
    """Steps of one method; see ``Engine``."""

    name: str
    is_whole: bool
    tolerance: float
    parts: tuple[Part, ...]
    method: str
    entry: Entry
    step: Step

    def run(self, tensors: Tensors) -> Tensors:
        """Run the method; see ``Engine.run``."""
        try:
            rows = self.entry(tensors)
            result = self.step(rows)
        except RuntimeWarning as warning:
            raise StepAside(str(warning)) from warning
        if isinstance(result, np.ndarray):
            if not result.ndim or len(result) != len(rows):
                raise StepAside("the result has another number of rows")
            # A request and its answer share no memory. A view's base is what was viewed, or what that views.
            base = result.base
            is_shared = result is rows or (base is not None and (base is rows or base is rows.base))
            return {self.method: result.copy() if is_shared else result}
        if isinstance(result, list) and result and all(isinstance(part, np.ndarray) for part in result):
            return {f"output_{index}": part for index, part in enumerate(result)}
        raise StepAside(f"the result is a {type(result).__name__}")


def build(model: Model, method: str, backend: Backend) -> Program:
    """Build the engine of one method.

    Args:
        model: The runtime of a fitted estimator.
        method: One of its methods.
        backend: What runs tree ensembles and others.

    Raises:
        Unconvertible: with the reason for the operator.
    """
    _check_outputs(model, method)
    try:
        codes = codes_of(model.estimator)
        entry = make_entry(model, codes)
        building = _building(backend, codes, text_columns(model))
        step = make_checked_step(model.estimator, method, building)
        is_whole = building.prefers_others
    except Unconvertible as error:
        building = _building(backend, {}, frozenset())
        entry, step = _behind_native_head(model, method, building, error)
        is_whole = False
    if (building.trees or building.others) and not (building.parts or building.converted):
        raise Unconvertible(f"nothing in it for {building.name} to run")
    return Program(backend.name, is_whole, backend.tolerance, tuple(building.parts), method, entry, step)


def _building(backend: Backend, codes: dict[str, int], texts: frozenset[int]) -> Building:
    return Building(backend.name, backend.trees, backend.others, backend.tolerance, codes, texts)


def _check_outputs(model: Model, method: str) -> None:
    """Refuse a method that returns a DataFrame, which has an output per column."""
    names = [spec.name for spec in model.signature.outputs.get(method, ())]
    if names and names != [method] and any(not name.startswith("output_") for name in names):
        raise Unconvertible(f"{method} returns a DataFrame")


# A head that the framework runs -----------------------------------------------------------


def _behind_native_head(
    model: Model, method: str, building: Building, why: Unconvertible
) -> tuple[Entry, Step]:
    """Translate as much of a pipeline's end as can be, at least the last estimator.

    Raises:
        Unconvertible: ``why``, where nothing is gained.
    """
    steps = steps_of(model.estimator)
    for n_native in range(1, len(steps)):
        head, tail = steps[:n_native], steps[n_native:]
        try:
            step = make_chain(tail, method, building)
        except Unconvertible:
            continue
        _check_head(head, tail)
        return _native(model, head), step
    raise why


def steps_of(estimator: Any) -> list[Any]:
    """Return the steps that do something of the pipeline that a model is, or that a search found."""
    names = {base.__name__ for base in type(estimator).__mro__}
    if "BaseSearchCV" in names:
        return steps_of(estimator.best_estimator_)
    if "Pipeline" not in names:
        return [estimator]
    return [step for _, step in estimator.steps if not is_kept(step)]


def _check_head(head: Sequence[Any], tail: Sequence[Any]) -> None:
    if any(getattr(part, "n_jobs", None) not in (None, 1) for step in head for part in parts_of(step)):
        raise Unconvertible(f"{type(head[0]).__name__} asks for processes")
    width = getattr(tail[0], "n_features_in_", 0)
    if width > _WIDEST:
        raise Unconvertible(f"{type(head[-1]).__name__} makes {width} columns")


def _native(model: Model, head: Sequence[Any]) -> Entry:
    def transform(tensors: Tensors) -> Array:
        try:
            rows = model.assemble(tensors)
            for step in head:
                rows = step.transform(rows)
        except Exception as error:
            # The framework is foreign code; whatever it raises here, it will raise again, to the client.
            raise StepAside(f"{type(error).__name__} in the pipeline's head") from error
        if hasattr(rows, "toarray"):
            rows = rows.toarray()
        matrix = np.asarray(rows)
        if matrix.ndim != 2 or matrix.dtype != np.float64:
            raise StepAside(f"the pipeline's head makes {matrix.dtype}")
        return np.ascontiguousarray(matrix)

    return transform
