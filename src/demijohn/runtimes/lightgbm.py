"""The LightGBM runtime: a ``Booster``, or a wrapper in scikit-learn's manner.

Rules of this room:
1. The answer is LightGBM's own. A wrapper's methods are called where it has them; a ``Booster``, and so
   a file, answers what its own ``predict`` answers: of a classifier probabilities, since the file knows
   no labels.
2. Every call says that it takes one thread; the user's model is never changed.
3. A category that the model does not know counts as missing, as LightGBM has it.

Source: LightGBM 4.7, python-package/lightgbm/basic.py and sklearn.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from demijohn.errors import LoadError
from demijohn.messages import Array, Tensors

from . import lightgbm_trees
from .base import Artifact
from .boosted_trees import BoostedTrees
from .boosters import BoosterRuntime, Feature, category_feature, check_methods, far_apart, wrap_with
from .examples import Example
from .frames import FrameBuilder
from .lightgbm_trees import Document
from .openmp import OneThread
from .pickles import missing_extra
from .trial import try_out

_PROBABILITIES = {"binary", "multiclass"}  # objectives whose ``predict`` gives them
_ARGUMENTS = {
    "margin": {"raw_score": True},
    "decision_function": {"raw_score": True},
    "leaf": {"pred_leaf": True},
    "contributions": {"pred_contrib": True},
}
_OF_WRAPPERS = {"predict", "predict_proba", "decision_function"}


def wrap(
    model: object, *, example: object = None, batch: bool = False, concurrency: int | None = None
) -> BoosterRuntime:
    """Adapt a fitted model; see ``demijohn.runtimes.wrap``.

    Raises:
        LoadError: it is not fitted, or does not say which of its columns are categories.
        ConfigurationError: the example does not fit it.
    """
    _import(type(model).__name__)
    with OneThread()():
        return wrap_with(lambda read: LightgbmRuntime(model, read, concurrency), example, batch=batch)


def load_lightgbm(artifact: Artifact, content: bytes) -> Any:
    """Load a file that ``Booster.save_model`` wrote.

    Raises:
        MissingExtra: LightGBM is not installed.
        LoadError: the file is broken.
    """
    _import(artifact.path)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise LoadError(f"{artifact.path} cannot be read: it is no text") from error

    def attempt() -> None:
        # LightGBM believes what it reads, so it is looked through before.
        lightgbm_trees.check(lightgbm_trees.parse(text))
        booster = _load(text)
        try_methods(booster)

    with OneThread()():
        try_out(attempt, artifact.path, artifact.size_bytes)
        return _load(text)


def try_methods(booster: Any) -> None:
    """Call what a request may call, on rows far apart."""
    n_features = int(booster.num_feature())
    rows = far_apart(n_features)
    for method in ("predict", *_ARGUMENTS):
        booster.predict(rows, num_threads=1, **_ARGUMENTS.get(method, {}))


def _import(needed_by: object) -> Any:
    try:
        import lightgbm
    except ModuleNotFoundError as error:
        raise missing_extra("lightgbm", needed_by) from error
    return lightgbm


def _load(text: str) -> Any:
    import lightgbm

    return lightgbm.Booster(model_str=text)


class LightgbmRuntime(BoosterRuntime):
    """One fitted booster of LightGBM."""

    framework = "lightgbm"
    tolerance = 1e-9

    def __init__(self, model: Any, example: Example | None, concurrency: int | None) -> None:
        import lightgbm

        self.framework_version = str(lightgbm.__version__)
        self.refusals = (ValueError, TypeError, lightgbm.basic.LightGBMError)
        self._wrapper, self._booster = _parts(model)
        self.is_wrapped = self._wrapper is not None
        document = self._document()
        self._objective = document.objective
        self._n_classes = document.n_classes
        features = _features(self._booster, document, example)
        super().__init__(model, features, self._find_methods(), example, concurrency)

    # What LightGBM says ------------------------------------------------------------------------

    def rows(self, tensors: Tensors) -> Any:
        if self._frames is not None:
            return self._frames.build(tensors)
        if self.signature.layout == "matrix":
            (rows,) = tensors.values()
            return np.ascontiguousarray(rows if rows.dtype.kind in "iuf" else rows.astype(np.float64))
        return self.encode(tensors)

    def call(self, method: str, rows: Any) -> Any:
        if self._wrapper is None or method not in _OF_WRAPPERS:
            return self._ask(method, rows)
        return getattr(self._wrapper, method)(rows, num_threads=1)

    def plain(self, method: str, matrix: Array) -> Array:
        return self._ask(method, matrix)

    def labels(self) -> Sequence[Any] | None:
        if self._is_classifier():
            classes: Sequence[Any] = self._wrapper.classes_
            return classes
        return list(range(max(2, self._n_classes))) if "predict_proba" in self.methods else None

    def read_trees(self) -> BoostedTrees:
        labels = self._wrapper.classes_ if self._is_classifier() else None
        return lightgbm_trees.read(self._document(), self.methods, labels)

    def content(self) -> bytes:
        return str(self._booster.model_to_string()).encode()

    # ------------------------------------------------------------------------------------------

    def _ask(self, method: str, rows: Any) -> Array:
        found: Array = self._booster.predict(rows, num_threads=1, **_ARGUMENTS.get(method, {}))
        if method == "contributions":
            return found if self._n_classes == 1 else found.reshape(len(found), self._n_classes, -1)
        if method in _ARGUMENTS or (method == "predict" and not self._is_classifier()):
            return found
        both = found if found.ndim > 1 else np.vstack((1.0 - found, found)).transpose()
        if method == "predict_proba":
            return both
        return np.asarray(self._wrapper.classes_[np.argmax(both, axis=1)])

    def _is_classifier(self) -> bool:
        return hasattr(self._wrapper, "predict_proba")

    def _find_methods(self) -> tuple[str, ...]:
        methods = {"predict", *_ARGUMENTS}
        if self._is_classifier():
            gives_probabilities = not callable(self._wrapper.objective_)
        else:
            gives_probabilities = self._wrapper is None and self._objective in _PROBABILITIES
        methods |= {"predict_proba"} if gives_probabilities else set()
        if not hasattr(self._wrapper, "decision_function"):  # LightGBM 4.7 and newer have it
            methods -= {"decision_function"}
        return check_methods(sorted(methods), type(self._wrapper or self._booster).__name__)

    @cached_property  # the example is asked before a constructor of ours could set it
    def _frames(self) -> FrameBuilder | None:
        """Return what builds the DataFrame that a wrapper was fitted on; None: it takes an array."""
        if self._wrapper is None or any(feature.name is None for feature in self.features):
            return None
        if self.signature.layout != "table":
            return None
        import pandas as pd  # LightGBM cannot have been fitted on a DataFrame without it

        dtypes = {
            feature.name: pd.CategoricalDtype(list(feature.categories))
            for feature in self.features
            if feature.name is not None and feature.categories is not None
        }
        return FrameBuilder(self.signature.inputs, dtypes=dtypes)

    def _document(self) -> Document:
        with OneThread()():
            return lightgbm_trees.parse(self._booster.model_to_string())


def _parts(model: Any) -> tuple[Any, Any]:
    """Return a model's wrapper, if it is one, and its booster.

    Raises:
        LoadError: it is not fitted.
    """
    import lightgbm

    if isinstance(model, lightgbm.Booster):
        return None, model
    if not hasattr(model, "booster_") and not hasattr(type(model), "booster_"):
        raise LoadError(f"{type(model).__name__} is no model; give a fitted Booster or a wrapper of one")
    if not model.__sklearn_is_fitted__():
        raise LoadError(f"This {type(model).__name__} is not fitted; fit it before it is saved or added")
    return model, model.booster_


# Columns ------------------------------------------------------------------------------------------


def _features(booster: Any, document: Document, example: Example | None) -> list[Feature]:
    names = list(booster.feature_name())
    is_named = names != [f"Column_{index}" for index in range(len(names))]
    names = _as_in(example, names)
    known = _categories(booster.pandas_categorical or [], names, document.ranges, example)
    return [
        category_feature(name, known[index], is_closed=False)
        if index in known
        else Feature(name if is_named else None, value=_middle(document.ranges[index]))
        for index, name in enumerate(names)
    ]


def _as_in(example: Example | None, names: Sequence[str]) -> list[str]:
    """Return the columns' names with the blanks that the example has: LightGBM writes "_" for each."""
    if example is None or example.signature.layout != "table":
        return list(names)
    given = [spec.name for spec in example.signature.inputs]
    blank = {name.replace(" ", "_"): name for name in given}
    return [name if name in given else blank.get(name, name) for name in names]


