"""The scikit-learn runtime: any fitted estimator, of scikit-learn or in its manner.

Rules of this room:
1. The answer is the estimator's own, bit for bit: nothing here rounds, casts or reorders.
2. The estimator is never changed: no ``fit``, no ``set_params``, no attribute is written.
3. Under a server one call uses one core: what asks for more (``n_jobs``) runs one after another, as
   many workers share the machine and a thread pool does not survive a fork.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType
from typing import Any

import numpy as np

from demijohn.errors import ConfigurationError, LoadError, SignatureMismatch
from demijohn.messages import Array, Tensors, count_rows
from demijohn.signature import Signature, TensorSpec, as_json_value

from .base import Joining
from .digests import digest_of
from .examples import FAILS_ON_EXAMPLE, Example, as_inputs, probe, read_example
from .frames import FrameBuilder, natural
from .object_graph import estimators_in
from .outputs import name_outputs
from .pickles import missing_extra
from .sklearn_methods import classes_of, methods_of, parameters_of
from .sklearn_parts import is_a
from .sklearn_signature import Reading, read_estimator

logger = logging.getLogger("demijohn")


def wrap(
    model: object, *, example: object = None, batch: bool = False, concurrency: int | None = None
) -> SklearnRuntime:
    """Adapt a fitted estimator; see ``demijohn.runtimes.wrap``.

    Raises:
        LoadError: it is not fitted, or has no prediction method.
        ConfigurationError: the example does not fit it.
    """
    if batch:
        raise ConfigurationError(
            "batch=True is for functions; Demijohn finds out itself what an estimator allows"
        )
    _check_model(model)
    try:
        return SklearnRuntime(model, read_example(example), concurrency or 1)
    except SignatureMismatch as error:
        raise ConfigurationError(f"The example does not fit the model: {error.detail}") from error


def _check_model(model: Any) -> None:
    name = type(model).__name__
    if hasattr(model, "fit") and (hasattr(model, "get_params") or hasattr(model, "__sklearn_is_fitted__")):
        _check_fitted(model, name)
    if not methods_of(model):
        raise LoadError(f"{name} has no prediction method (predict, transform, ...), so it cannot be served")
    for part in estimators_in(model):
        if is_a(part, "DictVectorizer") or is_a(part, "FeatureHasher"):
            raise LoadError(
                f"{type(part).__name__} takes dicts of any keys, which have no signature; "
                "serve it inside a function of your own"
            )
        if is_a(part, "_VectorizerMixin") and part.input != "content":
            raise LoadError(
                f"{type(part).__name__}(input={part.input!r}) reads files that a request would name;"
                ' only input="content" is served'
            )


def _check_fitted(model: Any, name: str) -> None:
    try:
        from sklearn.exceptions import NotFittedError
        from sklearn.utils.validation import check_is_fitted
    except ModuleNotFoundError as error:
        raise missing_extra("sklearn", name) from error
    try:
        check_is_fitted(model)
    except NotFittedError as error:
        # Estimators from elsewhere may keep what they learnt under names without the underscore at
        # the end, by which scikit-learn knows a fitted one.
        is_foreign = not type(model).__module__.startswith("sklearn.")
        if not (is_foreign and vars(model).keys() - model.get_params(deep=False).keys()):
            raise LoadError(f"This {name} is not fitted; fit it before it is saved or added") from error


class SklearnRuntime:
    """One fitted estimator."""

    framework = "scikit-learn"
    joining: Joining = "prove"
    refusals: tuple[type[Exception], ...] = (ValueError, TypeError)
    is_callable_unasked = True
    survives_fork = True
    metadata: Mapping[str, str] = MappingProxyType({})

    def __init__(self, estimator: Any, example: Example | None, concurrency: int) -> None:
        self.estimator = estimator
        self.framework_version = _version()
        self.methods = methods_of(estimator)
        self.concurrency = concurrency
        self.sha256: str | None = None
        self._digest: list[str | None] = []  # what ``digest`` found out, once it was asked
        self._parameters = {method: parameters_of(estimator, method) for method in self.methods}
        self._asks_for_processes = _asks_for_processes(estimator)
        self._width = getattr(estimator, "_n_features_out", None)
        reading = read_estimator(estimator)
        self.signature = reading.signature if example is None else example.complete(reading.signature)
        self._frames = _frame_builder(reading, self.signature, example)
        self._example = (
            _example_rows(reading, self.signature) if example is None else example.rows_for(self.signature)
        )
        self.signature = self.signature.with_outputs(self._probe())
        self.fails_on_example = not self.signature.outputs  #: See ``planning.shown_rows``.
        self.warnings: tuple[str, ...] = (FAILS_ON_EXAMPLE,) if self.fails_on_example else ()

    def run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        """Run one method; see ``Runtime.run``.

        Raises:
            ModelError: the estimator returned another number of rows.
        """
        rows = self.assemble(tensors)
        with self._in_turn():
            result = getattr(self.estimator, method)(rows, **parameters)
        width = self._width if method == "transform" else None
        return name_outputs(method, result, count_rows(tensors), parameters, width)

    def parameters(self, method: str) -> tuple[str, ...]:
        return self._parameters[method]

    def classes(self, method: str) -> list[Any] | None:
        classes = classes_of(self.estimator, method)
        return classes if _label_columns(classes, self.signature.outputs.get(method)) else None

    def example_rows(self) -> Sequence[Any]:
        return self._example

    def digest(self) -> str | None:
        if not self._digest:
            self._digest.append(digest_of(self.estimator, self.sha256))
        return self._digest[0]

    def assemble(self, tensors: Tensors) -> Any:
        """Return what the estimator's methods are called with: a DataFrame or an array."""
        if self._frames is not None:
            return self._frames.build(tensors)
        if self.signature.layout == "table":
            # The client names columns, from the example; the model was fitted on an array.
            return _stack([tensors[spec.name] for spec in self.signature.inputs])
        (rows,) = tensors.values()
        if rows.dtype.kind == "O" and rows.ndim > 1:
            return natural(rows.ravel()).reshape(rows.shape)
        # Some compiled code of estimators takes only arrays that it may write to.
        return np.require(rows, requirements=["C", "W"])

    def _in_turn(self) -> AbstractContextManager[Any]:
        if not self._asks_for_processes:
            return nullcontext()
        from joblib import parallel_config

        in_turn: AbstractContextManager[Any] = parallel_config(backend="sequential")
        return in_turn

    def _probe(self) -> dict[str, tuple[TensorSpec, ...]]:
        """Call each method once on the example, to know what it returns.

        This runs in the parent, before workers are forked: one thread, since GNU's OpenMP waits for
        ever in a child of a process that has started its pool.
        """
        tensors = self.signature.validate(as_inputs(self._example[:1]))
        with _one_thread():
            return probe(self.run, self.methods, tensors)


