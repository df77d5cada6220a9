"""Looking at a model in a process of its own, for frameworks that do not survive a fork.

TensorFlow, PyTorch and ONNX Runtime start threads when they are imported or first used, and a forked
child waits for these for ever. So the parent of the workers never imports them: a child loads the
model, tells what is to be known of it, and ends.

Rules of this room:
1. What is wrong with a model is said by the parent, at once, as if it had loaded it itself.
2. What comes back are plain words about the model. It cannot be run.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any

from demijohn.errors import DemijohnError, LoadError
from demijohn.messages import Tensors
from demijohn.signature import Signature

from .base import Joining, Runtime


@dataclass(slots=True)
class Description:
    """A model that another process has loaded: all of ``Runtime`` but its answers."""

    framework: str
    framework_version: str | None
    methods: tuple[str, ...]
    signature: Signature
    warnings: tuple[str, ...]
    joining: Joining
    concurrency: int
    refusals: tuple[type[Exception], ...]
    is_callable_unasked: bool
    sha256: str | None
    survives_fork: bool
    metadata: Mapping[str, str]
    known_digest: str | None
    known_parameters: Mapping[str, tuple[str, ...]]
    known_classes: Mapping[str, list[Any] | None]
    known_rows: Sequence[Any]

    def digest(self) -> str | None:
        return self.known_digest

    def parameters(self, method: str) -> tuple[str, ...]:
        return self.known_parameters[method]

    def classes(self, method: str) -> list[Any] | None:
        return self.known_classes[method]

    def example_rows(self) -> Sequence[Any]:
        return self.known_rows

    def run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        """Refuse: the model is not here.

        Raises:
            LoadError: always.
        """
        del tensors, parameters
        raise LoadError(f"{method} cannot run here: each worker loads a {self.framework} model itself")


def load_apart(load: Callable[[], Runtime]) -> Description:
    """Load a model in a forked child, and return what is to be known of it; see ``load_all_apart``."""
    return load_all_apart([load])[0]


def load_all_apart(loads: Sequence[Callable[[], Runtime]]) -> list[Description]:
    """Load models in one forked child, which imports each framework once, and return what is to be known.

    Args:
        loads: Run in the child, one after another.

    Raises:
        DemijohnError: as the first of ``loads`` that fails raises it.
        LoadError: the child ended without a word.
    """
    if not loads:
        return []
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe(duplex=False)
    child = fork.Process(target=_tell, args=(loads, theirs), daemon=True)
    child.start()
    theirs.close()
    with ours:
        try:
            return [_heard(ours.recv()) for _ in loads]
        except EOFError as error:
            child.join()
            raise LoadError(f"Loading a model ended its process (exit status {child.exitcode})") from error
        finally:
            child.join()


def _heard(told: Any) -> Description:
    if isinstance(told, Description):
        return told
    kind, detail, errors = told
    raise kind(detail, errors=errors)


def _tell(loads: Sequence[Callable[[], Runtime]], parent: Connection) -> None:
    for load in loads:
        told = _description_of(load)
        parent.send(told)
        if not isinstance(told, Description):
            break
    parent.close()
    # The framework's threads are not waited for.
    os._exit(0)


def _description_of(load: Callable[[], Runtime]) -> Any:
    """Load a model; returns its description, or what went wrong."""
    try:
        return describe(load())
    except DemijohnError as error:
        return (type(error), error.detail, error.errors)
    except Exception as error:  # noqa: BLE001  - loading a model is foreign code
        return (LoadError, f"A model cannot be loaded: {type(error).__name__}: {error}", ())


def describe(runtime: Runtime) -> Description:
    """Write down what is to be known of a model."""
    return Description(
        framework=runtime.framework,
        framework_version=runtime.framework_version,
        methods=runtime.methods,
        signature=replace(runtime.signature),  # without what it has made for reading rows
        warnings=runtime.warnings,
        joining=runtime.joining,
        concurrency=runtime.concurrency,
        refusals=(),  # classes of the framework, which is not here
        is_callable_unasked=runtime.is_callable_unasked,
        sha256=runtime.sha256,
        survives_fork=runtime.survives_fork,
        metadata=dict(runtime.metadata),
        known_digest=runtime.digest(),
        known_parameters={method: runtime.parameters(method) for method in runtime.methods},
        known_classes={method: runtime.classes(method) for method in runtime.methods},
        known_rows=list(runtime.example_rows()),
    )
