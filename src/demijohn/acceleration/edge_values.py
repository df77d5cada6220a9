"""The values on the edges of a column: what its dtype can hold, and where arithmetic breaks.

Rules of this room:
1. A value is offered only where ``signature.validate`` lets it through, from a protocol or from a
   caller in Python.
2. Values that a framework may refuse stand in a group by themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from demijohn.messages import Tensors
from demijohn.signature import Signature

MISSING: Final = object()  #: Stands for null; what it becomes depends on the dtype.
_MAX_CATEGORIES = 64  # per column and set
_F32 = np.finfo(np.float32)
#: Halfway between float32's largest and what would come next: it and all above are rounded to infinity.
_TOO_LARGE = 2.0**128 - 2.0**103

Values = dict["Column", Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a model's input, wherever its cells are."""

    tensor: str
    index: int | None  #: Among the cells of a row, in C order; None: the tensor is the column.
    dtype: str  #: As in ``TensorSpec``.
    is_nullable: bool
    is_closed: bool
    categories: tuple[Any, ...] | None = field(hash=False)
    seen: tuple[Any, ...] = field(hash=False)  #: Cells of the example.


def columns_of(signature: Signature, example: Tensors) -> list[Column]:
    """List the columns of a signature; the example tells the width where the signature does not."""
    columns = []
    for spec in signature.inputs:
        array = example[spec.name]
        rows = array.reshape(len(array), math.prod(array.shape[1:]))
        indices: Sequence[int | None] = [None] if array.ndim == 1 else range(rows.shape[1])
        for index in indices:
            cells = array if index is None else rows[:, index]
            columns.append(
                Column(
                    spec.name,
                    index,
                    spec.dtype,
                    spec.nullable,
                    spec.is_closed,
                    spec.categories,
                    tuple(cells.tolist()),
                )
            )
    return columns


def values_of(columns: Sequence[Column]) -> Iterator[tuple[str, Values]]:
    """Yield groups of values of one kind: a name, and what to write into which columns."""
    for name, offer in _GROUPS:
        found = {column: offer(column) for column in columns}
        yield name, {column: values for column, values in found.items() if values}


def landmark_values(columns: Sequence[Column], landmarks: Mapping[str | int, Sequence[float]]) -> Values:
    """Return each landmark and its two neighbours, for the columns of floats that have some."""
    values: Values = {}
    for column in columns:
        marks = landmarks.get(column.tensor if column.index is None else column.index, ())
        beside = [[np.nextafter(mark, -np.inf), mark, np.nextafter(mark, np.inf)] for mark in marks]
        found = [float(value) for three in beside for value in three]
        if found and _takes_floats(column):
            values[column] = found
    return values


Offer = Callable[[Column], Sequence[Any]]


def _floats(*values: float) -> Offer:
    """Offer floats to columns that can hold them; ``validate`` refuses what float32 rounds to infinity."""

    def offer(column: Column) -> Sequence[float]:
        if not _takes_floats(column):
            return ()
        if column.dtype == "float64":
            return values
        with np.errstate(over="ignore", under="ignore"):
            rounded = np.array(values).astype(column.dtype)
        return [v for v, r in zip(values, rounded, strict=True) if np.isfinite(r) == np.isfinite(v)]

    return offer


def _takes_floats(column: Column) -> bool:
    return column.dtype.startswith("float") and not column.is_closed


def _whole(*values: int) -> Offer:
    def offer(column: Column) -> Sequence[int]:
        if not _is_whole(column):
            return ()
        limits = np.iinfo(column.dtype)
        return [value for value in values if limits.min <= value <= limits.max]

    return offer


def _limits(column: Column) -> Sequence[int]:
    if not _is_whole(column):
        return ()
    limits = np.iinfo(column.dtype)
    return [int(limits.min), int(limits.min) + 1, int(limits.max) - 1, int(limits.max)]


def _is_whole(column: Column) -> bool:
    return column.dtype.startswith(("int", "uint")) and not column.is_closed


def _bools(column: Column) -> Sequence[bool]:
    return (True, False) if column.dtype == "bool" and not column.is_closed else ()


def _known(column: Column) -> Sequence[Any]:
    """Offer the categories themselves; the missing one comes as a missing value."""
    known = [value for value in column.categories or () if value is not None and value == value]
    step = max(1, math.ceil(len(known) / _MAX_CATEGORIES))
    return [*known[::step], *known[-1:]]


