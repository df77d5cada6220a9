"""``demijohn inspect``: what a model file is, told without surprises."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

import joblib
import pytest
import skops.io
from sklearn.preprocessing import FunctionTransformer
from tests.model_files import HOSTILE, OTHER_VERSION, hostile, iris, pickled_elsewhere, save

from demijohn import inspection
from demijohn.acceleration import cache as caches
from demijohn.acceleration import open_cache, provers
from demijohn.cli import main
from demijohn.config import Settings
from demijohn.planning import plan_key
from demijohn.runtimes import load


@pytest.fixture
def inspect(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run ``demijohn inspect`` in this process; returns status, output and errors."""
    monkeypatch.setattr(inspection, "_TIMING_S", 0.001)

    def run(*words: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["demijohn", "inspect", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


@pytest.mark.parametrize(
    ("name", "format_name", "runs_code"), [("m.joblib", "joblib", True), ("m.skops", "skops", False)]
)
def test_json_names_format_signature_methods_outputs_and_timings(
    inspect: Any, tmp_path: Path, name: str, format_name: str, runs_code: bool
) -> None:
    path = save(iris(), tmp_path / name)
    status, out, err = inspect(path, "--json")
    report = json.loads(out)
    assert (status, err) == (0, "")
    assert (report["format"], report["runs_code_when_loaded"]) == (format_name, runs_code)
    assert report["sha256"] == sha256(path.read_bytes()).hexdigest()
    assert report["size_bytes"] == path.stat().st_size
    assert report["framework"] == "scikit-learn"
    assert report["methods"] == ["predict", "predict_proba", "predict_log_proba", "decision_function"]
    assert report["signature"]["inputs"][0]["shape"] == [-1, 4]
    assert report["signature"]["outputs"]["predict_proba"][0]["shape"] == [-1, 3]
    assert {*report["us_per_call"]["predict"]} == {"1", "8", "64", "512"}
    assert all(us > 0 for us in report["us_per_call"]["predict"].values())
    assert (report["plan"]["state"], report["warnings"]) == ("settled", [])
    assert report["engine"] == report["plan"]["methods"]["predict"][0]["engine"] != "native"


def test_text_says_the_same(inspect: Any, tmp_path: Path) -> None:
    status, out, _ = inspect(save(iris(), tmp_path / "m.joblib"))
    assert status == 0
    for part in [
        "joblib",
        "runs the code in it",
        "inputs: float64 [4]",
        "predict -> predict: str",
        "native: 1 row ",
        "µs",
        "runs by numpy",
        "not used: ",
    ]:
        assert part in out


def test_what_was_proved_once_is_only_read(
    inspect: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = save(iris(), tmp_path / "m.joblib")
    reports = [json.loads(inspect(path, "--json")[1]) for _ in range(2)]
    assert reports[0] == reports[1]  # the measured times, too


def test_fast_engines_take_part_if_they_are_wanted(inspect: Any, tmp_path: Path) -> None:
    path = save(iris(), tmp_path / "m.joblib")

    def engines(*options: str) -> set[str]:
        report = json.loads(inspect(path, "--json", *options)[1])
        ranges = [one for method in report["plan"]["methods"].values() for one in method]
        return {one["engine"] for one in [*ranges, *report["plan"]["refused"]]}

    assert engines("--fast") - engines("--exact") == {"onnx-float32"}
    assert engines() == engines("--exact")


def test_where_acceleration_is_off_the_framework_is_timed(
    inspect: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMIJOHN_ACCELERATION", "off")
    path = save(iris(), tmp_path / "m.joblib")
    report = json.loads(inspect(path, "--json")[1])
    assert (report["engine"], report["plan"]["refused"]) == ("native", [])
    assert {*report["us_per_call"]["predict"]} == {"1", "8", "64", "512"}
    assert "runs by" not in inspect(path)[1]


def test_an_example_completes_the_signature(inspect: Any, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("a,b,c,d\n1,2,3,4\n")
    _, out, _ = inspect(save(iris(), tmp_path / "m.joblib"), "--example", rows, "--json")
    report = json.loads(out)
    assert [spec["name"] for spec in report["signature"]["inputs"]] == ["a", "b", "c", "d"]
    assert report["example"] == {"instances": [{"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}]}


def test_nothing_in_a_model_acts_on_the_terminal(inspect: Any, tmp_path: Path) -> None:
    path = save(hostile(), tmp_path / "m.joblib")
    _, out, _ = inspect(path)
    assert all(char.isprintable() for char in out.replace("\n", ""))
    _, out, _ = inspect(path, "--json")
    assert set(json.loads(out)["signature"]["inputs"][0]["categories"]) == set(HOSTILE)


def test_another_versions_model_is_named(inspect: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(pickled_elsewhere(iris()))
    _, out, _ = inspect(path)
    (warning,) = [line for line in out.splitlines() if line.startswith("warning")]
    assert OTHER_VERSION in warning


def test_a_file_of_untrusted_types_is_described_and_refused(inspect: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.skops"
    skops.io.dump(FunctionTransformer(json.dumps), path)
    status, out, err = inspect(path)
    assert status == 2
    assert "format     skops" in out
    assert "json.dumps" in out
    assert (err.count("\n"), err.startswith("demijohn: ")) == (1, True)
    assert "json.dumps" in err
    status, out, _ = inspect(path, "--json")
    assert "json.dumps" in json.loads(out)["refused"]


def called(text: str) -> str:
    raise AssertionError("nobody asked for this call")


def test_a_function_is_not_called_to_be_timed(inspect: Any, tmp_path: Path) -> None:
    joblib.dump(called, tmp_path / "f.joblib")
    status, out, _ = inspect(tmp_path / "f.joblib")
    assert status == 0
    assert "not timed: a function is called by requests only" in out


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "there is no such file"),
        (b"", "is empty"),
        (b"hello", "is of no known format"),
        (b"\x80\x05", "cannot be read"),
        (b"\x80\x05cnowhere\nThing\n.", "needs the module 'nowhere'"),
    ],
)
def test_what_is_no_model_is_one_line(inspect: Any, tmp_path: Path, content: bytes | None, why: str) -> None:
    if content is not None:
        (tmp_path / "m.joblib").write_bytes(content)
    status, out, err = inspect(tmp_path / "m.joblib")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("demijohn: ")
    assert why in err


def test_who_waits_for_another_process_to_prove_the_model_is_told(
    inspect: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = save(iris(), tmp_path / "m.joblib")
    key = plan_key(load(path), Settings())
    cache = open_cache()
    assert key is not None
    assert cache is not None
    other = ExitStack()
    other.enter_context(cache.turn(key))
    monkeypatch.setattr(caches, "_PATIENCE_S", 0.0)
    monkeypatch.setattr(provers, "pause", lambda _: other.close())
    status, out, err = inspect(path)
    assert status == 0
    assert err == "demijohn: another process is proving this model's engines; waiting for its plan\n"
    assert "engine     " in out
