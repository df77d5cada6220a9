"""Programs of ``torch.export``: they say themselves what they take, and how many rows."""

from __future__ import annotations

import math
from typing import Any

from demijohn.errors import LoadError

from .graph_inputs import GraphInput
from .row_chunks import RowLimits
from .torch_graph import ROUNDED, TorchGraph, device_of, dtype_of

_MOST_ROWS = 2**31  # a larger bound is none
_TRAINING = ("dropout", "bernoulli", "batch_norm")


class ProgramGraph(TorchGraph):
    """A program of ``torch.export``."""

    def __init__(self, torch: Any, program: Any, wanted_device: str | None) -> None:
        device = device_of(torch, wanted_device)
        if device.type != "cpu":
            from torch.export.passes import move_to_device_pass

            program = move_to_device_pass(program, device)
        self.program = program
        inputs, casts, self._constants = _inputs_of(torch, program)
        # Without the checks that PyTorch writes as Python: the signature has made them, and the rest is
        # checked by what each operator takes.
        self._module = program.module(check_guards=False)
        self._unflatten = torch.utils._pytree.tree_unflatten
        self._names = [one.arg.name for one in _user_inputs(program)]
        super().__init__(torch, self._call_program, inputs, device)
        self.casts = casts
        self.limits = _limits_of(program, self.limits)
        if any(map(_trains, program.graph.nodes)):
            self.warnings += ("it was exported in training mode: its answers may be random",)

    def _call_program(self, tensors: dict[str, Any]) -> Any:
        flat = [self._constants[name] if name in self._constants else tensors[name] for name in self._names]
        args, kwargs = self._unflatten(flat, self.program.call_spec.in_spec)
        return self._module(*args, **kwargs)


def _user_inputs(program: Any) -> list[Any]:
    return [one for one in program.graph_signature.input_specs if one.kind.name == "USER_INPUT"]


def _inputs_of(torch: Any, program: Any) -> tuple[list[GraphInput], dict[str, Any], dict[str, Any]]:
    """Return a program's inputs, those that numpy has no dtype for, and those that are constants."""
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    inputs, casts, constants = [], {}, {}
    for one in _user_inputs(program):
        name, value = one.arg.name, values.get(one.arg.name)
        if isinstance(value, torch.Tensor):
            inputs.append(GraphInput(name, dtype_of(name, value.dtype), tuple(map(_size_of, value.shape))))
            if str(value.dtype).removeprefix("torch.") in ROUNDED:
                casts[name] = value.dtype
        elif hasattr(one.arg, "value"):
            constants[name] = one.arg.value
        else:
            raise LoadError(f"Its input {name!r} is a {type(value).__name__}; only tensors can be rows")
    return inputs, casts, constants


def _size_of(size: Any) -> int:
    return size if isinstance(size, int) else -1


def _limits_of(program: Any, limits: RowLimits) -> RowLimits:
    """Return how many rows a program takes, by the ranges of the sizes of axis 0."""
    for node in program.graph.nodes:
        shape: Any = getattr(node.meta.get("val"), "shape", ())
        if node.op != "placeholder" or not len(shape) or isinstance(shape[0], int):
            continue
        found = program.range_constraints.get(shape[0].node.expr)
        if found is not None:
            limits = _within(limits, _whole(found.lower), _whole(found.upper))
    return limits


def _within(limits: RowLimits, least: int | None, most: int | None) -> RowLimits:
    known = [one for one in (limits.most, most) if one is not None]
    return RowLimits(max(limits.least, least or 1), min(known) if known else None)


def _whole(bound: Any) -> int | None:
    """Return a bound as a number; None where it stands for none."""
    try:
        number = float(bound)
    except (TypeError, ValueError, OverflowError):
        return None
    return int(number) if math.isfinite(number) and abs(number) < _MOST_ROWS else None


def _trains(node: Any) -> bool:
    """Say whether a node of a graph does what only training wants."""
    name = str(node.target)
    if node.op != "call_function" or not any(word in name for word in _TRAINING):
        return False
    return name.startswith("aten.bernoulli") or True in node.args or node.kwargs.get("train") is True
