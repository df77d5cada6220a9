"""Tensors of the Open Inference Protocol: its datatypes, as JSON and as bytes.

Rules of this room:
1. JSON says what a datatype allows and nothing else: a float is no integer, a bool no number, a number
   no text; null is a missing value. FP16 and BF16 have no JSON form, as KServe has it.
2. A tensor in bytes is viewed, not copied, where it stands aligned in the body.
3. What cannot be read raises ``DecodeError`` and nothing else; no size that a client merely claims is
   ever allocated.

Source: Open Inference Protocol, inference_rest.md; Triton, extension_binary_data.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from math import prod
from typing import Any

import numpy as np

from demijohn.errors import BodyTooLarge, DecodeError, ModelError, NotAcceptable
from demijohn.messages import Array, plain

from . import json_media

Shape = tuple[int, ...]

#: By datatype; what a tensor in bytes is made of. BYTES and BF16 are not numpy's.
_DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
}
_NAMES = {(dtype.kind, dtype.itemsize): name for name, dtype in _DTYPES.items()}
_FLOAT64 = np.dtype(np.float64)
_BF16 = np.dtype("<u2")
_HALVES = ("FP16", "BF16")
_LENGTH_BYTES = 4  # "the byte length ... as a 4-byte little-endian unsigned integer"
_MOST_AXES = 32
_MOST_SIZE = 2**31
#: Types of JSON values, by the kind of the dtype that is to hold them.
_JSON_TYPES: dict[str, frozenset[type]] = {
    "b": frozenset({bool}), "i": frozenset({int}), "u": frozenset({int}), "f": frozenset({int, float}),
}  # fmt: skip
_JSON_NAMES = {"b": "booleans", "i": "integers", "u": "integers", "f": "numbers"}
_MISSING = type(None)

DATATYPES = (*_DTYPES, "BF16", "BYTES")


def datatype_of(dtype: str) -> str:
    """Return the datatype of a ``TensorSpec``'s dtype; what is not a number is BYTES."""
    if dtype in {"str", "object"}:
        return "BYTES"
    known = np.dtype(dtype)
    return _NAMES.get((known.kind, known.itemsize), "BYTES")


def number_dtype(datatype: str) -> np.dtype[Any] | None:
    """Return the dtype of a datatype whose JSON form is numbers; None of any other."""
    return None if datatype in _HALVES or datatype == "BOOL" else _DTYPES.get(datatype)


# Reading ----------------------------------------------------------------------------------


def check_shape(shape: Any, name: str) -> Shape:
    """Return a tensor's shape, as the request gives it."""
    if type(shape) is not list or len(shape) > _MOST_AXES:
        raise DecodeError(f"Input {name!r}: 'shape' must be a list of at most {_MOST_AXES} integers")
    for size in shape:
        if type(size) is not int or not 0 <= size < _MOST_SIZE:
            raise DecodeError(f"Input {name!r}: a size in 'shape' is no integer, negative or too large")
    return tuple(shape)


def read_json(data: Any, datatype: str, shape: Shape, name: str) -> Array:
    """Read a tensor's ``data``.

    Args:
        data: Parsed JSON, nested as ``shape`` says or flat.
        datatype: One of ``DATATYPES``.
        shape: Of the tensor.
        name: Of the tensor, for the errors.

    Returns:
        An array of that datatype; of objects for BYTES (str) and where an integer or bool is missing.

    Raises:
        DecodeError: it is no such tensor.
    """
    if datatype in _HALVES:
        raise DecodeError(f"Input {name!r}: {datatype} has no form in JSON; send it as binary data")
    values = _flatten(data, shape, name)
    types = set(map(type, values))
    if datatype == "BYTES":
        if not types <= {str, _MISSING}:
            raise DecodeError(f"Input {name!r}: the elements of BYTES must be strings")
        return _objects(values, shape, name)
    dtype = _DTYPES[datatype]
    if not types <= _JSON_TYPES[dtype.kind]:
        return _with_missing(values, types, datatype, shape, name)
    return _shaped(_numbers(values, datatype, name), shape, name)