def _one_thread() -> AbstractContextManager[Any]:
    try:
        from threadpoolctl import threadpool_limits
    except ModuleNotFoundError:  # it comes with scikit-learn; without, no model of its kind is here
        return nullcontext()
    limits: AbstractContextManager[Any] = threadpool_limits(1)
    return limits


def _version() -> str | None:
    try:
        import sklearn
    except ModuleNotFoundError:  # an estimator in scikit-learn's manner needs none
        return None
    return str(sklearn.__version__)


def _asks_for_processes(estimator: Any) -> bool:
    """Say whether the estimator, or one inside it, has ``n_jobs`` set."""
    return any(getattr(part, "n_jobs", None) not in {None, 1} for part in estimators_in(estimator))


def _frame_builder(reading: Reading, signature: Signature, example: Example | None) -> FrameBuilder | None:
    """Return what rebuilds the DataFrame that an estimator takes; None if it takes an array."""
    knows_nothing = not reading.is_frame and not reading.columns
    if signature.layout != "table" or not (reading.is_frame or knows_nothing):
        return None
    labels = None if example is None or reading.is_frame else example.labels
    missing = dict(
        zip((spec.name for spec in signature.inputs), (c.missing for c in reading.columns), strict=False)
    )
    try:
        return FrameBuilder(
            signature.inputs, labels=labels, dtypes=example.dtypes if example else {}, missing=missing
        )
    except ModuleNotFoundError as error:
        raise missing_extra("pandas", "A model that was fitted on a DataFrame") from error


def _stack(columns: Sequence[Array]) -> Array:
    """Put columns side by side, C-contiguous; numbers stay numbers, anything else makes objects."""
    if all(column.dtype.kind in "biuf" for column in columns):
        return np.column_stack(columns)
    return np.column_stack([column.astype(object) for column in columns])


def _example_rows(reading: Reading, signature: Signature) -> list[Any]:
    """Make one row of what the fitted estimator has kept; zeros where it kept nothing."""
    if signature.layout == "vector":
        return [reading.text]
    pairs = _pairs(reading, signature)
    if signature.layout == "matrix":
        return [[_cell_of(spec.dtype, column.value) for spec, column in pairs] or [reading.number]]
    return [{spec.name: _cell_of(spec.dtype, column.value) for spec, column in pairs if not spec.is_optional}]


def _pairs(reading: Reading, signature: Signature) -> list[tuple[TensorSpec, Any]]:
    if signature.layout == "matrix":
        return [(signature.inputs[0], column) for column in reading.columns]
    return list(zip(signature.inputs, reading.columns, strict=True))


def _cell_of(dtype: str, value: Any) -> Any:
    if value is None:
        return _DEFAULT_CELLS.get(dtype, 0)
    return int(value) if np.dtype(dtype if dtype != "str" else object).kind in "iu" else as_json_value(value)


_DEFAULT_CELLS = {"float64": 0.0, "str": "a text", "bool": False, "object": 0.0}


def _label_columns(classes: list[Any] | None, outputs: tuple[TensorSpec, ...] | None) -> bool:
    """Say whether labels stand for the columns (one-vs-one decision functions have a column per pair)."""
    if not classes or outputs is None:
        return bool(classes)
    if isinstance(classes[0], list):
        return len(classes) == len(outputs) and len(outputs[0].shape) > 1
    shape = outputs[0].shape
    return len(outputs) == 1 and len(classes) == (2 if len(shape) == 1 else shape[1])
