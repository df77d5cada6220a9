"""What skl2onnx converts answers as the estimator does; for the rest there is one readable line."""

from __future__ import annotations

import logging
import sys
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor, RadiusNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, SplineTransformer, StandardScaler
from sklearn.svm import SVR
from tests.estimators import fitted_estimators

from demijohn.acceleration import onnx_convert
from demijohn.acceleration.engine import EXACT, StepAside, Unconvertible
from demijohn.runtimes import wrap

pytest.importorskip("skl2onnx")
METHODS = ("predict", "predict_proba", "decision_function", "transform", "score_samples")
FITTED = fitted_estimators()
#: Converted, and not the estimator: random rows show it, so parity refuses it.
UNLIKE = {("TunedThresholdClassifierCV", "predict")}  # its graph forgets the threshold


def calls():
    return [
        (name, method)
        for name, (estimator, _) in sorted(FITTED.items())
        for method in METHODS
        if hasattr(estimator, method)
    ]


def random_rows(matrix, n_rows=2_000):
    random = np.random.default_rng(3)
    if matrix.shape[1] == 1:
        return random.choice(matrix.ravel(), n_rows).reshape(-1, 1)
    return np.abs(random.normal(2.0, 1.0, (n_rows, matrix.shape[1])))


def native(estimator, method, rows):
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # what the estimator says of itself is not our matter here
        return getattr(estimator, method)(rows)


def step_or_why(estimator, method, n_features):
    try:
        return onnx_convert.step(estimator, method, n_features), ""
    except Unconvertible as error:
        return None, str(error)


def largest_error(answer, expected):
    """Relative to the value, or to the largest of its column; 1 for a label that differs."""
    assert answer.shape == expected.shape
    assert answer.dtype == expected.dtype
    if expected.dtype.kind != "f":
        return float((answer != expected).any())
    scale = np.maximum(np.abs(expected), np.abs(expected).max(axis=0))
    return float((np.abs(answer - expected) / np.where(scale == 0, 1, scale)).max())


@pytest.mark.parametrize(("name", "method"), calls())
def test_what_is_converted_answers_as_the_estimator_and_the_rest_says_why(name, method):
    estimator, matrix = FITTED[name]
    rows = random_rows(matrix)
    step, why = step_or_why(estimator, method, matrix.shape[1])
    if step is None:
        assert 10 < len(why) < 300
        assert "\n" not in why
        return
    if name == "CategoricalNB":
        rows = matrix  # it knows no other category
    error = largest_error(step(rows), native(estimator, method, rows))
    assert (error <= EXACT) == ((name, method) not in UNLIKE)
    assert largest_error(step(rows[:1]), native(estimator, method, rows[:1])) <= EXACT or error > EXACT


def test_the_common_estimators_are_converted():
    for name in ("LinearRegression", "LogisticRegression", "MLPClassifier", "KMeans", "GaussianNB", "PCA"):
        estimator, matrix = FITTED[name]
        for method in set(METHODS) & set(dir(estimator)) - {"score_samples"}:
            onnx_convert.step(estimator, method, matrix.shape[1])


@pytest.mark.parametrize("name", ["LogisticRegression", "MLPRegressor", "StandardScaler", "KMeans"])
def test_in_float32_answers_are_near(name):
    estimator, matrix = FITTED[name]
    rows = random_rows(matrix)
    for method in set(METHODS) & set(dir(estimator)) - {"predict", "score_samples"}:
        step = onnx_convert.step32(estimator, method, matrix.shape[1])
        assert 0 < largest_error(step(rows), native(estimator, method, rows)) < 1e-4


