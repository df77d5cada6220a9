"""What stands in for the C extension where it could not be built: the same names, which refuse.

Only sums are a matter of a few lines: those are had in Python.
"""

from __future__ import annotations

import os
import sysconfig
import threading
from bisect import bisect_left
from typing import NoReturn

WHY_NOT = (
    "Demijohn was installed without its C kernels: free-threaded Python has no stable ABI to build them for"
    if sysconfig.get_config_var("Py_GIL_DISABLED")
    else "Demijohn was installed without its C kernels: no C compiler (or no Python.h) was found then"
)


class Forest:
    """Refuses to be made."""

    __slots__ = ()

    def __new__(cls, **_: object) -> NoReturn:
        raise RuntimeError(WHY_NOT)

    @classmethod
    def from_packed(cls, _: object, /) -> NoReturn:
        raise RuntimeError(WHY_NOT)


class Linear:
    """Refuses to be made."""

    __slots__ = ()

    def __new__(cls, *_: object, **__: object) -> NoReturn:
        raise RuntimeError(WHY_NOT)


class Network:
    """Refuses to be made."""

    __slots__ = ()

    def __new__(cls, *_: object, **__: object) -> NoReturn:
        raise RuntimeError(WHY_NOT)


class Neighbors:
    """Refuses to be made."""

    __slots__ = ()

    def __new__(cls, *_: object, **__: object) -> NoReturn:
        raise RuntimeError(WHY_NOT)


def are_between(_numbers: bytearray, _least: float, _largest: float, /) -> NoReturn:
    """Refuse to compare."""
    raise RuntimeError(WHY_NOT)


def find_numbers(_body: bytes, _max_bytes: int, /) -> NoReturn:
    """Refuse to look."""
    raise RuntimeError(WHY_NOT)


def copy_finite(_numbers: object, _out: object, /) -> NoReturn:
    """Refuse to move anything."""
    raise RuntimeError(WHY_NOT)


def find_codes(_cells: object, _codes: object, _unknown: float, /) -> NoReturn:
    """Refuse to look."""
    raise RuntimeError(WHY_NOT)


def join_columns(_columns: object, _out: object, /) -> NoReturn:
    """Refuse to move anything."""
    raise RuntimeError(WHY_NOT)


def turn_columns(_columns: object, _out: object, /) -> NoReturn:
    """Refuse to move anything."""
    raise RuntimeError(WHY_NOT)


def read_cells(_text: bytes, _begin: int, _max_rows: int, /) -> NoReturn:
    """Refuse to read."""
    raise RuntimeError(WHY_NOT)


def read_columns(_body: bytes, _max_bytes: int, _max_texts: int, /) -> NoReturn:
    """Refuse to read."""
    raise RuntimeError(WHY_NOT)


def read_frame(_body: bytes, _max_cells: int, _form: int, /) -> NoReturn:
    """Refuse to read."""
    raise RuntimeError(WHY_NOT)


def read_matrix(_body: bytes, _max_elements: int, /) -> NoReturn:
    """Refuse to read."""
    raise RuntimeError(WHY_NOT)


def read_records(_body: bytes, _max_cells: int, _is_lines: bool, /) -> NoReturn:
    """Refuse to read."""
    raise RuntimeError(WHY_NOT)


def read_table(_text: bytes, _begin: int, _max_rows: int, _width: int, /) -> NoReturn:
    """Refuse to read."""
    raise RuntimeError(WHY_NOT)


def read_tensor(_body: bytes, _max_elements: int, /) -> NoReturn:
    """Refuse to read."""
    raise RuntimeError(WHY_NOT)


def round_to_float32(_numbers: bytearray, /) -> NoReturn:
    """Refuse to round."""
    raise RuntimeError(WHY_NOT)


_adding = [threading.Lock()]


def add_to(values: memoryview[float], /, *pairs: float) -> None:
    """Add to numbers, one caller at a time; see the package's ``add_to``."""
    with _adding[0]:
        for place, amount in zip(pairs[::2], pairs[1::2], strict=True):
            values[int(place)] += amount


class Tally:
    """Where the answers of one method are counted; see the package's ``Tally``."""

    def __init__(
        self,
        values: memoryview[float],
        seconds: tuple[float, ...],
        sizes: tuple[float, ...],
        places: tuple[int, ...],
    ) -> None:
        self._values = values
        self._bounds = seconds, sizes
        self._places = places

    def add(
        self,
        now: float,
        duration_s: float,
        n_rows: int,
        read_s: float,
        write_s: float,
        inference_s: float | None = None,
        size: int = 0,
        /,
    ) -> None:
        """Count one answer."""
        seconds, sizes = self._bounds
        requests, duration, rows, answered, read, write, last, size_of, joined, inference, step = self._places
        pairs: list[float] = [
            requests, 1.0, *_in_histogram(duration, seconds, duration_s), rows, n_rows, answered, duration_s,
            read, read_s, write, write_s,
        ]  # fmt: skip
        if inference_s is not None:
            pairs += _in_histogram(size_of, sizes, n_rows) + _in_histogram(joined, sizes, 1.0)
            pairs += [*_in_histogram(inference, seconds, inference_s), step, inference_s]
            pairs += [size, inference_s, size + 1, 1.0]
        add_to(self._values, *pairs)
        self._values[last] = now


def _in_histogram(place: int, bounds: tuple[float, ...], amount: float) -> list[float]:
    return [place, amount, place + 1 + bisect_left(bounds, amount), 1.0]


def _forget_lock() -> None:
    _adding[0] = threading.Lock()


os.register_at_fork(after_in_child=_forget_lock)  # it may have been copied while it was held
