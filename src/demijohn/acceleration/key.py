"""The key of a plan: everything that what was proved and measured depends on.

Rules of this room:
1. Whatever could change an answer or a choice is in it: the model, the libraries, our own code, the
   machine. What is found under a key needs no second proof.
2. How many cores a process may use is not in it: engines run in one thread, and so does OpenMP while
   the framework is timed (see ``cores``). BLAS may sum in another order with more threads, which is
   within what parity allows, and serves the framework and the engines of numpy alike.
3. Nothing is imported to find out; the keys of one process agree with those of the next.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_LIBRARIES = (
    "numpy", "scikit-learn", "scipy", "pandas", "onnxruntime", "onnx", "skl2onnx", "treelite",
    "keras", "tensorflow", "tensorflow-cpu", "torch", "jax", "onnxscript",
    "catboost", "lightgbm", "xgboost", "xgboost-cpu",
)  # fmt: skip
_CPU_INFO = Path("/proc/cpuinfo")
_CPU_FIELDS = ("vendor_id", "model name", "flags", "CPU implementer", "CPU part", "Features")
#: They make BLAS and others compute in another way on the same machine.
_ENVIRONMENT = (
    "OPENBLAS_CORETYPE", "MKL_CBWR", "NPY_DISABLE_CPU_FEATURES", "KERAS_BACKEND", "TF_ENABLE_ONEDNN_OPTS",
)  # fmt: skip


def make_key(facts: Mapping[str, str]) -> str:
    """Return the key of a plan, as hexadecimal digits.

    Args:
        facts: What tells the model, its signature and its settings from any other.
    """
    document = json.dumps([dict(facts), dict(_surroundings())], sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()


@cache
def _surroundings() -> Mapping[str, str]:
    """Return versions, our own code's digest and the machine."""
    found = {library: _version(library) for library in _LIBRARIES}
    found |= {name: os.environ.get(name, "") for name in _ENVIRONMENT}
    return found | {
        "python": sys.version,
        "demijohn": _digest_of_sources(),
        "machine": platform.machine(),
        "cpu": _cpu(),
    }


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""


def _digest_of_sources() -> str:
    """Return a digest of this package, compiled parts included: proofs are only as good as the code."""
    folder = Path(__file__).parent.parent
    digest = hashlib.sha256(_version("demijohn").encode())
    for path in sorted([*folder.rglob("*.py"), *folder.rglob("*.so")]):
        digest.update(str(path.relative_to(folder)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _cpu() -> str:
    try:
        lines = _CPU_INFO.read_text(errors="replace").splitlines()
    except OSError:  # no Linux
        return platform.processor()
    kept = [line for line in lines if line.partition(":")[0].strip() in _CPU_FIELDS]
    return "\n".join(dict.fromkeys(kept))
