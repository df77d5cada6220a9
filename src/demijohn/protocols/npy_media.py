"""numpy's own files: npy, one array, and npz, arrays by name in a zip archive.

Rules of this room:
1. Nothing is unpickled: an array of objects is refused, read or written.
2. What a header announces is compared with what is there before anything is made of it; an array is a view
   of the body.
3. Of an archive all sizes are added up before the first member is decompressed.

Sources: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html; PKWARE's APPNOTE.TXT, 4.3.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from math import prod
from typing import Any, NamedTuple

import numpy as np

from demijohn.config import Settings
from demijohn.errors import BodyTooLarge, DecodeError, NotAcceptable, SignatureMismatch
from demijohn.messages import Array, Inputs, NamedTensors, RowArray, Tensors
from demijohn.refusal_texts import first_line

NPY = "application/x-npy"
NPZ = "application/x-npz"
MEDIA_TYPES = (NPY, NPZ)

_NPY_SUFFIX = ".npy"
_ITEM = re.compile(
    r"""['"](descr|fortran_order|shape)['"]\s*:\s*(\[|['"][^'"]*['"]|True|False|\([\d\s,]*\))"""
)
_DESCR = re.compile(r"[<>|=]?(?:[biufcSUmM]\d{1,9}(?:\[\d{0,9}[a-zA-Z]{1,2}\])?|O)\Z")
_MAX_HEADER_BYTES = 10_000  # numpy's own limit
_MOST_AXES = 32  # of any version of numpy
_MAX_DIRECTORY_BYTES = 2**20
_MAX_TEXT_BYTES = 64 * 2**20  # an array gives each text as much room as the longest
_SURROGATES = (0xD800, 0xE000)
_END_BYTES = 22
_LOCATOR_BYTES = 20
#: What a zip archive that is broken in one way or another raises.
_BROKEN = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, KeyError, ValueError, OverflowError, RuntimeError,
    OSError, MemoryError,
)  # fmt: skip


def decode(body: bytes, media_type: str, settings: Settings) -> Inputs:
    """Read an npy or an npz file.

    Returns:
        The rows of the one array; or the arrays by name.

    Raises:
        DecodeError: it is broken.
        BodyTooLarge: decompressed, it has more than ``max_body_bytes``, or more texts than ``max_elements``.
        SignatureMismatch: an array has objects or fields.
    """
    if media_type == NPY:
        return RowArray(_Texts(settings.max_elements).read(read_array(memoryview(body))))
    texts = _Texts(settings.max_elements)
    arrays = read_archive(body, settings.max_body_bytes)
    return NamedTensors({name: texts.read(array) for name, array in arrays.items()})


# npy ------------------------------------------------------------------------------------------


def read_array(content: memoryview) -> Array:
    """View the array of an npy file, all of it.

    Raises:
        DecodeError: it is no npy file, or not as long as its header says.
        SignatureMismatch: its values are objects or records.
    """
    try:
        (shape, is_fortran, dtype), start = _read_header(content)
    except (ValueError, TypeError, KeyError, struct.error) as error:
        raise DecodeError("The npy header cannot be read") from error
    there = len(content) - start
    n_bytes = prod(shape) * dtype.itemsize
    if n_bytes != there or not dtype.itemsize or 0 in shape[1:]:  # of which any number would take no bytes
        raise DecodeError(f"The npy header announces {shape} values, and {there} bytes are there")
    values = np.frombuffer(content, dtype, offset=start)
    return values.reshape(shape, order="F" if is_fortran else "C")


def _read_header(content: memoryview) -> tuple[_Header, int]:
    """Return what the header says, and where the data begins.

    "The first 6 bytes are a magic string [...] the next 2 bytes the major and minor version number of the
    file format [...] the next 2 bytes [from version 2 on, 4] the length of the header data [...] an ASCII
    string which contains a Python literal expression of a dictionary", with descr, fortran_order and shape.

    Only these three are looked for, and nothing is evaluated; numpy's own reader runs what it cannot read
    through a tokenizer, as it may be Python 2's.
    """
    magic = bytes(content[:7])
    if not magic.startswith(b"\x93NUMPY") or magic[6:] not in (b"\1", b"\2", b"\3"):
        raise ValueError("no magic string")
    form = "<H" if magic[6:] == b"\1" else "<I"
    (length,) = struct.unpack_from(form, content, 8)
    start = 8 + struct.calcsize(form) + length
    if length > _MAX_HEADER_BYTES or start > len(content):
        raise ValueError("no header")
    found = dict(_ITEM.findall(bytes(content[start - length : start]).decode()))
    if found["descr"] == "[":
        raise _misfit("records; send npz with an array for each column")
    descr, sizes = found["descr"][1:-1], found["shape"][1:-1].split(",")
    if not _DESCR.match(descr):
        raise ValueError("no dtype")
    dtype = np.dtype(descr)
    if dtype.hasobject:
        raise _misfit("Python objects, which are never unpickled; send numbers or texts")
    shape = tuple(int(size) for size in sizes if size.strip())
    if len(shape) > _MOST_AXES:
        raise ValueError("too many axes")
    return _Header(shape, found["fortran_order"] == "True", dtype), start


