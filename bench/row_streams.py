"""What a body costs that is scored while it comes: CPU per row beside pandas' reader, and memory.

    python bench/row_streams.py [--gigabytes 2] [--port 8791]

A CSV of ten columns of numbers, with all their digits, goes by ``curl -T`` to a linear regression; the
answers come as CSV and as JSON lines. CPU is that of the worker; memory is its PSS, before and at its peak.
Before that, reading alone: rows of ten numbers, and of numbers and words, to columns that fit a signature.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import psutil
from sklearn.linear_model import LinearRegression

from demijohn.protocols import csv_media
from demijohn.protocols.pieces import Bounds
from demijohn.row_pieces import checked
from demijohn.signature import Signature, TensorSpec
from demijohn.web.row_streams import PIECE_BYTES, PIECE_ROWS

NAMES = "abcdefghij"
BLOCK_ROWS = 100_000
SETTLED = b'"state":"settled"'


def save(folder: Path, n_bytes: float) -> int:
    """Save the model and the rows; returns how many there are."""
    rows = pd.DataFrame(np.random.default_rng(0).normal(size=(BLOCK_ROWS, 10)), columns=list(NAMES))
    joblib.dump(LinearRegression().fit(rows, rows.sum(axis=1) + np.sin(rows["a"])), folder / "linear.joblib")
    header, _, block = rows.to_csv(index=False).encode().partition(b"\n")
    n_blocks = max(1, round(n_bytes / len(block)))
    with (folder / "rows.csv").open("wb") as file:
        file.write(header + b"\n")
        for _ in range(n_blocks):
            file.write(block)
    return n_blocks * BLOCK_ROWS


def time_reading(n_words: int, n_rows: int = 20_000) -> tuple[float, float]:
    """Read rows whose last cells are words; returns µs a row of ours and of pandas', the least of seven."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(n_rows, len(NAMES))), columns=list(NAMES))
    texts = list(NAMES[len(NAMES) - n_words :])
    for name in texts:
        frame[name] = np.array(["red", "green", "blue"])[rng.integers(0, 3, n_rows)]
    body = frame.to_csv(index=False).encode()
    specs = (TensorSpec(name, "str" if name in texts else "float64") for name in NAMES)
    signature, bounds = Signature("table", tuple(specs)), Bounds(PIECE_ROWS, len(body), PIECE_BYTES - 1)

    def ours() -> None:
        coming = (body[start : start + PIECE_BYTES] for start in range(0, len(body), PIECE_BYTES))
        pieces = csv_media.decode_stream(lambda: next(coming, b""), bounds, has_header=True)
        assert sum(len(piece["a"]) for piece in checked(signature, pieces)) == n_rows

    def pandas() -> None:
        pd.read_csv(io.BytesIO(body))

    return _least_us(ours, n_rows), _least_us(pandas, n_rows)


def _least_us(work: Callable[[], None], n_rows: int) -> float:
    seconds = []
    for _ in range(7):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds) / n_rows * 1e6


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
    for n_words in (0, 1, 5):
        ours_us, pandas_us = time_reading(n_words)
        what = f"reading {len(NAMES) - n_words} numbers, {n_words} words"
        print(f"{what:<32}{ours_us:6.2f} µs a row, pandas {pandas_us:.2f}")
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
