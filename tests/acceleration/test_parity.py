"""The proof that an engine equals its framework: honest engines pass, and every lie is caught."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tests.acceleration.forests import FunctionEngine, read_forest, walk

from demijohn.acceleration import parity
from demijohn.acceleration.edges import ProbeSet, probe_sets
from demijohn.acceleration.engine import Part, StepAside
from demijohn.acceleration.parity import Native, Reference, Verdict, judge, judge_part
from demijohn.acceleration.trees.ensemble import Ensemble
from demijohn.messages import Array, Tensors
from demijohn.probes import draw, rows_or_records
from demijohn.runtimes import wrap

Run = Callable[[Tensors], Tensors]


def probes_of(runtime: Any, **options: Any) -> list[ProbeSet]:
    signature, example = runtime.signature, list(runtime.example_rows())
    tensors = signature.validate(rows_or_records(example))
    return probe_sets(
        signature,
        tensors,
        lambda n, seed: draw(signature, example, n, seed),
        **{"n_ordinary": 2000, **options},
    )


def native_of(runtime: Any, method: str) -> Native:
    return lambda tensors: runtime.run(method, tensors, {})  # type: ignore[no-any-return]


# A linear model -----------------------------------------------------------------------------

BIG = np.logspace(0, 12, 30)


class Linear:
    """Thirty outputs, from 1 to 1e12 large, of four columns; and its honest engine."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        rows = rng.normal(size=(200, 4))
        self.model = LinearRegression().fit(rows, rows @ rng.normal(size=(4, 30)) * BIG + BIG)
        self.runtime = wrap(self.model, example=rows[:3])
        self.native = native_of(self.runtime, "predict")
        self.probes = probes_of(self.runtime)
        self.reference = Reference(self.native, self.probes, budget_s=30)

    def run(self, tensors: Tensors) -> Tensors:
        rows = tensors["inputs"]
        if not np.isfinite(rows).all():
            raise StepAside
        return {"predict": rows @ self.model.coef_.T + self.model.intercept_}

    def judge(self, run: Run) -> Verdict:
        return self.reference.judge(FunctionEngine(run))

    def why_not(self, run: Run) -> str:
        return self.judge(run).why_not or "proved"


@pytest.fixture(scope="module")
def linear() -> Linear:
    return Linear()


def test_an_honest_engine_is_proved_and_told_over_how_many_rows(linear: Linear) -> None:
    verdict = linear.judge(linear.run)
    assert verdict.why_not is None
    assert verdict.n_rows > 3000
    assert verdict.n_aside > 0  # NaN and infinities


def test_one_call_judges_one_engine(linear: Linear) -> None:
    assert judge(FunctionEngine(linear.run), linear.native, linear.probes).why_not is None


def test_an_engine_that_is_off_by_a_millionth_is_refused_and_told_where(linear: Linear) -> None:
    why = linear.why_not(lambda tensors: {"predict": linear.run(tensors)["predict"] * (1 + 1e-6)})
    assert why.startswith("ordinary batches: predict: row 0, column 0: expected ")
    assert ", off by 1" in why


@pytest.mark.parametrize("column", [0, 13, 29])
def test_one_column_of_thirty_that_is_off_by_a_millionth_is_found(linear: Linear, column: int) -> None:
    def run(tensors: Tensors) -> Tensors:
        outputs = linear.run(tensors)["predict"]
        outputs[:, column] *= 1 + 1e-6
        return {"predict": outputs}

    assert f"column {column}: expected" in linear.why_not(run)


def test_a_wider_tolerance_takes_what_a_narrower_one_refuses(linear: Linear) -> None:
    engine = FunctionEngine(lambda tensors: {"predict": linear.run(tensors)["predict"] * (1 + 1e-6)})
    assert linear.reference.judge(engine, tolerance=1e-5).why_not is None


def test_an_engine_that_is_wrong_for_minus_zero_alone_is_refused(linear: Linear) -> None:
    def run(tensors: Tensors) -> Tensors:
        outputs = linear.run(tensors)["predict"]
        outputs[((tensors["inputs"] == 0) & np.signbit(tensors["inputs"])).any(axis=1)] += 1.0
        return {"predict": outputs}

    assert linear.why_not(run).startswith("zeros: predict: row ")


