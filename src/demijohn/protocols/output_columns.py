"""An answer as columns, for the media types that are tables."""

from __future__ import annotations

from demijohn.messages import Array, Tensors


def columns_of(outputs: Tensors) -> list[tuple[str, Array]]:
    """Return one column ``(n_rows,)`` per one-dimensional output, ``name_0``… for those of a matrix."""
    columns: list[tuple[str, Array]] = []
    for name, array in outputs.items():
        if array.ndim == 1:
            columns.append((name, array))
        else:
            flat = array.reshape(len(array), -1)
            columns += [(f"{name}_{index}", flat[:, index]) for index in range(flat.shape[1])]
    return columns
