"""``/metrics``: one truth for the whole server, whichever worker is asked."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from tests.http import folder
from tests.servers import Server, serving, until

N_REQUESTS = 60


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path = tmp_path_factory.mktemp("models")
    folder.save(path)
    with serving([path], "--workers", "2", *folder.OPTIONS) as server:
        server.await_workers(2)
        yield server


def families(server: Server, prefix: str = "") -> dict[str, Metric]:
    """Scrape whichever worker comes first."""
    answer = server.get(f"{prefix}/metrics", connection="close")
    assert answer.status == 200
    return {family.name: family for family in text_string_to_metric_families(answer.data.decode())}


def value(server: Server, name: str, *, prefix: str = "", **labels: str) -> float:
    """Return a sample, 0 where there is none; labels that are not given are summed over."""
    samples = [
        sample
        for family in families(server, prefix).values()
        for sample in family.samples
        if sample.name == name
    ]
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


def test_the_content_type_is_prometheus_own(server: Server) -> None:
    assert server.get("/metrics").headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_every_family_is_declared_once_with_help_and_type(server: Server) -> None:
    server.post("/predict", folder.ROWS)
    lines = server.get("/metrics").data.decode().splitlines()
    declared = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(declared) == len(set(declared))
    assert [line.split()[2] for line in lines if line.startswith("# HELP")] == declared
    assert {name for name in declared if name.startswith("demijohn_")} == set(declared)


def test_what_several_workers_did_is_added_up(server: Server) -> None:
    labels = {"model": "plane", "version": "1", "method": "predict", "status": "200"}
    before = value(server, "demijohn_requests_total", **labels)
    rows_before = value(server, "demijohn_rows_total", model="plane")
    for _ in range(N_REQUESTS):
        assert server.post("/predict", folder.ROWS, connection="close").status == 200
    # Each scrape may meet another worker: all must say the same.
    assert {value(server, "demijohn_requests_total", **labels) for _ in range(16)} == {before + N_REQUESTS}
    assert value(server, "demijohn_rows_total", model="plane") == rows_before + N_REQUESTS * len(folder.ROWS)


def test_a_histogram_counts_what_the_counter_counts(server: Server) -> None:
    server.post("/models/double/versions/9/predict", [[1.0]])
    labels = {"model": "double", "version": "9", "method": "predict"}
    n_requests = value(server, "demijohn_requests_total", **labels)
    assert n_requests >= 1
    assert value(server, "demijohn_request_duration_seconds_count", **labels) == n_requests
    assert value(server, "demijohn_request_duration_seconds_bucket", le="+Inf", **labels) == n_requests
    assert 0 < value(server, "demijohn_request_duration_seconds_sum", **labels) < 60 * n_requests


def test_a_refusal_is_counted_under_its_status(server: Server) -> None:
    for body, status in ((b"[", "400"), (b"[[1]]", "422")):
        before = value(server, "demijohn_requests_total", model="plane", status=status)
        server.post("/predict", body)
        assert value(server, "demijohn_requests_total", model="plane", status=status) == before + 1


def test_what_a_client_writes_never_becomes_a_label(server: Server) -> None:
    evil = "evil%22%7D%0Aevil_total%201"
    for path in (
        f"/models/plane/{evil}",
        f"/models/{evil}/predict",
        f"/models/double/versions/{evil}/predict",
    ):
        server.post(path, folder.ROWS)
    assert b"evil" not in server.get("/metrics").data
    assert value(server, "demijohn_requests_total", model="plane", method="", status="404") == 1


def test_every_model_is_described(server: Server) -> None:
    for name, version in (("double", "10"), ("double", "9"), ("table", "1")):
        assert (
            value(server, "demijohn_model_info", model=name, version=version, framework="scikit-learn") == 1
        )


def test_a_worker_that_dies_is_counted_and_what_it_counted_stays(server: Server) -> None:
    for _ in range(20):
        server.post("/predict", folder.ROWS, connection="close")
    n_requests = value(server, "demijohn_requests_total", model="plane", status="200")
    restarts = value(server, "demijohn_worker_restarts_total")
    victim = min(server.workers)
    os.kill(victim, signal.SIGKILL)
    server.await_workers(2, without=victim)
    until(lambda: value(server, "demijohn_worker_restarts_total") == restarts + 1)
    assert value(server, "demijohn_requests_total", model="plane", status="200") == n_requests


def test_the_folder_of_the_numbers_is_gone_when_the_server_is(tmp_path: Path) -> None:
    models, temporary = tmp_path / "models", tmp_path / "tmp"
    models.mkdir()
    temporary.mkdir()
    folder.save(models)
    with serving([models / "plane.joblib"], "--workers", "1", TMPDIR=str(temporary)) as server:
        server.post("/predict", folder.ROWS)
        (kept,) = temporary.iterdir()
        assert kept.stat().st_mode & 0o777 == 0o700
    assert list(temporary.iterdir()) == []
