"""Rows that are more than memory holds: sent while they are read, answered while they are sent."""

from __future__ import annotations

import gzip
import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.client.app import ESTIMATORS, IRIS
from tests.client.fake_server import DESCRIPTION, FakeServer, answer, problem
from tests.servers import Server

from demijohn import Client
from demijohn.errors import (
    AnswerTimeout,
    BadInput,
    BodyTooLarge,
    ConfigurationError,
    ConnectionFailed,
    DemijohnError,
    SignatureMismatch,
    UnusableAnswer,
)

HERE = Path(__file__).parent
N_ROWS = 15_000
ROWS = np.tile(IRIS, (N_ROWS // len(IRIS), 1))
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("rows")
    text = "a,b,c,d\n" + "".join(f"{a},{b},{c},{d}\n" for a, b, c, d in ROWS.tolist())
    lines = "".join(json.dumps(row) + "\n" for row in ROWS.tolist())
    contents = {"csv": text.encode(), "jsonl": lines.encode(), "csv.gz": gzip.compress(text.encode())}
    for suffix, content in contents.items():
        (folder / f"rows.{suffix}").write_bytes(content)
    table = pa.table({name: ROWS[:, index] for index, name in enumerate("abcd")})
    with (
        pa.OSFile(str(folder / "rows.arrows"), "wb") as file,
        pa.ipc.new_stream(file, table.schema) as writer,
    ):
        writer.write_table(table, max_chunksize=1_000)
    return {suffix: folder / f"rows.{suffix}" for suffix in (*contents, "arrows")}


def whole(pieces: Iterator[Any]) -> tuple[Any, int]:
    """Return all predictions, and in how many pieces they came."""
    arrays = list(pieces)
    return np.concatenate(arrays), len(arrays)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "csv.gz", "arrows"])
def test_a_file_is_answered_as_its_rows_are(client: Client, files: dict[str, Path], suffix: str) -> None:
    given, n_pieces = whole(client["iris"].predict_stream(files[suffix]))
    assert given.tolist() == ESTIMATORS["iris"].predict(ROWS).tolist()
    assert given.dtype == "<U10"
    assert n_pieces > 1


def test_any_method_may_be_asked(client: Client, files: dict[str, Path]) -> None:
    given, _ = whole(client["iris"].predict_stream(str(files["csv"]), "predict_proba"))
    np.testing.assert_allclose(given, ESTIMATORS["iris"].predict_proba(ROWS), rtol=1e-9)
    outputs: list[Any] = list(client["neighbors"].predict_stream(files["csv"], "kneighbors"))
    assert np.concatenate([one["indices"] for one in outputs]).shape == (N_ROWS, 3)


def test_rows_and_records_and_pieces_may_come_from_anywhere(client: Client, files: dict[str, Path]) -> None:
    expected = ESTIMATORS["iris"].predict(ROWS).tolist()
    with files["csv"].open("rb") as file:
        pieces = iter(lambda: file.read(1_000), b"")
        given, _ = whole(client["iris"].predict_stream(pieces, media_type="text/csv"))
    assert given.tolist() == expected
    given, _ = whole(client["iris"].predict_stream(row for row in ROWS))
    assert given.tolist() == expected
    shouted, _ = whole(client["shout"].predict_stream({"text": f"é{number}"} for number in range(100)))
    assert shouted[-1] == "É99"


def test_no_rows_are_refused_as_ever(client: Client, tmp_path: Path) -> None:
    with pytest.raises(SignatureMismatch):
        next(client["iris"].predict_stream([]))


def test_an_error_in_the_middle_is_raised_behind_what_was_predicted(client: Client) -> None:
    def rows() -> Iterator[list[Any]]:
        for number in range(20_000):
            yield [float(number % 100) if number != 15_000 else -1.0]

    n_rows = 0

    def read() -> None:
        nonlocal n_rows
        for piece in client["picky"].predict_stream(rows()):
            n_rows += len(piece)

    with pytest.raises(BadInput, match="x must not be negative") as raised:
        read()
    assert 0 < n_rows <= 15_000
    assert raised.value.request_id


def test_an_error_in_the_first_rows_is_raised_at_once(client: Client) -> None:
    with pytest.raises(SignatureMismatch) as raised:
        next(client["iris"].predict_stream([[1.0, 2.0, 3.0, "x"]]))
    assert (raised.value.status, raised.value.errors[0].row) == (422, 0)


def test_a_body_that_raises_ends_the_call_with_what_it_raised(client: Client) -> None:
    def rows() -> Iterator[list[float]]:
        yield from ROWS.tolist()
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(client["iris"].predict_stream(rows()))
    assert client["iris"].predict(IRIS[:1]).tolist() == ["setosa"]  # type: ignore[union-attr]


