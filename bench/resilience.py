"""What becomes of requests when workers are killed, the server ends, or too many come.

    python bench/resilience.py [--full] [--demijohn PATH]

A missed target ends it with status 1. See README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from load import Client, Tally, closed_loop, open_loop, post

N_WORKERS = 2
N_CONNECTIONS = 64
COST_S = 0.02
OVERLOAD = 4
MAX_QUEUE_S = 1.0
MODEL = "iris"
IRIS = post("/models/iris/predict", b"[[5.1, 3.5, 1.4, 0.2]]")
BUSY = post("/ml/models/busy/predict", b"[[1.0]]")
APP = """
    import time
    from flask import Flask
    from demijohn import Demijohn

    app = Flask(__name__)
    models = Demijohn(app)

    @models.model("busy")
    def busy(x: float) -> float:
        {work}
        return x
"""

#: "computes" wants a core for each worker beside those of the load; "waits" is as costly in time alone.
WORK = {
    "computes": f"end = time.thread_time() + {COST_S}\n        while time.thread_time() < end: pass",
    "waits": f"time.sleep({COST_S})",
}

missed: list[str] = []


def say(name: str, value: object, target: str = "", is_met: bool = True) -> None:
    verdict = "" if not target else f"   target {target}: {'met' if is_met else 'MISSED'}"
    print(f"  {name:<44} {value}{verdict}", flush=True)
    if not is_met:
        missed.append(name)


# The server ---------------------------------------------------------------------------------


@contextmanager
def served(command: Path, *words: str, folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run ``demijohn serve``; yields it and its port."""
    log = (folder / "server.log").open("a")
    process = subprocess.Popen(
        [command, "serve", *words, "--port", "0", "--workers", str(N_WORKERS)],
        cwd=folder,
        env={**os.environ, "DEMIJOHN_MAX_QUEUE_S": str(MAX_QUEUE_S)},
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    assert process.stdout
    try:
        for line in process.stdout:
            if found := re.search(r"http://[\d.]+:(\d+)", line):
                break
        else:
            sys.exit(f"demijohn serve did not start: {(folder / 'server.log').read_text()[-1000:]}")
        threading.Thread(target=process.stdout.read, daemon=True).start()
        wait_for_workers(process)
        yield process, int(found[1])
    finally:
        process.kill()
        process.wait()
        log.close()


def wait_for_workers(process: subprocess.Popen[str]) -> None:
    while sum(is_listening(child) for child in psutil.Process(process.pid).children()) < N_WORKERS:
        time.sleep(0.05)


def is_listening(worker: psutil.Process) -> bool:
    try:
        return any(one.status == psutil.CONN_LISTEN for one in worker.net_connections("tcp"))
    except psutil.Error:
        return False


def make_model(folder: Path) -> str:
    """Fit the model of the first two parts."""
    import joblib
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    joblib.dump(LogisticRegression(max_iter=1000).fit(*load_iris(return_X_y=True)), folder / "iris.joblib")
    return "iris.joblib"


# Killing ------------------------------------------------------------------------------------


def kill_workers(command: Path, folder: Path, seconds: float, n_kills: int) -> None:
    """Kill a worker every so often under wrk; a connection of wrk always waits for one answer."""
    print(f"\nkill -9 of a worker, {n_kills} times in {seconds:.0f} s, under wrk -c{N_CONNECTIONS}")
    wrk = shutil.which("wrk")
    if wrk is None:
        missed.append("wrk")
        print("  wrk is not installed; on Debian: apt-get install wrk")
        return
    script = folder / "post.lua"
    head, _, body = IRIS.decode().partition("\r\n\r\n")
    script.write_text(
        f'wrk.method = "POST"\nwrk.body = \'{body}\'\nwrk.headers["Content-Type"] = "application/json"\n'
    )
    with served(command, make_model(folder), folder=folder) as (process, port):
        url = f"http://127.0.0.1:{port}{head.split()[1]}"
        load = subprocess.Popen(
            [wrk, "-t1", f"-c{N_CONNECTIONS}", f"-d{seconds:.0f}s", "-s", script, "--latency", url],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        held = 0
        for _ in range(n_kills):
            time.sleep(seconds / (n_kills + 1))
            held += kill_one(process)
        output = load.communicate()[0]
        report_kills(output, held)
        say("server ended", process.poll() is not None, "False", process.poll() is None)


def kill_one(process: subprocess.Popen[str]) -> int:
    """Kill the worker that holds most; returns how many requests it can have held."""
    held = {}
    for child in psutil.Process(process.pid).children():
        connections = [one for one in child.net_connections("tcp") if one.status == psutil.CONN_ESTABLISHED]
        held[child.pid] = len(connections)
    if not held:
        return 0
    victim = max(held, key=lambda pid: held[pid])
    os.kill(victim, signal.SIGKILL)
    return held[victim]


def report_kills(output: str, held: int) -> None:
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    lost = sum(map(int, errors.groups())) if errors else 0
    others = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    p99 = re.search(r"99%\s+(\S+)", output)
    say("requests per second", rate[1] if rate else "?")
    say("p99", p99[1] if p99 else "?")
    say("answers other than 200", others[1] if others else "0", "0", not others)
    say("requests held by the workers killed", held)
    say("requests lost", lost, f"at most {held}", lost <= held)


# Ending -------------------------------------------------------------------------------------


def end_under_load(command: Path, folder: Path, n_times: int) -> None:
    print(f"\nSIGTERM under {N_CONNECTIONS} kept-alive connections, {n_times} times")
    total = Tally()
    longest_s = 0.0
    for _ in range(n_times):
        with served(command, make_model(folder), folder=folder) as (process, port):
            tally, seconds = asyncio.run(load_and_end(process, port))
            total.outcomes += tally.outcomes
            longest_s = max(longest_s, seconds)
            say("exit status", process.returncode, "0", process.returncode == 0)
    say("requests", total)
    say("requests lost", total.outcomes["lost"], "0", not total.outcomes["lost"])
    say("from SIGTERM to the end, at most", f"{longest_s:.2f} s")


async def load_and_end(process: subprocess.Popen[str], port: int) -> tuple[Tally, float]:
    load = asyncio.create_task(closed_loop(port, IRIS, N_CONNECTIONS, asyncio.Event()))
    await asyncio.sleep(2)
    process.send_signal(signal.SIGTERM)
    asked = time.monotonic()
    tally = await load  # each client ends when it is refused
    await asyncio.to_thread(process.wait, 60)
    return tally, time.monotonic() - asked


# Overload -----------------------------------------------------------------------------------


def overload(command: Path, folder: Path, seconds: float, kind: str) -> None:
    print(f"\n{OVERLOAD} × capacity of a model that {kind} for {COST_S * 1000:.0f} ms, for {seconds:.0f} s")
    (folder / "busy_app.py").write_text(textwrap.dedent(APP.format(work=WORK[kind])))
    with served(command, "busy_app:app", folder=folder) as (_, port):
        unloaded = asyncio.run(one_by_one(port, seconds / 4))
        capacity = asyncio.run(at_capacity(port, seconds / 2))
        per_second = OVERLOAD * capacity
        loaded = asyncio.run(open_loop(port, BUSY, per_second, seconds, most_clients=2000))
    unloaded_s, p99_s = unloaded.percentile("200", 0.99), loaded.percentile("200", 0.99)
    bound_s = MAX_QUEUE_S + 3 * unloaded_s
    goodput = loaded.outcomes["200"] / seconds
    other = {name: n for name, n in loaded.outcomes.items() if name not in ("200", "503")}
    say("p99 of one client alone", f"{unloaded_s * 1000:.1f} ms")
    say("capacity", f"{capacity:.1f} per second")
    say("sent", f"{per_second:.1f} per second")
    say("answers", loaded)
    say("neither 200 nor 503", other or "none", "none", not other)
    say("503 without Retry-After", loaded.without_retry_after, "0", not loaded.without_retry_after)
    say("p99 of what was accepted", f"{p99_s:.3f} s", f"at most {bound_s:.3f} s", p99_s <= bound_s)
    say("p99 of what was refused", f"{loaded.percentile('503', 0.99) * 1000:.1f} ms")
    share = goodput / capacity
    say("goodput", f"{goodput:.1f} per second, {share:.0%} of capacity", "at least 90%", share >= 0.9)


async def one_by_one(port: int, seconds: float) -> Tally:
    tally, client, end = Tally(), Client(port, BUSY), time.monotonic() + seconds
    while time.monotonic() < end:
        await client.ask(tally)
    client.close()
    return tally


async def at_capacity(port: int, seconds: float) -> float:
    """Return answers per second while every worker always has work."""
    # The kernel spreads connections over the workers by chance: of 16, hardly ever all to one.
    stop = asyncio.Event()
    load = asyncio.create_task(closed_loop(port, BUSY, 8 * N_WORKERS, stop))
    await asyncio.sleep(seconds)
    stop.set()
    return (await load).outcomes["200"] / seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="minutes instead of seconds")
    parser.add_argument("--demijohn", type=Path, default=Path(sys.executable).with_name("demijohn"))
    parser.add_argument("--only", choices=["kill", "end", "overload"], help="one part")
    has_cores = (os.cpu_count() or 1) >= N_WORKERS + 2  # for the load and the system, beside the workers
    parser.add_argument("--model", choices=WORK, default="computes" if has_cores else "waits")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, {N_WORKERS} workers; the load runs on the same machine")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts = {
            "kill": lambda: kill_workers(options.demijohn, folder, 60 if options.full else 15, 5),
            "end": lambda: end_under_load(options.demijohn, folder, 10 if options.full else 3),
            "overload": lambda: overload(options.demijohn, folder, 60 if options.full else 12, options.model),
        }
        for part, run in parts.items():
            if options.only in (None, part):
                run()
    if missed:
        sys.exit(f"\nmissed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
