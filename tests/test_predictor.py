"""One version of one model: the way of a prediction, and what becomes of what a model raises."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.cluster import Birch
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsRegressor
from sklearn.preprocessing import FunctionTransformer
from tests.accelerated import Line, engines_of, offer, whys

from demijohn.acceleration.plan import Chosen, MethodPlan, Range
from demijohn.batching.observer import Silence
from demijohn.config import Settings
from demijohn.errors import (
    BadInput,
    ConfigurationError,
    ConnectionFailed,
    DemijohnError,
    KeyMissing,
    LoadError,
    MethodNotFound,
    ModelError,
    ModelRefused,
    NotReady,
    ParameterMismatch,
    QueueFull,
    SignatureMismatch,
)
from demijohn.lifecycle import Lifecycle
from demijohn.messages import InferenceRequest, Rows
from demijohn.planning import PROBE_ROWS, settle_in_background
from demijohn.predictor import Predictor
from demijohn.runtimes import wrap

FEATURES, PROGRESS = load_diabetes(return_X_y=True)
REGRESSION = LinearRegression().fit(FEATURES, PROGRESS)


@pytest.fixture(autouse=True)
def own_plans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep no plan from one test to the next."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


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


@pytest.mark.parametrize(
    "error", [LoadError, ConfigurationError, ConnectionFailed, KeyMissing, DemijohnError]
)
def test_an_error_of_ours_that_is_not_about_the_call_is_a_failure_too(error: type[DemijohnError]) -> None:
    """A function that loads a file or asks another server meets these."""
    with pytest.raises(ModelError) as raised:
        ask(predictor(raising(error("/etc/secret: there is no such file"))), [[1.0, 2.0]], "transform")
    assert raised.value.detail == f"The model failed with {error.__name__}"


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


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("no"), "no"),
        (ValueError("no\nsecret"), "no"),
        (ValueError(), "ValueError"),
        (ValueError("see /etc/model"), "ValueError"),
        (KeyError("no"), "KeyError"),
    ],
)
def test_a_model_that_fails_on_probe_rows_is_kept_alone(error: Exception, told: str) -> None:
    model = predictor(raising(error))
    model.prove()
    assert model.not_joined == {"transform": f"the probe rows failed: {told}"}


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


def test_a_plan_names_the_framework_as_the_engine_until_another_is_proved() -> None:
    plan = predictor().plan()
    assert plan["state"] == "proving"
    assert plan["methods"] == {"predict": [{"up_to_rows": None, "engine": "native", "us": None}]}
    assert plan["refused"] == []


def test_a_method_can_be_run_outside_the_queue() -> None:
    assert predictor().run_alone("predict", {"inputs": FEATURES[:2]})["predict"].shape == (2,)


# Engines ----------------------------------------------------------------------------------


class Ledger(Silence):
    """An observer that writes down the calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int, int]] = []

    def call_finished(
        self, method: str, n_rows: int, n_requests: int, duration_s: float, waited_s: float = 0.0
    ) -> None:
        assert duration_s >= 0
        self.calls.append((method, n_rows, n_requests))


def accelerated(
    engine: Line, *ranges: tuple[int | None, str], observer: Any = None, model: Any = REGRESSION
) -> Predictor:
    """Return a predictor whose plan is made: ``engine`` for all rows, or as the ranges say."""
    made = Predictor("m", "1", wrap(model), Settings(), Lifecycle(), observer)
    named = ranges or ((None, engine.name),)
    plan = MethodPlan(tuple(Range(rows, name, 1.0) for rows, name in named))
    made._engines.take("predict", Chosen(plan, {engine.name: engine}))
    return made


def noting(engine: Line, threads: list[str]) -> Line:
    def note(rows: Any) -> None:
        threads.append(threading.current_thread().name)

    engine.fault = note
    return engine


