"""The Keras runtime: a model of layers, on whichever backend Keras has here.

Rules of this room:
1. The answer is that of ``model.predict``, bit for bit, at a hundredth of its cost: the same traced
   function, called for as many rows at a time as ``predict`` calls it for (``predict_on_batch``).
2. The model is never changed: no ``fit``, no ``compile``.
3. Keras is imported, and the model built, in the process that runs it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from demijohn.errors import ConfigurationError, LoadError
from demijohn.messages import Array, Tensors
from demijohn.signature import Signature, TensorSpec, output_specs

from .base import Joining
from .examples import Example, as_inputs, read_example
from .keras_framework import backend_errors, import_keras, telling_line
from .keras_signature import all_layers, example_rows, name_outputs, output_names, read_inputs
from .row_chunks import run_rows

logger = logging.getLogger("demijohn")

_METHOD = "predict"


def wrap(
    model: object, *, example: object = None, batch: bool = False, concurrency: int | None = None
) -> KerasRuntime:
    """Adapt a Keras model; see ``demijohn.runtimes.wrap``.

    Raises:
        LoadError: it is no model, was never built, or takes what cannot be served.
        ConfigurationError: the example does not fit it.
    """
    if batch:
        raise ConfigurationError("batch=True is for functions; Demijohn finds out itself what a model allows")
    keras = import_keras(type(model).__name__)
    if not isinstance(model, keras.Model):
        raise LoadError(f"{type(model).__name__} is of Keras, but no keras.Model; serve the model in it")
    return KerasRuntime(keras, model, read_example(example), concurrency or 1)


class KerasRuntime:
    """One Keras model."""

    framework = "keras"
    joining: Joining = "prove"
    is_callable_unasked = True
    survives_fork = False
    methods = (_METHOD,)

    def __init__(self, keras: Any, model: Any, example: Example | None, concurrency: int) -> None:
        self.model = model
        self.framework_version: str | None = keras.__version__
        self.concurrency = concurrency
        self.refusals = backend_errors(keras)
        self.warnings: tuple[str, ...] = ()
        self.sha256: str | None = None
        self.metadata: Mapping[str, str] = {}
        self._keras = keras
        self._reading = read_inputs(keras, model, example)
        self.signature: Signature = self._reading.signature
        self._example = example_rows(self._reading) if example is None else example.rows_for(self.signature)
        outputs = output_names(keras, model, _METHOD)
        self.output_names = None if outputs is None else tuple(name for name, _ in outputs)
        self.signature = self.signature.with_outputs({_METHOD: self._probe(dict(outputs or ()))})

    def run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        """Run the model; see ``Runtime.run``.

        Raises:
            ModelError: it returned another number of rows.
        """
        del parameters  # there are none
        return run_rows(lambda rows: self._call(method, rows), self.assemble(tensors), self._reading.limits)

    def assemble(self, tensors: Tensors) -> Tensors:
        """Return the model's own inputs, by name and in its dtypes."""
        dtypes = self._reading.dtypes
        if self.signature.layout == "table":
            columns = np.column_stack([tensors[spec.name] for spec in self.signature.inputs])
            return {"inputs": _cast(columns, dtypes[0])}
        return {
            spec.name: _cast(tensors[spec.name], dtype)
            for spec, dtype in zip(self.signature.inputs, dtypes, strict=True)
        }

    def parameters(self, method: str) -> tuple[str, ...]:
        del method
        return ()

    def classes(self, method: str) -> list[Any] | None:
        del method  # Keras keeps no labels
        return None

    def example_rows(self) -> Sequence[Any]:
        return self._example

    def digest(self) -> str | None:
        """Return the digest of the file, else of config and weights; None where code of others runs in it."""
        if not all(
            type(part).__module__.startswith("keras.") for part in (self.model, *all_layers(self.model))
        ):
            return None
        if any(type(part).__name__ == "Lambda" for part in all_layers(self.model)):
            return None
        return self.sha256 or _digest_of(self.model)

    def _call(self, method: str, rows: Tensors) -> Tensors:
        try:
            result = self.model.predict_on_batch(self._reading.pack(list(rows.values())))
        except self.refusals as error:
            raise ValueError(telling_line(error)) from error
        return name_outputs(self._keras, self.output_names, method, result)

    def _probe(self, shapes: Mapping[str, tuple[int, ...]]) -> tuple[TensorSpec, ...]:
        """Call the model once on the example: to trace it, and to know what it returns.

        Args:
            shapes: Of the outputs, as the model itself knows them.

        Raises:
            LoadError: it fails on a row that fits its own signature.
        """
        tensors = self.signature.validate(as_inputs(self._example[:1]))
        several = {name: np.repeat(array, 2, axis=0) for name, array in tensors.items()}
        try:
            specs = output_specs(self.run(_METHOD, tensors, {}))
            self.run(_METHOD, several, {})  # from now on the trace is for any number of rows
        except Exception as error:
            # The model is foreign code.
            told = telling_line(error)[:300]
            raise LoadError(f"The model fails on an example row: {type(error).__name__}: {told}") from error
        return tuple(replace(spec, shape=shapes.get(spec.name, spec.shape)) for spec in specs)


def _cast(array: Array, dtype: str) -> Array:
    return array if dtype == "str" else array.astype(dtype, copy=False)


def _digest_of(model: Any) -> str | None:
    """Return the digest of a model that came from no file."""
    hash_ = hashlib.sha256()
    try:
        hash_.update(model.to_json().encode())
        for weight in model.get_weights():
            hash_.update(f"{weight.dtype}{weight.shape}".encode())
            hash_.update(np.ascontiguousarray(weight).view(np.uint8).data)
    except Exception as error:  # noqa: BLE001  - a layer's own get_config may raise anything
        logger.debug("%s has no digest: %s", type(model).__name__, error)
        return None
    return "keras:" + hash_.hexdigest()