@pytest.mark.parametrize("size", [1, 3, 8, 65, 512])
def test_an_engine_that_is_wrong_for_batches_of_one_size_is_refused(linear: Linear, size: int) -> None:
    def run(tensors: Tensors) -> Tensors:
        return {"predict": linear.run(tensors)["predict"] + (len(tensors["inputs"]) == size)}

    assert linear.why_not(run).startswith("ordinary batches: predict: row ")


def test_an_engine_that_answers_what_the_framework_refuses_is_refused(linear: Linear) -> None:
    def run(tensors: Tensors) -> Tensors:
        return {"predict": tensors["inputs"] @ linear.model.coef_.T + linear.model.intercept_}

    why = linear.why_not(run)
    assert why.startswith("infinities: answers rows 0 to ")
    assert "which the framework refuses (ValueError: Input X contains infinity" in why


def test_an_engine_that_looks_at_the_first_row_alone_is_refused(linear: Linear) -> None:
    def run(tensors: Tensors) -> Tensors:
        if not np.isfinite(tensors["inputs"][0]).all():
            raise StepAside
        return {"predict": tensors["inputs"] @ linear.model.coef_.T + linear.model.intercept_}

    assert "infinities in one row of a batch: answers rows 0 to 8" in linear.why_not(run)


def test_what_an_engine_says_of_the_other_rows_of_a_batch_it_leaves_is_proved_too(linear: Linear) -> None:
    def run(tensors: Tensors) -> Tensors:
        rows = tensors["inputs"]
        if (rows == -1e300).any():
            raise StepAside
        return {"predict": linear.run(tensors)["predict"] * np.where(rows == 1e300, 1.1, 1).max(1)[:, None]}

    assert linear.why_not(run).startswith("huge values: predict: row ")


def test_an_engine_that_leaves_all_ordinary_rows_to_the_framework_is_useless(linear: Linear) -> None:
    def run(tensors: Tensors) -> Tensors:
        raise StepAside

    assert linear.why_not(run) == "steps aside for ordinary rows (ordinary batches)"


def test_an_engine_that_fails_in_another_way_than_stepping_aside_is_refused(linear: Linear) -> None:
    def run(tensors: Tensors) -> Tensors:
        if len(tensors["inputs"]) > 2:
            raise IndexError("out of\nbounds")
        return linear.run(tensors)

    assert linear.why_not(run) == "ordinary batches: fails on rows 3 to 5: IndexError: out of"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda outputs: {"predictions": outputs["predict"]},
            "expected outputs ['predict'], got ['predictions']",
        ),
        (lambda outputs: outputs["predict"], "expected outputs ['predict'], got ndarray"),
        (lambda outputs: {"predict": outputs["predict"].tolist()}, "expected an array, got list"),
        (lambda outputs: {"predict": outputs["predict"][:, :1]}, "expected shape (1, 30), got (1, 1)"),
        (lambda outputs: {"predict": outputs["predict"].astype(np.float32)}, "expected float64, got float32"),
    ],
)
def test_an_answer_of_another_form_is_refused(linear: Linear, change: Any, told: str) -> None:
    assert told in linear.why_not(lambda tensors: change(linear.run(tensors)))


def test_an_engine_that_writes_to_its_input_is_refused(linear: Linear) -> None:
    def run(tensors: Tensors) -> Tensors:
        rows = np.require(tensors["inputs"], requirements=["C", "W"])
        outputs = linear.run({"inputs": rows})
        rows += 1.0
        return outputs

    assert "writes to its input, at row 0" in linear.why_not(run)


def test_an_engine_that_needs_to_write_to_its_input_is_refused(linear: Linear) -> None:
    def run(tensors: Tensors) -> Tensors:
        tensors["inputs"] *= 1.0
        return linear.run(tensors)

    assert "read-only" in linear.why_not(run)


def test_an_engine_that_adds_to_its_input_is_refused(linear: Linear) -> None:
    def run(tensors: Tensors) -> Tensors:
        outputs = linear.run(tensors)
        tensors["more"] = tensors["inputs"]
        return outputs

    assert "writes to its input, at row 0" in linear.why_not(run)


def test_a_framework_that_refuses_ordinary_rows_proves_nothing(linear: Linear) -> None:
    def native(tensors: Tensors) -> Tensors:
        raise ValueError("no rows today")

    verdict = judge(FunctionEngine(linear.run), native, linear.probes)
    assert verdict == Verdict("the framework itself refuses ordinary rows (ValueError: no rows today)", 0)


