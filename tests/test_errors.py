"""The tree of errors: what each says and with which status."""

from __future__ import annotations

import re

import pytest

from demijohn import errors
from demijohn.errors import DemijohnError, OperatorError, Problem, RequestError, ServerError, Unavailable
from demijohn.problem import LONGEST_NAME


def family(root: type[DemijohnError]) -> list[type[DemijohnError]]:
    below = [child for child in root.__subclasses__() if child.__module__ == errors.__name__]
    return [root, *(error for child in below for error in family(child))]


def test_a_problem_says_where_what_was_expected_and_what_came() -> None:
    assert str(Problem(2, "age", "int64", "null")) == "row 2, column 'age': expected int64, received null"


def test_a_problem_of_the_whole_request_names_no_place() -> None:
    assert str(Problem(None, None, "at least 1 row", "0 rows")) == "expected at least 1 row, received 0 rows"


def test_a_problem_cuts_a_name_that_nobody_would_read_to_its_end() -> None:
    assert Problem(0, "a" * LONGEST_NAME, "", "").column == "a" * LONGEST_NAME
    assert Problem(0, "a" * (LONGEST_NAME + 1), "", "").column == "a" * LONGEST_NAME + "…"


def test_an_error_without_detail_says_its_title() -> None:
    assert errors.QueueFull().detail == errors.QueueFull.title == str(errors.QueueFull())


def test_an_error_keeps_what_it_is_given() -> None:
    problem = Problem(0, 1, "float64", "null")
    error = errors.SignatureMismatch("no", errors=[problem], headers={"Retry-After": "1"})
    assert (error.detail, error.errors, error.headers) == ("no", (problem,), {"Retry-After": "1"})


def test_no_two_errors_share_a_code_but_the_root_with_what_adds_nothing_to_it() -> None:
    codes = [error.code for error in family(DemijohnError) if error is not ServerError]
    assert len(set(codes)) == len(codes)
    assert ServerError.code == DemijohnError.code


@pytest.mark.parametrize("error", family(DemijohnError), ids=lambda error: error.__name__)
def test_a_code_is_a_word_for_programs_and_a_title_one_line_for_people(error: type[DemijohnError]) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error.code)
    assert "\n" not in error.title


@pytest.mark.parametrize("error", family(RequestError), ids=lambda error: error.__name__)
def test_the_sender_can_mend_a_request_error(error: type[DemijohnError]) -> None:
    assert 400 <= error.status < 500


@pytest.mark.parametrize("error", family(ServerError), ids=lambda error: error.__name__)
def test_a_server_error_is_ours(error: type[DemijohnError]) -> None:
    assert 500 <= error.status < 600


def test_all_503_are_unavailable() -> None:
    assert {error for error in family(DemijohnError) if error.status == 503} == set(family(Unavailable))


def test_what_the_operator_can_mend_is_no_answer_to_a_request() -> None:
    assert not any(issubclass(error, (RequestError, ServerError)) for error in family(OperatorError))
