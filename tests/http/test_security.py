"""Holes that systems of this kind have had, each tried on ours."""

from __future__ import annotations

import os
import pickle
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import joblib
import pytest
import urllib3
from flask import Flask

from demijohn import Demijohn
from tests.http import folder, smuggling, wire
from tests.http.claims import LEAKS, check_alive, check_no_leak, check_problem
from tests.http.conftest import ROOT
from tests.http.test_bad_input import MISFITS, TABLE_MISFITS, UNREADABLE, UNREADABLE_CSV
from tests.servers import DEMIJOHN, Server, serving, until

KEYS = ("4wK9-first-key", "7Zq2-second-key")
FRIEND = "https://trusted.example.com"
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
OPEN = {"/livez", "/readyz", "/", "/docs"}
MIB = 2**20


def _routes() -> list[tuple[str, str]]:
    """List every route of ours with every method it takes, as it stands in the app itself."""
    app = Flask(__name__)
    Demijohn(app, url_prefix="/ml")
    arguments = {"name": "plane", "version": "1", "alias": "champion", "method": "predict", "path": "console.js"}
    routes = []
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith("demijohn.") and rule.endpoint != "demijohn.no_route":
            path = re.sub(r"<(?:\w+:)?(\w+)>", lambda match: arguments[match[1]], rule.rule.removeprefix("/ml"))
            routes += [(path, method) for method in sorted(rule.methods or ())]
    return routes


ROUTES = _routes()


@pytest.fixture
def server(files: Server) -> Iterator[Server]:
    """The shared server; whatever a test sends, it must leave it as it was."""
    workers = files.workers
    yield files
    check_alive(files, workers)


@pytest.fixture(scope="module")
def locked() -> Iterator[Server]:
    """An app with keys, under /ml."""
    environ = {"DEMIJOHN_API_KEY": ",".join(KEYS), "DEMIJOHN_ALLOWED_ORIGINS": FRIEND}
    with serving(["tests.http.apps:app"], "--workers", "1", "--access-log", cwd=ROOT, **environ) as server:
        yield server


def test_the_walk_meets_every_route() -> None:
    paths = {path for path, _ in ROUTES}
    assert paths >= OPEN | {"/predict", "/models", "/models/plane", "/models/plane/predict", "/metrics", "/openapi.json"}


# 1, 12: pickles -----------------------------------------------------------------------------


