"""What travels between the steps of a prediction: decoded inputs, tensors, the answer.

Rules of this room:
1. Plain values without behaviour; no step keeps one after it has passed it on.
2. ``Rows``, ``Matrix``, ``RecordCells``, ``Records``, ``Columns``, ``NamedTensors``, ``RowArray``,
   ``ArrayColumns``, ``RawTensor`` and ``ImageBody`` are what a client wrote, read but not yet checked;
   ``Tensors`` have passed the signature.
3. What every request makes is a msgspec ``Struct``: a named tuple of Python takes four times as long to make.
4. An image stays as it was written until the signature says where it belongs: before that nobody
   knows whether it is one, nor which pixels are wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from msgspec import Struct

Array = npt.NDArray[Any]
Tensors = dict[str, Array]  #: Named arrays; axis 0 is the row.


@dataclass(frozen=True, slots=True)
class Image:
    """An image whose header has been read, and its pixels not yet."""

    height: int
    width: int
    n_channels: int  #: Its own: 1 is grey, 3 are colours, 4 are colours and how opaque they are.
    #: Reads ``(height, width, n_channels)`` uint8, in 1, 3 or 4 channels.
    pixels: Callable[[int], Array]


class ImageReader(Protocol):
    """How a protocol's clients write an image in the place of a row's numbers, and how it is read."""

    def is_image(self, cell: object) -> bool:
        """Say whether a cell is written as an image."""

    def open(self, cell: Any) -> Image:
        """Read the header of an image.

        Raises:
            DecodeError: it cannot be read, and so ``pixels`` may find.
            BodyTooLarge: with it the request has more pixels than are allowed.
        """


@dataclass(slots=True)
class Rows:
    """One entry per row, in the signature's column order or under ``columns``."""

    rows: list[Any]
    columns: list[str] | None = None
    is_text: bool = False  #: Cells are text that the signature's dtypes must read (CSV).
    images: ImageReader | None = field(default=None, repr=False, compare=False)


class Matrix(Struct):
    """Rows of numbers, read into one array.

    An array does not say whether a number was written 3 or 3.0, nor can it be refused cell by cell:
    where that matters, ``again`` reads the same rows as a client wrote them, or as cells that say more.
    """

    numbers: Array  #: (n_rows, width), or more dimensions; float64, C-contiguous; nobody else holds it.
    again: Callable[[], WrittenInputs | RecordCells]
    columns: list[str] | None = None  #: Where they have names; else they stand in the signature's order.
    n_missing: int = 0  #: How many are NaN, for a missing value.
    is_by_name: bool = False  #: A model without column names does not take them.


@dataclass(slots=True)
class RecordCells:
    """Records read into one array, each column of one kind; ``again`` reads them as a client wrote them.

    A table of numbers and texts in Arrow or in v2 is read so too; ``again`` reads its columns.
    """

    names: tuple[str, ...] | None  #: None twice; None: they stand in the signature's order.
    #: A letter per column: i whole numbers, f numbers, s texts, b truths, - nulls alone.
    kinds: str
    cells: Array  #: (n_rows, n_columns) float64; a text's place in ``texts``, 0 or 1, NaN for null.
    texts: Sequence[Sequence[str] | None]  #: Per column of texts the distinct ones.
    n_missing: int
    again: Callable[[], WrittenInputs | ArrayColumns | NamedTensors]


@dataclass(slots=True)
class Records:
    """One ``{column: value}`` per row."""

    records: list[dict[str, Any]]
    images: ImageReader | None = field(default=None, repr=False, compare=False)


@dataclass(slots=True)
class Columns:
    """One list of values per column name, all of one length."""

    columns: dict[str, Any]
    images: ImageReader | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class NamedTensors:
    """Arrays that a binary or typed protocol, or a caller in Python, has as they are.

    A model of one input takes one tensor whatever its name; any other takes them by name.
    """

    tensors: Mapping[str, Array]  #: Axis 0 is the row. Of any dtype; texts as str in an array of objects.


@dataclass(frozen=True, slots=True)
class RowArray:
    """Rows in one array, as ``Rows`` are: in the signature's column order, whatever their dtype."""

    array: Array  #: Axis 0 is the row. Texts as str in an array of objects.


