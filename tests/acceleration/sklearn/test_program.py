import threading
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, SplineTransformer, StandardScaler
from tests.acceleration.sklearn.comparing import NUMPY, answers_alike, steps_aside

from demijohn import kernels
from demijohn.acceleration import sklearn
from demijohn.acceleration.engine import Backend, Unconvertible
from demijohn.acceleration.sklearn import program
from demijohn.acceleration.trees import kernel_trees
from demijohn.acceleration.trees.ensemble import Ensemble
from demijohn.runtimes import wrap

RANDOM = np.random.default_rng(6)
MATRIX = RANDOM.normal(size=(150, 4))
LABELS = np.where(MATRIX[:, 0] > 0, "yes", "no")
FOREST = RandomForestClassifier(5, random_state=0, max_depth=3)


def trees_by_numpy(ensemble: Ensemble):
    """Run an ensemble node by node: slow, and simple enough to be right."""

    def leaf_of(row, node):
        while ensemble.left[node] >= 0:
            goes_left = row[ensemble.feature[node]] <= ensemble.threshold[node]
            node = ensemble.left[node] if goes_left else ensemble.right[node]
        return ensemble.values[ensemble.leaf[node]]

    def step(rows):
        seen = rows.astype(np.float32) if ensemble.casts_to_float32 else rows
        sums = np.tile(ensemble.start, (len(rows), 1))
        for index, row in enumerate(seen):
            for root, column in zip(ensemble.roots, ensemble.column, strict=True):
                sums[index, column : column + ensemble.width] += leaf_of(row, root)
        return ensemble.finish(sums)

    return step


SLOW_TREES = Backend("slow-trees", trees=trees_by_numpy)


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_a_forest_behind_a_scaler_runs_on_the_backend(method):
    model = make_pipeline(StandardScaler(), FOREST).fit(MATRIX, LABELS)
    engine, _ = answers_alike(model, MATRIX, method=method, backend=SLOW_TREES, tolerance=0)
    assert engine.name == "slow-trees"
    (part,) = engine.parts
    assert part.estimator is model[-1]
    assert part.method == method
    assert part.ensemble.n_features == 4


def test_numpy_has_no_trees():
    with pytest.raises(Unconvertible, match="made of trees"):
        program.build(wrap(FOREST.fit(MATRIX, LABELS)), "predict", NUMPY)


def test_an_engine_with_nothing_to_run_is_not_built():
    model = wrap(LogisticRegression().fit(MATRIX, LABELS))
    with pytest.raises(Unconvertible, match="nothing in it for slow-trees"):
        program.build(model, "predict", SLOW_TREES)


def test_the_last_estimator_is_converted_and_what_is_before_it_is_not():
    asked = []

    def others(estimator, method, n_features):
        asked.append((type(estimator).__name__, method, n_features))
        return getattr(estimator, method)

    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(MATRIX, LABELS)
    answers_alike(model, MATRIX, backend=Backend("others", others=others))
    search = GridSearchCV(make_pipeline(StandardScaler(), Ridge()), {"ridge__alpha": [1.0]})
    answers_alike(search.fit(MATRIX, MATRIX[:, 0]), MATRIX, backend=Backend("others", others=others))
    assert asked == [("LogisticRegression", "predict", 4), ("Ridge", "predict", 4)]


def test_what_cannot_be_converted_is_computed_by_numpy():
    def others(estimator, method, n_features):
        raise Unconvertible("never")

    with pytest.raises(Unconvertible, match="nothing in it for others"):
        program.build(
            wrap(LogisticRegression().fit(MATRIX, LABELS)), "predict", Backend("others", others=others)
        )


def test_request_and_answer_share_no_memory():
    model = StandardScaler(with_mean=False, with_std=False).fit(MATRIX)
    engine, _ = answers_alike(model, MATRIX, method="transform")
    rows = MATRIX[:3].copy()
    assert not np.shares_memory(engine.run({"inputs": rows})["transform"], rows)


def test_a_dataframe_as_result_is_the_frameworks():
    frame = pd.DataFrame(MATRIX, columns=list("abcd"))
    model = StandardScaler().set_output(transform="pandas").fit(frame)
    with pytest.raises(Unconvertible, match="returns a DataFrame"):
        program.build(wrap(model), "transform", NUMPY)


