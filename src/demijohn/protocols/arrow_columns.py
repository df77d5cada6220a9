"""Arrow tables as ``ArrayColumns``: what Arrow streams and Parquet files share.

Rules of this room:
1. No Python object is made per value: numbers are views of the body, texts are made once each.
2. A type that a JSON body could not hold in a row is refused by column.
3. What takes more memory than it took in the body is counted before it is made.

Which type becomes what stands in docs/media_types.md.
Source: https://arrow.apache.org/docs/format/Columnar.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from demijohn import kernels
from demijohn.config import Settings
from demijohn.errors import MAX_PROBLEMS, BodyTooLarge, Problem, SignatureMismatch
from demijohn.messages import Array, ArrayColumn, ArrayColumns, RecordCells

if TYPE_CHECKING:
    import pyarrow as pa

#: What to do where pyarrow is missing.
INSTALL = 'needs pyarrow, which is not installed: pip install "demijohn[arrow]"'

# What pandas calls the labels of its rows, where they have no name: as in ``dataframe_split``, the
# client's own.
_INDEX = "__index_level_"
# How a field says that somebody has defined its type over another; Arrow reads that where it knows no better.
_EXTENSION = b"ARROW:extension:name"
_PREFIX_BYTES = 8  # of a message: the continuation, and the length of its metadata
_LONGEST_TYPE = 60
_POINTER_BYTES = 8
_VIEW_BYTES = 16
_MOST_INTEGER_DIGITS = 18  # that an int64 always holds


@cache
def is_available() -> bool:
    """Say whether Arrow and Parquet can be read and written here: pyarrow is an extra."""
    return find_spec("pyarrow") is not None


def find_numbers(body: bytes, settings: Settings) -> ArrayColumns | None:
    """Find in a stream what ``read_batch`` reads, without Arrow; None: there is something else."""
    if not kernels.IS_BUILT or _has_extension(body):
        return None
    found = kernels.find_numbers(body, settings.max_body_bytes)
    if found is None or _INDEX in "".join(found[0]):
        return None
    names, numbers = found
    return ArrayColumns(names, numbers, len(numbers))


def read_cells(body: bytes, settings: Settings, again: Callable[[], ArrayColumns]) -> RecordCells | None:
    """Read a stream of numbers and texts without Arrow; None: it is something else.

    Args:
        body: All of it.
        settings: For the limits.
        again: Reads it by Arrow.
    """
    if not kernels.IS_BUILT or _has_extension(body):
        return None
    found = kernels.read_columns(body, settings.max_body_bytes, settings.max_elements)
    if found is None or _INDEX in "".join(found.names):
        return None
    return RecordCells(found.names, found.kinds, found.cells, found.texts, found.n_missing, again)


def _has_extension(body: bytes) -> bool:
    """Say whether the schema that a stream begins with has a type that somebody has defined."""
    n_bytes = int.from_bytes(body[_PREFIX_BYTES // 2 : _PREFIX_BYTES], "little")
    return body.find(_EXTENSION, 0, _PREFIX_BYTES + n_bytes) >= 0


def read_batch(batch: pa.RecordBatch) -> ArrayColumns | None:
    """Read a valid batch of numbers of one type, of which none is missing, in one go; None: it is not one."""
    import pyarrow as pa

    types, names = batch.schema.types, batch.schema.names
    ids = {kind.id for kind in types}
    if len(ids) != 1 or not ids <= _number_types() or any(name.startswith(_INDEX) for name in names):
        return None
    if any(map(_extension_of, batch.schema)):
        return None
    try:
        numbers = batch.to_tensor(row_major=False).to_numpy()
    except pa.ArrowException:  # one is missing
        return None
    return ArrayColumns(names, numbers, batch.num_rows)


def read_table(table: pa.Table, settings: Settings) -> ArrayColumns:
    """Read the columns of a table that has passed its own validation.

    Args:
        table: Its memory is kept alive by what is returned.
        settings: For the limits.

    Raises:
        SignatureMismatch: a column is of a type that no model takes.
        BodyTooLarge: its columns take more memory than a body may, or hold more texts than a body may
            values.
    """
    if not table.num_rows:
        nothing = ArrayColumn(np.zeros(0))
        return ArrayColumns(table.schema.names, [nothing] * table.num_columns, 0)
    names: list[str] = []
    columns: list[ArrayColumn] = []
    misfits: list[Problem] = []
    reader = _Reader(settings)
    for index, name in enumerate(table.schema.names):
        if name.startswith(_INDEX):
            continue
        chunks = table.column(index)
        try:
            _check_known(table.schema.field(index))
            columns.append(
                reader.read(chunks.chunk(0) if chunks.num_chunks == 1 else chunks.combine_chunks())
            )
            names.append(name)
        except _Unread as unread:
            misfits.append(Problem(unread.row, name, unread.expected, unread.received))
    if misfits:
        raise SignatureMismatch(str(misfits[0]), errors=misfits[:MAX_PROBLEMS])
    return ArrayColumns(names, columns, table.num_rows if columns else 0)


class _Unread(Exception):
    """A column has no form that a model takes."""

    def __init__(self, expected: str, received: str, row: int | None = None) -> None:
        super().__init__()
        self.expected, self.received, self.row = expected, received, row


class _Reader:
    """Reads the columns of one request, and counts what they take."""

    def __init__(self, settings: Settings) -> None:
        self._max_bytes = self._bytes_left = settings.max_body_bytes
        self._max_cells = self._cells_left = settings.max_elements

    def read(self, array: Any) -> ArrayColumn:
        """Read one column.

        Raises:
            _Unread: it does not fit any model.
            BodyTooLarge: it and those before take more than is allowed.
        """
        read = _readers().get(array.type.id)
        if read is not None:
            return read(self, array)
        # Of the types that somebody has defined over another, this one alone is known.
        if getattr(array.type, "extension_name", "") == "arrow.fixed_shape_tensor" and not array.null_count:
            return ArrayColumn(array.to_numpy_ndarray())
        raise _unread_type(array.type)

    def _count_bytes(self, n_bytes: int) -> None:
        self._bytes_left -= n_bytes
        if self._bytes_left < 0:
            raise BodyTooLarge(f"The columns of a body may take {self._max_bytes} bytes, decoded")

    def _count_cells(self, n_cells: int) -> None:
        self._cells_left -= n_cells
        if self._cells_left < 0:
            raise BodyTooLarge(
                f"The columns of a body may hold {self._max_cells} texts; send fewer at a time"
            )

    def numbers(self, array: Any) -> ArrayColumn:
        dtype = np.dtype(array.type.to_pandas_dtype())
        values = np.frombuffer(array.buffers()[1], dtype, len(array), array.offset * dtype.itemsize)
        return ArrayColumn(values, self._missing(array))

    def truths(self, array: Any) -> ArrayColumn:
        self._count_bytes(len(array))
        return ArrayColumn(_bits(array, 1), self._missing(array))

    def instants(self, array: Any) -> ArrayColumn:
        """Read instants, those with a time zone as UTC; what is missing is NaT."""
        self._count_bytes(_POINTER_BYTES * len(array))
        return ArrayColumn(array.to_numpy(zero_copy_only=False))

    def decimals(self, array: Any) -> ArrayColumn:
        """Read decimals as JSON's numbers: those of no places as integers, others as the nearest double."""
        import pyarrow as pa

        if array.type.scale == 0 and array.type.precision <= _MOST_INTEGER_DIGITS:
            return self.numbers(array.cast(pa.int64()))
        # By way of their text: a division would round a second time.
        self._count_bytes(array.nbytes)
        return self.numbers(array.cast(pa.string()).cast(pa.float64()))

    def nothing(self, array: Any) -> ArrayColumn:
        self._count_bytes(2 * _POINTER_BYTES * len(array))
        return ArrayColumn(np.zeros(len(array)), np.ones(len(array), dtype=bool))

    def texts(self, array: Any) -> ArrayColumn:
        self._count_cells(len(array))
        return self.coded(array.dictionary_encode())

    def text_views(self, array: Any) -> ArrayColumn:
        """Read texts of which many rows may have the same bytes, without being the same rows' text."""
        end = array.offset + len(array)
        views = np.frombuffer(array.buffers()[1], np.int32, count=end * (_VIEW_BYTES // 4))
        lengths = views.reshape(end, -1)[array.offset :, 0]
        self._count_bytes(int(lengths.sum(dtype=np.int64)))
        return self.texts(array)

    def coded(self, array: Any) -> ArrayColumn:
        """Read a column whose values stand apart from its rows."""
        if len(array.dictionary) == 0:
            return self.nothing(array)
        values = self._distinct(array.dictionary)
        self._count_bytes(_POINTER_BYTES * len(array))
        indices = self.numbers(array.indices)
        codes, missing = indices.values.astype(np.intp), indices.missing
        if missing is not None:
            codes[missing] = 0  # any that is there
        if values.missing is not None:
            is_missing = values.missing[codes]
            missing = is_missing if missing is None else missing | is_missing
        if values.values.dtype.kind == "O":
            return ArrayColumn(values.values, missing, codes)
        self._count_bytes(values.values[:1].nbytes * len(codes))
        return ArrayColumn(values.values[codes], missing)

    def _distinct(self, array: Any) -> ArrayColumn:
        if array.type.id not in _text_types():
            return self.read(array)
        self._count_cells(len(array))
        missing = self._missing(array)
        return ArrayColumn(array.to_numpy(zero_copy_only=False), missing)

    def lists(self, array: Any) -> ArrayColumn:
        """Read rows of tensors: lists of one length, however deep."""
        lengths = self._lengths(array)
        if lengths is None:
            return self._uneven(array)
        if not lengths:
            raise _Unread("lists of one value or more", "a list of 0 values", 0)
        below = self.read(array.flatten())
        missing = below.missing
        values = below.values if below.codes is None else below.values[below.codes]
        shape = (len(array), lengths, *values.shape[1:])
        return ArrayColumn(values.reshape(shape), None if missing is None else missing.reshape(shape))

    def _lengths(self, array: Any) -> int | None:
        """Return the length of all lists; None where they differ."""
        if array.null_count:
            row = int(np.argmin(_bits(array, 0)))
            raise _Unread("a list of values", "null", row)
        if hasattr(array.type, "list_size"):
            return int(array.type.list_size)
        lengths = np.diff(array.offsets.to_numpy())
        return int(lengths[0]) if len(lengths) and (lengths == lengths[0]).all() else None

    def _uneven(self, array: Any) -> ArrayColumn:
        """Read lists that differ in length, value by value: few models take them."""
        values = array.flatten()
        self._count_cells(len(array) + len(values))
        self.read(values)  # sees what the values are
        rows = np.empty(len(array), dtype=object)
        rows[:] = array.to_pylist()
        return ArrayColumn(rows)

    def _missing(self, array: Any) -> Array | None:
        if not array.null_count:
            return None
        self._count_bytes(len(array))
        return ~_bits(array, 0)


def _bits(array: Any, index: int) -> Array:
    """Return one of an array's buffers of bits as truths, one per row."""
    octets = np.frombuffer(array.buffers()[index], np.uint8)
    start = array.offset
    return np.unpackbits(octets, count=start + len(array), bitorder="little")[start:].view(bool)


def _check_known(field: Any) -> None:
    if extension := _extension_of(field):
        raise _unread_type(f"extension<{extension}>")


def _extension_of(field: Any) -> str:
    """Return the name of a type of a field, or within it, that Arrow does not know here; "": none is."""
    name: bytes | None = (field.metadata or {}).get(_EXTENSION)
    if name is not None:
        return name.decode(errors="replace")
    kind = field.type
    return next(filter(None, (_extension_of(kind.field(index)) for index in range(kind.num_fields))), "")


def _unread_type(kind: Any) -> _Unread:
    text = str(kind)
    shown = text if len(text) <= _LONGEST_TYPE else text[:_LONGEST_TYPE] + "…"
    return _Unread("numbers, booleans, texts, instants, or lists of one length", f"values of type {shown}")


@cache
def _text_types() -> frozenset[int]:
    return _ids("STRING", "LARGE_STRING", "STRING_VIEW", "BINARY", "LARGE_BINARY", "BINARY_VIEW")


@cache
def _number_types() -> frozenset[int]:
    whole = [f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)]
    return _ids(*whole, "HALF_FLOAT", "FLOAT", "DOUBLE")


def _ids(*names: str) -> frozenset[int]:
    from pyarrow import lib

    return frozenset(getattr(lib, f"Type_{name}") for name in names)


@cache
def _readers() -> Mapping[int, Callable[[_Reader, Any], ArrayColumn]]:
    """Return how each of Arrow's types is read, by its id; one that is absent is not."""
    from pyarrow import lib

    return {
        **dict.fromkeys(_number_types(), _Reader.numbers),
        **dict.fromkeys(_text_types(), _Reader.texts),
        lib.Type_STRING_VIEW: _Reader.text_views,
        lib.Type_BINARY_VIEW: _Reader.text_views,
        lib.Type_BOOL: _Reader.truths,
        lib.Type_TIMESTAMP: _Reader.instants,
        lib.Type_DATE32: _Reader.instants,
        lib.Type_DATE64: _Reader.instants,
        lib.Type_DECIMAL32: _Reader.decimals,
        lib.Type_DECIMAL64: _Reader.decimals,
        lib.Type_DECIMAL128: _Reader.decimals,
        lib.Type_DECIMAL256: _Reader.decimals,
        lib.Type_NA: _Reader.nothing,
        lib.Type_DICTIONARY: _Reader.coded,
        lib.Type_FIXED_SIZE_LIST: _Reader.lists,
        lib.Type_LIST: _Reader.lists,
        lib.Type_LARGE_LIST: _Reader.lists,
    }
