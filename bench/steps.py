"""Where the microseconds of one request go, step by step, so that the next target is seen.

    make profile            # less than a minute
    .venv/bin/python bench/steps.py --models linear,forest --seconds 3

Fits small models, serves them in this process as a worker of ``demijohn serve`` would, and times the
functions that a request passes through, best of many; a step is the difference of two calls, one of which
goes a step further. Then, where there is wrk, a real server on core 0 says what a request costs in all,
beside a bare Granian app that reads the same body. Figures are CPU in µs.

It is not called profile.py: that would stand before the standard library's ``profile`` for every script here.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from time import monotonic, perf_counter
from typing import Any

import environments
import joblib
import processes
from options import names_among
from steps_models import MODELS

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
SIZES = (1, 1000)
CONNECTIONS = {1: 16, 1000: 4}  #: By rows per request.
PORT, HELLO_PORT = 18090, 18091
_BLOCK_S = 0.001  #: Calls are timed in blocks of about so long: short ones find quiet moments.
_START_S = 60.0

Table = dict[str, dict[int, float | None]]  # step -> rows per request -> µs


# Models -------------------------------------------------------------------------------------


def write_models(names: list[str], folder: Path) -> dict[str, dict[int, bytes]]:
    """Fit and save the models; returns the body of each, by rows."""
    bodies = {}
    for name in names:
        model, rows = MODELS[name][1]()
        joblib.dump(model, folder / f"{name}.joblib")
        many = (rows * (max(SIZES) // len(rows) + 1))[: max(SIZES)]
        bodies[name] = {n: json.dumps(many[:n], separators=(",", ":")).encode() for n in SIZES}
        for n, body in bodies[name].items():
            (folder / f"{name}.{n}.json").write_bytes(body)
    return bodies


# In this process ----------------------------------------------------------------------------


class Responder:
    """As Granian's, but nobody hears more of an answer than its status."""

    def __init__(self) -> None:
        self._statuses: SimpleQueue[int] = SimpleQueue()  # a model's own thread may answer

    def response_bytes(self, status: int, headers: Any, body: bytes) -> None:
        del headers, body
        self._statuses.put(status)

    response_iter = response_bytes

    def status(self) -> int:
        """Wait for the next answer; returns its status."""
        return self._statuses.get(timeout=_START_S)


class Stream:
    """As Granian's, of a body that is there."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def read(self, size: int) -> bytes:
        del size
        return self._body


class Worker:
    """What a worker of ``demijohn serve`` holds: application, gateway, watch over bodies."""

    def __init__(self, files: list[str]) -> None:
        from demijohn.config import Settings
        from demijohn.gateway import Gateway
        from demijohn.lifecycle import Lifecycle
        from demijohn.request_body import BodyWatch
        from demijohn.site import Site, SiteOptions

        self.lifecycle = Lifecycle()
        self.settings = Settings(url_prefix="")
        site = Site(files, self.settings, SiteOptions(host="127.0.0.1", workers=1))
        made = site.make_app(self.lifecycle)
        self.lane: Any = getattr(made, "wsgi_app", made)
        self.services = self.lane._services
        self.watch = BodyWatch(max_waiting=544, max_ending=272, timeout_s=30.0)
        self.gateway = Gateway(made, self.watch, self.lifecycle)

    def predictor(self, name: str) -> Any:
        """Return a model's predictor, once its plan is settled."""
        found = self.services.pool.find(name)
        give_up = monotonic() + _START_S
        while found.plan()["state"] != "settled":
            if monotonic() > give_up:
                raise SystemExit(f"the plan of {name} did not settle within {_START_S:g} s")
            time.sleep(0.02)
        return found


def environ_of(name: str, body: bytes) -> dict[str, Any]:
    """Return what Granian makes of a request of wrk, without the body."""
    return {
        "REQUEST_METHOD": "POST", "PATH_INFO": f"/models/{name}/predict", "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1", "SERVER_PORT": str(PORT), "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1", "wsgi.url_scheme": "http", "HTTP_HOST": f"127.0.0.1:{PORT}",
        "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body)),
    }  # fmt: skip


def idle_queue(worker: Worker, tensors: Any) -> Callable[[], Any]:
    """Return a call that only goes through a queue: what that costs is little beside what a model does."""
    from demijohn.batching import Batcher

    settings = worker.settings
    idle = Batcher(
        lambda _method, tensors, _parameters: tensors, name="idle", max_batch_size=settings.max_batch_size,
        max_queue_rows=settings.max_queue_rows, max_queue_s=settings.max_queue_s, concurrency=1,
        lifecycle=worker.lifecycle,
    )  # fmt: skip
    return lambda: idle.submit("predict", tensors, {}, monotonic() + 30)


