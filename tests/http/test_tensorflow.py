"""``demijohn serve`` of SavedModels, through the socket."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tests import tensorflow_models as models
from tests.servers import DEMIJOHN, Server, serving, until

from demijohn.messages import Array


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models")
    models.save_iris(path / "iris" / "3")  # as TensorFlow Serving lays versions out
    models.save_words(path / "words")
    models.save_odd(path / "odd")
    return path


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with serving([folder], "--workers", "1", "--reload") as running:
        running.await_workers(1)
        yield running


def predictions(server: Server, path: str, rows: Any) -> Any:
    answer = server.post(path, rows)
    assert answer.status == 200, answer.data
    return json.loads(answer.data)["predictions"]


def test_every_signature_is_a_method(server: Server) -> None:
    described = {name: json.loads(server.get(f"/models/{name}").data) for name in ("iris", "words", "odd")}
    assert described["iris"]["versions"] == ["3"]
    assert described["iris"]["methods"] == ["predict", "both"]
    assert described["words"]["methods"] == ["predict", "count"]
    assert described["iris"]["framework"] == "tensorflow"
    assert described["iris"]["plan"]["survives_fork"] is False
    assert described["iris"]["metadata"] == {"saved_by": f"TensorFlow {tf.__version__}"}
    assert described["iris"]["framework_version"] == tf.__version__
    for name, model in described.items():
        for method in model["methods"]:
            example = model["signature"]["others"].get(method, model)["example"]
            if method != "broken_text":
                assert server.post(f"/models/{name}/{method}", example).status == 200, (name, method)


@pytest.mark.parametrize("n_rows", [1, 64])
def test_answers_are_bit_for_bit_the_loaded_functions(folder: Path, server: Server, n_rows: int) -> None:
    own = tf.saved_model.load(str(folder / "iris" / "3"))
    rows = models.ROWS[:n_rows]
    expected: Array = own.signatures["serving_default"](x=tf.constant(rows))["scores"].numpy()
    given = np.array(predictions(server, "/models/iris/predict", rows.tolist()))
    assert given.astype(np.float32).tobytes() == expected.tobytes()
    assert (given == expected).all()  # as doubles too: nothing was rounded on the way
    records = [{"x": row, "k": index} for index, row in enumerate(rows.tolist())]
    both = own.signatures["both"](x=tf.constant(rows), k=tf.range(n_rows))
    assert predictions(server, "/models/iris/versions/3/both", records) == [
        {"k": k, "label": label, "row": row}
        for k, label, row in zip(
            *(both[name].numpy().tolist() for name in ("k", "label", "row")), strict=True
        )
    ]


def test_texts_and_ragged_rows_go_through(server: Server) -> None:
    assert predictions(server, "/models/words/predict", ["blue", "größe"]) == [
        {"index": 2, "upper": "BLUE"},
        {"index": 3, "upper": "GRößE"},
    ]
    assert predictions(server, "/models/words/count", {"instances": [["a", "b"], []]}) == [
        {"n": 2, "upper": ["A", "B"]},
        {"n": 0, "upper": []},
    ]


def test_a_graph_of_eight_rows_takes_any_number(server: Server) -> None:
    rows = np.arange(38.0).reshape(19, 2)
    assert predictions(server, "/models/odd/eight", rows.tolist()) == (rows * 2).tolist()


def test_bytes_are_written_as_base64(server: Server) -> None:
    assert predictions(server, "/models/odd/raw", ["x"]) == [{"b64": "/wB4"}]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/models/odd/pick", [7], 422, "model_refused"),
        ("/models/odd/pick", ["x"], 422, "signature_mismatch"),
        ("/models/odd/broken_text", ["x"], 500, "model_error"),
        ("/models/odd/sparse", [1], 404, "method_not_found"),
        ("/models/odd/__call__", [1], 404, "method_not_found"),
        ("/models/iris/serving_default", [[1, 2, 3, 4]], 404, "method_not_found"),
    ],
)
def test_what_does_not_fit_is_told(server: Server, path: str, body: Any, status: int, code: str) -> None:
    answer = server.post(path, body)
    problem = json.loads(answer.data)
    assert (answer.status, problem["code"]) == (status, code)
    assert "/tmp" not in problem["detail"]


def test_the_documentation_is_typed_by_method(server: Server) -> None:
    document = json.loads(server.get("/openapi.json").data)
    assert {"/models/words/predict", "/models/words/count", "/models/odd/eight"} <= document["paths"].keys()


def test_the_parent_never_imports_tensorflow(server: Server) -> None:
    def has_tensorflow(pid: int) -> bool:
        return "libtensorflow_framework" in Path(f"/proc/{pid}/maps").read_text()

    assert not has_tensorflow(server.process.pid)
    assert all(map(has_tensorflow, server.workers))


def test_reload_serves_a_new_version_and_survives_a_hostile_one(folder: Path, server: Server) -> None:
    workers = server.workers
    hostile = models.save_iris(folder.parent / "hostile")
    document = models.read_graph(hostile)
    document.meta_graphs[0].graph_def.library.function[0].node_def.add(name="r", op="ReadFile")
    models.write_graph(hostile, document)
    broken = models.save_iris(folder.parent / "broken")
    (broken / "variables" / "variables.index").write_bytes(b"index")
    shutil.move(hostile, folder / "iris" / "5")
    shutil.move(broken, folder / "iris" / "6")
    shutil.move(models.save_iris(folder.parent / "new"), folder / "iris" / "4")
    until(lambda: _versions(server) == ["3", "4"], within_s=180)
    refusals = ("its graph does more than compute: ReadFile", "6 cannot be loaded")
    until(lambda: all(text in server.log for text in refusals), within_s=180)
    assert server.workers == workers
    assert predictions(server, "/models/iris/versions/4/predict", models.ROWS[:1].tolist())
    assert _versions(server) == ["3", "4"]


def _versions(server: Server) -> list[str]:
    versions: list[str] = json.loads(server.get("/models/iris", connection="close").data)["versions"]
    return versions


def test_a_hostile_folder_is_refused_at_start(tmp_path: Path) -> None:
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def reads(text: Any) -> Any:
        return tf.strings.join([text, tf.io.read_file("/etc/hostname")])

    path = models.save_function(reads, tmp_path / "model")
    for command in ("serve", "inspect"):
        done = subprocess.run([*DEMIJOHN, command, str(path)], check=False, capture_output=True, text=True)
        assert done.returncode == 2
        assert "its graph does more than compute: ReadFile" in done.stderr
        assert "Traceback" not in done.stderr
    trusted = [*DEMIJOHN, "inspect", str(path), "--trust"]
    assert "methods" in subprocess.run(trusted, check=True, capture_output=True, text=True).stdout


def test_predict_and_inspect_take_a_folder(folder: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps(models.ROWS[:3].tolist()))
    command = [*DEMIJOHN, "predict", str(folder / "iris" / "3"), str(rows), "--to", "json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert len(json.loads(done.stdout)["predictions"]) == 3
    command = [*DEMIJOHN, "inspect", str(folder / "words"), "--json"]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert (told["format"], told["runs_code_when_loaded"]) == ("savedmodel", False)
    assert told["us_per_call"].keys() == {"predict", "count"}
