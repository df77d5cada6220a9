"""The kernel answers as the estimator does, to the last bit, or stands aside."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.ensemble import RandomForestClassifier
from tests.acceleration.trees import models, naive
from tests.acceleration.trees.claims import is_same, native

from demijohn import kernels
from demijohn.acceleration.engine import StepAside, Unconvertible
from demijohn.acceleration.trees import kernel_trees
from demijohn.acceleration.trees.sklearn_trees import read

needs_kernel = pytest.mark.skipif(not kernels.IS_BUILT, reason="the kernels are not built")
BATCHES = (1, 7, 64, 1000)
SPECIAL = [
    0.0,
    -0.0,
    1e-320,
    1e-45,
    3.4028235677973362e38,
    3.4028235677973366e38,
    1e300,
    -1e300,
    np.nan,
    np.inf,
]


def without_odd_categories(rows):
    """Leave out rows with a category that no set holds: there the kernel stands aside."""
    categories = rows[:, models.CATEGORICAL]
    is_fine = np.isnan(categories) | ((categories < 256) & (np.floor(categories) == categories))
    return np.ascontiguousarray(rows[is_fine.all(axis=1)])


@needs_kernel
@pytest.mark.parametrize("name", models.NAMES)
def test_the_kernel_says_what_the_estimator_says(name):
    model = models.fitted(name)
    for index, method in enumerate(models.methods_of(model)):
        ensemble = read(model, method)
        rows = models.rows_for(name, ensemble, 2_000 if index else 20_000)
        if "small categories" in name:
            rows = without_odd_categories(rows)
        step = kernel_trees.step(ensemble)
        assert is_same(step(rows), native(model, method, rows)), method
        for n_rows in BATCHES:
            batch = np.ascontiguousarray(rows[-n_rows:])
            assert is_same(step(batch), native(model, method, batch)), (method, n_rows)


@needs_kernel
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RandomForest, binary", 1e300),
        ("RandomForest, binary", -np.inf),
        ("GradientBoosting, binary", np.nan),
        ("AdaBoost, number", np.nan),
        ("IsolationForest", np.inf),
        ("HistGradientBoosting, gamma", np.inf),
        ("HistGradientBoosting, odd categories", np.inf),
    ],
)
def test_the_kernel_stands_aside_from_what_it_is_not_sure_of(name, value):
    step = kernel_trees.step(read(models.fitted(name), "predict"))
    rows = np.zeros((9, models.N_COLUMNS))
    step(rows)
    rows[8, 2] = value
    with pytest.raises(StepAside):
        step(rows)


@needs_kernel
def test_the_kernel_stands_aside_from_no_rows():
    step = kernel_trees.step(read(models.fitted("RandomForest, binary"), "predict"))
    with pytest.raises(StepAside):
        step(np.empty((0, models.N_COLUMNS)))


@needs_kernel
def test_the_kernel_stands_aside_from_a_category_that_no_set_holds():
    step = kernel_trees.step(read(models.fitted("HistGradientBoosting, small categories"), "predict"))
    rows = np.zeros((2, models.N_COLUMNS))
    rows[1, models.CATEGORICAL[1]] = 256.0
    with pytest.raises(StepAside):
        step(rows)


@needs_kernel
@pytest.mark.parametrize("value", [0.5, 3.999])
def test_a_category_that_is_no_whole_number_is_missing(value):
    model = models.fitted("HistGradientBoosting, small categories")
    rows = np.zeros((2, models.N_COLUMNS))
    rows[1, models.CATEGORICAL[1]] = value
    assert np.array_equal(kernel_trees.step(read(model, "predict"))(rows), model.predict(rows))
    assert rows[1, models.CATEGORICAL[1]] == value


@needs_kernel
@pytest.mark.parametrize(
    "name", ["RandomForest, gaps", "GradientBoosting, texts", "HistGradientBoosting, small categories"]
)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_the_kernel_agrees_with_plain_python_or_stands_aside(name, data):
    numbers = st.one_of(st.floats(), st.sampled_from(SPECIAL), st.integers(-3, 300).map(float))
    rows = data.draw(arrays(np.float64, (3, models.N_COLUMNS), elements=numbers))
    ensemble = read(models.fitted(name), "predict_proba")
    try:
        answer = kernel_trees.step(ensemble)(rows)
    except StepAside:
        return
    assert is_same(answer, naive.step(ensemble)(rows))


def test_without_a_kernel_the_reason_is_the_kernels(monkeypatch):
    monkeypatch.setattr(kernels, "IS_BUILT", False)
    monkeypatch.setattr(kernels, "WHY_NOT", "there was no compiler")
    with pytest.raises(Unconvertible, match="there was no compiler"):
        kernel_trees.step(read(models.fitted("RandomForest, binary"), "predict"))


@needs_kernel
def test_an_ensemble_that_the_kernel_refuses_is_not_converted():
    ensemble = read(models.fitted("RandomForest, binary"), "predict")
    ensemble.threshold[0] = np.nan
    with pytest.raises(Unconvertible, match=r"the kernel does not take this ensemble: .*NaN"):
        kernel_trees.step(ensemble)


METHODS = ("predict", "predict_proba", "predict_log_proba", "apply")


@needs_kernel
def test_the_methods_of_a_forest_share_one_copy_of_it():
    model = models.fitted("RandomForest, texts")
    forests = [kernel_trees.forest_of(read(model, method)) for method in METHODS]
    assert len(set(forests)) == 1


@needs_kernel
def test_a_forest_that_is_made_already_is_not_read_again():
    model = models.fitted("RandomForest, texts")
    kept = kernel_trees.forest_of(read(model, "predict"))
    rows = np.ascontiguousarray(models.X[:50])
    for method in METHODS:
        ensemble = read(model, method)
        assert is_same(kernel_trees.step(ensemble)(rows), native(model, method, rows)), method
        with pytest.raises(AttributeError):
            object.__getattribute__(ensemble, "threshold")
    assert kept is kernel_trees.forest_of(read(model, "predict_proba"))


@needs_kernel
def test_leaves_alone_do_not_stand_for_the_forest():
    model = models.fitted("RandomForest, texts")
    leaves = kernel_trees.forest_of(read(model, "apply"))
    assert kernel_trees.forest_of(read(model, "predict")) is not leaves


@needs_kernel
def test_methods_of_any_ensemble_share_what_is_equal():
    model = models.fitted("HistGradientBoosting, binary")
    forests = {kernel_trees.forest_of(read(model, method)) for method in ("predict", "predict_proba")}
    assert len(forests) == 1


@needs_kernel
def test_a_forest_that_was_fitted_anew_is_another():
    rows, targets = models.X, models.BINARY
    model = RandomForestClassifier(3, random_state=0).fit(rows, targets)
    before = kernel_trees.forest_of(read(model, "predict"))
    model.fit(rows, 1 - targets)
    assert kernel_trees.forest_of(read(model, "predict")) is not before
    step = kernel_trees.step(read(model, "predict"))
    assert is_same(step(rows), model.predict(rows))


@needs_kernel
def test_a_step_keeps_neither_the_arrays_nor_a_forest_that_nobody_runs():
    ensemble = read(models.fitted("RandomForest, texts"), "predict")
    step = kernel_trees.step(ensemble)
    arrays_of = [weakref.ref(getattr(ensemble, name)) for name in ("threshold", "left", "values")]
    forest = weakref.ref(kernel_trees.forest_of(ensemble))
    del ensemble
    gc.collect()
    assert [array() for array in arrays_of] == [None, None, None]
    assert forest() is not None
    del step
    gc.collect()
    assert forest() is None