def parts_of(worker: Worker, name: str, body: bytes) -> tuple[str, dict[str, Callable[[], Any]]]:
    """Return which engine answers, and the steps of a request as calls that can be repeated."""
    from demijohn.protocols import native
    from demijohn.request_body import RequestBody
    from demijohn.web.bodies import read_body
    from demijohn.web.inference import Later, Route, begin_route, read_head

    services, settings, predictor = worker.services, worker.settings, worker.predictor(name)
    environ, responder, stream = environ_of(name, body), Responder(), Stream(body)
    request = native.decode(body, native.JSON, settings)
    tensors = predictor.signature.validate(request.inputs)
    response = predictor.answer("predict", tensors, {}, monotonic() + 30)
    engine = predictor._engines.choose("predict", response.n_rows)
    is_own = predictor._engines.choose_own("predict", response.n_rows) is not None
    label = f"{'native' if engine is None else engine.name}{'' if is_own else ', through the queue'}"

    def decode() -> Any:
        return native.decode(body, native.JSON, settings)

    # Each step on what was just read: texts and pages that were seen before would cost less.
    def validate() -> Any:
        return predictor.signature.validate(decode().inputs)

    def compute() -> Any:
        fresh_ones = validate()
        return predictor.runtime.run("predict", fresh_ones, {}) if engine is None else engine.run(fresh_ones)

    def fresh() -> RequestBody:
        return RequestBody(stream, responder, environ, worker.watch)

    route, head = Route(native, name), read_head(environ, native, settings)
    words = "\n".join((*environ, *environ.values()))

    def in_lane() -> Any:
        answer = worker.lane.answer_whole(environ, words, None, fresh(), monotonic())
        return answer if isinstance(answer, tuple) else answer.wait()

    def prediction() -> Any:
        answer = begin_route(services, route, environ, fresh(), monotonic(), head)
        return answer.finish(answer.waiting.outcome()) if isinstance(answer, Later) else answer

    def scope() -> dict[str, Any]:
        return {**environ, "wsgi.input": stream}

    def through_gateway() -> int:
        worker.gateway(responder, scope())
        return responder.status()

    status = through_gateway()
    if status != 200:
        raise SystemExit(f"{name}: answered {status} in process")
    observe, version = services.metrics.observe_request, predictor.version
    idle = {} if is_own else {"queue": idle_queue(worker, tensors)}
    return label, idle | {
        "read": lambda: read_body(environ, fresh(), len(body), (), settings.max_body_bytes),
        "decode": decode,
        "validate": validate,
        "compute": compute,
        "answer": lambda: predictor.answer("predict", validate(), {}, monotonic() + 30),
        "encode": lambda: native.encode(response, request, native.JSON),
        "count": lambda: observe(name, version, "predict", 200, 1e-4, response.n_rows, response.inference_s),
        "prediction": prediction,
        "lane": in_lane,
        "gateway": through_gateway,
        "nothing": lambda: None,
        "scope": scope,
    }


def best_us(calls: dict[str, Callable[[], Any]], seconds: float) -> dict[str, float]:
    """Time calls in turn, so that a noisy moment hits all of them; returns the least of each, in µs."""
    counts = {}
    for name, call in calls.items():
        call()
        counts[name] = max(1, int(_BLOCK_S / _block_s(call, 3) * 3))
    least = dict.fromkeys(calls, float("inf"))
    end, rounds = monotonic() + seconds, 0
    while monotonic() < end or rounds < 5:
        rounds += 1
        for name, call in calls.items():
            least[name] = min(least[name], _block_s(call, counts[name]) / counts[name] * 1e6)
    return least


def _block_s(call: Callable[[], Any], n: int) -> float:
    began = perf_counter()
    for _ in range(n):
        call()
    return max(perf_counter() - began, 1e-9)


def steps_of(us: dict[str, float]) -> dict[str, float]:
    """Turn times of calls, some of which enclose others, into steps that add up to the last."""
    call = us.pop("nothing")
    us = {name: time_us - call for name, time_us in us.items()}
    inside = us["read"] + us["answer"] + us["encode"] + us["count"]
    total = us["gateway"] - us["scope"]
    answer = us["answer"] - us["validate"]
    compute = answer - us["queue"] if "queue" in us else us["compute"] - us["validate"]
    return {
        "read the body": us["read"],
        "decode (protocols)": us["decode"],
        "validate (signature)": us["validate"] - us["decode"],
        "compute (engine or framework)": compute,
        "choose it, hand over, queue": answer - compute,
        "encode (protocols)": us["encode"],
        "count (metrics)": us["count"],
        "method, room, Accept, memory": us["prediction"] - inside,
        "fast lane: route, key, headers": us["lane"] - us["prediction"],
        "gateway: environ, clean headers": total - us["lane"],
        "total in process": total,
    }


# Under a server -----------------------------------------------------------------------------


def why_no_server() -> str | None:
    """Say what is missing for measuring a real server; None: nothing."""
    for tool in ("wrk", "taskset"):
        if shutil.which(tool) is None:
            return f"{tool} is not there"
    if not {0, 1} <= os.sched_getaffinity(0):
        return "the server and the load need a core each, 0 and 1"
    return None


