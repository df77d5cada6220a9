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
