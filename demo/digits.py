"""The demo's Keras model: which digit is it, from handwriting that scikit-learn ships.

The images, 8 × 8, are drawn larger to 28 × 28, as MNIST has them; a convolutional network learns them in
some seconds.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

N_EPOCHS = 3
N_EXAMPLE_ROWS = 2


def save(model_file: Path, example_file: Path) -> None:
    """Train the model, and save it and example rows."""
    print("training digits")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    digits = load_digits()
    images = large(digits.images)
    model = trained(images, digits.target)
    example_file.parent.mkdir(parents=True, exist_ok=True)
    example_file.write_text(json.dumps(images[:N_EXAMPLE_ROWS].round(4).tolist()))
    model_file.parent.mkdir(parents=True, exist_ok=True)
    half = model_file.with_suffix(".half.keras")
    model.save(half)
    half.replace(model_file)  # whole or not at all, whatever interrupts


def large(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Repeat each of 8 × 8 pixels three times, within a margin of two: (n_rows, 28, 28, 1), from 0 to 1."""
    tripled = np.kron(images / 16, np.ones((1, 3, 3)))
    return np.pad(tripled, ((0, 0), (2, 2), (2, 2)))[..., np.newaxis].astype(np.float64)


def trained(images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> Any:
    """Train a small convolutional network."""
    import keras

    layers = keras.layers
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1), name="image"),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10, activation="softmax", name="digit"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(images, labels, epochs=N_EPOCHS, verbose=0)
    return model