def _misfit(held: str) -> SignatureMismatch:
    return SignatureMismatch(f"The array holds {held}")


class _Header(NamedTuple):
    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype[Any]


class _Texts:
    """Makes texts of arrays of them, and counts these: each is an object."""

    def __init__(self, max_elements: int) -> None:
        self._max = self._left = max_elements

    def read(self, array: Array) -> Array:
        if array.dtype.kind not in "SU":
            return array
        self._left -= array.size
        if self._left < 0:
            raise BodyTooLarge(f"The arrays of a body may hold {self._max} texts; send fewer at a time")
        if array.dtype.kind == "U" and not _is_text(array):
            raise DecodeError("An array has texts that are none in Unicode")
        return array.astype(object)


def _is_text(array: Array) -> bool:
    """Say whether all code points are characters: numpy looks at none of them."""
    points = np.ascontiguousarray(array).view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
    first, end = _SURROGATES
    return not (((points >= first) & (points < end)) | (points > 0x10FFFF)).any()


# npz ------------------------------------------------------------------------------------------


def read_archive(body: bytes, max_bytes: int) -> Mapping[str, Array]:
    """Read the arrays of an npz file.

    Args:
        body: All of it.
        max_bytes: Of all arrays together, decompressed.

    Raises:
        DecodeError: it is broken, or has something else in it.
        BodyTooLarge: it holds more.
        SignatureMismatch: an array has objects or fields.
    """
    _check_end(body)
    arrays: dict[str, Array] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > max_bytes:
                raise BodyTooLarge(f"The arrays of a body may take {max_bytes} bytes, decompressed")
            for member in members:
                name = member.filename.removesuffix(_NPY_SUFFIX)
                if name == member.filename or name in arrays:
                    raise DecodeError("An npz file has arrays alone, each under a name of its own")
                arrays[name] = read_array(memoryview(_content(archive, member)))
    except _BROKEN as error:
        raise DecodeError(f"The npz archive is broken: {first_line(error)}") from error
    if not arrays:
        raise DecodeError("The npz archive is empty")
    return arrays


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DecodeError(
            "The arrays of an npz file are stored or deflated; this one is compressed otherwise"
        )
    with archive.open(member) as file:
        return file.read(member.file_size)


def _check_end(body: bytes) -> None:
    """Look at the end of the archive, where numpy writes no comment, before its directory is read whole.

    Raises:
        DecodeError: it is no archive, or the directory is longer than that of any npz file.
    """
    end = body[-_END_BYTES:]
    is_large = body[-_END_BYTES - _LOCATOR_BYTES :].startswith(b"PK\x06\x07")  # zip64, from 4 GiB on
    if not end.startswith(b"PK\x05\x06") or is_large:
        raise DecodeError("The body is no npz file, or one with something behind it")
    if int.from_bytes(end[12:16], "little") > _MAX_DIRECTORY_BYTES:
        raise DecodeError("The npz archive has more members than a model has inputs")


# Answers --------------------------------------------------------------------------------------


def encode(outputs: Tensors, media_type: str) -> bytes:
    """Write an answer: the one output as npy, any outputs by name as npz.

    Raises:
        NotAcceptable: there are several, or an array cannot hold one.
    """
    if media_type == NPZ:
        return _write_archive(outputs)
    if len(outputs) > 1:
        raise NotAcceptable(f"The answer has {len(outputs)} outputs, and npy holds one array; ask for {NPZ}")
    ((name, array),) = outputs.items()
    return _write_array(name, array)


def _write_archive(outputs: Tensors) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, array in outputs.items():
            archive.writestr(zipfile.ZipInfo(name + _NPY_SUFFIX), _write_array(name, array))
    return out.getvalue()


def _write_array(name: str, array: Array) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, _without_objects(name, array), allow_pickle=False)
    return out.getvalue()


def _without_objects(name: str, array: Array) -> Array:
    """Return texts that are objects as an array of texts, each with room for the longest."""
    if array.dtype.kind != "O":
        return array
    cells = array.ravel().tolist()
    if not all(isinstance(cell, str) and not cell.endswith("\0") for cell in cells):
        raise NotAcceptable(f"Output {name!r} has values that no array holds; ask for application/json")
    if 4 * array.size * max(map(len, cells), default=0) > _MAX_TEXT_BYTES:
        raise NotAcceptable(
            f"The texts of output {name!r} are too long for an array; ask for application/json"
        )
    return array.astype(str)
