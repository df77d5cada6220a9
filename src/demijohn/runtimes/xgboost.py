"""The XGBoost runtime: a ``Booster``, or a wrapper in scikit-learn's manner.

Rules of this room:
1. The answer is XGBoost's own. A wrapper's methods are called where it has them; a ``Booster`` answers
   what its own ``predict`` answers, which for a classifier are probabilities.
2. What is served is a copy that computes in one thread. The user's model is never changed.
3. A file is what its own attributes say: one that a wrapper saved is loaded as that wrapper.

Source: XGBoost 3.2, python-package/xgboost/core.py and sklearn.py.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from demijohn.errors import LoadError
from demijohn.messages import Array, Tensors

from . import xgboost_trees
from .base import Artifact
from .boosted_trees import BoostedTrees, Unreadable, typical_values
from .boosters import BoosterRuntime, Feature, category_feature, check_methods, wrap_with
from .examples import Example
from .openmp import OneThread
from .pickles import missing_extra
from .trial import try_out

_WRAPPERS = {"classifier": "XGBClassifier", "regressor": "XGBRegressor", "ranker": "XGBRanker"}
_PROBABILITIES = {"binary:logistic", "multi:softprob"}  # objectives whose ``predict`` gives them


def wrap(
    model: object, *, example: object = None, batch: bool = False, concurrency: int | None = None
) -> BoosterRuntime:
    """Adapt a fitted model; see ``demijohn.runtimes.wrap``.

    Raises:
        LoadError: it is not fitted, or takes data that no request can bring.
        ConfigurationError: the example does not fit it.
    """
    _import(type(model).__name__)
    with OneThread()():
        return wrap_with(lambda read: XgboostRuntime(model, read, concurrency), example, batch=batch)


def load_xgboost(artifact: Artifact, content: bytes) -> Any:
    """Load a file that ``save_model`` wrote: JSON or UBJSON.

    Raises:
        MissingExtra: XGBoost is not installed.
        LoadError: the file is broken.
    """
    _import(artifact.path)

    def attempt() -> None:
        runtime = XgboostRuntime(_load(content), None, None, is_trial=True)
        with suppress(Unreadable):  # it has no trees, or of a form that is only XGBoost's to run
            runtime.read_trees()
        runtime.try_out()

    with OneThread()():
        try_out(attempt, artifact.path, artifact.size_bytes)
        return _load(content)


def _import(needed_by: object) -> Any:
    try:
        import xgboost
    except ModuleNotFoundError as error:
        raise missing_extra("xgboost", needed_by) from error
    return xgboost


def _load(content: bytes) -> Any:
    import xgboost

    booster = xgboost.Booster({"nthread": 1}, model_file=bytearray(content))
    saved_by = booster.attr("scikit_learn")
    if saved_by is None:
        return booster
    kind = json.loads(saved_by).get("_estimator_type")
    if kind not in _WRAPPERS:
        raise LoadError(f"it was saved by a wrapper of the unknown kind {str(kind)[:100]!r}")
    wrapper = getattr(xgboost, _WRAPPERS[kind])(n_jobs=1)
    wrapper.load_model(bytearray(content))
    return wrapper


class XgboostRuntime(BoosterRuntime):
    """One fitted booster of XGBoost."""

    framework = "xgboost"
    tolerance = 1e-5  # it adds up in float32

    def __init__(
        self, model: Any, example: Example | None, concurrency: int | None, *, is_trial: bool = False
    ) -> None:
        import xgboost

        self.framework_version = str(xgboost.__version__)
        self.refusals = (ValueError, TypeError, xgboost.core.XGBoostError)
        self._wrapper, self._booster = _in_one_thread(model)
        self.is_wrapped = self._wrapper is not None
        self._missing = np.nan if self._wrapper is None else float(self._wrapper.missing)
        self._range = (0, 0) if self._wrapper is None else self._wrapper._get_iteration_range(None)
        config = json.loads(self._booster.save_config())["learner"]
        self._objective = str(config["objective"]["name"])
        self._is_linear = config["gradient_booster"]["name"] == "gblinear"
        self._n_classes = int(config["learner_model_param"]["num_class"])
        features = self._find_features(example, is_trial=is_trial)
        super().__init__(model, features, self._find_methods(), example, concurrency)

    # What XGBoost says -------------------------------------------------------------------------

    def rows(self, tensors: Tensors) -> Any:
        if self.signature.layout == "matrix":
            (rows,) = tensors.values()
            return np.ascontiguousarray(rows if rows.dtype.kind in "iuf" else rows.astype(np.float64))
        return self.encode(tensors)

    def call(self, method: str, rows: Any) -> Any:
        if self._wrapper is None or method in {"leaf", "contributions"}:
            return self.plain(method, rows)
        if self._is_linear and self._booster.feature_names is not None:
            import pandas as pd  # the only form with names, for which a linear booster asks

            rows = pd.DataFrame(rows, columns=self._booster.feature_names)
        if method == "margin":
            return self._wrapper.predict(rows, output_margin=True)
        return getattr(self._wrapper, method)(rows)

    def plain(self, method: str, matrix: Array) -> Array:
        if method == "leaf":
            leaves: Array = self._booster.predict(
                self._data(matrix), pred_leaf=True, iteration_range=self._range
            )
            return leaves.reshape(len(matrix), -1)
        if method == "contributions":
            found: Array = self._booster.predict(
                self._data(matrix), pred_contribs=True, iteration_range=self._range
            )
            return found
        values = self._values(matrix, is_margin=method == "margin")
        if method == "predict_proba":
            return values if values.ndim > 1 else np.vstack((1.0 - values, values)).transpose()
        return values if method == "margin" or not self._is_classifier() else self._named(values)

    def labels(self) -> Sequence[Any] | None:
        if "predict_proba" not in self.methods:
            return None
        if self._is_classifier():
            classes: Sequence[Any] = self._wrapper.classes_
            return classes
        return list(range(max(2, self._n_classes)))

    def read_trees(self) -> BoostedTrees:
        if self._is_linear:
            raise Unreadable("a linear booster has no trees")
        if not np.isnan(self._missing):
            raise Unreadable(f"missing values are written {self._missing:g}")
        return xgboost_trees.read(
            self._document(), self.methods, is_classifier=self._is_classifier(), n_rounds=self._range[1]
        )

    def content(self) -> bytes:
        with OneThread()():
            return bytes(self._booster.save_raw("ubj")) + repr((self._missing, self._range)).encode()

    # ------------------------------------------------------------------------------------------

    def _values(self, matrix: Array, *, is_margin: bool) -> Array:
        if self._is_linear:  # which cannot look at rows in place
            found: Array = self._booster.predict(
                self._data(matrix), output_margin=is_margin, iteration_range=self._range
            )
            return found
        values: Array = self._booster.inplace_predict(
            matrix,
            iteration_range=self._range,
            predict_type="margin" if is_margin else "value",
            missing=self._missing,
        )
        return values

    def _named(self, values: Array) -> Array:
        """Name classes by their probabilities; see ``XGBClassifier.predict``."""
        if values.ndim > 1 and self._wrapper.n_classes_ != 2:
            return np.asarray(np.argmax(values, axis=1))
        if self._objective == "multi:softmax":
            return values.astype(np.int32)
        labels = np.zeros(values.shape) if values.ndim > 1 else np.repeat(0, len(values))
        labels[values > 0.5] = 1
        return labels

    def _data(self, matrix: Array) -> Any:
        import xgboost

        return xgboost.DMatrix(
            matrix,
            missing=self._missing,
            nthread=1,
            feature_names=self._booster.feature_names,
            feature_types=self._booster.feature_types,
            enable_categorical=True,
        )

    def _is_classifier(self) -> bool:
        return hasattr(self._wrapper, "predict_proba")

    def _find_methods(self) -> tuple[str, ...]:
        methods = {"predict", "margin", "contributions"}
        if self._is_classifier():
            is_known = self._objective not in {"binary:logitraw", "binary:hinge"}
        else:
            is_known = self._wrapper is None and self._objective in _PROBABILITIES
        methods |= {"predict_proba"} if is_known else set()
        methods |= set() if self._is_linear else {"leaf"}
        return check_methods(sorted(methods), type(self._wrapper or self._booster).__name__)

    def _find_features(self, example: Example | None, *, is_trial: bool) -> list[Feature]:
        document = self._document()
        n_features = int(self._booster.num_features())
        names = self._booster.feature_names or [None] * n_features
        types = self._booster.feature_types or ["float"] * n_features
        known = xgboost_trees.categories_of(document, _categories_in(example, names))
        if not is_trial:
            _check_known(known, names)
        values = _typical(document, n_features)
        return [
            _feature(name, kind, known.get(index), value)
            for index, (name, kind, value) in enumerate(zip(names, types, values, strict=True))
        ]

    def _document(self) -> Mapping[str, Any]:
        with OneThread()():
            document: Mapping[str, Any] = json.loads(bytes(self._booster.save_raw("json")))
        return document


def _in_one_thread(model: Any) -> tuple[Any, Any]:
    """Copy a model: the wrapper, if it is one, and the booster that computes in one thread.

    Raises:
        LoadError: it is not fitted.
    """
    import xgboost

    if isinstance(model, xgboost.Booster):
        wrapper, booster = None, model.copy()
    else:
        if not hasattr(model, "get_booster"):
            raise LoadError(f"{type(model).__name__} is no model; give a fitted Booster or a wrapper of one")
        if not model.__sklearn_is_fitted__():
            raise LoadError(f"This {type(model).__name__} is not fitted; fit it before it is saved or added")
        wrapper, booster = copy.copy(model), model.get_booster().copy()
        wrapper._Booster, wrapper.n_jobs = booster, 1
    booster.set_param({"nthread": 1})
    return wrapper, booster


def _categories_in(example: Example | None, names: Sequence[str | None]) -> dict[int, list[Any]]:
    """Return the categories of an example's columns, by the column's place in the model."""
    dtypes = {} if example is None else example.dtypes
    given = {index: getattr(dtypes.get(str(name)), "categories", None) for index, name in enumerate(names)}
    return {index: list(categories) for index, categories in given.items() if categories is not None}


def _check_known(known: Mapping[int, Sequence[Any] | None], names: Sequence[str | None]) -> None:
    """Refuse a model that says of a column that it has categories, and not rightly which.

    Raises:
        LoadError: there is such a column.
    """
    cut = ", ".join(repr(names[index]) for index, categories in known.items() if categories is None)
    if cut:
        raise LoadError(
            f"XGBoost keeps categories with letters beyond ASCII in part, those of {cut};"
            " give example= with a DataFrame like the one that it was fitted on, dtypes and all"
        )


def _feature(name: str | None, kind: str, categories: Sequence[Any] | None, value: float) -> Feature:
    """Describe a column by XGBoost's letter for it."""
    if name is None:
        return Feature(None, value=value)
    if kind == "i":  # an indicator, as it calls a column of bools
        return Feature(name, "bool", value=False)
    if kind == "c" and categories is not None:
        return category_feature(name, categories, is_closed=True)
    return Feature(name, value=0.0 if kind == "c" else value)


def _typical(document: Mapping[str, Any], n_features: int) -> list[float]:
    try:
        return typical_values(xgboost_trees.read(document, (), is_classifier=False))
    except Unreadable:
        return [0.0] * n_features
