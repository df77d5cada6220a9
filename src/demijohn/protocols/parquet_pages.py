"""What a Parquet file announces, read before Arrow's reader sees it.

A file of some kilobytes may unfold to gigabytes: a page says itself how large it will be, and a run of
equal values takes no room. So what the footer and the pages' own headers announce is added up, and nothing
else of them is looked at: whether the file is sound, Arrow's reader says.

The footer is read here, and not by way of pyarrow's ``ColumnChunkMetaData``: at some that are broken its
C++ throws where nobody catches, and the process ends (pyarrow 26, size statistics).

Sources: https://parquet.apache.org/docs/file-format/ and parquet.thrift of apache/parquet-format.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from demijohn.errors import BodyTooLarge, DecodeError

from .thrift_compact import BINARY, I32, I64, Fields, Reader, Struct

_MAGIC = b"PAR1"
_TAIL_BYTES = 8
_FOOTER_SHARE = 64  # of what a body may have: each column of the footer becomes objects of Arrow's
_MAX_HEADER_BYTES = 2**16
_PAGE_BYTES = 4096  # a page has, where there are many
_FEW_PAGES = 1000
_DELTA_BYTE_ARRAY = 7
_DICTIONARY_PAGE = 2
#: By the type of a page that has values: where its header of that type is, and where in this the encoding.
_DATA_PAGES = {0: (5, 2), 3: (8, 4)}
#: Bytes of a value as Arrow has it; a text is a code where it is read as a dictionary.
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 8, "BYTE_ARRAY": 8}
_PARQUET_MR = re.compile(rb"parquet-mr(?: version (\d+)\.(\d+)\.(\d+))?", re.IGNORECASE)

_PAGE_HEADER: Fields = {1: I32, 2: I32, 3: I32, 5: {1: I32, 2: I32}, 8: {1: I32, 4: I32}}
_SIZE_STATISTICS: Fields = {2: [I64], 3: [I64]}
_COLUMN: Fields = {
    2: [I32], 3: [BINARY], 5: I64, 7: I64, 8: [{}], 9: I64, 11: I64, 13: [{}], 16: _SIZE_STATISTICS,
    17: {2: [I32]},
}  # fmt: skip
_ROW_GROUP: Fields = {1: [{3: _COLUMN}], 3: I64, 4: [{}]}
_FOOTER: Fields = {2: [{}], 4: [_ROW_GROUP], 5: [{}], 6: BINARY, 7: [{}]}


class ColumnType(NamedTuple):
    """What the schema says of one column."""

    physical: str  #: As parquet.thrift names it.
    length: int  #: Bytes of a value, where they have one length.


def read_footer(body: bytes, max_bytes: int) -> Struct:
    """Read the footer.

    "4-byte magic number "PAR1" [...] 4-byte length in bytes of file metadata (little endian), 4-byte magic
    number "PAR1"".

    Args:
        body: All of it.
        max_bytes: That a body may have.

    Raises:
        DecodeError: it is no Parquet file, an encrypted one, or one whose footer is too long.
    """
    if len(body) < len(_MAGIC) + _TAIL_BYTES or not (body.startswith(_MAGIC) and body.endswith(_MAGIC)):
        raise DecodeError("The body is no Parquet file")
    length = int.from_bytes(body[-_TAIL_BYTES:][:4], "little")
    if length > min(max_bytes // _FOOTER_SHARE, len(body) - _TAIL_BYTES):
        raise DecodeError(f"The footer of the Parquet file is too long: {length} bytes")
    try:
        footer = Reader(body[-_TAIL_BYTES - length : -_TAIL_BYTES]).struct(_FOOTER)
    except (IndexError, ValueError) as error:
        raise DecodeError("The footer of the Parquet file is broken") from error
    found = _PARQUET_MR.search(footer.get(6, b""))
    if found is not None and tuple(int(part or 0) for part in found.groups()) < (1, 2, 9):
        # For its sake Arrow reads some bytes past the end of a column (PARQUET-816).
        raise DecodeError("The Parquet file is from parquet-mr before 1.2.9, whose files are not read")
    return footer


def check_sizes(body: bytes, footer: Struct, types: Sequence[ColumnType], max_bytes: int) -> set[int]:
    """Refuse a file that holds more than is allowed.

    Args:
        body: All of it.
        footer: What ``read_footer`` says.
        types: Of the columns, as Arrow reads the schema.
        max_bytes: Of all pages, decompressed, and of all columns as arrays.

    Returns:
        The columns that have a dictionary, by their indices.

    Raises:
        DecodeError: its pages cannot be followed, or are written in a way that is not read.
        BodyTooLarge: it holds more.
    """
    budget = _Budget(max_bytes)
    coded: set[int] = set()
    try:
        for group in footer.get(4, []):
            for index, (column, kind) in enumerate(zip(group[1], types, strict=True)):
                chunk = column[3]
                width = _WIDTHS.get(kind.physical) or kind.length
                budget.add_cells(max(group[3], chunk[5]), width)
                if _add_pages(body, chunk, budget):
                    coded.add(index)
    except (IndexError, ValueError, KeyError) as error:
        raise DecodeError("The pages of the Parquet file are broken") from error
    return coded


class _Budget:
    """What is left of the bytes and pages that a file may have."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._page_bytes = self._cell_bytes = max_bytes
        self._pages = self._max_pages = max_bytes // _PAGE_BYTES + _FEW_PAGES

    def add_cells(self, count: int, width: int) -> None:
        """Count values, which take room even where the file has none for them."""
        if count < 0:
            raise ValueError("fewer values than none")
        self._cell_bytes -= count * width
        self._check(self._cell_bytes)

    def add_page(self, n_bytes: int) -> None:
        """Count a page, decompressed."""
        self._page_bytes -= n_bytes
        self._pages -= 1
        self._check(self._page_bytes)
        if self._pages < 0:
            raise DecodeError(f"The Parquet file has more than {self._max_pages} pages")

    def _check(self, left: int) -> None:
        if left < 0:
            raise BodyTooLarge(f"The columns of a body may take {self._max_bytes} bytes, decompressed")


def _add_pages(body: bytes, chunk: Struct, budget: _Budget) -> bool:
    """Follow the pages of one column of a row group; says whether one of them is a dictionary."""
    position, dictionary = chunk[9], chunk.get(11, 0)
    # A row group without rows may have no data page, and 0 for where it begins; or no page at all.
    is_bare = position == 0 and chunk[5] == 0
    if is_bare and chunk[7] == 0:
        return False
    if is_bare or 0 < dictionary < position:
        position = dictionary
    end = position + chunk[7]
    if not 0 < position <= end <= len(body):
        raise ValueError("the column is not in the file")
    n_values, has_dictionary = 0, False
    while position < end:
        reader = Reader(body[position : min(end, position + _MAX_HEADER_BYTES)])
        header = reader.struct(_PAGE_HEADER)
        unfolded, packed = header[2], header[3]
        if unfolded < 0 or packed < 0:
            raise ValueError("a page of no such size")
        budget.add_page(unfolded)
        has_dictionary |= header[1] == _DICTIONARY_PAGE
        if header[1] in _DATA_PAGES:
            place, encoding = _DATA_PAGES[header[1]]
            n_values += header[place][1]
            if header[place][encoding] == _DELTA_BYTE_ARRAY:
                # Texts that share their beginnings: how long they are, nobody knows before they are made.
                raise DecodeError(
                    "Parquet pages of DELTA_BYTE_ARRAY are not read; write plain or dictionary ones"
                )
        position += reader.position + packed
    if n_values > chunk[5]:
        raise ValueError("more values than the column has")
    return has_dictionary