def test_a_framework_that_answers_differently_each_time_proves_nothing(linear: Linear) -> None:
    rng = np.random.default_rng(0)

    def native(tensors: Tensors) -> Tensors:
        return {"predict": rng.normal(size=len(tensors["inputs"]))}

    verdict = judge(FunctionEngine(linear.run), native, linear.probes)
    assert verdict.why_not == "the framework's own answers differ from call to call"


def test_a_framework_that_writes_to_its_input_spoils_no_comparison(linear: Linear) -> None:
    def native(tensors: Tensors) -> Tensors:
        outputs = linear.native(tensors)
        tensors["inputs"][:] = 0.0
        return outputs

    assert judge(FunctionEngine(linear.run), native, linear.probes).why_not is None


def test_the_framework_is_asked_once_for_all_engines_of_a_method(linear: Linear) -> None:
    calls: list[int] = []

    def native(tensors: Tensors) -> Tensors:
        calls.append(len(tensors["inputs"]))
        return linear.native(tensors)

    reference = Reference(native, linear.probes, budget_s=30)
    first = reference.judge(FunctionEngine(linear.run))
    n_calls = len(calls)
    assert reference.judge(FunctionEngine(linear.run)) == first
    assert len(calls) == n_calls


def test_a_framework_without_time_is_still_asked_once_per_set(linear: Linear) -> None:
    calls: list[int] = []

    def native(tensors: Tensors) -> Tensors:
        calls.append(len(tensors["inputs"]))
        return linear.native(tensors)

    verdict = judge(FunctionEngine(linear.run), native, linear.probes, budget_s=0.0)
    assert verdict.why_not is None
    assert max(calls) <= 9
    assert len(calls) >= sum(
        1 for probes in linear.probes if "infin" not in probes.name and probes.name[:3] != "NaN"
    )


def test_answers_that_take_too_much_memory_are_asked_for_again(
    linear: Linear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity, "_MOST_KEPT_BYTES", 0)
    assert judge(FunctionEngine(linear.run), linear.native, linear.probes).why_not is None


# Memory and threads -------------------------------------------------------------------------


def test_an_engine_whose_results_share_a_buffer_is_refused(linear: Linear) -> None:
    buffers: dict[int, Array] = {}

    def run(tensors: Tensors) -> Tensors:
        outputs = linear.run(tensors)["predict"]
        buffer = buffers.setdefault(len(outputs), np.empty_like(outputs))
        buffer[:] = outputs
        return {"predict": buffer}

    assert linear.why_not(run) == "two of its results share memory"


def test_an_engine_that_returns_its_input_is_refused() -> None:
    scaler = StandardScaler(with_mean=False, with_std=False).fit(np.eye(3))
    runtime = wrap(scaler)

    def run(tensors: Tensors) -> Tensors:
        if not np.isfinite(tensors["inputs"]).all():
            raise StepAside
        return {"transform": tensors["inputs"]}

    verdict = judge(FunctionEngine(run), native_of(runtime, "transform"), probes_of(runtime))
    assert verdict.why_not == "its result shares memory with its input"


def test_an_engine_whose_later_calls_change_an_earlier_result_is_refused(linear: Linear) -> None:
    given_out: dict[int, Array] = {}

    def run(tensors: Tensors) -> Tensors:
        outputs = linear.run(tensors)["predict"]
        if len(outputs) in given_out:
            given_out[len(outputs)] += 1.0
        given_out[len(outputs)] = outputs
        return {"predict": outputs}

    assert linear.why_not(run) == "a later call changes its earlier result"


def test_an_engine_that_two_threads_confuse_is_refused(linear: Linear) -> None:
    shared: dict[str, Array] = {}
    both = threading.Barrier(2)
    met = {threading.current_thread()}

    def run(tensors: Tensors) -> Tensors:
        shared["inputs"] = tensors["inputs"]
        if threading.current_thread() not in met:
            met.add(threading.current_thread())
            both.wait(60)
        return linear.run(shared)

    why = linear.why_not(run)
    assert why.startswith("two threads at once get other answers: ")


