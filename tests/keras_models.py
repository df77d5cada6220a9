"""Small Keras models, their files, and files that somebody crafted, for the tests of all rooms."""

from __future__ import annotations

import io
import json
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # TensorFlow and what it imports
    import keras

layers = keras.layers
Array = np.ndarray[Any, Any]


def sequential(shape: tuple[int | None, ...], *parts: Any, dtype: str = "float32") -> Any:
    return keras.Sequential([keras.Input(shape, dtype=dtype, name="inputs"), *parts])


@cache
def mlp() -> Any:
    """30 numbers to two probabilities."""
    keras.utils.set_random_seed(0)
    hidden = [layers.Dense(64, activation="relu") for _ in range(2)]
    return sequential((30,), *hidden, layers.Dense(2, activation="softmax"))


@cache
def cnn() -> Any:
    """An image of 28 × 28 to ten probabilities."""
    keras.utils.set_random_seed(0)
    return sequential(
        (28, 28, 1),
        layers.Conv2D(8, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(10, activation="softmax"),
    )


@cache
def tokens() -> Any:
    """Tokens, as many as a row has, to one number."""
    keras.utils.set_random_seed(0)
    parts = [layers.Embedding(100, 8), layers.LSTM(16), layers.Dense(1)]
    return sequential((None,), *parts, dtype="int32")


@cache
def texts() -> Any:
    """One text a row to one number."""
    keras.utils.set_random_seed(0)
    words = layers.TextVectorization(max_tokens=50, output_sequence_length=6)
    words.adapt(["the cat sat on the mat", "a dog ran"])
    parts = [words, layers.Embedding(50, 4), layers.GlobalAveragePooling1D(), layers.Dense(1)]
    return sequential((1,), *parts, dtype="string")


@cache
def several() -> Any:
    """Numbers and an image to two outputs."""
    keras.utils.set_random_seed(0)
    numbers = keras.Input((4,), name="numbers")
    image = keras.Input((6, 6, 1), name="image")
    seen = layers.Flatten()(layers.Conv2D(2, 3)(image))
    label = layers.Dense(3, activation="softmax", name="label")(layers.Concatenate()([numbers, seen]))
    return keras.Model([numbers, image], [label, layers.Dense(1, name="size")(numbers)])


@cache
def by_name() -> Any:
    """Two inputs and two outputs, in dicts."""
    keras.utils.set_random_seed(0)
    first, second = keras.Input((4,), name="x"), keras.Input((2,), name="y")
    joined = layers.Concatenate()([first, second])
    outputs = {"sum": layers.Dense(2)(joined), "part": layers.Dense(1)(first)}
    return keras.Model({"x": first, "y": second}, outputs)


def saved(model: Any) -> bytes:
    """Return the model as a ``.keras`` file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        model.save(path)
        return path.read_bytes()


@cache
def mlp_file() -> bytes:
    return saved(mlp())


# Crafted files ----------------------------------------------------------------------------------


def members_of(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def with_config(change: Callable[[dict[str, Any]], Any]) -> bytes:
    """Return the file of the MLP with its config changed by hand."""
    members = members_of(mlp_file())
    config = json.loads(members["config.json"])
    change(config)
    return zipped(members | {"config.json": json.dumps(config).encode()})


def with_layer(layer: Mapping[str, Any], depth: int = 0) -> bytes:
    """Return the file of the MLP with another layer in it, so many wrappers deep."""
    for _ in range(depth):
        layer = {
            "module": "keras.layers", "class_name": "TimeDistributed", "registered_name": None,
            "config": {"name": "wrapper", "layer": layer},
        }  # fmt: skip
    return with_config(lambda config: config["config"]["layers"].append(layer))


def with_weights(write: Callable[[h5py.File], None]) -> bytes:
    """Return the file of the MLP with other weights."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        write(file)
    return zipped(members_of(mlp_file()) | {"model.weights.h5": buffer.getvalue()})
