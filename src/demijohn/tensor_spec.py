"""One input or output of a model: ``TensorSpec``, and the layouts in which inputs stand together.

Rules of this room:
1. Axis 0 of every shape is the row, written -1; any other -1 is a size that varies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .messages import Array

Layout = Literal["matrix", "table", "vector", "tensors"]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output.

    ``dtype`` is a numpy name ("float64", "int64", "bool", "datetime64[ns]"), "str", or "object"
    where any scalar will do.
    """

    name: str
    dtype: str = "float64"
    shape: tuple[int, ...] = (-1,)
    nullable: bool = False  #: Missing values (null, an empty CSV cell) are allowed.
    categories: tuple[Any, ...] | None = None  #: The values the model knows, in its own order.
    is_closed: bool = False  #: The model refuses a value outside ``categories``.
    is_optional: bool = False  #: The column may be left out; its cells are then missing.
    #: Axes after the row's whose sizes differ from row to row; the tensor is then an array of rows.
    ragged_rank: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the form in which ``GET /models/{name}`` shows it."""
        return {
            "name": self.name,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "nullable": self.nullable,
            "categories": None if self.categories is None else list(self.categories),
        }

    def __str__(self) -> str:
        """Write ``name: dtype (n_rows, 4)``, with ``?`` after a dtype that may be missing."""
        return f"{self.name}: {self.dtype}{'?' if self.nullable else ''} {shape_text(self.shape)}"


def shape_text(shape: Sequence[int]) -> str:
    """Write a spec's shape for people: ``(n_rows, 28, any)``."""
    sizes = ", ".join(["n_rows", *("any" if n < 0 else str(n) for n in shape[1:])])
    return f"({sizes}{',' if len(shape) == 1 else ''})"


def dtype_name(array: Array) -> str:
    """Name an array's dtype as a ``TensorSpec`` does."""
    if array.dtype.kind in "US":
        return "str"
    if array.dtype.kind == "O":
        return "str" if all(isinstance(value, str) for value in array.flat) else "object"
    return array.dtype.name
