"""Thrift's compact protocol: the same as thrift reads, or an error."""

from __future__ import annotations

import pytest

from demijohn.protocols.thrift_compact import BINARY, I32, I64, Fields, Reader

FIELDS: Fields = {1: I32, 2: I32, 3: BINARY, 4: {1: I64}, 5: [I32], 6: [{1: I32}]}


def test_fields_are_read_and_others_passed_over() -> None:
    content = (
        b"\x15\x02\x15\x03"  # 1: 1, 2: -2
        b"\x18\x02ab"  # 3: "ab"
        b"\x1c\x16\x80\x01\x00"  # 4: {1: 64}
        b"\x19\x25\x02\x04"  # 5: [1, 2]
        b"\x19\x1c\x15\x06\x00"  # 6: [{1: 3}]
        b"\x11\x12\x13\x07\x14\x01\x17\x00\x00\x00\x00\x00\x00\x00\x00"  # 7 to 11: bools, byte, i16, double
        b"\x1c\x15\x02\x00"  # 12: a struct
        b"\x05\x28\x02\x00"  # 20, written in full
    )
    reader = Reader(content + b"more")
    assert reader.struct(FIELDS) == {1: 1, 2: -2, 3: b"ab", 4: {1: 64}, 5: [1, 2], 6: [{1: 3}]}
    assert reader.position == len(content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x15",
        b"\x15\x02",
        b"\x15" + b"\xff" * 10 + b"\0",
        b"\x15\x00\x15\x00\x05\x04\x02\0",  # field 2 twice
        b"\x15\x00\x05\x84\x80\x08\x02\0",  # field 65538, which thrift takes for 2
        b"\x15\x80\x80\x80\x80\x20\0",  # beyond an i32
        b"\x16\x02\0",  # field 1 as an i64, which thrift skips
        b"\x1c\x00\0",  # field 1 as a struct
        b"\x38\x04ab\0",  # a text that is longer than what is left
        b"\x59\xf5\xff\x0f\0",  # a list that is
        b"\x59\x18\x00\0",  # a list of texts, which thrift reads as numbers
        b"\xa9\x15\x02\0",  # a list that nobody knows
        b"\xab\x00\0",  # a map
        b"\x1c" * 40,
    ],
)
def test_what_thrift_might_read_otherwise_is_refused(content: bytes) -> None:
    with pytest.raises((IndexError, ValueError)):
        Reader(content).struct(FIELDS)
