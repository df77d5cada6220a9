"""Zip archives that hold models: looked through before anything reads them.

Rules of this room:
1. Only the directory at the archive's end is read; nothing is unpacked.
2. What no honest writer makes is refused: names that leave the archive or stand twice, links, members
   that share bytes (CVE-2024-0450), and archives that unpack to far more than they are.
"""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from collections.abc import Sequence
from itertools import pairwise

from demijohn.errors import LoadError

MAX_EXPANSION = 100  #: Most bytes that one byte of an archive may unpack to ...
FREE_EXPANSION_BYTES = 256 * 2**20  #: ... beyond this many, which any archive may unpack to.

_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_LOCAL_MAGIC = b"PK\x03\x04"


def check_archive(content: bytes) -> tuple[str, ...]:
    """Refuse an archive that is broken or was made to harm its reader.

    Returns:
        The names of its members.

    Raises:
        LoadError: says what is wrong with it.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            ends = sorted((one.header_offset, _end(content, one)) for one in members)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
        raise LoadError(f"it is a broken zip archive: {error}") from error
    unpacked = sum(one.file_size for one in members)
    if unpacked > FREE_EXPANSION_BYTES + MAX_EXPANSION * len(content):
        raise LoadError(f"it would unpack to {unpacked:,} bytes, far more than it should")
    if any(end > following for (_, end), (following, _) in pairwise(ends)):
        raise LoadError("two members of the archive share bytes")
    _check_names(members)
    return tuple(one.filename for one in members)


def _end(content: bytes, member: zipfile.ZipInfo) -> int:
    """Return where a member's bytes end, as the header in front of them says where they begin."""
    header = _LOCAL_HEADER.unpack_from(content, member.header_offset)
    end = member.header_offset + _LOCAL_HEADER.size + header[9] + header[10] + member.compress_size
    if header[0] != _LOCAL_MAGIC or end > len(content):
        raise zipfile.BadZipFile(f"member {member.filename!r} is not where the directory says")
    return int(end)


def _check_names(members: Sequence[zipfile.ZipInfo]) -> None:
    seen: set[str] = set()
    for member in members:
        # What follows a NUL is cut off when the directory is read, and not by every reader.
        name = member.orig_filename
        parts = name.replace("\\", "/").split("/")
        if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name:
            raise LoadError(f"a member's name leaves the archive: {name[:100]!r}")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise LoadError(f"a member is a link: {name[:100]!r}")
        if name in seen:
            raise LoadError(f"the archive holds {name[:100]!r} twice")
        seen.add(name)
