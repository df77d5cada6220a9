"""Thrift's compact protocol, read more strictly than thrift does.

Arrow's reader of Parquet's footers and page headers believes them; whoever wants to know beforehand what it
will find must read the same. So whatever thrift would wrap, skip or read twice is refused here: a number too
long for its type, a field that comes twice or is of another type, a list of other elements than it should
have.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12
_TRUE, _FALSE, _BYTE, _I16, _DOUBLE = 1, 2, 3, 4, 7
_BYTES = {_TRUE: 0, _FALSE: 0, _BYTE: 1, _DOUBLE: 8}  # a bool is its type, and nothing more
_INTEGERS = frozenset({_I16, I32, I64})
_BITS = {I32: 31, I64: 63}
_MOST_SHIFT = 63
_MOST_FIELDS = 100
_MOST_NESTED = 16

#: The fields of a struct that are looked at, by number: I32, I64 or BINARY, a struct's own fields, or a list
#: of one of these. All lists must be there, since nothing else says what is in them.
Fields = Mapping[int, Any]
Struct = dict[int, Any]  #: The fields that were looked at and are there.


class Reader:
    """Reads structs.

    Args:
        content: Begins with a struct.

    Raises:
        IndexError, ValueError: by all methods: the bytes end, or are no struct.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.position = 0

    def struct(self, wanted: Fields, depth: int = 0) -> Struct:
        """Read a struct."""
        if depth > _MOST_NESTED:
            raise ValueError("nested too deep")
        content, position = self._content, self.position
        fields: Struct = {}
        number = seen = 0
        while (head := content[position]) != 0:  # "stop field"
            delta, kind = head >> 4, head & 0x0F
            self.position = position + 1
            number = number + delta if delta else self._integer(I32)
            if not 0 < number < _MOST_FIELDS or seen >> number & 1:
                raise ValueError("a field that is there twice, or that no struct has")
            seen |= 1 << number
            if number in wanted:
                fields[number] = self._value(kind, wanted[number], depth)
            else:
                self._pass(kind, depth)
            position = self.position
        self.position = position + 1
        return fields

    def _value(self, kind: int, wanted: Any, depth: int) -> Any:
        if kind == wanted:
            return self._binary() if kind == BINARY else self._integer(kind)
        if type(wanted) is dict:
            if kind == STRUCT:
                return self.struct(wanted, depth + 1)
        elif type(wanted) is list and kind == LIST:
            return self._list(wanted[0], depth)
        raise ValueError("a field of another type")

    def _list(self, wanted: Any, depth: int) -> list[Any]:
        head = self._content[self.position]
        self.position += 1
        size, kind = head >> 4, head & 0x0F
        if size == 15:
            size = self._varint()
        if size > len(self._content) - self.position:
            raise ValueError("a list longer than what is left")
        return [self._value(kind, wanted, depth + 1) for _ in range(size)]

    def _pass(self, kind: int, depth: int) -> None:
        """Pass over a value that is not looked at."""
        if kind in _INTEGERS:
            self._varint()
        elif kind == BINARY:
            self._binary()
        elif kind == STRUCT:
            self.struct({}, depth + 1)
        elif kind in _BYTES:
            self.position += _BYTES[kind]
        else:
            raise ValueError("a list that no struct has")

    def _binary(self) -> bytes:
        size = self._varint()
        start, self.position = self.position, self.position + size
        if self.position > len(self._content):
            raise ValueError("a text longer than what is left")
        return self._content[start : self.position]

    def _varint(self) -> int:
        content, position = self._content, self.position
        value = content[position]
        if value >= 0x80:  # most are short
            value &= 0x7F
            shift = 0
            while True:
                position += 1
                shift += 7
                if shift > _MOST_SHIFT:
                    raise ValueError("a number too long")
                octet = content[position]
                value |= (octet & 0x7F) << shift
                if octet < 0x80:
                    break
        self.position = position + 1
        return value

    def _integer(self, kind: int) -> int:
        zigzag = self._varint()
        value = (zigzag >> 1) ^ -(zigzag & 1)
        if not -(1 << _BITS[kind]) <= value < 1 << _BITS[kind]:
            raise ValueError("a number too long")
        return value
