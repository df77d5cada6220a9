"""How the outputs of one model become the inputs of the next.

Rules of this room:
1. Named outputs go to inputs of the same names. One matrix goes to a table column by column, a table's
   columns to a matrix side by side, and where there is one of each, it goes there whatever its name.
2. Numbers become floats, whole numbers stay whole, and nothing else changes its kind: what a request
   could not send, a model cannot hand on either.
3. Numbers that the input's dtype holds are handed on without a look at each but for missing ones; all else
   is cast as what a request brings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from demijohn.array_casting import cast_array, narrow
from demijohn.casting import Caster, Problems
from demijohn.errors import ConfigurationError, ModelError, ModelRefused, SignatureMismatch
from demijohn.messages import Array, Tensors, count_rows
from demijohn.signature import Signature, TensorSpec

#: Kinds of dtypes that an input takes, by its own; "O" is any scalar, and is looked at cell by cell.
_TAKES = {"f": "fiuO", "i": "iuO", "u": "iuO", "b": "bO", "M": "MO", "U": "UO", "O": "fiubMUO"}
_MATRIX = 2  # dimensions of a matrix
_SMALL = 256  # numbers; above, BLAS may start threads for a sum of squares


class Misfit(Exception):
    """Outputs do not fit inputs; the text says which, and why."""


@dataclass(frozen=True, slots=True)
class _Way:
    """Where one input comes from."""

    spec: TensorSpec
    take: Callable[[Tensors], Array] | None  #: None: the input is optional, and nothing comes.
    is_cast: bool  #: It is made by numpy; else it is read cell by cell.

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the input's dtype, where it is made by numpy."""
        return np.dtype(self.spec.dtype)


class Handover:
    """Hands the outputs of one model on to the next.

    Args:
        giver: Name of the model that gives.
        taker: Name of the model that takes.
        signature: Of the taker.
    """

    def __init__(self, giver: str, taker: str, signature: Signature) -> None:
        self._giver = giver
        self._taker = taker
        self._signature = signature
        self._known: dict[tuple[Any, ...], list[_Way]] = {}

    def check(self, outputs: Sequence[TensorSpec]) -> None:
        """Find out whether outputs fit, by what is known of them.

        Raises:
            ConfigurationError: they do not.
        """
        try:
            _find_ways(outputs, self._signature)
        except Misfit as misfit:
            raise ConfigurationError(
                f"what {self._giver!r} returns does not fit {self._taker!r}: {misfit}"
            ) from misfit

    def __call__(self, outputs: Tensors) -> Tensors:
        """Return the next model's tensors; they may share memory with ``outputs``.

        Raises:
            ModelError: outputs of these names, dtypes or shapes do not fit.
            ModelRefused: one of the values does not.
        """
        layout = tuple([(name, array.dtype, array.shape[1:]) for name, array in outputs.items()])
        ways = self._known.get(layout)
        if ways is None:
            ways = self._known[layout] = self._ways_of(outputs)
        try:
            return {way.spec.name: _bring(way, outputs) for way in ways}
        except SignatureMismatch as error:
            raise ModelRefused(
                f"{self._taker!r} does not take what {self._giver!r} made of these rows: {error.detail}"
            ) from error

    def _ways_of(self, outputs: Tensors) -> list[_Way]:
        specs = [_spec_of(name, array) for name, array in outputs.items()]
        try:
            return _find_ways(specs, self._signature)
        except Misfit as misfit:
            raise ModelError(
                f"what {self._giver!r} returned does not fit {self._taker!r}: {misfit}"
            ) from misfit


def _spec_of(name: str, array: Array) -> TensorSpec:
    dtype = {"U": "str", "S": "str", "O": "object", "M": "datetime64[ns]"}.get(array.dtype.kind)
    return TensorSpec(name, dtype or array.dtype.name, (-1, *array.shape[1:]))


# Which output goes to which input -------------------------------------------------------------


