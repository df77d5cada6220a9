"""onnxruntime adds trees up as the estimator does, to the last bit, or stands aside."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.acceleration.trees import models, naive
from tests.acceleration.trees.claims import is_same, native

from demijohn.acceleration.engine import StepAside, Unconvertible
from demijohn.acceleration.trees import onnx_trees
from demijohn.acceleration.trees.ensemble import Ensemble
from demijohn.acceleration.trees.sklearn_trees import read

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
BATCHES = (1, 2, 64, 1000)


@pytest.mark.parametrize("name", models.NAMES)
def test_onnxruntime_says_what_the_estimator_says(name):
    model = models.fitted(name)
    for index, method in enumerate(models.methods_of(model)):
        ensemble = read(model, method)
        rows = models.rows_for(name, ensemble, 1_000 if index else 10_000)
        step = onnx_trees.step(ensemble)
        assert is_same(step(rows), native(model, method, rows)), method
        for n_rows in BATCHES:
            batch = np.ascontiguousarray(rows[-n_rows:])
            assert is_same(step(batch), native(model, method, batch)), (method, n_rows)


@st.composite
def ensembles(draw):
    """Draw any few trees: single leaves, wide ones, gaps, categories, a start."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    width, n_trees = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    n_outputs = width + draw(st.integers(0, 2))
    has_categories = draw(st.booleans())
    roots, left, right = [], [], []
    for _ in range(n_trees):
        roots.append(len(left))
        n_splits = int(random.integers(0, 6))
        leaves = [len(left)]
        left.append(-1)
        right.append(-1)
        for _ in range(n_splits):
            node = leaves.pop(int(random.integers(len(leaves))))
            left[node], right[node] = len(left), len(left) + 1
            leaves += [len(left), len(left) + 1]
            left += [-1, -1]
            right += [-1, -1]
    n_nodes = len(left)
    is_split = np.array(left) >= 0
    feature = np.where(is_split, random.integers(0, 3, n_nodes), 0).astype(np.int32)
    by_category = is_split & (feature == 2) & has_categories
    sets = random.integers(0, 2**32, (n_nodes, 8), dtype=np.uint32)
    sets[random.random(n_nodes) < 0.3] = 0
    return Ensemble(
        n_features=3,
        roots=np.array(roots, np.int32),
        column=random.integers(0, n_outputs - width + 1, n_trees).astype(np.int32),
        feature=feature,
        threshold=np.where(is_split, random.normal(size=n_nodes).round(1), 0.0),
        left=np.array(left, np.int32),
        right=np.array(right, np.int32),
        missing_left=random.random(n_nodes) < 0.5,
        leaf=np.where(is_split, 0, random.integers(0, 7, n_nodes)).astype(np.int32),
        values=random.normal(size=(7, width)),
        start=random.normal(size=n_outputs) * (random.random(n_outputs) < 0.5),
        finish=lambda sums: sums,
        casts_to_float32=not has_categories and bool(random.integers(2)),  # no model has both
        allows_missing=True,
        categorical=np.where(by_category, np.arange(n_nodes), -1).astype(np.int32)
        if has_categories
        else None,
        left_categories=sets if has_categories else None,
        known_categories=random.integers(0, 2**32, (3, 8), dtype=np.uint32) if has_categories else None,
    )


@settings(deadline=None, max_examples=150)
@given(ensemble=ensembles(), data=st.data())
def test_any_trees_are_added_up_as_plain_python_does(ensemble, data):
    near = st.integers(-30, 30).map(lambda tenths: float(np.float32(tenths / 10)))
    values = st.one_of(near, st.just(np.nan), st.integers(-2, 300).map(float), st.floats(-3, 3))
    rows = data.draw(arrays(np.float64, (5, 3), elements=values))
    step = onnx_trees.step(ensemble)
    assert is_same(step(rows), naive.sums(ensemble, rows))
    assert is_same(step(rows[:1]), naive.sums(ensemble, rows[:1]))


@settings(deadline=None)
@given(
    arrays(np.float64, 50, elements=st.floats(-1e39, 1e39, allow_subnormal=True)),
    st.floats(-3e38, 3e38, allow_subnormal=True),
)
def test_a_moved_threshold_sends_left_what_is_sent_left_after_rounding(thresholds, value):
    ensemble = read(models.fitted("DecisionTree, of one leaf"), "predict")
    moved = onnx_trees._thresholds(replace(ensemble, threshold=thresholds))
    finite = moved[np.abs(moved) < onnx_trees.FLOAT32_OVERFLOW]
    borders = np.concatenate([[value], finite, np.nextafter(finite, np.inf), np.nextafter(finite, -np.inf)])
    borders = borders[np.abs(borders) < onnx_trees.FLOAT32_OVERFLOW]
    rounded = borders.astype(np.float32).astype(np.float64)
    assert np.array_equal(borders[:, None] <= moved, rounded[:, None] <= thresholds)


def test_wide_leaves_of_many_rows_are_added_up_block_by_block(monkeypatch):
    model = models.fitted("RandomForest, ten classes")
    ensemble = read(model, "predict_proba")
    rows = models.rows_for("RandomForest, ten classes", ensemble, 100)
    monkeypatch.setattr(onnx_trees, "BLOCK_VALUES", 130 * 7)
    assert is_same(onnx_trees.step(ensemble)(rows), native(model, "predict_proba", rows))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RandomForest, binary", 1e300),
        ("RandomForest, binary", onnx_trees.FLOAT32_OVERFLOW),
        ("RandomForest, binary", -np.inf),
        ("RandomForest, gaps", np.inf),
        ("RandomForest, gaps", -1e39),
        ("GradientBoosting, binary", np.nan),
        ("AdaBoost, number", np.nan),
        ("HistGradientBoosting, small categories", np.inf),
        ("HistGradientBoosting, odd categories", -np.inf),
    ],
)
def test_rows_that_the_estimator_refuses_are_left_to_it(name, value):
    model = models.fitted(name)
    step = onnx_trees.step(read(model, "predict"))
    rows = np.zeros((9, models.N_COLUMNS))
    step(rows)
    rows[8, 2] = value
    with pytest.raises(StepAside):
        step(rows)
    with pytest.raises(ValueError, match="contains"), np.errstate(over="ignore"):
        model.predict(rows)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RandomForest, binary", np.nextafter(onnx_trees.FLOAT32_OVERFLOW, 0)),
        ("RandomForest, gaps", np.nan),
        ("HistGradientBoosting, gamma", np.inf),
        ("HistGradientBoosting, gaps", -np.inf),
        ("HistGradientBoosting, binary", 1e300),
    ],
)
def test_the_largest_values_and_gaps_that_the_estimator_takes_are_answered(name, value):
    model = models.fitted(name)
    rows = np.zeros((2, models.N_COLUMNS))
    rows[0] = rows[1, 0] = value
    assert is_same(onnx_trees.step(read(model, "predict"))(rows), model.predict(rows))


def test_many_threads_may_ask_at_once():
    ensemble = read(models.fitted("RandomForest, texts"), "predict_proba")
    rows = models.rows_for("RandomForest, texts", ensemble, 200)
    step = onnx_trees.step(ensemble)
    expected = step(rows)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(step, [rows] * 64))
    assert all(is_same(answer, expected) for answer in answers)


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_without_a_package_the_reason_names_the_extra(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(Unconvertible, match=rf"{package} is not installed: pip install 'demijohn\[accel\]'"):
        onnx_trees.step(read(models.fitted("RandomForest, binary"), "predict"))