def test_an_engine_that_takes_memory_as_it_lies_is_refused(linear: Linear) -> None:
    def run(tensors: Tensors) -> Tensors:
        rows = tensors["inputs"]
        if rows.flags.f_contiguous and not rows.flags.c_contiguous:
            rows = rows.ravel(order="K").reshape(rows.shape)
        return linear.run({"inputs": rows})

    assert linear.why_not(run).startswith("column-major input: predict: row ")


# Labels and categories ----------------------------------------------------------------------


class Labels:
    """A classifier of texts, by a category that may be unknown; and its honest engine."""

    def __init__(self) -> None:
        pd = pytest.importorskip("pandas")
        rng = np.random.default_rng(0)
        frame = pd.DataFrame(
            {"colour": rng.choice(["red", "green", "blue"], 200), "size": rng.normal(size=200)}
        )
        labels = np.where((frame["colour"] == "red") ^ (frame["size"] > 0.5), "yes", "no")
        self.model = make_pipeline(
            make_column_transformer(
                (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["colour"]),
                remainder="passthrough",
            ),
            LogisticRegression(),
        ).fit(frame, labels)
        self.runtime = wrap(self.model)
        self.encoder = self.model[0].named_transformers_["onehotencoder"]
        self.reference = Reference(native_of(self.runtime, "predict"), probes_of(self.runtime), budget_s=30)

    def scores(self, tensors: Tensors) -> Array:
        colours, sizes = tensors["colour"], tensors["size"]
        if not np.isfinite(sizes).all() or any(not isinstance(colour, str) for colour in colours):
            raise StepAside
        known = [[float(colour == one) for one in self.encoder.categories_[0]] for colour in colours.tolist()]
        final = self.model[-1]
        scores: Array = np.column_stack([np.array(known), sizes]) @ final.coef_[0] + final.intercept_[0]
        return scores

    def run(self, tensors: Tensors) -> Tensors:
        return {"predict": self.model.classes_[(self.scores(tensors) > 0).astype(int)]}

    def why_not(self, run: Run) -> str:
        return self.reference.judge(FunctionEngine(run)).why_not or "proved"


@pytest.fixture(scope="module")
def labels() -> Labels:
    return Labels()


def test_an_honest_classifier_is_proved(labels: Labels) -> None:
    assert labels.why_not(labels.run) == "proved"


def test_a_wrong_label_for_an_unknown_category_is_found(labels: Labels) -> None:
    def run(tensors: Tensors) -> Tensors:
        outputs = labels.run(tensors)["predict"]
        unknown = [colour not in {"red", "green", "blue"} for colour in tensors["colour"].tolist()]
        return {"predict": np.where(unknown, "yes", outputs)}

    assert labels.why_not(run).startswith("unknown categories: predict: row ")


def test_a_category_that_is_taken_for_one_of_another_case_is_found(labels: Labels) -> None:
    def run(tensors: Tensors) -> Tensors:
        colours = tensors["colour"]
        lower = np.array([c.lower() if isinstance(c, str) else c for c in colours.tolist()], object)
        return labels.run({**tensors, "colour": lower})

    assert labels.why_not(run).startswith("unknown categories: predict: row ")


def test_an_engine_that_writes_to_texts_is_refused(labels: Labels) -> None:
    def run(tensors: Tensors) -> Tensors:
        outputs = labels.run(tensors)
        colours = np.require(tensors["colour"], requirements=["W"])
        colours[:] = "red"
        return outputs

    assert "writes to its input, at row" in labels.why_not(run)


def test_numbers_in_place_of_the_labels_are_refused(labels: Labels) -> None:
    def run(tensors: Tensors) -> Tensors:
        return {"predict": (labels.scores(tensors) > 0).astype(np.int64)}

    assert "predict: expected " in labels.why_not(run)
    assert labels.why_not(run).endswith("got int64")


def test_whole_numbers_that_became_floats_are_refused() -> None:
    rows, targets = load_iris(return_X_y=True)
    runtime = wrap(LogisticRegression(max_iter=500).fit(rows, targets))

    def run(tensors: Tensors) -> Tensors:
        return {"predict": runtime.run("predict", tensors, {})["predict"].astype(float)}

    verdict = judge(FunctionEngine(run), native_of(runtime, "predict"), probes_of(runtime))
    assert (verdict.why_not or "").endswith("predict: expected int64, got float64")


# Trees --------------------------------------------------------------------------------------


