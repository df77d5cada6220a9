"""Engines for gradient boosters: the sum of their leaves, without what surrounds it.

Rules of this room:
1. A booster's runtime reads its own model into arrays and says what becomes of the sums; see its
   ``read_trees``. What it cannot read, it runs itself.
2. Where sums are rounded at each addition, only an engine that does the same may name labels.
3. A category that is no whole number of a set is the framework's to judge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np

from demijohn.errors import DemijohnError
from demijohn.messages import Array, Tensors

from .engine import Candidate, Engine, Part, Step, StepAside, Unconvertible
from .trees.ensemble import Ensemble
from .trees.joining import Rows, Tree, join

_N_CATEGORIES = 256
_LEAF = "leaf"


class BoosterModel(Protocol):
    """What is asked of a runtime of boosters."""

    methods: tuple[str, ...]
    tolerance: float
    is_wrapped: bool  #: ``run`` goes through a wrapper in scikit-learn's manner.

    def encode(self, tensors: Tensors) -> Array:
        """Return rows as the numbers that the trees read."""

    def plain(self, method: str, matrix: Array) -> Array:
        """Answer encoded rows by the booster itself."""

    def read_trees(self) -> Any:
        """Return the trees, in the form of the runtime's ``BoostedTrees``."""


@dataclass(slots=True)
class BoosterEngine:
    """One method of a booster; see ``Engine``."""

    name: str
    is_whole: bool
    tolerance: float
    parts: tuple[Part, ...]
    method: str
    encode: Callable[[Tensors], Array]
    step: Step

    def run(self, tensors: Tensors) -> Tensors:
        """Run the method; see ``Engine.run``."""
        try:
            rows = self.encode(tensors)
        except DemijohnError as error:
            raise StepAside(error.detail) from error
        return {self.method: self.step(rows)}


def candidates(runtime: BoosterModel) -> list[Candidate]:
    """Return the engines that may suit a booster's methods."""
    reading = _Reading(runtime)
    makers: dict[str, Callable[[_Reading, str], Engine]] = {
        "kernel": _kernel,
        "onnx": _onnx,
        "treelite": _treelite,
        "unchecked": _unchecked,
    }
    return [
        Candidate(name, method, partial(make, reading, method))
        for method in runtime.methods
        if method != "contributions"  # no sum of leaves; TreeSHAP is the framework's own
        for name, make in makers.items()
        if name != "unchecked" or runtime.is_wrapped
    ]


class _Reading:
    """A booster, whose trees are read once for all its engines."""

    def __init__(self, runtime: BoosterModel) -> None:
        self.runtime = runtime
        self._plain: dict[str, _Plain] = {}

    def plain(self, method: str) -> _Plain:
        """Return the booster itself, one for all engines of a method."""
        return self._plain.setdefault(method, _Plain(self.runtime, method))

    @property
    def names_labels(self) -> bool:
        """Say whether ``predict`` names labels; the trees can be read."""
        return bool(self._trees.names_labels)

    @cached_property
    def _trees(self) -> Any:
        """The trees, or why they cannot be read."""
        try:
            return self.runtime.read_trees()
        except Exception as error:  # noqa: BLE001
            # A runtime may come from elsewhere, and reads what its framework's version happens to write.
            return error

    def ensemble(self, method: str) -> Ensemble:
        """Return the trees and what one method makes of them.

        Raises:
            Unconvertible: they are no sum of leaves.
        """
        boosted = self._trees
        if isinstance(boosted, Exception):
            raise Unconvertible(str(boosted) or type(boosted).__name__) from boosted
        if method != _LEAF and method not in boosted.finishes:
            raise Unconvertible(f"{method} of this objective is no function of the sums that is known here")
        return _joined(boosted, method)