def test_a_forest_is_converted_in_float32_alone():
    forest, matrix = FITTED["RandomForestClassifier"]
    step = onnx_convert.step32(forest, "predict", matrix.shape[1])
    assert np.array_equal(step(matrix), forest.predict(matrix))
    with pytest.raises(Unconvertible, match="no float64 form of RandomForestClassifier"):
        onnx_convert.step(forest, "predict", matrix.shape[1])


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["no", "yes"]),
        np.array(["no", "yes"], object),
        np.array([False, True]),
        np.array([3, 7], "i4"),
    ],
    ids=lambda labels: str(labels.dtype),
)
def test_labels_come_in_the_dtype_of_the_estimators(labels):
    rows = np.random.default_rng(0).normal(size=(80, 3))
    model = LogisticRegression().fit(rows, labels[(rows[:, 0] > 0).astype(int)])
    answer, expected = onnx_convert.step(model, "predict", 3)(rows), model.predict(rows)
    assert answer.dtype == expected.dtype
    assert np.array_equal(answer, expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e31, -1e300])
def test_rows_that_are_not_finite_or_huge_are_the_estimators_to_answer(value):
    estimator, matrix = FITTED["LinearRegression"]
    rows = matrix.copy()
    for make in (onnx_convert.step, onnx_convert.step32):
        step = make(estimator, "predict", matrix.shape[1])
        step(rows)
        rows[-1, 5] = value
        with pytest.raises(StepAside, match="missing, infinite or huge"):
            step(rows)
        rows[-1, 5] = 1.0


def test_rows_are_not_written_to():
    estimator, matrix = FITTED["StandardScaler"]
    rows = matrix.copy()
    rows.flags.writeable = False
    onnx_convert.step(estimator, "transform", matrix.shape[1])(rows)
    assert np.array_equal(rows, matrix)


def test_trees_inside_are_found_too():
    rows = np.random.default_rng(0).normal(size=(60, 3))
    forest = CalibratedClassifierCV(RandomForestClassifier(3, random_state=0), cv=2)
    with pytest.raises(
        Unconvertible, match="no float64 form of CalibratedClassifierCV: TreeEnsembleClassifier"
    ):
        onnx_convert.step(forest.fit(rows, rows[:, 0] > 0), "predict_proba", 3)


def test_a_pipelines_last_step_is_asked_for_its_scores():
    rows = np.random.default_rng(0).normal(size=(60, 3))
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, rows[:, 0] > 0)
    step = onnx_convert.step(model, "decision_function", 3)
    assert largest_error(step(rows), model.decision_function(rows)) < EXACT


def test_large_models_are_not_converted(monkeypatch):
    rows = np.random.default_rng(0).normal(size=(1000, 20))
    model = KNeighborsRegressor().fit(rows, rows[:, 0])
    monkeypatch.setattr(onnx_convert, "MAX_FITTED_BYTES", 100_000)
    with pytest.raises(Unconvertible, match="KNeighborsRegressor holds 0 MiB, too much for a graph"):
        onnx_convert.step(model, "predict", 20)
    onnx_convert.step(LinearRegression().fit(rows, rows[:, 0]), "predict", 20)


def test_an_estimator_of_somebody_else_is_not_converted():
    class Doubled(LinearRegression):
        def predict(self, rows):
            return 2 * super().predict(rows)

    rows = np.eye(3)
    with pytest.raises(Unconvertible, match="skl2onnx does not know Doubled"):
        onnx_convert.step(Doubled().fit(rows, [1, 2, 3]), "predict", 3)


def test_a_method_that_no_graph_has_is_refused():
    estimator, matrix = FITTED["KMeans"]
    with pytest.raises(Unconvertible, match="skl2onnx has no score of KMeans"):
        onnx_convert.step(estimator, "score", matrix.shape[1])


def test_an_estimator_that_refuses_ones_is_not_converted():
    model = RadiusNeighborsClassifier(0.1).fit([[5.0], [7.0]], [0, 1])
    with pytest.raises(Unconvertible, match=r"refuses a row of ones, .*: No neighbors found"):
        onnx_convert.step(model, "predict", 1)


def test_converting_is_quiet(capfd, caplog):
    model = FITTED["GridSearchCV"][0]
    with caplog.at_level(logging.WARNING):
        onnx_convert.step(model, "predict", 12)
        with pytest.raises(Unconvertible):
            onnx_convert.step(SVR().fit(np.eye(3), [1, 2, 3]), "predict", 3)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


