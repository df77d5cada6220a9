"""``serve --model-control``: clients load and unload models of the folders and files that were named.

Rules of this room:
1. A request names a model, never a file: what a model's files are, the operator's targets say.
2. A code file (joblib, pickle) is loaded only where a code file stood when the server started.
3. A version is loaded beside what serves, by every worker, and swapped in when all of them have it; what
   one cannot load changes nothing. All of them serve the very bytes that were looked at first.
4. What a client is told of an error holds no path; the log has all of it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from .agreement import Agreement, Values
from .errors import DemijohnError, LoadRefused, ModelNotFound
from .refusal_texts import first_line
from .runtimes.base import Runtime
from .targets import ModelFile, Target, find_model

logger = logging.getLogger("demijohn.control")

_CHAIN = "chain"

Written = dict[str, Any]  #: A ``ModelFile`` as JSON has it.
Wanted = list[Written] | str | None  #: A model's files, the word ``_CHAIN``, or None where it is unloaded.


class Served(Protocol):
    """What one worker serves."""

    def load(self, file: ModelFile, *, allow_code: bool) -> Runtime:
        """Load a file beside what serves; raises what loading raises."""

    def serve(self, file: ModelFile, runtime: Runtime) -> None:
        """Serve a version in place of the one of that number."""

    def serve_chain(self, name: str) -> None:
        """Serve a chain that was named at the start."""

    def drop(self, name: str, version: str) -> None:
        """Stop serving a version."""

    def unload(self, name: str, reason: str) -> None:
        """Stop serving a model, and tell whoever asks for it why."""

    def start(self) -> None:
        """Find engines for what is new."""


@dataclass(frozen=True, slots=True)
class Start:
    """What the server was started with."""

    targets: Sequence[Target]
    files: Sequence[ModelFile]
    chains: Mapping[str, Sequence[str]]  #: Names of the members, by chain.


class ModelControl:
    """Loads and unloads models in all workers of a server; one object in each.

    Args:
        start: What the server was started with.
        served: What this worker serves, by now what ``start`` says.
        folder: Private to the server.
    """

    def __init__(self, start: Start, served: Served, folder: Path) -> None:
        self._start = start
        self._served = served
        self._code = frozenset(file.path for file in start.files if file.runs_code)
        self._now: dict[str, Wanted] = dict.fromkeys(start.chains, _CHAIN)
        for name in {file.name for file in start.files}:
            self._now[name] = [_written(file) for file in start.files if file.name == name]
        self._beside: dict[tuple[str, str, str], Runtime] = {}  # by name, version and digest
        self._agreement = Agreement(folder, self)

    def join(self) -> None:
        """Take over what the other workers serve, then change with them."""
        self._agreement.join()

    # What a client asks -----------------------------------------------------------------------

    def load(self, name: str) -> None:
        """Serve a model as its files are now; returns when every worker does.

        Raises:
            ModelNotFound: no file that was named, or stands in a folder that was, is this model.
            LoadRefused: it cannot be loaded, or may not.
        """
        self._agreement.propose(lambda agreed: self._to_load(name, agreed), LoadRefused)

    def unload(self, name: str, *, with_members: bool) -> None:
        """Serve a model no more; returns when no worker does.

        Args:
            name: Of the model.
            with_members: Of a chain, its members too, but for those of another chain that is served.

        Raises:
            ModelNotFound: there never was one of that name.
        """
        self._agreement.propose(lambda agreed: self._to_unload(name, agreed, with_members), LoadRefused)

    def _to_load(self, name: str, agreed: Values) -> Values:
        if name not in self._start.chains:
            return {name: self._files_of(name)}
        absent = [one for one in self._members(name) if agreed.get(one, self._now.get(one)) is None]
        members = {one: _CHAIN if one in self._start.chains else self._files_of(one) for one in absent}
        return {**members, name: _CHAIN}

    def _files_of(self, name: str) -> list[Written]:
        try:
            files = find_model(self._start.targets, name)
        except DemijohnError as error:
            logger.warning("model %s is not loaded: %s", name, error.detail)
            paths = [one.path for target in self._start.targets for one in target.candidates_of(name)]
            raise LoadRefused(f"Model {name!r} cannot be loaded: {_told(error, paths)}") from error
        if not files:
            raise ModelNotFound("No file of this server is a model of that name")
        for file in files:
            if file.runs_code and file.path not in self._code:
                logger.warning("%s is new and holds code: only a restart loads it", file.path)
                raise LoadRefused(
                    f"Version {file.version} of model {name!r} is a file that holds code, and none stood"
                    " there when the server started; whoever runs the server can restart it"
                )
        return [_written(file) for file in files]

    def _to_unload(self, name: str, agreed: Values, with_members: bool) -> Values:
        known = {**self._now, **agreed}
        if name not in known:
            raise ModelNotFound("There is no model of that name")
        gone = {name}
        if with_members and name in self._start.chains:
            others = [one for one in self._start.chains if one != name and known.get(one) is not None]
            gone |= self._members(name) - set().union(*map(self._members, others))
        return dict.fromkeys(sorted(gone))

    def _members(self, chain: str) -> set[str]:
        """Return the names of a chain's members, their members, and so on."""
        names = set(self._start.chains.get(chain, ()))
        return names.union(*map(self._members, names))

    # A worker's part --------------------------------------------------------------------------

    def prepare(self, changes: Values) -> None:
        """Load beside what serves; see ``Participant``."""
        for name, wanted in changes.items():
            for written in _files(wanted):
                if written not in _files(self._now.get(name)):
                    file = _read(written)
                    self._beside[_key(file)] = self._load(file)

    def _load(self, file: ModelFile) -> Runtime:
        try:
            runtime = self._served.load(file, allow_code=file.path in self._code)
        except Exception as error:
            logger.warning("%s: %s version %s is not loaded", file.path, *file.key, exc_info=error)
            why = first_line(error) if isinstance(error, DemijohnError) else type(error).__name__
            raise LoadRefused(
                f"Version {file.version} of model {file.name!r} cannot be loaded: {why}"
            ) from error
        if runtime.sha256 != file.sha256:
            raise LoadRefused(f"The file of model {file.name!r} changed while it was loaded; load it again")
        return runtime

    def abandon(self) -> None:
        """Forget what was loaded beside; see ``Participant``."""
        self._beside.clear()

    def commit(self, values: Values) -> None:
        """Serve what was agreed; see ``Participant``."""
        changes = {name: wanted for name, wanted in values.items() if wanted != self._now.get(name)}
        # Members before the chains that they are in, what goes last.
        for name, wanted in sorted(changes.items(), key=lambda one: (one[1] is None, one[1] == _CHAIN)):
            before, self._now[name] = self._now.get(name), wanted
            try:
                self._serve(name, _files(before), wanted)
            except Exception as error:  # the rest is to be made all the same
                logger.exception("model %s is not served as was agreed", name)
                why = error.detail if isinstance(error, LoadRefused) else type(error).__name__
                self._served.unload(name, f"not served by one of the workers: {why}")
        self._beside.clear()
        if changes:
            self._served.start()

    def _serve(self, name: str, before: list[Written], wanted: Wanted) -> None:
        if wanted is None:
            self._served.unload(name, "unloaded")
            logger.info("%s is unloaded", name)
        elif wanted == _CHAIN:
            self._served.serve_chain(name)
            logger.info("%s is loaded", name)
        else:
            self._serve_files(name, before, _files(wanted))

    def _serve_files(self, name: str, before: list[Written], wanted: list[Written]) -> None:
        for written in wanted:
            if written not in before:
                file = _read(written)
                runtime = self._beside.get(_key(file))
                self._served.serve(file, self._load(file) if runtime is None else runtime)
                logger.info("%s version %s is loaded from %s", *file.key, file.path)
        for version in {one["version"] for one in before} - {one["version"] for one in wanted}:
            self._served.drop(name, version)
            logger.info("%s version %s is gone", name, version)


def _told(error: Exception, paths: Sequence[Path]) -> str:
    """Return what a client may read of an error, without the paths that it is about, or any other."""
    if not isinstance(error, DemijohnError):
        return type(error).__name__  # a loader is foreign code, and its text may be anything
    text = error.detail
    for path in sorted(map(str, paths), key=len, reverse=True):
        text = text.removeprefix(f"{path}: ").replace(path, "its file")
    return first_line(LoadRefused(text))


def _written(file: ModelFile) -> Written:
    """Return a file as the agreement has it: what it is, and not when it was looked at."""
    return {**asdict(file), "path": str(file.path), "stamp": None}


def _read(written: Mapping[str, Any]) -> ModelFile:
    return ModelFile(**{**written, "path": Path(written["path"])})


def _files(wanted: Wanted) -> list[Written]:
    return wanted if isinstance(wanted, list) else []


def _key(file: ModelFile) -> tuple[str, str, str]:
    return *file.key, file.sha256
