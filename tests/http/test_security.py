"""Holes that systems of this kind have had, each tried on ours."""

from __future__ import annotations

import os
import pickle
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import pytest
import urllib3
from tests.http import folder
from tests.http.claims import check_error_of, check_no_leak, check_problem, check_refusal, form_of
from tests.http.conftest import ROOT
from tests.http.route_walk import FORMS, METHODS, ROUTES
from tests.servers import DEMIJOHN, Server, serving

from demijohn.protocols import native

KEYS = ("4wK9-first-key", "7Zq2-second-key")
FRIEND = "https://trusted.example.com"
OPEN = {"/livez", "/readyz", "/", "/docs"}
MIB = 2**20


@pytest.fixture(scope="module")
def locked(fast_lane: str) -> Iterator[Server]:
    """An app with keys, under /ml."""
    environ = {
        "DEMIJOHN_API_KEY": ",".join(KEYS),
        "DEMIJOHN_ALLOWED_ORIGINS": FRIEND,
        "DEMIJOHN_FAST_LANE": fast_lane,
    }
    with serving(["tests.http.apps:app"], "--workers", "1", "--access-log", cwd=ROOT, **environ) as server:
        yield server


def test_the_walk_meets_every_route() -> None:
    paths = {path for path, _ in ROUTES}
    assert paths >= OPEN | {
        "/predict",
        "/models",
        "/models/plane",
        "/models/plane/predict",
        "/metrics",
        "/openapi.json",
    }


# 1, 12: pickles -----------------------------------------------------------------------------


