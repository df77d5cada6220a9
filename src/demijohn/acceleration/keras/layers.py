"""Keras' layers as nodes of ONNX: one table, put together from the rooms beside it.

Rules of this room:
1. A layer is converted only if it is Keras' own class, calculates in float32, and every option it
   has is one that its row knows; anything else is ``Unconvertible``, with the layer's name.
2. What a conversion means is proved by parity, not here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from demijohn.acceleration.engine import Unconvertible
from demijohn.messages import Array

from . import convolutions, recurrent, reshaping
from .activations import activate
from .graph import Graph, Value
from .weights import read, scale_and_shift

#: From a graph, a layer and its inputs to the name of the result.
Convert = Callable[[Graph, Any, Sequence[Value]], str]

#: Stands for a negative token, so that Gather refuses it as Keras does.
_NO_TOKEN = 2**31 - 1


def dense(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
    """Multiply the last axis with a matrix."""
    name = graph.node("MatMul", graph.as_float(inputs[0]), graph.constant(read(layer.kernel)))
    if layer.bias is not None:
        name = graph.node("Add", name, graph.constant(read(layer.bias)))
    return activate(graph, layer.activation, name)


def embedding(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
    """Look tokens up; those that are none make the graph fail, as they make Keras."""
    if layer.mask_zero:
        raise Unconvertible("it masks tokens (mask_zero=True), which is not converted")
    tokens = inputs[0].name if inputs[0].dtype == "int32" else graph.cast(inputs[0].name, "int32")
    # To Gather, -1 is the last row.
    is_negative = graph.node("Less", tokens, graph.constant(0, "int32"))
    tokens = graph.node("Where", is_negative, graph.constant(_NO_TOKEN, "int32"), tokens)
    return graph.node("Gather", graph.constant(read(layer.embeddings)), tokens, axis=0)


def activation(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
    """Apply a function."""
    return activate(graph, layer.activation, graph.as_float(inputs[0]))


def identity(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
    """Do what dropout and noise do when nothing is being learnt: nothing."""
    del layer
    return graph.as_float(inputs[0])


def relu(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
    """Apply ReLU, of which only the plain form and the leaky one are known."""
    name = graph.as_float(inputs[0])
    if layer.threshold:
        raise Unconvertible("ReLU with a threshold is not converted")
    name = graph.node("LeakyRelu", name, alpha=float(layer.negative_slope)) if layer.negative_slope else (
        graph.node("Relu", name)
    )  # fmt: skip
    if layer.max_value is None:
        return name
    return graph.node("Min", name, graph.constant(layer.max_value))


def leaky_relu(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
    """Apply a ReLU that leaks."""
    return graph.node("LeakyRelu", graph.as_float(inputs[0]), alpha=float(layer.negative_slope))


def elu(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
    """Apply ELU."""
    return graph.node("Elu", graph.as_float(inputs[0]), alpha=float(layer.alpha))


def prelu(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
    """Apply a ReLU whose leak was learnt."""
    return graph.node("PRelu", graph.as_float(inputs[0]), graph.constant(read(layer.alpha)))


def softmax(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
    """Apply softmax along one axis."""
    if not isinstance(layer.axis, int):
        raise Unconvertible("softmax along several axes is not converted")
    return graph.node("Softmax", graph.as_float(inputs[0]), axis=layer.axis)


def batch_normalization(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
    """Scale and shift by what was seen in training."""
    axis = layer.axis % inputs[0].rank
    scale, shift = scale_and_shift(layer)
    # Along the last axis numpy's rule of broadcasting needs no ones.
    sizes = (-1, *(1,) * (inputs[0].rank - 1 - axis))
    scaled = graph.node("Mul", graph.as_float(inputs[0]), graph.constant(scale.reshape(sizes)))
    return graph.node("Add", scaled, graph.constant(shift.reshape(sizes)))


def layer_normalization(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
    """Scale each row by its own mean and deviation."""
    rank = inputs[0].rank
    given = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    axes = sorted(axis % rank for axis in given)
    if axes != list(range(axes[0], rank)) or getattr(layer, "rms_scaling", False):
        raise Unconvertible("layer normalization is converted along the last axes only")
    sizes = [inputs[0].shape[axis] or 0 for axis in axes]
    scale: Array = read(layer.gamma) if layer.scale else np.ones(sizes)
    parts = [graph.as_float(inputs[0]), graph.constant(scale)]
    if layer.center:
        parts.append(graph.constant(read(layer.beta)))
    return graph.node("LayerNormalization", *parts, axis=axes[0], epsilon=float(layer.epsilon))


def rescaling(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
    """Multiply and add."""
    scaled = graph.node("Mul", graph.as_float(inputs[0]), graph.constant(layer.scale))
    return graph.node("Add", scaled, graph.constant(layer.offset))


def normalization(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
    """Subtract the mean and divide by the deviation."""
    if layer.invert:
        raise Unconvertible("the inverse of a normalization is not converted")
    mean, variance = (np.asarray(read(part)) for part in (layer.mean, layer.variance))
    deviation = np.maximum(np.sqrt(variance), np.float32(1e-7))
    centred = graph.node("Sub", graph.as_float(inputs[0]), graph.constant(mean))
    return graph.node("Div", centred, graph.constant(deviation))


def time_distributed(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
    """Apply a layer at each step; a dense one treats the steps alike by itself."""
    inner = layer.layer
    if type(inner).__name__ not in _STEPWISE:
        raise Unconvertible(f"TimeDistributed of {type(inner).__name__} is not converted")
    convert: Convert = LAYERS[type(inner).__name__]
    return convert(graph, inner, inputs)


# Several inputs -----------------------------------------------------------------------------------


def _merge(operator: str) -> Any:
    def merge(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
        del layer
        if len({value.rank for value in inputs}) != 1:
            raise Unconvertible("merging tensors of several ranks is not converted")
        name = graph.as_float(inputs[0])
        for value in inputs[1:]:
            name = graph.node(operator, name, graph.as_float(value))
        return name

    return merge


def average(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
    """Return the mean of several tensors."""
    return graph.node("Div", _merge("Add")(graph, layer, inputs), graph.constant(len(inputs)))


def concatenate(graph: Graph, layer: Any, inputs: Sequence[Value]) -> str:
    """Put tensors side by side."""
    return graph.node("Concat", *[graph.as_float(value) for value in inputs], axis=layer.axis)


_STEPWISE = frozenset({"Activation", "Dense", "Dropout", "LeakyReLU", "ReLU"})

LAYERS: Mapping[str, Any] = {
    "Activation": activation,
    "ActivityRegularization": identity,
    "Add": _merge("Add"),
    "AlphaDropout": identity,
    "Average": average,
    "BatchNormalization": batch_normalization,
    "Concatenate": concatenate,
    "Dense": dense,
    "Dropout": identity,
    "ELU": elu,
    "Embedding": embedding,
    "GaussianDropout": identity,
    "GaussianNoise": identity,
    "Identity": identity,
    "LayerNormalization": layer_normalization,
    "LeakyReLU": leaky_relu,
    "Maximum": _merge("Max"),
    "Minimum": _merge("Min"),
    "Multiply": _merge("Mul"),
    "Normalization": normalization,
    "PReLU": prelu,
    "ReLU": relu,
    "Rescaling": rescaling,
    "Softmax": softmax,
    "SpatialDropout1D": identity,
    "SpatialDropout2D": identity,
    "SpatialDropout3D": identity,
    "Subtract": _merge("Sub"),
    "TimeDistributed": time_distributed,
    **convolutions.LAYERS,
    **recurrent.LAYERS,
    **reshaping.LAYERS,
}
