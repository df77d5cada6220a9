"""Workers of one server agree on a change, so that all of them make it or none does.

Two-phase commit, by way of a private folder: whoever proposes a change writes it down, every worker
prepares it and says so, and only then is it agreed, and made by all.

Rules of this room:
1. What is agreed is one document, replaced at once. A worker that starts takes over what was agreed before.
2. A worker lives as long as it holds the lock of its file, which the kernel drops with the process:
   nobody waits for the dead, and a proposer that dies leaves what was agreed before.
3. One change at a time; a worker looks every ``POLL_S``, so nothing passes between processes but files.

Source: J. Gray, "Notes on Data Base Operating Systems" (1978), 5.8.3.3.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from .errors import DeadlineExceeded, DemijohnError, Unavailable
from .file_locks import try_lock

logger = logging.getLogger("demijohn.agreement")

POLL_S = 0.05
PATIENCE_S = 300.0  # a framework takes seconds to import, a large model to load
_COMMIT_S = 30.0
_LOOK_AGAIN_S = 0.01
_STATE, _PROPOSAL, _TURN, _WORKER = "state.json", "proposal.json", "turn.lock", "worker-"

Values = Mapping[str, Any]  #: What JSON can hold, by name.


class Participant(Protocol):
    """What a worker does about changes; called by one thread at a time."""

    def prepare(self, changes: Values) -> None:
        """Do all of a change that may fail, and nothing that anybody notices.

        Raises:
            DemijohnError: it cannot be made here; the text is for the client.
        """

    def commit(self, values: Values) -> None:
        """Make everything as was agreed, prepared or not; raises nothing."""

    def abandon(self) -> None:
        """Forget what was prepared."""


class _Seen(NamedTuple):
    """What a worker has told."""

    generation: int = -1  #: Of the state that it has made its own.
    judged: str = ""  #: Number of the last proposal that it looked at.
    why: str = ""  #: It cannot make that change; "" where it can.


class Agreement:
    """One worker's part in what all of them agree on.

    Args:
        folder: Private to the server; all its workers know it.
        participant: Makes the changes here.
        patience_s: Longest that a change may take to prepare.
    """

    def __init__(self, folder: Path, participant: Participant, patience_s: float = PATIENCE_S) -> None:
        self._folder = folder
        self._participant = participant
        self._patience_s = patience_s
        self._turn = threading.Lock()
        self._seen = _Seen()
        self._prepared_until = 0.0
        self._id = f"{_WORKER}{os.getpid()}-{secrets.token_hex(4)}"
        self._lock = -1
        self._has_left = threading.Event()

    # A worker ---------------------------------------------------------------------------------

    def join(self) -> None:
        """Be one of the workers from now on: take over what was agreed, then follow in a daemon thread."""
        self._lock = _hold(self._folder / f"{self._id}.lock")
        self._tell()
        self.look()
        threading.Thread(target=self._follow, name="demijohn-agreement", daemon=True).start()

    def leave(self) -> None:
        """Be none of the workers any more, as if the process had ended."""
        if not self._has_left.is_set():
            self._has_left.set()
            os.close(self._lock)

    def _follow(self) -> None:
        while not self._has_left.wait(POLL_S):
            self.look()

    def look(self) -> None:
        """Look once: make what was agreed since, prepare what is proposed."""
        proposal = _read(self._folder / _PROPOSAL)
        state = self._state()  # after the proposal, which goes when the state has come
        if state["generation"] > self._seen.generation:
            self._participant.commit(state["values"])
            self._prepared_until = 0.0
            self._tell(generation=state["generation"])
        if proposal is None or proposal["until"] < time.monotonic():
            if self._prepared_until:
                self._participant.abandon()
                self._prepared_until = 0.0
        elif proposal["number"] != self._seen.judged and proposal["generation"] > self._seen.generation:
            self._judge(proposal)

    def _judge(self, proposal: dict[str, Any]) -> None:
        why = ""
        self._prepared_until = proposal["until"]
        try:
            self._participant.prepare(proposal["values"])
        except DemijohnError as error:
            why = error.detail
        except Exception as error:  # the participant loads models, which are foreign code
            logger.warning("a change could not be prepared", exc_info=error)
            why = type(error).__name__
        self._tell(judged=proposal["number"], why=why)

    def _tell(self, **told: Any) -> None:
        self._seen = self._seen._replace(**told)
        _write(self._folder / f"{self._id}.json", self._seen._asdict())

    def _state(self) -> dict[str, Any]:
        return _read(self._folder / _STATE) or {"generation": 0, "values": {}}

    # Whoever proposes -------------------------------------------------------------------------

    def propose(self, make: Callable[[Values], Values], refused: Callable[[str], DemijohnError]) -> None:
        """Change what is agreed; returns when every worker has made it.

        Args:
            make: Returns the change, by name, of what is agreed when its turn comes.
            refused: Makes the error of a worker's reason.

        Raises:
            DemijohnError: a worker cannot make it, so none has, or what ``make`` raises.
            Unavailable: others' changes took all the time.
            DeadlineExceeded: a worker did not say in time.
        """
        until = time.monotonic() + self._patience_s
        with self._my_turn(until):
            state = self._state()
            changes = make(state["values"])
            number, generation = secrets.token_hex(8), state["generation"] + 1
            proposal = {"number": number, "generation": generation, "values": changes, "until": until}
            try:
                _write(self._folder / _PROPOSAL, proposal)
                self._await(lambda seen: seen.judged == number, until)
                reasons = [seen.why for seen in self._workers() if seen.judged == number and seen.why]
                if reasons:
                    raise refused(reasons[0])
                agreed = {"generation": generation, "values": {**state["values"], **changes}}
                _write(self._folder / _STATE, agreed)
            finally:
                (self._folder / _PROPOSAL).unlink(missing_ok=True)
            self._await(lambda seen: seen.generation >= generation, time.monotonic() + _COMMIT_S)

    @contextmanager
    def _my_turn(self, until: float) -> Iterator[None]:
        if not self._turn.acquire(timeout=max(0.0, until - time.monotonic())):
            raise _busy()
        try:
            file = os.open(self._folder / _TURN, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                while not try_lock(file, fcntl.LOCK_EX):
                    if time.monotonic() > until:
                        raise _busy()
                    time.sleep(_LOOK_AGAIN_S)
                yield
            finally:
                os.close(file)
        finally:
            self._turn.release()

    def _await(self, claim: Callable[[_Seen], bool], until: float) -> None:
        while not all(map(claim, self._workers())):
            if time.monotonic() > until:
                raise DeadlineExceeded("Not every worker has said in time that it is done")
            time.sleep(_LOOK_AGAIN_S)

    def _workers(self) -> list[_Seen]:
        """Return what each living worker has told; the files of dead ones are removed."""
        living = []
        for path in self._folder.glob(f"{_WORKER}*.lock"):
            told = path.with_suffix(".json")
            if _is_held(path):
                living.append(_Seen(**(_read(told) or {})))
            else:
                path.unlink(missing_ok=True)
                told.unlink(missing_ok=True)
        return living


def _busy() -> Unavailable:
    return Unavailable("Other models are being loaded or unloaded; try again", headers={"Retry-After": "1"})


def _hold(path: Path) -> int:
    """Make a file that is locked from the moment that it has its name, until the process ends."""
    new = path.with_suffix(".new")
    file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(file, fcntl.LOCK_EX)
    new.rename(path)
    return file


def _is_held(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(file, fcntl.LOCK_SH)
    finally:
        os.close(file)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return document


def _write(path: Path, document: Mapping[str, Any]) -> None:
    """Replace a file at once: nobody reads half of it."""
    new = path.with_suffix(f".{os.getpid()}.new")
    new.write_text(json.dumps(document))
    new.replace(path)
