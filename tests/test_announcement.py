"""What is printed at the start can be pasted."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.preprocessing import Normalizer
from tests.accelerated import Line, offer, predictor, regression
from tests.model_files import HOSTILE, hostile, hostile_table, line, monthly, save

from demijohn import runtimes
from demijohn.announcement import LONGEST_BODY, curl, describe, printable
from demijohn.config import Settings
from demijohn.targets import find, parse


def words_of(url: str = "http://127.0.0.1:8000", model: Any = None, **settings: Any) -> list[str]:
    runtime = runtimes.wrap(line(1) if model is None else model)
    return shlex.split(curl(url, "m", runtime, Settings(url_prefix="", **settings)))


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://0.0.0.0:80", "http://127.0.0.1:80"),
        ("http://[::]:80", "http://[::1]:80"),
        ("http://10.0.0.1:80", "http://10.0.0.1:80"),
    ],
)
def test_a_server_on_every_address_is_asked_on_loopback(url: str, asked: str) -> None:
    assert words_of(url)[1] == f"{asked}/models/m/predict"


def test_the_key_is_the_shells() -> None:
    assert "X-API-Key: ${DEMIJOHN_API_KEY%%,*}" in words_of(api_key=("secret",))
    assert "secret" not in " ".join(words_of(api_key=("secret",)))
    assert not [word for word in words_of() if "X-API-Key" in word]


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_survives_the_shell(text: str) -> None:
    table = hostile_table()
    runtime = runtimes.wrap(hostile(), example=table[table.iloc[:, 0] == text])
    command = curl("http://127.0.0.1:8000", "m", runtime, Settings())
    assert command.isprintable()
    assert json.loads(shlex.split(command)[-1])["instances"][0][table.columns[0]] == text


def test_no_command_is_printed_that_does_not_work() -> None:
    model, days = monthly()
    printed = curl("http://127.0.0.1:8000", "m", runtimes.wrap(model), Settings())
    assert printed.startswith("# m fails on its example")
    assert "--example m=FILE" in printed
    told = curl("http://127.0.0.1:8000", "m", runtimes.wrap(model, example=days.head()), Settings())
    assert json.loads(shlex.split(told)[-1]) == {"instances": [{"day": "2024-01-01T00:00:00", "x": 0.0}]}


def test_a_long_example_is_asked_for() -> None:
    words = words_of(model=Normalizer().fit(np.ones((1, LONGEST_BODY))))
    assert words.count("|") == 2
    assert words[-1] == "@-"


def test_what_could_act_on_a_terminal_is_not_printed() -> None:
    assert printable("a\x1b[31m\nb\x9b\u202eü") == "a�[31m�b��ü"


def engine_of(path: Path, **settings: Any) -> str:
    """Return what the announcement of one model file names as its engine."""
    (file,) = find([parse(str(path))]).files
    lines = describe("http://127.0.0.1:8000", [(file.key, runtimes.load(path))], Settings(**settings))
    return lines[1].partition("  engine: ")[2]


def test_the_engine_is_told_as_far_as_it_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = save(regression(), tmp_path / "m.joblib")
    assert engine_of(path) == "native (scikit-learn), proving others"
    assert engine_of(path, acceleration="off") == "native (scikit-learn)"
    offer(monkeypatch, Line())
    proved = predictor()
    proved.runtime.sha256 = runtimes.inspect(path).sha256
    proved.settle()
    assert engine_of(path).startswith("numpy (")
    assert " µs a row; native " in engine_of(path)
    offer(monkeypatch)
    found_none = predictor(acceleration="fast")
    found_none.runtime.sha256 = proved.runtime.sha256
    found_none.settle()
    assert engine_of(path, acceleration="fast") == "native (scikit-learn)"