@dataclass(frozen=True, slots=True)
class ArrayColumn:
    """One column as a columnar format has it: values apart from what is missing, texts once each."""

    #: ``(n_rows, ...)``; where there are ``codes``, the distinct values, in an array of objects.
    values: Array
    #: Which are, whatever ``values`` has in their place: bool, ``(n_rows, ...)``; None: no value is.
    missing: Array | None = None
    codes: Array | None = None  #: Where each row's value stands in ``values``: integers ``(n_rows,)``.

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.values if self.codes is None else self.codes)


@dataclass(frozen=True, slots=True)
class ArrayColumns:
    """Columns of one length; a model without column names takes them in the order in which they came."""

    names: Sequence[str]  #: A client's own: one may stand there twice.
    #: One per name; or all in one array ``(n_rows, n_columns)`` of numbers, of which none is missing.
    columns: Sequence[ArrayColumn] | Array
    n_rows: int

    def each(self) -> Sequence[ArrayColumn]:
        """Return the columns one by one."""
        if isinstance(self.columns, np.ndarray):
            return [ArrayColumn(column) for column in self.columns.T]
        return self.columns


@dataclass(frozen=True, slots=True)
class ImageBody:
    """A body that is an image as a whole: one row, for the one input that is an image."""

    image: bytes  #: Encoded.
    images: ImageReader


@dataclass(frozen=True, slots=True)
class RawTensor:
    """The bytes of the only input of a model, which alone knows its dtype and shape."""

    body: bytes  #: Row-major, little-endian; of a text, the text itself.


WrittenInputs = Rows | Records | Columns
BinaryInputs = NamedTensors | RowArray | ArrayColumns | RawTensor | ImageBody
Inputs = WrittenInputs | Matrix | RecordCells | BinaryInputs


_NO_PARAMETERS: Mapping[str, Any] = MappingProxyType({})


class InferenceRequest(Struct, frozen=True):
    """A decoded request, not yet checked against a signature."""

    inputs: Inputs
    parameters: Mapping[str, Any] = _NO_PARAMETERS  #: Arguments of the method, by name.
    methods: tuple[
        str, ...
    ] = ()  #: Those asked for by the body, in order; none: the one that the path names.
    note: Any = None  #: What the protocol itself needs to know again when it writes the answer.


class InferenceResponse(Struct, frozen=True):
    """An answer, ready to be encoded."""

    outputs: Tensors  #: One entry named after the method, or several named ones.
    model: str
    version: str
    method: str
    n_rows: int
    classes: list[Any] | None = None  #: Column labels of predict_proba and decision_function.
    #: How long an engine ran in the request's own thread, in seconds; None: on the model's thread.
    inference_s: float | None = None
    asked: float = 0.0  #: When the inputs had passed the signature, on ``time.monotonic()``'s clock.


class Encoded(Struct, frozen=True):
    """Bytes for the wire."""

    body: bytes
    content_type: str
    headers: Mapping[str, str] = {}


def as_written(inputs: Inputs) -> WrittenInputs | BinaryInputs:
    """Return inputs as a client wrote them, where they were read into an array."""
    again = inputs.again() if isinstance(inputs, Matrix) else inputs
    return again.again() if isinstance(again, RecordCells) else again


def count_rows(tensors: Tensors) -> int:
    """Return the length of axis 0, which all tensors of a request share."""
    for array in tensors.values():
        return len(array)
    raise ValueError("there are no tensors, so there is no number of rows")


def join_rows(pieces: Sequence[Tensors]) -> Tensors:
    """Return the rows of all pieces as one, in their order; a single piece as it is."""
    if len(pieces) == 1:
        return pieces[0]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def plain(array: Array) -> list[Any]:
    """Return an array as nested lists of Python values; instants as ISO 8601, which ``tolist`` counts."""
    if array.dtype.kind == "M":
        texts = np.datetime_as_string(array).astype(object)
        texts[np.isnat(array)] = None
        array = texts
    values: list[Any] = array.tolist()
    return values


def as_array(values: Any) -> Array:
    """Return ``values`` as an array whose axis 0 is the row; ragged values become objects."""
    try:
        return np.asarray(values)
    except ValueError:
        array = np.empty(len(values), dtype=object)
        array[:] = list(values)
        return array
