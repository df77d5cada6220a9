"""A process that ends while a model is proved: at once, with status 0, with nothing on stderr."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from demijohn.acceleration import provers

#: Loads a forest, goes on until something was called so many times, and ends.
_LEAVE = """
import importlib, itertools, sys, threading
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
import demijohn

module, name, n_calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
module, _, owner = module.partition(":")
place = importlib.import_module("demijohn." + module)
place = getattr(place, owner) if owner else place
function, there = getattr(place, name), threading.Event()
calls = itertools.count(1)  # proofs call from several threads, and counting so is atomic

def count(*args, **options):
    if next(calls) >= n_calls:
        there.set()
    return function(*args, **options)

setattr(place, name, count)
rows, labels = load_iris(return_X_y=True)
forest = RandomForestClassifier(40, random_state=0).fit(rows, labels)
model = demijohn.load(forest)
assert model.predict(rows[:5]).tolist() == forest.predict(rows[:5]).tolist()
assert there.wait(100)  # a proof has the lowest priority: on a busy machine it waits
"""

_MOMENTS = [
    ("planning:Subject", "_probe", 3),
    ("acceleration.plan", "_time_native", 1),
    ("acceleration.trees.onnx_trees", "step", 1),
    ("acceleration.trees.treelite_trees", "step", 1),
    ("acceleration.parity:Reference", "_ask", 2),
    ("acceleration.parity:_PartEngine", "run", 40),
    ("acceleration.conduct", "_in_threads", 1),
    ("acceleration.conduct", "_in_threads", 3),
    ("acceleration.plan", "_time_engine", 3),
]


def run(code: str, tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *words], capture_output=True, text=True, timeout=120,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)}, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(("module", "name", "n_calls"), _MOMENTS)
def test_a_process_may_end_at_any_moment_of_a_proof(
    tmp_path: Path, module: str, name: str, n_calls: int
) -> None:
    ended = run(_LEAVE, tmp_path, module, name, str(n_calls))
    assert (ended.returncode, ended.stderr, ended.stdout) == (0, "", "")
    assert list((tmp_path / "demijohn" / "plans").iterdir()) == []


_FORK = """
import os, sys, threading, time
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
import demijohn
from demijohn.acceleration import parity

there, go_on, ask = threading.Event(), threading.Event(), parity.Reference._ask

def hold(self, tensors):
    there.set()
    assert go_on.wait(60)
    return ask(self, tensors)

parity.Reference._ask = hold
rows, labels = load_iris(return_X_y=True)
forest = RandomForestClassifier(10, random_state=0).fit(rows, labels)
model = demijohn.load(forest)
assert there.wait(60)
pid = os.fork()
if not pid:
    parity.Reference._ask = ask
    assert model.predict(rows[:5]).tolist() == forest.predict(rows[:5]).tolist()
    os.kill(os.getppid(), 0)
    sys.exit()
_, status = os.waitpid(pid, 0)
go_on.set()
for thread in threading.enumerate():
    if thread.name == "demijohn-prover":
        thread.join(60)
assert status == 0, status
assert model.plan["state"] == "settled"
"""


def test_a_fork_in_the_middle_of_a_proof_breaks_neither_process(tmp_path: Path) -> None:
    ended = run(_FORK, tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    (kept,) = (tmp_path / "demijohn" / "plans").iterdir()
    assert kept.suffix == ".json"


def test_what_is_started_is_told_to_stop_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    ending = threading.Event()
    monkeypatch.setattr(provers, "_ending", ending)
    monkeypatch.setattr(provers, "_threads", set())
    provers.check()
    provers.pause(0)
    threads = [provers.start(lambda: provers.pause(60), name="prover") for _ in range(2)]
    provers._end()
    assert not any(thread.is_alive() for thread in threads)
    with pytest.raises(provers.Interrupted):
        provers.check()


def test_a_call_that_does_not_return_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provers, "_ending", threading.Event())
    monkeypatch.setattr(provers, "_threads", set())
    monkeypatch.setattr(provers, "LONGEST_S", 0.0)
    go_on = threading.Event()

    def hang() -> None:
        go_on.wait(60)

    thread = provers.start(hang, name="prover")
    provers._end()
    assert thread.is_alive()
    go_on.set()
    thread.join(10)


def test_a_child_of_a_fork_begins_without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_ending", "_threads", "_lock"):
        monkeypatch.setattr(provers, name, getattr(provers, name))
    provers._ending = threading.Event()
    provers._ending.set()
    provers._lock.acquire()
    held = provers._lock
    provers._start_anew()
    provers.check()
    assert not provers._lock.locked()
    assert not list(provers._threads)
    held.release()
