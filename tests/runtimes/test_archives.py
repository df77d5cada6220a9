"""Zip archives that were made to harm whoever unpacks them."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demijohn.errors import LoadError
from demijohn.runtimes import archives
from demijohn.runtimes.archives import check_archive


def packed(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def linked() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        link = zipfile.ZipInfo("a/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    return buffer.getvalue()


def doubled() -> bytes:
    return packed({"a/one": b"1", "a/two": b"2"}).replace(b"a/two", b"a/one")


def overlapping() -> bytes:
    """Two entries of the directory that stand for the same bytes."""
    content = packed({"a/one": b"1" * 50, "a/two": b"1" * 50})
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        first, second = archive.infolist()
    start = content.rindex(b"PK\x01\x02")
    at = start + 42
    assert struct.unpack_from("<L", content, at)[0] == second.header_offset
    return content[:at] + struct.pack("<L", first.header_offset) + content[at + 4 :]


def test_an_honest_archive_tells_its_members() -> None:
    content = packed({"a/one": b"1" * 1000, "a/b/two": b""}, zipfile.ZIP_DEFLATED)
    assert check_archive(content) == ("a/one", "a/b/two")


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: packed({"../evil": b""}), "leaves the archive: '../evil'"),
        (lambda: packed({"a/../../evil": b""}), "leaves the archive"),
        (lambda: packed({"/etc/evil": b""}), "leaves the archive"),
        (lambda: packed({"a\\..\\evil": b""}), "leaves the archive"),
        (lambda: packed({"C:/evil": b""}), "leaves the archive"),
        (lambda: packed({"a/evil0txt": b""}).replace(b"evil0", b"evil\0"), "leaves the archive"),
        (linked, "a member is a link: 'a/link'"),
        (doubled, "holds 'a/one' twice"),
        (overlapping, "share bytes"),
        (lambda: b"PK\x03\x04", "broken zip archive"),
        (lambda: packed({"a/one": b"1" * 50})[:-5], "broken zip archive"),
        (lambda: packed({"a/one": b"1" * 50}).replace(b"PK\x03\x04", b"PK\x05\x05"), "broken zip archive"),
    ],
)
def test_a_harmful_archive_is_refused(make: Callable[[], bytes], complaint: str) -> None:
    with pytest.raises(LoadError, match=complaint):
        check_archive(make())


def test_an_archive_that_unpacks_to_far_more_than_it_is_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "FREE_EXPANSION_BYTES", 1000)
    bomb = packed({"a": bytes(10**6)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(LoadError, match="would unpack to 1,000,000 bytes"):
        check_archive(bomb)


HONEST = packed({"a/one": b"1" * 100, "a/two": b"2" * 100}, zipfile.ZIP_DEFLATED)


@given(st.data())
def test_whatever_is_changed_in_an_archive_is_told_or_harmless(data: st.DataObject) -> None:
    content = bytearray(HONEST)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        check_archive(bytes(content))
    except LoadError:
        return
