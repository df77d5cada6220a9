"""The CatBoost runtime: any fitted model of it, or a ``.cbm`` file.

Rules of this room:
1. The answer is CatBoost's own, from the class that the model is of. A file is loaded as what its loss
   function makes it: a classifier, a ranker or a regressor.
2. Every call says that it takes one thread; the user's model is never changed.
3. A category is a text here (CatBoost reads the whole number 3 as "3"); one that was never seen is
   answered as CatBoost answers it.

Source: CatBoost 1.2.10, catboost/python-package/catboost/core.py.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from demijohn.errors import LoadError
from demijohn.messages import Array, Tensors, count_rows

from . import catboost_trees
from .base import Artifact
from .boosted_trees import BoostedTrees, Unreadable
from .boosters import BoosterRuntime, Feature, check_methods, wrap_with
from .examples import Example
from .pickles import missing_extra
from .trial import try_out

_CLASSIFYING = {
    "Logloss", "CrossEntropy", "MultiClass", "MultiClassOneVsAll", "MultiLogloss", "MultiCrossEntropy",
    "Focal",
}  # fmt: skip
_RANKING = {
    "YetiRank", "YetiRankPairwise", "PairLogit", "PairLogitPairwise", "QueryRMSE", "QuerySoftMax",
    "StochasticRank", "StochasticFilter", "LambdaMart", "QueryCrossEntropy", "GroupQuantile",
}  # fmt: skip


def wrap(
    model: object, *, example: object = None, batch: bool = False, concurrency: int | None = None
) -> BoosterRuntime:
    """Adapt a fitted model; see ``demijohn.runtimes.wrap``.

    Raises:
        LoadError: it is not fitted, or takes embeddings.
        ConfigurationError: the example does not fit it.
    """
    _import(type(model).__name__)
    return wrap_with(lambda read: CatboostRuntime(model, read, concurrency), example, batch=batch)


def load_catboost(artifact: Artifact, content: bytes) -> Any:
    """Load a file that ``save_model`` wrote in CatBoost's own binary format.

    Raises:
        MissingExtra: CatBoost is not installed.
        LoadError: the file is broken.
    """
    _import(artifact.path)
    try_out(lambda: CatboostRuntime(_load(content), None, None).try_out(), artifact.path, artifact.size_bytes)
    return _load(content)


def _import(needed_by: object) -> Any:
    try:
        import catboost
    except ModuleNotFoundError as error:
        raise missing_extra("catboost", needed_by) from error
    return catboost


def _load(content: bytes) -> Any:
    import catboost

    model = catboost.CatBoost()
    model.load_model(blob=content)
    kind = _kind_of(_loss_of(model))
    if kind is catboost.CatBoost:
        return model
    found = kind()
    found.load_model(blob=content)
    return found


def _kind_of(loss: str) -> Any:
    import catboost

    if loss in _CLASSIFYING:
        return catboost.CatBoostClassifier
    if loss in _RANKING:
        return catboost.CatBoostRanker
    return catboost.CatBoostRegressor if loss else catboost.CatBoost


def _loss_of(model: Any) -> str:
    """Return the loss function that a model was fitted with; "" where it does not say."""
    metadata = dict(model.get_metadata().items())
    try:
        parameters = json.loads(metadata.get("params", "{}"))
        return str(parameters.get("loss_function", {}).get("type", ""))
    except (ValueError, AttributeError) as error:
        raise LoadError("what it says of its parameters is broken") from error


class CatboostRuntime(BoosterRuntime):
    """One fitted model of CatBoost."""

    framework = "catboost"
    tolerance = 1e-9

    def __init__(self, model: Any, example: Example | None, concurrency: int | None) -> None:
        import catboost

        if not hasattr(model, "is_fitted"):
            raise LoadError(f"{type(model).__name__} is no model; give a fitted one")
        if not model.is_fitted():
            raise LoadError(f"This {type(model).__name__} is not fitted; fit it before it is saved or added")
        if model._get_embedding_feature_indices():
            raise LoadError("The model takes embeddings, which have no place in a table of values")
        self.framework_version = str(catboost.__version__)
        self.refusals = (ValueError, TypeError, catboost.CatBoostError)
        self._model = model
        self._texts = sorted({*model._get_cat_feature_indices(), *model._get_text_feature_indices()})
        self._is_classifier = hasattr(model, "predict_proba")
        methods = [
            "predict",
            "margin",
            "leaf",
            "contributions",
            *(["predict_proba", "predict_log_proba"] if self._is_classifier else []),
        ]
        methods = list(check_methods(methods, type(model).__name__))
        super().__init__(model, _features(model, self._texts), methods, example, concurrency)

    # What CatBoost says ------------------------------------------------------------------------

    def rows(self, tensors: Tensors) -> Any:
        if self.signature.layout == "matrix":
            (rows,) = tensors.values()
            return np.ascontiguousarray(rows) if rows.dtype.kind in "iuf" else _with_missing(rows)
        if not self._texts:
            return self.encode(tensors)
        rows = np.empty((count_rows(tensors), len(tensors)), dtype=object)
        for index, spec in enumerate(self.signature.inputs):
            rows[:, index] = tensors[spec.name].tolist()
        return _with_missing(rows)

    def call(self, method: str, rows: Any) -> Any:
        return self._calls[method](rows)

    def plain(self, method: str, matrix: Array) -> Array:
        rows: Any = matrix
        if self._texts:
            rows = matrix.astype(object)
            rows[:, self._texts] = "a"
        found: Array = self.call(method, rows)
        return found

    def labels(self) -> Sequence[Any] | None:
        classes: Sequence[Any] | None = self._model.classes_ if self._is_classifier else None
        return classes if classes is not None and len(classes) else None

    def read_trees(self) -> BoostedTrees:
        if self._texts:
            raise Unreadable(
                "its columns of categories or texts become numbers by tables that only CatBoost reads"
            )
        with tempfile.TemporaryDirectory(prefix="demijohn-") as folder:
            path = Path(folder, "model.json")
            self._model.save_model(str(path), format="json")
            document = json.loads(path.read_bytes())
        return catboost_trees.read(
            document, _loss_of(self._model), self.methods, self.labels(), len(self.features)
        )

    def content(self) -> bytes:
        return bytes(self._model._serialize_model())

    # ------------------------------------------------------------------------------------------

    @property
    def _calls(self) -> dict[str, Callable[[Any], Any]]:
        model = self._model
        return {
            "predict": lambda rows: model.predict(rows, thread_count=1),
            "predict_proba": lambda rows: model.predict_proba(rows, thread_count=1),
            "predict_log_proba": lambda rows: model.predict_log_proba(rows, thread_count=1),
            "margin": lambda rows: model.predict(rows, prediction_type="RawFormulaVal", thread_count=1),
            "leaf": lambda rows: model.calc_leaf_indexes(rows, thread_count=1),
            "contributions": self._contributions,
        }

    def _contributions(self, rows: Any) -> Any:
        import catboost

        model = self._model
        pool = catboost.Pool(
            rows,
            cat_features=model._get_cat_feature_indices(),
            text_features=model._get_text_feature_indices(),
            feature_names=list(model.feature_names_),
            thread_count=1,
        )
        return model.get_feature_importance(pool, type="ShapValues", thread_count=1)


def _with_missing(rows: Array) -> Array:
    """Write missing cells as NaN, which is how CatBoost takes them in columns of numbers."""
    found = rows.astype(object)
    found[found == None] = np.nan  # noqa: E711  - cell by cell
    return found


def _features(model: Any, texts: Sequence[int]) -> list[Feature]:
    names = [str(name) for name in model.feature_names_]
    is_named = names != [str(index) for index in range(len(names))]
    borders = {} if len(texts) == len(names) else model.get_borders()
    return [
        Feature(name if is_named else None, "str", nullable=False, value="a")
        if index in texts
        else Feature(name if is_named else None, value=_middle(borders.get(index, ())))
        for index, name in enumerate(names)
    ]


def _middle(borders: Sequence[float]) -> float:
    return float(f"{borders[len(borders) // 2]:.4g}") if len(borders) else 0.0
