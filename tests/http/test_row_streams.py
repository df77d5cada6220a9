"""Bodies larger than memory, scored while they come, through real servers: with the lane and without."""

from __future__ import annotations

import csv
import gzip
import io
import json
import signal
import socket
import subprocess
import time
import uuid
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.http.claims import check_problem
from tests.http.conftest import ROOT
from tests.http.rows_app import PLANE, ROWS
from tests.http.test_metrics_over_http import value
from tests.servers import Server, serving, until

LIMIT = 4_000  # of a body that is read whole; it is the size of a piece then, too
TIMEOUT_S = 1.0
DEADLINE_S = 3.0
CSV, LINES = "text/csv", "application/x-ndjson"
ARROW = "application/vnd.apache.arrow.stream"
PLANE_PATH = "/ml/models/plane/predict"

AS_CSV = ROWS.to_csv(index=False).encode()
AS_LINES = "".join(json.dumps(row) + "\n" for row in ROWS.to_dict("records")).encode()


def as_arrow(n_rows: int) -> bytes:
    out = io.BytesIO()
    table = pa.Table.from_pandas(ROWS[:n_rows], preserve_index=False)
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table, max_chunksize=70)
    return out.getvalue()


BODIES = {CSV: AS_CSV, LINES: AS_LINES, ARROW: as_arrow(len(ROWS))}
SHORT = {
    CSV: b"".join(AS_CSV.splitlines(keepends=True)[:30]),
    LINES: b"".join(AS_LINES.splitlines(keepends=True)[:30]),
    ARROW: as_arrow(30),
}


@pytest.fixture(scope="module")
def holding(fast_lane: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    path = tmp_path_factory.mktemp("holding")
    with _serve(HOLDING=str(path), DEMIJOHN_FAST_LANE=fast_lane) as server:
        # Another engine may round otherwise: answers are compared once it is known which one runs.
        until(lambda: server.get("/ml/models/plane").json()["plan"]["state"] == "settled")
        yield server, path


@pytest.fixture
def server(holding: tuple[Server, Path]) -> Server:
    return holding[0]


def _serve(**environ: str) -> AbstractContextManager[Server]:
    environ = {
        "DEMIJOHN_MAX_BODY_BYTES": str(LIMIT),
        "DEMIJOHN_BODY_TIMEOUT_S": str(TIMEOUT_S),
        "DEMIJOHN_DEADLINE_S": str(DEADLINE_S),
        **environ,
    }
    return serving(["tests.http.rows_app:app"], "--workers", "1", cwd=ROOT, **environ)


def curl(server: Server, body: bytes, *options: str, path: str = PLANE_PATH) -> bytes:
    """Let curl send a body, as its own documentation says that one is uploaded."""
    command = ["curl", "--silent", "--show-error", "--max-time", "60", "-T", "-", *options, server.url + path]
    return subprocess.run(command, input=body, stdout=subprocess.PIPE, check=True).stdout


def forms(body: str, answer: str) -> list[str]:
    return ["-H", f"Content-Type: {body}", "-H", f"Accept: {answer}"]


def numbers(body: bytes, media_type: str) -> list[float]:
    if media_type == LINES:
        return [json.loads(line) for line in body.splitlines()]
    if media_type == ARROW:
        return list(pa.ipc.open_stream(body).read_all().column("predict").to_pylist())
    header, *rows = csv.reader(io.StringIO(body.decode(), newline=""))
    assert header == ["predict"]
    return [float(cell) for (cell,) in rows]


def error_of(last: bytes, media_type: str) -> dict[str, Any]:
    """Return the problem that the last record tells."""
    if media_type == LINES:
        problem: dict[str, Any] = json.loads(last)["error"]
    else:
        ((empty, cell),) = csv.reader([last.decode()])
        assert empty == ""
        problem = json.loads(cell)
    return problem


# Rows in, rows out ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize(
    ("body", "answer"), [(CSV, CSV), (CSV, LINES), (LINES, CSV), (LINES, LINES), (ARROW, ARROW)]
)
def test_curl_uploads_rows_and_gets_one_answer_for_each_in_order(
    server: Server, method: str, body: str, answer: str
) -> None:
    found = curl(server, BODIES[body], *forms(body, answer), "-X", method)
    np.testing.assert_allclose(numbers(found, answer), PLANE.predict(ROWS), rtol=1e-9)


