"""Importing TensorFlow, quietly, with the share of the machine that this process may use.

Rules of this room:
1. Whoever imports TensorFlow first configures it: in an app that has done so, nothing is changed.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from .hardware import HARDWARE
from .pickles import missing_extra

_LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_ERRORS_ONLY = "2"
#: What TensorFlow writes before what went wrong.
_FRAMES = ("Graph execution error:", "Detected at node", "<stack traces unavailable>", "[[{{node", "Node:")


def import_tensorflow(needed_by: object) -> Any:
    """Return the module.

    Raises:
        MissingExtra: it is not installed.
    """
    if "tensorflow" in sys.modules:
        return sys.modules["tensorflow"]
    # It tells on stderr what processor it found, each time.
    os.environ.setdefault(_LOG_LEVEL, _ERRORS_ONLY)
    try:
        import tensorflow
    except ModuleNotFoundError as error:
        raise missing_extra("tensorflow", needed_by) from error
    if HARDWARE.threads is not None:  # before the first operation, or it is too late
        tensorflow.config.threading.set_intra_op_parallelism_threads(HARDWARE.threads)
        tensorflow.config.threading.set_inter_op_parallelism_threads(HARDWARE.threads)
        # Each worker would else take all of a GPU's memory.
        tensorflow.config.set_visible_devices([], "GPU")
    return tensorflow


def first_line(error: Exception) -> str:
    """Return the line of an error of TensorFlow's that says what went wrong."""
    lines = (line.strip() for line in str(getattr(error, "message", error)).splitlines())
    return next((line for line in lines if line and not line.startswith(_FRAMES)), type(error).__name__)
