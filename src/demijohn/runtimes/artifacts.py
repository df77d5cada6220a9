"""Looking at a model file: which format, which digest, and does loading it run code.

Rules of this room:
1. The format is told by the content, never by the file's name.
2. Nothing is run, imported or built; at most two bytes are decompressed.
3. A file is read once: what is described, hashed and loaded are the same bytes, so nobody can swap
   the file in between.
"""

from __future__ import annotations

import bz2
import errno
import hashlib
import io
import lzma
import os
import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from demijohn.errors import LoadError, UnknownFormat

from .base import Artifact

CODE_FORMATS = frozenset({"joblib", "pickle"})  #: Loading one runs the code that it names.

_PROTOCOLS = range(2, 6)  #: Pickle protocols that begin with the opcode PROTO.
_LZ4 = b"\x04\x22\x4d\x18"
_COMPRESSED: tuple[
    tuple[bytes, Callable[[], zlib._Decompress | bz2.BZ2Decompressor | lzma.LZMADecompressor]], ...
]
_COMPRESSED = (
    (b"\x78", zlib.decompressobj),
    (b"\x1f\x8b", lambda: zlib.decompressobj(wbits=31)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\x00", lzma.LZMADecompressor),
    (b"\x5d\x00", lzma.LZMADecompressor),
)
_HINTS = (
    (b"\x89HDF", "it looks like HDF5 (Keras .h5), which this version does not serve"),
    (b"PK\x03\x04", "it is a zip archive, but holds no schema.json as a .skops file does"),
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
    format_name = _format_of(content, path)
    artifact = Artifact(
        path=path,
        format=format_name,
        framework="sklearn",
        runs_code=format_name in CODE_FORMATS,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
    )
    return artifact, content


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


def _format_of(content: bytes, path: Path) -> str:
    if _is_pickle(content):
        # joblib writes arrays beside the pickle's own opcodes, so only joblib can read such a file.
        return "joblib" if b"joblib.numpy_pickle" in content else "pickle"
    if content.startswith(_LZ4) or _is_compressed_pickle(content):
        return "joblib"
    if content.startswith(b"PK\x03\x04") and _is_skops(content):
        return "skops"
    hint = next((f"; {hint}" for magic, hint in _HINTS if content.startswith(magic)), "")
    raise UnknownFormat(f"{path} is of no known format: expected a joblib, pickle or skops file{hint}")


def _is_pickle(content: bytes) -> bool:
    return len(content) > 1 and content[0] == 0x80 and content[1] in _PROTOCOLS


def _is_compressed_pickle(content: bytes) -> bool:
    for magic, decompressor in _COMPRESSED:
        if content.startswith(magic):
            try:
                start = decompressor().decompress(content[:65536], 2)
            except (zlib.error, OSError, EOFError, lzma.LZMAError):
                continue
            return _is_pickle(start)
    return False


def _is_skops(content: bytes) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return "schema.json" in archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return False