@pytest.mark.parametrize("answer", [CSV, LINES])
def test_a_body_of_known_length_is_scored_as_one_of_unknown_length(server: Server, answer: str) -> None:
    asked = {"content_type": CSV, "accept": answer}
    known = server.put(PLANE_PATH, AS_CSV, **asked)
    assert known.status == 200
    assert known.headers["Content-Type"].partition(";")[0] == answer
    assert known.headers["Transfer-Encoding"] == "chunked"
    assert known.data == curl(server, AS_CSV, *forms(CSV, answer))


@pytest.mark.parametrize("body", [CSV, LINES, ARROW])
@pytest.mark.parametrize("answer", [CSV, LINES, ARROW])
def test_a_short_body_has_the_same_answer_either_way(server: Server, body: str, answer: str) -> None:
    short = SHORT[body]
    for sent in (short, short.rstrip(b"\r\n")):
        whole = server.post(PLANE_PATH, sent, content_type=body, accept=answer)
        assert (whole.status, whole.headers.get("Transfer-Encoding")) == (200, None)
        assert server.put(PLANE_PATH, sent, content_type=body, accept=answer).data == whole.data
        assert curl(server, sent, *forms(body, answer)) == whole.data
        packed = server.post(
            PLANE_PATH, gzip.compress(sent), content_type=body, accept=answer, content_encoding="gzip"
        )
        assert packed.data == whole.data


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "gzip, deflate"])
def test_a_compressed_body_is_scored_while_it_comes(server: Server, encoding: str) -> None:
    packed = AS_CSV
    for step in encoding.split(", "):
        packed = gzip.compress(packed) if step == "gzip" else zlib.compress(packed)
    found = curl(server, packed, *forms(CSV, LINES), "-H", f"Content-Encoding: {encoding}")
    np.testing.assert_allclose(numbers(found, LINES), PLANE.predict(ROWS), rtol=1e-9)


def test_quoted_texts_and_several_outputs_pass_through(server: Server) -> None:
    rows = [[f'line\nof "{number}", é', str(number)] for number in range(500)]
    out = io.StringIO(newline="")
    csv.writer(out).writerows([["text", "n"], *rows])
    found = curl(server, out.getvalue().encode(), *forms(CSV, CSV), path="/ml/models/shout/predict")
    _, *answers = csv.reader(io.StringIO(found.decode(), newline=""))
    assert answers == [[text.upper(), str(int(n) + 1)] for text, n in rows]


def test_a_body_without_header_says_so(server: Server) -> None:
    found = curl(server, AS_CSV.partition(b"\n")[2], *forms("text/csv; header=absent", CSV))
    np.testing.assert_allclose(numbers(found, CSV), PLANE.predict(ROWS), rtol=1e-9)


# Errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [CSV, LINES])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_an_error_in_a_late_row_is_the_last_record_and_says_which(
    server: Server, answer: str, encoding: str
) -> None:
    lines = AS_CSV.splitlines(keepends=True)
    body = b"".join([*lines[:901], b"1,x,3\n", *lines[901:]])
    sent = gzip.compress(body) if encoding == "gzip" else body
    found = server.put(PLANE_PATH, sent, content_type=CSV, accept=answer, content_encoding=encoding)
    assert found.status == 200
    *rows, last = found.data.splitlines(keepends=True)
    problem = error_of(last, answer)
    (where,) = problem["errors"]
    assert (problem["status"], problem["code"]) == (422, "signature_mismatch")
    assert (where["row"], where["column"], where["received"]) == (900, "b", 'the string "x"')
    assert problem["request_id"] == found.headers["X-Request-Id"]
    answered = numbers(b"".join(rows), answer)
    assert 800 < len(answered) <= 900
    np.testing.assert_allclose(answered, PLANE.predict(ROWS[: len(answered)]), rtol=1e-9)


@pytest.mark.parametrize(
    ("tail", "status", "row"),
    [(b"5" * (3 * LIMIT), 413, 1000), (b'"1"2,3,4\n', 400, 1000), (b"\xff,1,2\n", 400, 1000)],
)
def test_what_cannot_be_read_is_told_where_it_stands(
    server: Server, tail: bytes, status: int, row: int
) -> None:
    problem = error_of(curl(server, AS_CSV + tail, *forms(CSV, LINES)).splitlines()[-1], LINES)
    assert (problem["status"], problem["errors"][0]["row"]) == (status, row)
    assert f"row {row}" in problem["detail"]