def test_whoever_stops_reading_stops_the_file(client: Client, files: dict[str, Path]) -> None:
    read = []

    def rows() -> Iterator[list[float]]:
        for row in ROWS.tolist() * 20:
            read.append(row)
            yield row

    pieces = client["iris"].predict_stream(rows())
    assert len(next(pieces)) > 0
    pieces.close()  # type: ignore[attr-defined]
    assert len(read) < N_ROWS * 20


@pytest.mark.parametrize("name", ["rows.parquet", "rows", "rows.csv.zip"])
def test_what_the_bytes_are_must_be_known(client: Client, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"1,2")
    with pytest.raises(ConfigurationError, match="media_type"):
        next(client["iris"].predict_stream(tmp_path / name))
    with pytest.raises(ConfigurationError, match="media_type"):
        next(client["iris"].predict_stream([b"1,2"]))


def test_memory_does_not_grow_with_the_rows(served: Server) -> None:
    """Many rows and their answers pass through a process that may take little more than it has."""
    source = f"""
import resource, sys
from demijohn import Client
def rows():
    for number in range(400_000):
        yield [float(number % 7), 3.5, 1.4, 0.2]
with Client({served.url + "/ml"!r}, key="a-key") as client:
    model = client["iris"]
    next(model.predict_stream([[5.1, 3.5, 1.4, 0.2]]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(map(len, model.predict_stream(rows()))) == 400_000
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    run = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 8_000  # KiB; the body alone has 10 MB


# What a server may do ---------------------------------------------------------------------


def asked(fake: FakeServer, rows: Any, **options: Any) -> list[Any]:
    with Client(fake.url, **options) as client:
        return [one for piece in client["m"].predict_stream(rows) for one in piece]


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


LAST = b"0\r\n\r\n"
TOO_LARGE = problem(413, "body_too_large", Connection="close")


def test_an_answer_may_come_in_any_pieces(fake: FakeServer) -> None:
    pieces = [HEAD, chunk(b"1.0\n2"), chunk(b".0"), chunk(b"\n\n3.0\n"), LAST]
    fake.replies = [answer(DESCRIPTION), pieces]
    assert asked(fake, [[1.0, 2.0]]) == [1.0, 2.0, 3.0]


def test_a_refusal_is_heard_while_rows_are_sent(fake: FakeServer) -> None:
    fake.replies = [answer(DESCRIPTION), [TOO_LARGE, None]]
    with pytest.raises(BodyTooLarge):
        asked(fake, ([1.0, 2.0] for _ in range(1_000_000)))


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ([None], ConnectionFailed),
        ([HEAD + chunk(b"1.0\n"), None], ConnectionFailed),
        ([HEAD + chunk(b"1.0\n<html>\n") + LAST], UnusableAnswer),
        ([HEAD + chunk(b"1" * 5_000) + LAST], UnusableAnswer),
        ([b"SSH-2.0\r\n"], UnusableAnswer),
        ([answer(b"", 302, Location="http://127.0.0.1:1/")], UnusableAnswer),
        ([answer(b"x", Content_Encoding="gzip")], UnusableAnswer),
    ],
    ids=["nothing", "a part", "no JSON", "a long line", "no HTTP", "a redirect", "compressed"],
)  # fmt: skip
def test_what_is_no_answer_is_said_to_be_none(
    fake: FakeServer, reply: Any, kind: type[DemijohnError]
) -> None:
    fake.replies = [answer(DESCRIPTION), reply]
    with pytest.raises(kind):
        asked(fake, [[1.0, 2.0]], max_answer_bytes=2_000)


def test_an_answer_that_does_not_come_is_given_up(fake: FakeServer) -> None:
    released = threading.Event()

    def late() -> Iterator[bytes]:
        released.wait(30)
        yield HEAD + LAST

    fake.replies = [answer(DESCRIPTION), late()]
    with pytest.raises(AnswerTimeout):
        asked(fake, [[1.0, 2.0]], timeout=0.3)
    released.set()


def test_rows_go_over_https_too() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(HERE / "localhost.pem")
    trusting = ssl.create_default_context(cafile=HERE / "localhost.pem")
    lines = chunk(b"1.0\n" * 100_000)
    with FakeServer([answer(DESCRIPTION), [HEAD, lines, LAST]], tls=context) as fake:
        assert len(asked(fake, [[1.0, 2.0]] * 10_000, ssl_context=trusting)) == 100_000
        assert b"\r\nTransfer-Encoding: chunked\r\n" in fake.requests[1]


def test_a_server_that_is_not_there_is_said_not_to_be(fake: FakeServer) -> None:
    fake.replies = [answer(DESCRIPTION)]
    with Client(fake.url) as client:
        model = client["m"]
        assert model.methods
        fake.__exit__(None, None, None)
        with pytest.raises(ConnectionFailed, match="refused"):
            next(model.predict_stream([[1.0]]))
        fake.__enter__()