class Canary:
    """Unpickled, it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


PICKLE_TYPES = [
    "application/octet-stream", "application/x-pickle", "application/python-pickle", "application/x-joblib",
    "application/x-npy", "multipart/form-data; boundary=x",
]  # fmt: skip


@pytest.mark.parametrize("content_type", PICKLE_TYPES)
def test_a_pickle_is_never_read_from_a_request(server: Server, tmp_path: Path, content_type: str) -> None:
    body = pickle.dumps(Canary(tmp_path / "canary"))
    for path in sorted({path for path, method in ROUTES if method == "POST"}):
        check_problem(server.post(path, body, content_type=content_type), 415, "unsupported_media_type")
    for path, _ in ROUTES:
        for method in METHODS:
            assert server.request(method, path, body, content_type=content_type).status < 500
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("content_type", ["", "application/json", "text/csv"])
def test_a_pickle_in_disguise_is_no_body(server: Server, tmp_path: Path, content_type: str) -> None:
    headers = {"content_type": content_type} if content_type else {}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        body = pickle.dumps(Canary(tmp_path / "canary"), protocol)
        answer = server.post("/predict", body, **headers)
        assert answer.status in {400, 422}
        check_no_leak(answer.data)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("dump", [pickle.dump, joblib.dump], ids=["pickle", "joblib"])
@pytest.mark.parametrize("command", [["inspect", "{}"], ["serve", "{}", "--port", "0"], ["predict", "{}", "rows.csv"]])
def test_a_pickle_that_is_named_skops_is_not_loaded(tmp_path: Path, dump: Any, command: list[str]) -> None:
    model, canary = tmp_path / "model.skops", tmp_path / "canary"
    with model.open("wb") as file:
        dump(Canary(canary), file)
    (tmp_path / "rows.csv").write_text("a\n1\n")
    words = [word.format(model) for word in command]
    done = subprocess.run([*DEMIJOHN, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert not canary.exists()
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done


# 31, 34: Host and Origin -----------------------------------------------------------------------

FOREIGN_HOSTS = ["evil.test", "evil.test:8000", "localhost.evil.test", "127.0.0.1.evil.test", "169.254.169.254", "[::2]", ""]
FOREIGN_ORIGINS = ["http://evil.test", "https://localhost.evil.test", "null", "http://127.0.0.1:1", "file://", "", "://", "\u00e9"]


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_another_host_is_refused_on_every_route_and_method(server: Server, host: str) -> None:
    for path in [*sorted({path for path, _ in ROUTES}), "/nowhere"]:
        for method in METHODS:
            answer = server.request(method, path, **{"Host": host})
            assert answer.status == 400, (method, path)
            if method != "HEAD":
                check_problem(answer, 400, "host_refused")


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
def test_a_page_of_another_origin_is_refused_on_every_route_and_method(server: Server, origin: str) -> None:
    headers = {"Origin": origin.encode().decode("latin-1")}
    for path, method in ROUTES:
        answer = server.request(method, path, **headers)
        assert answer.status == 403, (method, path)
        if method != "HEAD":
            check_problem(answer, 403, "origin_refused")
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_page_of_our_own_is_not_refused(server: Server) -> None:
    assert server.post("/predict", folder.ROWS, origin=server.url).status == 200


@pytest.mark.parametrize(
    "origin", [f"{FRIEND}.evil.test", "https://evil-trusted.example.com", f"{FRIEND}:444", "http://trusted.example.com", "null"]
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
        answer = locked.request(method, f"/ml{path}")
        assert (answer.status == 401) == (not is_open), (method, path, answer.status)
        if answer.status == 401:
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        for headers in ({"X-API-Key": KEYS[0]}, {"Authorization": f"Bearer {KEYS[1]}"}):
            assert locked.request(method, f"/ml{path}", **headers).status not in {401, 403}


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
            cwd=ROOT, env={**os.environ, "FLASK_DEBUG": value}, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (2, "")
        assert len(done.stderr.splitlines()) == 1
        assert "FLASK_DEBUG" in done.stderr


# 39: response headers ------------------------------------------------------------------------------

DIRTY = [b"a\rb", b"a\nb", b"a\r\nSet-Cookie: x=1", b"a\0b", b"a\x7fb", b"\x1b[31m", b"\xe9", "\U0001f40d".encode(), b"\xff", b" ", b"a" * 200]
CLEAN_HEAD = re.compile(r"[\t\x20-\x7e]*\Z")


@pytest.mark.parametrize("value", DIRTY)
@pytest.mark.parametrize("name", [b"X-Request-Id", b"Origin", b"Accept", b"Content-Type", b"Content-Encoding", b"X-API-Key"])
def test_what_a_client_writes_does_not_come_back_in_a_header(server: Server, name: bytes, value: bytes) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n%b: %b\r\n\r\n[[1,2,3]]" % (name, value)
    for answer in wire.exchange(server.address, head):
        assert answer.status < 500
        assert "set-cookie" not in answer.headers
        for text in answer.headers.values():
            assert CLEAN_HEAD.match(text)
            assert value.decode("latin-1").strip() not in text or value == b" "


@pytest.mark.parametrize("value", ["%0d%0aSet-Cookie:x=1", "%00", "%7f", "%1b", "%ff", "%f0%9f%90%8d", "%0a", "%0d"])
def test_a_path_does_not_come_back_in_a_header(server: Server, value: str) -> None:
    for path in (f"/{value}", f"/models/{value}", f"/models/plane/{value}", f"/console-assets/{value}", f"/livez?{value}"):
        for answer in wire.exchange(server.address, wire.get(path)):
            assert answer.status < 500
            assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("value", ["%0d%0aSet-Cookie:x=1", "%0a", "%0d", "%00", "%7f", "%1b", "\u00e9", "\U0001f40d", "fine"])
def test_a_careless_app_can_neither_split_an_answer_nor_end_a_worker(app: Server, value: str) -> None:
    workers = app.workers
    answer = app.get(f"/reflect?value={value}")
    assert answer.status in ({200} if value == "fine" else {200, 500})
    assert "Set-Cookie" not in answer.headers
    assert app.workers == workers
    assert app.get("/ml/readyz").status == 200


# 40: smuggling ---------------------------------------------------------------------------------------


def _reached(server: Server) -> int:
    return server.log.count(" smuggled GET ")


@pytest.mark.parametrize("kind", smuggling.BROKEN)
def test_a_broken_request_is_refused_and_holds_no_other(server: Server, kind: str) -> None:
    before = _reached(server)
    answers = wire.exchange(server.address, smuggling.BROKEN[kind])
    assert [answer.status // 100 for answer in answers] in ([4], [])
    assert _reached(server) == before


@pytest.mark.parametrize("kind", smuggling.DOUBTFUL)
def test_a_doubtful_request_is_one_request_at_most(server: Server, kind: str) -> None:
    before = _reached(server)
    answers = wire.exchange(server.address, smuggling.DOUBTFUL[kind])
    finals = [answer.status for answer in answers if answer.status >= 200]
    assert len(finals) <= 1
    assert all(status < 500 for status in finals)
    assert _reached(server) == before


def test_the_proof_of_smuggling_sees_a_second_request(server: Server) -> None:
    before = _reached(server)
    answers = wire.exchange(server.address, wire.get("/livez") + smuggling.SMUGGLED)
    assert [answer.status for answer in answers] == [200, 404]
    until(lambda: _reached(server) == before + 1)


# 41, 45: floods ----------------------------------------------------------------------------------------


def _memory(pid: int, field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) * 1024


def test_a_million_chunks_of_one_byte_cost_no_memory(server: Server) -> None:
    body = b"[[1,2,3]" + b" " * 1_000_000 + b"]"
    server.post("/predict", body)
    for pid in server.workers:
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak counts from here
    before = {pid: _memory(pid, "VmRSS") for pid in server.workers}
    head = wire.post("/predict", [("Transfer-Encoding", "chunked")])
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    (answer,) = wire.exchange(server.address, head, chunks)
    assert answer.status in {200, 408}  # a slow machine may need longer than the server waits
    assert max(_memory(pid, "VmHWM") - rss for pid, rss in before.items()) <= 32 * MIB


HOSTILE = {
    "Accept": ["," * 8000, "text/html;q=0." + "9" * 7900, "a/b;" * 2000, "*/*;q=" * 1300, "text/csv" + " ;" * 3900, '"' * 8000],
    "Content-Type": ["application/json;" + ";" * 7900, "text/csv;" + "a=" * 3900, "a/" * 4000, "application/json; charset=" + "u" * 7900],
    "Content-Encoding": ["," * 8000, "gzip," * 1600, " " * 8000],
    "Origin": ["http://" + "a" * 8000, "http://[" + ":" * 7900, "http://" + "@" * 7900, ":" * 8000],
    "Host": ["a" * 8000, "[" + ":" * 7900 + "]", "localhost:" + "1" * 7900, "." * 8000],
    "Authorization": ["Bearer " * 1100, "Bearer " + " " * 7900, "Basic " + "A" * 7900],
    "X-Request-Id": ["a" * 8000, " " * 8000],
    "Cookie": ["a=b;" * 2000, "=" * 8000, '"\\' * 4000],
    "Forwarded": ["for=1;" * 1300],
    "Range": ["bytes=" + "0-," * 2600],
    "If-None-Match": ['"' + "a" * 7900, "," * 8000],
    "Accept-Language": ["a-" * 4000],
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_header_is_read_at_once(server: Server, name: str) -> None:
    body = b"[[1,2,3]]"
    for value in HOSTILE[name]:
        answer = server.http.request(
            "POST", f"{server.url}/predict", body=body, headers={name: value}, timeout=5.0, retries=False
        )
        assert answer.status < 500
        check_no_leak(answer.data)


# 44: leaks -----------------------------------------------------------------------------------------------

N_ERRORS = 500


def _wrong_requests() -> Iterator[tuple[str, str, bytes, dict[str, str]]]:
    """Yield requests of every kind that something is wrong with, without an end."""
    chance = random.Random(0)
    bodies = [*UNREADABLE.values(), *UNREADABLE_CSV.values()]
    bodies += [repr(body).encode() for body in [*MISFITS.values(), *TABLE_MISFITS.values()]]
    bodies = [body[:100_000] for body in bodies]
    paths = [path for path, _ in ROUTES] + ["/models/nobody/predict", "/models/plane/fit", "/nowhere", "/models/double/versions/0/predict"]
    types = ["application/json", "text/csv", "text/csv; header=absent", "text/plain", "multipart/form-data", ""]
    while True:
        body = bytearray(chance.choice(bodies))
        for _ in range(chance.randrange(4)):
            if body:
                body[chance.randrange(len(body))] = chance.randrange(256)
        path = chance.choice(paths)
        if chance.random() < 0.3:
            at = chance.randrange(1, len(path) + 1)
            path = path[:at] + chance.choice(["%00", "..", "%ff", "%2f", "'", "{", "\u20ac", "//", ";"]) + path[at:]
        headers = {"Content-Type": chance.choice(types)}
        if chance.random() < 0.3:
            name = chance.choice(["Content-Encoding", "Accept", "Origin", "Host", "X-Request-Id"])
            headers[name] = chance.choice(["gzip", "x", "null", "{}", "a b", "%s%n", "../../etc/passwd", "deflate"])
        yield chance.choice(["POST", "POST", "POST", *METHODS]), path, bytes(body), headers


def test_500_errors_of_all_kinds_tell_nothing_of_the_machine(server: Server) -> None:
    codes: dict[str, int] = {}
    for method, path, body, headers in _wrong_requests():
        answer = server.request(method, path, body, **headers)
        assert answer.status < 500, (method, path, body[:200], headers, answer.data)
        if answer.status < 400 or method == "HEAD":
            continue
        assert answer.headers["Content-Type"] == "application/problem+json", (method, path, headers)
        code = answer.json()["code"]
        check_problem(answer, answer.status, code)
        codes[code] = codes.get(code, 0) + 1
        if sum(codes.values()) >= N_ERRORS:
            break
    assert len(codes) >= 9, codes


def test_the_models_own_500s_tell_nothing_either(app: Server) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda x: app.post("/ml/models/picky/predict", [{"x": 101 + x}]), range(50)))
    for answer in answers:
        check_problem(answer, 500, "model_error")
        assert LEAKS.search(str(answer.headers).encode()) is None
        assert str(sys.executable) not in answer.data.decode()