def test_a_compressed_body_that_breaks_off_is_told(server: Server) -> None:
    packed = gzip.compress(AS_CSV)[:-2000]
    asked = [*forms(CSV, LINES), "-H", "Content-Encoding: gzip"]
    problem = error_of(curl(server, packed, *asked).splitlines()[-1], LINES)
    assert (problem["status"], problem["detail"]) == (400, "The gzip body ended early")


def test_an_error_in_an_arrow_stream_is_its_last_batch(server: Server) -> None:
    found = curl(server, BODIES[ARROW][:-200], *forms(ARROW, ARROW))
    stream, n_rows = pa.ipc.open_stream(found), 0
    while (batch := stream.read_next_batch_with_custom_metadata())[0].num_rows:
        n_rows += batch[0].num_rows
    problem = json.loads(batch[1]["error"])
    assert (problem["code"], problem["errors"][0]["row"]) == ("unreadable_body", n_rows)
    assert n_rows == len(ROWS) // 70 * 70
    with pytest.raises((pa.ArrowException, OSError)):
        pa.ipc.open_stream(found).read_all()


def test_what_the_model_refuses_is_the_last_record(server: Server) -> None:
    body = b"text,n\n" + b"a,1\n" * 5_000 + b"a,-1\n"
    found = curl(server, body, *forms(CSV, LINES), path="/ml/models/shout/predict").splitlines()
    assert error_of(found[-1], LINES)["code"] == "bad_input"
    assert 4_000 < len(found) < 5_001


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_an_error_before_the_first_row_is_an_ordinary_one(server: Server, method: str) -> None:
    asked = {"content_type": CSV, "accept": LINES}

    def ask(body: bytes, path: str = PLANE_PATH, **more: str) -> Any:
        return server.request(method, path, body, **{**asked, **more})

    long = b"1,2,3\n" * 1_000
    check_problem(ask(b"a,b,c\n1,x,3\n" + long), 422, "signature_mismatch")
    check_problem(ask(b"a,b\n1,2\n" + long), 422, "signature_mismatch")
    check_problem(ask(long), 422, "signature_mismatch")
    check_problem(ask(b"\xff\n" + long), 400, "unreadable_body")
    check_problem(ask(long, content_encoding="gzip"), 400, "unreadable_body")
    check_problem(ask(long, content_encoding="br"), 415, "unsupported_media_type")
    check_problem(ask(long, content_type="text/csv; charset=latin-1"), 415, "unsupported_media_type")
    check_problem(ask(long, "/ml/models/nobody/predict"), 404, "model_not_found")
    check_problem(ask(long, "/ml/models/plane/transform"), 404, "method_not_found")


def test_only_rows_for_rows_may_be_longer_than_a_body_is_allowed(server: Server) -> None:
    for asked in ({"content_type": CSV}, {"content_type": CSV, "accept": "application/json"}):
        check_problem(server.post(PLANE_PATH, AS_CSV, **asked), 413, "body_too_large")
        check_problem(server.put(PLANE_PATH, AS_CSV, **asked), 405, "method_not_allowed")
    whole = json.dumps(ROWS.to_numpy().tolist()).encode()
    check_problem(server.post(PLANE_PATH, whole, accept=LINES), 413, "body_too_large")
    refused = server.put(PLANE_PATH, b"[[1,2,3]]", content_type="application/json", accept=CSV)
    assert "application/x-ndjson" in check_problem(refused, 405, "method_not_allowed")["detail"]
    assert refused.headers["Allow"] == "POST"


def test_a_model_that_needs_all_rows_at_once_gets_them_or_says_so(server: Server) -> None:
    path, asked = "/ml/models/mean/predict", {"content_type": "text/csv; header=absent", "accept": LINES}
    problem = check_problem(server.put(path, b"1,2\n" * 2_000, **asked), 413, "body_too_large")
    assert "needs all rows at once: the function does not take" in problem["detail"]
    assert curl(server, b"1,2\n3,4", *forms(asked["content_type"], LINES), path=path) == b"-2.0\n2.0\n"


