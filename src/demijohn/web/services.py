"""What the views of one app share; lives in ``app.extensions["demijohn"]``."""

from __future__ import annotations

import hashlib
import hmac
import os
import weakref
from dataclasses import dataclass
from typing import Protocol

from flask import current_app

from demijohn.config import Settings
from demijohn.lifecycle import Lifecycle
from demijohn.metrics import Metrics
from demijohn.planning import settle_in_background
from demijohn.pool import Pool
from demijohn.predictor import Predictor

EXTENSION = "demijohn"


class ModelControl(Protocol):
    """Who loads and unloads models for clients."""

    def load(self, name: str) -> None:
        """Serve a model as its files are now; returns when every worker does.

        Raises:
            ModelNotFound: there is none of that name.
            LoadRefused: it cannot be loaded, or may not.
        """

    def unload(self, name: str, *, with_members: bool) -> None:
        """Serve a model no more, and of a chain, if asked, its members; returns when no worker does.

        Raises:
            ModelNotFound: there never was one of that name.
        """


@dataclass(slots=True, weakref_slot=True, eq=False)
class Services:
    """Settings, models and counters of one app."""

    settings: Settings
    pool: Pool
    metrics: Metrics
    lifecycle: Lifecycle
    bound_host: str | None = None  #: The address ``serve`` listens on; None under another server.
    control: ModelControl | None = None  #: None: nothing is loaded or unloaded over HTTP.
    openapi: tuple[object, bytes] | None = None  #: The last document, behind what it was made of.
    _digests: tuple[bytes, ...] = ()
    _proved: int | None = None  #: The pool's generation at the last ``start`` of this process.

    def __post_init__(self) -> None:
        """Keep digests of the keys, so that comparing takes the same time for all of them."""
        self._digests = tuple(_digest(key.encode()) for key in self.settings.api_key)
        _all_services.add(self)

    def start(self) -> None:
        """Find the models' engines in the background; returns at once."""
        self._proved = self.pool.generation
        settle_in_background(self.pool.predictors())

    def find(self, name: str | None, version: str | None = None, alias: str | None = None) -> Predictor:
        """Find who answers; see ``Pool.find``."""
        pool = self.pool
        if self._proved != pool.generation:
            self.start()
        return pool.find(name, version, alias)

    def start_once(self) -> None:
        """See to it that the models' engines are found: the first to ask has them found.

        Nobody else would, under a server that is not ours, and a thread begun before its fork would
        not be there after it.
        """
        if self._proved != self.pool.generation:
            self.start()

    @property
    def needs_key(self) -> bool:
        """Say whether a request must bring a key."""
        return bool(self._digests)

    def accepts(self, key: str) -> bool:
        """Say whether ``key`` opens the routes; compares with every key, in constant time.

        Args:
            key: As WSGI has a header: a character for each byte.
        """
        digest = _digest(key.encode("latin-1", "replace"))
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        return any(matches)


_all_services: weakref.WeakSet[Services] = weakref.WeakSet()


def _start_all_anew() -> None:
    """Forget, in a fork's child, that the parent has a thread that finds engines."""
    for one in list(_all_services):
        one._proved = None


os.register_at_fork(after_in_child=_start_all_anew)  # to ask for our pid is a call of the kernel's


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def services() -> Services:
    """Return the services of the app that handles this request."""
    found: Services = current_app.extensions[EXTENSION]
    return found