def _flatten(data: Any, shape: Shape, name: str) -> list[Any]:
    # "Tensor elements may be presented in their nature multi-dimensional representation, or as a
    # flattened one-dimensional representation." -- inference_rest.md
    if type(data) is not list:
        raise DecodeError(f"Input {name!r}: 'data' must be a list")
    values: list[Any] = data
    if values and type(values[0]) is list:
        is_nested = len(shape) > 1 and len(values) == shape[0]
        for size in shape[1:]:
            is_nested = is_nested and all(type(part) is list and len(part) == size for part in values)
            if not is_nested:
                raise DecodeError(f"Input {name!r}: 'data' is not nested as its shape {list(shape)} says")
            values = list(chain.from_iterable(values))
            if not values or type(values[0]) is not list:
                break
    if len(values) != prod(shape):
        raise DecodeError(
            f"Input {name!r}: expected {prod(shape)} elements for shape {list(shape)}, received {len(values)}"
        )
    return values


def _numbers(values: Sequence[Any], datatype: str, name: str) -> Array:
    try:
        if datatype == "FP32":
            with np.errstate(over="raise"):
                return np.array(values, dtype=_DTYPES[datatype])
        return np.array(values, dtype=_DTYPES[datatype])
    except (OverflowError, FloatingPointError) as error:
        raise DecodeError(f"Input {name!r}: a number is outside the range of {datatype}") from error


def _with_missing(values: list[Any], types: set[type], datatype: str, shape: Shape, name: str) -> Array:
    """Read values some of which are null, as objects where numpy has no number for that."""
    kind = _DTYPES[datatype].kind
    if not types - {_MISSING} <= _JSON_TYPES[kind]:
        raise DecodeError(f"Input {name!r}: the elements of {datatype} must be {_JSON_NAMES[kind]}")
    numbers = _numbers([value for value in values if value is not None], datatype, name)
    if kind == "f":
        array = np.full(len(values), np.nan, dtype=numbers.dtype)
        array[[value is not None for value in values]] = numbers
        return _shaped(array, shape, name)
    return _objects(values, shape, name)


def _objects(values: Sequence[Any], shape: Shape, name: str) -> Array:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return _shaped(array, shape, name)


def _shaped(array: Array, shape: Shape, name: str) -> Array:
    if array.shape == shape:
        return array
    try:
        return array.reshape(shape)
    except ValueError as error:  # of no elements, but sizes that numpy cannot multiply
        raise DecodeError(f"Input {name!r}: its shape is too large") from error


def read_binary(buffer: memoryview, datatype: str, shape: Shape, name: str, max_elements: int) -> Array:
    """View one tensor in bytes.

    Args:
        buffer: The tensor's own bytes, little-endian, row-major.
        datatype: One of ``DATATYPES``.
        shape: Of the tensor.
        name: Of the tensor, for the errors.
        max_elements: Most elements of BYTES: each costs a Python object.

    Returns:
        A read-only array that keeps ``buffer`` alive; a new one for BYTES, BF16 and what stands
        unaligned.

    Raises:
        DecodeError: the buffer is not of the length that datatype and shape need.
        BodyTooLarge: there are more elements of BYTES than ``max_elements``.
    """
    if datatype == "BYTES":
        return _read_texts(buffer, shape, name, max_elements)
    dtype = _BF16 if datatype == "BF16" else _DTYPES[datatype]
    expected = prod(shape) * dtype.itemsize
    if len(buffer) != expected:
        raise DecodeError(
            f"Input {name!r}: {datatype} of shape {list(shape)} has {expected} bytes, received {len(buffer)}"
        )
    array = np.frombuffer(buffer, dtype=dtype)
    if datatype == "BOOL" and array.size and array.view(np.uint8).max() > 1:
        raise DecodeError(f"Input {name!r}: each byte of BOOL must be 0 or 1")
    if datatype == "BF16":  # the upper half of a float32
        array = (array.astype(np.uint32) << 16).view(np.float32)
    elif not array.flags.aligned:
        array = array.copy()
    return _shaped(array, shape, name)


