"""Reading Keras' model files: ``.keras`` after a look at all it names, HDF5 as the code that it may be.

Rules of this room:
1. A ``.keras`` file is looked through (archive, config, weights) before Keras is imported.
2. What was looked through are the bytes that Keras reads: from a folder of its own that nobody else
   may enter, never from the operator's path a second time (CVE-2026-4137).
3. An HDF5 file is no ``.keras`` file and never loads as one: its loader has a history of running what
   ``safe_mode`` should have kept it from (CVE-2025-9905).
4. How a model was trained (optimizer, loss, metrics) is not loaded: it is not needed to predict.
"""

from __future__ import annotations

import io
import json
import tempfile
import warnings
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

from demijohn.errors import DemijohnError, LoadError, UntrustedArtifact

from .archives import check_archive
from .base import Artifact
from .keras_config import MAX_CONFIG_BYTES, check_config, read_config
from .keras_framework import check_version, import_keras, telling_line
from .keras_weights import check_weights
from .pickles import missing_extra
from .versions import OtherVersion

CONFIG, METADATA, WEIGHTS, ASSETS = "config.json", "metadata.json", "model.weights.h5", "assets/"
MAX_EXPANSION = 10  #: Most bytes that one byte of the archive may unpack to: Keras does not compress ...
FREE_EXPANSION_BYTES = MAX_CONFIG_BYTES  #: ... beyond this many.


def load_keras(artifact: Artifact, content: bytes) -> Any:
    """Build the model of a ``.keras`` file, if all it names is allowed.

    Raises:
        UntrustedArtifact: it names something else; says what.
        MissingExtra: Keras or a backend is not installed.
        LoadError: it is broken, was crafted, or this Keras is too old to be safe.
    """
    try:
        saved_by = _look_through(content, is_trusted=artifact.is_trusted)
    except (LoadError, UntrustedArtifact) as error:
        raise type(error)(f"{artifact.path}: {error.detail}") from error
    except ModuleNotFoundError as error:  # h5py comes with Keras
        raise missing_extra("keras", artifact.path) from error
    keras = import_keras(artifact.path)
    model = _load(keras, artifact, content, "model.keras")
    if saved_by and saved_by != keras.__version__:
        warnings.warn(
            OtherVersion(f"saved by Keras {saved_by}, and this is {keras.__version__}"), stacklevel=2
        )
    return model


def load_h5(artifact: Artifact, content: bytes) -> Any:
    """Build the model of an HDF5 file that the operator named.

    Raises:
        MissingExtra: Keras or a backend is not installed.
        LoadError: it is broken, or names what only a trusted file may.
    """
    return _load(import_keras(artifact.path), artifact, content, "model.h5")


def _look_through(content: bytes, *, is_trusted: bool) -> str | None:
    """Check a file's parts; returns which version of Keras saved it."""
    _check_members(check_archive(content))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > FREE_EXPANSION_BYTES + MAX_EXPANSION * len(content):
            raise LoadError(f"it would unpack to {unpacked:,} bytes, far more than it should")
        config = read_config(_read(archive, CONFIG, MAX_CONFIG_BYTES))
        metadata = _read(archive, METADATA, MAX_CONFIG_BYTES)
        if not is_trusted:
            check_config(config)
        check_weights(_read(archive, WEIGHTS, None))
    return _version_of(metadata)


def _check_members(names: tuple[str, ...]) -> None:
    for name in (CONFIG, METADATA, WEIGHTS):
        if name not in names:
            raise LoadError(f"it holds no {name}, as a .keras file does")
    for name in names:
        if name not in {CONFIG, METADATA, WEIGHTS} and not name.startswith(ASSETS):
            raise LoadError(f"it holds {name[:100]!r}, which no .keras file does")


def _read(archive: zipfile.ZipFile, name: str, most_bytes: int | None) -> bytes:
    try:
        if most_bytes is not None and archive.getinfo(name).file_size > most_bytes:
            raise LoadError(f"its {name} is larger than {most_bytes:,} bytes")
        return archive.read(name)
    except LoadError:
        raise
    except Exception as error:
        # Decompressing foreign bytes: zlib, lzma and zipfile raise errors of their own; an encrypted
        # member is a RuntimeError.
        raise LoadError(f"its {name} cannot be read: {error}") from error


def _version_of(metadata: bytes) -> str | None:
    try:
        version = json.loads(metadata)["keras_version"]
    except (ValueError, RecursionError, TypeError, KeyError):
        return None  # who saved it is good to know, no more
    return version[:20] if isinstance(version, str) and version.isascii() and version.isprintable() else None


def _load(keras: ModuleType, artifact: Artifact, content: bytes, name: str) -> Any:
    check_version(keras)
    with tempfile.TemporaryDirectory(prefix="demijohn-") as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        try:
            return keras.saving.load_model(path, compile=False, safe_mode=not artifact.is_trusted)
        except DemijohnError:
            raise
        except Exception as error:
            # Keras builds what a foreign file says, and may raise anything on the way.
            raise LoadError(_broken(artifact, error, path)) from error


def _broken(artifact: Artifact, error: Exception, path: Path) -> str:
    told = telling_line(error).replace(str(path), str(artifact.path))[:300]
    hint = "" if artifact.is_trusted else "; a layer of your own needs --trust, and its code imported"
    return f"{artifact.path} cannot be loaded by Keras: {type(error).__name__}: {told}{hint}"
