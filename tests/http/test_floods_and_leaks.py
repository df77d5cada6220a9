"""Floods cost no memory and no time; errors tell nothing of the machine."""

from __future__ import annotations

import gzip
import random
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.http import wire
from tests.http.claims import LEAKS, check_error_of, check_no_leak, check_problem, check_v2_error, form_of
from tests.http.route_walk import METHODS, ROUTES
from tests.http.test_bad_input import MISFITS, TABLE_MISFITS, UNREADABLE, UNREADABLE_CSV
from tests.servers import Server, until
from urllib3.util import parse_url

MIB = 2**20


# 41, 45: floods ----------------------------------------------------------------------------------------


def _memory(pid: int, field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) * 1024


def _is_settled(server: Server) -> bool:
    """Say whether whichever worker answers has proved all its models."""
    names = [model["name"] for model in server.get("/models", connection="close").json()["models"]]
    plans = [server.get(f"/models/{name}", connection="close").json()["plan"] for name in names]
    return all(plan["state"] == "settled" for plan in plans)


def test_a_million_chunks_of_one_byte_cost_no_memory(server: Server) -> None:
    until(lambda: all(_is_settled(server) for _ in range(16)), 120.0)  # proofs take memory of their own
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


def test_a_head_beyond_a_compressed_body_leaves_no_memory_behind(server: Server) -> None:
    until(lambda: all(_is_settled(server) for _ in range(16)), 120.0)
    body = gzip.compress(b" " * MIB)
    headers = {"content_encoding": "gzip", "inference_header_content_length": "9999999"}

    def ask(count: int) -> None:
        for _ in range(count):
            check_v2_error(server.post("/v2/models/plane/infer", body, **headers), 400)

    ask(20)  # what is kept for the next request is kept once
    before = {pid: _memory(pid, "VmRSS") for pid in server.workers}
    ask(200)
    assert max(_memory(pid, "VmRSS") - rss for pid, rss in before.items()) <= 32 * MIB


HOSTILE = {
    "Accept": [
        "," * 8000,
        "text/html;q=0." + "9" * 7900,
        "a/b;" * 2000,
        "*/*;q=" * 1300,
        "text/csv" + " ;" * 3900,
        '"' * 8000,
    ],
    "Content-Type": [
        "application/json;" + ";" * 7900,
        "text/csv;" + "a=" * 3900,
        "a/" * 4000,
        "application/json; charset=" + "u" * 7900,
    ],
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
}


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
    paths = [path for path, _ in ROUTES] + [
        "/models/nobody/predict",
        "/models/plane/fit",
        "/nowhere",
        "/models/double/versions/0/predict",
    ]
    types = [
        "application/json",
        "text/csv",
        "text/csv; header=absent",
        "text/plain",
        "multipart/form-data",
        "",
    ]
    while True:
        body = bytearray(chance.choice(bodies))
        for _ in range(chance.randrange(4)):
            if body:
                body[chance.randrange(len(body))] = chance.randrange(256)
        path = chance.choice(paths)
        if chance.random() < 0.3:
            at = chance.randrange(1, len(path) + 1)
            path = (
                path[:at]
                + chance.choice(["%00", "..", "%ff", "%2f", "'", "{", "\u20ac", "//", ";"])
                + path[at:]
            )
        headers = {"Content-Type": chance.choice(types)}
        if chance.random() < 0.3:
            name = chance.choice(["Content-Encoding", "Accept", "Origin", "Host", "X-Request-Id"])
            headers[name] = chance.choice(["gzip", "x", "null", "{}", "a b", "%s%n", "../..", "deflate"])
        yield chance.choice(["POST", "POST", "POST", *METHODS]), path, bytes(body), headers


def test_500_errors_of_all_kinds_tell_nothing_of_the_machine(server: Server) -> None:
    codes: dict[str, int] = {}
    for method, path, body, headers in _wrong_requests():
        answer = server.request(method, path, body, **headers)
        sent = parse_url(server.url + path).path or "/"  # the client takes dots out
        form = form_of(sent)
        is_fine = answer.status < 500 or (form == {"error"} and answer.status == 501)
        assert is_fine, (method, path, body[:200], headers, answer.data)
        if answer.status < 400 or method == "HEAD":
            continue
        if form is not None:
            check_error_of(sent, answer, answer.status)
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
