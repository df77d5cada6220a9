"""Convolution and pooling: Keras has channels last, ONNX first.

Rules of this room:
1. Around each of them stands a transposition; onnxruntime cancels those that meet.
2. "same" is what TensorFlow means by it: where the padding is odd, one more at the end.

Source: ONNX, docs/Operators.md, Conv and MaxPool; keras/src/layers/convolutional.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from demijohn.acceleration.engine import Unconvertible
from demijohn.messages import Array

from .activations import activate
from .graph import Graph, Value
from .weights import read

_AUTO_PAD = {"valid": "VALID", "same": "SAME_UPPER"}


def conv(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
    """Convolve; the kernel is (*sizes, n_in / groups, n_out)."""
    kernel = read(layer.kernel)
    rank = kernel.ndim - 2
    weights = kernel.transpose(rank + 1, rank, *range(rank))
    padding = _padding(layer, kernel.shape[:rank])
    name = _convolve(graph, layer, _first(graph, layer, inputs[0]), weights, layer.groups, padding)
    return activate(graph, layer.activation, _last(graph, layer, name, rank + 2))


def depthwise(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
    """Convolve each channel by itself."""
    name, rank = _depthwise(graph, layer, read(layer.kernel), inputs[0], has_bias=True)
    return activate(graph, layer.activation, _last(graph, layer, name, rank + 2))


def separable(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
    """Convolve each channel by itself, then mix them."""
    name, rank = _depthwise(graph, layer, read(layer.depthwise_kernel), inputs[0], has_bias=False)
    point = read(layer.pointwise_kernel)
    parts = [name, graph.constant(point.transpose(rank + 1, rank, *range(rank)))]
    if layer.bias is not None:
        parts.append(graph.constant(read(layer.bias)))
    name = graph.node("Conv", *parts)
    return activate(graph, layer.activation, _last(graph, layer, name, rank + 2))


def conv_transpose(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
    """Convolve backwards; the kernel is (*sizes, n_out, n_in)."""
    kernel = read(layer.kernel)
    rank = kernel.ndim - 2
    if layer.output_padding is not None or any(rate != 1 for rate in layer.dilation_rate):
        raise Unconvertible("a transposed convolution with dilation or output_padding is not converted")
    sizes, strides = kernel.shape[:rank], list(layer.strides)
    cut = [max(size - stride, 0) if layer.padding == "same" else 0
           for size, stride in zip(sizes, strides, strict=True)]  # fmt: skip
    parts = [_first(graph, layer, inputs[0]), graph.constant(kernel.transpose(rank + 1, rank, *range(rank)))]
    if layer.bias is not None:
        parts.append(graph.constant(read(layer.bias)))
    name = graph.node(
        "ConvTranspose",
        *parts,
        strides=strides,
        pads=[one // 2 for one in cut] + [one - one // 2 for one in cut],
        output_padding=[max(stride - size, 0) for size, stride in zip(sizes, strides, strict=True)],
    )
    return activate(graph, layer.activation, _last(graph, layer, name, rank + 2))


def _pool(operator: str, **attributes: Any) -> Any:
    def pool(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
        name = graph.node(
            operator,
            _first(graph, layer, inputs[0]),
            kernel_shape=_tuple(layer.pool_size, inputs[0].rank - 2),
            strides=_tuple(layer.strides, inputs[0].rank - 2),
            auto_pad=_AUTO_PAD[layer.padding],
            **attributes,
        )
        return _last(graph, layer, name, inputs[0].rank)

    return pool


def _pool_all(operator: str) -> Any:
    def pool(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
        first = 2 if layer.data_format == "channels_first" else 1
        axes = graph.constant(range(first, first + inputs[0].rank - 2), "int64")
        return graph.node(operator, graph.as_float(inputs[0]), axes, keepdims=int(layer.keepdims))

    return pool


def _convolve(
    graph: Graph, layer: Any, name: str, weights: Array, groups: int, padding: Mapping[str, Any]
) -> str:
    parts = [name, graph.constant(weights)]
    if layer.bias is not None:
        parts.append(graph.constant(read(layer.bias)))
    rank = weights.ndim - 2
    dilations, strides = _tuple(layer.dilation_rate, rank), _tuple(layer.strides, rank)
    return graph.node("Conv", *parts, dilations=dilations, strides=strides, group=groups, **padding)


def _depthwise(graph: Graph, layer: Any, kernel: Array, value: Value, *, has_bias: bool) -> tuple[str, int]:
    """Convolve by a kernel (*sizes, n_in, multiplier); returns the result, channels first, and the rank."""
    rank = kernel.ndim - 2
    n_in, multiplier = kernel.shape[rank:]
    weights = kernel.transpose(rank, rank + 1, *range(rank)).reshape(
        n_in * multiplier, 1, *kernel.shape[:rank]
    )
    parts = [_first(graph, layer, value), graph.constant(weights)]
    if has_bias and layer.bias is not None:
        parts.append(graph.constant(read(layer.bias)))
    name = graph.node(
        "Conv",
        *parts,
        dilations=_tuple(layer.dilation_rate, rank),
        strides=_tuple(layer.strides, rank),
        group=n_in,
        **_padding(layer, kernel.shape[:rank]),
    )
    return name, rank


def _padding(layer: Any, sizes: Sequence[int]) -> dict[str, Any]:
    rates = _tuple(layer.dilation_rate, len(sizes))
    if layer.padding == "causal":
        return {"pads": [(sizes[0] - 1) * rates[0], 0]}
    if layer.padding == "same" and any(rate != 1 for rate in rates):
        # onnxruntime does not work this one out; Keras takes no strides together with dilation.
        totals = [(size - 1) * rate for size, rate in zip(sizes, rates, strict=True)]
        return {"pads": [total // 2 for total in totals] + [total - total // 2 for total in totals]}
    return {"auto_pad": _AUTO_PAD[layer.padding]}


def _tuple(value: Any, rank: int) -> list[int]:
    return [int(one) for one in np.broadcast_to(value, rank)]


def _first(graph: Graph, layer: Any, value: Value) -> str:
    """Return a value with its channels at axis 1."""
    name = graph.as_float(value)
    if layer.data_format == "channels_first":
        return name
    return graph.node("Transpose", name, perm=[0, value.rank - 1, *range(1, value.rank - 1)])


def _last(graph: Graph, layer: Any, name: str, rank: int) -> str:
    """Return a value that has its channels at axis 1 as the layer has it."""
    if layer.data_format == "channels_first":
        return name
    return graph.node("Transpose", name, perm=[0, *range(2, rank), 1])


LAYERS: Mapping[str, Any] = {
    **{f"Conv{rank}D": conv for rank in (1, 2, 3)},
    **{f"Conv{rank}DTranspose": conv_transpose for rank in (1, 2, 3)},
    **{f"DepthwiseConv{rank}D": depthwise for rank in (1, 2)},
    **{f"SeparableConv{rank}D": separable for rank in (1, 2)},
    **{f"MaxPooling{rank}D": _pool("MaxPool") for rank in (1, 2, 3)},
    **{f"AveragePooling{rank}D": _pool("AveragePool", count_include_pad=0) for rank in (1, 2, 3)},
    **{f"GlobalMaxPooling{rank}D": _pool_all("ReduceMax") for rank in (1, 2, 3)},
    **{f"GlobalAveragePooling{rank}D": _pool_all("ReduceMean") for rank in (1, 2, 3)},
}
