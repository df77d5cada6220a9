"""What every runtime offers: the adapter of one framework, around one model.

Rules of this room:
1. ``run`` takes tensors that fit ``signature`` and returns tensors whose axis 0 is the same rows.
2. Errors of the model pass through as they are; the predictor tells bad input from a failure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from demijohn.messages import Tensors
from demijohn.signature import Signature

Joining = Literal["prove", "always", "never"]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A model file or folder, looked at without running anything in it."""

    path: Path  #: Of the file, or of the folder.
    format: str  #: "joblib", "pickle", "skops", ...
    framework: str  #: The runtime that would load it.
    runs_code: bool  #: Loading it runs code that the file names.
    sha256: str
    size_bytes: int
    loader: str  #: See ``formats.Format``.
    survives_fork: bool = True  #: See ``formats.Format``.
    is_trusted: bool = False  #: The operator lets it run what its format would else refuse (``--trust``).


class UnopenedModel:
    """A model file that was read and looked through: what its runtime opens, in place of a model."""

    __slots__ = ()

    framework: str  #: A key of ``RUNTIMES``.


class Runtime(Protocol):
    """One model of one framework."""

    framework: str  #: "scikit-learn", "function", ...
    framework_version: str | None
    methods: tuple[str, ...]  #: The model's own public prediction methods, ``predict`` first.
    signature: Signature
    warnings: tuple[str, ...]  #: What the operator should know, e.g. "saved by scikit-learn 1.5".
    joining: Joining  #: May requests share a call: after a proof, always (the user says so), never.
    concurrency: int  #: Calls that may run at a time in one worker.
    refusals: tuple[type[Exception], ...]  #: What the model raises on rows it will not take (422).
    is_callable_unasked: bool  #: False for functions: no warm-up, no probe, no example call.
    sha256: str | None  #: Of the file that the model came from; None for one made in this process.
    #: False: its framework does not survive a fork once it is imported, so each worker loads the model.
    survives_fork: bool
    metadata: Mapping[str, str]  #: What the model's own file says of it: author, version, description.

    def digest(self) -> str | None:
        """Return what tells this model from every other; may take long the first time.

        None where nothing does: what is known of the model may then not be kept for other processes.
        """

    def run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        """Run one method.

        Args:
            method: One of ``methods``.
            tensors: Fit ``signature``.
            parameters: Arguments of the method, among ``parameters(method)``.

        Returns:
            One array under the method's name, or several under their own names; axis 0 is the row.
        """

    def parameters(self, method: str) -> tuple[str, ...]:
        """Return the names of the arguments that a request may give to a method."""

    def classes(self, method: str) -> list[Any] | None:
        """Return the labels of the columns of ``predict_proba`` and alike, else None."""

    def example_rows(self) -> Sequence[Any]:
        """Return one to five rows that fit the signature, as JSON can write them."""


class StreamingRuntime(Runtime, Protocol):
    """One model some of whose methods can answer piece by piece; others need not have these."""

    streams: tuple[str, ...]  #: Those among ``methods``; ``run`` gathers the items of each row.

    def stream(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Iterator[Any]:
        """Run one method of ``streams``; the arguments are those of ``run``.

        Returns:
            The items, in order, as JSON can write them; one that has a ``close`` is closed by the
            thread that asked for its items.
        """
