"""Demijohn beside the servers people use, on the same fitted models, in one interleaved run.

    make bench                                                       # everything; an hour or more
    .venv/bin/python bench/compare.py --peers demijohn,asgi --models linear,rf --rounds 2

Every round starts each peer in turn in a fresh process, compares its answers with ``model.predict``,
measures, and stops it. The table gives the median over all windows; ratios are taken of the least CPU
per request of each, for on a noisy machine the least is the truest. Rows go to build/bench/results/.

Workloads: one = 1 row per request, many = 1,000 rows per request, start = cold start and idle memory,
own = the framework's own ``predict`` in process, without any server.
Modes: core = server on one core with one worker, wrk on another; machine = two workers, nothing pinned.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import environments
import joblib
import numpy as np
import pandas as pd
import processes
import report
from options import names_among
from peers import PEERS

HERE = Path(__file__).resolve().parent
MODELS = ("linear", "logreg", "hgb", "rf", "mixed")
#: Measured where they are asked for, in the environment that Demijohn is in: how their files end, and who
#: makes them.
OTHER_MODELS = {
    "keras-mlp": ("keras", "keras_models.py"), "keras-cnn": ("keras", "keras_models.py"),
    "lightgbm": ("txt", "booster_models.py"), "xgboost": ("ubj", "booster_models.py"),
    "neighbors": ("joblib", "uncompiled_models.py"), "custom": ("joblib", "uncompiled_models.py"),
}  # fmt: skip
#: MLServer's runtimes for boosters have an environment of their own.
_ENVIRONMENTS = {(name, "mlserver"): "mlserver-boosters" for name in ("lightgbm", "xgboost")}
MODEL_FILES = environments.PLACE / "models"
RESULTS = environments.PLACE / "results"
WORKLOADS = ("one", "many", "start", "own")
_SIZES = {"one": 1, "many": 1000}
_START_S = 120  # importing TensorFlow takes some seconds, twice

Cases = dict[int, tuple[Any, Any, Any]]  # rows per request -> rows, columns, what model.predict says


def make_models(options: argparse.Namespace) -> None:
    if set(options.models) - OTHER_MODELS.keys() and not _are_made(MODELS):
        python = environments.oldest() / "bin/python"
        subprocess.run([python, HERE / "models.py", MODEL_FILES], check=True)
    others = {
        OTHER_MODELS[name][1] for name in options.models if name in OTHER_MODELS and not _are_made([name])
    }
    for script in sorted(others):
        subprocess.run([options.demijohn.with_name("python"), HERE / script, MODEL_FILES], check=True)


def _are_made(names: Sequence[str]) -> bool:
    return all((MODEL_FILES / f"{name}.rows.json").exists() for name in names)


def model_file(model: str) -> Path:
    return MODEL_FILES / f"{model}.{OTHER_MODELS.get(model, ('joblib',))[0]}"


def environment_of(peer: str, model: str) -> str | None:
    """Return whose environment serves a model; None: the one that Demijohn is in."""
    environment = PEERS[peer].environment
    return _ENVIRONMENTS.get((model, environment), None if model in OTHER_MODELS else environment)


def load_cases(model: str) -> Cases:
    data = json.loads((MODEL_FILES / f"{model}.rows.json").read_text())
    rows, columns = data["rows"], data["columns"]
    if "expected" in data:
        expected = np.array(data["expected"], dtype=data.get("dtype", "float32"))
        return {n: (rows[:n], columns, expected[:n]) for n in _SIZES.values()}
    matrix = pd.DataFrame(rows, columns=columns) if columns else np.array(rows)
    expected = joblib.load(MODEL_FILES / f"{model}.joblib").predict(matrix)
    return {n: (rows[:n], columns, expected[:n]) for n in _SIZES.values()}


def are_same(got: Any, want: Any) -> bool:
    got = np.ravel(got)
    if want.dtype.kind in "OU":
        return bool(got.astype(str).tolist() == want.tolist())
    rtol = 1e-5 if want.dtype == np.float32 else 1e-9
    want = np.ravel(want)
    return got.shape == want.shape and np.allclose(got.astype(float), want, rtol=rtol, atol=rtol / 10)


@contextlib.contextmanager
def running(
    name: str, model: str, cases: Cases, mode: str, options: argparse.Namespace
) -> Iterator[tuple[str, dict[int, Path], float]]:
    """Start a peer and check its answers; yields its URL, the body files and the cold start in s."""
    peer = PEERS[name]
    os.sched_setaffinity(0, {1} if mode == "core" else range(os.cpu_count() or 1))
    log_file = RESULTS / f"log.{name}.txt"
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="b") as scratch, log_file.open("w") as log:
        bodies = {n: Path(scratch, f"{n}.json") for n in cases}
        for n, (rows, columns, _) in cases.items():
            bodies[n].write_text(json.dumps(peer.body(rows, columns), separators=(",", ":")))
        Path(scratch, "s").mkdir()
        server = _start(name, model, mode, Path(scratch), log, options)
        began = time.monotonic()
        try:
            while not _answers(options.port, peer.path, bodies[1]):
                if server.poll() is not None or time.monotonic() - began > _START_S:
                    raise RuntimeError(f"it did not start, see {log_file}")
                time.sleep(0.01)
            cold_s = time.monotonic() - began
            _check(name, cases, bodies, options.port)
            if peer.folder == "demijohn":
                _await_plan(options.port)
                _check(name, cases, bodies, options.port)
            yield f"http://127.0.0.1:{options.port}{peer.path}", bodies, cold_s
        finally:
            processes.stop_all()


def _start(
    name: str, model: str, mode: str, scratch: Path, log: Any, options: argparse.Namespace
) -> subprocess.Popen[bytes]:
    peer = PEERS[name]
    environment = environment_of(name, model)
    bin_folder = environments.ENVIRONMENTS / environment / "bin" if environment else options.demijohn.parent
    environ = {
        **os.environ, "MODEL": model,
        "PYTHONPATH": str(HERE) if model == "custom" else "",  # there is own_transformer
        "MODEL_FILE": str(model_file(model)),
        "PORT": str(options.port), "WORKERS": "1" if mode == "core" else "2", "VARIANT": peer.variant,
        "SCRATCH": str(scratch / "s"), "BIN": str(bin_folder),
        "DEMIJOHN": str(options.demijohn), "XDG_CACHE_HOME": str(environments.PLACE / "cache"),
    }  # fmt: skip
    environ.pop("PYTHONDONTWRITEBYTECODE", None)  # cold starts must find compiled modules
    command = [*processes.PIN[mode][0], "sh", HERE / "peers" / peer.folder / "start.sh"]
    return subprocess.Popen(
        command, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
    )


def _answers(port: int, path: str, body: Path) -> bool:
    try:
        return processes.ask(port, "POST", path, body.read_bytes(), 10)[0] == 200
    except (OSError, processes.http.client.HTTPException):
        return False


def _check(name: str, cases: Cases, bodies: dict[int, Path], port: int) -> None:
    peer = PEERS[name]
    if peer.read is None:
        return
    for n, (_, _, want) in cases.items():
        status, answer = processes.ask(port, "POST", peer.path, bodies[n].read_bytes())
        if status != 200 or not are_same(peer.read(json.loads(answer)), want):
            raise RuntimeError(f"it answers wrongly for {n} rows: {status} {answer[:200]!r}")


def _await_plan(port: int) -> None:
    """Wait until the engines are proved: native answers until then."""
    give_up = time.monotonic() + _START_S
    while json.loads(processes.ask(port, "GET", "/models/m")[1])["plan"]["state"] != "settled":
        if time.monotonic() > give_up:
            raise RuntimeError(f"its plan did not settle within {_START_S} s")
        time.sleep(0.05)


def turn(
    name: str, model: str, cases: Cases, mode: str, options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Measure one peer in a fresh process."""
    with running(name, model, cases, mode, options) as (url, bodies, cold_s):
        if "start" in options.workloads:
            time.sleep(0.5)
            yield {"workload": "start", "cold_s": cold_s, "pss_mib": processes.pss_mib()}
        for workload, connections in (("one", options.connections), ("many", [4])):
            if workload not in options.workloads:
                continue
            body = bodies[_SIZES[workload]]
            processes.load(url, body, 4, 1, mode)  # warm up
            for count in connections:
                for _ in range(options.windows):
                    measured = processes.load(url, body, count, options.seconds, mode)
                    yield {"workload": workload, "connections": count, **measured}


