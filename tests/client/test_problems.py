"""An error that a server answers with is raised as the class that it was there."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.test_errors import family

from demijohn import errors
from demijohn.client.problems import PROBLEM, read_document, read_problem
from demijohn.errors import DemijohnError, NoAnswer, Problem, RequestError, ServerError, Unavailable
from demijohn.protocols import native

HEADERS = {"Content-Type": PROBLEM}


@pytest.mark.parametrize(
    "kind",
    [kind for kind in family(DemijohnError) if not issubclass(kind, NoAnswer)],
    ids=lambda kind: kind.__name__,
)
def test_what_the_server_writes_is_read_as_it_was(kind: type[DemijohnError]) -> None:
    error = kind("the detail", errors=[Problem(3, "age", "int64", "null"), Problem(None, 1, "a", "b")])
    body = native.encode_error(error, "id-7").body
    read = read_problem(kind.status, {**HEADERS, "Retry-After": "1", "Set-Cookie": "x"}, body)
    assert type(read) is (DemijohnError if kind is ServerError else kind)  # these two share a code
    assert (read.detail, read.errors, read.status, read.code) == (
        error.detail,
        error.errors,
        kind.status,
        kind.code,
    )
    assert (read.request_id, read.headers) == ("id-7", {"Retry-After": "1"})


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, RequestError), (429, RequestError), (500, ServerError), (503, Unavailable), (599, ServerError)],
)
def test_a_code_of_a_later_version_is_the_nearest_base(status: int, kind: type[DemijohnError]) -> None:
    body = json.dumps({"code": "quota_exceeded", "status": status, "detail": "d"}).encode()
    read = read_problem(status, HEADERS, body)
    assert (type(read), read.status, read.code, read.detail) == (kind, status, "quota_exceeded", "d")


@pytest.mark.parametrize("code", [error.code for error in family(NoAnswer)])
def test_no_server_answers_that_it_gave_no_answer(code: str) -> None:
    body = json.dumps({"code": code, "status": 400}).encode()
    assert type(read_problem(400, HEADERS, body)) is RequestError


@pytest.mark.parametrize(
    ("status", "body", "detail"),
    [
        (502, b"<html>\n<h1>Bad  Gateway</h1>", "502 Bad Gateway: <html> <h1>Bad Gateway</h1>"),
        (431, b"", "431 Request Header Fields Too Large"),
        (799, b"\xff\x00", "799: \ufffd\x00"),
        (500, b"x" * 10_000, "500 Internal Server Error: " + "x" * 200),
    ],
)
def test_what_is_no_problem_is_told_by_its_status(status: int, body: bytes, detail: str) -> None:
    read = read_problem(status, {"Content-Type": "text/html", "X-Request-Id": "id-8"}, body)
    assert (read.status, read.detail, read.request_id) == (status, detail, "id-8")
    assert isinstance(read, RequestError if status < 500 else ServerError)


@given(st.binary(max_size=60) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(
        st.sampled_from(["code", "status", "detail", "errors", "request_id", "row"]), below, max_size=6),
).map(lambda document: json.dumps(document).encode()))  # fmt: skip
def test_whatever_a_server_says_is_an_error_of_its_status(body: bytes) -> None:
    read = read_problem(418, HEADERS, body)
    assert isinstance(read, DemijohnError)
    assert read.status == 418
    assert str(read)


def test_a_document_tells_its_status_where_no_answer_does() -> None:
    error: Any = errors.BadInput("no")
    read = read_document(native.encode_error(error, "id").body)
    assert (type(read), read and read.status) == (errors.BadInput, 422)
    assert read_document(b"[]") is None
