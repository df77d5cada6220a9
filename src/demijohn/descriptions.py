"""What was to be known of a model file before its workers load it, kept from start to start.

Looking at a Keras model takes a process of its own that imports TensorFlow, for seconds, only to say what the
same process said of the same bytes the last time.

Rules of this room:
1. A description is used for the very bytes, libraries, options and machine that it was made with. Every
   worker still loads and checks the file itself.
2. Only files of data, of frameworks whose versions the key names, are remembered: what code does may change.
3. What does not come back from JSON as it was is not kept.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from . import acceleration
from .runtimes.apart import Description
from .runtimes.base import Joining
from .signature import Layout, Signature, TensorSpec

logger = logging.getLogger("demijohn")

#: Frameworks that take seconds to import, and describe a file alike on whatever device it will run.
FRAMEWORKS = frozenset({"keras", "tensorflow"})
_WHAT = "description"


class _Signature(msgspec.Struct, forbid_unknown_fields=True):
    """A signature, as JSON can have it."""

    layout: Layout
    inputs: tuple[TensorSpec, ...]
    outputs: dict[str, tuple[TensorSpec, ...]]
    others: dict[str, _Signature]
    example: list[Any]

    @classmethod
    def of(cls, signature: Signature) -> _Signature:
        others = {method: cls.of(other) for method, other in signature.others.items()}
        return cls(
            signature.layout, signature.inputs, dict(signature.outputs), others, list(signature.example)
        )

    def read(self) -> Signature:
        others = {method: other.read() for method, other in self.others.items()}
        return Signature(self.layout, self.inputs, self.outputs, others, self.example or ())


class _File(acceleration.KeptFile, forbid_unknown_fields=True):
    """A description, as JSON can have it."""

    framework: str
    framework_version: str | None
    methods: tuple[str, ...]
    signature: _Signature
    warnings: tuple[str, ...]
    joining: Joining
    concurrency: int
    is_callable_unasked: bool
    sha256: str | None
    survives_fork: bool
    metadata: dict[str, str]
    known_digest: str | None
    known_parameters: dict[str, tuple[str, ...]]
    known_classes: dict[str, list[Any] | None]
    known_rows: list[Any]
    fails_on_example: bool

    def read(self) -> Description:
        fields: dict[str, Any] = {name: getattr(self, name) for name in self.__struct_fields__}
        del fields["key"]
        return Description(**{**fields, "signature": self.signature.read(), "refusals": ()})


def key_of(framework: str, sha256: str, options: Mapping[str, Any]) -> str | None:
    """Return the key under which a file's description is kept; None where it is not.

    Args:
        framework: Of a file of data.
        sha256: Of the file.
        options: With which it is loaded: the arguments of ``runtimes.load``.
    """
    if framework not in FRAMEWORKS:
        return None
    try:
        written = msgspec.json.encode(options, order="sorted").decode()
    except (TypeError, ValueError):  # an example of arrays
        return None
    facts = {"file": sha256, "framework": framework, "options": written, "keras": _keras_settings()}
    return acceleration.make_key(facts)


def read(key: str | None) -> Description | None:
    """Return the description that was kept under a key, if there is one."""
    kept = None if key is None else acceleration.open_kept(_WHAT)
    file = None if kept is None or key is None else kept.read_as(key, _File)
    return None if file is None else file.read()


def write(keys: Sequence[str | None], descriptions: Sequence[Description]) -> None:
    """Keep descriptions under their keys; those whose key is None are not kept."""
    kept = acceleration.open_kept(_WHAT) if any(keys) else None
    for key, description in zip(keys, descriptions, strict=True):
        if kept is not None and key is not None and (file := _written(key, description)) is not None:
            kept.keep(file)


def _written(key: str, description: Description) -> _File | None:
    names = [name for name in _File.__struct_fields__ if name != "key"]
    fields: dict[str, Any] = {name: getattr(description, name) for name in names}
    fields["signature"] = _Signature.of(description.signature)
    try:
        content = msgspec.json.encode({"key": key, **fields})
        file = msgspec.json.decode(content, type=_File)
    except (TypeError, ValueError) as error:
        logger.debug("a description is not kept: %s", error)
        return None
    return file if file.read() == replace(description, refusals=()) else None


def _keras_settings() -> str:
    """Return what Keras reads at its start, the backend above all."""
    home = os.environ.get("KERAS_HOME")
    path = (Path(home) if home else Path("~/.keras").expanduser()) / "keras.json"
    try:
        return path.read_text(errors="replace")
    except (OSError, RuntimeError):  # RuntimeError: nobody's home
        return ""
