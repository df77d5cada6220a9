"""Every family of metrics, declared once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

_SECONDS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
_MODEL = ("model", "version")
_METHOD = ("model", "version", "method")

Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric, with a child for every set of labels."""

    name: str  #: Without the "_total" that a counter is shown with.
    kind: Literal["counter", "gauge", "histogram"]
    text: str
    labels: Labels = ()
    bounds: tuple[float, ...] = ()  #: Upper bounds of a histogram's buckets; a last one has none.
    is_latest: bool = False  #: Of several processes, dead ones too, the highest counts; no sum is made.

    @property
    def width(self) -> int:
        """Numbers that a child takes: its value, or the sum and the count of each bucket."""
        return len(self.bounds) + 2 if self.bounds else 1


# Counted in each process.
REQUESTS = Family(
    "demijohn_requests", "counter", "Requests for a prediction, by HTTP status.", (*_METHOD, "status")
)
DURATION = Family(
    "demijohn_request_duration_seconds", "histogram", "From the request to its answer.", _METHOD, _SECONDS
)
ROWS = Family("demijohn_rows", "counter", "Rows that were answered.", _METHOD)
BATCH_ROWS = Family("demijohn_batch_rows", "histogram", "Rows in a call of the model.", _METHOD, _SIZES)
BATCH_REQUESTS = Family(
    "demijohn_batch_requests", "histogram", "Requests that shared a call of the model.", _METHOD, _SIZES
)
INFERENCE = Family(
    "demijohn_inference_duration_seconds", "histogram", "Time of a call of the model.", _METHOD, _SECONDS
)
QUEUE_ROWS = Family("demijohn_queue_rows", "gauge", "Rows that wait for the model.", _MODEL)
REFUSALS = Family(
    "demijohn_refusals", "counter", "Requests that the model's queue refused with 503.", (*_MODEL, "reason")
)
NONFINITE = Family(
    "demijohn_nonfinite_predictions", "counter", "NaN and infinite numbers among the predictions.", _METHOD
)
ANSWERED = Family("demijohn_answered_seconds", "counter", "Time of the requests that got 200.", _METHOD)
STEPS = Family(
    "demijohn_step_seconds", "counter", "Time of requests in each step of a prediction.", (*_METHOD, "step")
)
LAST = Family(
    "demijohn_last_answer_timestamp_seconds",
    "gauge",
    "Time at which a request last got 200.",
    _METHOD,
    is_latest=True,
)
_SHOWN = (
    REQUESTS, DURATION, ROWS, BATCH_ROWS, BATCH_REQUESTS, INFERENCE, QUEUE_ROWS, REFUSALS, NONFINITE,
    ANSWERED, STEPS, LAST,
)  # fmt: skip
# For the Open Inference Protocol's statistics alone: a series for each size is too many for Prometheus.
BATCH_SIZES = Family(
    "demijohn_batch_sizes", "histogram", "Time of a call of so many rows.", (*_METHOD, "rows"), (math.inf,)
)
COUNTED = (*_SHOWN, BATCH_SIZES)

# Known to whichever process is asked.
RESTARTS = Family("demijohn_worker_restarts", "counter", "Workers that the server has replaced.")
WORKERS = Family("demijohn_workers", "gauge", "Processes that serve.")
MODEL_INFO = Family(
    "demijohn_model_info", "gauge", "A model that is served.", (*_MODEL, "framework", "framework_version")
)
BUILD_INFO = Family(
    "demijohn_build_info", "gauge", "The Demijohn that serves.", ("version", "python_version")
)
FAMILIES = (*_SHOWN, RESTARTS, WORKERS, MODEL_INFO, BUILD_INFO)