# Time ----------------------------------------------------------------------------------------


class Upload:
    """A client that sends a body bit by bit."""

    def __init__(self, server: Server, path: str = PLANE_PATH, length: int = 10**9) -> None:
        self.socket = socket.create_connection(server.address, timeout=30)
        head = f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {CSV}\r\nAccept: {LINES}\r\n"
        self.send(f"{head}Content-Length: {length}\r\n\r\n".encode())

    def __enter__(self) -> Upload:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, part: bytes) -> None:
        self.socket.sendall(part)

    def read_until(self, end: bytes) -> bytes:
        got = b""
        while end not in got and (part := self.socket.recv(65_536)):
            got += part
        return got


def test_a_long_upload_that_goes_on_outlasts_every_timeout(server: Server) -> None:
    body = AS_CSV[: len(AS_CSV) // LIMIT * LIMIT]
    body = body[: body.rindex(b"\n") + 1]
    started = time.monotonic()
    with Upload(server, length=len(body)) as upload:
        for start in range(0, len(body), LIMIT):
            upload.send(body[start : start + LIMIT])
            time.sleep(0.3 * TIMEOUT_S)
        got = upload.read_until(b"\r\n0\r\n\r\n")
    assert time.monotonic() - started > max(TIMEOUT_S, DEADLINE_S)
    assert b'"error"' not in got
    assert got.count(b".") >= body.count(b"\n") - 1


def test_an_upload_that_stalls_is_given_up_and_its_connection_ended(server: Server) -> None:
    with Upload(server) as stalled, Upload(server) as other:
        for upload in (stalled, other):
            upload.send(AS_CSV[: 2 * LIMIT + 100])
            assert b"200 OK" in upload.read_until(b"\r\n\r\n")
        for upload in (stalled, other):
            got = upload.read_until(b"\r\n0\r\n\r\n")
            problem = json.loads(got[got.index(b'{"error"') :].splitlines()[0])["error"]
            assert (problem["status"], problem["code"]) == (408, "body_timeout")
            assert upload.socket.recv(100) == b""


def test_a_client_that_goes_away_is_counted_and_holds_nothing(server: Server) -> None:
    def gone() -> float:
        return value(server, "demijohn_requests_total", prefix="/ml", model="plane", status="499") + value(
            server, "demijohn_requests_total", prefix="/ml", model="plane", status="400"
        )

    before = gone()
    with Upload(server) as upload:
        upload.send(AS_CSV[: 3 * LIMIT])
        upload.read_until(b"\r\n\r\n")
    until(lambda: gone() == before + 1)


def test_a_stream_counts_as_one_request_with_all_its_rows(server: Server) -> None:
    def counts() -> list[float]:
        return [
            value(server, name, prefix="/ml", model="plane", **labels)
            for name, labels in (
                ("demijohn_requests_total", {"status": "200"}),
                ("demijohn_rows_total", {}),
                ("demijohn_inference_duration_seconds_count", {}),
            )
        ]

    before = counts()
    curl(server, AS_CSV, *forms(CSV, CSV))
    until(lambda: counts()[0] == before[0] + 1)
    after = counts()
    assert after[1] == before[1] + len(ROWS)
    assert after[2] >= before[2] + len(AS_CSV) // LIMIT / 2


def test_answers_leave_while_the_body_still_comes_and_a_drain_waits_for_both(tmp_path: Path) -> None:
    word = uuid.uuid4().hex
    first, second = (b"%s,%d\n" % (word.encode(), number) for number in (0, 1))
    head = b"word,number\n"
    body = head + first * (LIMIT // len(first)) + second * (LIMIT // len(second))
    with (
        _serve(HOLDING=str(tmp_path)) as server,
        Upload(server, "/ml/models/hold/predict", len(body)) as upload,
    ):
        upload.send(body[: LIMIT + len(first)])
        assert b"200 OK" in upload.read_until(b"\r\n0\n")
        server.process.send_signal(signal.SIGTERM)
        (tmp_path / f"{word}.1").touch()
        upload.send(body[LIMIT + len(first) :])
        got = upload.read_until(b"\r\n0\r\n\r\n")
        assert b'"error"' not in got
        assert got.count(b"1\n") >= LIMIT // len(second)
        assert server.process.wait(timeout=30) == 0
