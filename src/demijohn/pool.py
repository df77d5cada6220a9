"""Names, versions and aliases, each leading to a ``Predictor``.

Rules of this room:
1. A reader never waits: every change builds new dicts and swaps one reference.
2. A version that fails to load leaves what served before in place.
3. The highest version is the default one; "10" is higher than "9".
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

from .errors import ConfigurationError, ModelNotFound, NotReady, VersionNotFound
from .predictor import Predictor

logger = logging.getLogger("demijohn")

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")


@dataclass(frozen=True, slots=True)
class Entry:
    """One model: its versions and aliases."""

    versions: MappingProxyType[str, Predictor]  #: The lowest first.
    aliases: MappingProxyType[str, str] = field(default_factory=lambda: MappingProxyType({}))
    latest: Predictor = field(init=False)  #: The highest version.

    def __post_init__(self) -> None:
        """Find the highest version once: every request for no particular one asks for it."""
        object.__setattr__(self, "latest", self.versions[max(self.versions, key=rank)])


def rank(version: str) -> tuple[bool, int, str]:
    """Return the key by which versions are ordered: numbers by value, above any other text."""
    is_number = version.isascii() and version.isdigit()
    return (is_number, int(version) if is_number else 0, version)


def check_name(name: object, what: str = "model") -> str:
    """Return ``name`` if it may stand in a URL.

    Raises:
        ConfigurationError: it may not.
    """
    if not isinstance(name, str) or not NAME.match(name):  # a caller without types may give anything
        article = "an" if what == "alias" else "a"
        raise ConfigurationError(
            f"{name!r} cannot name {article} {what}: use up to 128 letters, digits, '.', '_' and '-', "
            "the first a letter or a digit"
        )
    return name


def check_version(version: str | int) -> str:
    """Return a version as it stands in a URL; most are numbers, so a number will do.

    Raises:
        ConfigurationError: it may not stand there.
    """
    is_number = isinstance(version, int) and not isinstance(version, bool)
    return check_name(str(version) if is_number else version, "version")


class Unloaded(NamedTuple):
    """A model that is known and not served."""

    versions: tuple[str, ...]  #: That it had.
    reason: str


class Pool:
    """All models of one Demijohn."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self.unloaded: Mapping[str, Unloaded] = {}  #: By name.
        self._lock = threading.Lock()
        self.default: str | None = None  #: Answers ``POST /predict`` where several are served.
        self.generation = 0  #: Counts changes, so that what is derived from the pool can be kept.
        self.has_streams = False  #: Some model has a method that answers item by item.

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names, in the order in which they were added."""
        return iter(self._entries)

    def __len__(self) -> int:
        """Count the models."""
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        """Say whether a model has this name."""
        return name in self._entries

    def entry(self, name: str, version: str | None = None) -> Entry:
        """Return a model's versions and aliases.

        Args:
            name: Of the model.
            version: That is looked for, to be told where there is no such model.

        Raises:
            ModelNotFound: no model has this name.
            NotReady: it was unloaded.
        """
        entry = self._entries.get(name)
        if entry is None and name in self.unloaded:
            why = self.unloaded[name].reason
            raise NotReady(f"Model {name!r} is {why}", headers={"Retry-After": "1"})
        if entry is None:
            error = ModelNotFound(f"There is no model of that name; {self._known()}")
            error.asked = (name, version)
            raise error
        return entry

    def find(self, name: str | None, version: str | None = None, alias: str | None = None) -> Predictor:
        """Find who answers.

        Args:
            name: None for the default model.
            version: None for the highest.
            alias: Instead of a version.

        Raises:
            ModelNotFound: no such model, or no default among several.
            VersionNotFound: no such version or alias.
        """
        if alias is None and version is None and (found := self._entries.get(name or "")) is not None:
            return found.latest  # as most ask
        entry = self.entry(self._default_name() if name is None else name, version)
        if alias is not None:
            version = entry.aliases.get(alias)
            if version is None:
                known = ", ".join(entry.aliases) or "none"
                raise VersionNotFound(f"The model has no such alias; it has: {known}")
        if version is None:
            return entry.latest
        if version not in entry.versions:
            error = VersionNotFound(f"The model has no such version; it has: {', '.join(entry.versions)}")
            error.asked = (entry.latest.name, version)
            raise error
        return entry.versions[version]

    def _default_name(self) -> str:
        if self.default is not None:
            return self.default
        # One that is left is no default where others may come back.
        if len(self._entries) != 1 or self.unloaded:
            raise ModelNotFound(f"No model is the default one; {self._known()}")
        return next(iter(self._entries))

    def _known(self) -> str:
        return f"models: {', '.join(self._entries)}" if self._entries else "no model is served"

    def predictors(self) -> list[Predictor]:
        """Return every version of every model."""
        return [predictor for entry in self._entries.values() for predictor in entry.versions.values()]

    def put(self, predictor: Predictor) -> None:
        """Serve a version, in place of the one of that number if there is one.

        The old one is not closed: who has found it already is still answered by it, and with the
        last of them it is gone.
        """
        with self._lock:
            entry = self._entries.get(predictor.name)
            others, aliases = (entry.versions, entry.aliases) if entry else ({}, {})
            versions = {**others, predictor.version: predictor}
            in_order = MappingProxyType(
                {version: versions[version] for version in sorted(versions, key=rank)}
            )
            self._set({**self._entries, predictor.name: Entry(in_order, MappingProxyType({**aliases}))})
            self.unloaded = {name: one for name, one in self.unloaded.items() if name != predictor.name}

    def remove(self, name: str, version: str) -> None:
        """Stop serving a version; with the last one the model is gone."""
        with self._lock:
            entry = self.entry(name)
            versions = {v: p for v, p in entry.versions.items() if v != version}
            aliases = {a: v for a, v in entry.aliases.items() if v != version}
            entries = dict(self._entries)
            if versions:
                entries[name] = Entry(MappingProxyType(versions), MappingProxyType(aliases))
            else:
                del entries[name]
            self._set(entries)

    def unload(self, name: str, reason: str = "unloaded") -> None:
        """Serve a model no more, and say why to whoever asks for it."""
        with self._lock:
            entries = dict(self._entries)
            entry = entries.pop(name, None)
            known = self.unloaded.get(name)
            versions = tuple(entry.versions) if entry else known.versions if known else ()
            self.unloaded = {**self.unloaded, name: Unloaded(versions, reason)}
            self._set(entries)

    def alias(self, name: str, alias: str, version: str) -> None:
        """Let a movable name stand for a version.

        Raises:
            ModelNotFound: no such model.
            VersionNotFound: no such version.
        """
        check_name(alias, "alias")
        with self._lock:
            self.find(name, version)
            entry = self._entries[name]
            aliases = MappingProxyType({**entry.aliases, alias: version})
            self._set({**self._entries, name: replace(entry, aliases=aliases)})

    def _set(self, entries: dict[str, Entry]) -> None:
        self._entries = entries
        self.has_streams = any(predictor.streams for predictor in self.predictors())
        self.generation += 1
