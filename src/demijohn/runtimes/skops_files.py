"""Reading .skops files: data, of types that scikit-learn itself is made of, and nothing else.

Rules of this room:
1. skops lists every type, function and method that a file names before it builds anything. Each must
   be one that skops trusts by itself, or a *class* that scikit-learn defines, of a kind in
   ``_KINDS``, or a name in ``_NAMED``. Methods, partials and operators are refused, and functions too,
   but for the scores that a search was told to use (``scoring="accuracy"``).
2. A module is imported to look at a name only if it lies under ``sklearn`` and outside its tests,
   data loaders and vendored code, whose import alone does things.
3. A class being known does not make its numbers right: trees are checked before anything is asked
   of them, since scikit-learn follows their child indices without looking.

Source: skops, docs/persistence.rst; CVE-2025-54413 (methods), CVE-2025-54886 (fallback to joblib).
"""

from __future__ import annotations

import functools
import importlib
import io
import re
import zipfile
from typing import Any

from demijohn.errors import LoadError, UntrustedArtifact

from .base import Artifact
from .pickles import missing_extra
from .trees import check_trees

OLDEST_SKOPS = (0, 13)  #: Before it, a method node could reach any attribute (CVE-2025-54413).
MAX_EXPANSION = 100  #: Most bytes that one byte of the archive may unpack to ...
FREE_EXPANSION_BYTES = 256 * 2**20  #: ... beyond this many, which any file may unpack to.

_CLOSED_ROOMS = frozenset({
    "tests", "conftest", "datasets", "externals", "_testing", "_build_utils", "experimental",
})  # fmt: skip
#: Bases whose subclasses, defined in scikit-learn, hold numbers and other estimators only.
_KINDS = (
    ("sklearn.base", "BaseEstimator"),
    ("sklearn.gaussian_process.kernels", "Kernel"),
    ("sklearn.gaussian_process.kernels", "Hyperparameter"),
    ("sklearn.model_selection", "BaseCrossValidator"),
    ("sklearn.model_selection", "BaseShuffleSplit"),
    ("sklearn.neural_network._stochastic_optimizers", "BaseOptimizer"),
    ("sklearn.metrics._scorer", "_BaseScorer"),
    ("sklearn._loss.loss", "BaseLoss"),
    ("sklearn._loss.link", "BaseLink"),
)
_NAMED = frozenset({
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.utils._bunch.Bunch",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.impute._iterative._ImputerTriplet",
    "sklearn.calibration._CalibratedClassifier",
    "numpy.dtype",
    *(f"sklearn.neighbors._{module}.{kind}{bits}"
      for module, kind in (("kd_tree", "KDTree"), ("ball_tree", "BallTree")) for bits in ("", "32", "64")),
    # Of the distances only those without numbers of their own, which nobody checks against the rows.
    *(f"sklearn.metrics._dist_metrics.{metric}Distance{bits}"
      for metric in ("Euclidean", "Manhattan", "Chebyshev") for bits in ("", "32", "64")),
})  # fmt: skip


def load_skops(artifact: Artifact, content: bytes) -> Any:
    """Build the estimator of a .skops file, if all it names is allowed.

    Raises:
        UntrustedArtifact: it names something else; says what.
        MissingExtra: skops or scikit-learn is not installed.
        LoadError: it is broken, was crafted, or this skops is too old to be safe.
    """
    _check_version(artifact)
    _check_size(artifact, content)
    import skops.io

    try:
        named = skops.io.get_untrusted_types(data=content)
    except Exception as error:
        # skops reads foreign bytes here: a broken file can raise nearly anything.
        raise LoadError(_broken(artifact, error)) from error
    refused = sorted(name for name in named if not is_allowed(name))
    if refused:
        raise UntrustedArtifact(
            f"{artifact.path} names what is not scikit-learn's own data: {', '.join(refused[:10])};"
            " only estimators of scikit-learn and numbers are loaded from .skops files"
        )
    try:
        model = skops.io.loads(content, trusted=named)
        check_trees(model)
    except LoadError as error:
        raise LoadError(f"{artifact.path}: {error.detail}") from error
    except Exception as error:
        # As above, and constructing: a crafted file can hold any value anywhere.
        raise LoadError(_broken(artifact, error)) from error
    return model


def is_allowed(name: str) -> bool:
    """Say whether a file may name this: a class of scikit-learn's of a known kind."""
    if name in _NAMED:
        return True
    if name in _scores():
        return True
    module_name, _, class_name = name.rpartition(".")
    parts = module_name.split(".")
    if parts[0] != "sklearn" or _CLOSED_ROOMS.intersection(parts) or not all(map(str.isidentifier, parts)):
        return False
    try:
        found = getattr(importlib.import_module(module_name), class_name, None)
    except ImportError:
        return False
    # A class that a module merely imported has another home; its home's name is the one to allow.
    return isinstance(found, type) and found.__module__ == module_name and issubclass(found, _kinds())


@functools.cache
def _scores() -> frozenset[str]:
    """Name the functions behind scikit-learn's own scorers: they calculate, and do nothing else."""
    from sklearn.metrics import get_scorer, get_scorer_names

    functions = [get_scorer(name)._score_func for name in get_scorer_names()]
    return frozenset(f"{function.__module__}.{function.__name__}" for function in functions)


@functools.cache
def _kinds() -> tuple[type, ...]:
    kinds = []
    for module_name, name in _KINDS:
        try:
            kinds.append(getattr(importlib.import_module(module_name), name))
        except (ImportError, AttributeError):  # this scikit-learn keeps it elsewhere: it is not allowed then
            continue
    return tuple(kinds)


def _check_version(artifact: Artifact) -> None:
    for module in ("sklearn", "skops"):
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise missing_extra(module, artifact.path) from error
    version = str(importlib.import_module("skops").__version__)
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if numbers < OLDEST_SKOPS:
        oldest = ".".join(map(str, OLDEST_SKOPS))
        raise LoadError(f"skops {version} has known holes; .skops files need skops {oldest} or later")


def _check_size(artifact: Artifact, content: bytes) -> None:
    """Refuse an archive that would unpack to far more than it is."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise LoadError(_broken(artifact, error)) from error
    if unpacked > FREE_EXPANSION_BYTES + MAX_EXPANSION * len(content):
        raise LoadError(f"{artifact.path} would unpack to {unpacked:,} bytes, far more than it should")


def _broken(artifact: Artifact, error: Exception) -> str:
    return f"{artifact.path} cannot be read as a skops file: {type(error).__name__}: {error}"
