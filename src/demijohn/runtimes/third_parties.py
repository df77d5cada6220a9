"""Runtimes and formats of other packages: the entry points ``demijohn.runtimes``.

An entry is named after the root module of its framework, and leads to a module with ``wrap`` (see
``demijohn.runtimes.wrap``), and with ``FORMATS`` if the framework has files of its own.

Rules of this room:
1. What is built in comes first: nobody takes over a framework or a format of ours, nor a file that is
   of one of our formats.
2. A package is imported only for a model of its framework, or for a file that no format of ours
   matches. One that cannot be imported is told, not passed over.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import cast

from demijohn.errors import LoadError

from .formats import Format

GROUP = "demijohn.runtimes"


def names() -> frozenset[str]:
    """Return the root modules of the frameworks that other packages adapt."""
    return frozenset(entry.name for entry in entry_points(group=GROUP))


def module_for(framework: str) -> ModuleType:
    """Import the module that adapts a framework, one of ``names``.

    Raises:
        LoadError: it cannot be imported, or two packages adapt it.
    """
    entries = list(entry_points(group=GROUP, name=framework))
    if len(entries) > 1:
        values = ", ".join(entry.value for entry in entries)
        raise LoadError(f"Several packages adapt {framework}: {values}; uninstall all but one")
    return _import(entries[0])


def formats(built_in: Collection[str]) -> tuple[Format, ...]:
    """Return the formats that other packages bring, in the order of their frameworks' names.

    Args:
        built_in: Frameworks that are ours to load.

    Raises:
        LoadError: a package cannot be imported, or brings a format that is not its own.
    """
    found: list[Format] = []
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        if entry.name in built_in:
            continue
        for one in getattr(_import(entry), "FORMATS", ()):
            if not isinstance(one, Format) or one.framework != entry.name:
                raise LoadError(f"{entry.value} brings {one!r}, which is no Format of {entry.name}")
            found.append(one)
    return tuple(found)


def _import(entry: EntryPoint) -> ModuleType:
    try:
        return cast(ModuleType, entry.load())
    except Exception as error:
        # Foreign code, at its import.
        raise LoadError(
            f"The runtime for {entry.name} ({entry.value}) cannot be imported:"
            f" {type(error).__name__}: {error}"
        ) from error
