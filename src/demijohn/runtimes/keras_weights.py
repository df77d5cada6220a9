"""Looking through a ``.keras`` file's weights (HDF5) before Keras reads them.

Rules of this room:
1. Numbers that lie in the file itself are all that is allowed: no links but hard ones, no dataset in
   another file, no virtual dataset (CVE-2026-1669: reads any file of the server), no objects.
2. What the datasets declare is about as much as the file holds: Keras writes them uncompressed, and a
   small file may declare 10**18 numbers (CVE-2026-0897).

Source: keras/src/saving/saving_lib.py, H5IOStore.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from typing import Any

from demijohn.errors import LoadError, UntrustedArtifact

MAX_EXPANSION = 10  #: Most bytes that one byte of the file may declare ...
FREE_EXPANSION_BYTES = 2**20  #: ... beyond this many.

_MAX_OBJECTS = 200_000
_NUMBERS = frozenset("biufcV")  # V: bfloat16 and the like, which HDF5 has no name for


def check_weights(content: bytes) -> int:
    """Refuse weights that are more than numbers, or declare more than the file holds.

    Args:
        content: Of ``model.weights.h5``.

    Returns:
        How many bytes of numbers it declares.

    Raises:
        UntrustedArtifact: it reaches outside itself.
        LoadError: it is broken, or declares too much.
    """
    import h5py

    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            declared = sum(_declared_bytes(dataset) for dataset in _datasets(file, h5py))
    except (UntrustedArtifact, LoadError):
        raise
    except Exception as error:
        # HDF5 reads foreign bytes here, and raises whatever it stumbles over.
        raise LoadError(f"its weights cannot be read: {type(error).__name__}: {error}") from error
    if declared > FREE_EXPANSION_BYTES + MAX_EXPANSION * len(content):
        raise LoadError(f"its weights declare {declared:,} bytes, and the file holds {len(content):,}")
    return declared


def _datasets(file: Any, h5py: Any) -> Iterator[Any]:
    """Yield every dataset once, looking at each link before it is followed."""
    waiting, seen = [file], {h5py.h5o.get_info(file.id).addr}
    while waiting:
        group = waiting.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise UntrustedArtifact(f"its weights hold a link to elsewhere ({type(link).__name__})")
            found = group[name]
            address = h5py.h5o.get_info(found.id).addr
            if address in seen:  # hard links may go round in circles
                continue
            seen.add(address)
            if len(seen) > _MAX_OBJECTS:
                raise LoadError(f"its weights hold more than {_MAX_OBJECTS:,} objects")
            if isinstance(found, h5py.Group):
                waiting.append(found)
            else:
                yield found


def _declared_bytes(dataset: Any) -> int:
    """Return how many bytes a dataset would take in memory."""
    if not hasattr(dataset, "shape"):
        raise LoadError("its weights hold a type that is no array")
    if dataset.external or dataset.is_virtual:
        raise UntrustedArtifact("its weights lie in another file")
    if dataset.dtype.kind not in _NUMBERS:
        raise LoadError(f"its weights hold {dataset.dtype}, which is no number")
    return math.prod(dataset.shape or ()) * int(dataset.dtype.itemsize)
