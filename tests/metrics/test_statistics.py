"""What was counted of one version of a model."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from demijohn.lifecycle import Lifecycle
from demijohn.metrics import Metrics, Statistics


def make(folder: Path | None = None) -> Metrics:
    metrics = Metrics(Lifecycle(), folder)
    for version in "12":
        metrics.observer("iris", version)
    return metrics


def test_nothing_is_zero() -> None:
    (counted,) = make().statistics([("iris", "1")])
    assert counted == Statistics(0, 0.0, 0, 0.0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0, {}, 0.0)


def test_each_step_of_a_request_is_counted_where_it_was() -> None:
    metrics = make()
    before = time.time()
    metrics.observe_request("iris", "1", "predict", 200, 0.5, 3, 0.25, (0.0625, 0.125))
    metrics.observe_request("iris", "1", "predict_proba", 200, 0.25, 2)
    metrics.observe_request("iris", "1", "predict", 400, 0.125, 0)
    metrics.observe_request("iris", "2", "predict", 200, 9.0, 9, 9.0, (9.0, 9.0))
    one, two = metrics.statistics([("iris", "1"), ("iris", "2")])
    assert before <= one.last <= time.time()
    assert (one.n_answered, one.answered_s, one.n_failed, one.failed_s) == (2, 0.75, 1, 0.125)
    assert (one.n_rows, one.n_calls, one.n_called) == (5, 1, 1)
    assert (one.read_s, one.inference_s, one.write_s, one.queue_s) == (0.0625, 0.25, 0.125, 0.0)
    assert two.n_rows == 9


def test_of_a_call_that_several_share_each_counts_the_whole() -> None:
    metrics = make()
    metrics.observer("iris", "1").call_finished("predict", 12, 3, 0.5, 0.75)
    (counted,) = metrics.statistics([("iris", "1")])
    assert (counted.n_calls, counted.n_called) == (1, 3)
    assert (counted.inference_s, counted.queue_s) == (1.5, 0.75)


def test_calls_are_told_apart_by_their_size() -> None:
    metrics = make()
    observer = metrics.observer("iris", "1")
    observer.call_finished("predict", 12, 3, 0.5)
    observer.call_finished("predict", 2, 1, 0.25)
    observer.call_finished("predict_proba", 12, 1, 0.125)
    metrics.observe_request("iris", "1", "predict", 200, 0.5, 2, 0.0625)
    metrics.observer("iris", "2").call_finished("predict", 12, 1, 9.0)
    (counted,) = metrics.statistics([("iris", "1")])
    assert counted.sizes == {2: (2, 0.3125), 12: (2, 0.625)}
    assert list(counted.sizes) == [2, 12]


def test_a_client_cannot_fill_the_ledger_with_sizes() -> None:
    metrics = make()
    observer = metrics.observer("iris", "1")
    for n_rows in range(1, 201):
        observer.call_finished("predict", n_rows, 1, 0.5)
    (counted,) = metrics.statistics([("iris", "1")])
    assert counted.sizes == dict.fromkeys(range(1, 65), (1, 0.5))
    assert counted.n_calls == 200
    assert b"batch_sizes" not in metrics.render()[0]


def test_processes_are_added_up_and_the_latest_answer_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demijohn.metrics.metrics._numbers", iter([0, 0]))
    first, second = make(tmp_path), make(tmp_path)
    for metrics, now in ((first, 20.0), (second, 10.0)):
        monkeypatch.setattr("time.time", lambda now=now: now)
        metrics.observe_request("iris", "1", "predict", 200, 0.5, 1)
    for metrics in (first, second):
        (counted,) = metrics.statistics([("iris", "1")])
        assert (counted.n_answered, counted.answered_s, counted.last) == (2, 1.0, 20.0)