def _find_ways(outputs: Sequence[TensorSpec], signature: Signature) -> list[_Way]:
    inputs = signature.inputs
    names = {spec.name for spec in inputs}
    if any(spec.name in names for spec in outputs) or (len(outputs) > 1 and _are_named(signature)):
        return _by_name(outputs, inputs)
    if len(outputs) > 1:
        return [_side_by_side(outputs, inputs[0])]
    (output,) = outputs
    needed = [spec for spec in inputs if not spec.is_optional] or list(inputs)[:1]
    if len(needed) == 1 and (len(inputs) == 1 or len(output.shape) < _MATRIX):
        return [_only(output, spec) if spec is needed[0] else _absent(spec) for spec in inputs]
    return _column_by_column(output, inputs)


def _are_named(signature: Signature) -> bool:
    return len(signature.inputs) > 1 or signature.layout == "table"


def _by_name(outputs: Sequence[TensorSpec], inputs: Sequence[TensorSpec]) -> list[_Way]:
    given = {spec.name: spec for spec in outputs}
    unknown = [repr(name) for name in given if name not in {spec.name for spec in inputs}]
    missing = [repr(spec.name) for spec in inputs if spec.name not in given and not spec.is_optional]
    if unknown or missing:
        told = [f"there is no input {', '.join(unknown)}"] if unknown else []
        told += [f"no output is called {', '.join(missing)}"] if missing else []
        raise Misfit("; ".join(told))
    return [_only(given[spec.name], spec) if spec.name in given else _absent(spec) for spec in inputs]


def _only(output: TensorSpec, spec: TensorSpec) -> _Way:
    """Bring one output to one input."""
    is_cast = _check_dtype(output, spec)
    given, wanted = output.shape[1:], spec.shape[1:]
    if _is_same_shape(given, wanted):
        return _Way(spec, partial(_whole, output.name), is_cast)
    if given == () and _is_same_shape((1,), wanted):
        return _Way(spec, partial(_as_matrix, output.name), is_cast)
    if given == (1,) and wanted == ():
        return _Way(spec, partial(_column, output.name, 0), is_cast)
    raise Misfit(
        f"a row of output {output.name!r} has the shape {_shown(given)},"
        f" and one of input {spec.name!r} has {_shown(wanted)}"
    )


def _absent(spec: TensorSpec) -> _Way:
    return _Way(spec, None, is_cast=False)


def _column_by_column(output: TensorSpec, inputs: Sequence[TensorSpec]) -> list[_Way]:
    """Bring the columns of a matrix to a table's, in their order."""
    if len(output.shape) != _MATRIX or any(spec.shape[1:] for spec in inputs):
        raise Misfit(
            f"a row of output {output.name!r} has the shape {_shown(output.shape[1:])}, and there are"
            f" {len(inputs)} inputs: {_listed(inputs)}"
        )
    width = output.shape[1]
    if width not in (-1, len(inputs)):
        raise Misfit(f"output {output.name!r} has {width} columns, and there are {len(inputs)} inputs:"
                     f" {_listed(inputs)}")  # fmt: skip
    return [
        _Way(spec, partial(_column, output.name, index), _check_dtype(output, spec))
        for index, spec in enumerate(inputs)
    ]


def _side_by_side(outputs: Sequence[TensorSpec], spec: TensorSpec) -> _Way:
    """Bring columns to a matrix, in their order."""
    width = spec.shape[1] if len(spec.shape) == _MATRIX else 1
    if width not in (-1, len(outputs)) or any(output.shape[1:] for output in outputs):
        raise Misfit(
            f"there are {len(outputs)} outputs, {_listed(outputs)}, and a row of input {spec.name!r}"
            f" has the shape {_shown(spec.shape[1:])}"
        )
    casts = [_check_dtype(output, spec) for output in outputs]
    return _Way(spec, partial(_joined, [output.name for output in outputs]), is_cast=all(casts))


