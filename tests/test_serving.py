"""``demijohn serve`` as a user runs it: real processes, sockets and shells."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from tests.model_files import hostile, hostile_table, iris, iris_rows, line, save
from tests.servers import DEMIJOHN, Server, serving, until

KEYS = "first-key,second-key"
WIDE = 600  # columns: more than a printed command holds


def pasted(server: Server, **environ: str) -> dict[str, Any]:
    """Paste each printed command into bash; returns each model's answer."""
    answers = {}
    for command in [text for text in server.printed if text.startswith("curl")]:
        ran = subprocess.run(
            ["bash", "-c", command + " -s -w '\\n%{http_code}'"],
            capture_output=True, text=True, check=True, env={**os.environ, **environ},
        )  # fmt: skip
        body, _, status = ran.stdout.rpartition("\n")
        assert status == "200", body
        answers[json.loads(body)["model"]] = json.loads(body)
    return answers


# Models -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that a folder may hold, and the examples that go with it."""
    folder = tmp_path_factory.mktemp("serving")
    save(iris(), folder / "iris.skops")
    save(hostile(), folder / "models" / "hostile.joblib")
    for version in (2, 10):
        save(line(version), folder / "models" / "line" / str(version) / "m.joblib")
    (folder / "models" / "README.md").write_text("hello")
    wide = LinearRegression().fit(np.eye(WIDE), np.arange(float(WIDE)))
    save(wide, folder / "models" / "wide.joblib")
    hostile_table().to_csv(folder / "hostile.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    """Files, a name, a folder, options and a key, all at once."""
    options = [
        "--workers",
        "1",
        "--default",
        "iris",
        "--alias",
        "line@old=2",
        "--example",
        "hostile=hostile.csv",
    ]
    words = ["models/", "iris=iris.skops"]
    with serving(words, *options, cwd=folder, DEMIJOHN_API_KEY=KEYS) as server:
        yield server


def test_it_prints_the_address_and_one_line_per_version(server: Server) -> None:
    assert server.url in server.printed[0]
    lines = [text.split() for text in server.printed if " version " in text]
    assert [(words[0], words[2]) for words in lines] == [
        ("hostile", "1"), ("line", "2"), ("line", "10"), ("wide", "1"), ("iris", "1"),
    ]  # fmt: skip
    (iris_line,) = [text for text in server.printed if text.startswith("  iris")]
    for part in ["inputs: float64 (n_rows, 4)", "predict_proba", "engine: native (scikit-learn)"]:
        assert part in iris_line


def test_each_printed_command_answers_with_the_estimators_own_answer(server: Server) -> None:
    answers = pasted(server, DEMIJOHN_API_KEY=KEYS)
    assert {name: answer["version"] for name, answer in answers.items()} == {
        "hostile": "1", "line": "10", "wide": "1", "iris": "1",
    }  # fmt: skip
    assert answers["iris"]["predictions"] == list(iris().predict(np.zeros((1, 4))))
    assert answers["hostile"]["predictions"] == list(hostile().predict(hostile_table().head(1)))
    assert answers["line"]["predictions"] == [0.0]


def test_nothing_printed_acts_on_the_terminal_or_tells_a_key(server: Server) -> None:
    assert all(text.isprintable() for text in server.printed)
    assert "first-key" not in "\n".join(server.printed)


def test_options_reach_the_models(server: Server) -> None:
    key = {"X_API_Key": "second-key"}
    assert server.post("/predict", [[5.1, 3.5, 1.4, 0.2]], **key).json()["model"] == "iris"
    assert server.post("/models/line/aliases/old/predict", [[1.0]], **key).json()["predictions"] == [2.0]
    assert server.post("/models/line/predict", [[1.0]], **key).json()["predictions"] == [10.0]


def test_the_key_of_the_environment_is_needed(server: Server) -> None:
    assert server.post("/predict", [[1.0] * 4]).status == 401


def test_answers_are_exact_settings_hold_and_ctrl_c_ends_it(folder: Path) -> None:
    options = ["--workers", "1", "--name", "flower"]
    with serving([folder / "iris.skops"], *options, DEMIJOHN_MAX_ELEMENTS="600") as server:
        body = server.post("/models/flower/predict_proba", iris_rows().tolist()).json()
        assert np.array_equal(body["predictions"], iris().predict_proba(iris_rows()))
        assert server.post("/predict", [[1.0] * 4] * 151).status == 413
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == 0


# Apps ---------------------------------------------------------------------------------------

APP = """
from flask import Flask, request
from demijohn import Demijohn

models = Demijohn()

@models.model("shout")
def shout(text: str) -> str:
    return text.upper()

def create_app():
    app = Flask(__name__)
    models.init_app(app)

    @app.get("/mine")
    def mine():
        return {"shouted": models["shout"].predict([{"text": "hello"}]).tolist()}

    @app.get("/deadline")
    def deadline():
        return str(app.extensions["demijohn"].settings.deadline_s)

    return app

app = create_app() if __name__ != "factory" else None
if app:
    app.run(port=1, debug=True)  # as careless tutorials do
"""


@pytest.mark.parametrize("word", ["app:app", "factory:create_app()"])
def test_an_app_runs_as_it_is(tmp_path: Path, word: str) -> None:
    (tmp_path / f"{word.partition(':')[0]}.py").write_text(APP)
    with serving([word], "--workers", "1", "--deadline", "7", cwd=tmp_path) as server:
        assert any(word in text for text in server.printed)
        assert server.get("/mine").json() == {"shouted": ["HELLO"]}
        assert server.get("/deadline").data == b"7.0"
        assert server.post("/ml/models/shout/predict", [{"text": "a"}]).json()["predictions"] == ["A"]
        assert server.get("/nothing").status == 404


@pytest.mark.parametrize(
    ("word", "content", "why"),
    [
        ("app:app", None, "app:app: there is no module 'app' here"),
        ("app:app", "x = 1", "app:app: 'app' has no 'app'"),
        ("app:app", "import nowhere", "'app' needs the module 'nowhere', which is missing"),
        ("app:app", "raise ValueError('first\\nsecond')", "importing 'app' failed: ValueError: first"),
        ("app:app", "def app(:", "importing 'app' failed: SyntaxError: "),
        ("app:app", "import sys; sys.exit(1)", "importing 'app' failed: SystemExit: 1"),
        ("app:app", "app = 3", "a int is no WSGI app"),
        ("app:make", "def make(): ...", "if it makes one, write app:make()"),
        ("app:make()", "def make(): ...", "a NoneType is no WSGI app"),
        ("app:make()", "def make(): 1 / 0", "making the app failed: ZeroDivisionError: division by zero"),
    ],
)
def test_an_app_that_cannot_be_had_is_one_line(
    tmp_path: Path, word: str, content: str | None, why: str
) -> None:
    script = f"from demijohn.host_app import load_app; load_app({word!r})"
    if content is not None:
        (tmp_path / "app.py").write_text(content)
    ran = subprocess.run([*DEMIJOHN[:2], script], cwd=tmp_path, capture_output=True, text=True, check=False)
    last = ran.stderr.strip().splitlines()[-1]
    assert last.startswith("demijohn.errors.ConfigurationError: ")
    assert why in last


def test_the_workers_reason_travels_to_the_operator(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import nowhere_to_be_found")
    ran = subprocess.run(
        [*DEMIJOHN, "serve", "app:app", "--port", "0"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
    assert ran.stderr.startswith("demijohn: app:app: 'app' needs the module 'nowhere_to_be_found'")


# Reload -------------------------------------------------------------------------------------


def test_reload_swaps_without_a_failed_request(tmp_path: Path) -> None:
    path = save(line(1), tmp_path / "m" / "price.joblib")
    with serving([tmp_path / "m"], "--workers", "2", "--reload") as server:
        seen: list[tuple[int, float]] = []
        ended = threading.Event()

        def load() -> None:
            while not ended.is_set():
                answer = server.post("/models/price/predict", [[1.0]])
                seen.append((answer.status, round(answer.json()["predictions"][0], 6)))

        thread = threading.Thread(target=load)
        thread.start()
        for loads, slope in ((2, 2.0), (4, 3.0)):
            save(line(slope), path)
            # Each worker looks by itself, so one may swap up to a look later than the other.
            until(lambda loads=loads: server.log.count("price version 1 is loaded") == loads)
            until(lambda slope=slope: [answer for _, answer in seen[-20:]] == [slope] * 20)
        path.write_bytes(b"broken")
        save(line(9), tmp_path / "m" / "new.skops")
        save(line(9), tmp_path / "m" / "code.joblib")
        for said in ("price.joblib is of no", "new version 1 is loaded", "code.joblib is a joblib file"):
            until(lambda said=said: server.log.count(said) == 2)
        ended.set()
        thread.join()
        assert {status for status, _ in seen} == {200}
        assert server.post("/models/price/predict", [[1.0]]).json()["predictions"] == [3.0]
        assert {model["name"] for model in server.get("/models").json()["models"]} == {"price", "new"}
        assert server.post("/models/code/predict", [[1.0]]).status == 404


COUNTING = """
import numpy as np
import sklearn.utils._openmp_helpers
from threadpoolctl import threadpool_info

class Counting:
    '''Answers with the number of threads that OpenMP has for a thread of the model.'''
    n_features_in_ = 1
    def predict(self, rows):
        pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "openmp"]
        return np.full(len(rows), max(pools))
"""


@pytest.mark.parametrize(("given", "n_threads"), [({}, 1), ({"OMP_NUM_THREADS": "3"}, 3)])
def test_openmp_has_its_share_of_the_cores_in_a_models_own_thread(
    tmp_path: Path, given: dict[str, str], n_threads: int
) -> None:
    (tmp_path / "counting.py").write_text(COUNTING)
    script = "import counting, joblib; joblib.dump(counting.Counting(), 'm.joblib')"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    workers = str(os.cpu_count() or 1)
    with serving(
        ["m.joblib"], "--workers", workers, cwd=tmp_path, PYTHONPATH=str(tmp_path), **given
    ) as server:
        assert server.post("/predict", [[1.0]]).json()["predictions"] == [n_threads]
