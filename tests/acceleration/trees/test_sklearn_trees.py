"""Every tree ensemble of scikit-learn, read and run in plain Python, answers as the estimator does."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators
from tests.acceleration.trees import models, naive
from tests.acceleration.trees.claims import is_same, native

from demijohn.acceleration.engine import Unconvertible
from demijohn.acceleration.trees.sklearn_trees import READERS, is_tree_ensemble, read


@pytest.mark.parametrize("name", models.NAMES)
def test_the_arrays_say_what_the_estimator_says(name):
    model = models.fitted(name)
    for method in models.methods_of(model):
        ensemble = read(model, method)
        rows = models.rows_for(name, ensemble, 40)
        assert is_same(naive.step(ensemble)(rows), native(model, method, rows)), method
        assert is_same(naive.step(ensemble)(rows[:1]), native(model, method, rows[:1])), method


def test_there_is_a_reader_for_each_of_scikit_learns_trees_and_a_model_for_each_reader():
    of_trees = {
        name
        for name, kind in all_estimators()
        if kind.__module__.startswith(("sklearn.tree.", "sklearn.ensemble."))
        and not name.startswith(("Voting", "Stacking"))
    }
    assert set(READERS) == of_trees
    assert {type(models.fitted(name)).__name__ for name in models.NAMES} == of_trees


def test_reading_changes_nothing_in_the_estimator():
    model = models.fitted("RandomForest, texts")
    before = pickle.dumps(model)
    finish = read(model, "predict").finish
    finish(np.full((3, 3), 2.0))
    assert pickle.dumps(model) == before


def test_an_answer_that_is_written_to_does_not_change_the_next():
    model = models.fitted("RandomForest, texts")
    step = naive.step(read(model, "predict"))
    row = models.X[:1]
    answer = step(row)
    answer[0] = "other"
    assert is_same(step(row), model.predict(row))


def test_a_class_of_the_users_own_is_not_read():
    class Mine(RandomForestClassifier):
        pass

    model = Mine(2).fit(models.X, models.BINARY)
    assert not is_tree_ensemble(model)
    with pytest.raises(Unconvertible, match="Mine is no tree ensemble of scikit-learn's own"):
        read(model, "predict")


def test_what_is_no_tree_is_not_read():
    with pytest.raises(Unconvertible, match="LinearRegression"):
        read(LinearRegression(), "predict")


@pytest.mark.parametrize("name", models.NAMES)
def test_a_method_that_is_no_sum_of_leaves_is_not_read(name):
    model = models.fitted(name)
    with pytest.raises(Unconvertible, match="fit_predict"):
        read(model, "fit_predict")


@pytest.mark.parametrize(
    "model", [DecisionTreeClassifier(), HistGradientBoostingClassifier(), GradientBoostingRegressor()]
)
def test_a_model_that_lacks_attributes_says_so(model):
    with pytest.raises(Unconvertible, match="of another version of scikit-learn, or not fitted: "):
        read(model, "predict")


def test_only_histogram_boosting_encodes():
    with pytest.raises(Unconvertible, match="encodes no categories"):
        read(models.fitted("RandomForest, texts"), "predict", is_encoded=True)
