"""Every example of the documentation that can be run is run, and answers what the page says.

A ``python`` block is run as it stands, after the blocks above it, but that the quickstart's address is
a real server's; ``print(...)  # this`` must print that. In a ``console`` block, each ``curl`` of that
server and each ``demijohn predict`` is run; what stands below it is its answer, where "…" stands for
anything.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.servers import Server, serving

from demijohn.cli import cli

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
QUICKSTART = ROOT / "docs" / "quickstart.md"
MEDIA_TYPES = ROOT / "docs" / "media_types.md"
ADDRESS = "http://127.0.0.1:8000"


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def commands(page: Path, start: str) -> list[tuple[str, str]]:
    """Return the page's commands that start so, each with what stands below it."""
    found = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", "".join(blocks(page, "console")), flags=re.MULTILINE)
    return [(command, below) for command, below in found if command.startswith(start)]


def run_python(page: Path, address: str) -> None:
    source = "\n".join(blocks(page, "python")).replace(ADDRESS, address)
    exec(compile(source, page.name, "exec"), {"__name__": "example"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which somebody has followed the quickstart, and written its rows in other forms."""
    path = tmp_path_factory.mktemp("quickstart")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        for page in (QUICKSTART, MEDIA_TYPES):
            exec(compile(blocks(page, "python")[0], page.name, "exec"), {"__name__": "example"})
    return path


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    """What the quickstart serves."""
    ((command, _),) = commands(QUICKSTART, "demijohn serve")
    with serving(shlex.split(command)[2:], "--workers", "1", cwd=folder) as server:
        yield server


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.stem
)
def test_python_runs_and_prints_what_the_page_says(
    page: Path,
    folder: Path,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    run_python(page, server.url)
    said = re.findall(r"^print\(.*\)  # (.*)$", "\n".join(blocks(page, "python")), flags=re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == said


CURLS = [
    pytest.param(command, below, id=f"{page.stem}-{index}")
    for page in PAGES if page.name != "README.md"
    for index, (command, below) in enumerate(commands(page, f"curl {ADDRESS}"))
]  # fmt: skip


@pytest.mark.parametrize(("command", "answer"), CURLS)
def test_curl_is_answered_what_the_page_says(
    command: str, answer: str, server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    given = curl(shlex.split(command), server)
    if answer:
        assert_alike(given, answer)


@pytest.mark.parametrize(
    ("command", "answer"), [pair for page in PAGES for pair in commands(page, "demijohn predict iris")]
)
def test_demijohn_predict_prints_what_the_page_says(
    command: str, answer: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    run = CliRunner().invoke(cli, shlex.split(command)[1:])
    assert run.exit_code == 0
    if answer:
        assert_alike(run.stdout, answer)


def test_flask_demijohn_models_lists_what_the_page_says(
    folder: Path,
) -> None:
    page = ROOT / "docs" / "extension.md"
    ((command, answer),) = commands(page, "flask")
    (folder / "app.py").write_text("\n".join(blocks(page, "python")))
    words = [sys.executable, "-m", *shlex.split(command)]
    run = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-2:] == answer.splitlines()  # above it stands what the page prints


def curl(words: Sequence[str], server: Server) -> str:
    """Do what curl would; not every machine has it."""
    _, url, *rest = words
    headers, body, output = {}, None, None
    for option, value in zip(rest[::2], rest[1::2], strict=True):
        if option == "-H":
            name, _, text = value.partition(": ")
            headers[name] = text
        elif option == "-o":
            output = Path(value)
        else:
            assert option in ("-d", "--data-binary", "-T"), option
            file = value if option == "-T" else value.removeprefix("@")
            body = value.encode() if file == value and option != "-T" else Path(file).read_bytes()
    method = "PUT" if "-T" in rest else "GET" if body is None else "POST"
    path = url.removeprefix(ADDRESS)
    answer = server.http.request(method, server.url + path, body=body, headers=headers)
    if output is None:
        return answer.data.decode()
    assert answer.status == 200
    output.write_bytes(answer.data)
    return ""


def assert_alike(given: str, answer: str) -> None:
    if not answer.startswith("{"):
        assert given.splitlines() == answer.splitlines()
        return
    assert_same(json.loads(given), json.loads(answer))


def assert_same(given: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert given.keys() == expected.keys()
        for name, value in expected.items():
            if value != "…":
                assert_same(given[name], value)
        return
    assert given == (pytest.approx(expected) if isinstance(expected, float) else expected)
