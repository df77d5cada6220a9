"""Reading what a function takes from its parameters and type hints.

Rules of this room:
1. Scalar hints make one column per parameter; a default makes the column optional.
2. One parameter hinted as an array or a DataFrame gets all rows at once.
3. A hint that no column can have is refused where the function is added, not at its first request.
"""

from __future__ import annotations

import datetime
import enum
import functools
import inspect
import types
import typing
from collections import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from demijohn.errors import ConfigurationError
from demijohn.messages import Array
from demijohn.signature import Signature, TensorSpec

from .examples import Example

_NO_DEFAULT = inspect.Parameter.empty
_DTYPES = {
    str: "str",
    int: "int64",
    float: "float64",
    bool: "bool",
    datetime.datetime: "datetime64[ns]",
    datetime.date: "datetime64[ns]",
    object: "object",
    Any: "object",
}
_EXAMPLE_CELLS = {
    "str": "a text", "int64": 0, "float64": 0.0, "bool": False, "datetime64[ns]": "2000-01-01T00:00:00",
}  # fmt: skip

_ITERATORS = (abc.Iterator, abc.Generator)
_ASYNC_ITERATORS = (abc.AsyncIterator, abc.AsyncGenerator)

#: What a function of all rows takes, as far as its hints say.
ALL_ROWS = TensorSpec("inputs", "float64", (-1, -1), nullable=True)


class ArgumentKind(enum.Enum):
    """How a function gets its rows."""

    SCALARS = "one call per row"
    ARRAY = "one array of all rows"
    FRAME = "one DataFrame of all rows"


@dataclass(frozen=True, slots=True)
class Argument:
    """One parameter of a function."""

    spec: TensorSpec
    hint: Any
    default: Any
    is_positional: bool  #: It cannot be given by name.

    def values(self, column: Array) -> list[Any]:
        """Return a column's cells as the Python values that the hint promises."""
        if column.dtype.kind == "M":
            cells = column.astype("datetime64[us]").tolist()
            if self.hint is datetime.date:
                cells = [None if cell is None else cell.date() for cell in cells]
        else:
            cells = [None if cell != cell else cell for cell in column.tolist()]
        missing = None if self.default is _NO_DEFAULT else self.default
        return [missing if cell is None else cell for cell in cells]


