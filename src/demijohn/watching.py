"""``serve --reload``: files that change are loaded beside what serves, then swapped.

Rules of this room:
1. Each worker watches by itself, by looking at the files once a second: no event is missed on a
   network file system, and nothing passes between processes.
2. A file is loaded only when two looks in a row saw it alike: half a file is no model.
3. What fails to load changes nothing: the old version serves on, and the log says why.
4. A code file (joblib, pickle) that was not there at the start is never loaded.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from .errors import DemijohnError
from .targets import ModelFile, Target, all_files

logger = logging.getLogger("demijohn")

INTERVAL_S = 1.0
Stamp = tuple[int, int, int]


class Served(Protocol):
    """What the watcher changes."""

    def put(self, file: ModelFile, *, allow_code: bool) -> None:
        """Load a file beside and swap it in; raises what loading raises."""

    def drop(self, name: str, version: str) -> None:
        """Stop serving a version."""


class Watcher:
    """Keeps what is served equal to the files.

    Args:
        targets: What the operator named.
        served: What serves them now.
        wait: Waits for a number of seconds; returns True when it is time to end.
    """

    def __init__(
        self, targets: Sequence[Target], served: Served, wait: Callable[[float], bool] | None = None
    ) -> None:
        self._targets = targets
        self._served = served
        self._wait = wait or (lambda seconds: threading.Event().wait(seconds))
        self._stamps = {(f.name, f.version): (f, _stamp(f.path)) for f in all_files(targets)}
        self._at_start = frozenset(f.path for f, _ in self._stamps.values())
        self._seen: dict[Path, Stamp | None] = {}
        self._failed: dict[Path, Stamp | None] = {}

    def start(self) -> None:
        """Watch in a daemon thread."""
        threading.Thread(target=self._watch, name="demijohn-watcher", daemon=True).start()

    def _watch(self) -> None:
        while not self._wait(INTERVAL_S):
            self.look()

    def look(self) -> None:
        """Look once: load what settled since, drop what is gone."""
        try:
            files = {(f.name, f.version): f for f in all_files(self._targets)}
        except DemijohnError as error:
            logger.warning("reload: %s; what served before serves on", error.detail)
            return
        for key, file in files.items():
            self._look_at(key, file)
        for key in self._stamps.keys() - files.keys():
            if self._stamps[key][0].path.exists():
                continue  # half written perhaps; a later look will tell
            del self._stamps[key]
            logger.info("reload: %s version %s is gone", *key)
            self._served.drop(*key)

    def _look_at(self, key: tuple[str, str], file: ModelFile) -> None:
        stamp = _stamp(file.path)
        before, self._seen[file.path] = self._seen.get(file.path), stamp
        known = self._stamps.get(key)
        is_news = known is None or known[1] != stamp
        if not is_news or stamp != before or self._failed.get(file.path) == stamp:
            return
        try:
            self._served.put(file, allow_code=file.path in self._at_start)
        except Exception as error:  # noqa: BLE001  - a loader is foreign code
            self._failed[file.path] = stamp
            detail: Any = error.detail if isinstance(error, DemijohnError) else type(error).__name__
            logger.warning("reload: %s: %s; what served before serves on", file.path, detail)
            return
        self._stamps[key] = (file, stamp)
        logger.info("reload: %s version %s loaded from %s", *key, file.path)


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)
