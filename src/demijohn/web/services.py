"""What the views of one app share; lives in ``app.extensions["demijohn"]``."""

from __future__ import annotations

import hashlib
import hmac
import os
import threading
from dataclasses import dataclass, field

from flask import current_app

from demijohn.config import Settings
from demijohn.lifecycle import Lifecycle
from demijohn.metrics import Metrics
from demijohn.pool import Pool

EXTENSION = "demijohn"
_NICE = 10


@dataclass(slots=True)
class Services:
    """Settings, models and counters of one app."""

    settings: Settings
    pool: Pool
    metrics: Metrics
    lifecycle: Lifecycle
    bound_host: str | None = None  #: The address ``serve`` listens on; None under another server.
    failures: dict[str, str] = field(default_factory=dict)  #: Models that should serve and cannot.
    openapi: tuple[object, bytes] | None = None  #: The last document, behind what it was made of.
    _digests: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        """Keep digests of the keys, so that comparing takes the same time for all of them."""
        self._digests = tuple(_digest(key) for key in self.settings.api_key)

    def start(self) -> None:
        """Prove the models in the background; returns at once."""
        threading.Thread(target=self._prove, name="demijohn-prover", daemon=True).start()

    def _prove(self) -> None:
        # Linux gives each thread its own niceness; a client's request comes first.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        for predictor in self.pool.predictors():
            predictor.prove()

    @property
    def needs_key(self) -> bool:
        """Say whether a request must bring a key."""
        return bool(self._digests)

    def accepts(self, key: str) -> bool:
        """Say whether ``key`` opens the routes; compares with every key, in constant time."""
        digest = _digest(key)
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        return any(matches)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def services() -> Services:
    """Return the services of the app that handles this request."""
    found: Services = current_app.extensions[EXTENSION]
    return found
