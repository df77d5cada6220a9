"""Reading what PyTorch writes: exported programs (``.pt2``) and TorchScript (``.pt``).

Rules of this room:
1. Both are code. A program of ``torch.export`` names functions, holds pickles and expressions that are
   evaluated; TorchScript may write files. They load only where the operator named the file.
2. A program that names more than operators, or holds a pickle of more than tensors, is refused all the
   same, unless the operator trusts it: no honest export needs that. This is a second lock, not the first.
3. Nothing else is read as a model: of what ``torch.save`` writes, weights lack the model around them.

Source: torch/export/pt2_archive/_package.py and torch/_export/serde/serialize.py (PyTorch 2.13);
CVE-2025-32434, CVE-2026-24747 (``weights_only`` before 2.10).
"""

from __future__ import annotations

import importlib
import io
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from demijohn.errors import LoadError

from .archives import check_archive
from .base import Artifact
from .pickles import missing_extra
from .torch_audit import audit

OLDEST_TORCH = (2, 10)  #: Before it, ``weights_only`` could be got around (CVE-2026-24747).

_LONGEST_TEXT = 300
_LOGGERS = ("torch.export", "torch.export.pt2_archive._package", "torch._export.serde.serialize")


def load_exported_program(artifact: Artifact, content: bytes) -> Any:
    """Load a program of ``torch.export.save``.

    Raises:
        UntrustedArtifact: it holds more than a program of operators needs; says what.
        MissingExtra: PyTorch is not installed.
        LoadError: it is broken or was crafted, or this PyTorch is too old to be safe.
    """
    torch = import_torch(artifact.path)
    is_old = _check(artifact, content)
    if not artifact.is_trusted:
        with _told(artifact, "an exported program"):
            audit(content, torch)
    with _told(artifact, "an exported program"), _quiet():
        if is_old:
            return torch.export.load(io.BytesIO(content))
        # ``torch.export.load`` itself would log what is wrong, and then say something else.
        package = importlib.import_module("torch.export.pt2_archive._package")
        return package.load_pt2(io.BytesIO(content)).exported_programs["model"]


def load_torchscript(artifact: Artifact, content: bytes) -> Any:
    """Load a module of ``torch.jit.save``.

    Raises:
        MissingExtra: PyTorch is not installed.
        LoadError: it is broken or was crafted, or this PyTorch is too old to be safe.
    """
    torch = import_torch(artifact.path)
    _check(artifact, content)
    with _told(artifact, "TorchScript"):
        return torch.jit.load(io.BytesIO(content), map_location="cpu")


def import_torch(needed_by: object) -> Any:
    """Import PyTorch.

    Raises:
        MissingExtra: it is not installed.
        LoadError: it is too old to read files safely.
    """
    try:
        torch = importlib.import_module("torch")
    except ModuleNotFoundError as error:
        raise missing_extra("torch", needed_by) from error
    numbers = tuple(int(number) for number in re.findall(r"\d+", torch.__version__)[:2])
    if numbers < OLDEST_TORCH:
        oldest = ".".join(map(str, OLDEST_TORCH))
        raise LoadError(f"PyTorch {torch.__version__} has known holes; {needed_by} needs {oldest} or later")
    return torch


def _check(artifact: Artifact, content: bytes) -> bool:
    """Check the archive; says whether it has the layout of PyTorch up to 2.7."""
    try:
        names = check_archive(content)
        is_old = "serialized_exported_program.json" in names
        if is_old and any(name.endswith("/archive_format") for name in names):
            raise LoadError("it has both layouts of an exported program")
    except LoadError as error:
        raise LoadError(f"{artifact.path}: {error.detail}") from error
    return is_old


@contextmanager
def _told(artifact: Artifact, what: str) -> Iterator[None]:
    """Tell in one line what is wrong with a file."""
    try:
        yield
    except LoadError as error:
        raise type(error)(f"{artifact.path}: {error.detail}") from error
    except Exception as error:
        # PyTorch reads foreign bytes here: a broken file can raise nearly anything.
        text = " ".join(str(error).split())[:_LONGEST_TEXT]
        raise LoadError(
            f"{artifact.path} cannot be read as {what}: {type(error).__name__}: {text}"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep PyTorch's own log silent: what it says is told by what it raises."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, was_disabled in zip(loggers, before, strict=True):
            logger.disabled = was_disabled
