"""The models of one worker, as they change while it serves: for ``--reload`` and ``--model-control``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from .extension import Demijohn
from .runtimes.base import Runtime
from .targets import ModelFile


class Load(Protocol):
    """How a file is loaded beside what serves."""

    def __call__(self, file: ModelFile, *, allow_code: bool) -> Runtime:
        """Raise what loading raises."""


class WorkerModels:
    """Changes the models of one worker; see ``watching.Served`` and ``model_control.Served``.

    Args:
        models: Of the worker.
        load: Loads a file, with the options that the operator gave for its model.
        aliases: Name, alias and version, as the operator gave them.
        chains: Names of the members, by chain.
    """

    def __init__(
        self,
        models: Demijohn,
        load: Load,
        aliases: Sequence[tuple[str, str, str]],
        chains: Mapping[str, Sequence[str]],
    ) -> None:
        self._models = models
        self.load = load
        self._aliases = aliases
        self._chains = chains

    def put(self, file: ModelFile, *, allow_code: bool) -> None:
        """Load a file beside what serves, then swap."""
        self.serve(file, self.load(file, allow_code=allow_code))
        self.start()

    def serve(self, file: ModelFile, runtime: Runtime) -> None:
        """Serve a version, in place of the one of that number."""
        self._models.put_runtime(file.name, runtime, version=file.version)
        for alias in self._aliases:  # a version that was gone comes back with its aliases
            if (alias[0], alias[2]) == file.key:
                self._models.alias(*alias)

    def serve_chain(self, name: str) -> None:
        """Serve a chain that was named at the start."""
        self._models.chain(name, self._chains[name])

    def drop(self, name: str, version: str) -> None:
        """Stop serving a version."""
        self._models.remove(name, version)

    def unload(self, name: str, reason: str) -> None:
        """Stop serving a model, and tell whoever asks for it why."""
        self._models.unload(name, reason)

    def start(self) -> None:
        """Find engines for what is new, in the background."""
        self._models.start()
