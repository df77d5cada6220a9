"""What a server's memory is, and its cold start: a forest of about 500 MB, and a small model.

    .venv/bin/python bench/memory.py [--workers 1,4] [--models forest,small]

PSS counts a page that several processes share once. It is read when the plan has settled, and after some
predictions on each worker. The forest is made once, in build/bench/. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import processes
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression

PLACE = Path(__file__).resolve().parent.parent / "build/bench"
PORT = 8971
N_CONNECTIONS = 64  #: New ones, so that the kernel spreads them over all workers.
PATIENCE_S = 300.0
#: What is measured, in this order: the first start with acceleration proves the plan and keeps it.
CASES = {"off": "off", "first start": "exact", "later start": "exact"}
Rows = list[list[float]]


def forest_file() -> Path:
    """Return the forest's file: 50 trees, 7 million nodes; made in a minute if it is not there."""
    path = PLACE / "forest-500mb.joblib"
    if not path.exists():
        rng = np.random.default_rng(0)
        rows = rng.normal(size=(110_000, 10))
        target = rows[:, 0] * rows[:, 1] + rng.normal(size=len(rows))
        model = RandomForestRegressor(50, max_features=1, random_state=0, n_jobs=2).fit(rows, target)
        model.n_jobs = None
        joblib.dump(model, path)
    return path


def small_file() -> Path:
    """Return the file of a model of some kB."""
    path = PLACE / "small.joblib"
    if not path.exists():
        joblib.dump(LogisticRegression(max_iter=1000).fit(*load_iris(return_X_y=True)), path)
    return path


def measure(path: Path, rows: Rows, workers: int, acceleration: str, cache: str) -> dict[str, Any]:
    """Start a server and look at it; returns seconds and MiB."""
    command = [sys.executable, "-c", "from demijohn.cli import main; main()", "serve", f"m={path}"]
    environment = {**os.environ, "DEMIJOHN_ACCELERATION": acceleration, "XDG_CACHE_HOME": cache}
    began = time.monotonic()
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            [*command, "--port", str(PORT), "--workers", str(workers)],
            env=environment, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            body = json.dumps(rows).encode()
            _wait(lambda: _post(body), server)
            cold_s = time.monotonic() - began
            _settle(server)
            for _ in range(N_CONNECTIONS):
                _post(body)
            time.sleep(1)
            return {"cold_s": cold_s, "settled_s": time.monotonic() - began, "pss": processes.pss_mib()}
        finally:
            processes.stop_all()


def _post(body: bytes) -> bool:
    return processes.ask(PORT, "POST", "/models/m/predict", body)[0] == http.client.OK


def _settle(server: subprocess.Popen[bytes]) -> None:
    """Wait until each worker's plan has: connections go to any of them, so many must say so."""
    _wait(lambda: all(_is_settled() for _ in range(N_CONNECTIONS)), server)


def _is_settled() -> bool:
    told: dict[str, Any] = json.loads(processes.ask(PORT, "GET", "/models/m")[1])
    return bool(told["plan"]["state"] == "settled")


def _wait(is_so: Callable[[], bool], server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if server.poll() is not None:
            raise RuntimeError("the server did not start")
        with contextlib.suppress(OSError):  # nobody listens yet
            if is_so():
                return
        time.sleep(0.01)
    raise RuntimeError("the server took too long")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", default="1,4")
    parser.add_argument("--models", default="forest,small")
    options = parser.parse_args()
    PLACE.mkdir(parents=True, exist_ok=True)
    processes.adopt_orphans()
    makers = {"forest": (forest_file, [[0.1] * 10]), "small": (small_file, [[5.1, 3.5, 1.4, 0.2]])}
    print("model   workers  acceleration     first 200, s   settled, s   PSS of all, MiB")
    for name in options.models.split(","):
        make, rows = makers[name]
        path = make()
        for workers in map(int, options.workers.split(",")):
            with tempfile.TemporaryDirectory() as cache:
                for label, acceleration in (
                    ("off", "off"),
                    ("first start", "exact"),
                    ("later start", "exact"),
                ):
                    got = measure(path, rows, workers, acceleration, cache)
                    print(
                        f"{name:8}{workers:7}  {label:14}{got['cold_s']:15.2f}{got['settled_s']:13.1f}"
                        f"{got['pss']:18.0f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
