"""A linear model, alone or behind a scaler, in one call of a kernel.

numpy's ``dot`` gives up the GIL, after which a request waits for its turn, and each of its functions costs
0.4 µs for a single row; the kernel does neither.

Rules of this room:
1. The kernel sums in another order than BLAS. It names labels, which that cannot change; scores and
   probabilities, whose last bits it changes, only for who asked for speed first: numpy's are the framework's
   own, bit for bit, and no answer is to tell whether a plan was settled.
2. Rows of which the kernel is not sure are answered by the steps of numpy, in this very engine.
3. What numpy's steps do not translate, this does not either.

Source: see ``linear`` and ``linear_classifiers``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from demijohn import kernels
from demijohn.acceleration.engine import EXACT, Backend, Part, Unconvertible
from demijohn.messages import Array, Tensors

from . import program
from .entry import Model, matrix
from .linear import REGRESSORS, intercept_of
from .numerics import LIMIT, floats, plain_classes
from .preprocessing import robust_parts, standard_parts

#: Of a model: it is copied, and around the arithmetic of a larger one no call counts.
MAX_WEIGHT_BYTES = 16 * 2**20

#: From rows to what the method returns for them, a fresh array; None: it is not sure.
_Answer = Callable[[Array], Array | None]
_Maker = Callable[[Any, kernels.Linear], _Answer]


@dataclass(slots=True)
class LinearEngine:
    """Runs a linear model; see ``Engine``."""

    run: Callable[[Tensors], Tensors]
    name: str = "kernel"
    is_whole: bool = True
    tolerance: float = EXACT
    parts: tuple[Part, ...] = ()


def build(model: Model, method: str, *, gives_numbers: bool = False) -> LinearEngine:
    """Build the engine of one method.

    Args:
        model: The runtime of a fitted estimator.
        method: One of its methods.
        gives_numbers: Scores and probabilities may differ from the framework's, within half of what parity
            allows.

    Raises:
        Unconvertible: it is another model, or another method of it, or the kernel is not built.
    """
    steps = program.steps_of(model.estimator)
    maker = _METHODS.get(_name_of(steps[-1]), {}).get(method) if steps else None
    if maker is None:
        raise Unconvertible(f"its {method} is none of a linear model that the kernel knows")
    if not (gives_numbers or maker in (_labels, _labels_of_ridge)):
        raise Unconvertible("it would change a number's last bits, which is for --fast")
    *before, estimator = steps
    scaling = _scaling_of(before)
    if not kernels.IS_BUILT:
        raise Unconvertible(kernels.WHY_NOT)
    numpy = program.build(model, method, Backend("numpy"))
    if not numpy.is_whole:
        raise Unconvertible("the framework runs the steps before it")
    answer = maker(estimator, _kernel_of(estimator, *scaling))
    return LinearEngine((_of_matrix if numpy.entry is matrix else _of_any)(answer, numpy))


def _of_matrix(answer: _Answer, numpy: program.Program) -> Callable[[Tensors], Tensors]:
    """Return what runs a model that takes a matrix of float64: the kernel itself looks whether it is one."""
    method = numpy.method

    def run(tensors: Tensors) -> Tensors:
        (rows,) = tensors.values()
        result = answer(rows)
        return numpy.run(tensors) if result is None else {method: result}

    return run


def _of_any(answer: _Answer, numpy: program.Program) -> Callable[[Tensors], Tensors]:
    entry, method = numpy.entry, numpy.method

    def run(tensors: Tensors) -> Tensors:
        result = answer(entry(tensors))
        return numpy.run(tensors) if result is None else {method: result}

    return run


# What the kernel is made of -------------------------------------------------------------------


def _name_of(estimator: Any) -> str:
    """Return the name of scikit-learn's own class."""
    bases = type(estimator).__mro__
    return next((base.__name__ for base in bases if base.__module__.startswith("sklearn.")), "")


def _kernel_of(estimator: Any, minus: Array | None, divide: Array | None) -> kernels.Linear:
    coef = floats(estimator.coef_, "coef_", may_be_single=True)
    if coef.nbytes > MAX_WEIGHT_BYTES:
        raise Unconvertible(f"it has {coef.nbytes >> 20} MiB of weights, too many for a second copy")
    bias = intercept_of(estimator.intercept_, coef)
    weights = np.ascontiguousarray(coef.reshape(-1, coef.shape[-1]).T)
    bias = np.ascontiguousarray(np.broadcast_to(bias, weights.shape[1:]))
    return kernels.Linear(weights, bias, minus, divide, LIMIT)


