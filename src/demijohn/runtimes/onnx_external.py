"""The files beside an ONNX model that hold its weights.

Rules of this room:
1. A file is opened only below the model's own folder, one folder at a time, and never through a link:
   what is checked is what was opened, so nothing can be put in its place (CVE-2022-25882,
   CVE-2024-27318, CVE-2026-27489).
2. A file with a second name elsewhere (a hard link) is refused: it may be anybody's (CVE-2026-34446).
3. onnxruntime is given the bytes and opens nothing itself.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from demijohn.errors import LoadError

from .onnx_file import External, OnnxFacts, read_facts

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def digest(content: bytes, path: Path) -> str | None:
    """Return the digest of a model with its other files; None where it has none.

    Raises:
        LoadError: one of them may not be read.
    """
    facts = read_facts(content)
    return digest_with(content, read_files(facts, path)) if facts.externals else None


def digest_with(content: bytes, files: dict[str, bytes]) -> str:
    """Return the SHA-256 over a model and its other files, by name."""
    sha256 = hashlib.sha256(content)
    for location in sorted(files):
        sha256.update(f"\0{location}\0{len(files[location])}\0".encode())
        sha256.update(files[location])
    return sha256.hexdigest()


def read_files(facts: OnnxFacts, path: Path) -> dict[str, bytes]:
    """Read the files that a model refers to.

    Args:
        facts: Of the model.
        path: Of the model's own file.

    Returns:
        Their contents, by location as the model writes it.

    Raises:
        LoadError: one lies outside the model's folder, is a link or no file, or is too short.
    """
    files = {location: _read(path.parent, location) for location in facts.locations}
    for external in facts.externals:
        _check_fits(external, len(files[external.location]))
    return files


def _check_fits(external: External, n_bytes: int) -> None:
    length = n_bytes - external.offset if external.length is None else external.length
    if length < 0 or external.offset + length > n_bytes:
        raise LoadError(
            f"a tensor is said to lie at byte {external.offset} of {external.location!r},"
            f" {length} bytes long; the file has {n_bytes}"
        )
    if external.n_elements > 2 * length:
        raise LoadError(f"a tensor declares {external.n_elements:,} elements and has {length:,} bytes")


def _read(folder: Path, location: str) -> bytes:
    parts = _parts_of(location)
    try:
        at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts[:-1]:
                at = _step(at, os.open(part, _FLAGS | os.O_DIRECTORY, dir_fd=at))
            at = _step(at, os.open(parts[-1], _FLAGS, dir_fd=at))
            return _read_open(at, location)
        finally:
            os.close(at)
    except OSError as error:
        raise LoadError(f"the file {location!r}, which holds its weights, {_reason(error)}") from error


def _step(left: int, entered: int) -> int:
    os.close(left)
    return entered


def _parts_of(location: str) -> Sequence[str]:
    parts = [part for part in location.split("/") if part not in {"", "."}]
    if location.startswith("/") or "\\" in location or "\0" in location or ".." in parts or not parts:
        raise LoadError(f"it refers to a file outside its own folder: {location[:200]!r}")
    return parts


def _read_open(descriptor: int, location: str) -> bytes:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise LoadError(f"{location!r}, which should hold its weights, is no regular file")
    if found.st_nlink > 1:
        raise LoadError(
            f"{location!r}, which holds its weights, has another name elsewhere (a hard link); copy the file"
        )
    with open(descriptor, "rb", closefd=False) as file:
        return file.read()


def _reason(error: OSError) -> str:
    reasons = {
        errno.ENOENT: "is missing",
        errno.EACCES: "may not be read by this user",
        errno.ELOOP: "is a link, and links are not followed; copy the file",
        errno.ENOTDIR: "lies behind what is no folder, or a link to one; links are not followed",
    }
    return reasons.get(error.errno or 0, f"cannot be read: {error.strerror}")
