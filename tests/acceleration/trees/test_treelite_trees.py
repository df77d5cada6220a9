"""treelite answers as the estimator does, or stands aside."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tests.acceleration.trees import models
from tests.acceleration.trees.claims import error_of, is_same, native

from demijohn.acceleration.engine import StepAside, Unconvertible
from demijohn.acceleration.trees import treelite_trees
from demijohn.acceleration.trees.sklearn_trees import read

pytest.importorskip("treelite")
TOLERANCE = 1e-12


@pytest.mark.parametrize("name", models.NAMES)
def test_treelite_says_what_the_estimator_says(name):
    model = models.fitted(name)
    for method in models.methods_of(model):
        if name.startswith("Bagging") and method == "predict_log_proba":
            continue
        ensemble = read(model, method)
        rows = models.rows_for(name, ensemble, 1_000)
        step = treelite_trees.step(ensemble)
        assert error_of(step(rows), native(model, method, rows)) <= TOLERANCE, method
        assert error_of(step(rows[:1]), native(model, method, rows[:1])) <= TOLERANCE, method


def test_leaves_that_treelite_has_no_form_for_are_not_converted():
    with pytest.raises(Unconvertible, match="leaves of 3 values for 33 outputs"):
        treelite_trees.step(read(models.fitted("Bagging, texts"), "predict_log_proba"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RandomForest, binary", 1e300),
        ("RandomForest, binary", -np.inf),
        ("GradientBoosting, binary", np.nan),
        ("HistGradientBoosting, gamma", np.inf),
        ("HistGradientBoosting, odd categories", np.inf),
    ],
)
def test_treelite_stands_aside_from_what_it_is_not_sure_of(name, value):
    step = treelite_trees.step(read(models.fitted(name), "predict"))
    rows = np.zeros((9, models.N_COLUMNS))
    step(rows)
    rows[8, 2] = value
    with pytest.raises(StepAside):
        step(rows)


def test_treelite_stands_aside_from_no_rows():
    step = treelite_trees.step(read(models.fitted("RandomForest, binary"), "predict"))
    with pytest.raises(StepAside):
        step(np.empty((0, models.N_COLUMNS)))


def test_many_threads_may_ask_at_once():
    model = models.fitted("RandomForest, texts")
    ensemble = read(model, "predict_proba")
    rows = models.rows_for("RandomForest, texts", ensemble, 200)
    step = treelite_trees.step(ensemble)
    expected = step(rows)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(step, [rows] * 64))
    assert all(is_same(answer, expected) for answer in answers)


def test_what_takes_long_to_build_is_not_converted(monkeypatch):
    monkeypatch.setattr(treelite_trees, "MAX_NODES", 10)
    with pytest.raises(Unconvertible, match="nodes, more than treelite builds in a few seconds"):
        treelite_trees.step(read(models.fitted("RandomForest, binary"), "predict"))


def test_without_treelite_the_reason_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "treelite", None)
    with pytest.raises(Unconvertible, match=r"demijohn\[accel\]"):
        treelite_trees.step(read(models.fitted("RandomForest, binary"), "predict"))
