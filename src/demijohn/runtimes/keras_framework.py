"""Keras itself: imported when a model needs it, on the backend that is installed.

Rules of this room:
1. Nobody else imports Keras, and nothing here is imported before a fork: TensorFlow and PyTorch start
   threads that a forked child waits for.
2. Who has said which backend (``KERAS_BACKEND``, keras.json) is obeyed. Keras itself writes a keras.json at
   its first import, which says TensorFlow whatever it runs on: where that is missing, nobody has said so.
3. A Keras whose loader has known holes loads no file.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
import os
import re
from pathlib import Path
from types import ModuleType

from demijohn.errors import LoadError, MissingExtra

from .hardware import HARDWARE
from .pickles import missing_extra

#: Before it: CVE-2025-1550, CVE-2025-9905, CVE-2025-49655, CVE-2025-12058, CVE-2025-12060.
OLDEST_KERAS = (3, 12)

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_WHERE = (
    "Exception encountered when", "Graph execution error", "Detected at node", 'File "', "<stack traces",
    "[[",
)  # fmt: skip

#: Backends, each called as its module is. In this order where nobody has said which.
_BACKENDS = ("tensorflow", "torch", "jax")
_DEFAULT = "tensorflow"  #: What Keras writes of itself.


def import_keras(needed_by: object) -> ModuleType:
    """Import Keras.

    Args:
        needed_by: For the error.

    Raises:
        MissingExtra: Keras or its backend is not installed.
    """
    if importlib.util.find_spec("keras") is None:
        raise missing_extra("keras", needed_by)
    _choose_backend(needed_by)
    if HARDWARE.threads is not None:
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(HARDWARE.threads))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # what TensorFlow tells of the machine
    # Each model is traced twice, for one row and for any number; TensorFlow counts them all together.
    logging.getLogger("tensorflow").addFilter(_is_no_count_of_traces)
    try:
        return importlib.import_module("keras")
    except ModuleNotFoundError as error:
        raise _missing_backend(needed_by) from error


def check_version(keras: ModuleType) -> None:
    """Refuse a Keras whose loader has known holes.

    Raises:
        LoadError: says which version is needed.
    """
    numbers = tuple(int(number) for number in re.findall(r"\d+", keras.__version__)[:2])
    if numbers < OLDEST_KERAS:
        oldest = ".".join(map(str, OLDEST_KERAS))
        raise LoadError(
            f"Keras {keras.__version__} has known holes; model files need Keras {oldest} or later"
        )


def backend_errors(keras: ModuleType) -> tuple[type[Exception], ...]:
    """Return what a model raises on rows that fit its signature and that it will not take."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        return (ValueError, TypeError, tf.errors.InvalidArgumentError)
    return (ValueError, TypeError, IndexError)  # IndexError: PyTorch's for an unknown token


def telling_line(error: BaseException) -> str:
    """Return the line of an error that says what is wrong; around it Keras and TensorFlow say where."""
    lines = _COLOURS.sub("", str(error)).splitlines()
    telling = (line.strip() for line in lines if line.strip() and not line.strip().startswith(_WHERE))
    return next(telling, type(error).__name__)


def _is_no_count_of_traces(record: logging.LogRecord) -> bool:
    return "triggered tf.function retracing" not in str(record.msg)


def _choose_backend(needed_by: object) -> None:
    """Take the backend that is installed, where nobody has said which."""
    if "KERAS_BACKEND" in os.environ:
        return
    said = _configured()
    if said is not None and (said != _DEFAULT or _is_installed(said)):
        return
    installed = [name for name in _BACKENDS if _is_installed(name)]
    if not installed:
        raise _missing_backend(needed_by)
    os.environ["KERAS_BACKEND"] = installed[0]


def _is_installed(backend: str) -> bool:
    return backend in _BACKENDS and importlib.util.find_spec(backend) is not None


def _configured() -> str | None:
    """Return the backend that keras.json names; None where there is none."""
    try:
        backend = json.loads(_config_file().read_bytes()).get("backend")
    except (
        OSError,
        ValueError,
        AttributeError,
    ):  # what is no configuration says nothing; Keras reads it so too
        return None
    return backend if isinstance(backend, str) else None


def _config_file() -> Path:
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path("~/.keras").expanduser()) / "keras.json"


def _missing_backend(needed_by: object) -> MissingExtra:
    named = os.environ.get("KERAS_BACKEND") or _configured()
    if named is not None and any(map(_is_installed, _BACKENDS)):
        return MissingExtra(
            f"{needed_by} needs Keras on {named}, which KERAS_BACKEND or {_config_file()} names and which is"
            f" not installed; set KERAS_BACKEND to one that is: {', '.join(filter(_is_installed, _BACKENDS))}"
        )
    return MissingExtra(
        f"{needed_by} needs Keras and a backend for it, and none is installed: pip install"
        ' "demijohn[tensorflow-cpu]", or PyTorch or JAX; KERAS_BACKEND says which is used'
    )
