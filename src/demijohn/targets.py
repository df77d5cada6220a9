"""What the words after ``demijohn serve`` stand for: files, ``name=file``, folders, an app.

Rules of this room:
1. ``models/iris/3/<one model file>`` is version "3" of iris; a file without a number is "1".
2. Files of a folder that are no model are passed over, told once; a named file must be one.
3. Naming a folder names the code files that are in it now, and no later ones.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import runtimes
from .errors import ConfigurationError, LoadError, UnknownFormat
from .pool import NAME, check_name

logger = logging.getLogger("demijohn")

_APP = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*(\(\))?\Z")


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One model file to serve."""

    name: str
    version: str
    path: Path
    runs_code: bool


@dataclass(frozen=True, slots=True)
class Target:
    """One word of the command line: a file or a folder, with the name it was given."""

    path: Path
    name: str | None = None

    def files(self) -> list[ModelFile]:
        """List the model files as they are now.

        Raises:
            OperatorError: the file or folder is missing, unreadable, or holds no model.
        """
        if not self.path.exists():
            raise LoadError(f"{self.path}: no such file or folder")
        if not self.path.is_dir():
            return [_named_file(self.name or stem(self.path), "1", self.path)]
        found = list(_in_folder(self.path, self.name))
        if not found:
            raise LoadError(f"{self.path}: no model file in this folder")
        return found


def is_app(word: str) -> bool:
    """Say whether a word names a Flask app (``module:attribute``) and no file."""
    return bool(_APP.match(word)) and not Path(word).exists()


def parse(word: str) -> Target:
    """Read one word: ``path`` or ``name=path``.

    Raises:
        ConfigurationError: the name cannot be used.
    """
    if Path(word).exists():
        return Target(Path(word))
    name, equals, path = word.partition("=")
    return Target(Path(path), check_name(name)) if equals else Target(Path(word))


def all_files(targets: Sequence[Target]) -> list[ModelFile]:
    """List the model files of all targets.

    Raises:
        OperatorError: one of them cannot be served, or a name and version stands twice.
    """
    files: dict[tuple[str, str], ModelFile] = {}
    for target in targets:
        for file in target.files():
            other = files.setdefault((file.name, file.version), file)
            if other is not file:
                raise ConfigurationError(
                    f"{other.path} and {file.path} are both model {file.name!r}, version {file.version!r}; "
                    "name one of them: other=path"
                )
    return list(files.values())


def stem(path: Path) -> str:
    """Return a file's name without its extension, in a form that may name a model."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.name.removesuffix(path.suffix)).strip("-._") or "model"


def _named_file(name: str, version: str, path: Path) -> ModelFile:
    artifact = runtimes.inspect(path)
    return ModelFile(check_name(name), version, path, artifact.runs_code)


def _in_folder(folder: Path, name: str | None) -> Iterator[ModelFile]:
    """Yield the models of a folder; one whose subfolders are numbers is itself a model."""
    children = _children(folder)
    if any(_is_version(child) for child in children):
        yield from _versions(name or stem_of_folder(folder), folder)
        return
    if name is not None:
        raise ConfigurationError(f"{folder} holds several models, which cannot all be named {name!r}")
    for child in children:
        if not child.is_dir():
            yield from _file_if_model(stem(child), "1", child)
        elif NAME.match(child.name):
            yield from _versions(child.name, child)


def stem_of_folder(folder: Path) -> str:
    """Return a folder's own name, also where it was given as ``.``."""
    return folder.resolve().name


def _versions(name: str, folder: Path) -> Iterator[ModelFile]:
    for child in _children(folder):
        if _is_version(child):
            models = [m for file in _children(child) for m in _file_if_model(name, child.name, file)]
            if len(models) > 1:
                raise LoadError(f"{child}: {len(models)} model files where one is expected")
            yield from models
        elif not child.is_dir():
            yield from _file_if_model(name, "1", child)


def _is_version(path: Path) -> bool:
    return path.name.isascii() and path.name.isdigit() and path.is_dir()


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise LoadError(f"{folder}: cannot be read: {error.strerror}") from error


def _file_if_model(name: str, version: str, path: Path) -> Iterator[ModelFile]:
    if path.is_dir():
        return
    try:
        artifact = runtimes.inspect(path)
    except UnknownFormat as error:
        logger.info("passed over: %s", error.detail)
        return
    yield ModelFile(check_name(name), version, path, artifact.runs_code)
