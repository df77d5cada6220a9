"""What one request costs by the form of its body: CPU of the server, JSON, Arrow and the others, on one core.

    .venv/bin/python bench/media.py [--seconds 2] [--rounds 3] [--models matrix,table]

Each form asks the same server for the same 1,000 rows, and must get the same predictions. The server has core
0 and one worker, ``wrk`` core 1 and 4 connections; the server's CPU time is divided by the requests answered.
Every round measures each form in turn, so that a noisy moment hits all of them. A bare Granian app that reads
the same body stands beside it: the floor.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import environments
import joblib
import numpy as np
import pandas as pd
import processes
import pyarrow as pa
import steps
from options import names_among
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

MODELS = ("matrix", "table", "mixed")
N_ROWS = 1000
CONNECTIONS = 4
ARROW = "application/vnd.apache.arrow.stream"
NPY = "application/x-npy"
INFER = "/v2/models/{}/infer"
LENGTH = "Inference-Header-Content-Length"


class Form(NamedTuple):
    """A request for the rows of one model."""

    headers: Mapping[str, str]
    body: bytes
    path: str = "/models/{}/predict"


# Bodies -------------------------------------------------------------------------------------


def save(folder: Path) -> dict[str, dict[str, Form]]:
    """Save the models; returns requests by model and form."""
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
    matrix = numbers.to_numpy()
    return {
        "matrix": {**of_rows(matrix), **of_columns(numbers), **of_array(matrix)},
        "table": {**of_records(numbers), **of_columns(numbers), **of_array(matrix)},
        "mixed": {**of_records(frame), **of_columns(frame), **of_dictionaries(frame)},
    }


def of_rows(matrix: np.ndarray) -> dict[str, Form]:
    tensor = {"name": "x", "shape": matrix.shape, "datatype": "FP64"}
    inputs = [{**tensor, "parameters": {"binary_data_size": matrix.nbytes}}]
    head = as_json({"inputs": inputs})
    both = as_json({"inputs": inputs, "parameters": {"binary_data_output": True}})
    binary = {**content("application/octet-stream"), LENGTH: str(len(head))}
    return {
        "JSON rows": Form(content("application/json"), as_json(matrix.tolist())),
        "v2 JSON": Form(
            content("application/json"),
            as_json({"inputs": [{**tensor, "data": matrix.ravel().tolist()}]}),
            INFER,
        ),
        "v2 binary": Form(binary, head + matrix.tobytes(), INFER),
        "v2 binary, answer too": Form({**binary, LENGTH: str(len(both))}, both + matrix.tobytes(), INFER),
    }


def of_records(frame: pd.DataFrame) -> dict[str, Form]:
    records, kind = frame.to_dict("records"), content("application/json")
    columns = {name: frame[name].tolist() for name in frame}
    tensors = [
        {"name": name, "shape": [N_ROWS], "datatype": "BYTES" if "kind" in name else "FP64", "data": cells}
        for name, cells in columns.items()
    ]
    return {
        "JSON records": Form(kind, as_json(records)),
        "dataframe_split": Form(kind, as_json({"dataframe_split": frame.to_dict("split")})),
        "JSON columns": Form(kind, as_json({"inputs": columns})),
        "v2 JSON": Form(kind, as_json({"inputs": tensors}), INFER),
        "JSON lines": Form(
            content("application/x-ndjson"), b"".join(as_json(row) + b"\n" for row in records)
        ),
    }


def of_columns(frame: pd.DataFrame) -> dict[str, Form]:
    out = io.BytesIO()
    frame.to_parquet(out)
    stream = arrow(pa.Table.from_pandas(frame))
    return {
        "CSV": Form(content("text/csv"), frame.to_csv(index=False).encode()),
        "Arrow": Form(content(ARROW), stream),
        "Arrow, answer too": Form({**content(ARROW), "Accept": ARROW}, stream),
        "Parquet": Form(content("application/vnd.apache.parquet"), out.getvalue()),
    }


def of_array(matrix: np.ndarray) -> dict[str, Form]:
    out = io.BytesIO()
    np.save(out, matrix)
    return {"npy": Form(content(NPY), out.getvalue())}


def of_dictionaries(frame: pd.DataFrame) -> dict[str, Form]:
    texts = {name: "category" for name in frame if name.startswith("kind")}
    return {"Arrow, dictionaries": Form(content(ARROW), arrow(pa.Table.from_pandas(frame.astype(texts))))}


def content(media_type: str) -> dict[str, str]:
    return {"Content-Type": media_type}


def as_json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def arrow(table: pa.Table) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


# Measuring ----------------------------------------------------------------------------------


def check(name: str, form: Form) -> list[float]:
    """Return the predictions that a form gets."""
    connection = http.client.HTTPConnection("127.0.0.1", steps.PORT, timeout=30)
    connection.request("POST", form.path.format(name), form.body, dict(form.headers))
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"{name}: {answer.status} {body[:300]!r}")
    if form.headers.get("Accept") == ARROW:
        return pa.ipc.open_stream(body).read_all().column(0).to_pylist()
    if (length := answer.getheader(LENGTH)) is not None:
        return np.frombuffer(body[int(length) :]).tolist()
    document = json.loads(body)
    return document["outputs"][0]["data"] if "outputs" in document else document["predictions"]


def check_all(forms: dict[str, dict[str, Form]]) -> None:
    for name, by_form in forms.items():
        answers = {label: check(name, form) for label, form in by_form.items()}
        wanted = next(iter(answers.values()))
        for label, predictions in answers.items():
            if predictions != wanted:
                raise SystemExit(f"{name}: {label} gets other predictions")


def cpu_us(port: int, name: str, form: Form, body: Path, seconds: int) -> float:
    body.write_bytes(form.body)
    url = f"http://127.0.0.1:{port}{form.path.format(name)}"
    found = processes.load(url, body, CONNECTIONS, seconds, "core", form.headers)
    if found["failed"]:
        raise SystemExit(f"{url}: {found['failed']} requests failed")
    return found["cpu_us"]


def measure(forms: dict[str, dict[str, Form]], folder: Path, options: argparse.Namespace) -> None:
    times: dict[tuple[int, str, str], list[float]] = {}
    for _ in range(options.rounds):
        for name, by_form in forms.items():
            for label, form in by_form.items():
                for port in (steps.PORT, steps.HELLO_PORT):
                    found = cpu_us(port, name, form, folder / "body", options.seconds)
                    times.setdefault((port, name, label), []).append(found)
    for name, by_form in forms.items():
        report(name, by_form, times)


def report(name: str, by_form: dict[str, Form], times: dict[tuple[int, str, str], list[float]]) -> None:
    print(f"\n{name:26}{'KiB':>8}{'µs':>8}{'median':>8}{'of JSON':>9}{'floor':>8}")
    first = min(times[steps.PORT, name, next(iter(by_form))])
    for label, form in by_form.items():
        all_us = times[steps.PORT, name, label]
        floor, least = min(times[steps.HELLO_PORT, name, label]), min(all_us)
        share = f"1/{first / least:.1f}" if least < first else f"{least / first:.1f}"
        middle = statistics.median(all_us)
        print(f"  {label:24}{len(form.body) / 1024:8.0f}{least:8.0f}{middle:8.0f}{share:>9}{floor:8.0f}")


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=2, help="of each form, in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", type=names_among(MODELS), default=list(MODELS), help=",".join(MODELS))
    return parser.parse_args()


def main() -> None:
    options = read_options()
    missing = steps.why_no_server()
    if missing is not None:
        raise SystemExit(missing)
    processes.adopt_orphans()
    os.environ["XDG_CACHE_HOME"] = str(environments.PLACE / "cache")
    with tempfile.TemporaryDirectory(prefix="demijohn-media-") as place:
        folder = Path(place)
        all_forms = save(folder)
        forms = {name: all_forms[name] for name in options.models}
        with steps.serving([f"{name}={folder / name}.joblib" for name in forms], folder):
            for name in forms:
                steps.await_plan(name)
            check_all(forms)
            measure(forms, folder, options)


if __name__ == "__main__":
    main()
