"""What a Keras model takes and returns, under the names that the model itself uses.

Rules of this room:
1. An input is called as in the dict that the model takes, else as its Input layer; so with outputs. One
   output alone goes by the method's name.
2. Dtypes and shapes are the model's own; an example only gives columns names, or stands in where the
   model says nothing (a subclass of Model).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np

from demijohn.errors import LoadError, ModelError
from demijohn.messages import Array, Tensors
from demijohn.signature import Layout, Signature, TensorSpec

from .examples import Example
from .row_chunks import RowLimits

MOST_ROWS = 32  #: Rows of a call, as ``model.predict`` has them: another number may round another way.
_OPEN_LENGTH = 8  # of a dimension that the model leaves open, in a made-up example
_TOKENS = 8  # so many different ones, in a made-up example


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of a model's inputs."""

    signature: Signature
    #: From arrays in the signature's order to what the model is called with.
    pack: Callable[[Sequence[Array]], Any]
    limits: RowLimits
    dtypes: tuple[str, ...]  #: Of the arrays, in their order; numpy's names, or "str".
    #: Of an input whose cells are tokens, how many the model knows.
    n_tokens: Mapping[str, int]


def read_inputs(keras: ModuleType, model: Any, example: Example | None) -> Reading:
    """Read a model's inputs, completed by an example.

    Raises:
        LoadError: the model says nothing and there is no example, or it takes what no array holds.
        ConfigurationError: the example does not fit.
    """
    graph = _graph(model)
    if graph is None:
        return _of_example(model, example)
    struct = graph._inputs_struct
    named = _named(keras, struct, lambda tensor: str(tensor._keras_history.operation.name))
    specs = tuple(_spec(model, name, tensor) for name, tensor in named)
    layout: Layout = "tensors" if len(specs) > 1 else "matrix" if len(specs[0].shape) > 1 else "vector"
    known = Signature(layout, specs)
    return Reading(
        signature=known if example is None else _completed(known, example),
        pack=lambda arrays: keras.tree.pack_sequence_as(struct, list(arrays)),
        limits=_limits(model, [tensor for _, tensor in named]),
        dtypes=tuple(spec.dtype for spec in specs),
        n_tokens=_count_tokens(model, {id(tensor): name for name, tensor in named}),
    )


def output_names(keras: ModuleType, model: Any, method: str) -> list[tuple[str, tuple[int, ...]]] | None:
    """Return the model's outputs in order: names and shapes; None where it does not say."""
    graph = _graph(model)
    if graph is None:
        return None
    struct = graph._outputs_struct
    named = _named(keras, struct, lambda tensor: str(tensor._keras_history.operation.name))
    if hasattr(struct, "_keras_history"):
        named = [(method, struct)]
    return [(name, tuple(-1 if size is None else size for size in tensor.shape)) for name, tensor in named]


def name_outputs(keras: ModuleType, names: Sequence[str] | None, method: str, result: Any) -> Tensors:
    """Name what the model returned.

    Raises:
        ModelError: it returned what is no array, such as ragged tensors.
    """
    if names is None:
        named = _named(keras, result, lambda _: "output")
        names = [method] if hasattr(result, "shape") else [name for name, _ in named]
    parts = keras.tree.flatten(result)
    if not all(isinstance(part, np.ndarray) for part in parts):
        raise ModelError("The model returned ragged or sparse tensors, which are not served")
    return {name: _plain(part) for name, part in zip(names, parts, strict=True)}


def example_rows(reading: Reading) -> list[Any]:
    """Make one row that fits: zeros, tokens that the model knows, a text."""
    signature = reading.signature
    cells = [_cells(spec, reading.n_tokens.get(spec.name)) for spec in signature.inputs]
    if signature.layout == "tensors":
        return [{spec.name: row for spec, row in zip(signature.inputs, cells, strict=True)}]
    return cells


def all_layers(model: Any) -> list[Any]:
    """Return a model's layers and the layers inside them."""
    return [layer for layer in model._flatten_layers(include_self=False) if hasattr(layer, "get_config")]


def _graph(model: Any) -> Any | None:
    """Return the graph of layers that a model is; None for one whose ``call`` is written by hand."""
    graph = getattr(model, "_functional", None) or model
    return graph if hasattr(graph, "_inputs_struct") and hasattr(graph, "_outputs_struct") else None


