"""Pipelines, and what hands parts of a matrix to several steps and puts their results side by side.

Rules of this room:
1. The result is one matrix of float64, made once; each part writes its own columns of it.
2. Columns of texts (their codes) go to encoders and imputers only, and none comes out.

Source: scikit-learn 1.9.1, ``pipeline.py``, ``compose/_column_transformer.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from demijohn.acceleration.engine import Backend, Step, Unconvertible
from demijohn.messages import Array

from .building import Building, texts_of
from .preprocessing import columns_of, identity
from .tables import make_checked_step


def is_kept(step: Any) -> bool:
    """Say whether a step does nothing."""
    return step is None or (isinstance(step, str) and step == "passthrough")


def make_chain(steps: Sequence[Any], method: str, backend: Backend) -> Step:
    """Translate fitted steps that follow each other.

    Args:
        steps: All but the last are asked to ``transform``.
        method: Of the last.
        backend: See ``make_step``.

    Raises:
        Unconvertible: with the reason for the operator.
    """
    makes = [step for step in steps[:-1] if not is_kept(step)]
    if is_kept(steps[-1]):
        if method != "transform":
            raise Unconvertible("the pipeline ends with no estimator")
    else:
        makes.append(steps[-1])
    building = Building.of(backend)
    chain = []
    for index, estimator in enumerate(makes):
        is_last = index == len(makes) - 1
        step_method = method if is_last else "transform"
        chain.append(make_checked_step(estimator, step_method, building))
        if step_method == "transform":
            building = building.with_texts(_texts_after(estimator, building))
    if method == "transform" and building.texts:
        raise Unconvertible("texts come out of it")
    return _follow(chain)


def _follow(chain: Sequence[Step]) -> Step:
    if not chain:
        return identity
    if len(chain) == 1:
        return chain[0]
    *heads, last = chain
    if len(heads) == 1:
        (head,) = heads
        return lambda rows: last(head(rows))

    def run(rows: Array) -> Array:
        for step in heads:
            rows = step(rows)
        return last(rows)

    return run


def _texts_after(estimator: Any, building: Building) -> frozenset[int]:
    """Return which columns hold texts after a step: an imputer of texts leaves them texts."""
    is_imputer = any(base.__name__ == "SimpleImputer" for base in type(estimator).__mro__)
    if building.texts and is_imputer and estimator.add_indicator:
        raise Unconvertible("an imputer of texts adds an indicator")
    return building.texts if is_imputer else frozenset()


def _pipeline(pipeline: Any, method: str, backend: Backend) -> Step:
    return make_chain([step for _, step in pipeline.steps], method, backend)


# Side by side -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Member:
    """One part of the result."""

    select: Step
    step: Step
    where: slice
    weight: float | None


def _column_transformer(transformer: Any, method: str, backend: Backend) -> Step:
    if method != "transform":
        raise Unconvertible(f"no translation of ColumnTransformer.{method}")
    weights = transformer.transformer_weights or {}
    texts = texts_of(backend)
    members = []
    for name, part, columns in transformer.transformers_:
        indices = np.asarray(transformer._transformer_to_input_indices.get(name, ()), dtype=np.intp)
        where = transformer.output_indices_.get(name, slice(0, 0))
        if (isinstance(part, str) and part == "drop") or not len(indices):
            continue
        if np.isscalar(columns):
            raise Unconvertible("a transformer takes one column as a vector")
        inner = Building.of(backend).with_texts(
            place for place, index in enumerate(indices.tolist()) if index in texts
        )
        step = _keeping(inner) if is_kept(part) else make_chain([part], "transform", inner)
        members.append(_Member(columns_of(indices), step, where, weights.get(name)))
    width = max((part.stop for part in transformer.output_indices_.values()), default=0)
    return _beside(members, width)


def _keeping(building: Building) -> Step:
    if building.texts:
        raise Unconvertible("texts come out of it")
    return identity


def _union(union: Any, method: str, backend: Backend) -> Step:
    if method != "transform":
        raise Unconvertible(f"no translation of FeatureUnion.{method}")
    weights = union.transformer_weights or {}
    steps = [
        (
            _keeping(Building.of(backend)) if is_kept(part) else make_chain([part], "transform", backend),
            weights.get(name),
        )
        for name, part in union.transformer_list
        if not (isinstance(part, str) and part == "drop")
    ]

    def transform(rows: Array) -> Array:
        results = [
            step(rows) if weight is None else np.multiply(step(rows), weight) for step, weight in steps
        ]
        return np.hstack(results)

    if not steps:
        raise Unconvertible("nothing comes out of it")
    return transform


def _beside(members: Sequence[_Member], width: int) -> Step:
    plan = [(member.select, member.step, member.where, member.weight) for member in members]

    def transform(rows: Array) -> Array:
        result = np.empty((len(rows), width))
        for select, step, where, weight in plan:
            part = step(select(rows))
            result[:, where] = part if weight is None else part * weight
        return result

    if sum(member.where.stop - member.where.start for member in members) != width:
        raise Unconvertible("its parts do not make up its columns")
    return transform


TRANSFORMS = {"ColumnTransformer": _column_transformer, "FeatureUnion": _union}
FINALS = {"Pipeline": _pipeline}
