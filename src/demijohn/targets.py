"""What the words after ``demijohn serve`` stand for: files, ``name=file``, folders, an app.

Rules of this room:
1. ``models/iris/3/<one model file>`` is version "3" of iris; a file without a number is "1". A model
   folder (a SavedModel) stands wherever a file may; ``models/iris/3`` may be one itself.
2. What is named, and what is called like a model file, must be one; other files of a folder may be
   anything, and those that are no model are passed over and told.
3. Naming a folder names the code files that are in it now, and no later ones.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import runtimes
from .errors import ConfigurationError, LoadError
from .pool import check_name
from .runtimes.folder_formats import is_model_folder
from .runtimes.folders import stamp_of_folder

logger = logging.getLogger("demijohn")

_APP = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*(\(\))?\Z")
_CODE = ".py"
_SHOWN = 5
_PRIVATE = (".", "__")  # hidden files, __pycache__, __init__.py

Stamp = tuple[int, ...]  #: Changes whenever a file, or one of a model folder, does.


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file or model folder that stands where a model may stand; nobody has looked into it."""

    name: str
    version: str
    path: Path
    is_named: bool = False  #: The operator wrote its path.

    @property
    def key(self) -> tuple[str, str]:
        """Return the model and version that it would be."""
        return self.name, self.version


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One model file, or model folder, to serve."""

    name: str
    version: str
    path: Path
    runs_code: bool
    sha256: str
    stamp: Stamp | None  #: Taken before the file was read.
    survives_fork: bool = True  #: Else each worker loads it itself.
    framework: str = ""  #: A key of ``runtimes.RUNTIMES``.

    @property
    def key(self) -> tuple[str, str]:
        """Return its model and version."""
        return self.name, self.version


@dataclass(frozen=True, slots=True)
class Target:
    """One word of the command line: a file or a folder, with the name it was given."""

    path: Path
    name: str | None = None

    def candidates(self) -> list[Candidate]:
        """List the files that may be models, as they are now.

        Raises:
            LoadError: the file or folder is missing or unreadable.
        """
        if _is_folder(self.path) and not is_model_folder(self.path):
            return list(_in_folder(self.path, self.name))
        return [Candidate(self.name or stem(self.path), "1", self.path, is_named=True)]

    def candidates_of(self, name: str) -> list[Candidate]:
        """List the files that may be one model; none where the target is missing or unreadable."""
        try:
            return [candidate for candidate in self.candidates() if candidate.name == name]
        except LoadError as error:
            logger.warning("%s", error.detail)
            return []


@dataclass(frozen=True, slots=True)
class Found:
    """What the targets hold."""

    files: list[ModelFile]
    passed_over: list[Path]  #: Files of folders that are no model, and folders that are not looked into.


def is_app(word: str) -> bool:
    """Say whether a word names a Flask app (``module:attribute``) and no file."""
    return bool(_APP.match(word)) and not Path(word).exists()


def parse(word: str) -> Target:
    """Read one word: ``path`` or ``name=path``.

    Raises:
        ConfigurationError: the name cannot be used, or the path is empty.
    """
    name, equals, path = word.partition("=")
    if not equals or _exists(Path(word)):
        name, path = "", word
    if not path:
        raise ConfigurationError(f"{word!r} names no file: write a path, or name=path")
    return Target(Path(path), check_name(name) if path != word else None)


def find(targets: Iterable[Target]) -> Found:
    """Look into the files of all targets.

    Raises:
        LoadError: one cannot be read, is no model though it should be, or a target holds none.
        ConfigurationError: a name cannot be used, or a name and version stands twice.
    """
    files: dict[tuple[str, str], ModelFile] = {}
    passed_over: list[Path] = []
    for target in targets:
        n_before = len(files)
        for candidate in target.candidates():
            file = _look_into(candidate, passed_over)
            if file is not None:
                _refuse_twice(files.setdefault(file.key, file), file)
        passed_over += _too_deep(target)
        if len(files) == n_before:
            others = ", ".join(map(str, passed_over[-_SHOWN:]))
            hint = f"; no models are: {others}" if others else ""
            raise LoadError(f"{target.path}: there is no model file in this folder{hint}")
    return Found(list(files.values()), passed_over)


def find_model(targets: Iterable[Target], name: str) -> list[ModelFile]:
    """Look into the files of one model, in all targets.

    Raises:
        LoadError: one cannot be read, or is no model though it should be.
        ConfigurationError: a version stands twice.
    """
    files: dict[tuple[str, str], ModelFile] = {}
    for target in targets:
        for candidate in target.candidates_of(name):
            file = _look_into(candidate, [])
            if file is not None:
                _refuse_twice(files.setdefault(file.key, file), file)
    return list(files.values())


def read_candidate(candidate: Candidate) -> ModelFile:
    """Tell what a candidate is; runs nothing in it.

    Raises:
        LoadError: it is no model file, or cannot be read.
        ConfigurationError: its name cannot name a model.
    """
    before = stamp(candidate.path)
    artifact = runtimes.inspect(candidate.path)
    name = check_name(candidate.name)
    return ModelFile(
        name, candidate.version, candidate.path, artifact.runs_code, artifact.sha256, before,
        artifact.survives_fork, artifact.framework,
    )  # fmt: skip


def stamp(path: Path) -> Stamp | None:
    """Return what changes when a file, or one in a model folder, does; None where there is none."""
    try:
        if is_model_folder(path):
            return stamp_of_folder(path)
        found = path.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)


def stem(path: Path) -> str:
    """Return a file's name without its extension, or a folder's, in a form that may name a model."""
    if is_model_folder(path):
        return _as_name(path.resolve().name)
    return _as_name(path.name.removesuffix(path.suffix))


def is_called_a_model(path: Path) -> bool:
    """Say whether a file's name promises a model, as a model folder's content does."""
    return is_model_folder(path) or runtimes.promises_a_model(path)


def _as_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._") or "model"


def _look_into(candidate: Candidate, passed_over: list[Path]) -> ModelFile | None:
    try:
        return read_candidate(candidate)
    except LoadError as error:
        if candidate.is_named and candidate.path.suffix == _CODE:
            raise LoadError(f"{candidate.path} is no model file{_app_hint(candidate.path)}") from error
        if candidate.is_named or is_called_a_model(candidate.path):
            raise
    passed_over.append(candidate.path)
    return None


def _refuse_twice(first: ModelFile, second: ModelFile) -> None:
    if first is not second:
        raise ConfigurationError(
            f"{first.path} and {second.path} are both model {second.name!r}, version {second.version!r}; "
            "keep one of them, or name them apart: name=path"
        )


# Folders ------------------------------------------------------------------------------------


def _in_folder(folder: Path, name: str | None) -> Iterator[Candidate]:
    """Yield the files of a folder; one whose subfolders are numbers is itself a model."""
    children = _children(folder)
    if name is not None or any(_is_version(child) for child in children):
        yield from _versions(name or _as_name(folder.resolve().name), children)
        return
    for child in children:
        if _may_be_model(child):
            yield Candidate(stem(child), "1", child)
        else:
            yield from _versions(_as_name(child.name), _children(child))


def _versions(name: str, children: Sequence[Path]) -> Iterator[Candidate]:
    for child in children:
        if not _is_version(child):
            models, version = [child], "1"
        else:
            # As TensorFlow Serving has it, the folder of a version is the model itself.
            models, version = [child] if is_model_folder(child) else _children(child), child.name
        yield from (Candidate(name, version, model) for model in models if _may_be_model(model))


def _too_deep(target: Target) -> list[Path]:
    """List the folders where no model is looked for: those of a model, but for its numbered versions."""
    if not target.path.is_dir() or is_model_folder(target.path):
        return []
    children = _children(target.path)
    is_one = target.name is not None or any(map(_is_version, children))
    if not is_one:
        children = [below for child in children if not _may_be_model(child) for below in _children(child)]
    return [child for child in children if not _may_be_model(child) and not _is_version(child)]


def _may_be_model(path: Path) -> bool:
    return not path.is_dir() or is_model_folder(path)


def _is_version(path: Path) -> bool:
    return path.name.isascii() and path.name.isdigit() and path.is_dir()


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith(_PRIVATE))
    except OSError as error:
        raise _unreadable(folder, error) from error


def _is_folder(path: Path) -> bool:
    try:
        path.stat()
        return path.is_dir()
    except FileNotFoundError as error:
        hint = _app_hint(path.with_name(path.name.partition(":")[0] + _CODE))
        raise LoadError(f"{path}: there is no such file or folder{hint}") from error
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _app_hint(path: Path) -> str:
    """Say how a Flask app is named, if this is a file of code that may hold one."""
    return f"; if {path} holds a Flask app, write {path.stem}:app" if path.is_file() else ""


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # what is wrong with it is told when it is read
        return False


def _unreadable(path: Path, error: OSError | ValueError) -> LoadError:
    reason = getattr(error, "strerror", None) or str(error)
    return LoadError(f"{path} cannot be read: {reason.lower()}")