def _categories(
    known: Sequence[Sequence[Any]], names: Sequence[str], ranges: Sequence[str], example: Example | None
) -> dict[int, Sequence[Any]]:
    """Say which columns the DataFrame's categories belong to: the file lists them in the columns' order.

    Raises:
        LoadError: it cannot be told.
    """
    if not known:
        return {}
    given = example.dtypes if example is not None else {}
    by_range = [not range_.startswith("[") and range_ != "none" for range_ in ranges]
    for is_one in (
        [hasattr(given.get(name), "categories") for name in names],
        by_range,
        # A column that no split could use says nothing of itself.
        [is_category or range_ == "none" for is_category, range_ in zip(by_range, ranges, strict=True)],
    ):
        columns = [index for index, is_category in enumerate(is_one) if is_category]
        if len(columns) == len(known):
            return dict(zip(columns, known, strict=True))
    raise LoadError(
        f"the model knows the categories of {len(known)} columns, but not which these are;"
        " give example= with a DataFrame like the one that it was fitted on"
    )


def _middle(range_: str) -> float:
    """Return a plausible number of a column: the middle of ``[0.5:2]``, or the first of ``3:0:1``."""
    try:
        ends = [float(end) for end in range_.strip("[]").split(":")]
    except ValueError:  # "none"
        return 0.0
    middle = (ends[0] + ends[-1]) / 2 if range_.startswith("[") else max(0.0, ends[0])
    return float(f"{middle:.4g}") if np.isfinite(middle) else 0.0
