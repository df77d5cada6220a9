"""The contract of runtimes: real ones keep it, and each claim catches who breaks it."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.runtime_subjects import SUBJECTS

from demijohn.errors import ConfigurationError, LoadError
from demijohn.messages import Tensors
from demijohn.signature import Signature, TensorSpec
from demijohn.testing import CHECKS, ContractBroken, check_runtime

NAMES = [check.__name__ for check in CHECKS]
OF_FORESTS_IN_THREADS = (
    "`sklearn.utils.parallel.delayed` should be used with",
    "divide by zero encountered in log",
)


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_runtime_of_ours_keeps_every_claim(name: str, tmp_path: Path) -> None:
    # In threads of its own scikit-learn changes the process's filters, so none of ours holds: see
    # `warnings.catch_warnings`, "not thread-safe", and `sklearn.utils.parallel._FuncWrapper`.
    with warnings.catch_warnings(record=True) as raised:
        report = check_runtime(SUBJECTS[name](tmp_path))
    assert all(str(warning.message).startswith(OF_FORESTS_IN_THREADS) for warning in raised)
    assert {*report.claims, *report.not_tried} == set(NAMES)
    assert set(report.not_tried) <= {"batch_equals_one_by_one"}
    assert f"{len(report.claims)} claims" in str(report)


# Runtimes that break one claim --------------------------------------------------------------


class Honest:
    """A runtime that doubles two numbers, and scores three classes."""

    framework = "double"
    framework_version: str | None = "1"
    methods: tuple[str, ...] = ("predict", "predict_proba")
    warnings: tuple[str, ...] = ()
    joining = "always"
    concurrency = 1
    refusals: tuple[type[Exception], ...] = (ValueError,)
    is_callable_unasked = True
    sha256: str | None = None
    survives_fork = True
    metadata: Mapping[str, str] = {}
    signature = Signature(
        "tensors",
        (TensorSpec("x", "float64", (-1, 2), nullable=True), TensorSpec("steps", "int64", (-1, -1))),
        {"predict": (TensorSpec("predict", "float64", (-1, 2)),)},
    )

    def run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        x = tensors["x"] * 2.0
        return {method: x if method == "predict" else np.c_[x, x[:, 0]]}

    def parameters(self, method: str) -> tuple[str, ...]:
        return ()

    def classes(self, method: str) -> list[Any] | None:
        return ["a", "b", "c"] if method == "predict_proba" else None

    def digest(self) -> str | None:
        return "the same"

    def example_rows(self) -> list[Any]:
        return [{"x": [1.0, 2.0], "steps": [1, 2, 3]}, {"x": [3.0, 5.0], "steps": [4, 5, 6]}]


class Nameless(Honest):
    framework = ""


class Unmethodical(Honest):
    methods = ("predict_proba", "predict")


class Methodless(Honest):
    methods: Any = "predict"


class Eager(Honest):
    concurrency = 0


class Vague(Honest):
    def parameters(self, method: str) -> Any:
        return ["x"]


class Stray(Honest):
    signature = Honest.signature.with_outputs({"transform": ()})


class Unable(Honest):
    digest = None  # type: ignore[assignment]

    def __getattribute__(self, name: str) -> Any:
        if name == "digest":
            raise AttributeError(name)
        return super().__getattribute__(name)


class Boastful(Honest):
    def example_rows(self) -> list[Any]:
        return super().example_rows() * 3


class Unprepared(Honest):
    def run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        raise ValueError("these rows are my own example")


class Misfit(Honest):
    def example_rows(self) -> list[Any]:
        return [{"x": [1.0], "steps": [1]}]


class Lossy(Honest):
    def run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        return {method: super().run(method, tensors, parameters)[method][:3]}


class Renamed(Honest):
    def run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        return {"output": super().run(method, tensors, parameters)[method]}


class Short(Honest):
    def run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        return {method: super().run(method, tensors, parameters)[method].astype(np.float32)}


class Proud(Honest):
    def run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        if np.isnan(tensors["x"]).any():
            raise ValueError("nothing may be missing")
        return super().run(method, tensors, parameters)


class Fixed(Honest):
    def run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        if tensors["steps"].shape[1] != 3:
            raise ValueError("three steps, always")
        return super().run(method, tensors, parameters)


class Mislabelled(Honest):
    def classes(self, method: str) -> list[Any] | None:
        return ["a", "b"] if method == "predict_proba" else None


class Mixing(Honest):
    def run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        answer = super().run(method, tensors, parameters)[method]
        return {method: answer - np.nanmean(answer, axis=0)}


class Racy(Honest):
    """Keeps the rows of a call where the next call puts its own."""

    def __init__(self) -> None:
        self.meeting = threading.Barrier(4)

    def run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        self.tensors = tensors
        if threading.current_thread() is not threading.main_thread():
            self.meeting.wait(10)  # all four have put theirs
        return super().run(method, self.tensors, parameters)

    def __reduce__(self) -> Any:
        return Racy, ()


class Crashing(Honest):
    def run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("called from a thread that did not load me")
        return super().run(method, tensors, parameters)


class Scribbling(Honest):
    def run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        answer = super().run(method, tensors, parameters)
        tensors["x"] *= 0
        return answer


class Reusing(Honest):
    """Answers in an array that it keeps for the next call."""

    def __init__(self) -> None:
        self.buffer = np.empty((100, 3))

    def run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        answer = super().run(method, tensors, parameters)[method]
        kept = self.buffer[: len(answer), : answer.shape[1]]
        kept[:] = answer
        return {method: kept}


class Brittle(Honest):
    def run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        if np.isinf(tensors["x"]).any():
            raise KeyError("infinity")
        return super().run(method, tensors, parameters)


class Credulous(Honest):
    class _Lenient(Signature):
        def validate(self, inputs: Any) -> Tensors:
            try:
                return super().validate(inputs)
            except Exception:  # noqa: BLE001 - the double takes whatever comes
                return {"x": np.zeros((1, 2)), "steps": np.zeros((1, 1), np.int64)}

    signature = _Lenient("tensors", Honest.signature.inputs, Honest.signature.outputs)


class Forgetful(Honest):
    """Answers only for as long as it is the last that was loaded."""

    latest: Any = None

    def __init__(self) -> None:
        Forgetful.latest = id(self)

    def run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        answer = super().run(method, tensors, parameters)
        return answer if Forgetful.latest == id(self) else {method: answer[method] * 0}


class Lasting(Honest):
    everybody: list[Any] = []  # noqa: RUF012 - that is what is wrong with it

    def __init__(self) -> None:
        self.everybody.append(self)


class Weights:
    pass


class Hoarding(Honest):
    """Is freed itself, but not what it has loaded."""

    kept: list[Any] = []  # noqa: RUF012 - as above

    def __init__(self) -> None:
        self.weights = Weights()
        self.kept.append(self.weights)


class Remembering(Honest):
    kept: list[Any] = []  # noqa: RUF012 - as above

    def run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        self.kept.append(tensors["x"])
        return super().run(method, tensors, parameters)


class Slotted(Honest):
    __slots__ = ()


class Undecided(Honest):
    n_asked = 0

    def digest(self) -> str | None:
        Undecided.n_asked += 1
        return str(Undecided.n_asked)


class Numbered(Honest):
    def digest(self) -> Any:
        return 7


BROKEN: list[tuple[str, Callable[[], Any], str]] = [
    ("describes_itself", Nameless, "framework"),
    ("describes_itself", Unmethodical, "predict first"),
    ("describes_itself", Methodless, "methods"),
    ("describes_itself", Eager, "whole number from 1"),
    ("describes_itself", Vague, r"parameters\('predict'\)"),
    ("describes_itself", Stray, "'transform'"),
    ("describes_itself", Unable, "digest"),
    ("example_rows_fit", Boastful, "6 rows"),
    ("example_rows_fit", Unprepared, "my own example"),
    ("example_rows_fit", Misfit, "SignatureMismatch"),
    ("keeps_row_count", Lossy, "expected 17 rows, received {'predict': 3}"),
    ("matches_signature", Renamed, "outputs named predict, received output"),
    ("matches_signature", Short, "predict: float32"),
    ("matches_signature", Proud, "'x' is missing"),
    ("matches_signature", Fixed, "free sizes"),
    ("classes_name_the_columns", Mislabelled, r"\[2\] classes, received \[3\]"),
    ("batch_equals_one_by_one", Mixing, "numbers differ"),
    ("is_thread_safe", Racy, "the same answers to 4 threads"),
    ("is_thread_safe", Crashing, "did not load me"),
    ("leaves_its_inputs_alone", Scribbling, "'x' as it was given"),
    ("keeps_its_answers", Reusing, "wrote over"),
    ("refuses_bad_rows", Brittle, "KeyError: 'infinity'"),
    ("refuses_bad_rows", Credulous, "a SignatureMismatch for no rows"),
    ("survives_being_loaded_twice", Forgetful, "the first beside a second"),
    ("frees_memory_when_dropped", Lasting, "the runtime"),
    ("frees_memory_when_dropped", Hoarding, "attribute 'weights'"),
    ("frees_memory_when_dropped", Remembering, "input 'x' of predict"),
    ("digest_is_stable", Undecided, "when asked again"),
    ("digest_is_stable", Numbered, "a text or None"),
]


def test_an_honest_runtime_keeps_every_claim() -> None:
    report = check_runtime(Honest)
    assert report.claims == tuple(NAMES)
    assert str(report) == f"double 1: predict, predict_proba keep {len(NAMES)} claims"


@pytest.mark.parametrize(("claim", "load", "said"), BROKEN, ids=[load.__name__ for _, load, _ in BROKEN])
def test_who_breaks_a_claim_is_told_so(claim: str, load: Callable[[], Any], said: str) -> None:
    with pytest.raises(ContractBroken, match=said) as broken:
        check_runtime(load)
    assert claim in {breach.claim for breach in broken.value.breaches}
    assert isinstance(broken.value, AssertionError)


def test_every_claim_is_shown_to_be_breakable() -> None:
    assert {claim for claim, _, _ in BROKEN} == set(NAMES)


def test_all_breaches_are_told_at_once() -> None:
    class Hopeless(Scribbling, Undecided, Mislabelled):
        pass

    with pytest.raises(ContractBroken) as broken:
        check_runtime(Hopeless)
    assert {breach.claim for breach in broken.value.breaches} == {
        "classes_name_the_columns", "leaves_its_inputs_alone", "digest_is_stable",
    }  # fmt: skip
    assert str(broken.value).count("\n") == len(broken.value.breaches)


# What is checked ----------------------------------------------------------------------------


def test_rows_that_are_refused_are_not_drawn() -> None:
    class Particular(Honest):
        def run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
            if not np.isin(tensors["steps"], [1, 2, 3, 4, 5, 6]).all():
                raise ValueError("unknown step")
            return super().run(method, tensors, parameters)

    check_runtime(Particular)


def test_an_example_stands_in_for_rows_that_a_runtime_does_not_have() -> None:
    class Silent(Honest):
        def example_rows(self) -> list[Any]:
            return []

    with pytest.raises(ConfigurationError, match="example="):
        check_runtime(Silent)
    check_runtime(Silent, example=Honest().example_rows())


def test_every_dtype_is_tried_with_its_extremes() -> None:
    class Calendar(Honest):
        methods = ("predict",)
        seen: set[Any] = set()  # noqa: RUF012 - what the test looks at
        signature = Signature(
            "table",
            (TensorSpec("day", "datetime64[ns]"), TensorSpec("is_open", "bool"), TensorSpec("n", "uint8"),
             TensorSpec("size", "str", categories=("S", "L"), is_closed=True), TensorSpec("any", "object")),
        )  # fmt: skip

        def run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
            self.seen.update(*(array.tolist() for name, array in tensors.items() if name != "day"))
            self.seen.update(tensors["day"].astype("datetime64[D]").astype(str).tolist())
            return {method: tensors["n"]}

        def example_rows(self) -> list[Any]:
            return [{"day": "2026-01-31", "is_open": True, "n": 3, "size": "S", "any": "x"}]

    check_runtime(Calendar)
    assert {"1678-01-01", "2261-12-31", False, 255, "L", "", -1e300} <= Calendar.seen


def test_a_function_is_not_tried_with_rows_that_nobody_meant() -> None:
    asked: list[float] = []

    def careful(x: float) -> float:
        asked.append(x)
        return 1 / x

    check_runtime(careful, example=[{"x": 2.0}])
    assert asked
    assert min(asked) > 0


def test_what_cannot_be_loaded_says_so(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="no such file"):
        check_runtime(tmp_path / "nothing.joblib")
    with pytest.raises(LoadError, match="is no model"):
        check_runtime(3)
    with pytest.raises(ConfigurationError):
        check_runtime(max)  # written in C: nobody can say what it takes
