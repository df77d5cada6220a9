"""One version of one model: the way of a prediction, and what becomes of what a model raises."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from sklearn.cluster import Birch
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import FunctionTransformer

from demijohn.config import Settings
from demijohn.errors import (
    BadInput,
    MethodNotFound,
    ModelError,
    ModelRefused,
    NotReady,
    ParameterMismatch,
    SignatureMismatch,
)
from demijohn.lifecycle import Lifecycle
from demijohn.messages import InferenceRequest, Rows
from demijohn.predictor import PROBE_ROWS, Predictor
from demijohn.runtimes import wrap

FEATURES, PROGRESS = load_diabetes(return_X_y=True)
REGRESSION = LinearRegression().fit(FEATURES, PROGRESS)


def predictor(model: Any = REGRESSION, *, joins: bool | None = None, **settings: Any) -> Predictor:
    return Predictor("m", "1", wrap(model), Settings(**settings), Lifecycle(), batching=joins)


def ask(predictor: Predictor, rows: Any, method: str = "predict", **parameters: Any) -> Any:
    return predictor.predict(method, InferenceRequest(Rows(rows), parameters), time.monotonic() + 30)


def raising(error: BaseException) -> Any:
    """Return an estimator whose ``transform`` raises."""

    def fail(X: Any) -> Any:  # noqa: N803
        raise error

    return FunctionTransformer(fail).fit(np.ones((2, 2)))


def test_the_answer_is_the_estimators_own() -> None:
    response = ask(predictor(), FEATURES[:3].tolist())
    assert (response.outputs["predict"] == REGRESSION.predict(FEATURES[:3])).all()
    assert (response.model, response.version, response.method, response.n_rows) == ("m", "1", "predict", 3)
    assert response.classes is None


@pytest.mark.parametrize(
    "method",
    [
        "fit",
        "set_params",
        "get_params",
        "__class__",
        "__reduce__",
        "_decision_function",
        "coef_",
        "score",
        "",
        "run",
    ],
)
def test_a_method_that_is_no_prediction_is_not_found(method: str) -> None:
    with pytest.raises(MethodNotFound, match="it has: predict"):
        ask(predictor(), FEATURES[:1].tolist(), method)


def test_a_parameter_that_the_method_does_not_take_is_refused() -> None:
    with pytest.raises(ParameterMismatch, match="it takes: none"):
        ask(predictor(), FEATURES[:1].tolist(), sample_weight=1)


def test_rows_that_do_not_fit_are_refused_before_the_model_sees_them() -> None:
    with pytest.raises(SignatureMismatch):
        ask(predictor(), [["text"] * 10])


@pytest.mark.parametrize("state", ["loading", "failed"])
def test_a_model_that_is_not_ready_says_so(state: Any) -> None:
    model = predictor()
    model.state = state
    with pytest.raises(NotReady, match=state) as raised:
        ask(model, FEATURES[:1].tolist())
    assert raised.value.headers["Retry-After"]


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("no\nTraceback: secret", "no"),
        ("cannot open /home/someone/model.pkl here", "cannot open … here"),
        ("see 'C:\\Users\\me\\data.csv'", "see '…'"),
        ("file:///etc/passwd", "file://…"),
        ("n_samples/n_features is 1/2", "n_samples/n_features is 1/2"),
        ("", "ValueError"),
        ("x" * 1_000, "x" * 300),
    ],
)
def test_a_refusal_says_the_models_first_line_without_paths(text: str, detail: str) -> None:
    with pytest.raises(ModelRefused) as raised:
        ask(predictor(raising(ValueError(text))), [[1.0, 2.0]], "transform")
    assert raised.value.detail == detail


def test_a_type_error_is_a_refusal_too() -> None:
    with pytest.raises(ModelRefused):
        ask(predictor(raising(TypeError("no"))), [[1.0, 2.0]], "transform")


@pytest.mark.parametrize(
    "error", [RuntimeError, KeyError, MemoryError, OSError, RecursionError, ZeroDivisionError]
)
def test_any_other_error_is_a_failure_of_which_only_the_class_is_told(error: type[Exception]) -> None:
    with pytest.raises(ModelError) as raised:
        ask(predictor(raising(error("/etc/secret"))), [[1.0, 2.0]], "transform")
    assert raised.value.detail == f"The model failed with {error.__name__}"


def test_an_error_of_ours_passes_as_it_is() -> None:
    with pytest.raises(BadInput, match="mine"):
        ask(predictor(raising(BadInput("mine"))), [[1.0, 2.0]], "transform")


# Proof ------------------------------------------------------------------------------------


def test_a_method_that_treats_rows_one_by_one_is_joined() -> None:
    model = predictor()
    model.prove()
    assert model.not_joined == {}
    assert model.plan()["kept_alone"] == {}


def test_a_method_that_mixes_rows_is_kept_alone() -> None:
    mixes = FunctionTransformer(lambda rows: rows - rows.mean(axis=0)).fit(np.ones((2, 2)))
    model = predictor(mixes)
    model.prove()
    assert "transform" in model.not_joined


def test_a_method_that_mixes_rows_of_whole_numbers_is_caught_by_one_example_row() -> None:
    mixes = FunctionTransformer(lambda rows: rows[::-1]).fit(np.ones((2, 2)))
    model = Predictor("m", "1", wrap(mixes, example=np.array([[3, 4]])), Settings(), Lifecycle())
    assert model.signature.inputs[0].dtype == "int64"
    model.prove()
    assert "transform" in model.not_joined


def test_a_model_that_fails_on_probe_rows_is_kept_alone() -> None:
    model = predictor(raising(ValueError("no")))
    model.prove()
    assert model.not_joined == {"transform": "the probe rows failed: no"}


def test_an_estimator_whose_batches_differ_from_its_rows_still_answers_alone() -> None:
    model = predictor(Birch(threshold=0.01, n_clusters=2).fit(FEATURES[:50]))
    model.prove()
    assert ask(model, FEATURES[:2].tolist()).n_rows == 2


@pytest.mark.parametrize(
    ("options", "joins"), [({"batching": False}, None), ({"max_batch_size": 1}, None), ({}, False)]
)
def test_batching_may_be_off(options: dict[str, Any], joins: bool | None) -> None:
    model = predictor(joins=joins, **options)
    model.prove()
    assert model.not_joined == {"predict": "batching is off"}


def test_a_model_may_join_where_the_server_does_not() -> None:
    model = predictor(joins=True, batching=False)
    model.prove()
    assert model.not_joined == {}


def test_a_function_is_never_called_to_prove_anything() -> None:
    calls = []

    def scalar(x: float) -> float:
        calls.append(x)
        return x

    def whole(rows: np.ndarray) -> Any:  # type: ignore[type-arg]
        calls.append(rows)
        return rows[:, 0]

    for function in (scalar, whole):
        model = predictor(function)
        model.prove()
        assert model.not_joined == {"predict": "the function does not take the rows of several requests"}
    assert calls == []


def test_the_proof_is_given_once() -> None:
    rows: list[int] = []

    def count(X: Any) -> Any:  # noqa: N803
        rows.append(len(X))
        return X

    model = predictor(FunctionTransformer(count).fit(np.ones((2, 2))))
    rows.clear()
    model.prove()
    model.prove()
    assert rows == [PROBE_ROWS, *[1] * PROBE_ROWS]


def test_two_threads_do_not_prove_the_same() -> None:
    entered, go_on = threading.Event(), threading.Event()

    def hold(X: Any) -> Any:  # noqa: N803
        if is_held:
            entered.set()
            go_on.wait(10)
        return X

    is_held = False
    model = predictor(FunctionTransformer(hold).fit(np.ones((2, 2))))
    is_held = True
    thread = threading.Thread(target=model.prove)
    thread.start()
    assert entered.wait(10)
    model.prove()  # returns at once
    is_held = False
    go_on.set()
    thread.join(10)
    assert model.not_joined == {}


def test_the_plan_names_the_framework_itself_as_the_engine_of_every_method() -> None:
    plan = predictor().plan()
    assert plan["state"] == "settled"
    assert plan["methods"] == {"predict": [{"up_to_rows": None, "engine": "native", "us": None}]}
    assert plan["refused"] == []


def test_a_method_can_be_run_outside_the_queue() -> None:
    assert predictor().run_alone("predict", {"inputs": FEATURES[:2]})["predict"].shape == (2,)
