"""Parquet files that no library writes: their footers are written here, in thrift's compact protocol."""

from __future__ import annotations

import struct


def varint(number: int) -> bytes:
    return bytes([number & 0x7F | 0x80]) + varint(number >> 7) if number > 0x7F else bytes([number])


def thrift_field(before: int, number: int, kind: int, value: bytes = b"") -> bytes:
    return bytes([(number - before) << 4 | kind]) + value


def deep_file(depth: int) -> bytes:
    """Write a footer whose schema is a group in a group in a group."""
    repetition, name = thrift_field(0, 3, 5, b"\2"), thrift_field(3, 4, 8, b"\1g")
    group = repetition + name + thrift_field(4, 5, 5, b"\2") + b"\0"
    leaf = thrift_field(0, 1, 5, b"\2") + thrift_field(1, 3, 5, b"\2") + thrift_field(3, 4, 8, b"\1x") + b"\0"
    schema = b"\xfc" + varint(depth + 1) + group * depth + leaf
    footer = thrift_field(0, 1, 5, b"\2") + thrift_field(1, 2, 9, schema) + thrift_field(2, 3, 6, b"\0")
    footer += thrift_field(3, 4, 9, b"\x0c") + b"\0"
    return b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1"