class Canary:
    """Unpickled, it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


PICKLE_TYPES = [
    "application/octet-stream",
    "application/x-pickle",
    "application/python-pickle",
    "application/x-joblib",
    "application/x-hdf5",
    "multipart/form-data; boundary=x",
]


@pytest.mark.parametrize("content_type", PICKLE_TYPES)
def test_a_pickle_is_never_read_from_a_request(server: Server, tmp_path: Path, content_type: str) -> None:
    body = pickle.dumps(Canary(tmp_path / "canary"))
    for path in sorted({path for path, method in ROUTES if method == "POST"}):
        answer = server.post(path, body, content_type=content_type)
        if form_of(path) is not None:  # some read JSON, whatever the type
            check_error_of(path, answer, answer.status)
            assert answer.status in {400, 403, 415, 501}, path
        else:
            check_problem(answer, 415, "unsupported_media_type")
    for path, _ in ROUTES:
        for method in METHODS:
            status = server.request(method, path, body, content_type=content_type).status
            assert status < 500 or (status == 501 and form_of(path) == {"error"})
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("content_type", ["", *native.ANSWERS])
def test_a_pickle_in_disguise_is_no_body(server: Server, tmp_path: Path, content_type: str) -> None:
    headers = {"content_type": content_type} if content_type else {}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        body = pickle.dumps(Canary(tmp_path / "canary"), protocol)
        answer = server.post("/predict", body, **headers)
        assert answer.status in {400, 422}
        check_no_leak(answer.data)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("dump", [pickle.dump, joblib.dump], ids=["pickle", "joblib"])
@pytest.mark.parametrize(
    "command", [["inspect", "{}"], ["serve", "{}", "--port", "0"], ["predict", "{}", "rows.csv"]]
)
def test_a_pickle_that_is_named_skops_is_not_loaded(tmp_path: Path, dump: Any, command: list[str]) -> None:
    model, canary = tmp_path / "model.skops", tmp_path / "canary"
    with model.open("wb") as file:
        dump(Canary(canary), file)
    (tmp_path / "rows.csv").write_text("a\n1\n")
    words = [word.format(model) for word in command]
    done = subprocess.run(
        [*DEMIJOHN, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert not canary.exists()
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done


# 31, 34: Host and Origin -----------------------------------------------------------------------

FOREIGN_HOSTS = [
    "evil.test",
    "evil.test:8000",
    "localhost.evil.test",
    "127.0.0.1.evil.test",
    "169.254.169.254",
    "[::2]",
    "",
]
FOREIGN_ORIGINS = [
    "http://evil.test",
    "https://localhost.evil.test",
    "null",
    "http://127.0.0.1:1",
    "file://",
    "",
    "://",
    "\u00e9",
]


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_another_host_is_refused_on_every_route_and_method(server: Server, host: str) -> None:
    for path in [*sorted({path for path, _ in ROUTES}), "/nowhere"]:
        for method in METHODS:
            answer = server.request(method, path, Host=host)
            assert answer.status == 400, (method, path)
            if method != "HEAD":
                check_refusal(path, answer, 400, "host_refused")


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
def test_a_page_of_another_origin_is_refused_on_every_route_and_method(server: Server, origin: str) -> None:
    headers = {"Origin": origin.encode().decode("latin-1")}
    for path, method in ROUTES:
        answer = server.request(method, path, **headers, **FORMS.get(method, {}))
        assert answer.status == 403, (method, path)
        if method != "HEAD":
            check_refusal(path, answer, 403, "origin_refused")
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_page_of_our_own_is_not_refused(server: Server) -> None:
    assert server.post("/predict", folder.ROWS, origin=server.url).status == 200


@pytest.mark.parametrize(
    "origin",
    [
        f"{FRIEND}.evil.test",
        "https://evil-trusted.example.com",
        f"{FRIEND}:444",
        "http://trusted.example.com",
        "null",
    ],
)
def test_an_origin_like_an_allowed_one_gets_no_cors_headers(locked: Server, origin: str) -> None:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    for method in ("OPTIONS", "POST"):
        answer = locked.request(method, "/ml/predict", **headers, x_api_key=KEYS[0])
        assert answer.status == 403
        assert not [name for name in answer.headers if name.startswith("Access-Control-Allow")]


def test_an_allowed_origin_gets_them(locked: Server) -> None:
    answer = locked.request("OPTIONS", "/ml/predict", origin=FRIEND, access_control_request_method="POST")
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, FRIEND)
    answer = locked.post("/ml/predict", folder.ROWS, origin=FRIEND, x_api_key=KEYS[1])
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, FRIEND)
    assert "Access-Control-Allow-Private-Network" not in answer.headers


# 32, 33, 35: keys ------------------------------------------------------------------------------


def test_every_route_needs_the_key_but_those_that_say_so(locked: Server) -> None:
    for path, method in ROUTES:
        is_open = path in OPEN or path.startswith("/console-assets/")
        forms = FORMS.get(method, {})
        answer = locked.request(method, f"/ml{path}", **forms)
        assert (answer.status == 401) == (not is_open), (method, path, answer.status)
        if answer.status == 401:
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        for headers in ({"X-API-Key": KEYS[0]}, {"Authorization": f"Bearer {KEYS[1]}"}):
            status = locked.request(method, f"/ml{path}", **headers, **forms).status
            assert status != 401
            assert (status == 403) == (method == "POST" and path.startswith("/v2/repository/models/"))


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": ""},
        {"X-API-Key": KEYS[0][:-1]},
        {"X-API-Key": KEYS[0] + "x"},
        {"X-API-Key": ",".join(KEYS)},
        {"X-API-Key": KEYS[0].upper()},
        {"Authorization": KEYS[0]},
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {KEYS[0]}"},
        {"Authorization": "Bearer wrong", "X-API-Key": KEYS[0]},
        {"Cookie": f"key={KEYS[0]}"},
    ],
)
def test_what_is_not_a_key_opens_nothing(locked: Server, headers: dict[str, str]) -> None:
    check_problem(locked.request("POST", "/ml/predict", b"[[1,2,3]]", **headers), 401, "key_missing")


def test_a_key_in_the_address_opens_nothing(locked: Server) -> None:
    for name in ("key", "api_key", "access_token", "X-API-Key"):
        assert locked.get(f"/ml/models?{name}={KEYS[0]}").status == 401


@pytest.mark.parametrize("user", ["admin", "root", "demijohn", "user", "test"])
@pytest.mark.parametrize("password", ["password1234", "admin", "password", ""])
def test_there_is_no_password_that_everybody_knows(locked: Server, user: str, password: str) -> None:
    basic = urllib3.make_headers(basic_auth=f"{user}:{password}")["authorization"]
    assert locked.get("/ml/models", authorization=basic).status == 401
    assert locked.get("/ml/models", x_api_key=password or user).status == 401


def test_no_key_is_ever_in_the_log_or_in_an_answer(locked: Server) -> None:
    wrong = "9Xx1-a-wrong-key"
    bodies = [b"[", b"[[1]]", b"[[1,2,3]]", b'[{"x": 101}]', b'[{"x": -1}]', b"\xff"]
    for headers in ({"X-API-Key": KEYS[0]}, {"Authorization": f"Bearer {KEYS[1]}"}, {"X-API-Key": wrong}):
        for path in ("/predict", "/models/picky/predict", "/models/crooked/predict", "/nowhere", "/metrics"):
            for body in bodies:
                answer = locked.request("POST", f"/ml{path}", body, **headers)
                assert not [key for key in (*KEYS, wrong) if key.encode() in answer.data]
    locked.request("POST", "/price", b"[", x_api_key=KEYS[0])  # the app's own view fails
    locked.get("/ml/models/" + "a" * 9000, x_api_key=KEYS[0])
    log = locked.log
    assert "RuntimeError" in log
    assert not [key for key in (*KEYS, wrong) if key in log]


# 36: the debugger --------------------------------------------------------------------------------


def test_there_is_no_debugger(server: Server) -> None:
    assert server.get("/console").status == 404
    for path in ("/", "/models", "/nowhere"):
        answer = server.get(f"{path}?__debugger__=yes&cmd=resource&f=debugger.js")
        assert (answer.status, b"debugger" in answer.data) == (server.get(path).status, False)


@pytest.mark.parametrize("value", ["1", "true", "on"])
def test_serve_refuses_to_start_with_the_debugger(tmp_path: Path, value: str) -> None:
    folder.save(tmp_path)
    for words in ([str(tmp_path / "plane.joblib")], ["tests.http.apps:app"]):
        done = subprocess.run(
            [*DEMIJOHN, "serve", *words, "--port", "0"],
            cwd=ROOT,
            env={**os.environ, "FLASK_DEBUG": value},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert len(done.stderr.splitlines()) == 1
        assert "FLASK_DEBUG" in done.stderr