def _scaling_of(steps: list[Any]) -> tuple[Array | None, Array | None]:
    """Return what is taken from a row, and what it is then divided by.

    Raises:
        Unconvertible: the steps are more, or others, than one such scaler.
    """
    if not steps:
        return None, None
    if len(steps) > 1 or _name_of(steps[0]) not in _SCALERS:
        raise Unconvertible(f"{type(steps[-1]).__name__} before it is no scaler that the kernel knows")
    if getattr(steps[0], "clip", False):
        raise Unconvertible(f"{type(steps[0]).__name__} clips")
    return _SCALERS[_name_of(steps[0])](steps[0])


_SCALERS: Mapping[str, Callable[[Any], tuple[Array | None, Array | None]]] = {
    "StandardScaler": standard_parts,
    "RobustScaler": robust_parts,
    "MaxAbsScaler": lambda one: (None, np.ascontiguousarray(one.scale_, np.float64)),
}

# What is made of the scores -------------------------------------------------------------------


def _several(_: Any, linear: kernels.Linear) -> _Answer:
    """Return what makes scores (n_rows, n_outputs)."""
    fill, n_outputs, empty = linear.scores, linear.n_outputs, np.empty

    def answer(rows: Array) -> Array | None:
        scores: Array = empty((len(rows), n_outputs))
        return None if fill(rows, scores) else scores

    return answer


def _flat(_: Any, linear: kernels.Linear) -> _Answer:
    """Return what makes scores (n_rows,)."""
    if linear.n_outputs != 1:
        raise Unconvertible(f"{linear.n_outputs} scores where one is expected")
    fill, empty = linear.scores, np.empty

    def answer(rows: Array) -> Array | None:
        scores: Array = empty(len(rows))
        return None if fill(rows, scores) else scores

    return answer


def _regression(estimator: Any, linear: kernels.Linear) -> _Answer:
    return (_flat if np.ndim(estimator.coef_) == 1 else _several)(estimator, linear)


def _decisions(estimator: Any, linear: kernels.Linear) -> _Answer:
    return (_flat if linear.n_outputs == 1 else _several)(estimator, linear)


def _classes_of(estimator: Any, linear: kernels.Linear) -> Array:
    classes = plain_classes(estimator.classes_)
    if len(classes) != max(2, linear.n_outputs):
        raise Unconvertible(f"{linear.n_outputs} scores for {len(classes)} classes")
    return classes


def _labels(estimator: Any, linear: kernels.Linear) -> _Answer:
    classes = _classes_of(estimator, linear)
    singles = [classes[index : index + 1] for index in range(len(classes))]
    find_one, find, empty = linear.winner, linear.winners, np.empty

    def answer(rows: Array) -> Array | None:
        if len(rows) == 1:
            index = find_one(rows)
            return None if index < 0 else singles[index].copy()
        found = empty(len(rows), np.int64)  # with other integers NumPy indexes more slowly
        return None if find(rows, found) else classes[found]

    return answer


def _labels_of_ridge(estimator: Any, linear: kernels.Linear) -> _Answer:
    if estimator._label_binarizer.y_type_.startswith("multilabel"):
        raise Unconvertible("a row has several labels")
    return _labels(estimator, linear)


def _probabilities(estimator: Any, linear: kernels.Linear) -> _Answer:
    n_classes = len(_classes_of(estimator, linear))
    fill, empty = linear.probabilities, np.empty

    def answer(rows: Array) -> Array | None:
        probabilities: Array = empty((len(rows), n_classes))
        return None if fill(rows, probabilities) else probabilities

    return answer


def _probabilities_of_descent(estimator: Any, linear: kernels.Linear) -> _Answer:
    # Each class against the rest: where all are improbable, which are zero decides, and that is a last bit.
    if estimator.loss != "log_loss" or linear.n_outputs != 1:
        raise Unconvertible(f"probabilities of loss={estimator.loss!r} are the kernel's for two classes only")
    return _probabilities(estimator, linear)


_Makers = Mapping[str, _Maker]  #: By method.
_REGRESSOR: _Makers = {"predict": _regression}
_DESCENT: _Makers = {"predict": _flat}
_CLASSIFIER: _Makers = {"predict": _labels, "decision_function": _decisions}
_LOGISTIC: _Makers = {**_CLASSIFIER, "predict_proba": _probabilities}
_RIDGE: _Makers = {**_CLASSIFIER, "predict": _labels_of_ridge}
_METHODS: Mapping[str, _Makers] = {
    **dict.fromkeys(REGRESSORS, _REGRESSOR),
    **dict.fromkeys(["SGDRegressor", "PassiveAggressiveRegressor"], _DESCENT),
    **dict.fromkeys(["LogisticRegression", "LogisticRegressionCV", "LinearDiscriminantAnalysis"], _LOGISTIC),
    **dict.fromkeys(["LinearSVC", "PassiveAggressiveClassifier", "Perceptron"], _CLASSIFIER),
    **dict.fromkeys(["RidgeClassifier", "RidgeClassifierCV"], _RIDGE),
    "SGDClassifier": {**_CLASSIFIER, "predict_proba": _probabilities_of_descent},
}
