"""Gradient boosting: what is particular to it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from tests.acceleration.trees import models, naive
from tests.acceleration.trees.claims import is_same

from demijohn.acceleration.engine import Unconvertible
from demijohn.acceleration.trees.sklearn_trees import read


@pytest.mark.parametrize("strategy", ["prior", "most_frequent"])
def test_what_says_the_same_of_every_row_is_where_a_classifiers_sums_begin(strategy):
    init = DummyClassifier(strategy=strategy)
    model = GradientBoostingClassifier(init=init, n_estimators=3).fit(models.X, models.TEXTS)
    answer = naive.step(read(model, "predict_proba"))(models.X[:30])
    assert is_same(answer, model.predict_proba(models.X[:30]))


@pytest.mark.parametrize(
    "init",
    [
        DummyRegressor(),
        DummyRegressor(strategy="median"),
        DummyRegressor(strategy="quantile", quantile=0.3),
        DummyRegressor(strategy="constant", constant=4.5),
    ],
)
def test_what_says_the_same_of_every_row_is_where_a_regressors_sums_begin(init):
    model = GradientBoostingRegressor(init=init, n_estimators=3).fit(models.X, models.NUMBER)
    assert is_same(naive.step(read(model, "predict"))(models.X[:30]), model.predict(models.X[:30]))


@pytest.mark.parametrize(
    ("kind", "init", "target"),
    [
        (GradientBoostingRegressor, LinearRegression(), models.NUMBER),
        (GradientBoostingClassifier, DummyClassifier(strategy="uniform"), models.BINARY),
        (GradientBoostingClassifier, DummyClassifier(strategy="stratified"), models.BINARY),
    ],
)
def test_what_differs_from_row_to_row_is_not_read(kind, init, target):
    model = kind(init=init, n_estimators=2).fit(models.X, target)
    with pytest.raises(Unconvertible, match=f"begins with {type(init).__name__}"):
        read(model, "predict")


def test_an_unknown_link_is_not_read():
    class CauchitLink:
        pass

    model = GradientBoostingClassifier(n_estimators=2).fit(models.X, models.BINARY)
    model._loss.link = CauchitLink()
    with pytest.raises(Unconvertible, match="CauchitLink"):
        read(model, "predict")


def test_missing_values_are_refused_where_the_estimator_refuses_them():
    model = models.fitted("GradientBoosting, binary")
    rows = np.full((1, models.N_COLUMNS), np.nan)
    with pytest.raises(ValueError, match="NaN"):
        model.predict(rows)
    assert not read(model, "predict").allows_missing
