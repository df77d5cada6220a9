"""Reading a layer's weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from demijohn.messages import Array


def read(weight: Any) -> Array:
    """Return a variable or tensor of any backend as an array."""
    if hasattr(weight, "detach"):
        weight = weight.detach().cpu()
    return np.asarray(weight.numpy() if hasattr(weight, "numpy") else weight)


def scale_and_shift(layer: Any) -> tuple[Array, Array]:
    """Return what a BatchNormalization multiplies by, and then adds: what it has seen in training."""
    scale = 1.0 / np.sqrt(read(layer.moving_variance).astype(np.float64) + layer.epsilon)
    if layer.scale:
        scale = scale * read(layer.gamma)
    shift = -read(layer.moving_mean) * scale
    if layer.center:
        shift = shift + read(layer.beta)
    return scale, shift
