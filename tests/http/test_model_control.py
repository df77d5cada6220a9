"""``serve --model-control`` through a real server: what is acknowledged, every worker has done."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import skops.io
import urllib3
from tests.http import folder
from tests.http.claims import check_problem, check_v2_error
from tests.model_files import line, save
from tests.servers import Server, serving, until

KEY = "k" * 40
N_ASKED = 16  # connections, which the kernel deals to both workers


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("controlled")
    folder.save(path)
    return path


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[Server]:
    options = ["--workers", "2", "--model-control", *folder.OPTIONS]
    with serving([models], *options, DEMIJOHN_API_KEY=KEY) as server:
        until(lambda: len(server.workers) == 2)
        yield server


def control(server: Server, name: str, action: str, **parameters: Any) -> urllib3.BaseHTTPResponse:
    body = {"parameters": parameters} if parameters else {}
    return server.post(f"/v2/repository/models/{name}/{action}", body, x_api_key=KEY)


def done(server: Server, name: str, action: str, **parameters: Any) -> None:
    answer = control(server, name, action, **parameters)
    assert (answer.status, answer.data) == (200, b"")


def ask(server: Server, path: str, body: Any) -> urllib3.BaseHTTPResponse:
    return server.post(path, body, x_api_key=KEY, connection="close")


def slopes(server: Server, name: str = "double") -> set[float]:
    """Ask for the slope of a line as often as meets every worker."""
    answers = [ask(server, f"/models/{name}/predict", [[1.0]]) for _ in range(N_ASKED)]
    assert {answer.status for answer in answers} == {200}, answers[0].data
    return {round(answer.json()["predictions"][0], 6) for answer in answers}


def statuses(server: Server, path: str, body: Any) -> set[int]:
    return {ask(server, path, body).status for _ in range(N_ASKED)}


def index(server: Server) -> dict[tuple[str, str], tuple[str, str]]:
    entries = json.loads(server.request("POST", "/v2/repository/index", x_api_key=KEY).data)
    return {(one["name"], one["version"]): (one["state"], one["reason"]) for one in entries}


def test_an_unloaded_model_is_unavailable_in_every_dialect(server: Server) -> None:
    done(server, "plane", "unload")
    tensor = {"name": "x", "datatype": "FP64", "shape": [1, 3], "data": [1, 2, 3]}
    check_v2_error(ask(server, "/v2/models/plane/infer", {"inputs": [tensor]}), 503)
    assert statuses(server, "/v1/models/plane:predict", {"instances": folder.ROWS}) == {503}
    answer = ask(server, "/invocations", {"inputs": folder.ROWS})  # plane is the default
    assert (answer.status, answer.json()["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
    check_problem(ask(server, "/models/plane/predict", folder.ROWS), 503, "not_ready")
    ready = server.get("/v2/models/plane/ready", x_api_key=KEY)
    assert (ready.status, ready.json()) == (503, {"name": "plane", "ready": False})
    assert index(server)["plane", "1"] == ("UNAVAILABLE", "unloaded")
    assert slopes(server) == {10.0}  # the others go on
    assert server.get("/readyz").status == 200
    done(server, "plane", "load")
    assert index(server)["plane", "1"] == ("READY", "")
    assert statuses(server, "/models/plane/predict", folder.ROWS) == {200}


def test_a_replaced_worker_serves_what_the_others_do(server: Server, models: Path) -> None:
    path = models / "double" / "11"
    path.mkdir()
    skops.io.dump(line(11), path / "model.skops")
    done(server, "double", "load")
    done(server, "table", "unload")
    assert slopes(server) == {11.0}
    victim = min(server.workers)
    os.kill(victim, signal.SIGKILL)
    server.await_workers(2, without=victim)
    assert slopes(server) == {11.0}
    assert statuses(server, "/models/table/predict", [{"age": 20, "kind": "cat"}]) == {503}
    done(server, "table", "load")


def test_a_load_that_fails_changes_nothing_and_tells_no_path(server: Server, models: Path) -> None:
    save(line(3), models / "late.joblib")
    text = check_v2_error(control(server, "late", "load"), 400)
    assert "holds code" in text
    (models / "forest.joblib").write_bytes(b"broken")
    text = check_v2_error(control(server, "forest", "load"), 400)
    assert str(models) not in text
    assert statuses(server, "/models/forest/predict", folder.ROWS) == {200}


@pytest.mark.parametrize(
    ("name", "action", "parameters", "status"),
    [
        ("nobody", "load", {}, 404),
        ("nobody", "unload", {}, 404),
        ("plane", "load", {"config": "{}"}, 501),
        ("plane", "load", {"file:1/model.onnx": "AAAA"}, 501),
        ("plane", "unload", {"unload_dependents": "yes"}, 400),
    ],
)
def test_what_cannot_be_asked_for_is_refused_in_the_protocols_form(
    server: Server, name: str, action: str, parameters: dict[str, Any], status: int
) -> None:
    check_v2_error(control(server, name, action, **parameters), status)
    assert index(server)["plane", "1"] == ("READY", "")


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"parameters":1}'])
def test_a_malformed_body_is_refused(server: Server, body: bytes) -> None:
    for action in ("load", "unload"):
        path = f"/v2/repository/models/plane/{action}"
        check_v2_error(server.request("POST", path, body, x_api_key=KEY), 400)


def test_control_needs_the_key_and_our_own_pages(server: Server) -> None:
    path = "/v2/repository/models/plane/unload"
    check_v2_error(server.request("POST", path), 401)
    check_v2_error(server.request("POST", path, origin="http://evil.example", x_api_key=KEY), 403)
    assert index(server)["plane", "1"] == ("READY", "")


def test_the_server_says_that_it_can(server: Server) -> None:
    assert "model_repository(unload_dependents)" in server.get("/v2", x_api_key=KEY).json()["extensions"]
    paths = server.get("/openapi.json", x_api_key=KEY).json()["paths"]
    assert {f"/v2/repository/models/{{name}}/{one}" for one in ("load", "unload")} <= set(paths)