def _unknown_texts(column: Column) -> Sequence[str]:
    """Offer texts that are no category, most of them close to one."""
    if column.dtype not in {"str", "object"} or column.is_closed or not column.categories:
        return ()
    texts = [value for value in column.categories if isinstance(value, str)]
    if not texts:
        return ()
    first, last = texts[0], texts[-1]
    # numpy's own texts lose zero characters at their end: to them "a\0" is "a".
    offers = [
        "a value not known",
        "",
        " ",
        first.swapcase(),
        f" {first}",
        f"{last} ",
        f"{last}\0",
        first[:-1],
    ]
    offers += [f"{last}é", "Ünbekannt", "日本語", "nan", "None", "x" * 5_000]
    return [offer for offer in offers if offer not in texts]


def _unknown_numbers(column: Column) -> Sequence[float]:
    if column.is_closed or not column.categories:
        return ()
    numbers = [value for value in column.categories if _is_number(value) and value == value]
    if not numbers:
        return ()
    least, most = min(numbers), max(numbers)
    offers = [least - 1, most + 1, *([] if _is_whole(column) else [least + 0.5, np.nextafter(most, np.inf)])]
    if _is_whole(column):
        limits = np.iinfo(column.dtype)
        offers = [offer for offer in offers if limits.min <= offer <= limits.max]
    return [offer for offer in offers if offer not in numbers]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _texts(column: Column) -> Sequence[str]:
    """Offer texts to a column of free text."""
    if column.dtype != "str" or column.categories:
        return ()
    seen = next((cell for cell in column.seen if isinstance(cell, str)), "a text")
    offers = [
        "",
        " ",
        "a",
        "0",
        "12.5",
        seen.upper(),
        seen.title(),
        f"{seen}\0",
        f"{seen}\n{seen}\t",
        seen * 50,
    ]
    return [
        *offers,
        "Straße İstanbul ﬁne",
        "日本語 текст",
        "e\u0301 é",
        "🙂 ok",
        "don't e-mail_me",
        "\u00a0\u2028",
    ]


def _other_kinds(column: Column) -> Sequence[Any]:
    """Offer the other kinds of scalar to a column that takes any."""
    if column.dtype != "object" or column.is_closed:
        return ()
    return (0, 1, -7, 2**53 + 1, 0.0, -0.0, 1.5, 1e300, True, False, "", "a text", "1.5")


def _instants(column: Column) -> Sequence[Any]:
    if not column.dtype.startswith("datetime64"):
        return ()
    texts = (
        "1970-01-01",
        "1969-12-31T23:59:59",
        "2000-02-29",
        "2024-12-31T23:59:59",
        "1678-01-01",
        "2262-01-01",
    )
    return [np.datetime64(text).astype(column.dtype) for text in texts]


def _missing(column: Column) -> Sequence[Any]:
    return (MISSING,) if column.is_nullable else ()


def _signed(*values: float) -> Offer:
    return _floats(*values, *(-value for value in values))


_GROUPS: Sequence[tuple[str, Offer]] = (
    ("zeros", _floats(0.0, -0.0)),
    ("ones", _signed(1.0, float(np.nextafter(1.0, 2.0)), 0.5)),
    (
        "tiny values",
        _signed(5e-324, 1e-310, 2.2250738585072014e-308, 1e-46, 1.4e-45, 1e-40, float(_F32.tiny)),
    ),
    ("values of a million", _signed(1e6, 2.0**24, 2.0**24 + 1)),
    ("values of 1e15", _signed(1e15, 2.0**53, 2.0**53 + 2)),
    ("values just under float32's largest", _signed(3e38, float(_F32.max), math.nextafter(_TOO_LARGE, 0))),
    ("values just over float32's largest", _signed(_TOO_LARGE, 3.5e38)),
    ("huge values", _signed(1e200, 1e300)),
    ("values near the largest double", _signed(1.7e308, float(np.finfo(np.float64).max))),
    ("infinities", _signed(math.inf)),
    ("NaN", _floats(math.nan)),
    ("small whole numbers", _whole(0, 1, -1, 2, 100, 255)),
    ("whole numbers beside the limits of shorter types", _whole(2**24 + 1, 2**31 - 1, 2**31, -(2**31) - 1)),
    ("whole numbers that no double holds", _whole(2**53 + 1, -(2**53) - 1)),
    ("whole numbers at their limits", _limits),
    ("bools", _bools),
    ("known categories", _known),
    ("unknown categories", _unknown_texts),
    ("unknown numbers", _unknown_numbers),
    ("odd texts", _texts),
    ("values of other kinds", _other_kinds),
    ("instants", _instants),
    ("missing values", _missing),
)