def _read_texts(buffer: memoryview, shape: Shape, name: str, max_elements: int) -> Array:
    count = prod(shape)
    if count * _LENGTH_BYTES > len(buffer):
        raise DecodeError(f"Input {name!r}: the bytes end before element {len(buffer) // _LENGTH_BYTES}")
    if count > max_elements:
        raise BodyTooLarge(f"A tensor of BYTES may have {max_elements} elements")
    texts, position = [], 0
    for index in range(count):
        start = position + _LENGTH_BYTES
        position = start + int.from_bytes(buffer[position:start], "little")
        if start > len(buffer) or position > len(buffer):
            raise DecodeError(f"Input {name!r}: the bytes end within element {index}")
        texts.append(read_text(buffer[start:position], name))
    if position != len(buffer):
        raise DecodeError(f"Input {name!r}: {len(buffer) - position} bytes follow the last element")
    return _objects(texts, shape, name)


def read_text(buffer: memoryview, name: str) -> str:
    """Read one element of BYTES."""
    try:
        return str(buffer, "utf-8")
    except UnicodeDecodeError as error:
        raise DecodeError(f"Input {name!r}: an element of BYTES is not UTF-8") from error


# Writing ----------------------------------------------------------------------------------


def as_tensor(array: Array) -> tuple[str, Array]:
    """Return an output's datatype, and the output as an array of it.

    What is neither number, text nor bytes is BYTES that hold JSON.
    """
    if array.dtype is _FLOAT64:  # most are
        return "FP64", array
    datatype = _NAMES.get((array.dtype.kind, array.dtype.itemsize))
    if datatype is not None:
        return datatype, array
    if array.dtype.kind == "f":  # longer than a double
        return "FP64", array.astype(np.float64)
    texts = np.empty(array.size, dtype=object)
    # Not ``array.flat``: an instant has to come as its text.
    cells = plain(array.reshape(-1))
    texts[:] = cells if _are_texts(cells) else [_text(cell) for cell in cells]
    return "BYTES", texts.reshape(array.shape)


def _are_texts(cells: list[Any]) -> bool:
    return set(map(type, cells)) <= {str}


def _text(cell: Any) -> str | bytes:
    if isinstance(cell, (str, bytes)):
        return cell
    try:
        return json_media.dump(cell).decode()
    except TypeError as error:
        raise ModelError(f"The model's answer cannot be written as BYTES: {error}") from error


def write_json(array: Array, datatype: str, name: str) -> Any:
    """Return an output's ``data``, flat, in a form that ``json_media.dump`` writes.

    Raises:
        NotAcceptable: JSON has no form for it.
    """
    flat = array if array.ndim == 1 else array.reshape(-1)
    if datatype == "FP16":
        raise NotAcceptable(f"Output {name!r} is FP16, which has no form in JSON; ask for binary_data")
    if datatype != "BYTES":
        return json_media.quickly_writable(flat)
    cells = flat.tolist()
    try:
        return cells if _are_texts(cells) else [c if isinstance(c, str) else c.decode() for c in cells]
    except UnicodeDecodeError as error:
        raise NotAcceptable(f"Output {name!r} is not UTF-8 text; ask for binary_data") from error


def write_binary(array: Array, datatype: str) -> bytes:
    """Return an output's bytes, little-endian, row-major."""
    if datatype != "BYTES":
        return array.astype(_DTYPES[datatype], copy=False).tobytes()
    pieces: list[bytes] = []
    for cell in array.reshape(-1):
        try:
            piece = cell.encode() if isinstance(cell, str) else cell
        except UnicodeEncodeError as error:
            raise ModelError("The model's answer holds a text that UTF-8 has no form for") from error
        pieces += (len(piece).to_bytes(_LENGTH_BYTES, "little"), piece)
    return b"".join(pieces)
