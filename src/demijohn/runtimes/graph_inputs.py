"""What a graph takes, as its file declares it, and how tensors that fit a signature become that.

Rules of this room:
1. Axis 0 of every input is the row. One whose axis 0 has a fixed size takes so many rows at a time;
   one without axes takes one row's value at a time.
2. Several inputs that are columns, ``(n_rows,)`` or ``(n_rows, 1)``, are a table; other several are
   tensors by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from demijohn.errors import ConfigurationError, LoadError, SignatureMismatch
from demijohn.messages import Array, Tensors
from demijohn.signature import Signature, TensorSpec

from .examples import Example, as_inputs
from .row_chunks import ANY_ROWS, ONE_BY_ONE, RowLimits


@dataclass(frozen=True, slots=True)
class GraphInput:
    """One input of a graph."""

    name: str
    dtype: str  #: As in ``TensorSpec``.
    shape: tuple[int, ...]  #: As declared, axis 0 included; -1: any size.

    @property
    def spec(self) -> TensorSpec:
        """Return what it is in a signature."""
        return TensorSpec(self.name, self.dtype, (-1, *self.shape[1:]))

    @property
    def is_column(self) -> bool:
        """Say whether it takes one value per row."""
        return len(self.shape) <= 1 or self.shape[1:] == (1,)


def limits_of(inputs: Sequence[GraphInput]) -> RowLimits:
    """Return how many rows a graph takes at a time.

    Raises:
        LoadError: its inputs say different things.
    """
    sizes = {one.shape[0] if one.shape else 1 for one in inputs} - {-1}
    if len(sizes) > 1:
        told = ", ".join(f"{one.name} {list(one.shape)}" for one in inputs)
        raise LoadError(f"Its inputs take different numbers of rows at a time, so none is a row's: {told}")
    if not sizes:
        return ANY_ROWS
    (size,) = sizes
    if size == 0:
        raise LoadError("It takes no rows: axis 0 of its inputs has the size 0")
    return ONE_BY_ONE if size == 1 else RowLimits(size, size)


def signature_of(inputs: Sequence[GraphInput]) -> Signature:
    """Return what a graph accepts.

    Raises:
        LoadError: it takes nothing.
    """
    if not inputs:
        raise LoadError("It has no inputs, so there is nothing to predict from")
    if len(inputs) > 1 and all(one.is_column for one in inputs):
        return Signature("table", tuple(replace(one.spec, shape=(-1,)) for one in inputs))
    if len(inputs) > 1:
        return Signature("tensors", tuple(one.spec for one in inputs))
    spec = inputs[0].spec
    return Signature("vector" if len(spec.shape) == 1 else "matrix", (spec,))


def complete(known: Signature, example: Example) -> Signature:
    """Return what a graph accepts, completed by an example: column names, and what may be missing.

    Raises:
        ConfigurationError: the example does not fit.
    """
    names_columns = example.signature.layout == "table" and known.layout == "matrix"
    if names_columns and len(known.inputs[0].shape) == 2:
        spec, given = known.inputs[0], example.signature.inputs
        if spec.shape[1] not in {-1, len(given)}:
            raise ConfigurationError(
                f"The example has {len(given)} columns, and the model takes {spec.shape[1]}"
            )
        columns = tuple(TensorSpec(one.name, spec.dtype, nullable=one.nullable) for one in given)
        return Signature("table", columns)
    given_by_name = {spec.name: spec.nullable for spec in example.signature.inputs}
    is_alone = len(known.inputs) == len(given_by_name) == 1
    inputs = tuple(
        replace(
            spec, nullable=any(given_by_name.values()) if is_alone else given_by_name.get(spec.name, False)
        )
        for spec in known.inputs
    )
    return Signature(known.layout, inputs)


def example_tensors(signature: Signature, rows: Sequence[Any]) -> Tensors:
    """Return an example's rows as tensors that fit.

    Raises:
        ConfigurationError: they do not.
    """
    try:
        return signature.validate(as_inputs(rows))
    except SignatureMismatch as error:
        raise ConfigurationError(f"The example does not fit the model: {error.detail}") from error


def made_up_row(signature: Signature, size: int) -> Any:
    """Return one row of zeros, ``size`` long wherever any size will do."""
    cells = {
        spec.name: _zeros(spec, [size if n < 0 else n for n in spec.shape[1:]]) for spec in signature.inputs
    }
    return cells if signature.layout in {"table", "tensors"} else next(iter(cells.values()))


_ZEROS = {"b": False, "f": 0.0, "i": 0, "u": 0}


def _zeros(spec: TensorSpec, sizes: list[int]) -> Any:
    zero: Any = "a text" if spec.dtype == "str" else _ZEROS[np.dtype(spec.dtype).kind]
    for size in reversed(sizes):
        zero = [zero] * size
    return zero


class Feeder:
    """Turns tensors that fit a signature into what the graph takes.

    Args:
        inputs: Of the graph.
        signature: Of the model: that of the inputs, completed.
    """

    def __init__(self, inputs: Sequence[GraphInput], signature: Signature) -> None:
        self._names = [one.name for one in inputs]
        self._is_stacked = signature.layout == "table" and len(inputs) == 1
        self._is_upright = signature.layout == "table" and not self._is_stacked
        self._upright = {one.name for one in inputs if self._is_upright and len(one.shape) == 2}
        self._scalars = {one.name for one in inputs if not one.shape}
        self._is_plain = not (self._is_stacked or self._upright or self._scalars)

    def __call__(self, tensors: Tensors) -> Tensors:
        """Return one array per input of the graph."""
        if self._is_plain:
            return tensors
        if self._is_stacked:
            return {self._names[0]: _stack(list(tensors.values()))}
        return {name: self._feed(name, tensors[name]) for name in self._names}

    def _feed(self, name: str, array: Array) -> Array:
        if name in self._scalars:
            return array.reshape(())
        return array.reshape(-1, 1) if name in self._upright else array


def _stack(columns: Sequence[Array]) -> Array:
    return np.stack(columns, axis=1)
