"""What the runtimes of gradient boosters share: features, rows as numbers, methods, the runtime itself.

Rules of this room:
1. It knows no framework. A runtime of one says what its features are and calls its own library.
2. The answer is the framework's own; the user's model is never changed.
3. A call uses one core: many workers share the machine, and OpenMP's pool does not survive a fork.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from demijohn.errors import ConfigurationError, LoadError, ModelRefused, SignatureMismatch
from demijohn.messages import Array, Tensors, count_rows
from demijohn.signature import Signature, TensorSpec, as_json_value

from .base import Joining
from .boosted_trees import BoostedTrees
from .digests import KNOWN
from .examples import FAILS_ON_EXAMPLE, Example, as_inputs, probe, read_example
from .outputs import name_outputs

logger = logging.getLogger("demijohn")

METHODS = (
    "predict",
    "predict_proba",
    "predict_log_proba",
    "decision_function",
    "margin",
    "leaf",
    "contributions",
)
_OF_CLASSES = {"predict_proba", "predict_log_proba", "decision_function"}
_N_TRIED_ROWS = 64


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of a model."""

    name: str | None  #: None: the model was fitted without names.
    dtype: str = "float64"
    nullable: bool = True
    #: What the codes 0, 1, ... of a column of categories stand for; None: numbers are taken as they are.
    categories: tuple[Any, ...] | None = None
    is_closed: bool = False  #: The framework refuses a category that it does not know.
    value: Any = 0.0  #: A plausible cell.

    @property
    def spec(self) -> TensorSpec:
        """Return the column as a signature has it."""
        return TensorSpec(
            self.name or "", self.dtype, nullable=self.nullable, categories=self.categories,
            is_closed=self.is_closed,
        )  # fmt: skip


def category_feature(name: str, categories: Sequence[Any], *, is_closed: bool) -> Feature:
    """Describe a column of which the model knows the categories.

    Args:
        name: Of the column.
        categories: In the order of their codes.
        is_closed: The framework refuses any other.
    """
    known = tuple(as_json_value(category) for category in categories)
    kinds = {type(category) for category in known}
    dtype = (
        {str: "str", bool: "bool", int: "int64", float: "float64"}.get(kinds.pop(), "object")
        if len(kinds) == 1
        else "object"
    )
    return Feature(name, dtype, categories=known, is_closed=is_closed, value=known[0] if known else None)


def wrap_with(
    make: Callable[[Example | None], BoosterRuntime], example: object, *, batch: bool
) -> BoosterRuntime:
    """Make a runtime; see ``demijohn.runtimes.wrap``.

    Raises:
        ConfigurationError: the example does not fit the model, or an option is for functions.
    """
    if batch:
        raise ConfigurationError("batch=True is for functions; Demijohn finds out itself what a model allows")
    try:
        return make(read_example(example))
    except SignatureMismatch as error:
        raise ConfigurationError(f"The example does not fit the model: {error.detail}") from error


