"""The command line: help, and one line for whatever the operator can mend."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.model_files import OTHER_VERSION, iris, line, pickled_elsewhere, save
from tests.servers import DEMIJOHN, serving

from demijohn.cli import main

COMMANDS = ["serve", "predict", "inspect", "models"]
Ran = tuple[int, str, str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run ``demijohn`` in this process; returns status, output and errors."""

    def run(*words: str | Path) -> Ran:
        monkeypatch.setattr(sys, "argv", ["demijohn", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of good and bad files."""
    folder = tmp_path_factory.mktemp("files")
    save(iris(), folder / "iris.joblib")
    save(line(1), folder / "models" / "line" / "1" / "m.skops")
    whole = (folder / "iris.joblib").read_bytes()
    (folder / "half.joblib").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.txt").write_text("hello")
    (folder / "other.pkl").write_bytes(pickled_elsewhere(iris()))
    (folder / "wide.csv").write_text("a,b\n1,2\n")
    (folder / "empty").mkdir()
    return folder


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


# Help ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_lists_the_commands(run: Any, words: list[str]) -> None:
    status, out, err = run(*words)
    assert (status, err) == (0, "")
    assert all(f"  {command} " in out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(run: Any, command: str) -> None:
    status, out, _ = run(command, "--help")
    assert status == 0
    assert out.startswith(f"Usage: demijohn {command}")


def test_serve_help_names_what_an_operator_would_turn(run: Any) -> None:
    _, out, _ = run("serve", "--help")
    for option in [
        "--host", "--port", "--workers", "--threads", "--name", "--example", "--default", "--alias",
        "--exact", "--fast", "--reload", "--strict-versions", "--no-batching", "--deadline",
        "--max-batch-size", "--max-queue-rows", "--max-body-bytes", "--allow-host", "--allow-origin",
        "--trusted-proxies", "--access-log", "--open",
    ]:  # fmt: skip
        assert option in out


def test_python_m_demijohn_is_the_command() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "demijohn", "--version"], capture_output=True, text=True, check=True
    )
    assert ran.stdout.startswith("demijohn, version ")


def test_the_command_line_itself_imports_click_alone() -> None:
    script = "import sys, demijohn.cli; print(*{name.partition('.')[0] for name in sys.modules})"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy = {"flask", "granian", "numpy", "orjson", "msgspec", "prometheus_client", "sklearn", "werkzeug"}
    assert not heavy & set(ran.stdout.split())


def test_flask_lists_the_models_of_an_app(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text(
        "from flask import Flask\nfrom demijohn import Demijohn\n"
        "app = Flask(__name__)\nmodels = Demijohn(app)\n"
        "@models.model('shout')\ndef shout(text: str) -> str: return text.upper()\n"
    )
    (tmp_path / "bare.py").write_text("from flask import Flask\napp = Flask(__name__)\n")
    command = [sys.executable, "-m", "flask", "--app", "x", "demijohn", "models"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout == "shout  version 1  predict\n"
    command[4] = "bare"
    bare = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (bare.returncode, bare.stderr.count("\n")) == (2, 1)
    assert "has no Demijohn" in bare.stderr


# One line each ------------------------------------------------------------------------------

REFUSED: list[tuple[list[str], str]] = [
    (["gone.joblib"], "gone.joblib: there is no such file or folder"),
    (["half.joblib"], "half.joblib cannot be read"),
    (["notes.txt"], "notes.txt is of no known format"),
    (["empty"], "empty: there is no model file in this folder"),
    (["."], "half.joblib"),
    (["iris.joblib", "models/line/1/../../../iris.joblib"], "are both model 'iris', version '1'"),
    (["a b=iris.joblib"], "'a b' cannot name a model"),
    (["iris="], "names no file"),
    (["app:app", "iris.joblib"], "An app (module:app) is served alone"),
    (["app:app", "--reload", "--name", "x"], "--name, --reload: not for an app"),
    (["iris.joblib", "models", "--name", "x"], "--name is for one target"),
    (["iris.joblib", "--name", "../x"], "cannot name a model"),
    (["iris.joblib", "--default", "price"], "--default price: there is no such model; models: iris"),
    (["iris.joblib", "--alias", "iris@x=2"], "there is no such version; there are: iris version 1"),
    (["iris.joblib", "--alias", "iris"], "write NAME@ALIAS=VERSION"),
    (["iris.joblib", "--alias", "iris@/=1"], "cannot name an alias"),
    (["iris.joblib", "--example", "gone.csv"], "gone.csv: there is no such file"),
    (
        ["iris.joblib", "--example", "wide.csv"],
        "iris.joblib: The example has 2 columns, and the model takes 4",
    ),
    (["iris.joblib", "--example", "x=wide.csv"], "there is no model 'x'"),
    (["iris.joblib", "models", "--example", "wide.csv"], "write --example name=FILE"),
    (["other.pkl", "--strict-versions"], OTHER_VERSION),
    (["iris.joblib", "--port", "70000"], "70000 is not in the range"),
    (["iris.joblib", "--port", "x"], "'x' is not a valid integer"),
    (["iris.joblib", "--workers", "0"], "0 is not in the range"),
    (["iris.joblib", "--threads", "0"], "0 is not in the range"),
    (["iris.joblib", "--deadline", "0"], "DEMIJOHN_DEADLINE_S must be more than 0"),
    (["iris.joblib", "--deadline", "nan"], "DEMIJOHN_DEADLINE_S"),
    (["iris.joblib", "--max-batch-size", "0"], "DEMIJOHN_MAX_BATCH_SIZE must be more than 0"),
    (["iris.joblib", "--max-queue-rows", "0"], "0 is not in the range"),
    (["iris.joblib", "--max-body-bytes", "-1"], "DEMIJOHN_MAX_BODY_BYTES must be more than 0"),
    (["iris.joblib", "--trusted-proxies", "-1"], "DEMIJOHN_TRUSTED_PROXIES must not be negative"),
    (["iris.joblib", "--fastest"], "No such option"),
    ([], "Missing argument 'TARGET...'"),
    (["app:app", "--model-control"], "--model-control: not for an app"),
    (["iris.joblib", "--model-control", "--reload"], "--model-control and --reload exclude each other"),
    (
        ["iris.joblib", "--model-control", "--host", "0.0.0.0", "--open"],
        "with --model-control they could unload your models; set DEMIJOHN_API_KEY",
    ),
    (["iris.joblib", "--host", "0.0.0.0"], "set DEMIJOHN_API_KEY to one or more keys, or say --open"),
    (["iris.joblib", "--host", ""], "set DEMIJOHN_API_KEY"),
    (["iris.joblib", "--host", "::"], "set DEMIJOHN_API_KEY"),
    (["iris.joblib", "--host", "127.example.org"], "set DEMIJOHN_API_KEY"),
    (["iris.joblib", "--host", "no.such.host.invalid", "--open"], "no.such.host.invalid"),
    (["iris.joblib", "--host", "203.0.113.7", "--open"], "203.0.113.7"),
]


@pytest.mark.parametrize(
    ("words", "why"), REFUSED, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_serve_refuses_in_one_line(
    run: Any, files: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], why: str
) -> None:
    monkeypatch.chdir(files)
    monkeypatch.delenv("DEMIJOHN_API_KEY", raising=False)
    check_one_line(run("serve", *words), why)


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("FLASK_DEBUG", "1", "FLASK_DEBUG is set: the debugger"),
        ("DEMIJOHN_DEADLINE_S", "soon", "DEMIJOHN_DEADLINE_S cannot be 'soon'"),
        ("DEMIJOHN_MAX_BATCH_SIZE", "2.5", "DEMIJOHN_MAX_BATCH_SIZE cannot be '2.5'"),
        ("DEMIJOHN_BATCHING", "maybe", "DEMIJOHN_BATCHING cannot be 'maybe'"),
        ("DEMIJOHN_API_KEYS", "secret", "is no setting; did you mean DEMIJOHN_API_KEY?"),
        ("DEMIJOHN_API_KEY", "a,schlüssel", "DEMIJOHN_API_KEY has a key with other characters than"),
        ("DEMIJOHN_URL_PREFIX", "x", "DEMIJOHN_URL_PREFIX must be empty, or start with /"),
    ],
)
@pytest.mark.parametrize("word", ["iris.joblib", "app:app"])
def test_a_bad_environment_is_one_line(
    run: Any, files: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: str, why: str, word: str
) -> None:
    monkeypatch.chdir(files)
    monkeypatch.setenv(key, value)
    check_one_line(run("serve", word), why)


def test_a_port_in_use_is_one_line(run: Any, files: Path, taken_port: int) -> None:
    check_one_line(
        run("serve", files / "iris.joblib", "--port", str(taken_port)),
        f"Port {taken_port} of 127.0.0.1 is in use",
    )


def test_a_missing_framework_names_the_extra(files: Path) -> None:
    # As where scikit-learn is not installed: the import fails, whatever asks for it.
    script = (
        "import sys; sys.modules.update(sklearn=None, joblib=None, skops=None)\n"
        "from demijohn.cli import main; main()"
    )
    for path in (files / "iris.joblib", files / "models"):
        command = [sys.executable, "-c", script, "serve", str(path), "--port", "0"]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        check_one_line((ran.returncode, ran.stdout, ran.stderr), 'pip install "demijohn[sklearn]"')


def test_a_real_process_ends_with_2_and_no_traceback(tmp_path: Path) -> None:
    ran = subprocess.run(
        [*DEMIJOHN, "serve", "gone.joblib"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    check_one_line((ran.returncode, ran.stdout, ran.stderr), "gone.joblib")


def test_an_unexpected_word_is_one_line(run: Any) -> None:
    check_one_line(run("sreve"), "No such command 'sreve'")


def test_a_full_disk_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [*DEMIJOHN, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    check_one_line((ran.returncode, "", ran.stderr), "standard output: No space left on device")


def check_one_line(ran: Ran, why: str) -> None:
    status, out, err = ran
    assert (status, out) == (2, ""), err
    assert err.count("\n") == 1, err
    assert err.startswith("demijohn: ")
    assert why in err


# Addresses that others can reach ------------------------------------------------------------


def test_with_a_key_it_serves_every_address_and_the_commands_work(files: Path) -> None:
    options = ["--host", "0.0.0.0", "--workers", "1"]
    with serving(
        [files / "models"], *options, DEMIJOHN_API_KEY=" a-key ", DEMIJOHN_URL_PREFIX="/v9"
    ) as server:
        assert "console: http://0.0.0.0:" in server.printed[0]
        (command,) = [text for text in server.printed if text.startswith("curl")]
        environ = {**os.environ, "DEMIJOHN_API_KEY": " a-key "}
        ran = subprocess.run(["bash", "-c", command], capture_output=True, env=environ, check=True)
        assert b'"predictions":[0.0]' in ran.stdout
        server.process.stdout.close()  # type: ignore[union-attr]
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
