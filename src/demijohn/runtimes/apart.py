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
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

from demijohn.errors import DemijohnError, LoadError
from demijohn.messages import Tensors
from demijohn.signature import Signature

from .base import Joining, Runtime

_LONGEST_S = 600


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
    fails_on_example: bool

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
    (found,) = load_all_apart([("a model", load)])
    return found


def load_all_apart(loads: Sequence[tuple[object, Callable[[], Runtime]]]) -> list[Description]:
    """Load models in a forked child, and return what is to be known of each; see ``begin_apart``."""
    with begin_apart(loads) as collect:
        return collect()


@contextmanager
def begin_apart(
    loads: Sequence[tuple[object, Callable[[], Runtime]]],
) -> Iterator[Callable[[], list[Description]]]:
    """Begin to load models in one forked child, one after another, while the parent does something else.

    In one, since what takes longest is to import a framework.

    Args:
        loads: What to call each model, and what loads it, in the child.

    Yields:
        What waits for the child, and returns what is to be known of each model. It raises what the first that
        fails raises, and LoadError where the child ended without a word.
    """
    if not loads:
        yield list
        return
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe(duplex=False)
    child = fork.Process(target=_tell, args=(loads, theirs), daemon=True)
    child.start()
    theirs.close()
    try:
        with ours:
            yield lambda: [_hear(name, ours, child) for name, _ in loads]
    finally:
        child.kill()  # it has said all that anybody will hear
        child.join()


def _hear(name: object, ours: Connection, child: ForkProcess) -> Description:
    """Wait for what the child says of its next model; raises what it raised."""
    try:
        told = ours.recv()
    except EOFError as error:
        child.join()
        raise LoadError(f"Loading {name} ended its process (exit status {child.exitcode})") from error
    if isinstance(told, Description):
        return told
    kind, detail, errors = told
    raise kind(detail, errors=errors)


def try_apart(path: Path, options: Mapping[str, Any]) -> None:
    """Load a model in a process that has nothing of this one, to see whether that goes well.

    A server that has begun its threads cannot be forked any more, and a broken file may end whichever
    process loads it.

    Args:
        path: Of the model.
        options: The arguments of ``runtimes.load``.

    Raises:
        DemijohnError: as ``runtimes.load`` raises it.
        LoadError: the process ended without a word, or took too long.
    """
    ours, theirs = os.pipe()
    command = [sys.executable, "-c", f"from {__name__} import answer; answer({theirs})"]
    with os.fdopen(ours, "rb") as told_by:
        try:
            child = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=(theirs,))  # noqa: S603
        finally:
            os.close(theirs)
        try:
            child.communicate(pickle.dumps((path, dict(options))), timeout=_LONGEST_S)
        except subprocess.TimeoutExpired as error:
            child.kill()
            child.wait()
            raise LoadError(f"{path} was not loaded within {_LONGEST_S} s") from error
        told = told_by.read()
    if not told:
        raise LoadError(f"{path}: loading it ended its process (exit status {child.returncode})")
    outcome = pickle.loads(told)
    if outcome is not None:
        kind, detail, errors = outcome
        raise kind(detail, errors=errors)


def answer(descriptor: int) -> None:
    """Be the process of ``try_apart``: load what stdin says, and write what came of it."""
    from . import load

    path, options = pickle.load(sys.stdin.buffer)
    outcome = _outcome(lambda: load(path, **options))
    with os.fdopen(descriptor, "wb") as parent:
        pickle.dump(outcome if isinstance(outcome, tuple) else None, parent)
    os._exit(0)  # the framework's threads are not waited for


def _outcome(load: Callable[[], Runtime]) -> Runtime | tuple[type[DemijohnError], str, Any]:
    """Load a model; returns what went wrong as (class, detail, problems)."""
    try:
        return load()
    except DemijohnError as error:
        return type(error), error.detail, error.errors
    except Exception as error:  # noqa: BLE001  - loading a model is foreign code
        return LoadError, f"A model cannot be loaded: {type(error).__name__}: {error}", ()


def _tell(loads: Sequence[tuple[object, Callable[[], Runtime]]], parent: Connection) -> None:
    for _, load in loads:
        outcome = _outcome(lambda load=load: describe(load()))  # type: ignore[misc]
        parent.send(outcome)
        if isinstance(outcome, tuple):
            break
    parent.close()
    # The framework's threads are not waited for.
    os._exit(0)


def _bare(signature: Signature) -> Signature:
    """Return a signature without what it has made for reading rows."""
    return replace(signature, others={method: _bare(other) for method, other in signature.others.items()})


def describe(runtime: Runtime) -> Description:
    """Write down what is to be known of a model."""
    return Description(
        framework=runtime.framework,
        framework_version=runtime.framework_version,
        methods=runtime.methods,
        signature=_bare(runtime.signature),
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
        fails_on_example=getattr(runtime, "fails_on_example", False),
    )
