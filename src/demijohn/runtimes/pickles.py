"""Reading pickle and joblib files, which run whatever code they name.

Rules of this room:
1. It is reached only for a file that the operator named.
2. What goes wrong inside is told in one line: which module or class is missing, or that the file
   is broken.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

from demijohn.errors import DemijohnError, LoadError, MissingExtra

from .base import Artifact

EXTRAS = {
    "onnxruntime": "onnx",
    "torch": "torch",
    "catboost": "catboost",
    "lightgbm": "lightgbm",
    "sklearn": "sklearn",
    "joblib": "sklearn",
    "pandas": "sklearn",
    "scipy": "sklearn",
    "skops": "sklearn",
    "keras": "keras",
    "tensorflow": "tensorflow-cpu",
    "xgboost": "xgboost",
}


def load_pickle(artifact: Artifact, content: bytes) -> Any:
    """Unpickle a file's content, with joblib where joblib wrote it.

    Raises:
        MissingExtra: it needs a framework that an extra of ours installs.
        LoadError: it is broken, or names a module or class that is not here.
    """
    read = _joblib_load if artifact.format == "joblib" else pickle.load
    try:
        return read(io.BytesIO(content))
    except DemijohnError:
        raise
    except ModuleNotFoundError as error:
        raise _missing(artifact, error.name or "") from error
    except AttributeError as error:
        hint = (
            "; move it from the script or notebook into a module of its own"
            if "__main__" in str(error)
            else ""
        )
        raise LoadError(
            f"{artifact.path} names a class or function that is not here: {error}{hint}"
        ) from error
    except Exception as error:
        # Anything at all can be raised in there: a pickle is a program.
        if "lz4" in str(error).lower():
            raise MissingExtra(f"{artifact.path} is compressed with lz4: pip install lz4") from error
        raise LoadError(f"{artifact.path} cannot be read: {type(error).__name__}: {error}") from error


def missing_extra(module: str, needed_by: object) -> MissingExtra:
    """Return the error that says which extra brings a framework."""
    extra = EXTRAS[module]
    return MissingExtra(
        f'{needed_by} needs {module}, which is not installed: pip install "demijohn[{extra}]"'
    )


def _joblib_load(file: io.BytesIO) -> Any:
    import joblib

    return joblib.load(file)


def _missing(artifact: Artifact, name: str) -> LoadError:
    root = name.partition(".")[0]
    if root in EXTRAS and root == name:
        return missing_extra(root, artifact.path)
    return LoadError(
        f"{artifact.path} needs the module {name!r}, which cannot be imported here;"
        " install it, or put its folder on PYTHONPATH"
    )
