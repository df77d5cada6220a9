"""Modules of PyTorch, in memory or of TorchScript: an example says what they take.

Rules of this room:
1. A module of the user's is never changed, neither its mode nor its device.
2. Numbers in lists may stand for whole numbers: they do where the module does not take others.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from demijohn.errors import ConfigurationError, LoadError
from demijohn.messages import Array
from demijohn.signature import TensorSpec

from .examples import read_example
from .graph import GraphRuntime
from .graph_inputs import GraphInput
from .torch_graph import TorchGraph, device_of, dtype_of


def wrap_module(
    torch: Any, module: Any, example: object, concurrency: int | None, device: str | None
) -> GraphRuntime:
    """Adapt a module; see ``runtimes.torch.wrap``."""
    is_script = isinstance(module, torch.jit.ScriptModule)
    if any(part.training for part in module.modules()):
        raise LoadError(
            f"This {_name_of(module)} is in training mode, in which dropout and batch norm answer by chance:"
            " call .eval() on it before it is saved or added"
        )
    where = _place_of(torch, module, device, moves=is_script)
    names = _arguments_of(module)
    runtimes = []
    for inputs, rows in _readings(torch, module, names, example):
        graph = TorchGraph(torch, _caller(module, names), inputs, where)
        runtimes.append(GraphRuntime(graph, rows, concurrency))
        if runtimes[-1].signature.outputs:
            break
    runtime = runtimes[-1]
    if example is not None and not runtime.signature.outputs:
        raise ConfigurationError(f"This {_name_of(module)} does not take the example: {runtime.trouble}")
    if example is None:
        runtime.warnings += ("it does not say what it takes; an example would",)
    return runtime


def _name_of(module: Any) -> str:
    return str(getattr(module, "original_name", type(module).__name__))


def _place_of(torch: Any, module: Any, wanted: str | None, *, moves: bool) -> Any:
    """Return where a module is; one that was loaded from a file is put where it is wanted.

    Raises:
        ConfigurationError: a module of the user's is elsewhere.
    """
    if moves:
        where = device_of(torch, wanted)
        module.to(where)
        return where
    first = next(iter([*module.parameters(), *module.buffers()]), None)
    where = torch.device("cpu") if first is None else first.device
    if wanted is not None and torch.device(wanted) != where:
        raise ConfigurationError(
            f"This {_name_of(module)} is on {where}: move it to {wanted} before it is added"
        )
    return where


def _arguments_of(module: Any) -> list[str] | None:
    """Return the names of what a module is called with; None where it takes any number."""
    schema = getattr(module.forward, "schema", None)
    if schema is not None:
        return [one.name for one in schema.arguments[1:] if not one.has_default_value()]
    parameters = list(inspect.signature(module.forward).parameters.values())
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return None
    return [one.name for one in parameters if one.kind is not one.VAR_KEYWORD]


def _caller(module: Any, names: list[str] | None) -> Callable[[dict[str, Any]], Any]:
    if names is None:
        return lambda tensors: module(*tensors.values())
    return lambda tensors: module(**tensors)


Reading = tuple[list[GraphInput], object]  #: What a module takes, and an example of it.


def _readings(torch: Any, module: Any, names: list[str] | None, example: object) -> Iterator[Reading]:
    """Yield what an example may mean: numbers in lists may be whole ones or not.

    Raises:
        LoadError: there is no example where one is needed.
    """
    real = next((one.dtype for one in module.parameters() if one.is_floating_point()), torch.float32)
    real_name = dtype_of("", real)
    arrays = _arrays_of(torch, names, example)
    if arrays is not None:
        inputs = [GraphInput(name, dtype_of(name, a.dtype), (-1, *a.shape[1:])) for name, a in arrays.items()]
        yield inputs, arrays if len(arrays) > 1 else next(iter(arrays.values()))
        return
    if example is None:
        name = _only_argument(module, names)
        yield from (([GraphInput(name, real_name, (-1, width))], None) for width in _widths_of(module))
        yield [GraphInput(name, real_name, (-1, -1))], None
        return
    specs = _specs_of(names, example)
    for dtype in (real_name, "int64") if _is_whole(example) else (real_name,):
        dtypes = [dtype if one.dtype == "float64" else one.dtype for one in specs]
        yield [GraphInput(one.name, of, one.shape) for one, of in zip(specs, dtypes, strict=True)], example


def _is_whole(example: Any) -> bool:
    """Say whether all numbers of an example are written as whole ones."""
    if isinstance(example, Mapping):
        example = list(example.values())
    if isinstance(example, (list, tuple)):
        return all(map(_is_whole, example))
    return isinstance(example, int) and not isinstance(example, bool)


def _arrays_of(torch: Any, names: list[str] | None, example: object) -> dict[str, Array] | None:
    """Return an example that is one tensor, or a tuple or dict of them, as named arrays; else None."""
    kinds = (torch.Tensor, np.ndarray)
    if isinstance(example, kinds):
        example = (example,)
    if isinstance(example, tuple) and example and all(isinstance(one, kinds) for one in example):
        known = names or [f"input_{index}" for index in range(len(example))]
        example = dict(zip(known, example, strict=False))
    if isinstance(example, Mapping) and example and all(isinstance(one, kinds) for one in example.values()):
        return {
            str(name): one.detach().cpu().numpy() if isinstance(one, torch.Tensor) else one
            for name, one in example.items()
        }
    return None


def _only_argument(module: Any, names: list[str] | None) -> str:
    """Return the name of the one thing that a module takes.

    Raises:
        LoadError: it takes several.
    """
    known = names or ["input_0"]
    if len(known) > 1:
        raise LoadError(
            f"This {_name_of(module)} takes {', '.join(known)}, and does not say what these are:"
            " give an example"
        )
    return known[0]


def _widths_of(module: Any) -> Iterator[int]:
    """Yield how wide a row is, where a module begins with a linear layer."""
    layers = (part for part in module.modules() if any(True for _ in part.parameters(recurse=False)))
    first = next(layers, None)
    if first is not None and _name_of(first) == "Linear":
        yield int(first.weight.shape[1])


def _specs_of(names: list[str] | None, example: object) -> Sequence[TensorSpec]:
    """Return what an example of rows or records shows."""
    given = read_example(example)
    if given is None:
        raise LoadError("There is no example")
    known = names or ["input_0"]
    specs = given.signature.inputs
    if {spec.name for spec in specs} <= set(known):
        return specs
    if given.signature.layout == "table":
        return [TensorSpec(known[0], "float64", (-1, len(specs)))]
    if len(specs) > 1:
        raise ConfigurationError(
            f"The example has {', '.join(s.name for s in specs)}; it takes {', '.join(known)}"
        )
    return [replace(specs[0], name=known[0])]
