"""Loading SavedModel folders.

Rules of this room:
1. The graph is judged before TensorFlow is imported (``tensorflow_safety``).
2. TensorFlow loads the very bytes that were judged: from a folder of our own, which nobody else may
   write to, and which holds nothing but the graph, the variables and the assets.
3. Whatever is wrong with a folder is one error of one line.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from demijohn.errors import DemijohnError, LoadError

from .base import Artifact
from .folders import FolderContent
from .tensorflow_graph import read_graphs
from .tensorflow_library import first_line, import_tensorflow
from .tensorflow_safety import check_graphs

_GRAPH = "saved_model.pb"
_TAKEN = ("assets/", "variables/")


def load_saved_model(artifact: Artifact, files: FolderContent) -> Any:
    """Load a SavedModel.

    Returns:
        The object that TensorFlow makes of it.

    Raises:
        MissingExtra: TensorFlow is not installed.
        UntrustedArtifact: its graph does more than compute, and the operator did not trust it.
        LoadError: it is broken or was crafted.
    """
    try:
        check_graphs(read_graphs(files[_GRAPH]), files, is_trusted=artifact.is_trusted)
    except DemijohnError as error:
        raise type(error)(f"{artifact.path}: {error.detail}") from error
    tensorflow = import_tensorflow(artifact.path)
    with tempfile.TemporaryDirectory(prefix="demijohn-") as folder:  # of mode 0700
        _write(files, Path(folder))
        try:
            return tensorflow.saved_model.load(folder)
        except Exception as error:
            # Anything at all can be raised in there, with paths of ours in it.
            why = first_line(error).replace(folder, str(artifact.path))
            raise LoadError(f"{artifact.path} cannot be loaded: {type(error).__name__}: {why}") from error


def _write(files: FolderContent, folder: Path) -> None:
    for name, content in files.items():
        if name == _GRAPH or name.startswith(_TAKEN):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