class Forest:
    """A forest, and its honest but slow step."""

    def __init__(self, n_trees: int) -> None:
        self.rows, targets = load_breast_cancer(return_X_y=True)
        self.model = RandomForestClassifier(n_trees, random_state=0).fit(self.rows, targets)
        self.n_trees = n_trees
        self.ensemble = read_forest(self.model)

    def step(self, rows: Array) -> Array:
        self.check(rows)
        probabilities: Array = self.ensemble.finish(walk(self.ensemble, rows))
        return probabilities

    def check(self, rows: Array) -> None:
        with np.errstate(over="ignore"):
            if np.isinf(rows.astype(np.float32)).any():
                raise StepAside

    def turned(self, node: int, side: bool) -> Callable[[Array], Array]:
        """Return a step that sends what should go to one side of one split to the other."""
        root = self.ensemble.roots[self.ensemble.roots <= node][-1:]

        def step(rows: Array) -> Array:
            self.check(rows)
            right = walk(self.ensemble, rows, roots=root)
            wrong = walk(self.ensemble, rows, roots=root, turned=(node, side))
            # The framework's own answer, but for that split: as right as can be, and fast.
            probabilities: Array = self.model.predict_proba(rows) + (wrong - right) / self.n_trees
            return probabilities

        return step

    def part(self, step: Callable[[Array], Array], method: str = "predict_proba") -> Part:
        return Part(self.model, method, step, lambda: self.ensemble)


@pytest.fixture(scope="module")
def forest() -> Forest:
    return Forest(10)


@pytest.fixture(scope="module")
def hundred_trees() -> Forest:
    return Forest(100)


def test_honest_trees_are_proved_at_every_threshold(forest: Forest) -> None:
    verdict = judge_part(forest.part(forest.step), budget_s=30)
    assert verdict.why_not is None
    assert verdict.n_rows > len(np.flatnonzero(forest.ensemble.left >= 0)) * 5


