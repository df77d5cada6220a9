"""Numbers moved by the kernels from where they stand to where a model wants them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .built import _kernels

Floats = npt.NDArray[np.float64]

_FLOAT64 = np.dtype(np.float64)
_ndarray = np.ndarray


def turn_columns(columns: Floats) -> tuple[Floats, bool]:
    """Copy a matrix of which each column stands in one piece to one of which each row does.

    Args:
        columns: (n_rows, n_columns) float64, aligned.

    Returns:
        A fresh copy in C order, and whether one of its numbers is NaN.

    Raises:
        RuntimeError: The kernels are not built.
        ValueError: It is no such matrix.
    """
    out = _ndarray(columns.shape, _FLOAT64)
    return out, _kernels.turn_columns(columns, out)


def join_columns(columns: tuple[Floats, ...]) -> Floats:
    """Put columns side by side.

    Args:
        columns: One or more, (n_rows,) float64, each in one piece.

    Returns:
        A fresh array (n_rows, n_columns).

    Raises:
        RuntimeError: The kernels are not built.
        ValueError: A column is none, or not of the length of the first.
    """
    out = _ndarray((len(columns[0]), len(columns)), _FLOAT64)
    _kernels.join_columns(columns, out)
    return out


def find_codes(cells: npt.NDArray[np.object_], codes: dict[Any, float], unknown: float) -> Floats | None:
    """Look up texts.

    Args:
        cells: (n_rows,) of texts and None.
        codes: Of those that are known.
        unknown: The code of any other.

    Returns:
        (n_rows,), writable. None if a cell is something else.

    Raises:
        RuntimeError: The kernels are not built.
        ValueError: It is no array of objects with one dimension.
    """
    found = _kernels.find_codes(cells, codes, unknown)
    return None if found is None else np.frombuffer(found, _FLOAT64)


def copy_finite(numbers: bytes | memoryview, shape: tuple[int, ...]) -> Floats | None:
    """Copy numbers from wherever they stand, aligned or not.

    Args:
        numbers: Bytes of float64, in this machine's order, in C order.
        shape: Of them.

    Returns:
        A fresh array; None if one of the numbers is NaN or infinite.

    Raises:
        RuntimeError: The kernels are not built.
        ValueError: There are more bytes than the shape needs, or fewer.
    """
    out = _ndarray(shape, _FLOAT64)
    return out if _kernels.copy_finite(numbers, out) else None
