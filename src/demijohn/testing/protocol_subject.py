"""A protocol on trial, and the client's side of its dialect that it is tried with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from demijohn.config import Settings
from demijohn.errors import ConfigurationError
from demijohn.messages import (
    Array,
    Columns,
    Encoded,
    InferenceRequest,
    InferenceResponse,
    Inputs,
    Matrix,
    NamedTensors,
    Records,
    Rows,
    Tensors,
    as_written,
)
from demijohn.protocols import InferenceProtocol

METHOD = "predict"
DTYPES = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32",
    "float64", "str",
)  # fmt: skip
SHAPES: Sequence[tuple[int, ...]] = ((1,), (3,), (1, 1), (2, 3), (2, 1, 3), (0, 2))
_TEXTS = ("", "a", "é", "𝔘", "a b", '"quoted"', "\\", "\n", "NaN", "null", "1")
_SEEDS: Sequence[Tensors] = (
    {"x": np.array([[1.5, -2.0], [0.25, 4.0]])},
    {"a": np.array([1.5, -2.0]), "b": np.array(["x", "é"], dtype=object)},
)


class Sent(NamedTuple):
    """A request as a client sends it."""

    body: bytes
    environ: Mapping[str, Any]  #: Its head in WSGI's names: CONTENT_TYPE, PATH_INFO, HTTP_…


class DialectClient(Protocol):
    """The client's side of a dialect, written from its specification: what ``check_protocol`` asks by."""

    @property
    def is_typed(self) -> bool:
        """Whether dtypes and shapes travel too, and not values alone."""

    def write(self, tensors: Tensors) -> Sent | None:
        """Write a request for a prediction; None where the dialect has no form for such tensors.

        Args:
            tensors: One or more, of equally many rows; texts are str in arrays of objects.
        """

    def read(self, answer: Encoded) -> Tensors | None:
        """Read an answer; None where it is in a form that this client does not read.

        An output that the dialect writes without a name may have any.
        """

    def read_error(self, answer: Encoded) -> str:
        """Return an error's text.

        Raises:
            Exception: it is not in the form of the dialect.
        """


class ProtocolSubject:
    """A protocol on trial."""

    def __init__(self, protocol: InferenceProtocol, client: DialectClient) -> None:
        self.protocol = protocol
        self.client = client
        self.settings = Settings()

    def decode(self, sent: Sent, settings: Settings | None = None) -> InferenceRequest:
        """Read a request as a server does: first its head, then its body."""
        head = self.protocol.read_head(sent.environ)
        return self.protocol.decode(sent.body, head, settings or self.settings)

    def samples(self) -> Iterator[tuple[str, Tensors, Sent]]:
        """Yield tensors of every dtype and shape that the client has a form for, and their request."""
        for what, tensors in _all_tensors():
            sent = self.client.write(tensors)
            if sent is not None:
                yield what, tensors, sent

    def seeds(self) -> list[Sent]:
        """Return the good requests that bad ones are made of.

        Raises:
            ConfigurationError: the client has a form for none of them.
        """
        written = [self.client.write(tensors) for tensors in _SEEDS]
        if not any(written):
            raise ConfigurationError("the client writes neither a matrix of numbers nor a table")
        return [sent for sent in written if sent is not None]


def response_of(tensors: Tensors) -> InferenceResponse:
    """Return tensors as a model's answer."""
    outputs = dict(tensors)
    if len(outputs) == 1:
        outputs = {METHOD: next(iter(outputs.values()))}
    n_rows = len(next(iter(outputs.values())))
    return InferenceResponse(outputs, "model", "1", METHOD, n_rows)


def _all_tensors() -> Iterator[tuple[str, Tensors]]:
    for dtype in DTYPES:
        for shape in SHAPES:
            yield f"{dtype} of shape {list(shape)}", {"x": _fill(dtype, shape)}
    several = {"a": _fill("float64", (3,)), "b": _fill("str", (3,)), "c": _fill("int64", (3, 2))}
    yield "three tensors", several
    yield "two columns", {"a": several["a"], "b": _fill("bool", (3,))}


def _fill(dtype: str, shape: tuple[int, ...]) -> Array:
    """Return an array of a dtype's most telling values."""
    values: Array
    if dtype == "str":
        values = np.array(_TEXTS, dtype=object)
    elif dtype == "bool":
        values = np.array([True, False])
    elif dtype.startswith("float"):
        real = np.finfo(dtype)
        values = np.array([0.1, real.max, real.min, real.tiny, real.eps, 0.0, -0.5], dtype=dtype)
    else:
        whole = np.iinfo(dtype)
        values = np.array([whole.max, whole.min, 0, 1], dtype=dtype)
    return np.resize(values, shape)


# What was read ----------------------------------------------------------------------------


def tensors_of(inputs: Inputs, names: Sequence[str], *, is_typed: bool) -> Mapping[str, Any]:
    """Return decoded inputs by name, as arrays or as nested lists.

    Args:
        inputs: Not of one body without any names (``RawTensor``, ``ImageBody``).
        names: Of the tensors that were written.
        is_typed: Of a ``Matrix`` its array is wanted, and not what was written for it.
    """
    if isinstance(inputs, Matrix) and inputs.columns is None and is_typed:
        return {names[0]: inputs.numbers}
    inputs = as_written(inputs)
    if isinstance(inputs, NamedTensors):
        return inputs.tensors
    if isinstance(inputs, Records):
        return {name: [record[name] for record in inputs.records] for name in names}
    if isinstance(inputs, Columns):
        return inputs.columns
    if isinstance(inputs, Rows):
        if inputs.columns is None and len(names) == 1:
            return {names[0]: inputs.rows}
        columns = list(inputs.columns or names)
        return {name: [row[columns.index(name)] for row in inputs.rows] for name in names}
    raise TypeError(f"{type(inputs).__name__} has no tensors")


def misread(given: Array, read: Any, *, is_typed: bool) -> str:
    """Say what an array has become that was written and read; "" where it is itself."""
    if is_typed:
        array = np.asarray(read)
        if array.shape != given.shape:
            return f"shape {list(array.shape)}"
        if not np.can_cast(given.dtype, array.dtype):
            return f"dtype {array.dtype}"
        return "" if _plain(array) == _plain(given) else f"{_plain(array)!r}"
    values = _plain(np.asarray(read, dtype=object)) if isinstance(read, np.ndarray) else read
    if values == given.tolist() and _kinds(values) == _kinds(given.tolist()):
        return ""
    return f"{values!r}"


def _plain(array: Array) -> Any:
    return array.tolist()


def _kinds(values: Any) -> Any:
    """Tell booleans and texts from numbers, which Python compares as equal."""
    if isinstance(values, list):
        return set().union(*map(_kinds, values)) if values else set()
    return {type(values) if isinstance(values, (bool, str)) else float}
