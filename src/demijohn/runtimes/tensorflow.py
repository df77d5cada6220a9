"""The TensorFlow runtime: SavedModels, each of whose signatures is a method.

Rules of this room:
1. The answer is the loaded function's own, bit for bit; rows are only cut into as many as it takes.
2. ``serving_default`` is ``predict``. Any other signature goes by its name; one that cannot be served (a
   name that no URL has, a sparse or shapeless input) is told and left out.
3. A ``tf.Module`` is served as what TensorFlow saves of it: changing it afterwards changes no answer.
"""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from demijohn.errors import ConfigurationError, LoadError
from demijohn.messages import Tensors
from demijohn.signature import Signature

from .base import Joining
from .examples import read_example
from .graph_inputs import complete, example_tensors
from .tensorflow_library import first_line, import_tensorflow
from .tensorflow_methods import Method, Refused

logger = logging.getLogger("demijohn")

_DEFAULT, _PREDICT = "serving_default", "predict"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
_OWN = "__saved_model_"  # what TensorFlow itself keeps among the signatures


def wrap(
    model: Any, *, example: object = None, batch: bool = False, concurrency: int | None = None
) -> TensorflowRuntime:
    """Adapt a loaded SavedModel, or a ``tf.Module`` with functions that have an ``input_signature``.

    Raises:
        LoadError: it has no signature that can be served.
        ConfigurationError: the example does not fit ``predict``.
    """
    if batch:
        raise ConfigurationError("batch=True is for functions; Demijohn finds out itself what a graph allows")
    tensorflow = import_tensorflow(f"A {type(model).__name__}")
    if isinstance(model, tensorflow.Module):
        model = _saved_and_loaded(model, tensorflow)
    return TensorflowRuntime(model, tensorflow, example, concurrency or 1)


class TensorflowRuntime:
    """One SavedModel."""

    framework = "tensorflow"
    joining: Joining = "prove"
    refusals: tuple[type[Exception], ...] = (Refused,)
    is_callable_unasked = True
    survives_fork = False  # TensorFlow's threads are not in a forked child

    def __init__(self, model: Any, tensorflow: Any, example: object, concurrency: int) -> None:
        self.model = model  # whose variables the signatures only refer to
        self.framework_version: str | None = str(tensorflow.__version__)
        self.concurrency = concurrency
        self.sha256: str | None = None
        self.metadata: Mapping[str, str] = {"saved_by": f"TensorFlow {model.tensorflow_version}"}
        self._refused = (tensorflow.errors.InvalidArgumentError, tensorflow.errors.OutOfRangeError)
        self._methods, self.warnings = _methods_of(model)
        self.methods = tuple(self._methods)
        first = self._methods[self.methods[0]]
        given = read_example(example)
        self._example = [first.example]
        signature = first.signature
        if given is not None:
            completed = complete(signature, given)
            self._example = given.rows_for(completed)
            example_tensors(completed, self._example)
            if completed.layout == signature.layout:  # a graph's columns have no other names than its own
                signature = completed
        self.signature = _signature_of(signature, self._methods)

    def run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        """Run one method; see ``Runtime.run``.

        Raises:
            Refused: the graph does not take these rows.
            ModelError: it returned another number of rows than it got.
        """
        del parameters  # there are none
        try:
            return self._methods[method].run(tensors)
        except self._refused as error:
            raise Refused(first_line(error)) from error

    def parameters(self, method: str) -> tuple[str, ...]:
        del method
        return ()

    def classes(self, method: str) -> list[Any] | None:
        del method
        return None  # a graph does not say what its columns stand for

    def example_rows(self) -> Sequence[Any]:
        return self._example

    def digest(self) -> str | None:
        return self.sha256


def _methods_of(model: Any) -> tuple[dict[str, Method], tuple[str, ...]]:
    """Return the signatures that can be served, ``predict`` first, and what to say of the others."""
    signatures = {k: v for k, v in getattr(model, "signatures", {}).items() if not k.startswith(_OWN)}
    if not signatures:
        raise LoadError(
            "It has no signatures, so nothing of it can be called; save it with"
            " tf.saved_model.save(module, folder, signatures=...)"
        )
    methods: dict[str, Method] = {}
    untold: list[str] = []
    for key in sorted(signatures, key=lambda key: (key != _DEFAULT, key != _PREDICT, key)):
        name = _PREDICT if key == _DEFAULT else key
        try:
            if not _NAME.match(name):
                raise LoadError("its name cannot stand in a URL")
            if name in methods:
                raise LoadError(f"{_DEFAULT} answers to that name")
            methods[name] = Method(name, signatures[key], model)
        except LoadError as error:
            untold.append(f"the signature {key[:100]!r} is not served: {error.detail}")
    if not methods:
        raise LoadError("; ".join(untold))
    return methods, tuple(untold)


def _signature_of(first: Signature, methods: Mapping[str, Method]) -> Signature:
    """Join what the methods accept and return; the first one's inputs are the model's."""
    outputs = {name: method.outputs for name, method in methods.items() if method.outputs is not None}
    others = {
        name: replace(method.signature, example=[method.example])
        for name, method in methods.items()
        if method.signature != first
    }
    return replace(first, outputs=outputs, others=others)


def _saved_and_loaded(module: Any, tensorflow: Any) -> Any:
    functions = {
        name: function
        for name in dir(type(module))
        if isinstance(
            function := getattr(type(module), name), tensorflow.types.experimental.PolymorphicFunction
        )
        and getattr(function, "input_signature", None) is not None
    }
    if not functions:
        raise LoadError(
            f"This {type(module).__name__} has no tf.function with an input_signature, so what it takes is"
            " not known"
        )
    names = {"__call__": _DEFAULT} | ({next(iter(functions)): _DEFAULT} if len(functions) == 1 else {})
    signatures = {names.get(name, name): getattr(module, name) for name in functions}
    with tempfile.TemporaryDirectory(prefix="demijohn-") as folder:
        try:
            tensorflow.saved_model.save(module, folder, signatures=signatures)
        except Exception as error:  # the module is foreign code
            raise LoadError(f"This {type(module).__name__} cannot be saved: {first_line(error)}") from error
        return tensorflow.saved_model.load(folder)
