"""Bagging and AdaBoost: what is particular to them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import AdaBoostClassifier, AdaBoostRegressor, BaggingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from tests.acceleration.trees import models

from demijohn.acceleration.engine import Unconvertible
from demijohn.acceleration.trees.sklearn_trees import read


@pytest.mark.parametrize(
    ("model", "target"),
    [
        (BaggingClassifier(LogisticRegression(), 2), models.BINARY),
        (AdaBoostClassifier(LogisticRegression(), n_estimators=2), models.BINARY),
        (AdaBoostRegressor(LinearRegression(), n_estimators=2), models.NUMBER),
    ],
)
def test_members_that_are_no_trees_are_not_read(model, target):
    with pytest.raises(Unconvertible, match=r"of (Logistic|Linear)Regression"):
        read(model.fit(models.X, target), "predict")


def test_members_that_do_not_know_all_classes_are_not_read():
    model = BaggingClassifier(n_estimators=2).fit(models.X, models.THREE)
    model.estimators_[1].classes_ = np.array([0, 1])
    with pytest.raises(Unconvertible, match="do not know all classes"):
        read(model, "predict")


def test_adaboost_of_one_class_is_not_read():
    model = AdaBoostClassifier(n_estimators=2).fit(models.X, np.zeros(len(models.X)))
    with pytest.raises(Unconvertible, match="one class"):
        read(model, "predict")