class BoosterRuntime:
    """One fitted booster.

    Args:
        model: As the user gave it; held for its digest alone.
        features: In the model's order.
        methods: Of ``METHODS``.
        example: Completes the signature.
        concurrency: Calls that may run at a time.
    """

    framework: str
    tolerance: float  #: Largest relative error that an engine is allowed.
    framework_version: str | None
    joining: Joining = "prove"
    refusals: tuple[type[Exception], ...] = (ValueError, TypeError)
    is_callable_unasked = True
    survives_fork = True
    metadata: Mapping[str, str] = {}
    is_wrapped = False  #: ``call`` goes through a wrapper in scikit-learn's manner.

    def __init__(
        self,
        model: Any,
        features: Sequence[Feature],
        methods: Sequence[str],
        example: Example | None,
        concurrency: int | None,
    ) -> None:
        self.model = model
        self.features = tuple(features)
        self.methods = tuple(methods)
        self.concurrency = concurrency or 1
        self.sha256: str | None = None
        self._digest: list[str | None] = []  # what ``digest`` found out, once it was asked
        known = _signature(self.features)
        self.signature = known if example is None else example.complete(known)
        self._encode = make_encoder(self.signature, self.features)
        self._example = (
            _example_rows(self.features, self.signature)
            if example is None
            else example.rows_for(self.signature)
        )
        self.signature = self.signature.with_outputs(self._probe())
        self.fails_on_example = not self.signature.outputs  #: See ``planning.shown_rows``.
        self.warnings: tuple[str, ...] = (FAILS_ON_EXAMPLE,) if self.fails_on_example else ()

    def run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        """Run one method; see ``Runtime.run``."""
        del parameters  # there are none
        return name_outputs(method, self.call(method, self.rows(tensors)), count_rows(tensors), {})

    def parameters(self, method: str) -> tuple[str, ...]:
        del method
        return ()

    def classes(self, method: str) -> list[Any] | None:
        if method not in _OF_CLASSES:
            return None
        labels = self.labels()
        return None if labels is None else [as_json_value(label) for label in labels]

    def example_rows(self) -> Sequence[Any]:
        return self._example

    def digest(self) -> str | None:
        if not self._digest:
            self._digest.append(self._find_digest())
        return self._digest[0]

    def encode(self, tensors: Tensors) -> Array:
        """Return rows as the numbers that the trees read: (n_rows, n_features) float64, C-contiguous.

        Raises:
            ModelRefused: a category is not known, and the framework refuses such.
        """
        return self._encode(tensors)

    # What a framework's runtime says -----------------------------------------------------------

    def rows(self, tensors: Tensors) -> Any:
        """Return what the framework's methods are called with."""
        raise NotImplementedError

    def call(self, method: str, rows: Any) -> Any:
        """Call one of the framework's methods, on one core."""
        raise NotImplementedError

    def plain(self, method: str, matrix: Array) -> Array:
        """Answer encoded rows by the booster itself, without what wraps it."""
        raise NotImplementedError

    def labels(self) -> Sequence[Any] | None:
        """Return the labels of the columns of ``predict_proba``."""
        raise NotImplementedError

    def read_trees(self) -> BoostedTrees:
        """Read the model's trees anew; they may be as large as the model.

        Raises:
            Unreadable: the model is no sum of leaves that is known here.
            LoadError: its trees are broken.
        """
        raise NotImplementedError

    def content(self) -> bytes:
        """Return what tells this model from others of its class."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------------------

    def try_out(self) -> None:
        """Predict some rows, far apart: what is broken in a file may show only then."""
        matrix = far_apart(len(self.features))
        for method in self.methods:
            try:
                self.plain(method, matrix)
            except self.refusals as error:
                logger.debug("%s of rows far apart: %s", method, error)

    def _find_digest(self) -> str | None:
        modules = {base.__module__.partition(".")[0] for base in type(self.model).__mro__}
        if not modules <= KNOWN | {
            "abc",
            "typing",
        }:  # code of its own may change while the model stays the same
            return None
        if self.sha256 is not None:
            return self.sha256
        kind = f"{type(self.model).__qualname__} {self.labels()}"
        return "booster:" + hashlib.sha256(kind.encode() + self.content()).hexdigest()

    def _probe(self) -> dict[str, tuple[TensorSpec, ...]]:
        """Call each method once on the example, to know what it returns."""
        tensors = self.signature.validate(as_inputs(self._example[:1]))
        return probe(self.run, self.methods, tensors)


def far_apart(n_features: int) -> Array:
    """Make rows that differ in magnitude, with missing values among them."""
    rng = np.random.default_rng(0)
    shape = (_N_TRIED_ROWS, n_features)
    rows: Array = rng.normal(size=shape) * 10.0 ** rng.integers(-2, 6, shape)
    rows[rng.random(shape) < 0.1] = np.nan
    return rows


def check_methods(methods: Sequence[str], name: str) -> tuple[str, ...]:
    """Return methods in their order.

    Raises:
        LoadError: there is none.
    """
    found = tuple(method for method in METHODS if method in methods)
    if not found:
        raise LoadError(f"{name} has no prediction method, so it cannot be served")
    return found


# Signatures -------------------------------------------------------------------------------------


def _signature(features: Sequence[Feature]) -> Signature:
    if not features:
        raise LoadError("The model takes no columns, so there is nothing to predict from")
    if all(feature.name is not None for feature in features):
        return Signature("table", tuple(feature.spec for feature in features))
    dtypes = {feature.dtype for feature in features}
    dtype = dtypes.pop() if len(dtypes) == 1 else "object"
    nullable = any(feature.nullable for feature in features)
    return Signature("matrix", (TensorSpec("inputs", dtype, (-1, len(features)), nullable=nullable),))


def _example_rows(features: Sequence[Feature], signature: Signature) -> list[Any]:
    if signature.layout == "matrix":
        return [[feature.value for feature in features]]
    return [{spec.name: feature.value for spec, feature in zip(signature.inputs, features, strict=True)}]


# Rows as numbers --------------------------------------------------------------------------------

Encoder = Callable[[Tensors], Array]
_FLOAT64 = np.dtype(np.float64)


def make_encoder(signature: Signature, features: Sequence[Feature]) -> Encoder:
    """Make what turns tensors into the numbers that the trees read."""
    if signature.layout == "matrix":
        return _encode_matrix
    names = [spec.name for spec in signature.inputs]
    coders = {
        spec.name: _coder(spec.name, feature)
        for spec, feature in zip(signature.inputs, features, strict=True)
        if feature.categories is not None
    }
    if not coders and all(spec.dtype == "float64" for spec in signature.inputs):
        return lambda tensors: _side_by_side([tensors[name] for name in names])
    return lambda tensors: _side_by_side(
        [coders[name](tensors[name]) if name in coders else _numbers(tensors[name]) for name in names]
    )


def _encode_matrix(tensors: Tensors) -> Array:
    (rows,) = tensors.values()
    if rows.dtype is _FLOAT64 and rows.flags.c_contiguous:
        return rows
    return np.ascontiguousarray(_numbers(rows))


def _side_by_side(columns: Sequence[Array]) -> Array:
    if len(columns[0]) == 1:
        return np.concatenate(columns).reshape(1, -1)
    return np.ascontiguousarray(np.array(columns).T)


def _numbers(column: Array) -> Array:
    """Return numbers or bools as float64; what is missing becomes NaN."""
    return np.asarray(column, dtype=np.float64)  # None is NaN to numpy


def _coder(name: str, feature: Feature) -> Callable[[Array], Array]:
    """Make what turns a column of categories into their codes; what is missing becomes NaN."""
    codes: dict[Any, float] = {
        category: float(code) for code, category in enumerate(feature.categories or ())
    }

    def code(cell: Any) -> float:
        found = codes.get(cell)
        if found is not None:
            return found
        if feature.is_closed and cell is not None and cell == cell:
            raise ModelRefused(f"{name!r}: a category that the model does not know")
        return np.nan

    return lambda column: np.array([code(cell) for cell in column.tolist()], dtype=np.float64)