def test_a_whole_engine_runs_in_the_requests_own_thread_and_is_counted() -> None:
    threads: list[str] = []
    ledger = Ledger()
    model = accelerated(noting(Line(), threads), observer=ledger)
    response = ask(model, FEATURES[:3].tolist())
    assert response.outputs["predict"] == pytest.approx(REGRESSION.predict(FEATURES[:3]), rel=1e-12)
    assert (response.model, response.version, response.method, response.n_rows) == ("m", "1", "predict", 3)
    assert threads == [threading.current_thread().name]
    assert response.inference_s is not None
    assert ledger.calls == []  # whoever answers the request counts it with the rest
    model.count(response)
    assert ledger.calls == [("predict", 3, 1)]


def test_another_engine_runs_on_the_models_thread() -> None:
    threads: list[str] = []
    ledger = Ledger()
    model = accelerated(noting(Line(is_whole=False), threads), observer=ledger)
    assert ask(model, FEATURES[:3].tolist()).n_rows == 3
    assert threads == ["demijohn m/1"]
    assert ledger.calls == [("predict", 3, 1)]


def test_rows_choose_between_the_engine_and_the_framework() -> None:
    engine = Line()
    model = accelerated(engine, (2, "native"), (22, "numpy"), (None, "native"))
    for n_rows, n_calls in [(2, 0), (3, 1), (22, 2), (23, 2)]:
        ask(model, FEATURES[:n_rows].tolist())
        assert engine.n_calls == n_calls


def test_what_an_engine_steps_aside_for_is_the_frameworks_to_answer() -> None:
    engine = Line()
    model = accelerated(engine, model=LinearRegression().fit(FEATURES.astype("float32"), PROGRESS))
    rows = FEATURES[:1].copy()
    rows[0, 0] = np.inf
    with pytest.raises(ModelRefused, match="infinity"):
        model.answer("predict", {"inputs": rows}, {}, time.monotonic() + 30)
    assert engines_of(model) == ["numpy"]