@contextlib.contextmanager
def serving(files: list[str], folder: Path) -> Iterator[None]:
    """Serve the models, and hello beside them, on core 0."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DEMIJOHN_")}
    commands: dict[int, list[str | Path]] = {
        PORT: [BIN / "demijohn", "serve", *files, "--port", str(PORT), "--workers", "1"],
        HELLO_PORT: ["sh", HERE / "peers/hello/start.sh"],
    }
    environ |= {"BIN": str(BIN), "PORT": str(HELLO_PORT), "WORKERS": "1"}
    with (folder / "log").open("w") as log:
        for command in commands.values():
            subprocess.Popen([*processes.PIN["core"][0], *command], env=environ, stdout=log, stderr=log)
        try:
            for port in commands:
                _await(port, folder / "log")
            yield
        finally:
            processes.stop_all()


def _await(port: int, log: Path) -> None:
    give_up = monotonic() + _START_S
    while monotonic() < give_up:
        with contextlib.suppress(OSError):
            processes.ask(port, "POST", "/", b"")
            return
        time.sleep(0.05)
    raise SystemExit(f"a server did not start:\n{log.read_text()}")


def await_plan(name: str) -> None:
    give_up = monotonic() + _START_S
    while json.loads(processes.ask(PORT, "GET", f"/models/{name}")[1])["plan"]["state"] != "settled":
        if monotonic() > give_up:
            raise SystemExit(f"the server's plan of {name} did not settle within {_START_S:g} s")
        time.sleep(0.05)


def cpu_us(port: int, path: str, body: Path, n_rows: int, windows: int) -> float:
    """Return CPU per request of what is served on a port, least of some windows of 1 s."""
    url = f"http://127.0.0.1:{port}{path}"
    measured = [processes.load(url, body, CONNECTIONS[n_rows], 1, "core") for _ in range(windows)]
    failed = sum(one["failed"] for one in measured)
    if failed:
        raise SystemExit(f"{url}: {failed} requests failed")
    return min(one["cpu_us"] for one in measured)


def served_us(tables: dict[str, Table], labels: dict[str, dict[int, str]], folder: Path) -> None:
    """Add what a request costs under a real server."""
    for name, table in tables.items():
        await_plan(name)
        for n in SIZES:
            body = folder / f"{name}.{n}.json"
            total = cpu_us(PORT, f"/models/{name}/predict", body, n, 2)
            # Requests that waited were joined: what one costs is no sum of steps any more.
            is_joined = "queue" in labels[name][n]
            server = None if is_joined else total - (table["total in process"][n] or 0.0)
            table.setdefault("server: Granian, the kernel", {})[n] = server
            table.setdefault("total served", {})[n] = total
            table.setdefault("a bare Granian app, same body", {})[n] = cpu_us(HELLO_PORT, "/", body, n, 1)


# Output -------------------------------------------------------------------------------------


def show(name: str, labels: dict[int, str], table: Table) -> None:
    print(f"\n{MODELS[name][0]}")
    print("  " + "; ".join(f"{n:,} row{'s'[: n > 1]}: {label}" for n, label in labels.items()))
    print(f"  {'µs':36}" + "".join(f"{f'{n:,} rows' if n > 1 else '1 row':>12}" for n in SIZES))
    for step, times in table.items():
        cells = (times.get(n) for n in SIZES)
        numbers = "".join(f"{_cell(us):>12}" for us in cells)
        rule = "  " + "-" * (36 + 12 * len(SIZES)) + "\n" if step.startswith("total") else ""
        print(f"{rule}  {step:36}{numbers}")


def _cell(us: float | None) -> str:
    """Write a time; less than nothing is a small difference of two large times."""
    return "joined" if us is None else "~0" if us < 0 else f"{us:,.1f}"


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=names_among(MODELS), default=list(MODELS), help=",".join(MODELS))
    parser.add_argument(
        "--seconds", type=float, default=0.7, help="spent on each model and number of rows in process"
    )
    return parser.parse_args()


def main() -> None:
    options = read_options()
    missing = why_no_server()
    cores = os.sched_getaffinity(0)
    processes.adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="demijohn-profile-") as scratch:
        folder = Path(scratch)
        # The server takes the plans that are made here, and so does the next run.
        os.environ["XDG_CACHE_HOME"] = str(environments.PLACE / "cache")
        bodies = write_models(options.models, folder)
        files = [f"{name}={folder / name}.joblib" for name in options.models]
        os.sched_setaffinity(0, {min(cores)})  # as the server will be
        logging.disable(logging.INFO)
        worker = Worker(files)
        tables: dict[str, Table] = {}
        labels: dict[str, dict[int, str]] = {}
        for name in options.models:
            tables[name], labels[name] = {}, {}
            for n, body in bodies[name].items():
                labels[name][n], calls = parts_of(worker, name, body)
                for step, us in steps_of(best_us(calls, options.seconds)).items():
                    tables[name].setdefault(step, {})[n] = us
        os.sched_setaffinity(0, cores)
        if missing is None:
            with serving(files, folder):
                served_us(tables, labels, folder)
    for name in options.models:
        show(name, labels[name], tables[name])
    if missing is not None:
        print(f"\nWhat the server itself costs was not measured: {missing}.")


if __name__ == "__main__":
    main()
