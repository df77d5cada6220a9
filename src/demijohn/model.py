"""``models["iris"]`` and ``demijohn.load(...)``: a served model in Python's hands.

Rules of this room:
1. A call goes the same way as a request: signature, queue, runtime; so a view that calls it gets
   checked, batched and thread-safe answers.
2. The handle names a model, not a version: after a swap it calls the new one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .batching import Stream
from .config import MAX_PIXELS
from .messages import Array, InferenceRequest, Matrix, NamedTensors, Rows, Tensors, plain
from .notebook import signature_html
from .predictor import Predictor
from .protocols import json_forms
from .signature import Signature

_SHORT_FLOATS = tuple(map(np.dtype, ("float64", "float32", "float16")))  # a float64 holds each exactly
_NESTED = (list, tuple, np.ndarray)


class Model:
    """A served model; its prediction methods are attributes.

    ``model.predict(X)`` takes what a request's JSON may hold (rows, records, ``{"instances": …}``),
    an array ``(n_rows, ...)``, a dict of them or a DataFrame, and returns the estimator's own array,
    or a dict of arrays where the method has several outputs.
    """

    def __init__(self, resolve: Callable[[], Predictor]) -> None:
        self._resolve = resolve

    def __getattr__(self, name: str) -> Callable[..., Array | Tensors]:
        """Return a prediction method of the model.

        Raises:
            AttributeError: it has no such method.
        """
        if name.startswith("_"):
            raise AttributeError(name)
        predictor = self._resolve()
        if name not in predictor.runtime.methods:
            methods = ", ".join(predictor.runtime.methods)
            raise AttributeError(f"model {predictor.name!r} has no method {name!r}; it has: {methods}")

        def call(X: Any, **parameters: Any) -> Array | Tensors:  # noqa: N803  - scikit-learn's name
            return self._call(name, X, parameters)

        return call

    def __dir__(self) -> list[str]:
        """List the prediction methods too, for whoever presses Tab."""
        return sorted({*super().__dir__(), *self.methods})

    def stream(self, X: Any, method: str = "predict", **parameters: Any) -> Stream:  # noqa: N803
        """Return the items of a model that answers item by item, one after another.

        The model is taken until the last item is fetched or ``close()`` is called.

        Raises:
            MethodNotFound: the method answers as a whole.
        """
        predictor = self._resolve()
        given = request_of(X, predictor.max_pixels)
        request = InferenceRequest(given.inputs, {**given.parameters, **parameters})
        return predictor.stream(method, request, time.monotonic() + predictor.deadline_s)

    def _call(self, method: str, X: Any, parameters: dict[str, Any]) -> Array | Tensors:  # noqa: N803
        predictor = self._resolve()
        given = request_of(X, predictor.max_pixels)
        request = InferenceRequest(given.inputs, {**given.parameters, **parameters})
        response = predictor.predict(method, request, time.monotonic() + predictor.deadline_s)
        predictor.count(response)
        outputs = response.outputs
        return outputs[method] if list(outputs) == [method] else outputs

    @property
    def name(self) -> str:
        """The model's name."""
        return self._resolve().name

    @property
    def version(self) -> str:
        """The version that answers now."""
        return self._resolve().version

    @property
    def methods(self) -> tuple[str, ...]:
        """The model's prediction methods."""
        return self._resolve().runtime.methods

    @property
    def signature(self) -> Signature:
        """What the model accepts and returns."""
        return self._resolve().signature

    @property
    def plan(self) -> dict[str, Any]:
        """Which engine runs each method."""
        return self._resolve().plan()

    def __repr__(self) -> str:
        """Name the model, its version and its inputs."""
        return f"<Model {self.name} version {self.version}: {self.signature}>"

    def _repr_html_(self) -> str:
        """Show the signature as a table, for notebooks."""
        title = f"{self.name}, version {self.version}: {', '.join(self.methods)}"
        return signature_html(title, self.signature)


def request_of(X: Any, max_pixels: int = MAX_PIXELS) -> InferenceRequest:  # noqa: N803  - scikit-learn's name
    """Read what a caller in Python passed.

    Args:
        X: JSON as Flask parses it, an array, a list of arrays or of Series, a dict of arrays (all rows
            of each input), a DataFrame, or a sparse matrix.
        max_pixels: Of all images in it.

    Raises:
        SignatureMismatch: it is none of these.
    """
    if hasattr(X, "columns") and hasattr(X, "dtypes"):
        columns = [_cells(X.iloc[:, index].tolist()) for index in range(X.shape[1])]
        return _with_names([list(row) for row in zip(*columns, strict=True)], X.columns)
    if hasattr(X, "toarray"):
        X = X.toarray()  # noqa: N806
    if hasattr(X, "to_numpy"):
        X = X.to_numpy()  # noqa: N806
    if isinstance(X, np.ndarray):
        if X.ndim > 2:
            return InferenceRequest(NamedTensors({"inputs": X}))
        if X.dtype in _SHORT_FLOATS and X.ndim == 2 and X.size and not np.isnan(X).any():
            # A copy: the caller may write to theirs.
            return InferenceRequest(Matrix(np.array(X, np.float64, order="C"), lambda: _rows_of(X)))
        return InferenceRequest(_rows_of(X))
    if isinstance(X, dict) and X and all(isinstance(value, np.ndarray) for value in X.values()):
        return InferenceRequest(NamedTensors(X))
    if isinstance(X, (list, tuple)):
        if X and all(_is_named(row) and row.index.equals(X[0].index) for row in X):
            return _with_names([_cells(row.tolist()) for row in X], X[0].index)
        X = [_row(row) for row in X]  # noqa: N806
    return json_forms.read_document(X, max_pixels)


def _with_names(rows: list[Any], names: Iterable[Any]) -> InferenceRequest:
    """Give rows their columns' names, in a form that a model without any takes by position."""
    return InferenceRequest(Rows(rows, columns=[str(name) for name in names]))


def _is_named(row: Any) -> bool:
    """Say whether a row is a Series, as ``frame.iloc[0]`` is."""
    return hasattr(row, "to_numpy") and hasattr(row, "index")


def _rows_of(array: Array) -> Rows:
    return Rows([_row(row) for row in _cells(plain(array))])


def _row(row: Any) -> Any:
    """Return a row as JSON would have it; one in Python may be a tuple or an array, or hold some."""
    if isinstance(row, dict) and any(isinstance(value, _NESTED) for value in row.values()):
        return {name: _row(value) for name, value in row.items()}
    if isinstance(row, np.ndarray):
        row = plain(row)
    if not isinstance(row, (list, tuple)):
        return row
    cells = _cells(list(row))
    return [_row(cell) for cell in cells] if any(isinstance(cell, _NESTED) for cell in cells) else cells


def _cells(values: list[Any]) -> list[Any]:
    """Write missing values as None: in Python's tables they are NaN, NaT or NA."""
    return [None if _is_missing(value) else value for value in values]


def _is_missing(value: Any) -> bool:
    if isinstance(value, float):
        return math.isnan(value)
    return type(value).__name__ in ("NAType", "NaTType")