def _named(keras: ModuleType, struct: Any, name_of: Callable[[Any], str]) -> list[tuple[str, Any]]:
    """Give each tensor of a structure a name of its own: its key, else what ``name_of`` says."""
    named: dict[str, Any] = {}
    for path, tensor in keras.tree.flatten_with_path(struct):
        name = path[-1] if path and isinstance(path[-1], str) else name_of(tensor)
        while name in named:
            name = f"{name}_{len(named)}"
        named[name] = tensor
    return list(named.items())


def _spec(model: Any, name: str, tensor: Any) -> TensorSpec:
    if getattr(tensor, "sparse", False) or getattr(tensor, "ragged", False):
        raise LoadError(f"This {type(model).__name__} takes sparse or ragged tensors, which are not served")
    dtype = _DTYPES.get(tensor.dtype, tensor.dtype)
    return TensorSpec(name, dtype, (-1, *(-1 if size is None else int(size) for size in tensor.shape[1:])))


#: numpy has no bfloat16, and JSON's numbers lose nothing on the way through float32.
_DTYPES = {"string": "str", "bfloat16": "float32"}


def _limits(model: Any, tensors: Sequence[Any]) -> RowLimits:
    if any(getattr(layer, "stateful", False) for layer in all_layers(model)):
        raise LoadError(
            "This model keeps state from call to call (stateful=True), so an answer would depend on who"
            " asked before; build it with stateful=False"
        )
    fixed = next((tensor.shape[0] for tensor in tensors if tensor.shape[0] is not None), None)
    return RowLimits(1, MOST_ROWS) if fixed is None else RowLimits(fixed, fixed)


def _completed(known: Signature, example: Example) -> Signature:
    completed = example.complete(known)
    if completed.layout != "table":
        return known
    dtype = known.inputs[0].dtype
    return Signature("table", tuple(replace(spec, dtype=dtype, nullable=False, categories=None)
                                    for spec in completed.inputs))  # fmt: skip


def _of_example(model: Any, example: Example | None) -> Reading:
    if example is None:
        raise LoadError(
            f"{type(model).__name__} does not say what it takes, as a functional model does; give an example"
        )
    # A Keras model calculates in float32, whatever the example is.
    specs = tuple(
        replace(spec, dtype="float32") if spec.dtype == "float64" else spec
        for spec in example.signature.inputs
    )
    is_several = example.signature.layout == "tensors"
    names = [spec.name for spec in specs]
    return Reading(
        signature=replace(example.signature, inputs=specs),
        pack=lambda arrays: dict(zip(names, arrays, strict=True)) if is_several else arrays[0],
        limits=_limits(model, ()),
        dtypes=tuple(spec.dtype for spec in specs) if is_several else (specs[0].dtype,),
        n_tokens={},
    )


def _count_tokens(model: Any, inputs: Mapping[int, str]) -> dict[str, int]:
    """Find the inputs that go straight into an Embedding, and how many tokens it knows."""
    found: dict[str, int] = {}
    for layer in all_layers(model):
        if type(layer).__name__ != "Embedding":
            continue
        for node in layer._inbound_nodes:
            for tensor in node.input_tensors:
                if id(tensor) in inputs:
                    name = inputs[id(tensor)]
                    found[name] = min(layer.input_dim, found.get(name, layer.input_dim))
    return found


def _cells(spec: TensorSpec, n_tokens: int | None) -> Any:
    """Make one row of an input, as JSON writes it."""
    sizes = [_OPEN_LENGTH if size < 0 else size for size in spec.shape[1:]]
    if spec.dtype == "str":
        row = np.full(sizes, "a text", dtype=object)
    elif n_tokens is not None:
        # Rows that are drawn around it go half as far again.
        top = max(1, min(_TOKENS, int((n_tokens - 1) / 1.5)))
        row = (np.arange(math.prod(sizes)) % top + (n_tokens > 1)).reshape(sizes).astype(spec.dtype)
    else:
        row = np.zeros(sizes, dtype=spec.dtype)
    return row.tolist()


def _plain(array: Array) -> Array:
    """Return an output in a dtype that every protocol knows: texts as str, bfloat16 as float32."""
    if array.dtype.kind in "OS":
        texts = np.empty(array.size, dtype=object)
        texts[:] = [
            cell.decode("utf-8", "replace") if isinstance(cell, bytes) else cell for cell in array.flat
        ]
        return texts.reshape(array.shape)
    return array if array.dtype.kind in "biufc" else array.astype(np.float32)