def _check_dtype(output: TensorSpec, spec: TensorSpec) -> bool:
    """Refuse an output of another kind than the input's; says whether numpy can make one of the other."""
    given, wanted = _kind(output.dtype), _kind(spec.dtype)
    if given not in _TAKES[wanted]:
        raise Misfit(f"output {output.name!r} is {output.dtype}, and input {spec.name!r} takes {spec.dtype}")
    if spec.is_closed or "O" in (given, wanted) or wanted == "U":
        if len(output.shape) > _MATRIX:
            raise Misfit(f"output {output.name!r} has rows of several dimensions that are no plain numbers")
        return False
    return wanted == "f" or np.can_cast(output.dtype, spec.dtype, "safe")


def _kind(dtype: str) -> str:
    return {"str": "U", "object": "O"}.get(dtype) or np.dtype(dtype).kind


def _is_same_shape(given: Sequence[int], wanted: Sequence[int]) -> bool:
    return len(given) == len(wanted) and all(
        a == b or -1 in (a, b) for a, b in zip(given, wanted, strict=True)
    )


def _shown(shape: Sequence[int]) -> str:
    sizes = ", ".join("any" if size < 0 else str(size) for size in shape)
    return f"({sizes}{',' if len(shape) == 1 else ''})"


def _listed(specs: Sequence[TensorSpec]) -> str:
    names = [repr(spec.name) for spec in specs[:8]]
    return ", ".join(names + ["…"] * (len(specs) > len(names)))


# The values ---------------------------------------------------------------------------------


def _whole(name: str, outputs: Tensors) -> Array:
    return outputs[name]


def _as_matrix(name: str, outputs: Tensors) -> Array:
    return outputs[name].reshape(-1, 1)


def _column(name: str, index: int, outputs: Tensors) -> Array:
    return outputs[name][:, index]


def _joined(names: Sequence[str], outputs: Tensors) -> Array:
    return np.column_stack([outputs[name] for name in names])


def _bring(way: _Way, outputs: Tensors) -> Array:
    spec = way.spec
    if way.take is None:
        return _read(np.full(count_rows(outputs), None, dtype=object), spec)
    values = way.take(outputs)
    if not way.is_cast:
        return _read(values, spec)
    array = _numbers(values, way.dtype)
    if array is None:
        return _cast(values, spec)
    if not spec.nullable and _has_missing(array):
        return _cast(array, spec)  # which says where
    return array


def _numbers(values: Array, dtype: np.dtype[Any]) -> Array | None:
    """Return values as another dtype that holds them all; None: each has to be looked at."""
    # Of instants numpy says that it holds them, and wraps some.
    if values.dtype == dtype or (dtype.kind != "M" and np.can_cast(values.dtype, dtype)):
        return np.ascontiguousarray(values, dtype=dtype)
    return narrow(values, dtype) if values.dtype.kind == "f" else None


def _has_missing(array: Array) -> bool:
    if array.dtype.kind == "f" and array.size <= _SMALL:
        squares = np.vdot(array, array)  # of an infinity it is one; it is NaN for NaN alone
        return bool(squares != squares)
    is_missing = {"f": np.isnan, "M": np.isnat}.get(array.dtype.kind)
    return is_missing is not None and bool(is_missing(array).any())


def _cast(values: Array, spec: TensorSpec) -> Array:
    """Cast an array as one of a request."""
    problems = Problems()
    name = None if values.ndim > 1 else spec.name
    array = cast_array(values, spec, Caster(spec), name, problems)
    problems.raise_if_any()
    return array


def _read(values: Array, spec: TensorSpec) -> Array:
    """Read values cell by cell, as those of a request."""
    cells = values.astype("datetime64[us]") if values.dtype.kind == "M" else values
    rows = [_without_nan(row) for row in cells.tolist()]
    caster, problems = Caster(spec), Problems()
    array = caster.matrix(rows, problems) if values.ndim > 1 else caster.column(rows, spec.name, problems)
    problems.raise_if_any()
    return array


def _without_nan(value: Any) -> Any:
    """Write what is missing as None; Python's tables have NaN, NaT or NA for it."""
    if isinstance(value, list):
        return [_without_nan(cell) for cell in value]
    is_missing = (isinstance(value, float) and value != value) or type(value).__name__ in (
        "NAType",
        "NaTType",
    )
    if is_missing:
        return None
    return value.item() if isinstance(value, np.generic) else value
