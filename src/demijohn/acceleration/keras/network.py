"""A chain of dense layers on Demijohn's own kernel.

A call of a small network costs onnxruntime 11 µs, and gives up the GIL, after which the request waits for its
turn; the kernel takes less than one, and does not.

Rules of this room:
1. A chain: one input, one output, each layer fed by the one before, a row is a line of numbers.
2. As in ``layers``: Keras' own classes, float32, and no option that the row in the table does not know.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from demijohn import kernels
from demijohn.acceleration.engine import FLOAT32, Part, StepAside, Unconvertible
from demijohn.kernels.kinds import Kind
from demijohn.messages import Array, Tensors

from .conversion import MODELS, check_call, functional_of
from .engine import LARGEST
from .weights import read, scale_and_shift

if TYPE_CHECKING:
    from . import Model

#: Of a network: a larger one computes for longer than anything around it takes.
MAX_WEIGHT_BYTES = 16 * 2**20

Step = tuple[Any, ...]  #: As ``kernels.Network`` takes it.

#: Keras' activation functions; None: it does nothing.
ACTIVATIONS: Mapping[str, Step | None] = {
    "elu": (Kind.ELU, 1.0),
    "exponential": (Kind.EXPONENTIAL, 0.0),
    "gelu": (Kind.GELU, 0.0),
    "leaky_relu": (Kind.RELU, 0.2),
    "linear": None,
    "relu": (Kind.RELU, 0.0),
    "relu6": (Kind.CAPPED, 6.0),
    "selu": (Kind.SELU, 0.0),
    "sigmoid": (Kind.SIGMOID, 0.0),
    "silu": (Kind.SILU, 0.0),
    "softmax": (Kind.SOFTMAX, 0.0),
    "softplus": (Kind.SOFTPLUS, 0.0),
    "softsign": (Kind.SOFTSIGN, 0.0),
    "tanh": (Kind.TANH, 0.0),
}


class NetworkEngine:
    """Runs a chain of dense layers.

    Args:
        runtime: Whose model it is.
        network: Made of its layers.
        output: Name of what it returns.
    """

    name = "kernel"
    is_whole = True
    tolerance = FLOAT32
    parts: tuple[Part, ...] = ()

    def __init__(self, runtime: Model, network: kernels.Network, output: str) -> None:
        self._assemble = runtime.assemble
        self._run = network.run
        self._n_outputs = network.n_outputs
        self._output = output

    def run(self, tensors: Tensors) -> Tensors:
        """Run the network; see ``Engine.run``."""
        (rows,) = self._assemble(tensors).values()
        if not rows.flags.c_contiguous:
            rows = np.ascontiguousarray(rows)
        answers = np.empty((len(rows), self._n_outputs), np.float32)
        if self._run(rows, answers):
            raise StepAside("a value is infinite or huge")
        return {self._output: answers}


def build(runtime: Model) -> NetworkEngine:
    """Make the engine of a model.

    Raises:
        Unconvertible: it is no chain of layers that the kernel knows, or the kernel is not built.
    """
    if not kernels.IS_BUILT:
        raise Unconvertible(kernels.WHY_NOT)
    n_bytes = sum(4 * math.prod(weight.shape) for weight in runtime.model.weights)
    if n_bytes > MAX_WEIGHT_BYTES:
        raise Unconvertible(f"it holds {n_bytes >> 10} KiB of weights, too much for the kernel")
    functional = functional_of(runtime.model)
    names = runtime.output_names or ()
    if len(functional.inputs) != 1 or len(names) != 1:
        raise Unconvertible("it has several inputs or outputs, and is no chain")
    (given,) = functional.inputs
    if len(given.shape) != 2 or given.dtype != "float32" or given.shape[1] is None:
        raise Unconvertible(f"its rows are no lines of float32 but {given.dtype} of shape {given.shape}")
    steps = tuple(_steps(functional))
    try:
        network = kernels.Network(int(given.shape[1]), LARGEST, steps)
    except ValueError as error:
        raise Unconvertible(f"the kernel does not take it: {error}") from error
    return NetworkEngine(runtime, network, names[0])


def _steps(functional: Any) -> Iterator[Step]:
    """Yield the steps of a chain, in the order in which rows go through them."""
    now = functional.inputs[0]
    nodes = (
        node
        for depth in sorted(functional._nodes_by_depth, reverse=True)
        for node in functional._nodes_by_depth[depth]
        if not node.is_input
    )
    for node in nodes:
        layer = node.operation
        try:
            check_call(node, LAYERS)
            if len(node.input_tensors) != 1 or node.input_tensors[0] is not now or len(node.outputs) != 1:
                raise Unconvertible("it is not fed by the layer before alone")
            (now,) = node.outputs
            if len(now.shape) != 2:
                raise Unconvertible("its rows are no lines of numbers")
            if type(layer).__name__ in MODELS:
                yield from _steps(functional_of(layer))
            else:
                yield from LAYERS[type(layer).__name__](layer)
        except Unconvertible as error:
            raise Unconvertible(f"layer {layer.name!r} ({type(layer).__name__}): {error}") from error
    if functional.outputs[0] is not now:
        raise Unconvertible("its last layer is not what it returns")


# Layers -------------------------------------------------------------------------------------------


def _activation(function: Any) -> Iterator[Step]:
    called = getattr(function, "__name__", type(function).__name__)
    is_own = getattr(function, "__module__", "").startswith("keras.src.activations")
    if not is_own or called not in ACTIVATIONS:
        raise Unconvertible(f"the kernel does not know the activation {called}")
    step = ACTIVATIONS[called]
    if step is not None:
        yield step


def _dense(layer: Any) -> Iterator[Step]:
    weights = read(layer.kernel)
    bias = np.zeros(weights.shape[1]) if layer.bias is None else read(layer.bias)
    yield Kind.DENSE, _floats(weights), _floats(bias)
    yield from _activation(layer.activation)


def _batch_normalization(layer: Any) -> Iterator[Step]:
    scale, shift = scale_and_shift(layer)
    yield Kind.AFFINE, _floats(np.zeros_like(scale)), _floats(scale), _floats(shift)


def _normalization(layer: Any) -> Iterator[Step]:
    if layer.invert:
        raise Unconvertible("the inverse of a normalization is not known to the kernel")
    mean, variance = (np.asarray(read(part)).reshape(-1) for part in (layer.mean, layer.variance))
    deviation = np.maximum(np.sqrt(variance), np.float32(1e-7))
    yield (
        Kind.AFFINE,
        _floats(mean),
        _floats(1.0 / deviation.astype(np.float64)),
        _floats(np.zeros_like(mean)),
    )


def _relu(layer: Any) -> Iterator[Step]:
    if layer.threshold or (layer.negative_slope and layer.max_value is not None):
        raise Unconvertible("this form of ReLU is not known to the kernel")
    slope = float(layer.negative_slope or 0.0)
    yield (Kind.RELU, slope) if layer.max_value is None else (Kind.CAPPED, float(layer.max_value))


def _softmax(layer: Any) -> Iterator[Step]:
    if layer.axis not in (-1, 1):  # a list of axes has no hash
        raise Unconvertible("softmax along another axis than the last is not known to the kernel")
    yield Kind.SOFTMAX, 0.0


def _nothing(layer: Any) -> Iterator[Step]:
    del layer
    return iter(())


def _floats(array: Any) -> Array:
    return np.ascontiguousarray(array, np.float32)


LAYERS: Mapping[str, Callable[[Any], Iterator[Step]]] = {
    "Activation": lambda layer: _activation(layer.activation),
    "AlphaDropout": _nothing,
    "BatchNormalization": _batch_normalization,
    "Dense": _dense,
    "Dropout": _nothing,
    "ELU": lambda layer: iter([(Kind.ELU, float(layer.alpha))]),
    "Flatten": _nothing,  # of lines
    "GaussianDropout": _nothing,
    "GaussianNoise": _nothing,
    "Identity": _nothing,
    "LeakyReLU": lambda layer: iter([(Kind.RELU, float(layer.negative_slope))]),
    "Normalization": _normalization,
    "ReLU": _relu,
    "Softmax": _softmax,
}
