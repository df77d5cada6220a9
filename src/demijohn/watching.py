"""``serve --reload``: files that change are loaded beside what serves, then swapped.

Rules of this room:
1. Each worker watches by itself, by looking at the files once a second: no event is missed on a
   network file system, and nothing passes between processes.
2. A file is loaded, or given up as gone, only when two looks in a row saw it alike: half a file is
   no model.
3. What fails to load changes nothing: the old version serves on, and the log says why, once.
4. A code file (joblib, pickle) is loaded only where a code file stood when the server started.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from .errors import DemijohnError, LoadError
from .targets import Candidate, ModelFile, Stamp, Target, is_called_a_model, read_candidate, stamp

logger = logging.getLogger("demijohn.watching")

INTERVAL_S = 1.0
Key = tuple[str, str]


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
        files: What the targets held when the server started; these are served now.
        served: What serves them.
        wait: Waits for a number of seconds; returns True when it is time to end.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        files: Sequence[ModelFile],
        served: Served,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        self._targets = targets
        self._served = served
        self._wait = wait or threading.Event().wait
        self._now: dict[Key, ModelFile] = {file.key: file for file in files}
        self._code = frozenset(file.path for file in files if file.runs_code)
        self._seen: dict[Path, Stamp | None] = {}
        self._judged: dict[Path, Stamp | None] = {}  # looked into: loaded, refused, or no model
        self._doubles: set[Path] = set()  # told to stand beside the file of their version
        self._gone: set[Key] = set()
        self._trouble = ""

    def start(self) -> None:
        """Catch up with what changed since the server started, then watch in a daemon thread.

        A worker that replaces another inherits the models of the start.
        """
        self.look()
        self.look()
        threading.Thread(target=self._watch, name="demijohn-watcher", daemon=True).start()

    def _watch(self) -> None:
        while not self._wait(INTERVAL_S):
            self.look()

    def look(self) -> None:
        """Look once: load what settled since, drop what is gone."""
        try:
            candidates = [one for target in self._targets for one in _candidates(target)]
        except (DemijohnError, OSError) as error:
            self._tell_trouble(f"{error}; what served before serves on")
            return
        self._tell_trouble("")
        paths = {candidate.path for candidate in candidates}
        for candidate in candidates:
            self._look_at(candidate, paths)
        self._seen = {path: self._seen[path] for path in paths}
        self._drop_gone({candidate.key for candidate in candidates})

    def _look_at(self, candidate: Candidate, paths: set[Path]) -> None:
        path, now = candidate.path, stamp(candidate.path)
        is_settled = self._seen.get(path) == now
        self._seen[path] = now
        served = self._now.get(candidate.key)
        if served is not None and served.path == path and served.stamp == now:
            self._judged.pop(path, None)
            return
        if now is None or not is_settled or self._judged.get(path) == now:
            return
        if served is not None and served.path != path and served.path in paths:
            if is_called_a_model(path) and path not in self._doubles:
                logger.warning("%s is passed over: %s is that version already", path, served.path)
            self._doubles.add(path)
            return
        self._judged[path] = now
        self._load(candidate, is_expected=served is not None or is_called_a_model(path))

    def _load(self, candidate: Candidate, *, is_expected: bool) -> None:
        try:
            file = read_candidate(candidate)
        except DemijohnError as error:
            if is_expected:
                logger.warning("%s; what served before serves on", error.detail)
            return
        served = self._now.get(file.key)
        if served is not None and served.path == file.path and served.sha256 == file.sha256:
            self._now[file.key] = file  # touched, not changed
            return
        try:
            self._served.put(file, allow_code=file.path in self._code)
        except Exception as error:  # noqa: BLE001  - a loader is foreign code
            # Ours name the file; of others the text may be anything.
            why = error if isinstance(error, DemijohnError) else f"{file.path}: {type(error).__name__}"
            logger.warning("%s; what served before serves on", why)
            return
        self._now[file.key] = file
        logger.info("%s version %s is loaded from %s", *file.key, file.path)

    def _drop_gone(self, standing: set[Key]) -> None:
        """Drop a version for which no file stands any more, now and at the last look."""
        gone = self._now.keys() - standing
        for key in gone & self._gone:
            del self._now[key]
            self._served.drop(*key)
            logger.info("%s version %s is gone", *key)
        self._gone = gone - (gone & self._gone)

    def _tell_trouble(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            logger.warning("%s", trouble)
        self._trouble = trouble


def _candidates(target: Target) -> list[Candidate]:
    """List a target's files; none where it was deleted from a folder that is still there."""
    try:
        return target.candidates()
    except LoadError:
        if target.path.parent.is_dir() and not target.path.is_symlink() and not target.path.exists():
            return []
        raise
