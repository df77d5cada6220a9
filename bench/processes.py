"""The server's processes, what they cost, and the load on them. Linux only; needs wrk."""

from __future__ import annotations

import collections
import contextlib
import ctypes
import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
#: Where the server and the load run. One core each, or nothing pinned.
PIN = {"core": (["taskset", "-c", "0"], ["taskset", "-c", "1"]), "machine": ([], [])}
JSON = {"Content-Type": "application/json"}
_CLK_TCK = os.sysconf("SC_CLK_TCK")
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Let the servers' own processes come back to this one when their parents leave."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _stat_of(pid: int) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # gone
        return None


def descendants() -> dict[int, list[str]]:
    pids = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    stats = {pid: stat for pid in pids if (stat := _stat_of(pid))}
    children = collections.defaultdict(list)
    for pid, stat in stats.items():
        children[int(stat[1])].append(pid)
    found, todo = {}, list(children[os.getpid()])
    while todo:
        pid = todo.pop()
        found[pid] = stats[pid]
        todo += children[pid]
    return found


def cpu_seconds() -> float:
    return sum(sum(map(int, stat[11:15])) for stat in descendants().values()) / _CLK_TCK


def pss_mib() -> float:
    """Memory of all processes, a page that several share counted once."""
    total = 0
    for pid in descendants():
        with contextlib.suppress(OSError):  # gone
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def stop_all() -> None:
    for number, patience_s in ((signal.SIGTERM, 3), (signal.SIGKILL, 5)):
        for pid in descendants():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        end = time.monotonic() + patience_s
        while descendants() and time.monotonic() < end:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, os.WNOHANG)
            time.sleep(0.02)
    if descendants():
        raise RuntimeError("some processes of a server did not stop")


def fixed_loop_ms() -> float:
    """How long core 0 takes for a fixed loop, best of 5: how fast the machine is right now."""
    before, times = os.sched_getaffinity(0), []
    os.sched_setaffinity(0, {0})
    for _ in range(5):
        began = time.perf_counter()
        sum(i * i for i in range(200_000))
        times.append((time.perf_counter() - began) * 1e3)
    os.sched_setaffinity(0, before)
    return min(times)


def ask(
    port: int, method: str, path: str, body: bytes | None = None, timeout_s: float = 30
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    with contextlib.closing(connection):
        connection.request(method, path, body, JSON)
        response = connection.getresponse()
        return response.status, response.read()


def load(
    url: str, body: Path, connections: int, seconds: int, mode: str, headers: Mapping[str, str] = JSON
) -> dict[str, Any]:
    """Post a body for a while over kept-alive connections; returns what it cost and how it went."""
    environ = {"BODY": str(body), "HEADERS": "".join(f"{name}: {value}\n" for name, value in headers.items())}
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "-s", "post.lua", url]
    loop_ms, cpu_before = fixed_loop_ms(), cpu_seconds()
    done = subprocess.run(
        [*PIN[mode][1], *command], env={**os.environ, **environ}, check=True, cwd=HERE,
        capture_output=True, text=True, timeout=seconds + 60,
    )  # fmt: skip
    cpu_s = cpu_seconds() - cpu_before
    told = json.loads(done.stdout.strip().splitlines()[-1])
    n_requests, elapsed_s = max(told["requests"], 1), told["us"] / 1e6
    return {
        "cpu_us": cpu_s / n_requests * 1e6,
        "rps": told["requests"] / elapsed_s,
        "p50_ms": told["p50"] / 1e3,
        "p99_ms": told["p99"] / 1e3,
        "failed": told["non2xx"] + told["errors"] + told["timeouts"],
        "loop_ms": (loop_ms + fixed_loop_ms()) / 2,
    }
