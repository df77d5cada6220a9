import os
import signal
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from demijohn.errors import LoadError
from demijohn.runtimes import trial
from demijohn.runtimes.trial import try_out

PATH = Path("/models/m.ubj")


def test_what_goes_well_says_nothing_and_changes_nothing():
    seen = []
    try_out(lambda: seen.append(1), PATH, 10)
    assert seen == []  # it was in the child


def test_an_error_is_told_with_its_place_taken_away():
    def fail():
        raise ValueError("[12:09:22] /workspace/src/common/json.cc:66: Expecting a digit\nStack trace")

    with pytest.raises(LoadError, match=r"^/models/m.ubj cannot be read: ValueError: Expecting a digit$"):
        try_out(fail, PATH, 10)


def test_an_error_of_ours_is_told_as_it_is():
    def fail():
        raise LoadError("a tree has a child outside of it")

    with pytest.raises(LoadError, match=r"read: a tree has a child outside of it$"):
        try_out(fail, PATH, 10)


@pytest.mark.parametrize("how", [signal.SIGSEGV, signal.SIGABRT])
def test_a_file_that_ends_its_reader_ends_only_a_child(how):
    with pytest.raises(LoadError, match=how.name):
        try_out(lambda: os.kill(os.getpid(), how), PATH, 10)


def test_a_file_that_exits_ends_only_a_child():
    with pytest.raises(LoadError, match="ended the process"):
        try_out(lambda: os._exit(0), PATH, 10)


def test_a_file_that_reads_for_ever_is_given_up(monkeypatch):
    monkeypatch.setattr(trial, "DEADLINE_S", 0.2)
    with pytest.raises(LoadError, match=r"longer than 0\.2 s"):
        try_out(lambda: time.sleep(60), PATH, 10)


def test_a_file_that_takes_much_memory_is_given_up(monkeypatch):
    monkeypatch.setattr(trial, "_ROOM_BYTES", 2**24)

    def grow():
        kept = [np.ones(2**23) for _ in range(2)]
        time.sleep(60)
        return kept

    with pytest.raises(LoadError, match="too much memory"):
        try_out(grow, PATH, 10)


def test_a_file_that_asks_for_all_memory_gets_none():
    with pytest.raises(LoadError, match=r"MemoryError|ArrayMemoryError"):
        try_out(lambda: np.ones(2**40, dtype=np.uint8), PATH, 10)


def test_no_child_is_left_behind():
    before = psutil.Process().children()  # other tests may have left some
    try_out(lambda: None, PATH, 10)
    assert set(psutil.Process().children()) <= set(before)
