"""Engines for fitted estimators of scikit-learn: their own arithmetic, without what surrounds it.

Rules of this room:
1. ``candidates`` builds nothing and imports no library: what an engine needs is asked for when it is built.
2. Each engine of a method is another way to run the same steps; parity and time decide between them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from demijohn.acceleration.engine import Backend, Candidate, Engine, Unconvertible

from .entry import Model
from .parts import ONLY_SELECT, has_trees, parts_of

if TYPE_CHECKING:
    from demijohn.acceleration.trees.ensemble import Ensemble

logger = logging.getLogger("demijohn.acceleration")

#: Largest relative error of float32 arithmetic that ``--fast`` allows.
FAST = 1e-5

#: Of these methods, others return several things, or distances that no step makes.
_METHODS = frozenset({
    "predict", "predict_proba", "predict_log_proba", "decision_function", "transform", "score_samples",
    "apply",
})  # fmt: skip


def candidates(runtime: Model, *, is_fast: bool) -> list[Candidate]:
    """Return the engines that may suit a model's methods.

    Args:
        runtime: Of scikit-learn.
        is_fast: Engines in float32 are wanted too, and such as change a number's last bits.
    """
    are_trees = has_trees(runtime.estimator)
    builders = dict(_WITH_TREES if are_trees else _WITHOUT_TREES)
    if is_fast:
        builders["onnx-float32"] = _by(_onnx_float32)
        if not are_trees:
            builders["kernel"] = partial(_linear, gives_numbers=True)
    return [
        Candidate(name, method, partial(build, runtime, method))
        for method in runtime.methods
        if method in _METHODS
        for name, build in builders.items()
    ]


def prepare(runtime: Model) -> list[Any]:
    """Put large forests into the form in which the kernel runs them, before a fork shares its pages.

    Returns:
        What was made; engines that are built while it is there use it.
    """
    from demijohn import kernels

    if not kernels.IS_BUILT:
        return []
    from demijohn.acceleration.trees import kernel_trees

    made = []
    for ensemble in _large_ensembles(runtime.estimator):
        try:
            made.append(kernel_trees.forest_of(ensemble))
        except Unconvertible as error:
            logger.debug("not prepared: %s", error)  # the plan will tell the operator
    return made


def _large_ensembles(estimator: Any) -> Iterator[Ensemble]:
    """Read what is worth sharing: ensembles that tell what they are made of, so that it is found again."""
    from demijohn.acceleration.trees import sklearn_trees
    from demijohn.acceleration.trees.ensemble import LARGE_NODES

    inside: set[int] = set()  # members are served by the forest around them
    for part in parts_of(estimator, but_not_in=ONLY_SELECT):
        if id(part) in inside or not sklearn_trees.is_tree_ensemble(part):
            continue
        inside.update(map(id, getattr(part, "estimators_", ())))
        try:
            ensemble = sklearn_trees.read(part, "predict")
        except Unconvertible as error:
            logger.debug("not prepared: %s", error)
            continue
        if ensemble.made_of and ensemble.n_nodes >= LARGE_NODES:
            yield ensemble


_Builder = Callable[[Model, str], Engine]  #: Of a method's engine; raises ``Unconvertible``.


def _by(make: Callable[[], Backend]) -> _Builder:
    def build(runtime: Model, method: str) -> Engine:
        from . import program

        return program.build(runtime, method, make())

    return build


def _linear(runtime: Model, method: str, *, gives_numbers: bool = False) -> Engine:
    from . import linear_kernel

    return linear_kernel.build(runtime, method, gives_numbers=gives_numbers)


def _numpy() -> Backend:
    return Backend("numpy")


def _kernel_of_trees() -> Backend:
    from demijohn.acceleration.trees import kernel_trees

    return Backend("kernel", trees=kernel_trees.step)


def _onnx() -> Backend:
    from demijohn.acceleration import onnx_convert
    from demijohn.acceleration.trees import onnx_trees

    return Backend("onnx", trees=onnx_trees.step, others=onnx_convert.step)


def _treelite() -> Backend:
    from demijohn.acceleration.trees import treelite_trees

    return Backend("treelite", trees=treelite_trees.step)


def _onnx_float32() -> Backend:
    from demijohn.acceleration import onnx_convert

    return Backend("onnx-float32", others=onnx_convert.step32, tolerance=FAST)


def _unchecked() -> Backend:
    from . import unchecked

    return Backend("unchecked", others=unchecked.step)


_WITH_TREES = {"kernel": _by(_kernel_of_trees), "onnx": _by(_onnx), "treelite": _by(_treelite)}
_WITHOUT_TREES = {
    "kernel": _linear, "numpy": _by(_numpy), "onnx": _by(_onnx), "unchecked": _by(_unchecked),
}  # fmt: skip