def read_arguments(function: Callable[..., Any]) -> list[Argument]:
    """Read a function's parameters.

    Raises:
        ConfigurationError: it takes none, or one that no column can be.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"The parameters of {function!r} cannot be read: {error}") from error
    hints = _hints(function)
    arguments = [
        _argument(parameter, hints.get(parameter.name, Any))
        for parameter in parameters
        if parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
    ]
    if not arguments:
        raise ConfigurationError(f"{_name(function)} takes no arguments, so there is nothing to send it")
    if len(arguments) > 1 and any(
        is_array(argument.hint) or is_frame(argument.hint) for argument in arguments
    ):
        raise ConfigurationError(
            f"{_name(function)} takes an array beside other arguments; let it take one of all rows"
        )
    return arguments


def argument_kind(arguments: Sequence[Argument], example: Example | None, *, batch: bool) -> ArgumentKind:
    """Say how a function gets its rows.

    Raises:
        ConfigurationError: ``batch=True`` for a function that is called row by row.
    """
    kind = _kind_of(arguments, example, batch=batch)
    if batch and kind is ArgumentKind.SCALARS:
        raise ConfigurationError("batch=True is for functions of one array or DataFrame of all rows")
    if kind is ArgumentKind.FRAME and (example is None or example.signature.layout != "table"):
        raise ConfigurationError(
            "A function of a DataFrame needs example=, a DataFrame that shows its columns"
        )
    return kind


def _kind_of(arguments: Sequence[Argument], example: Example | None, *, batch: bool) -> ArgumentKind:
    first = arguments[0]
    if is_array(first.hint):
        return ArgumentKind.ARRAY
    if is_frame(first.hint):
        return ArgumentKind.FRAME
    if len(arguments) > 1 or first.hint is not Any:
        return ArgumentKind.SCALARS
    if example is None:
        return ArgumentKind.ARRAY if batch else ArgumentKind.SCALARS
    if example.labels is not None:
        return ArgumentKind.FRAME
    return ArgumentKind.ARRAY if example.signature.layout == "matrix" or batch else ArgumentKind.SCALARS


def is_asynchronous(function: Any) -> bool:
    """Say whether calling a function makes something to be awaited."""
    function = _plain_function(function)
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return True
    return _returned(function) in _ASYNC_ITERATORS


def is_streaming(function: Any) -> bool:
    """Say whether a function answers item by item: it is a generator, or its hint says so."""
    function = _plain_function(function)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return True
    return _returned(function) in _ITERATORS + _ASYNC_ITERATORS


def _returned(function: Any) -> Any:
    hint = _hints(function).get("return")
    return typing.get_origin(hint) or hint


def read_promise(function: Any, name: str) -> tuple[TensorSpec, ...]:
    """Return what a function's hint says that it returns, named ``name``; nothing where it says nothing.

    It is no proof: what a function returns is kept as it is.
    """
    hint, is_optional = _without_none(_hints(function).get("return", Any))
    if hint is Any or is_array(hint) or is_frame(hint):
        return ()
    try:
        spec = _column_spec(name, hint)
    except ConfigurationError:  # a dict, a list, ...: no hint says what is in it
        return ()
    return () if spec.dtype == "object" else (replace(spec, nullable=is_optional),)


def is_array(hint: Any) -> bool:
    """Say whether a hint means a numpy array (``npt.NDArray[...]`` too)."""
    return (typing.get_origin(hint) or hint) is np.ndarray


def is_frame(hint: Any) -> bool:
    """Say whether a hint means a pandas DataFrame, without importing pandas."""
    module = getattr(hint, "__module__", "") or ""
    return getattr(hint, "__name__", "") == "DataFrame" and module.partition(".")[0] == "pandas"


def example_row(signature: Signature) -> list[Any]:
    """Make one row that fits."""
    if signature.layout == "table":
        return [{spec.name: _example_cell(spec) for spec in signature.inputs if not spec.is_optional}]
    return [[0.0]]


def _example_cell(spec: TensorSpec) -> Any:
    if spec.categories:
        return spec.categories[0]
    return _EXAMPLE_CELLS.get(spec.dtype, "a text")


def _name(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _plain_function(function: Any) -> Any:
    """Return the function behind a partial or an object that can be called."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if inspect.isroutine(function) else type(function).__call__


def _hints(function: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(_plain_function(function))
    except (NameError, TypeError, AttributeError):
        # A hint imported under TYPE_CHECKING cannot be resolved while running: it says nothing then.
        return {}


def _argument(parameter: inspect.Parameter, hint: Any) -> Argument:
    hint, is_optional = _without_none(hint)
    has_default = parameter.default is not _NO_DEFAULT
    if is_array(hint) or is_frame(hint):
        spec = ALL_ROWS
    else:
        spec = replace(
            _column_spec(parameter.name, hint), nullable=is_optional or has_default, is_optional=has_default
        )
        if spec.dtype == "object":
            spec = replace(spec, nullable=True)
    is_positional = parameter.kind is parameter.POSITIONAL_ONLY
    return Argument(spec, hint, parameter.default, is_positional)


def _without_none(hint: Any) -> tuple[Any, bool]:
    """Take None out of ``T | None``."""
    if typing.get_origin(hint) in {typing.Union, types.UnionType}:
        rest = [member for member in typing.get_args(hint) if member is not type(None)]
        if len(rest) < len(typing.get_args(hint)):
            return (rest[0] if len(rest) == 1 else Any), True
        if set(rest) == {int, float}:
            return float, False
    return hint, False


def _column_spec(name: str, hint: Any) -> TensorSpec:
    if typing.get_origin(hint) is typing.Literal:
        values = typing.get_args(hint)
        dtypes = {_DTYPES.get(type(value), "object") for value in values}
        dtype = dtypes.pop() if len(dtypes) == 1 else "object"
        return TensorSpec(name, dtype, categories=values, is_closed=True)
    if typing.get_origin(hint) in {typing.Union, types.UnionType}:
        return TensorSpec(name, "object")
    try:
        return TensorSpec(name, _DTYPES[hint])
    except (KeyError, TypeError) as error:
        raise ConfigurationError(
            f"The parameter {name!r} is hinted {getattr(hint, '__name__', hint)}, and no column can be that;"
            " use str, int, float, bool, datetime, Literal or Optional of these,"
            " or one numpy array or pandas DataFrame of all rows"
        ) from error
