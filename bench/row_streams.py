"""What a body costs that is scored while it comes: CPU per row beside pandas' reader, and memory.

    python bench/row_streams.py [--gigabytes 2] [--port 8791]

A CSV of ten columns of numbers, with all their digits, goes by ``curl -T`` to a linear regression; the
answers come as CSV and as JSON lines. CPU is that of the worker; memory is its PSS, before and at its peak.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import psutil
from sklearn.linear_model import LinearRegression

BLOCK_ROWS = 100_000
SETTLED = b'"state":"settled"'


def save(folder: Path, n_bytes: float) -> int:
    """Save the model and the rows; returns how many there are."""
    rows = pd.DataFrame(np.random.default_rng(0).normal(size=(BLOCK_ROWS, 10)), columns=list("abcdefghij"))
    joblib.dump(LinearRegression().fit(rows, rows.sum(axis=1) + np.sin(rows["a"])), folder / "linear.joblib")
    header, _, block = rows.to_csv(index=False).encode().partition(b"\n")
    n_blocks = max(1, round(n_bytes / len(block)))
    with (folder / "rows.csv").open("wb") as file:
        file.write(header + b"\n")
        for _ in range(n_blocks):
            file.write(block)
    return n_blocks * BLOCK_ROWS


class Watch:
    """Watches the worker of a server while something is sent to it."""

    def __init__(self, server: subprocess.Popen[bytes]) -> None:
        self._workers = psutil.Process(server.pid).children(recursive=True)
        self._has_ended = threading.Event()
        self._before = self.peak = self._pss()
        self._cpu_before = self._cpu_s()

    def _pss(self) -> int:
        return sum(worker.memory_full_info().pss for worker in self._workers)

    def _cpu_s(self) -> float:
        return sum(sum(worker.cpu_times()[:2]) for worker in self._workers)

    def send(self, command: list[str]) -> tuple[float, float]:
        """Run a command; returns the worker's CPU in seconds, and by how many MiB its memory rose."""
        thread = threading.Thread(target=self._look)
        thread.start()
        subprocess.run(command, check=True)
        self._has_ended.set()
        thread.join()
        return self._cpu_s() - self._cpu_before, (self.peak - self._before) / 2**20

    def _look(self) -> None:
        while not self._has_ended.wait(0.1):
            self.peak = max(self.peak, self._pss())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--port", type=int, default=8791)
    options = parser.parse_args()
    url = f"http://127.0.0.1:{options.port}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        n_rows = save(folder, options.gigabytes * 1e9)
        start = time.process_time()
        read = len(pd.read_csv(folder / "rows.csv"))
        print(f"{'pandas.read_csv alone':<32}{(time.process_time() - start) / read * 1e6:6.2f} µs a row")
        command = [sys.executable, "-c", "from demijohn.cli import main; main()", "serve", "linear.joblib"]
        command += ["--workers", "1", "--port", str(options.port)]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as server:
            try:
                _await_plan(url)
                for answer in ("text/csv", "application/x-ndjson"):
                    ask = ["curl", "-sS", "-T", str(folder / "rows.csv"), f"{url}/predict"]
                    ask += [
                        "-H",
                        "Content-Type: text/csv",
                        "-H",
                        f"Accept: {answer}",
                        "-o",
                        str(folder / "out"),
                    ]
                    cpu_s, mib = Watch(server).send(ask)
                    assert (folder / "out").read_bytes().count(b"\n") - (answer == "text/csv") == n_rows
                    print(f"{answer:<32}{cpu_s / n_rows * 1e6:6.2f} µs a row, memory +{mib:.1f} MiB")
            finally:
                server.terminate()


def _await_plan(url: str) -> None:
    while True:
        try:
            with urllib.request.urlopen(f"{url}/models/linear") as answer:
                if SETTLED in answer.read():
                    return
        except OSError:
            pass
        time.sleep(0.5)


if __name__ == "__main__":
    main()
