"""What every answer of ours must be, whatever was asked."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote

import urllib3
from tests.servers import Server, until

FIELDS = {"type", "title", "status", "detail", "code", "errors", "request_id"}
#: Traceback, a path of this machine, a module's file, a memory segment, a process id.
LEAKS = re.compile(
    rb'Traceback|File "|site-packages|\.py\b|/tmp/|/proc/|/dev/shm|/usr/|/home/|/root/|/etc/'
    rb"|\bpid\b|0x[0-9a-f]{6,}",
    re.IGNORECASE,
)


def check_problem(answer: urllib3.BaseHTTPResponse, status: int, code: str) -> dict[str, Any]:
    """Raise unless the answer is this problem, whole and without secrets; returns it, parsed."""
    assert (answer.status, answer.data and json.loads(answer.data).get("code")) == (status, code), answer.data
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = json.loads(answer.data)
    assert problem.keys() == FIELDS
    assert problem["status"] == status
    assert problem["type"] == f"urn:demijohn:problem:{code}"
    assert problem["request_id"] == answer.headers["X-Request-Id"]
    assert all(error.keys() == {"row", "column", "expected", "received"} for error in problem["errors"])
    assert len(problem["errors"]) <= 20
    check_no_leak(answer.data)
    return problem


MLFLOW = {"error_code", "message", "stack_trace"}
#: By the first part of a path, in which form its errors are; all others are problems.
FORMS = {
    "v1": {"error"},
    "v2": {"error"},
    "invocations": MLFLOW,
    "ping": MLFLOW,
    "health": MLFLOW,
    "version": MLFLOW,
}


def form_of(path: str) -> set[str] | None:
    """Return the keys of an error at a path of another dialect than ours; None: it is a problem."""
    return FORMS.get(unquote(path).strip("/").partition("/")[0].lower())


def check_refusal(path: str, answer: urllib3.BaseHTTPResponse, status: int, code: str) -> None:
    """Raise unless the answer is this error, in the form of the dialect that the path belongs to."""
    if form_of(path) is None:
        check_problem(answer, status, code)
    else:
        check_error_of(path, answer, status)


def check_error_of(path: str, answer: urllib3.BaseHTTPResponse, status: int) -> None:
    """Raise unless the answer is an error as another dialect has it, without secrets."""
    found = (answer.status, answer.headers["Content-Type"])
    assert found == (status, "application/json"), (path, answer.data)
    document = json.loads(answer.data)
    assert document.keys() == form_of(path), path
    assert document.get("stack_trace", "") == ""
    check_no_leak(answer.data)


def check_v2_error(answer: urllib3.BaseHTTPResponse, status: int) -> str:
    """Raise unless the answer is an error as the Open Inference Protocol has it; returns its text."""
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/json"), answer.data
    document = json.loads(answer.data)
    assert document.keys() == {"error"}
    check_no_leak(answer.data)
    text: str = document["error"]
    return text


def check_no_leak(body: bytes) -> None:
    """Raise if an answer tells of this machine."""
    found = LEAKS.search(body)
    assert found is None, body


def check_alive(server: Server, workers: set[int]) -> None:
    """Raise unless the same processes serve, and are ready."""
    assert server.workers == workers
    until(lambda: server.get("/readyz", connection="close").status == 200, within_s=1.0)
