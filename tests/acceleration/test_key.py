"""The key of a plan changes with whatever the plan depends on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from demijohn.acceleration import key as keys
from demijohn.acceleration.key import make_key

FACTS = {"model": "abc", "signature": "x"}


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    keys._surroundings.cache_clear()
    yield
    keys._surroundings.cache_clear()


def test_the_same_facts_have_the_same_key_in_every_process() -> None:
    code = f"from demijohn.acceleration import make_key; print(make_key({FACTS!r}))"
    others = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert make_key(FACTS) == others.stdout.strip()
    assert len(make_key(FACTS)) == 64


def test_any_other_fact_has_another_key() -> None:
    assert make_key(FACTS) != make_key({**FACTS, "model": "abd"})
    assert make_key({"a": "b", "c": ""}) != make_key({"a": "", "c": "b"})


@pytest.mark.parametrize("name", ["_cpu", "_digest_of_sources"])
def test_another_machine_or_another_code_has_another_key(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    before = make_key(FACTS)
    keys._surroundings.cache_clear()
    monkeypatch.setattr(keys, name, lambda: "another")
    assert make_key(FACTS) != before


@pytest.mark.parametrize("library", keys._LIBRARIES)
def test_another_version_of_a_library_has_another_key(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    before, version = make_key(FACTS), keys._version
    keys._surroundings.cache_clear()
    monkeypatch.setattr(keys, "_version", lambda name: "0.0" if name == library else version(name))
    assert make_key(FACTS) != before


def test_a_library_that_is_not_there_has_no_version() -> None:
    assert keys._version("no-such-library") == ""
    assert keys._version("numpy")


def test_a_machine_that_says_nothing_of_its_processor_has_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_CPU_INFO", keys.Path("/nowhere"))
    assert isinstance(keys._cpu(), str)
