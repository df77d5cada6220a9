"""The frameworks that Demijohn serves: one table, one room per framework, imported when needed.

Rules of this room:
1. Looking at a file (``inspect``) runs nothing in it; loading a code format happens only because the
   operator named the file, and never from a watched folder (``allow_code=False``).
2. The format is told by content, and a loader never falls back to another. A name that promises data
   where there is code is refused: it was not the code that the operator named.
3. A model's framework is found by the names in its MRO, so none is imported to find out.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import cast

from demijohn.errors import ConfigurationError, LoadError, UntrustedArtifact

from . import third_parties
from .artifacts import Content, read_artifact
from .base import Artifact, Joining, Runtime, UnopenedModel
from .formats import DATA_SUFFIXES, MODEL_SUFFIXES, Format

__all__ = ["RUNTIMES", "Artifact", "Joining", "Runtime", "framework_of", "inspect", "load", "wrap"]

#: Root module of a framework -> the module that adapts it, which has ``wrap(model, ...)``. Others come
#: from other packages: ``third_parties``.
RUNTIMES: Mapping[str, str] = {
    "catboost": "demijohn.runtimes.catboost",
    "keras": "demijohn.runtimes.keras",
    "lightgbm": "demijohn.runtimes.lightgbm",
    "onnx": "demijohn.runtimes.onnx",
    "sklearn": "demijohn.runtimes.sklearn",
    "tensorflow": "demijohn.runtimes.tensorflow",
    "torch": "demijohn.runtimes.torch",
    "xgboost": "demijohn.runtimes.xgboost",
}

#: Frameworks of ``RUNTIMES`` whose ``wrap`` takes ``device``.
WITH_DEVICE = ("onnx", "torch")

_ESTIMATOR_METHODS = ("predict", "predict_proba", "decision_function", "transform", "score_samples")


def framework_of(model: object) -> str:
    """Return the root module of the framework that a model comes from.

    A model of no known framework that has an estimator's methods counts as "sklearn"; any other
    callable is a "function".

    Raises:
        LoadError: it is no model at all.
    """
    if isinstance(model, UnopenedModel):
        return model.framework
    if isinstance(model, type):
        raise LoadError(f"{model.__name__} is a class; give a fitted instance of it")
    roots = [base.__module__.partition(".")[0] for base in type(model).__mro__]
    others = third_parties.names()
    for root in roots:
        if root in others or root in RUNTIMES:
            return root
    if any(callable(getattr(model, method, None)) for method in _ESTIMATOR_METHODS):
        return "sklearn"
    if callable(model):
        return "function"
    raise LoadError(f"A {type(model).__name__} is no model: expected a fitted estimator or a function")


def wrap(
    model: object,
    *,
    example: object = None,
    batch: bool = False,
    concurrency: int | None = None,
    device: str | None = None,
) -> Runtime:
    """Adapt a fitted model, or any function.

    Args:
        model: A fitted estimator, or a callable.
        example: One or more rows as the model takes them, to complete what it knows of its inputs.
        batch: For a function that takes arrays: rows of several requests may share a call.
        concurrency: Calls that may run at a time in one worker; default 1 (64 for ``async def``).
        device: Where an ONNX or PyTorch model runs: "cpu", "cuda", "cuda:1"; default the GPU where one is.

    Raises:
        LoadError: it is no model, is not fitted, or has no prediction method.
        ConfigurationError: the example does not fit the model, or there is no such device.
    """
    framework = framework_of(model)
    options = {"example": example, "batch": batch, "concurrency": concurrency}
    if device is not None:
        if framework not in WITH_DEVICE:
            raise ConfigurationError(
                f"device={device!r}: only models of {', '.join(WITH_DEVICE)} have a device"
            )
        options["device"] = device
    return cast(Runtime, _module_for(framework).wrap(model, **options))


def inspect(path: Path | str) -> Artifact:
    """Describe a model file without running anything in it and without importing a framework.

    Raises:
        LoadError: the file is missing, unreadable, empty or of an unknown format.
    """
    return read_artifact(path, _formats_of_others)[0]


def _formats_of_others() -> Sequence[Format]:
    return third_parties.formats(RUNTIMES.keys())


def promises_a_model(path: Path) -> bool:
    """Say whether a file's name is one that files of models go by.

    So it may be where another package, whose formats are not known then, cannot be imported: what is
    wrong with the file is to be told.
    """
    suffix = path.suffix.lower()
    try:
        return suffix in MODEL_SUFFIXES or any(suffix in one.suffixes for one in _formats_of_others())
    except LoadError:
        return True


def _promises_data(path: Path) -> bool:
    """Say whether a file's name promises that loading it runs no code."""
    suffix = path.suffix.lower()
    if suffix in DATA_SUFFIXES or suffix in MODEL_SUFFIXES:
        return suffix in DATA_SUFFIXES
    return any(suffix in one.suffixes and one.trust != "code" for one in _formats_of_others())


def load(
    path: Path | str,
    *,
    example: object = None,
    strict_versions: bool = False,
    allow_code: bool = True,
    concurrency: int | None = None,
    is_trusted: bool = False,
    device: str | None = None,
) -> Runtime:
    """Load a model file that the operator named.

    Args:
        path: A file of one of ``formats.FORMATS``, or of another package's.
        example: As in ``wrap``.
        strict_versions: Refuse a model that another version of its framework saved.
        allow_code: False refuses formats whose loading runs code (for watched folders).
        concurrency: As in ``wrap``.
        is_trusted: The operator lets the file run what its format would else refuse.
        device: As in ``wrap``.

    Raises:
        UntrustedArtifact: code where none is allowed or where the file's name says that there is
            none, or a skops file that names untrusted types.
        MissingExtra: a framework is not installed; says which extra brings it.
        LoadError: missing, broken, unknown, of another version (strict), or no fitted model.
    """
    artifact, content = read_artifact(path, _formats_of_others)
    if artifact.runs_code and not allow_code:
        raise UntrustedArtifact(
            f"{path} is a {artifact.format} file, and loading one runs the code in it;"
            " name the file yourself, or save the model as .skops"
        )
    if artifact.runs_code and _promises_data(Path(path)):
        raise UntrustedArtifact(
            f"{path} is no {Path(path).suffix} file but a {artifact.format} file, and loading one runs the"
            " code in it; if you trust its author, give it a name that says what it is"
        )
    model, notes = _load_and_note(replace(artifact, is_trusted=is_trusted and allow_code), content)
    if notes and strict_versions:
        raise LoadError(f"{path}: {'; '.join(notes)}")
    try:
        runtime = wrap(model, example=example, concurrency=concurrency, device=device)
    except LoadError as error:
        raise type(error)(f"{path}: {error.detail}") from error
    runtime.warnings = (*notes, *runtime.warnings)
    runtime.sha256 = artifact.sha256
    return runtime


def _load_and_note(artifact: Artifact, content: Content) -> tuple[object, tuple[str, ...]]:
    """Load a model and say which other versions saved it."""
    from .versions import notes_of

    module, _, function = artifact.loader.partition(":")
    package = "demijohn.runtimes." if artifact.framework in RUNTIMES else ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = getattr(importlib.import_module(package + module), function)(artifact, content)
    return model, notes_of(caught)


def _module_for(framework: str) -> ModuleType:
    if framework == "function":
        return importlib.import_module("demijohn.runtimes.function")
    if framework in RUNTIMES:
        return importlib.import_module(RUNTIMES[framework])
    return third_parties.module_for(framework)
