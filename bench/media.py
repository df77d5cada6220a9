"""What one request costs by the form of its body: CPU of the server, JSON, Arrow and the others, on one core.

    python bench/media.py [--seconds 5] [--rounds 3]

Each form asks the same server for the same rows. The server's CPU time is divided by the requests answered:
that does not move with what else the machine does.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

N_ROWS = 1000
ARROW = "application/vnd.apache.arrow.stream"


def arrow(table: pa.Table) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


def save(folder: Path) -> dict[str, dict[str, tuple[str, bytes]]]:
    """Save the models; returns bodies by model and form."""
    rng = np.random.default_rng(0)
    numbers = pd.DataFrame(rng.normal(size=(N_ROWS, 30)), columns=[f"x{i}" for i in range(30)])
    joblib.dump(LinearRegression().fit(numbers.to_numpy(), numbers["x0"]), folder / "matrix.joblib")
    joblib.dump(LinearRegression().fit(numbers, numbers["x0"]), folder / "table.joblib")
    frame = numbers.iloc[:, :10].copy()
    for index in range(5):
        frame[f"kind{index}"] = rng.choice([f"category {n}" for n in range(20)], N_ROWS)
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), [f"kind{index}" for index in range(5)]),
        remainder="passthrough",
    )
    joblib.dump(make_pipeline(columns, LinearRegression()).fit(frame, frame["x0"]), folder / "mixed.joblib")
    return {
        "matrix": {"JSON rows": rows_of(numbers), **without_lines(bodies(numbers))},
        "table": {"JSON records": records_of(numbers), **bodies(numbers)},
        "mixed": {"JSON records": records_of(frame), **bodies(frame), **dictionaries(frame)},
    }


def without_lines(forms: dict[str, tuple[str, bytes]]) -> dict[str, tuple[str, bytes]]:
    """Leave out the records, which a model without column names does not take."""
    return {name: form for name, form in forms.items() if name != "JSON lines"}


def rows_of(frame: pd.DataFrame) -> tuple[str, bytes]:
    return "application/json", json.dumps(frame.to_numpy().tolist()).encode()


def records_of(frame: pd.DataFrame) -> tuple[str, bytes]:
    return "application/json", json.dumps(frame.to_dict("records")).encode()


def bodies(frame: pd.DataFrame) -> dict[str, tuple[str, bytes]]:
    out = io.BytesIO()
    frame.to_parquet(out)
    found = {
        "JSON lines": ("application/x-ndjson", frame.to_json(orient="records", lines=True).encode()),
        "CSV": ("text/csv", frame.to_csv(index=False).encode()),
        "Arrow": (ARROW, arrow(pa.Table.from_pandas(frame))),
        "Parquet": ("application/vnd.apache.parquet", out.getvalue()),
    }
    if (frame.dtypes == np.float64).all():
        out = io.BytesIO()
        np.save(out, frame.to_numpy())
        found["npy"] = ("application/x-npy", out.getvalue())
    return found


def dictionaries(frame: pd.DataFrame) -> dict[str, tuple[str, bytes]]:
    texts = {name: "category" for name in frame if name.startswith("kind")}
    return {"Arrow, dictionaries": (ARROW, arrow(pa.Table.from_pandas(frame.astype(texts))))}


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[int, psutil.Process]]:
    command = [sys.executable, "-m", "demijohn", "serve", str(folder), "--port", "0", "--workers", "1"]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(folder / ".cache")}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ)
    try:
        for line in server.stdout:
            if "http://127.0.0.1:" in line:
                port = int(line.split("http://127.0.0.1:")[1].split()[0].rstrip("/").split("/")[0])
                break
        (worker,) = await_worker(server.pid)
        yield port, worker
    finally:
        server.terminate()
        server.wait()


def await_worker(pid: int) -> list[psutil.Process]:
    while not (workers := psutil.Process(pid).children()):
        time.sleep(0.1)
    return workers


def ask(connection: http.client.HTTPConnection, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise SystemExit(f"{path} {answer.status}: {content[:300]!r}")
    return content


def await_plans(connection: http.client.HTTPConnection, models: list[str]) -> None:
    """Wait until no proof runs any more beside the requests."""
    for name in models:
        while True:
            connection.request("GET", f"/models/{name}")
            if json.loads(connection.getresponse().read())["plan"]["state"] == "settled":
                break
            time.sleep(0.2)


def measure(port: int, worker: psutil.Process, path: str, form: tuple[str, bytes], seconds: float) -> float:
    """Return the worker's CPU time per request, in microseconds."""
    headers = {"Content-Type": form[0]}
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for _ in range(20):
        ask(connection, path, form[1], headers)
    before, count = worker.cpu_times(), 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for _ in range(10):
            ask(connection, path, form[1], headers)
        count += 10
    after = worker.cpu_times()
    connection.close()
    return (after.user + after.system - before.user - before.system) / count * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        forms = save(Path(place))
        with serving(Path(place)) as (port, worker):
            await_plans(http.client.HTTPConnection("127.0.0.1", port), list(forms))
            for model, by_form in forms.items():
                report(port, worker, model, by_form, options)


def report(port: int, worker: psutil.Process, model: str, by_form: dict, options: argparse.Namespace) -> None:
    path = f"/models/{model}/predict"
    first = None
    for name, form in by_form.items():
        found = [measure(port, worker, path, form, options.seconds) for _ in range(options.rounds)]
        middle = statistics.median(found)
        first = first or middle
        shown = ", ".join(f"{one:.0f}" for one in found)
        size = len(form[1]) / 1024
        print(f"{model:8} {name:22} {size:6.0f} KiB {middle:7.0f} µs  1/{first / middle:.1f}   ({shown})")


if __name__ == "__main__":
    main()