def test_no_warning_is_written():
    model = make_pipeline(FunctionTransformer(np.log), StandardScaler()).fit(np.abs(MATRIX))
    engine = program.build(wrap(model), "transform", NUMPY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert steps_aside(engine, {"inputs": np.zeros((1, 4))})


def test_many_threads_may_run_it():
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(MATRIX, LABELS)
    engine = program.build(wrap(model), "predict_proba", NUMPY)
    wanted = [engine.run({"inputs": MATRIX[i : i + 1]})["predict_proba"] for i in range(50)]
    wrong = []

    def ask():
        for _ in range(5):
            for i in range(50):
                got = engine.run({"inputs": MATRIX[i : i + 1]})["predict_proba"]
                if not np.array_equal(got, wanted[i]):
                    wrong.append(i)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_native_head_may_not_ask_for_processes_or_make_too_many_columns(monkeypatch):
    columns = ColumnTransformer([("s", SplineTransformer(degree=0), [0, 1])], n_jobs=2)
    with pytest.raises(Unconvertible, match="asks for processes"):
        program.build(wrap(make_pipeline(columns, Ridge()).fit(MATRIX, MATRIX[:, 0])), "predict", NUMPY)
    monkeypatch.setattr(program, "_WIDEST", 5)
    model = make_pipeline(SplineTransformer(extrapolation="linear"), Ridge()).fit(MATRIX, MATRIX[:, 0])
    with pytest.raises(Unconvertible, match="makes 28 columns"):
        program.build(wrap(model), "predict", NUMPY)


def test_what_the_head_refuses_is_the_frameworks_to_refuse():
    model = make_pipeline(SplineTransformer(degree=0, extrapolation="error"), Ridge()).fit(
        MATRIX, MATRIX[:, 0]
    )
    engine, _ = answers_alike(model, MATRIX)
    assert steps_aside(engine, {"inputs": np.full((1, 4), 1e6)})


def test_a_sparse_head_is_made_dense():
    model = make_pipeline(SplineTransformer(sparse_output=True), Ridge()).fit(MATRIX, MATRIX[:, 0])
    engine, _ = answers_alike(model, MATRIX)
    assert not engine.is_whole


@pytest.mark.skipif(not kernels.IS_BUILT, reason="there is no compiled kernel")
def test_a_histogram_booster_of_texts_runs_whole():
    frame = pd.DataFrame({
        "n": MATRIX[:, 0], "t": np.array(["a", "b", "c", None], dtype=object)[np.arange(150) % 4],
    }).astype({"t": "category"})  # fmt: skip
    model = HistGradientBoostingRegressor(max_iter=5, categorical_features="from_dtype")
    model.fit(frame, MATRIX[:, 1] + (frame.t == "a"))
    backend = Backend("kernel", trees=kernel_trees.step)
    engine, _ = answers_alike(model, frame, backend=backend, example=frame, tolerance=0)
    assert engine.is_whole
    (part,) = engine.parts
    encoded = np.array([[0.0, 0.5], [np.nan, -0.5]])
    np.testing.assert_array_equal(part.step(encoded), part.estimator.predict(encoded))
    assert model._preprocessor is not None, "the model itself is as it was"


def test_candidates_are_named_by_what_is_inside():
    def names(model, *, is_fast=False):
        return [
            one.engine for one in sklearn.candidates(wrap(model), is_fast=is_fast) if one.method == "predict"
        ]

    linear, forest = LogisticRegression().fit(MATRIX, LABELS), FOREST.fit(MATRIX, LABELS)
    assert names(linear) == ["kernel", "numpy", "onnx", "unchecked"]
    assert names(linear, is_fast=True) == ["kernel", "numpy", "onnx", "unchecked", "onnx-float32"]
    assert names(forest) == ["kernel", "onnx", "treelite"]
    numpy_of_linear = sklearn.candidates(wrap(linear), is_fast=False)[1].build()
    assert numpy_of_linear.name == "numpy"
    assert numpy_of_linear.is_whole


def test_an_unknown_category_among_known_ones_is_left_to_the_framework():
    frame = pd.DataFrame({"t": ["a", "b"] * 20})
    model = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(frame, np.arange(40) % 2)
    engine, _ = answers_alike(model, frame)
    assert steps_aside(engine, {"t": np.array(["a", "z"], dtype=object)})
