from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from demijohn.lifecycle import Lifecycle
from demijohn.metrics import Metrics
from demijohn.metrics.families import FAMILIES, Family
from demijohn.metrics.metrics import _start_all_anew as start_all_anew

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples_of(text: bytes) -> Samples:
    families = text_string_to_metric_families(text.decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((f"demijohn_{name}", tuple(sorted(labels.items()))))


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(Lifecycle())


IRIS = {"model": "iris", "version": "1"}
PREDICT = {**IRIS, "method": "predict"}


# Names ------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_names_follow_prometheus_conventions(family: Family) -> None:
    assert re.fullmatch(r"demijohn(_[a-z]+)+", family.name)
    assert not family.name.endswith(("_total", "_count", "_sum", "_bucket"))
    assert ("seconds" in family.name) == ("Time" in family.text or "From" in family.text)
    assert family.text.endswith(".")
    assert (family.kind == "histogram") == bool(family.bounds)
    assert list(family.bounds) == sorted(set(family.bounds))


def test_every_family_is_declared_once() -> None:
    names = [family.name for family in FAMILIES]
    assert len(names) == len(set(names))


def test_latencies_are_told_apart_from_100_microseconds_to_30_seconds() -> None:
    durations = [family for family in FAMILIES if family.name.endswith("_seconds") and family.bounds]
    assert {(family.bounds[0], family.bounds[-1]) for family in durations} == {(0.0001, 30.0)}


def test_every_family_is_shown_even_before_it_counts(metrics: Metrics) -> None:
    text, content_type = metrics.render()
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    for family in FAMILIES:
        name = family.name + ("_total" if family.kind == "counter" else "")
        assert f"# TYPE {name} {family.kind}\n" in text.decode()


# Counting ---------------------------------------------------------------------------------


def test_requests_are_counted_by_model_version_method_and_status(metrics: Metrics) -> None:
    metrics.observer("iris", "1")
    for status, n_rows in ((200, 3), (200, 4), (422, 0)):
        metrics.observe_request("iris", "1", "predict", status, 0.003, n_rows)
    samples = samples_of(metrics.render()[0])
    assert value(samples, "requests_total", **PREDICT, status="200") == 2
    assert value(samples, "requests_total", **PREDICT, status="422") == 1
    assert value(samples, "rows_total", **PREDICT) == 7


def test_a_duration_falls_into_its_bucket_and_all_larger_ones(metrics: Metrics) -> None:
    metrics.observer("iris", "1")
    for duration_s in (0.00005, 0.0001, 0.003, 100.0):
        metrics.observe_request("iris", "1", "predict", 200, duration_s, 1)
    samples = samples_of(metrics.render()[0])
    name = "request_duration_seconds"
    expected = {"0.0001": 2, "0.0025": 2, "0.005": 3, "30.0": 3}
    assert expected == {le: value(samples, f"{name}_bucket", **PREDICT, le=le) for le in expected}
    assert value(samples, f"{name}_bucket", **PREDICT, le="+Inf") == 4
    assert value(samples, f"{name}_count", **PREDICT) == 4
    assert value(samples, f"{name}_sum", **PREDICT) == pytest.approx(100.00315)


def test_an_observer_counts_calls_the_queue_and_refusals(metrics: Metrics) -> None:
    observer = metrics.observer("iris", "1")
    observer.call_finished("predict", 12, 3, 0.02)
    observer.call_finished("predict", 1, 1, 0.001)
    observer.queue_changed(9)
    observer.queue_changed(4)
    observer.request_refused("rows")
    samples = samples_of(metrics.render()[0])
    assert value(samples, "batch_rows_sum", **PREDICT) == 13
    assert value(samples, "batch_rows_bucket", **PREDICT, le="8.0") == 1
    assert value(samples, "batch_requests_sum", **PREDICT) == 4
    assert value(samples, "inference_duration_seconds_sum", **PREDICT) == pytest.approx(0.021)
    assert value(samples, "inference_duration_seconds_count", **PREDICT) == 2
    assert value(samples, "queue_rows", **IRIS) == 4
    assert value(samples, "refusals_total", **IRIS, reason="rows") == 1


def test_predictions_that_are_no_numbers_are_counted(metrics: Metrics) -> None:
    metrics.observe_nonfinite("iris", "1", "predict", 3)
    metrics.observe_nonfinite("iris", "1", "predict", 2)
    assert value(samples_of(metrics.render()[0]), "nonfinite_predictions_total", **PREDICT) == 5


def test_models_and_the_build_are_described(metrics: Metrics) -> None:
    metrics.describe_model("iris", "1", "sklearn", "1.9.0")
    samples = samples_of(metrics.render()[0])
    assert value(samples, "model_info", **IRIS, framework="sklearn", framework_version="1.9.0") == 1
    python = ".".join(map(str, sys.version_info[:3]))
    build = [dict(labels) for name, labels in samples if name == "demijohn_build_info"]
    assert [labels["python_version"] for labels in build] == [python]
    assert value(samples, "workers") == 1


def test_restarts_are_the_servers_at_the_moment_of_asking() -> None:
    class Supervised(Lifecycle):
        def restarts(self) -> int:
            return n_restarts

    n_restarts = 0
    metrics = Metrics(Supervised())
    for n_restarts in (0, 3):
        assert value(samples_of(metrics.render()[0]), "worker_restarts_total") == n_restarts


def test_a_name_that_nobody_registered_becomes_no_label(metrics: Metrics) -> None:
    metrics.observer("iris", "1")
    for i in range(100):
        metrics.observe_request(f"ghost-{i}", str(i), f"method-{i}", 404, 0.001, 0)
        metrics.observe_request("iris", f"v{i}", "predict", 404, 0.001, 0)
        metrics.observe_request("iris", f"v{i}", "predict", 200, 0.001, 2, 0.0005)
    text = metrics.render()[0].decode()
    assert "ghost" not in text
    assert "v7" not in text
    nameless = {"model": "", "version": "", "method": ""}
    assert value(samples_of(text.encode()), "requests_total", **nameless, status="404") == 200
    assert value(samples_of(text.encode()), "rows_total", **nameless) == 200
    assert not metrics._refused
    assert not metrics._answered


def test_what_finds_no_place_is_told_once_not_shown_and_harms_nothing(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("demijohn.metrics.ledger._CAPACITY", 40)
    observer = metrics.observer("iris", "1")
    observer.call_finished("predict", 5, 1, 0.1)
    observer.request_refused("rows")
    samples = samples_of(metrics.render()[0])
    assert value(samples, "batch_rows_sum", **PREDICT) == 5
    assert value(samples, "batch_requests_sum", **PREDICT) is None
    assert [record.message[:24] for record in caplog.records] == ["no room for more metrics"]
    assert value(samples, "queue_rows", **IRIS) == 0


def test_threads_lose_no_count(metrics: Metrics) -> None:
    metrics.observer("iris", "1")

    def count() -> None:
        for _ in range(2000):
            metrics.observe_request("iris", "1", "predict", 200, 0.001, 2)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    samples = samples_of(metrics.render()[0])
    assert value(samples, "requests_total", **PREDICT, status="200") == 16_000
    assert value(samples, "rows_total", **PREDICT) == 32_000


def test_two_apps_of_one_process_count_apart(tmp_path: Path) -> None:
    for folder in (None, tmp_path):
        first, second = Metrics(Lifecycle(), folder), Metrics(Lifecycle(), folder)
        first.observer("iris", "1")
        second.observer("iris", "1")
        first.observe_request("iris", "1", "predict", 200, 0.001, 1)
        assert value(samples_of(first.render()[0]), "rows_total", **PREDICT) == 1
        assert value(samples_of(second.render()[0]), "rows_total", **PREDICT) is None


def test_the_hosts_own_metrics_are_not_touched(metrics: Metrics) -> None:
    before = sorted(REGISTRY._names_to_collectors)
    metrics.observer("iris", "1").call_finished("predict", 1, 1, 0.1)
    metrics.render()
    assert sorted(REGISTRY._names_to_collectors) == before


def test_after_a_fork_a_process_counts_for_itself(tmp_path: Path) -> None:
    metrics = Metrics(Lifecycle(), tmp_path)
    observer = metrics.observer("iris", "1")
    metrics.observe_request("iris", "1", "predict", 200, 0.001, 1)
    observer.queue_changed(5)
    start_all_anew()  # what a child does first
    metrics.observe_request("iris", "1", "predict", 200, 0.001, 1)
    # A child finds the file of before locked by its parent. Here it is free, as after a death.
    samples = samples_of(metrics.render()[0])
    assert value(samples, "rows_total", **PREDICT) == 2
    assert value(samples, "queue_rows", **IRIS) == 0
    assert len(list(tmp_path.glob("*.values"))) == 1


# Several processes ------------------------------------------------------------------------

WORKER = """
    import json, sys
    from demijohn.lifecycle import Lifecycle
    from demijohn.metrics import Metrics

    class Supervised(Lifecycle):
        def restarts(self):
            return 5

    metrics = Metrics(Supervised())
    observer = metrics.observer("iris", "1")
    for line in sys.stdin:
        what, *given = json.loads(line)
        answer = None
        if what == "request":
            metrics.observe_request("iris", "1", *given)
        elif what == "queue":
            observer.queue_changed(*given)
        elif what == "call":
            observer.call_finished(*given)
        else:
            answer = metrics.render()[0].decode()
        print(json.dumps(answer), flush=True)
"""


class Process:
    """A worker that does what it is told."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WORKER)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder)},
        )  # fmt: skip

    def do(self, *what: object) -> str:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        answer: str = json.loads(self._process.stdout.readline())
        return answer

    def show(self) -> Samples:
        return samples_of(self.do("show").encode())

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Process]]:
    processes: list[Process] = []

    def start() -> Process:
        processes.append(Process(tmp_path))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()


def test_all_workers_are_added_up_whichever_is_asked(start: Callable[[], Process]) -> None:
    workers = [start(), start()]
    for worker, n_requests in zip(workers, (2, 3), strict=True):
        for _ in range(n_requests):
            worker.do("request", "predict", 200, 0.003, 4)
        worker.do("call", "predict", 10 * n_requests, n_requests, 0.02)
        worker.do("queue", n_requests)
    shown = [worker.show() for worker in workers]
    assert shown[0] == shown[1]
    assert value(shown[0], "requests_total", **PREDICT, status="200") == 5
    assert value(shown[0], "rows_total", **PREDICT) == 20
    assert value(shown[0], "request_duration_seconds_bucket", **PREDICT, le="0.005") == 5
    assert value(shown[0], "request_duration_seconds_bucket", **PREDICT, le="0.0025") == 0
    assert value(shown[0], "batch_rows_sum", **PREDICT) == 50
    assert value(shown[0], "queue_rows", **IRIS) == 5
    assert value(shown[0], "workers") == 2
    assert value(shown[0], "worker_restarts_total") == 5


def test_a_replaced_worker_goes_on_where_its_predecessor_was_killed(
    start: Callable[[], Process], tmp_path: Path
) -> None:
    first, second = start(), start()
    first.do("request", "predict", 200, 0.003, 1)
    first.do("queue", 7)
    second.do("request", "predict", 200, 0.003, 1)
    second.do("queue", 2)
    files = sorted(tmp_path.iterdir())

    first.kill()
    shown = second.show()
    assert value(shown, "requests_total", **PREDICT, status="200") == 2
    assert value(shown, "queue_rows", **IRIS) == 2
    assert value(shown, "workers") == 1

    third = start()
    third.do("request", "predict", 200, 0.003, 1)
    third.do("request", "predict", 500, 0.003, 0)
    for worker in (second, third):
        shown = worker.show()
        assert value(shown, "requests_total", **PREDICT, status="200") == 3
        assert value(shown, "requests_total", **PREDICT, status="500") == 1
        assert value(shown, "queue_rows", **IRIS) == 2
        assert value(shown, "workers") == 2
    assert sorted(tmp_path.iterdir()) == files


def test_a_line_that_a_killed_worker_left_unfinished_is_forgotten(
    start: Callable[[], Process], tmp_path: Path
) -> None:
    first = start()
    first.do("request", "predict", 200, 0.003, 1)
    first.kill()
    (index,) = tmp_path.glob("*.index")
    with index.open("ab") as file:
        file.write(b'["demijohn_rows", ["iris"')
    shown = start().show()
    assert value(shown, "rows_total", **PREDICT) == 1
    assert index.read_bytes().endswith(b"\n")


def test_a_worker_that_has_just_claimed_its_file_harms_no_scrape(
    start: Callable[[], Process], tmp_path: Path
) -> None:
    worker = start()
    worker.do("request", "predict", 200, 0.003, 1)
    (path,) = tmp_path.glob("*.values")
    path.with_name(path.name.replace("-0.values", "-1.values")).touch()
    assert value(worker.show(), "rows_total", **PREDICT) == 1


def test_what_is_counted_is_for_its_owner_alone_to_read(start: Callable[[], Process], tmp_path: Path) -> None:
    start().do("queue", 1)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_scrape_needs_prometheus_client_and_a_prediction_does_not() -> None:
    script = """
        import sys
        from demijohn.lifecycle import Lifecycle
        from demijohn.metrics import Metrics
        metrics = Metrics(Lifecycle())
        metrics.observer("iris", "1").call_finished("predict", 1, 1, 0.1)
        print("prometheus_client" in sys.modules)
        metrics.render()
        print("prometheus_client" in sys.modules)
    """
    run = [sys.executable, "-c", textwrap.dedent(script)]
    assert subprocess.run(run, check=True, capture_output=True, text=True).stdout.split() == ["False", "True"]
