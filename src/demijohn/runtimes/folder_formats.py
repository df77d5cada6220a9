"""The formats of models that are folders of files: one table, each told by a file in it.

Rules of this room:
1. Telling a format opens nothing. ``folders`` reads what is in a folder, ``formats`` has the single files.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .formats import Trust


@dataclass(frozen=True, slots=True)
class FolderFormat:
    """One format of model folders."""

    name: str
    framework: str  #: The runtime that loads it: a key of ``RUNTIMES``.
    trust: Trust
    loader: str  #: As ``formats.Format``; the content is a ``folders.FolderContent``.
    mark: str  #: The file by which such a folder is told.
    survives_fork: bool = True  #: See ``formats.Format``.


FOLDER_FORMATS: tuple[FolderFormat, ...] = (
    FolderFormat(
        "savedmodel",
        "tensorflow",
        "inspected",
        "tensorflow_files:load_saved_model",
        "saved_model.pb",
        survives_fork=False,
    ),
)


def folder_format_of(path: Path) -> FolderFormat | None:
    """Return the format of a model folder; None where it is an ordinary folder, or none at all."""
    # A link counts: reading the folder will refuse it by name.
    return next((one for one in FOLDER_FORMATS if os.path.lexists(path / one.mark)), None)


def is_model_folder(path: Path) -> bool:
    """Say whether a folder is one model, and no folder of models."""
    return folder_format_of(path) is not None
