"""Reading what a fitted scikit-learn estimator takes, from what its parts have learnt.

Rules of this room:
1. Only a fitted estimator's public attributes are read (two private ones where there is no other
   way, said beside them); nothing is called but ``get_tags``.
2. Columns are followed through pipelines, column transformers and searches as *flows*: a flow still
   holds a column's own values until a step makes new ones of them.
3. A column may be missing unless a step that meets it refuses missing values. In doubt it may: then
   the model refuses by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from demijohn.signature import Layout, Signature, TensorSpec

from .object_graph import estimators_in
from .sklearn_parts import (
    allows_missing,
    inner_of,
    is_a,
    known,
    needs_positive,
    takes_numbers,
    typical_values,
)


@dataclass(slots=True)
class Column:
    """What is learnt of one input column; the last word of an encoder wins over a number."""

    dtype: str | None = None
    categories: tuple[Any, ...] | None = None
    is_closed: bool = False
    is_nullable: bool = True
    is_used: bool = False
    missing: Any = float("nan")  #: How a missing cell of text is written for this model.
    value: Any = None  #: A plausible cell.


@dataclass(frozen=True, slots=True)
class Flow:
    """One column between two steps."""

    source: Column | None
    is_raw: bool = True  #: It still holds the source's own values.
    may_miss: bool = True


@dataclass(frozen=True, slots=True)
class Reading:
    """What an estimator takes, as far as it knows."""

    signature: Signature
    columns: Sequence[Column] = field(default_factory=tuple)
    is_frame: bool = False  #: It was fitted on a DataFrame.
    text: str = "a text"  #: A plausible text, for a model of texts.
    number: float = 0.0  #: A plausible number, for a model that does not know its columns.


def read_estimator(estimator: Any) -> Reading:
    """Read the inputs of a fitted estimator.

    Returns:
        A table where the estimator knows column names, a vector of texts where it begins with a text
        vectorizer, else a matrix; ``(-1, -1)`` where it does not know its number of columns.
    """
    if takes_text(estimator):
        return Reading(Signature("vector", (TensorSpec("inputs", "str"),)), text=_text_of(estimator))
    names = known(estimator, "feature_names_in_")
    n_columns = len(names) if names is not None else known(estimator, "n_features_in_")
    if n_columns is None:
        # An isotonic regression does not say that it takes one column, but where that begins.
        return Reading(_matrix_signature([], -1), number=float(known(estimator, "X_min_") or 0.0))
    columns = [Column() for _ in range(int(n_columns))]
    for flow in follow(estimator, [Flow(column) for column in columns]):
        if flow.source is not None and flow.is_raw and flow.source.dtype is None:
            flow.source.dtype = "object"  # it leaves as it came: nothing has asked for a number
    if names is None:
        return Reading(_matrix_signature(columns, len(columns)), columns)
    specs = tuple(_spec(str(name), column) for name, column in zip(names, columns, strict=True))
    return Reading(Signature("table", specs), columns, is_frame=True)


def takes_text(estimator: Any) -> bool:
    """Say whether an estimator takes one text per row: it begins with a text vectorizer."""
    if is_a(estimator, "_VectorizerMixin"):
        return True
    if is_a(estimator, "Pipeline"):
        first = next((step for _, step in estimator.steps if step not in (None, "passthrough")), None)
        return first is not None and takes_text(first)
    if is_a(estimator, "FeatureUnion"):
        return any(takes_text(part) for _, part in estimator.transformer_list)
    return any(takes_text(inner) for inner in inner_of(estimator))


def _text_of(estimator: Any) -> str:
    """Return some words that the vectorizer knows."""
    vocabularies = [getattr(part, "vocabulary_", None) for part in estimators_in(estimator)]
    words = next((sorted(vocabulary) for vocabulary in vocabularies if vocabulary), ["a", "text"])
    return " ".join(str(word) for word in words[:: max(1, len(words) // 4)][:4])


def _spec(name: str, column: Column) -> TensorSpec:
    if not column.is_used:
        return TensorSpec(name, "object", nullable=True, is_optional=True)
    return TensorSpec(
        name,
        column.dtype or "float64",
        nullable=column.is_nullable,
        categories=column.categories,
        is_closed=column.is_closed,
    )


def _matrix_signature(columns: Sequence[Column], width: int) -> Signature:
    """Describe a matrix by what all its columns can hold; the model looks at each by itself."""
    layout: Layout = "matrix"
    dtypes = {column.dtype or "float64" for column in columns} or {"float64"}
    dtype = dtypes.pop() if len(dtypes) == 1 else ("float64" if dtypes <= {"int64", "float64"} else "object")
    nullable = any(column.is_nullable for column in columns) if columns else True
    return Signature(layout, (TensorSpec("inputs", dtype, (-1, width), nullable=nullable),))


# Following columns ------------------------------------------------------------------------


def follow(estimator: Any, flows: list[Flow]) -> list[Flow]:
    """Note what an estimator says of the columns that flow into it.

    Returns:
        The columns that flow out, where each can be told from the others; else anonymous ones.
    """
    if estimator is None or isinstance(estimator, str):  # "passthrough", "drop"
        return flows
    for name, follower in _FOLLOWERS.items():
        if is_a(estimator, name):
            return follower(estimator, flows)
    inner = inner_of(estimator)
    if inner:
        return [follow(part, flows) for part in inner][-1]
    return _follow_plain(estimator, flows)


def _follow_plain(estimator: Any, flows: list[Flow]) -> list[Flow]:
    """Follow an estimator that looks at numbers."""
    _use(flows)
    missing_allowed = allows_missing(estimator)
    for flow in flows:
        if flow.source is None:
            continue
        if flow.may_miss and missing_allowed is False:
            flow.source.is_nullable = False
        if flow.is_raw and flow.source.dtype is None:
            flow.source.dtype = "float64" if takes_numbers(estimator) else "object"
    _note_values(flows, typical_values(estimator, len(flows)), is_positive=needs_positive(estimator))
    keeps_columns = is_a(estimator, "OneToOneFeatureMixin")
    if not keeps_columns:
        return [Flow(None)]
    return [replace(flow, is_raw=False) for flow in flows]


def _note_values(flows: list[Flow], values: Sequence[Any] | None, *, is_positive: bool) -> None:
    for index, flow in enumerate(flows):
        if flow.source is None or not flow.is_raw or flow.source.value is not None:
            continue
        if values is not None:
            flow.source.value = float(f"{values[index]:.4g}")
        if is_positive:
            flow.source.value = abs(flow.source.value or 1.0)


def _follow_pipeline(pipeline: Any, flows: list[Flow]) -> list[Flow]:
    for _, step in pipeline.steps:
        flows = follow(step, flows)
    return flows


def _follow_column_transformer(transformer: Any, flows: list[Flow]) -> list[Flow]:
    # ``transformers_`` names columns as the user did: names, integers, slices, masks, callables. What
    # they came to is in this private table (since scikit-learn 1.0), and nowhere else.
    indices = transformer._transformer_to_input_indices
    outputs: list[Flow] = []
    for name, part, _ in transformer.transformers_:
        chosen = [flows[index] for index in indices.get(name, ())]
        if isinstance(part, str) and part == "drop":
            continue
        if takes_text(part):
            _follow_texts(chosen)
            outputs.append(Flow(None))
        else:
            _use(chosen)
            outputs += follow(part, chosen)
    return outputs


def _follow_texts(flows: list[Flow]) -> None:
    _use(flows)
    for flow in flows:
        if flow.source is not None and flow.is_raw:
            flow.source.dtype = "str"
            flow.source.is_nullable = flow.source.is_nullable and not flow.may_miss


def _follow_union(union: Any, flows: list[Flow]) -> list[Flow]:
    return [flow for _, part in union.transformer_list for flow in _follow_member(part, flows)]


def _follow_member(part: Any, flows: list[Flow]) -> list[Flow]:
    return [] if isinstance(part, str) and part == "drop" else follow(part, flows)


def _follow_imputer(imputer: Any, flows: list[Flow]) -> list[Flow]:
    _use(flows)
    statistics = np.asarray(getattr(imputer, "statistics_", np.full(len(flows), np.nan)), dtype=object)
    for flow, statistic in zip(flows, statistics, strict=False):
        column = flow.source
        if column is None or not flow.is_raw:
            continue
        if imputer.missing_values is None:
            column.missing = None
        if isinstance(statistic, str):
            column.dtype = "str"
        if column.value is None and statistic == statistic:
            column.value = statistic if isinstance(statistic, str) else float(f"{statistic:.4g}")
    kept = [flow for flow, statistic in zip(flows, statistics, strict=False) if _is_kept(imputer, statistic)]
    outputs = [replace(flow, may_miss=False) for flow in kept]
    return [*outputs, Flow(None)] if getattr(imputer, "add_indicator", False) else outputs


def _is_kept(imputer: Any, statistic: Any) -> bool:
    """A column that had no value at all at fit is dropped, unless it is filled with something."""
    return bool(statistic == statistic or getattr(imputer, "keep_empty_features", False))


def _follow_encoder(encoder: Any, flows: list[Flow]) -> list[Flow]:
    _use(flows)
    refuses_unknown = getattr(encoder, "handle_unknown", "ignore") == "error"  # TargetEncoder never does
    outputs = []
    for flow, categories in zip(flows, encoder.categories_, strict=False):
        values, has_missing = _split_missing(categories)
        column = flow.source
        if column is not None and flow.is_raw:
            column.dtype = _dtype_of(values, np.asarray(categories).dtype)
            column.categories = tuple(values)
            column.is_closed = refuses_unknown
            if column.value is None and values:
                column.value = values[0]
            if any(value is None for value in categories):
                column.missing = None
        takes_missing = has_missing or not refuses_unknown or is_a(encoder, "TargetEncoder")
        if column is not None and flow.may_miss and not takes_missing:
            column.is_nullable = False
        is_ordinal = is_a(encoder, "OrdinalEncoder")
        outputs.append(Flow(column, is_raw=False, may_miss=is_ordinal and flow.may_miss and _stays(encoder)))
    return outputs if is_a(encoder, "OrdinalEncoder") else [Flow(None, may_miss=False)]


def _stays(encoder: Any) -> bool:
    """Say whether an ordinal encoder keeps a missing value missing."""
    return any(
        value is not None and value != value
        for value in (encoder.encoded_missing_value, encoder.unknown_value)
    )


def _split_missing(categories: Any) -> tuple[list[Any], bool]:
    values = np.asarray(categories).tolist()
    present = [value for value in values if value is not None and value == value]
    return present, len(present) < len(values)


def _dtype_of(values: list[Any], dtype: np.dtype[Any]) -> str:
    if values and all(isinstance(value, str) for value in values):
        return "str"
    if dtype.kind == "b" or (values and all(isinstance(value, bool) for value in values)):
        return "bool"
    if dtype.kind in "iu":
        return dtype.name
    if dtype.kind == "f" or (values and all(isinstance(value, (int, float)) for value in values)):
        return "float64"
    return "object"


def _follow_function(transformer: Any, flows: list[Flow]) -> list[Flow]:
    """Follow a FunctionTransformer: who knows what the function takes, unless it is numpy's."""
    _use(flows)
    if transformer.func is None:
        return flows
    is_numeric = isinstance(transformer.func, np.ufunc) or transformer.validate
    for flow in flows:
        if flow.source is not None and flow.is_raw and flow.source.dtype is None:
            flow.source.dtype = "float64" if is_numeric else "object"
    return [Flow(None)]


