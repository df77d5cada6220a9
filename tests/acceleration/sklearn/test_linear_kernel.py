"""The room ``acceleration/sklearn/linear_kernel.py``."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import (
    Lasso,
    LinearRegression,
    LogisticRegression,
    MultiTaskLasso,
    Perceptron,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import LinearSVC, LinearSVR
from tests.acceleration.sklearn.comparing import repeated, same, steps_aside, tensors_of
from tests.estimators import fitted_estimators

from demijohn import kernels
from demijohn.acceleration import edges, parity
from demijohn.acceleration.engine import Unconvertible
from demijohn.acceleration.sklearn import candidates, linear_kernel, program
from demijohn.messages import Records, Tensors
from demijohn.probes import draw, rows_or_records
from demijohn.runtimes import wrap

pytestmark = pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)

RANDOM = np.random.default_rng(5)
ROWS = RANDOM.normal(size=(90, 7)) * np.array([1, 10, 100, 0.1, 1, 1, 5]) + 2
ONE = ROWS @ RANDOM.normal(size=7) + 3
SEVERAL = ROWS @ RANDOM.normal(size=(7, 3)) + RANDOM.normal(size=3)
TWO = np.where(ROWS[:, 0] + ROWS[:, 4] > 4, "yes", "no")
THREE = RANDOM.integers(0, 3, size=90) * 7
TRUTHS = ROWS[:, 0] > 2

MODELS: dict[str, Any] = {
    "regression": LinearRegression().fit(ROWS, ONE),
    "no intercept": LinearRegression(fit_intercept=False).fit(ROWS, ONE),
    "several outputs": LinearRegression().fit(ROWS, SEVERAL),
    "one output in a column": Ridge().fit(ROWS, ONE[:, None]),
    "one column": LinearRegression().fit(ROWS[:, :1], ONE),
    "zeros among the weights": Lasso(alpha=5.0).fit(ROWS, ONE),
    "nothing but an intercept": Lasso(alpha=1e9).fit(ROWS, ONE),
    "rows of zeros": MultiTaskLasso(alpha=50.0).fit(ROWS, SEVERAL),
    "float32": LinearRegression().fit(ROWS.astype(np.float32), ONE.astype(np.float32)),
    "scaled regression": make_pipeline(StandardScaler(), LinearSVR(max_iter=100_000)).fit(ROWS, ONE),
    "scaled descent": make_pipeline(RobustScaler(), SGDRegressor(random_state=0)).fit(ROWS, ONE),
    "scaled logistic": make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, TWO),
    "of three": make_pipeline(RobustScaler(), LogisticRegression()).fit(ROWS, THREE),
    "of truths": make_pipeline(MaxAbsScaler(), LogisticRegression()).fit(ROWS, TRUTHS),
    "not centred": make_pipeline(StandardScaler(with_mean=False), LogisticRegression()).fit(ROWS, TWO),
    "not divided": make_pipeline(RobustScaler(with_scaling=False), Perceptron()).fit(ROWS, THREE),
    "not scaled": make_pipeline(StandardScaler(with_mean=False, with_std=False), LinearSVC()).fit(ROWS, TWO),
    "passed through": Pipeline([
        ("nothing", "passthrough"), ("scale", StandardScaler()), ("model", LogisticRegression()),
    ]).fit(ROWS, THREE),
    "searched": GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression()), {"logisticregression__C": [0.1, 1.0]}
    ).fit(ROWS, TWO),
    "discriminant": LinearDiscriminantAnalysis().fit(ROWS, THREE),
    "discriminant of two": LinearDiscriminantAnalysis().fit(ROWS, TWO),
    "ridge": RidgeClassifier().fit(ROWS, THREE),
    "descent": make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss", random_state=0)).fit(ROWS, TWO),
}  # fmt: skip
build = partial(linear_kernel.build, gives_numbers=True)
METHODS = ("predict", "decision_function", "predict_proba")
EACH = [(name, method) for name, model in MODELS.items() for method in METHODS if hasattr(model, method)]


def counting(engine: Any, monkeypatch: pytest.MonkeyPatch) -> list[Tensors]:
    """Count the calls that a kernel engine leaves to the steps of numpy."""
    left: list[Tensors] = []
    own = program.Program.run

    def run(self: program.Program, tensors: Tensors) -> Tensors:
        left.append(tensors)
        return own(self, tensors)

    monkeypatch.setattr(program.Program, "run", run)
    return left


def rows_for(model: Any) -> Any:
    return ROWS[:, : getattr(model, "n_features_in_", 7)]  # a pipeline that begins with nothing has none


@pytest.mark.parametrize(("name", "method"), EACH)
def test_answers_are_the_frameworks_in_names_shapes_and_types(
    name: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = wrap(MODELS[name])
    engine = build(runtime, method)
    left = counting(engine, monkeypatch)
    for n_rows in (1, 2, 8, 64, 1000):
        tensors = tensors_of(runtime, repeated(rows_for(MODELS[name]), n_rows))
        same(engine.run(tensors), runtime.run(method, tensors, {}))
    assert (engine.name, engine.is_whole, engine.parts) == ("kernel", True, ())
    assert len(left) <= 1 or name in {"rows of zeros"}, "the kernel itself is sure of ordinary rows"


@pytest.mark.parametrize(("name", "method"), EACH)
def test_parity_accepts_it(name: str, method: str) -> None:
    runtime = wrap(MODELS[name])
    example = list(runtime.example_rows())

    def drawn(n_rows: int, seed: int, _: str | None = None) -> Tensors:
        return dict(draw(runtime.signature, example, n_rows, seed))

    sets = edges.probe_sets(
        runtime.signature, runtime.signature.validate(rows_or_records(example)), drawn, n_ordinary=500
    )
    engine = build(runtime, method)
    verdict = parity.judge(engine, lambda tensors: runtime.run(method, tensors, {}), sets, budget_s=0.5)
    assert verdict.why_not is None


@pytest.mark.parametrize("name", MODELS)
def test_an_answer_shares_no_memory_with_the_request_the_model_or_another(name: str) -> None:
    runtime = wrap(MODELS[name])
    engine = build(runtime, "predict")
    tensors = tensors_of(runtime, rows_for(MODELS[name])[:1])
    (first,), (second,) = engine.run(tensors).values(), engine.run(tensors).values()
    arrays = [
        second,
        *tensors.values(),
        *(getattr(MODELS[name], key, first[:0]) for key in ("classes_", "coef_")),
    ]
    assert not any(np.shares_memory(first, array) for array in arrays)
    assert first.flags.writeable


@pytest.mark.parametrize("name", ["regression", "scaled logistic", "of three", "several outputs"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_the_frameworks(name: str, value: float) -> None:
    for method in METHODS:
        if hasattr(MODELS[name], method):
            engine = build(wrap(MODELS[name]), method)
            for n_rows in (1, 3):
                rows = ROWS[:n_rows].copy()
                rows[-1, 3] = value
                assert steps_aside(engine, {"inputs": rows})


def test_rows_of_another_layout_are_answered_by_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = wrap(MODELS["scaled logistic"])
    engine = build(runtime, "predict")
    left = counting(engine, monkeypatch)
    for rows in (np.asfortranarray(ROWS), np.repeat(ROWS, 2, axis=1)[:, ::2], ROWS.astype(">f8")):
        same(engine.run({"inputs": rows}), runtime.run("predict", {"inputs": ROWS}, {}))
    assert len(left) == 3


# Where the last bits decide -----------------------------------------------------------------------


def binary(coef: Any, intercept: float) -> LogisticRegression:
    model = LogisticRegression()
    model.coef_, model.intercept_ = np.atleast_2d(coef).astype(float), np.array([intercept])
    model.classes_, model.n_features_in_ = np.array(["no", "yes"]), model.coef_.shape[1]
    return model


def on_the_border(coef: Any, row: Any) -> Any:
    """Move a row onto the plane where the score is zero, but for the last bits."""
    return row - coef * (row @ coef) / (coef @ coef)


@settings(max_examples=100, deadline=None)
@given(n_features=st.integers(2, 40), n_rows=st.integers(1, 9), seed=st.integers(0, 2**32 - 1))
def test_labels_of_rows_on_the_border_are_the_frameworks(n_features: int, n_rows: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    coef = random.normal(size=n_features)
    model = binary(coef, 0.0)
    rows = np.array([on_the_border(coef, row) for row in random.normal(size=(n_rows, n_features))])
    runtime = wrap(model, example=rows)
    for method in METHODS:
        engine = build(runtime, method)
        tensors = {"inputs": rows}
        same(engine.run(tensors), runtime.run(method, tensors, {}))


def test_a_label_that_hangs_on_the_last_bits_is_numpys(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = wrap(binary([1.0, 1.0], 0.0), example=[[1.0, 2.0]])
    engine = build(runtime, "predict")
    left = counting(engine, monkeypatch)
    for second, n_left in ((-1.0, 1), (-1.0 + 2**-53, 2), (-1.0 + 1e-12, 2), (0.0, 2)):
        rows = np.array([[1.0, second]])
        assert engine.run({"inputs": rows})["predict"].tolist() == [("yes" if second > -1.0 else "no")]
        assert len(left) == n_left
    many = np.ones((5, 2))
    many[3, 1] = -1.0
    assert engine.run({"inputs": many})["predict"].tolist() == ["yes", "yes", "yes", "no", "yes"]
    assert len(left) == 3


def test_the_first_of_two_equal_classes_is_the_label() -> None:
    model = LogisticRegression()
    model.coef_, model.intercept_ = np.zeros((4, 2)), np.array([0.0, 1.0, 1.0, -1.0])
    model.classes_, model.n_features_in_ = np.array([3, 5, 7, 9]), 2
    engine = build(wrap(model, example=[[1.0, 2.0]]), "predict")
    for n_rows in (1, 4):
        assert engine.run({"inputs": np.ones((n_rows, 2))})["predict"].tolist() == [5] * n_rows


@settings(max_examples=100, deadline=None)
@given(
    n_features=st.integers(1, 40),
    n_outputs=st.integers(0, 11),
    n_rows=st.integers(1, 70),
    zeros=st.floats(0, 1),
    spread=st.floats(0, 30),
    scaler=st.sampled_from([None, StandardScaler(), RobustScaler(), MaxAbsScaler()]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_regression_answers_as_the_framework_does(
    n_features: int, n_outputs: int, n_rows: int, zeros: float, spread: float, scaler: Any, seed: int
) -> None:
    random = np.random.default_rng(seed)
    shape = (n_outputs, n_features) if n_outputs else (n_features,)
    model = LinearRegression()
    model.coef_ = random.normal(size=shape) * (random.random(shape) >= zeros)
    model.intercept_ = random.normal(size=n_outputs) if n_outputs else float(random.normal())
    model.n_features_in_ = n_features
    rows = random.normal(size=(n_rows, n_features)) * 10 ** random.uniform(-spread, spread, size=n_features)
    if scaler is not None:
        model = Pipeline([("scaler", scaler.fit(rows)), ("model", model)])
    runtime = wrap(model, example=rows)
    engine = build(runtime, "predict")
    same(engine.run({"inputs": rows}), runtime.run("predict", {"inputs": rows}, {}))


# Tables, and other numbers ------------------------------------------------------------------------

FRAME = pd.DataFrame(ROWS[:, [0, 2, 4]], columns=["a", "b", "c"]).assign(count=np.arange(90))


def test_a_table_of_numbers_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME, TWO)
    runtime = wrap(model)
    for method in METHODS:
        engine = build(runtime, method)
        left = counting(engine, monkeypatch)
        for n_rows in (1, 5, 80):
            records = Records(FRAME.iloc[:n_rows].to_dict("records"))
            tensors = runtime.signature.validate(records)
            same(engine.run(tensors), runtime.run(method, tensors, {}))
        assert not left


def test_whole_numbers_are_answered() -> None:
    whole = RANDOM.integers(-5, 5, size=(50, 3))
    runtime = wrap(Ridge().fit(whole, whole.sum(axis=1)), example=whole[:5])
    engine = build(runtime, "predict")
    for n_rows in (1, 30):
        tensors = {"inputs": whole[:n_rows]}
        same(engine.run(tensors), runtime.run("predict", tensors, {}))
    assert steps_aside(engine, {"inputs": np.full((1, 3), 2**60)})


# What is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "method"), EACH)
def test_only_labels_are_its_own_unless_speed_comes_first(name: str, method: str) -> None:
    runtime = wrap(MODELS[name])
    (exact,) = (
        one for one in candidates(runtime, is_fast=False) if (one.engine, one.method) == ("kernel", method)
    )
    (fast,) = (
        one for one in candidates(runtime, is_fast=True) if (one.engine, one.method) == ("kernel", method)
    )
    assert fast.build().name == "kernel"
    if method == "predict" and hasattr(MODELS[name], "classes_"):
        assert exact.build().name == "kernel"
    else:
        with pytest.raises(Unconvertible, match="for --fast"):
            exact.build()


class OwnRegression(LinearRegression):
    """A regression that answers otherwise."""

    def predict(self, rows: Any) -> Any:
        return super().predict(rows) + 1


def multilabel() -> RidgeClassifier:
    return RidgeClassifier().fit(ROWS, np.column_stack([TRUTHS, ~TRUTHS, THREE > 6]).astype(int))


def scaled(*steps: Any) -> Any:
    return make_pipeline(*steps).fit(ROWS, TWO)


REFUSED = {
    "another model": (GaussianNB().fit(ROWS, TWO), "predict", "none of a linear model"),
    "another method": (MODELS["scaled logistic"], "predict_log_proba", "none of a linear model"),
    "a scaler": (StandardScaler().fit(ROWS), "transform", "none of a linear model"),
    "nothing": (Pipeline([("a", "passthrough")]).fit(ROWS), "transform", "none of a linear model"),
    "another step": (
        scaled(SelectKBest(f_classif, k=2), LogisticRegression()),
        "predict",
        "SelectKBest before it",
    ),
    "two steps": (
        scaled(StandardScaler(), PolynomialFeatures(), LogisticRegression()),
        "predict",
        "PolynomialFeatures before it",
    ),
    "clipping": (scaled(MaxAbsScaler(clip=True), LogisticRegression()), "predict", "MaxAbsScaler clips"),
    "another scaler": (scaled(MinMaxScaler(), LogisticRegression()), "predict", "MinMaxScaler before it"),
    "a function before it": (
        scaled(FunctionTransformer(np.sign), LogisticRegression()),
        "predict",
        "FunctionTransformer before it",
    ),
    "a predict of one's own": (OwnRegression().fit(ROWS, ONE), "predict", "a predict of its own"),
    "several labels": (multilabel(), "predict", "several labels"),
    "one against the rest": (
        SGDClassifier(loss="log_loss", random_state=0).fit(ROWS, THREE),
        "predict_proba",
        "two classes only",
    ),
    "another loss": (
        SGDClassifier(loss="modified_huber", random_state=0).fit(ROWS, TWO),
        "predict_proba",
        "modified_huber",
    ),
    "a sparse solution": (LogisticRegression().fit(ROWS, TWO).sparsify(), "predict", "csr_"),
}


@pytest.mark.parametrize(("model", "method", "why"), REFUSED.values(), ids=list(REFUSED))
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_is_no_scaled_linear_model_is_refused_in_one_line(model: Any, method: str, why: str) -> None:
    with pytest.raises(Unconvertible, match=why) as refusal:
        build(wrap(model, example=ROWS[:3]), method)
    assert "\n" not in str(refusal.value)


def test_a_scaler_that_is_a_subclass_with_another_transform_is_refused() -> None:
    class Own(StandardScaler):
        def transform(self, rows: Any, copy: Any = None) -> Any:
            return super().transform(rows, copy=copy) * 2

    model = make_pipeline(Own(), LogisticRegression()).fit(ROWS, TWO)
    with pytest.raises(Unconvertible, match="the framework runs the steps before it"):
        build(wrap(model), "predict")


def test_weights_of_several_classes_and_labels_of_others_are_refused() -> None:
    model = LinearDiscriminantAnalysis().fit(ROWS, THREE)
    model.classes_ = model.classes_[:2]
    runtime = wrap(model)
    for method in ("predict", "predict_proba"):
        with pytest.raises(Unconvertible, match="for 2 classes"):
            build(runtime, method)


def test_several_outputs_of_what_has_one_are_refused() -> None:
    model = SGDRegressor(random_state=0).fit(ROWS, ONE)
    model.coef_ = np.stack([model.coef_, model.coef_])
    with pytest.raises(Unconvertible, match="2 scores where one is expected"):
        build(wrap(model), "predict")


def test_a_large_model_is_not_held_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_kernel, "MAX_WEIGHT_BYTES", 8)
    with pytest.raises(Unconvertible, match="weights, too many"):
        build(wrap(MODELS["regression"]), "predict")


def test_without_the_kernels_the_operator_reads_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "IS_BUILT", False)
    monkeypatch.setattr(kernels, "WHY_NOT", "no compiler")
    with pytest.raises(Unconvertible, match="no compiler"):
        build(wrap(MODELS["regression"]), "predict")


@pytest.mark.parametrize("name", sorted(linear_kernel._METHODS))
def test_each_estimator_of_the_table_is_answered(name: str) -> None:
    estimator, like = fitted_estimators()[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some are deprecated
        runtime = wrap(estimator)
        for method in set(runtime.methods) & set(linear_kernel._METHODS[name]) - {"predict_proba"}:
            engine = build(runtime, method)
            for n_rows in (1, 50):
                tensors = {"inputs": np.ascontiguousarray(like[:n_rows], dtype=float)}
                same(engine.run(tensors), runtime.run(method, tensors, {}))
