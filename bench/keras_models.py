"""Train the two Keras models of the benchmark; run by the environment that Demijohn is in.

Writes models/<name>.keras and models/<name>.rows.json (1,000 rows, and what ``model.predict`` says of
them) into the folder given.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.preprocessing import StandardScaler

N_ROWS = 1000
layers = keras.layers


def mlp() -> tuple[Any, Any]:
    """30 measurements of a tumour, 64, 64, 2."""
    rows, labels = load_breast_cancer(return_X_y=True)
    rows = StandardScaler().fit_transform(rows).astype(np.float32)
    hidden = [layers.Dense(64, activation="relu") for _ in range(2)]
    model = keras.Sequential([keras.Input((30,)), *hidden, layers.Dense(2, activation="softmax")])
    return fitted(model, rows, labels, epochs=5), rows


def cnn() -> tuple[Any, Any]:
    """Digits of 8 × 8, drawn larger to 28 × 28."""
    digits = load_digits()
    # 24 × 24 by repeating each pixel three times, with a margin of two around it.
    large = np.pad(np.kron(digits.images / 16, np.ones((1, 3, 3))), ((0, 0), (2, 2), (2, 2)))
    images = large[..., np.newaxis].astype(np.float32)
    model = keras.Sequential([
        keras.Input((28, 28, 1)),
        layers.Conv2D(16, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Flatten(), layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    return fitted(model, images, digits.target, epochs=3), images


def fitted(model: Any, rows: Any, labels: Any, *, epochs: int) -> Any:
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(rows, labels, epochs=epochs, verbose=0)
    return model


def save(folder: Path, name: str, model: Any, rows: Any) -> None:
    model.save(folder / f"{name}.keras")
    rows = (
        np.tile(rows, (N_ROWS // len(rows) + 1, *(1,) * (rows.ndim - 1)))[:N_ROWS].astype(np.float64).round(4)
    )
    expected = model.predict(rows.astype(np.float32), verbose=0).tolist()
    document = {"columns": None, "rows": rows.tolist(), "expected": expected}
    (folder / f"{name}.rows.json").write_text(json.dumps(document))


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)
    save(folder, "keras-mlp", *mlp())
    save(folder, "keras-cnn", *cnn())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
