"""Layers that move numbers, and calculate nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from demijohn.acceleration.engine import Unconvertible

from .graph import Graph, Value

_END = np.iinfo(np.int64).max


def flatten(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
    """Put a row's numbers in line."""
    if layer.data_format == "channels_first" and inputs[0].rank > 2:
        raise Unconvertible("flattening channels that come first is not converted")
    return graph.node("Flatten", graph.as_float(inputs[0]), axis=1)


def reshape(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
    """Give a row another shape."""
    # 0 copies the number of rows.
    return graph.node("Reshape", graph.as_float(inputs[0]), graph.constant([0, *layer.target_shape], "int64"))


def permute(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
    """Change the order of a row's axes."""
    return graph.node("Transpose", graph.as_float(inputs[0]), perm=[0, *layer.dims])


def repeat_vector(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
    """Repeat each row along a new axis 1."""
    line = graph.node("Unsqueeze", graph.as_float(inputs[0]), graph.constant([1], "int64"))
    return graph.node("Tile", line, graph.constant([1, layer.n, 1], "int64"))


def zero_padding(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
    """Put zeros around a row."""
    pairs = _pairs(layer.padding, inputs[0].rank - 2)
    first = _first_axis(layer)
    before, after = np.zeros((2, inputs[0].rank), dtype=np.int64)
    for axis, (at_start, at_end) in enumerate(pairs, first):
        before[axis], after[axis] = at_start, at_end
    return graph.node("Pad", graph.as_float(inputs[0]), graph.constant([*before, *after], "int64"))


def cropping(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
    """Cut a row's borders off."""
    pairs = _pairs(layer.cropping, inputs[0].rank - 2)
    first = _first_axis(layer)
    return graph.node(
        "Slice",
        graph.as_float(inputs[0]),
        graph.constant([at_start for at_start, _ in pairs], "int64"),
        graph.constant([-at_end if at_end else _END for _, at_end in pairs], "int64"),
        graph.constant(range(first, first + len(pairs)), "int64"),
    )


def up_sampling(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
    """Repeat each number along the axes between row and channels."""
    if getattr(layer, "interpolation", "nearest") != "nearest":
        raise Unconvertible("interpolation other than nearest is not converted")
    rank = inputs[0].rank
    sizes = np.broadcast_to(layer.size, rank - 2)
    first = _first_axis(layer)
    scales = [float(sizes[axis - first]) if first <= axis < first + rank - 2 else 1.0 for axis in range(rank)]
    return graph.node(
        "Resize", graph.as_float(inputs[0]), "", graph.constant(scales),
        mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    )  # fmt: skip


def _first_axis(layer: Any) -> int:
    return 2 if getattr(layer, "data_format", "channels_last") == "channels_first" else 1


def _pairs(given: Any, rank: int) -> list[tuple[int, int]]:
    """Return what is put before and after along each axis; of one axis Keras has no list of pairs."""
    return [(int(a), int(b)) for a, b in np.reshape(given, (rank, 2))]


LAYERS: Mapping[str, Any] = {
    "Flatten": flatten,
    "Permute": permute,
    "RepeatVector": repeat_vector,
    "Reshape": reshape,
    **{f"Cropping{rank}D": cropping for rank in (1, 2, 3)},
    **{f"UpSampling{rank}D": up_sampling for rank in (1, 2, 3)},
    **{f"ZeroPadding{rank}D": zero_padding for rank in (1, 2, 3)},
}
