"""Looking at a model file: which format, which digest, and does loading it run code.

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
from pathlib import Path

from demijohn.errors import LoadError, UnknownFormat

from .base import Artifact
from .formats import FORMATS, Format, format_of, is_torch_pickle

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


def read_artifact(path: Path | str) -> tuple[Artifact, bytes]:
    """Read a model file once and describe it.

    Returns:
        The description, and the bytes that it describes.

    Raises:
        LoadError: the file is missing, no regular file, unreadable, empty or of an unknown format.
    """
    path = Path(path)
    content = _read(path)
    found = _format_of(content, path)
    artifact = Artifact(
        path=path,
        format=found.name,
        framework=found.framework,
        runs_code=found.trust == "code",
        survives_fork=found.survives_fork,
        loader=found.loader,
        sha256=_digest(found, content, path),
        size_bytes=len(content),
    )
    return artifact, content


def _digest(found: Format, content: bytes, path: Path) -> str:
    """Return the SHA-256 of a file, and of those beside it that belong to it."""
    if found.whole_digest is not None:
        module, _, function = found.whole_digest.partition(":")
        over_all = getattr(importlib.import_module(f"demijohn.runtimes.{module}"), function)
        try:
            whole: str | None = over_all(content, path)
        except LoadError as error:
            raise LoadError(f"{path}: {error.detail}") from error
        if whole is not None:
            return whole
    return hashlib.sha256(content).hexdigest()


def _read(path: Path) -> bytes:
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for somebody to write.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISDIR(mode):
                raise LoadError(f"{path} is a folder; name one model file in it")
            if not stat.S_ISREG(mode):
                raise LoadError(f"{path} is no regular file; name a model file")
            with open(descriptor, "rb", closefd=False) as file:
                content = file.read()
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise LoadError(f"{path}: {_reason(error)}") from error
    if not content:
        raise LoadError(f"{path} is empty")
    return content


def _reason(error: Exception) -> str:
    reasons = {errno.ENOENT: "there is no such file", errno.EACCES: "the file may not be read by this user"}
    return reasons.get(getattr(error, "errno", 0), getattr(error, "strerror", None) or str(error))


def _format_of(content: bytes, path: Path) -> Format:
    found = format_of(content)
    if found is None:
        hint = next((f"; {hint}" for magic, hint in _HINTS if content.startswith(magic)), "")
        hint = f"; {_WEIGHTS_ALONE}" if is_torch_pickle(content) else hint
        known = ", ".join(one.name for one in FORMATS)
        raise UnknownFormat(f"{path} is of no known format: expected one of {known}{hint}")
    return found
