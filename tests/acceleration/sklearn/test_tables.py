import importlib

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, RadiusNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from tests.acceleration.sklearn.comparing import NUMPY

from demijohn.acceleration.engine import Backend, StepAside, Unconvertible
from demijohn.acceleration.sklearn import tables
from demijohn.acceleration.sklearn.building import Building

RANDOM = np.random.default_rng(7)
MATRIX = RANDOM.normal(size=(60, 3))
LABELS = (MATRIX[:, 0] > 0).astype(int)


def test_each_name_stands_in_one_room():
    names = []
    for room in tables.ROOMS:
        module = importlib.import_module(f"demijohn.acceleration.sklearn.{room}")
        names += [*getattr(module, "TRANSFORMS", {}), *getattr(module, "FINALS", {})]
    assert len(names) == len(set(names)) == len(tables.factories())


def test_a_subclass_that_changes_nothing_is_translated():
    class Mine(LogisticRegression):
        """Only a name."""

    step = tables.make_step(Mine().fit(MATRIX, LABELS), "predict", NUMPY)
    assert len(step(MATRIX)) == 60


def test_a_subclass_that_changes_something_is_the_frameworks():
    class Mine(LogisticRegression):
        def decision_function(self, rows):
            return super().decision_function(rows) + 1

    with pytest.raises(Unconvertible, match="Mine has a decision_function of its own"):
        tables.make_step(Mine().fit(MATRIX, LABELS), "predict", NUMPY)


def test_an_estimator_whose_method_was_replaced_is_the_frameworks():
    model = LogisticRegression().fit(MATRIX, LABELS)
    model.predict = lambda rows: np.zeros(len(rows))
    with pytest.raises(Unconvertible, match="has a predict of its own"):
        tables.make_step(model, "predict", NUMPY)


def test_a_class_from_elsewhere_is_the_frameworks():
    class Foreign:
        def predict(self, rows):
            return rows[:, 0]

    with pytest.raises(Unconvertible, match="Foreign is not scikit-learn's own"):
        tables.make_step(Foreign(), "predict", NUMPY)


def test_what_no_form_makes_faster_says_so():
    with pytest.raises(Unconvertible, match="radius neighbours: no form of it is faster"):
        tables.make_step(RadiusNeighborsClassifier().fit(MATRIX, LABELS), "predict", NUMPY)


def test_an_attribute_that_another_release_lacks_is_a_reason_not_an_error():
    model = StandardScaler().fit(MATRIX)
    del model.mean_
    with pytest.raises(Unconvertible, match=r"StandardScaler is not as it is known here \(AttributeError"):
        tables.make_step(model, "transform", NUMPY)


def test_texts_reach_only_who_can_read_them():
    building = Building("numpy", codes={"a": 0}, texts=frozenset({1}))
    with pytest.raises(Unconvertible, match="StandardScaler gets columns of texts"):
        tables.make_step(StandardScaler().fit(MATRIX), "transform", building)


def test_a_checked_step_refuses_what_the_estimator_refuses():
    gap, infinity = np.array([[1.0, np.nan, 1.0]]), np.array([[1.0, np.inf, 1.0]])
    scaler = tables.make_checked_step(StandardScaler().fit(MATRIX), "transform", NUMPY)
    linear = tables.make_checked_step(Ridge().fit(MATRIX, LABELS), "predict", NUMPY)
    assert np.isnan(scaler(gap)[0, 1])
    for step, rows in ((scaler, infinity), (linear, gap), (linear, infinity)):
        with pytest.raises(StepAside):
            step(rows)


def test_no_more_sessions_are_made_than_are_quick(monkeypatch):
    monkeypatch.setattr(tables, "_MOST_CONVERTED", 1)
    building = Building("others", others=lambda estimator, method, _: getattr(estimator, method))
    model = KNeighborsClassifier().fit(MATRIX, LABELS)
    tables.convert(model, "predict", building)
    with pytest.raises(Unconvertible, match="more than 1"):
        tables.convert(model, "predict", building)


def test_a_booster_without_categories_takes_no_texts():
    model = HistGradientBoostingClassifier(max_iter=2).fit(MATRIX, LABELS)
    building = Building("trees", trees=lambda ensemble: ensemble.finish, texts=frozenset({0}))
    with pytest.raises(Unconvertible, match="gets columns of texts"):
        tables.make_step(model, "predict", building)


def test_a_backend_without_others_converts_nothing():
    with pytest.raises(Unconvertible):
        tables.convert(Ridge().fit(MATRIX, LABELS), "predict", Backend("numpy"))
