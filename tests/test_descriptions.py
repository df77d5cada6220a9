"""What is known of a model file is kept from start to start, and used for that very file alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from tests.keras_models import layers, mlp, saved, sequential

from demijohn import descriptions
from demijohn.runtimes import wrap
from demijohn.runtimes.apart import Description, describe
from demijohn.signature import Signature, TensorSpec

SHA = "a" * 64
OPTIONS: dict[str, Any] = {"example": None, "strict_versions": False, "is_trusted": False}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def described(**changes: Any) -> Description:
    runtime = wrap(LogisticRegression(max_iter=500).fit(*load_iris(return_X_y=True)))
    title = Signature("vector", (TensorSpec("title", "str", categories=("a", "b")),), example=["a"])
    signature = replace(runtime.signature, others={"find": title})
    return replace(describe(runtime), signature=signature, **changes)


def test_a_description_comes_back_as_it_was() -> None:
    key, description = (
        descriptions.key_of("keras", SHA, OPTIONS),
        described(warnings=("told",), fails_on_example=True),
    )
    assert descriptions.read(key) is None
    descriptions.write([key], [description])
    assert descriptions.read(key) == description


def test_that_of_a_keras_model_does_too() -> None:
    key, description = descriptions.key_of("keras", SHA, OPTIONS), describe(wrap(mlp()))
    descriptions.write([key], [description])
    assert descriptions.read(key) == replace(description, refusals=())


def test_every_fact_has_a_key_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [
        descriptions.key_of("keras", SHA, OPTIONS),
        descriptions.key_of("keras", "b" * 64, OPTIONS),
        descriptions.key_of("tensorflow", SHA, OPTIONS),
        descriptions.key_of("keras", SHA, {**OPTIONS, "is_trusted": True}),
        descriptions.key_of("keras", SHA, {**OPTIONS, "example": [[1.0]]}),
        descriptions.key_of("keras", SHA, {**OPTIONS, "example": [[2.0]]}),
    ]
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    keys.append(descriptions.key_of("keras", SHA, {**OPTIONS, "more": 1}))
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    keys.append(descriptions.key_of("keras", SHA, {**OPTIONS, "more": 1}))
    assert len({*keys}) == len(keys)
    assert None not in keys


@pytest.mark.parametrize(
    ("framework", "options"), [("torch", OPTIONS), ("keras", {**OPTIONS, "example": np.zeros((1, 2))})]
)
def test_what_has_no_key_is_not_kept(framework: str, options: dict[str, Any], tmp_path: Path) -> None:
    key = descriptions.key_of(framework, SHA, options)
    assert key is None
    descriptions.write([key], [described()])
    assert descriptions.read(key) is None
    assert not (tmp_path / "cache").exists()


KINDS = [[float("nan")], [b"bytes"], [(1, 2)], [object()]]


@pytest.mark.parametrize("rows", KINDS, ids=lambda rows: type(rows[0]).__name__)
def test_what_json_would_change_is_not_kept(rows: list[Any]) -> None:
    key = descriptions.key_of("keras", SHA, OPTIONS)
    descriptions.write([key], [described(known_rows=rows)])
    assert descriptions.read(key) is None


def test_a_file_that_somebody_changed_is_not_believed(tmp_path: Path) -> None:
    key = descriptions.key_of("keras", SHA, OPTIONS)
    descriptions.write([key], [described()])
    path = tmp_path / "cache/demijohn/descriptions" / f"{key}.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "methods": 3}))
    assert descriptions.read(key) is None
    path.write_text(json.dumps({**content, "key": "b" * 64}))
    assert descriptions.read(key) is None


LOOK = """
import json, sys
from demijohn import site as sites
from demijohn.config import Settings

looked, begin_apart = [], sites.begin_apart
sites.begin_apart = lambda loads: looked.append(len(loads)) or begin_apart(loads)
site = sites.Site(sys.argv[1:], Settings(), sites.SiteOptions(host="127.0.0.1", workers=1))
print(json.dumps([looked, site.announcement("http://here"), "keras" in sys.modules]))
"""


def looked_at(*words: Path) -> Any:
    """Do in a process of its own what a server does before its workers: a forked child would wait here."""
    command = [sys.executable, "-c", LOOK, *map(str, words)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=dict(os.environ))
    return json.loads(done.stdout.splitlines()[-1])


def test_a_second_start_looks_only_at_files_that_it_does_not_know(tmp_path: Path) -> None:
    first, second = tmp_path / "first.keras", tmp_path / "second.keras"
    first.write_bytes(saved(mlp()))
    looked, announced, has_keras = looked_at(first)
    assert (looked, has_keras) == ([1], False)
    assert looked_at(first) == [[0], announced, False]
    second.write_bytes(saved(sequential((3,), layers.Dense(2))))
    looked, announced, _ = looked_at(first, second)
    assert looked == [1]
    assert looked_at(first, second) == [[0], announced, False]