@pytest.mark.parametrize("side", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_one_wrong_side_of_one_threshold_of_one_tree_of_a_hundred_is_found(
    hundred_trees: Forest, seed: int, side: bool
) -> None:
    node = int(np.random.default_rng(seed).choice(np.flatnonzero(hundred_trees.ensemble.left >= 0)))
    why = judge_part(hundred_trees.part(hundred_trees.turned(node, side)), budget_s=30).why_not or "proved"
    assert ": predict_proba: row " in why


def test_an_engine_that_takes_values_at_a_threshold_to_the_right_is_refused(forest: Forest) -> None:
    ensemble = forest.ensemble
    root = int(ensemble.roots[5])
    threshold, column = ensemble.threshold[root], ensemble.feature[root]

    def step(rows: Array) -> Array:
        moved = np.array(rows)
        rounded = rows[:, column].astype(np.float32)
        at = rounded == np.float32(threshold)
        moved[at, column] = np.nextafter(rounded[at], np.float32(np.inf))
        return forest.step(moved)

    assert (judge_part(forest.part(step), budget_s=30).why_not or "").startswith("rows at thresholds: ")


def test_an_engine_that_does_not_round_to_float32_is_refused(forest: Forest) -> None:
    unrounded = replace(forest.ensemble, casts_to_float32=False)

    def step(rows: Array) -> Array:
        forest.check(rows)
        probabilities: Array = unrounded.finish(walk(unrounded, rows))
        return probabilities

    assert (judge_part(forest.part(step), budget_s=30).why_not or "").startswith("rows at thresholds: ")


def test_a_whole_engine_is_tried_at_the_thresholds_of_its_raw_columns(forest: Forest) -> None:
    runtime = wrap(forest.model, example=forest.rows[:5])
    sets = probes_of(runtime, ensemble=forest.ensemble)
    assert {"rows at thresholds", "missing values at thresholds"} <= {probes.name for probes in sets}
    engine = FunctionEngine(lambda tensors: {"predict_proba": forest.step(tensors["inputs"])})
    assert judge(engine, native_of(runtime, "predict_proba"), sets, budget_s=30).why_not is None


def test_a_part_of_a_model_fitted_on_names_is_proved_without_a_warning(forest: Forest) -> None:
    pd = pytest.importorskip("pandas")
    rows, targets = load_iris(return_X_y=True)
    model = RandomForestClassifier(3, random_state=0, n_jobs=2).fit(
        pd.DataFrame(rows).rename(columns=str), targets
    )
    ensemble = read_forest(model)

    def step(matrix: Array) -> Array:
        forest.check(matrix)
        probabilities: Array = ensemble.finish(walk(ensemble, matrix))
        return probabilities

    assert judge_part(Part(model, "predict_proba", step, lambda: ensemble)).why_not is None


def test_a_part_needs_no_joblib(forest: Forest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "joblib", None)

    class Estimator:
        def score_samples(self, rows: Array) -> list[list[float]]:
            return [walk(forest.ensemble, rows)[:, 0].tolist()]

    few = replace(forest.ensemble, roots=forest.ensemble.roots[:1])
    estimator = Estimator()
    part = Part(estimator, "score_samples", estimator.score_samples, lambda: few)
    assert judge_part(part, budget_s=0.0).why_not is None


def test_a_part_of_several_outputs_is_compared_output_by_output(forest: Forest) -> None:
    rows, targets = load_iris(return_X_y=True)
    model = RandomForestClassifier(3, random_state=0).fit(rows, np.column_stack([targets, targets == 1]))
    ensemble: Ensemble = read_forest(RandomForestClassifier(3, random_state=0).fit(rows, targets))

    def step(matrix: Array) -> Any:
        forest.check(matrix)
        first, second = model.predict_proba(matrix)
        return [first, second + 1e-6]

    why = judge_part(Part(model, "predict_proba", step, lambda: ensemble)).why_not or ""
    assert why.startswith("ordinary batches: output_1: row 0, column 0: ")


# Frameworks of float32 ----------------------------------------------------------------------

_RNG = np.random.default_rng(0)
_FAR = (1e4 * _RNG.normal(size=(200, 8))).astype(np.float32)
_FAR[:, -1] = _RNG.normal(size=200) - _FAR[:, :-1].sum(axis=1)  # what is left is mostly rounding
_NEAR = _RNG.normal(size=(200, 8)).astype(np.float32)


def _summed(tensors: Tensors, order: int = 1, off: float = 0.0, dtype: Any = np.float32) -> Tensors:
    """Sum a row's numbers in float32, one after another, and squeeze the sum."""
    total = np.zeros(len(tensors["inputs"]), np.float32)
    for column in tensors["inputs"].T[::order]:
        total = total + column
    return {"predict": np.tanh(total + np.float32(off)).astype(dtype)}


def _judged(*, is_ordinary: bool = False, dtype: Any = np.float32) -> str | None:
    sets = [ProbeSet("near", {"inputs": _NEAR}, True), ProbeSet("far", {"inputs": _FAR}, is_ordinary)]
    engine = FunctionEngine(lambda tensors: _summed(tensors, -1, dtype=dtype), 1e-5)
    return judge(engine, lambda tensors: _summed(tensors, dtype=dtype), sets).why_not


def test_where_a_framework_of_float32_is_not_sure_itself_nobody_has_to_be() -> None:
    assert (
        np.abs(_summed({"inputs": _FAR})["predict"] - _summed({"inputs": _FAR}, -1)["predict"]).max() > 1e-4
    )
    assert _judged() is None


def test_what_is_off_by_more_than_its_rounding_is_still_refused() -> None:
    sets = [ProbeSet("near", {"inputs": _NEAR}, True), ProbeSet("far", {"inputs": _FAR})]

    def off_far_away(tensors: Tensors) -> Tensors:
        return _summed(tensors, -1, off=0.1 * float(np.abs(tensors["inputs"]).max() > 100))

    engine = FunctionEngine(off_far_away, 1e-5)
    assert str(judge(engine, _summed, sets).why_not).startswith("far: ")


def test_in_ordinary_rows_nothing_is_granted() -> None:
    assert str(_judged(is_ordinary=True)).startswith("far: ")


def test_to_a_framework_that_answers_in_float64_nothing_is_granted() -> None:
    assert str(_judged(dtype=np.float64)).startswith("far: ")


def test_to_an_engine_that_counts_as_exact_nothing_is_granted() -> None:
    sets = [ProbeSet("near", {"inputs": _NEAR}, True), ProbeSet("far", {"inputs": _FAR})]
    engine = FunctionEngine(lambda tensors: _summed(tensors, -1))
    assert judge(engine, _summed, sets).why_not is not None
