"""Keras models behind a real ``demijohn serve``: their own answers, and files that are refused."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.http.claims import check_alive, check_problem
from tests.keras_models import Array, cnn, mlp, saved, several, tokens, with_layer
from tests.servers import DEMIJOHN, Server, serving, until

from demijohn import kernels

RNG = np.random.default_rng(0)
MODELS = {"mlp": mlp, "cnn": cnn, "tokens": tokens, "several": several}
BOUND = 1e-5  # of a compiled model, relative


def save(folder: Path) -> None:
    for name, model in MODELS.items():
        (folder / f"{name}.keras").write_bytes(saved(model()))


@pytest.fixture(scope="module", params=["native", "compiled"])
def keras_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """One worker with a few models; either none is compiled, or all are."""
    folder = tmp_path_factory.mktemp("keras")
    save(folder)
    is_native = request.param == "native"
    environ = {"DEMIJOHN_ACCELERATION": "off"} if is_native else {}
    with serving([folder], "--workers", "1", **environ) as server:
        if not is_native:
            until(lambda: all(plan_of(server, name)["state"] == "settled" for name in MODELS), 120.0)
        yield server


def plan_of(server: Server, name: str) -> Any:
    return json.loads(server.get(f"/models/{name}").data)["plan"]


def engines_of(server: Server, name: str) -> list[str]:
    return [one["engine"] for one in plan_of(server, name)["methods"]["predict"]]


def predicted(server: Server, name: str, body: Any) -> Any:
    answer = server.post(f"/models/{name}/predict", body)
    assert answer.status == 200, answer.data
    return json.loads(answer.data)["predictions"]


def check_same(server: Server, name: str, got: Any, expected: Array) -> None:
    array = np.array(got, dtype=np.float32)
    assert array.shape == expected.shape
    if engines_of(server, name) == ["native"]:
        assert np.array_equal(array, expected)
    else:
        np.testing.assert_allclose(array, expected, rtol=BOUND, atol=BOUND * float(np.abs(expected).max()))


@pytest.mark.parametrize("n_rows", [1, 64])
@pytest.mark.parametrize(("name", "shape"), [("mlp", (30,)), ("cnn", (28, 28, 1))], ids=["numbers", "images"])
def test_rows_have_the_answer_of_predict(
    keras_server: Server, name: str, shape: tuple[int, ...], n_rows: int
) -> None:
    rows = RNG.random((n_rows, *shape), dtype=np.float32)
    expected = MODELS[name]().predict(rows, verbose=0)
    check_same(keras_server, name, predicted(keras_server, name, rows.tolist()), expected)
    wrapped = predicted(keras_server, name, {"instances": rows.tolist()})
    check_same(keras_server, name, wrapped, expected)


@pytest.mark.parametrize("n_rows", [1, 64])
@pytest.mark.parametrize("length", [3, 12])
def test_token_sequences_may_be_of_any_length(keras_server: Server, n_rows: int, length: int) -> None:
    rows = RNG.integers(0, 100, (n_rows, length)).astype(np.int32)
    got = predicted(keras_server, "tokens", rows.tolist())
    check_same(keras_server, "tokens", got, tokens().predict(rows, verbose=0))


@pytest.mark.parametrize("n_rows", [1, 64])
def test_several_inputs_and_outputs_go_by_name(keras_server: Server, n_rows: int) -> None:
    numbers, image = RNG.random((n_rows, 4), np.float32), RNG.random((n_rows, 6, 6, 1), np.float32)
    label, size = several().predict([numbers, image], verbose=0)
    records = [{"numbers": a, "image": b} for a, b in zip(numbers.tolist(), image.tolist(), strict=True)]
    columns = {"inputs": {"numbers": numbers.tolist(), "image": image.tolist()}}
    for body in (records, columns):
        got = predicted(keras_server, "several", body)
        check_same(keras_server, "several", [row["label"] for row in got], label)
        check_same(keras_server, "several", [row["size"] for row in got], size)


def test_models_say_that_they_are_compiled_and_loaded_in_the_worker(keras_server: Server) -> None:
    is_native = engines_of(keras_server, "mlp") == ["native"]
    for name in MODELS:
        plan = plan_of(keras_server, name)
        assert plan["survives_fork"] is False
        engine = "kernel" if name == "mlp" and kernels.IS_BUILT else "onnx"
        assert is_native or engines_of(keras_server, name)[0] == engine, plan
        assert plan["kept_alone"] == {}


def test_a_token_that_the_model_does_not_know_is_the_clients_mistake(keras_server: Server) -> None:
    workers = keras_server.workers
    problem = check_problem(keras_server.post("/models/tokens/predict", [[1, 100]]), 422, "model_refused")
    assert "100" in problem["detail"]
    check_alive(keras_server, workers)


@pytest.mark.parametrize(
    "body", [[[0.0] * 29], [[0.0] * 29 + ["x"]], [[0.0] * 29 + [None]], [[0.0] * 29 + [1e39]], []]
)
def test_rows_that_do_not_fit_are_the_clients_mistake(keras_server: Server, body: Any) -> None:
    check_problem(keras_server.post("/models/mlp/predict", body), 422, "signature_mismatch")


# Hostile files --------------------------------------------------------------------------------


def evil(canary: Path) -> bytes:
    function = {
        "module": "os", "class_name": "function", "config": "system", "registered_name": "system",
    }  # fmt: skip
    config = {"name": "evil", "activation": function, "command": f"touch {canary}"}
    return with_layer(
        {"module": "keras.layers", "class_name": "Activation", "config": config, "registered_name": None}
    )


def test_a_hostile_file_stops_the_start_in_one_line(tmp_path: Path) -> None:
    canary, path = tmp_path / "canary", tmp_path / "model.keras"
    path.write_bytes(evil(canary))
    done = subprocess.run(
        [*DEMIJOHN, "serve", str(path), "--port", "0"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "the function os.system" in done.stderr
    assert "Traceback" not in done.stderr
    assert not canary.exists()


def test_a_hostile_file_in_place_of_a_model_changes_nothing(tmp_path: Path) -> None:
    canary, path = tmp_path / "canary", tmp_path / "models" / "mlp.keras"
    path.parent.mkdir()
    path.write_bytes(saved(mlp()))
    rows = RNG.random((1, 30), dtype=np.float32)
    with serving([path.parent], "--workers", "1", "--reload", DEMIJOHN_ACCELERATION="off") as server:
        workers = server.workers
        half = tmp_path / "half"
        half.write_bytes(evil(canary))
        half.replace(path)
        until(lambda: "the function os.system" in server.log)
        check_same(server, "mlp", predicted(server, "mlp", rows.tolist()), mlp().predict(rows, verbose=0))
        check_alive(server, workers)
    assert not canary.exists()