@pytest.mark.parametrize("is_whole", [True, False])
def test_an_engine_that_fails_costs_no_answer_and_is_not_used_again(
    is_whole: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(rows: Any) -> None:
        raise MemoryError

    engine = Line(is_whole=is_whole, fault=fail)
    model = accelerated(engine)
    for _ in range(2):
        response = ask(model, FEATURES[:3].tolist())
        assert (response.outputs["predict"] == REGRESSION.predict(FEATURES[:3])).all()
    assert engine.n_calls == 1
    assert engines_of(model) == ["native"]
    assert whys(model) == {"numpy": "failed with MemoryError"}
    assert len(caplog.records) == 1


def test_a_request_with_parameters_is_the_frameworks_to_answer() -> None:
    engine = Line()
    model = accelerated(engine)
    with pytest.raises(ModelRefused, match="unexpected keyword"):
        model.answer("predict", {"inputs": FEATURES[:1]}, {"colour": "red"}, time.monotonic() + 30)
    assert engine.n_calls == 0


def test_no_rows_are_the_frameworks_to_answer() -> None:
    engine = Line()
    with pytest.raises(ModelRefused, match="0 sample"):
        accelerated(engine, (2, "native"), (None, "numpy")).answer(
            "predict", {"inputs": FEATURES[:0]}, {}, time.monotonic() + 30
        )
    assert engine.n_calls == 0


def test_nothing_runs_after_the_deadline() -> None:
    engine = Line()
    with pytest.raises(QueueFull, match="deadline passed"):
        accelerated(engine).answer("predict", {"inputs": FEATURES[:1]}, {}, time.monotonic())
    assert engine.n_calls == 0


def test_who_needs_no_queue_is_not_refused_for_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise QueueFull("full")

    for engine, is_refused in [(Line(), False), (Line(is_whole=False), True)]:
        model = accelerated(engine)
        monkeypatch.setattr(model.batcher, "check_room", full)
        if is_refused:
            with pytest.raises(QueueFull):
                model.check_room("predict")
        else:
            model.check_room("predict")


def test_probes_are_not_counted() -> None:
    ledger = Ledger()
    model = Predictor("m", "1", wrap(REGRESSION), Settings(), Lifecycle(), ledger)
    model.settle()
    assert ledger.calls == []
    model.count(ask(model, FEATURES[:1].tolist()))
    assert len(ledger.calls) == 1


def test_a_model_is_settled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = offer(monkeypatch, Line())
    model = predictor()
    for _ in range(2):
        model.settle()
    model.prove()
    model.settle_if_known()
    assert len(offered.built) == 1


def test_what_goes_wrong_in_settling_leaves_the_framework(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(runtime: Any, *, is_fast: bool) -> Any:
        raise KeyError("x")

    monkeypatch.setattr("demijohn.acceleration.candidates", fail)
    model = predictor(max_batch_size=8)
    model.settle()
    assert model.plan()["state"] == "settled"
    assert engines_of(model) == ["native"]
    assert model.not_joined == {}
    assert "no plan could be made" in caplog.text


def test_a_plan_is_used_only_if_known(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, Line())
    first, second = predictor(), predictor()
    first.settle_if_known()
    assert (engines_of(first), first.plan()["state"], first.batcher._joining) == (
        ["native"],
        "proving",
        set(),
    )
    first.settle()
    second.settle_if_known()
    assert (engines_of(second), second.batcher._joining) == (["numpy"], {"predict"})


def test_a_child_of_a_fork_proves_what_its_parent_had_begun_to(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, Line())
    model = predictor()
    with model._proof.first() as is_first:
        assert is_first
        model.settle()
        assert model.plan()["state"] == "proving"
        monkeypatch.setattr("os.getpid", lambda: -1)
        model.settle()
        assert model.plan()["state"] == "settled"


def provers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "demijohn-prover"]


def test_a_model_that_is_removed_while_another_is_proved_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def hold(rows: Any) -> None:
        entered.set()
        assert go_on.wait(10)

    offered = offer(monkeypatch, Line(fault=hold))
    first, second = predictor(), predictor()
    settle_in_background([first, second])
    assert entered.wait(10)
    gone = weakref.ref(second)
    del second
    gc.collect()
    assert gone() is None
    go_on.set()
    for thread in provers():
        thread.join(30)
    # Whether the engine is used is a matter of its time, which somebody else's load decides.
    assert (first.plan()["state"], len(offered.built)) == ("settled", 1)


def test_a_model_that_is_removed_while_it_is_proved_answers_whom_it_has() -> None:
    model = predictor()
    settle_in_background([model])
    assert ask(model, FEATURES[:1].tolist()).n_rows == 1
    model.batcher.close()
    for thread in provers():
        thread.join(30)
    assert model.plan()["state"] == "settled"


# Several methods ----------------------------------------------------------------------------


def test_a_request_may_name_several_methods_which_get_the_same_rows() -> None:
    model = predictor(LogisticRegression().fit(FEATURES, PROGRESS.mean() < PROGRESS))
    request = InferenceRequest(Rows(FEATURES[:3].tolist()), methods=("predict_proba", "predict"))
    answer = model.predict_each(request, time.monotonic() + 30)
    estimator = model.runtime.estimator  # type: ignore[attr-defined]
    assert list(answer.outputs) == ["predict_proba", "predict"]
    assert (answer.outputs["predict_proba"] == estimator.predict_proba(FEATURES[:3])).all()
    assert (answer.outputs["predict"] == estimator.predict(FEATURES[:3])).all()
    assert (answer.method, answer.n_rows) == ("predict_proba", 3)


def test_outputs_of_one_name_are_told_apart_by_their_method() -> None:
    model = predictor(KNeighborsRegressor().fit(FEATURES, PROGRESS))
    request = InferenceRequest(Rows(FEATURES[:2].tolist()), methods=("distances", "kneighbors"))
    outputs = model.predict_each(request, time.monotonic() + 30).outputs
    assert list(outputs) == ["distances", "kneighbors.distances", "indices"]


def test_a_method_among_several_that_the_model_lacks_is_not_found() -> None:
    with pytest.raises(MethodNotFound, match="predict"):
        predictor().predict_each(
            InferenceRequest(Rows([[1.0]]), methods=("predict", "fit")), time.monotonic() + 30
        )