# Whole models on named columns ------------------------------------------------------------------


def table(n_rows=300, seed=0):
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age in years": random.normal(40.0, 9.0, n_rows),
            "pay": random.normal(size=n_rows),
            "city": random.choice(["Bern", "Rome", "Zürich"], n_rows),
            "children": random.integers(0, 4, n_rows),
        }
    )


def pipeline(final, labels, whole_numbers="category"):
    numbers, categories = ["age in years", "pay"], ["city"]
    (categories if whole_numbers == "category" else numbers).append("children")
    columns = ColumnTransformer(
        [("n", StandardScaler(), numbers), ("c", OneHotEncoder(handle_unknown="ignore"), categories)]
    )
    return make_pipeline(columns, final).fit(table(), labels)


def tensors_of(frame):
    return {name: frame[name].to_numpy(copy=True) for name in frame}


AGE = table()["age in years"].to_numpy()
CASES = [
    (pipeline(LogisticRegression(), np.where(AGE > 40, "old", "young"), "category"), "predict"),
    (pipeline(LogisticRegression(), AGE > 40, "quantity"), "predict_proba"),
    (pipeline(LogisticRegression(), AGE > 40, "category"), "decision_function"),
    (pipeline(Ridge(), AGE, "quantity"), "predict"),
]


@pytest.mark.parametrize(("model", "method"), CASES)
def test_a_whole_pipeline_takes_columns_of_numbers_and_texts(model, method):
    run = onnx_convert.whole(model, method, wrap(model, example=table()).signature)
    for n_rows in (1, 500):
        frame = table(n_rows, seed=1)
        assert largest_error(run(tensors_of(frame)), getattr(model, method)(frame)) < EXACT


@pytest.mark.parametrize(
    ("column", "value"),
    [("pay", np.nan), ("pay", 1e300), ("city", None), ("city", 3.5), ("city", "Paris"), ("children", 9)],
)
def test_cells_that_a_graph_has_no_opinion_of_are_the_models_to_answer(column, value):
    model, method = CASES[0]
    run = onnx_convert.whole(model, method, wrap(model, example=table()).signature)
    tensors = tensors_of(table(5))
    run(tensors)
    if column != "children":
        tensors[column] = tensors[column].astype(object if column == "city" else float)
    tensors[column][3] = value
    with pytest.raises(StepAside, match=column):
        run(tensors)


def test_a_method_that_the_signature_does_not_know_is_refused():
    model, _ = CASES[3]
    with pytest.raises(Unconvertible, match="skl2onnx has no predict_proba of Pipeline"):
        onnx_convert.whole(model, "predict_proba", wrap(model, example=table()).signature)


def test_a_column_of_instants_is_refused():
    model, method = CASES[0]
    signature = wrap(model, example=table()).signature
    odd = replace(
        signature, inputs=(replace(signature.inputs[0], dtype="datetime64[ns]"), *signature.inputs[1:])
    )
    with pytest.raises(
        Unconvertible, match=r"takes numbers and texts, and 'age in years' is datetime64\[ns\]"
    ):
        onnx_convert.whole(model, method, odd)


def test_a_pipeline_with_a_step_that_skl2onnx_does_not_know_is_refused():
    model = pipeline(LogisticRegression(), AGE > 40)
    model.steps.insert(1, ("more", SplineTransformer()))
    with pytest.raises(Unconvertible, match="skl2onnx does not know SplineTransformer"):
        onnx_convert.whole(model, "predict", wrap(CASES[0][0], example=table()).signature)


@pytest.mark.parametrize("package", ["skl2onnx", "onnxruntime"])
def test_without_a_package_the_reason_names_the_extra(monkeypatch, package):
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, package, None)
    estimator, matrix = FITTED["LinearRegression"]
    with pytest.raises(Unconvertible, match=rf"{package} is not installed: pip install 'demijohn\[accel\]'"):
        onnx_convert.step(estimator, "predict", matrix.shape[1])
