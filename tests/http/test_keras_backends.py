"""Keras models behind a real ``demijohn serve`` on each backend: the answers of ``predict`` on that one.

TensorFlow has ``test_keras_served``. Each backend has processes of its own here: Keras takes one for good.
JAX is not among what is installed for the tests (``pip install jax`` to run them).
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.servers import Server, serving, until

NAMES = ("mlp", "cnn", "tokens")
BOUND = 1e-5  # of a compiled model, relative

MAKE = """
import sys, warnings
warnings.simplefilter("ignore")
import keras, numpy as np
from pathlib import Path
folder, L = Path(sys.argv[1]), keras.layers
assert keras.config.backend() == sys.argv[2]
keras.utils.set_random_seed(0)
def sequential(shape, *parts, **options):
    return keras.Sequential([keras.Input(shape, **options), *parts])

models = {
    "mlp": sequential((30,), L.Dense(64, activation="relu"), L.Dense(2, activation="softmax")),
    "cnn": sequential((28, 28, 1), L.Conv2D(8, 3), L.MaxPooling2D(), L.Flatten(), L.Dense(10)),
    "tokens": sequential((9,), L.Embedding(100, 8), L.LSTM(16), L.Dense(1), dtype="int32"),
}
draw = np.random.default_rng(0)
for name, model in models.items():
    shape = (64, *model.input_shape[1:])
    rows = draw.integers(0, 100, shape) if name == "tokens" else draw.random(shape).round(3)
    model.save(folder / f"{name}.keras")
    taken = rows.astype(model.inputs[0].dtype)
    expected = {n: model.predict(taken[:n], verbose=0) for n in (1, 64)}
    np.savez(folder / f"{name}.npz", rows=rows, one=expected[1], many=expected[64])
"""


@pytest.fixture(scope="module", params=["jax", "torch"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Build models on a backend, and save them with what they answer there."""
    backend: str = request.param
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    folder = tmp_path_factory.mktemp(backend)
    environ = {**os.environ, "KERAS_BACKEND": backend}
    subprocess.run([sys.executable, "-c", MAKE, str(folder), backend], check=True, env=environ)
    return backend, folder


@pytest.fixture(scope="module", params=["native", "compiled"])
def server(request: pytest.FixtureRequest, made: tuple[str, Path]) -> Iterator[Server]:
    backend, folder = made
    is_native = request.param == "native"
    environ = {"KERAS_BACKEND": backend} | ({"DEMIJOHN_ACCELERATION": "off"} if is_native else {})
    files = [folder / f"{name}.keras" for name in NAMES]
    with serving(files, "--workers", "1", **environ) as server:
        until(lambda: all(plan_of(server, name)["state"] == "settled" for name in NAMES), 120.0)
        yield server


def plan_of(server: Server, name: str) -> Any:
    return json.loads(server.get(f"/models/{name}").data)["plan"]


@pytest.mark.parametrize(("which", "n_rows"), [("one", 1), ("many", 64)])
@pytest.mark.parametrize("name", NAMES)
def test_rows_have_the_answer_of_predict_on_that_backend(
    server: Server, made: tuple[str, Path], name: str, which: str, n_rows: int
) -> None:
    _, folder = made
    with np.load(folder / f"{name}.npz") as kept:
        rows, expected = kept["rows"][:n_rows], kept[which]
    answer = server.post(f"/models/{name}/predict", rows.tolist())
    assert answer.status == 200, answer.data
    got = np.array(json.loads(answer.data)["predictions"], np.float32)
    assert got.shape == expected.shape
    if [one["engine"] for one in plan_of(server, name)["methods"]["predict"]] == ["native"]:
        np.testing.assert_array_equal(got, expected)
    else:
        np.testing.assert_allclose(got, expected, rtol=BOUND, atol=BOUND * float(np.abs(expected).max()))


def test_each_worker_loads_such_a_model_itself(server: Server) -> None:
    assert {plan_of(server, name)["survives_fork"] for name in NAMES} == {False}
