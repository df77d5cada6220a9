"""A model that is looked at in another process, and what comes back of it."""

from __future__ import annotations

import os
import pickle
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from tests.model_files import line, monthly, save

from demijohn.errors import ConfigurationError, LoadError, Problem, UntrustedArtifact
from demijohn.messages import Rows
from demijohn.runtimes import Runtime, apart, wrap
from demijohn.runtimes.apart import describe, load_all_apart, load_apart, try_apart
from demijohn.signature import Signature, TensorSpec


def classifier() -> Runtime:
    return wrap(LogisticRegression(max_iter=500).fit(*load_iris(return_X_y=True)))


def test_what_comes_back_says_all_that_the_model_says_itself() -> None:
    runtime = classifier()
    runtime.signature.validate(Rows(list(runtime.example_rows())))  # readers have been made
    there = load_apart(lambda: runtime)
    assert there == describe(runtime)
    assert (there.methods, there.signature, there.digest()) == (
        runtime.methods, runtime.signature, runtime.digest(),
    )  # fmt: skip
    assert there.classes("predict_proba") == runtime.classes("predict_proba")
    assert there.parameters("predict") == runtime.parameters("predict")
    assert there.example_rows() == list(runtime.example_rows())


def test_a_model_that_fails_on_its_example_does_so_elsewhere_too() -> None:
    model, days = monthly()
    assert load_apart(lambda: wrap(model)).fails_on_example
    assert not load_apart(lambda: wrap(model, example=days.head())).fails_on_example


def test_a_model_that_is_elsewhere_cannot_be_run_here() -> None:
    runtime = classifier()
    tensors = runtime.signature.validate(Rows(list(runtime.example_rows())))
    with pytest.raises(LoadError, match="each worker loads a scikit-learn model itself"):
        load_apart(lambda: runtime).run("predict", tensors, {})


def test_an_error_of_ours_is_the_parents_too() -> None:
    problem = Problem(0, "age", "a number", "a text")

    def fail() -> Runtime:
        raise ConfigurationError("The example does not fit", errors=[problem])

    with pytest.raises(ConfigurationError, match="does not fit") as caught:
        load_apart(fail)
    assert caught.value.errors == (problem,)


def test_any_other_error_is_told_as_one_of_loading() -> None:
    def fail() -> Runtime:
        raise ZeroDivisionError("by zero")

    with pytest.raises(LoadError, match="ZeroDivisionError: by zero"):
        load_apart(fail)


def test_a_model_that_ends_its_process_ends_no_other() -> None:
    def fail() -> Runtime:
        os._exit(9)

    with pytest.raises(LoadError, match="exit status 9"):
        load_apart(fail)


def test_what_methods_take_is_told_without_what_reads_it() -> None:
    runtime = classifier()
    other = Signature("vector", (TensorSpec("title", "str"),))
    other.validate(Rows(["a"]))  # a reader has been made, which cannot be sent
    runtime.signature = replace(runtime.signature, others={"find": other})
    assert load_apart(lambda: runtime).signature.of("find") == other


def test_a_file_may_be_tried_out_where_no_fork_is_safe(tmp_path: Path) -> None:
    try_apart(save(line(1), tmp_path / "price.joblib"), {"example": [[1.0]], "allow_code": True})
    with pytest.raises(UntrustedArtifact, match="loading one runs the code in it"):
        try_apart(tmp_path / "price.joblib", {"allow_code": False})
    with pytest.raises(ConfigurationError, match="The example"):
        try_apart(tmp_path / "price.joblib", {"example": [[1.0, 2.0]]})


def test_a_file_that_ends_whoever_loads_it_ends_only_the_trial(tmp_path: Path) -> None:
    path = tmp_path / "model.pickle"
    path.write_bytes(pickle.dumps(EndsItsProcess()))
    with pytest.raises(LoadError, match=r"model\.pickle: loading it ended its process \(exit status 9\)"):
        try_apart(path, {})


def test_a_file_that_takes_for_ever_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.pickle"
    path.write_bytes(pickle.dumps(Waits()))
    monkeypatch.setattr(apart, "_LONGEST_S", 0.5)
    with pytest.raises(LoadError, match=r"was not loaded within 0\.5 s"):
        try_apart(path, {})


class EndsItsProcess:
    def __reduce__(self) -> Any:
        return os._exit, (9,)


class Waits:
    def __reduce__(self) -> Any:
        return signal.pause, ()


def test_only_words_are_left_in_the_parent() -> None:
    loaded: list[Runtime] = []

    def load() -> Runtime:
        loaded.append(classifier())
        return loaded[0]

    load_apart(load)
    assert loaded == []


def test_several_models_are_looked_at_in_one_process_and_come_back_in_order() -> None:

    def look(warning: str) -> Runtime:
        runtime = classifier()
        runtime.warnings = (warning, str(os.getpid()))
        return runtime

    found = load_all_apart([("a", lambda: look("first")), ("b", lambda: look("second"))])
    pids = [description.warnings[1] for description in found]
    assert [description.warnings[0] for description in found] == ["first", "second"]
    assert len(set(pids)) == 1
    assert str(os.getpid()) not in pids
    assert load_all_apart([]) == []


def test_the_first_of_several_models_that_fails_is_told() -> None:
    def fail(text: str) -> Runtime:
        raise LoadError(text)

    with pytest.raises(LoadError, match="the second"):
        load_all_apart(
            [("a", classifier), ("b", lambda: fail("the second")), ("c", lambda: fail("the third"))]
        )