def _follow_histogram_boosting(estimator: Any, flows: list[Flow]) -> list[Flow]:
    _use(flows)
    preprocessor = getattr(estimator, "_preprocessor", None)  # holds the known categories
    if preprocessor is not None:
        for name, part, _ in preprocessor.transformers_:
            chosen = [flows[index] for index in preprocessor._transformer_to_input_indices.get(name, ())]
            if name == "encoder" and chosen:
                _follow_encoder(part, chosen)
    for flow in flows:
        if flow.source is not None and flow.is_raw and flow.source.dtype is None:
            flow.source.dtype = "float64"
    return [Flow(None)]


def _use(flows: Iterable[Flow]) -> None:
    for flow in flows:
        if flow.source is not None:
            flow.source.is_used = True


_FOLLOWERS: dict[str, Callable[[Any, list[Flow]], list[Flow]]] = {
    "Pipeline": _follow_pipeline,
    "ColumnTransformer": _follow_column_transformer,
    "FeatureUnion": _follow_union,
    "_BaseImputer": _follow_imputer,
    "OneHotEncoder": _follow_encoder,
    "OrdinalEncoder": _follow_encoder,
    "TargetEncoder": _follow_encoder,
    "FunctionTransformer": _follow_function,
    "BaseHistGradientBoosting": _follow_histogram_boosting,
}
