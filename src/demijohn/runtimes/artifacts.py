"""Looking at a model file or folder: which format, which digest, and does loading it run code.

Rules of this room:
1. The format is told by the content, never by the file's name; ``formats`` has the table.
2. Nothing is run, imported or built.
3. A file is read once: what is described, hashed and loaded are the same bytes, so nobody can swap
   the file in between.
"""

from __future__ import annotations

import errno
import hashlib
import importlib
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from demijohn.errors import LoadError, UnknownFormat

from .base import Artifact
from .folder_formats import FOLDER_FORMATS, FolderFormat, folder_format_of
from .folders import FolderContent, digest_of_folder, read_folder
from .formats import FORMATS, Format, format_of, is_torch_pickle

Content = bytes | FolderContent  #: Of a model file, or of a model folder.
Others = Callable[[], Sequence[Format]]

_WEIGHTS_ALONE = (
    "it is what torch.save writes, weights without a model or a pickle of anything;"
    " save the model with torch.export.save"
)
_HINTS = (
    (
        b"PK\x03\x04",
        (
            "it is a zip archive, but holds no schema.json as a .skops file does, and no config.json with"
            " metadata.json as a .keras file does"
        ),
    ),
    (b"(", "if it is a pickle of protocol 0 or 1, save it again with protocol 2 or later"),
)


def read_artifact(path: Path | str, others: Others = tuple) -> tuple[Artifact, Content]:
    """Read a model file or folder once and describe it.

    Args:
        path: Of the file.
        others: Returns the formats of other packages; asked where none of ours matches.

    Returns:
        The description, and the bytes that it describes.

    Raises:
        LoadError: it is missing, neither a regular file nor a model folder, unreadable, empty or of an
            unknown format.
    """
    path = Path(path)
    try:
        folder = folder_format_of(path)
        if folder is not None:
            files = read_folder(path)
            size_bytes = sum(map(len, files.values()))
            return _describe(path, folder, digest_of_folder(files), size_bytes), files
        content = _read(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise LoadError(f"{path}: {_reason(error)}") from error
    if not content:
        raise LoadError(f"{path} is empty")
    found = _format_of(content, path, others)
    return _describe(path, found, _digest(found, content, path), len(content)), content


def _describe(path: Path, found: Format | FolderFormat, sha256: str, size_bytes: int) -> Artifact:
    return Artifact(
        path=path,
        format=found.name,
        framework=found.framework,
        runs_code=found.trust == "code",
        survives_fork=found.survives_fork,
        loader=found.loader,
        sha256=sha256,
        size_bytes=size_bytes,
    )


def _digest(found: Format, content: bytes, path: Path) -> str:
    """Return the SHA-256 of a file, and of those beside it that belong to it."""
    if found.whole_digest is not None:
        module, _, function = found.whole_digest.partition(":")
        package = "demijohn.runtimes." if found in FORMATS else ""
        over_all = getattr(importlib.import_module(package + module), function)
        try:
            whole: str | None = over_all(content, path)
        except LoadError as error:
            raise LoadError(f"{path}: {error.detail}") from error
        if whole is not None:
            return whole
    return hashlib.sha256(content).hexdigest()


def _read(path: Path) -> bytes:
    # Without O_NONBLOCK, opening a named pipe would wait for somebody to write.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            marks = ", ".join(f"{one.mark} ({one.name})" for one in FOLDER_FORMATS)
            raise LoadError(f"{path} is a folder without {marks}; name one model file in it")
        if not stat.S_ISREG(mode):
            raise LoadError(f"{path} is no regular file; name a model file")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def _reason(error: Exception) -> str:
    reasons = {errno.ENOENT: "there is no such file", errno.EACCES: "the file may not be read by this user"}
    return reasons.get(getattr(error, "errno", 0), getattr(error, "strerror", None) or str(error))


def _format_of(content: bytes, path: Path, others: Others) -> Format:
    found = format_of(content)
    if found is None:
        theirs = others()
        found = next((one for one in theirs if one.matches(content)), None)
    if found is None:
        hint = next((f"; {hint}" for magic, hint in _HINTS if content.startswith(magic)), "")
        hint = f"; {_WEIGHTS_ALONE}" if is_torch_pickle(content) else hint
        known = ", ".join(one.name for one in (*FORMATS, *theirs))
        raise UnknownFormat(f"{path} is of no known format: expected one of {known}{hint}")
    return found
