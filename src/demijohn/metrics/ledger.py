"""Where the numbers of a process are: named places in mapped memory that its siblings can read.

Rules of this room:
1. A process counts in a file of its own, which it claims by a lock that the kernel drops when the
   process ends, however it ends. Its successor claims the same file and counts on: counters never
   go back, and a respawn makes no new file.
2. ``<name>.values`` is an array of doubles; ``<name>.index`` says what they are, a JSON line
   ``[family, labels, position]`` for each child. A place never moves and is zero when it is named.
3. A gauge counts only while the process of its file lives, unless it tells when something last was.
"""

from __future__ import annotations

import fcntl
import json
import logging
import mmap
import os
import weakref
import zlib
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from demijohn.file_locks import try_lock

from .families import COUNTED, Family, Labels

logger = logging.getLogger("demijohn")

_BY_NAME: Mapping[str, Family] = {family.name: family for family in COUNTED}
# In the files' names, so that one left by another Demijohn is never misread.
_LAYOUT = f"{zlib.crc32(repr(COUNTED).encode()):08x}"
_CAPACITY = 2**18  # doubles of one process: some 3,000 methods, each with all its children
_SPARE = max(family.width for family in COUNTED)  # at the end; there is counted what finds no place
_DOUBLE_BYTES = 8
_BYTES = _CAPACITY * _DOUBLE_BYTES

Places = dict[tuple[str, Labels], int]  #: By family and labels, the position of the first double.


@dataclass(frozen=True, slots=True)
class Reading:
    """What one process has counted so far."""

    places: Places
    values: array[float]
    is_alive: bool

    def children(self) -> Iterator[tuple[Family, Labels, array[float]]]:
        """Iterate over what counts."""
        for (name, labels), position in self.places.items():
            family = _BY_NAME[name]
            if self.is_alive or family.kind != "gauge" or family.is_latest:
                yield family, labels, self.values[position : position + family.width]


class Ledger:
    """The numbers of this process.

    Args:
        folder: Where its siblings count too; None counts in memory alone.
        number: Those of one number are added up.
    """

    def __init__(self, folder: Path | None, number: int) -> None:
        self._folder = folder
        self._pattern = f"demijohn-{_LAYOUT}-{number}-*.values"
        self._places: Places = {}
        self._is_full = False
        self._end = 0
        if folder is None:
            # Private, unlike what mmap does unless told: a child after a fork counts for itself.
            memory = mmap.mmap(-1, _BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            self.values = memoryview(memory).cast("d")
            return
        self._path, file = _claim(folder, self._pattern)
        weakref.finalize(self, os.close, file)  # and the lock with it
        # A full disk is to be told now, as an error; when we write, it would be a SIGBUS.
        _allocate(file)
        self.values = memoryview(mmap.mmap(file, _BYTES)).cast("d")
        self._take_over(_index_of(self._path))

    def _take_over(self, index: Path) -> None:
        index.touch(mode=0o600)
        text = index.read_bytes()
        os.truncate(index, text.rfind(b"\n") + 1)  # our predecessor may have died within a line
        self._places = _read_index(text)
        self._end = _end_of(self._places)
        for (name, _), position in self._places.items():
            if _BY_NAME[name].kind == "gauge" and not _BY_NAME[name].is_latest:
                self.values[position] = 0.0

    def place(self, family: Family, labels: Labels) -> int:
        """Return the position of a child's first double; one caller at a time."""
        position = self._places.get((family.name, labels))
        if position is not None:
            return position
        if self._end + family.width > _CAPACITY - _SPARE:
            if not self._is_full:
                logger.warning(
                    "no room for more metrics: %s%s and later ones are not shown", family.name, labels
                )
                self._is_full = True
            return _CAPACITY - _SPARE
        position = self._end
        if self._folder is not None:
            with _index_of(self._path).open("ab", buffering=0) as index:
                index.write(json.dumps([family.name, labels, position]).encode() + b"\n")
        self._places[family.name, labels] = position
        self._end += family.width
        return position

    def read(self) -> Reading:
        """Copy what this process has counted; one caller at a time."""
        return Reading(dict(self._places), array("d", self.values[: self._end].tobytes()), True)

    def read_siblings(self) -> Iterator[Reading]:
        """Copy what the others have counted, the dead ones included."""
        if self._folder is not None:
            for path in sorted(self._folder.glob(self._pattern)):
                if path != self._path:
                    yield _read(path)


def _allocate(file: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, _BYTES)
    elif os.fstat(file).st_size < _BYTES:  # macOS
        os.pwrite(file, bytes(_BYTES), 0)


def _claim(folder: Path, pattern: str) -> tuple[Path, int]:
    """Open the first file that no living process counts in; it is locked while it is open."""
    number = 0
    while True:
        path = folder / pattern.replace("*", str(number))
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if try_lock(file, fcntl.LOCK_EX):
            return path, file
        os.close(file)
        number += 1


def _index_of(path: Path) -> Path:
    return path.with_suffix(".index")


def _read_index(text: bytes) -> Places:
    lines = text.split(b"\n")[:-1]  # what follows the last newline is being written
    return {(name, tuple(labels)): position for name, labels, position in map(json.loads, lines)}


def _end_of(places: Places) -> int:
    return max((position + _BY_NAME[name].width for (name, _), position in places.items()), default=0)


def _read(path: Path) -> Reading:
    index = _index_of(path)
    places = _read_index(index.read_bytes()) if index.exists() else {}
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # Where we get the lock nobody lives. We hold it for microseconds; should a successor want the
        # file just then, it takes another one.
        is_alive = not try_lock(file, fcntl.LOCK_SH)
        values = array("d", os.pread(file, _end_of(places) * _DOUBLE_BYTES, 0))
    finally:
        os.close(file)
    return Reading(places, values, is_alive)
