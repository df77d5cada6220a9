"""npy and npz: arrays as they are, nothing unpickled, nothing believed."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from demijohn.config import Settings
from demijohn.errors import BodyTooLarge, DecodeError, NotAcceptable, RequestError, SignatureMismatch
from demijohn.messages import Array, NamedTensors, RowArray
from demijohn.protocols import npy_media
from demijohn.protocols.npy_media import NPY, NPZ

SETTINGS = Settings()


def npy(array: Array, version: tuple[int, int] | None = None, *, pickled: bool = False) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array, version, allow_pickle=pickled)
    return out.getvalue()


def npz(write: Any = np.savez, **named: Array) -> bytes:
    out = io.BytesIO()
    write(out, **named)
    return out.getvalue()


def read(body: bytes) -> Array:
    found = npy_media.decode(body, NPY, SETTINGS)
    assert isinstance(found, RowArray)
    return found.array


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


DTYPES = st.one_of(
    arrays.floating_dtypes(), arrays.integer_dtypes(), arrays.unsigned_integer_dtypes(),
    arrays.boolean_dtypes(), arrays.datetime64_dtypes(),
)  # fmt: skip


@given(
    arrays.arrays(DTYPES, arrays.array_shapes(max_dims=4)), st.booleans(), st.sampled_from([(1, 0), (2, 0)])
)
def test_an_array_comes_as_it_went(array: Array, is_fortran: bool, version: tuple[int, int]) -> None:
    given_array = np.asfortranarray(array) if is_fortran else array
    made = read(npy(given_array, version))
    assert made.dtype == array.dtype
    assert made.shape == array.shape
    assert made.tobytes() == array.tobytes()
    assert not made.flags.owndata
    again = npy_media.decode(npz(x=given_array), NPZ, SETTINGS)
    assert isinstance(again, NamedTensors)
    assert again.tensors["x"].tobytes() == array.tobytes()


def test_texts_are_texts_in_unicode_or_bytes() -> None:
    assert read(npy(np.array([["a", "é"], ["", "🚀"]]))).tolist() == [["a", "é"], ["", "🚀"]]
    assert read(npy(np.array(["ab"], ">U2"))).tolist() == ["ab"]
    assert read(npy(np.array([b"ab", b""]))).tolist() == [b"ab", b""]
    for point in (0xD800, 0x110000, 0xFFFFFFFF):
        with pytest.raises(DecodeError, match="Unicode"):
            read(npy(np.array(["a"])).replace(b"a\0\0\0", struct.pack("<I", point)))
    with pytest.raises(BodyTooLarge, match="2 texts"):
        npy_media.decode(npy(np.array(["a"] * 3)), NPY, Settings(max_elements=2))


def test_objects_are_never_unpickled() -> None:
    body = npy(np.array([print, 1], object), pickled=True)
    with pytest.raises(SignatureMismatch, match="never unpickled"):
        read(body)
    with pytest.raises(SignatureMismatch, match="never unpickled"):
        npy_media.decode(npz(x=np.array([print], object)), NPZ, SETTINGS)
    with pytest.raises(SignatureMismatch):
        read(header("{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,), }\n") + b"x" * 8)


def test_records_are_refused() -> None:
    with pytest.raises(SignatureMismatch, match="npz with an array for each column"):
        read(npy(np.zeros(2, [("a", "f8"), ("b", "i4")])))
    with pytest.raises(DecodeError):
        read(npy(np.zeros(2, "V8")))


@pytest.mark.parametrize(
    ("shape", "descr", "data"),
    [
        ("(1000000000000,)", "<f8", b"\0" * 8),
        ("(1000000000000, 0)", "<f8", b"\0" * 8),
        ("(1000000000000, 0)", "<f8", b""),
        ("(1," + " 1," * 64 + ")", "<f8", b"\0" * 8),
        ("(2,)", "<f8", b"\0" * 15),
        ("(2,)", "<f8", b"\0" * 17),
        ("(-1,)", "<f8", b"\0" * 8),
        ("(-1, -1)", "<f8", b"\0" * 8),
        ("(10000000000,)", "<U0", b""),
        ("(True,)", "<f8", b""),
        ("('a',)", "<f8", b""),
        ("(1,)", "no dtype", b""),
        ("(1,)", "<f8'*9999+'", b""),
        ("((((1,),),),)", "<f8", b""),
    ],
)
def test_a_header_is_not_believed(shape: str, descr: str, data: bytes) -> None:
    with pytest.raises(DecodeError):
        read(header(f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n") + data)


def test_what_is_no_npy_file_is_unreadable() -> None:
    for body in (b"", b"\x93NUMPY", b"[[1]]", b"\x93NUMPY\x09\x00", header("("), npz(x=np.zeros(1))):
        with pytest.raises(DecodeError):
            read(body)
    with pytest.raises(DecodeError):
        read(b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b"{}")


# npz ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_an_archive_has_arrays_by_name(write: Any) -> None:
    found = npy_media.decode(npz(write, a=np.arange(3), text=np.array(["x", "y", "z"])), NPZ, SETTINGS)
    assert isinstance(found, NamedTensors)
    assert {name: array.tolist() for name, array in found.tensors.items()} == {
        "a": [0, 1, 2], "text": ["x", "y", "z"],
    }  # fmt: skip


def archive(method: int = zipfile.ZIP_STORED, comment: bytes = b"", **members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as made:
        for name, content in members.items():
            made.writestr(f"{name}.npy", content)
        made.comment = comment
    return out.getvalue()


def test_an_archive_is_measured_before_it_is_decompressed() -> None:
    body = npz(np.savez_compressed, x=np.zeros(1 << 20))
    assert len(body) < 1 << 15
    with pytest.raises(BodyTooLarge):
        npy_media.decode(body, NPZ, Settings(max_body_bytes=8 << 20))
    size = struct.pack("<I", (8 << 20) + 128)
    assert body.count(size) >= 1
    with pytest.raises(DecodeError):  # a member that says it is smaller is read no further
        npy_media.decode(body.replace(size, struct.pack("<I", 200)), NPZ, SETTINGS)


def test_what_is_no_archive_of_arrays_is_unreadable() -> None:
    good = npy(np.zeros(2))
    for body in (
        b"",
        good,
        archive(),
        archive(zipfile.ZIP_BZIP2, x=good),
        archive(zipfile.ZIP_LZMA, x=good),
        archive(comment=b"more", x=good),
        archive(x=good)[:-1],
        archive(x=good) + b"more",
        archive(x=good).replace(b"x.npy", b"x.txt"),
        archive(x=good, y=good).replace(b"y.npy", b"x.npy"),
        archive(x=b"no array"),
        archive(x=good).replace(b"NUMPY", b"numpy"),
    ):
        with pytest.raises(DecodeError):
            npy_media.decode(body, NPZ, SETTINGS)


def test_a_directory_of_thousands_is_not_read() -> None:
    entry = archive(x=b"")
    start = entry.index(b"PK\x01\x02")
    directory = entry[start:-22] * 30_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 30_000, 30_000, len(directory), start, 0)
    with pytest.raises(DecodeError, match="more members"):
        npy_media.decode(entry[:start] + directory + end, NPZ, SETTINGS)


BODIES = [
    (NPY, npy(np.arange(4.0))),
    (NPY, npy(np.array(["ab", "c"]))),
    (NPZ, npz(a=np.arange(2), text=np.array(["x"]))),
    (NPZ, npz(np.savez_compressed, a=np.arange(100))),
]


@given(st.sampled_from(BODIES), st.data())
@settings(deadline=None, max_examples=300)
def test_a_broken_file_is_refused_or_read_and_nothing_else(
    kind: tuple[str, bytes], data: st.DataObject
) -> None:
    media_type, body = kind
    broken = bytearray(body)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del broken[data.draw(st.integers(0, len(body))) :]
    try:
        npy_media.decode(bytes(broken), media_type, SETTINGS)
    except RequestError:
        return


# Answers --------------------------------------------------------------------------------------


def test_an_answer_is_the_array_of_its_output() -> None:
    made = np.load(io.BytesIO(npy_media.encode({"predict": np.array([[1.5, np.nan]], np.float32)}, NPY)))
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, [[1.5, np.nan]])
    labels = np.load(io.BytesIO(npy_media.encode({"predict": np.array(["a", "bcd"], object)}, NPY)))
    assert labels.dtype == "<U3"
    assert labels.tolist() == ["a", "bcd"]


def test_outputs_by_name_are_an_archive() -> None:
    outputs = {"file": np.array([1, 2]), "text": np.array(["a", ""], object)}
    with np.load(io.BytesIO(npy_media.encode(outputs, NPZ))) as made:
        assert {name: made[name].tolist() for name in made.files} == {"file": [1, 2], "text": ["a", ""]}
    with pytest.raises(NotAcceptable, match="2 outputs"):
        npy_media.encode(outputs, NPY)


@pytest.mark.parametrize("values", [["a", None], [1, "a"], [[1], [1, 2]], ["a\0", "b"], ["x" * 2**20] * 17])
def test_an_answer_that_no_array_holds_is_not_acceptable(values: list[Any]) -> None:
    array = np.empty(len(values), object)
    array[:] = values
    for media_type in (NPY, NPZ):
        with pytest.raises(NotAcceptable, match="'predict'"):
            npy_media.encode({"predict": array}, media_type)
