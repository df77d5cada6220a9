"""A model that is looked at in another process, and what comes back of it."""

from __future__ import annotations

import os

import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from demijohn.errors import ConfigurationError, LoadError, Problem
from demijohn.messages import Rows
from demijohn.runtimes import Runtime, wrap
from demijohn.runtimes.apart import describe, load_all_apart, load_apart


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

    found = load_all_apart([lambda: look("first"), lambda: look("second")])
    pids = [description.warnings[1] for description in found]
    assert [description.warnings[0] for description in found] == ["first", "second"]
    assert len(set(pids)) == 1
    assert str(os.getpid()) not in pids
    assert load_all_apart([]) == []


def test_the_first_of_several_models_that_fails_is_told() -> None:
    def fail(text: str) -> Runtime:
        raise LoadError(text)

    with pytest.raises(LoadError, match="the second"):
        load_all_apart([classifier, lambda: fail("the second"), lambda: fail("the third")])