def own(model: str, mode: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Time the framework's own ``predict``, in a process where the server would be."""
    python = options.demijohn.with_name("python")
    command = [*processes.PIN[mode][0], python, HERE / "own.py", model_file(model)]
    rows_file = MODEL_FILES / f"{model}.rows.json"
    done = subprocess.run([*command, rows_file], check=True, capture_output=True, text=True)
    times = json.loads(done.stdout.splitlines()[-1]).items()
    return [
        {"workload": "own", "model": model, "mode": mode, "n_rows": int(n), "own_us": us} for n, us in times
    ]


def run(options: argparse.Namespace) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Measure everything that was asked for; returns rows, and whom it could not measure and why."""
    needed = {environment_of(name, model) for name in options.peers for model in options.models}
    if set(options.models) - OTHER_MODELS.keys() and not _are_made(MODELS):
        needed.add(next(iter(environments.PACKAGES)))  # it writes the models, asked for as a peer or not
    missing = environments.prepare([name for name in environments.PACKAGES if name in needed])
    make_models(options)
    failed = {
        f"{name}, {model}": f"not installed: {missing[environment]}"
        for name in options.peers
        for model in options.models
        if (environment := environment_of(name, model)) in missing
    }
    rows: list[dict[str, Any]] = []
    for model in options.models:
        cases = load_cases(model)
        for mode in options.modes:
            for number in range(options.rounds):
                if "own" in options.workloads:
                    rows += own(model, mode, options)
                for name in [name for name in options.peers if f"{name}, {model}" not in failed]:
                    key = {"round": number, "peer": name, "model": model, "mode": mode}
                    try:
                        rows += [{**key, **row} for row in turn(name, model, cases, mode, options)]
                        print(f"{model} {mode} round {number + 1}: {name}", flush=True)
                    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                        failed[f"{name}, {model}"] = str(error)
                        print(f"{model} {mode} round {number + 1}: {name} FAILED: {error}", flush=True)
    return rows, failed


def read_options() -> argparse.Namespace:
    def numbers(text: str) -> list[int]:
        return [int(word) for word in text.split(",")]

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", type=names_among(PEERS), default=list(PEERS), help=",".join(PEERS))
    models = [*MODELS, *OTHER_MODELS]
    parser.add_argument("--models", type=names_among(models), default=list(MODELS), help=",".join(models))
    parser.add_argument(
        "--workloads", type=names_among(WORKLOADS), default=list(WORKLOADS), help=",".join(WORKLOADS)
    )
    parser.add_argument(
        "--modes", type=names_among(processes.PIN), default=["core"], help=",".join(processes.PIN)
    )
    parser.add_argument("--connections", type=numbers, default=[1, 16], help="of workload one")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--windows", type=int, default=2, help="runs of wrk per round")
    parser.add_argument("--seconds", type=int, default=1, help="length of a run of wrk")
    parser.add_argument("--port", type=int, default=18080)
    parser.add_argument("--demijohn", type=Path, default=Path(sys.executable).with_name("demijohn"))
    parser.add_argument("--report", type=Path, default=RESULTS / "report", help="path of the .md and .svg")
    return parser.parse_args()


def main() -> None:
    options = read_options()
    RESULTS.mkdir(parents=True, exist_ok=True)
    processes.adopt_orphans()
    rows, failed = run(options)
    (RESULTS / time.strftime("%m%d-%H%M%S.jsonl")).write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    text = report.write(rows, failed, options.peers, options.report)
    print(text)


if __name__ == "__main__":
    main()
