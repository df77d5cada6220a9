"""Model folders: a model that is several files, read whole and once.

Rules of this room:
1. Nothing in a folder leads out of it: a symbolic link is refused, and each name is opened below the
   folder that was opened first, so that nobody can put a link in its place in between.
2. Regular files only, each read once: what is described, hashed and loaded are the same bytes.
3. The digest covers the names and the contents of all files.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from demijohn.errors import LoadError

FolderContent = Mapping[str, bytes]  #: Path below the folder, with "/" between names -> the file's bytes.

MAX_FILES = 10_000
_DEEPEST = 16
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW


def read_folder(path: Path) -> FolderContent:
    """Read all files of a folder.

    Raises:
        LoadError: something in it may not be read, is no regular file, leads elsewhere, or is too much.
    """
    files: dict[str, bytes] = {}
    # The folder itself may be a link: that is what the operator named.
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name, content in _walk(descriptor, path, ()):
            files[name] = content
            if len(files) > MAX_FILES:
                raise LoadError(f"{path} holds more than {MAX_FILES} files; a model folder holds few")
    finally:
        os.close(descriptor)
    return files


def stamp_of_folder(path: Path) -> tuple[int, ...]:
    """Return what changes when a file of a folder does, appears or goes; opens no file.

    Raises:
        OSError: the folder is gone, or may not be read.
    """
    stats: list[int] = []
    for folder, folders, files in os.walk(path, onerror=_raise):
        folders.sort()
        for name in sorted(files):
            where = Path(folder, name)
            found = where.lstat()
            # A name's hash is its process's own, as every stamp is.
            stats += (hash(where), found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)
    return tuple(stats)


def _raise(error: OSError) -> NoReturn:
    raise error


def digest_of_folder(files: FolderContent) -> str:
    """Return one sha256 over the names and contents of all files, in any order."""
    digest = hashlib.sha256()
    for name in sorted(files):
        encoded = name.encode(errors="surrogateescape")
        # Lengths first: no two folders write the same text.
        digest.update(b"%d:%b%b" % (len(encoded), encoded, hashlib.sha256(files[name]).digest()))
    return digest.hexdigest()


def _walk(folder: int, root: Path, parents: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    if len(parents) > _DEEPEST:
        raise LoadError(f"{root} holds folders more than {_DEEPEST} deep")
    for name in sorted(os.listdir(folder)):
        names = (*parents, name)
        where = root.joinpath(*names)
        with _opened(folder, name, where) as descriptor:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISDIR(mode):
                yield from _walk(descriptor, root, names)
            elif stat.S_ISREG(mode):
                with open(descriptor, "rb", closefd=False) as file:
                    yield "/".join(names), file.read()
            else:
                raise LoadError(f"{where} is no regular file; a model folder holds files and folders only")


@contextmanager
def _opened(folder: int, name: str, where: Path) -> Iterator[int]:
    try:
        descriptor = os.open(name, _FLAGS, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):  # what O_NOFOLLOW says; EMLINK on the BSDs
            raise LoadError(
                f"{where} is a symbolic link; put the file itself into the model folder"
            ) from error
        if error.errno == errno.ENXIO:  # a socket
            raise LoadError(
                f"{where} is no regular file; a model folder holds files and folders only"
            ) from error
        raise
    try:
        yield descriptor
    finally:
        os.close(descriptor)
