"""Large forests are made ready for the kernel before the fork, and found again after it."""

from __future__ import annotations

import os

import numpy as np
import pytest
from sklearn.ensemble import AdaBoostClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from demijohn import acceleration, kernels, planning
from demijohn.acceleration.plan import MethodPlan, Plan, Range
from demijohn.acceleration.trees import ensemble, kernel_trees
from demijohn.acceleration.trees.sklearn_trees import read
from demijohn.config import Settings
from demijohn.runtimes import wrap

needs_kernel = pytest.mark.skipif(not kernels.IS_BUILT, reason="the kernels are not built")
ROWS = np.random.default_rng(0).normal(size=(200, 4))
LABELS = (ROWS[:, 0] > 0).astype(int)


@pytest.fixture
def everything_is_large(monkeypatch):
    monkeypatch.setattr(ensemble, "LARGE_NODES", 1)


def forest():
    return RandomForestClassifier(5, random_state=0).fit(ROWS, LABELS)


@needs_kernel
@pytest.mark.usefixtures("everything_is_large")
def test_a_large_forest_is_made_once_and_its_engines_run_it():
    model = make_pipeline(StandardScaler(), RandomForestClassifier(5, random_state=0)).fit(ROWS, LABELS)
    made = acceleration.prepare(wrap(model))
    assert len(made) == 1  # not one more for each tree
    assert kernel_trees.forest_of(read(model[-1], "predict_proba")) is made[0]


@needs_kernel
@pytest.mark.usefixtures("everything_is_large")
def test_a_child_finds_what_its_parent_made():
    model = forest()
    made = acceleration.prepare(wrap(model))
    child = os.fork()
    if not child:
        os._exit(0 if kernel_trees.forest_of(read(model, "predict")) is made[0] else 1)
    assert os.waitpid(child, 0)[1] == 0


@needs_kernel
def test_a_small_forest_is_left_to_its_engines():
    assert acceleration.prepare(wrap(forest())) == []


@pytest.mark.usefixtures("everything_is_large")
@pytest.mark.parametrize("model", [LogisticRegression(), AdaBoostClassifier(LogisticRegression())])
def test_without_trees_there_is_nothing_to_make(model):
    assert acceleration.prepare(wrap(model.fit(ROWS, LABELS))) == []


@pytest.mark.usefixtures("everything_is_large")
def test_without_a_kernel_there_is_nothing_to_make(monkeypatch):
    monkeypatch.setattr(kernels, "IS_BUILT", False)
    assert acceleration.prepare(wrap(forest())) == []


@pytest.mark.usefixtures("everything_is_large")
def test_without_acceleration_there_is_nothing_to_make():
    assert planning.prepare(wrap(forest()), Settings(acceleration="off")) == []


@needs_kernel
@pytest.mark.usefixtures("everything_is_large")
@pytest.mark.parametrize(("engine", "n_made"), [("kernel", 1), ("native", 0)])
def test_what_a_kept_plan_does_not_use_is_not_made(monkeypatch, engine, n_made):
    plan = Plan({"predict": MethodPlan((Range(None, engine, None),))}, {})
    monkeypatch.setattr(planning, "kept_plan", lambda *_: plan)
    assert len(planning.prepare(wrap(forest()), Settings())) == n_made