def _joined(boosted: Any, method: str) -> Ensemble:
    by_leaf = method == _LEAF
    trees = [_tree(tree) for tree in boosted.trees]
    categorical = list(boosted.categorical_columns)
    known = None
    if categorical:
        known = np.zeros((boosted.n_features, _N_CATEGORIES // 32), np.uint32)
        known[categorical] = np.uint32(0xFFFFFFFF)
    rows = Rows(
        boosted.n_features,
        casts_to_float32=boosted.casts_to_float32,
        allows_missing=True,
        known_categories=known,
        prepare=_checked_categories(categorical) if categorical else None,
        sums_in_float32=boosted.sums_in_float32 and not by_leaf,
    )
    if not by_leaf:
        finish = _sure(boosted.finishes[method])
        return join(trees, rows, start=boosted.start, finish=finish, columns=boosted.columns)
    n_trees = len(trees)
    return join(
        [_numbered(tree) for tree in trees],
        rows,
        start=np.zeros(n_trees),
        finish=_namer([tree.leaf_names for tree in boosted.trees], boosted.leaf_dtype),
        columns=np.arange(n_trees),
        gives_leaves=True,
    )


def _tree(tree: Any) -> Tree:
    return Tree(
        feature=tree.feature,
        threshold=tree.threshold,
        left=tree.left,
        right=tree.right,
        missing_left=tree.missing_left,
        values=tree.values,
        categorical=tree.categorical,
        left_categories=tree.left_categories,
    )


def _numbered(tree: Tree) -> Tree:
    """Give each leaf its own number for a value."""
    return Tree(
        tree.feature, tree.threshold, tree.left, tree.right, tree.missing_left, None, tree.categorical,
        tree.left_categories,
    )  # fmt: skip


def _namer(names: Sequence[Array], dtype: str) -> Callable[[Array], Array]:
    """Turn the numbers of leaves into the framework's names for them: (n_rows, n_trees)."""
    table = np.concatenate(names).astype(dtype)
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in names])[:-1]])

    def finish(nodes: Array) -> Array:
        return np.asarray(table[nodes.astype(np.intp) + offsets])

    return finish


def _sure(finish: Callable[[Array], Array | None]) -> Callable[[Array], Array]:
    def sure(sums: Array) -> Array:
        found = finish(sums)
        if found is None:
            raise StepAside("two labels are as likely, but for rounding")
        return found

    return sure


def _checked_categories(columns: Sequence[int]) -> Callable[[Array], Array]:
    def check(rows: Array) -> Array:
        cells = rows[:, columns]
        fits = (cells >= 0) & (cells < _N_CATEGORIES) & (np.floor(cells) == cells)
        if not (fits | np.isnan(cells)).all():
            raise StepAside("a number that is no category of a set")
        return rows

    return check


# Engines ----------------------------------------------------------------------------------------


def _with_trees(reading: _Reading, method: str, name: str, step: Callable[[Ensemble], Step]) -> Engine:
    runtime = reading.runtime
    made = step(reading.ensemble(method))
    # Its own probe rows stand at its thresholds, which rows of the signature seldom meet.
    part = Part(reading.plain(method), "predict", made, partial(reading.ensemble, method))
    return BoosterEngine(name, True, runtime.tolerance, (part,), method, runtime.encode, made)


class _Plain:
    """The booster itself, asked for encoded rows."""

    def __init__(self, runtime: BoosterModel, method: str) -> None:
        self._runtime = runtime
        self._method = method

    def predict(self, matrix: Array) -> Array:
        """Answer one method."""
        return self._runtime.plain(self._method, matrix)


def _kernel(reading: _Reading, method: str) -> Engine:
    from .trees import kernel_trees

    return _with_trees(reading, method, "kernel", kernel_trees.step)


def _onnx(reading: _Reading, method: str) -> Engine:
    from .trees import onnx_trees

    return _in_double(reading, method, "onnx", onnx_trees.step)


def _treelite(reading: _Reading, method: str) -> Engine:
    from .trees import treelite_trees

    return _in_double(reading, method, "treelite", treelite_trees.step)


def _in_double(reading: _Reading, method: str, name: str, step: Callable[[Ensemble], Step]) -> Engine:
    """Build an engine whose sums are of doubles."""
    if reading.ensemble(method).sums_in_float32 and method == "predict" and reading.names_labels:
        raise Unconvertible("it adds up in double, and could name another label")
    return _with_trees(reading, method, name, step)


def _unchecked(reading: _Reading, method: str) -> Engine:
    """Call the booster itself, past its wrapper and the wrapper's checks."""
    runtime = reading.runtime

    def step(rows: Array) -> Array:
        try:
            return runtime.plain(method, rows)
        except (ValueError, TypeError) as error:
            raise StepAside("the booster refuses the rows") from error

    return BoosterEngine("unchecked", False, runtime.tolerance, (), method, runtime.encode, step)
