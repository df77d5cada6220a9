"""Kernels in C: running trees, networks, linear models and neighbours, reading bodies in one pass, sums.

Rules of this room:
1. Demijohn works without them. Where they could not be built when it was installed, ``IS_BUILT`` is false,
   ``WHY_NOT`` says so, and whoever would use them takes another way; calling them is then a RuntimeError.
2. They answer what they are sure of, to the last bit, and say of the rest that it is not theirs.
3. They check what they are given: whatever stands in arrays, nothing outside them is read or written.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt

from .built import IS_BUILT, WHY_NOT, _kernels
from .moving import copy_finite, find_codes, join_columns, turn_columns
from .reading import (
    Cells,
    ReadFrame,
    ReadRecords,
    ReadTable,
    find_numbers,
    read_cells,
    read_columns,
    read_frame,
    read_matrix,
    read_records,
    read_rows,
    read_table,
)

__all__ = [
    "IS_BUILT",
    "WHY_NOT",
    "Cells",
    "Forest",
    "Linear",
    "Neighbors",
    "Network",
    "ReadFrame",
    "ReadRecords",
    "ReadTable",
    "Tally",
    "add_to",
    "are_between",
    "copy_finite",
    "find_codes",
    "find_numbers",
    "join_columns",
    "read_cells",
    "read_columns",
    "read_frame",
    "read_matrix",
    "read_records",
    "read_rows",
    "read_table",
    "read_tensor",
    "round_to_float32",
    "turn_columns",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Bits = npt.NDArray[np.uint32]

#: ``Linear(weights, bias, minus, divide, largest)`` is a linear model in float64, of weights (n_features,
#: n_outputs), bias (n_outputs,), and what is taken from a row and what it is then divided by, (n_features,)
#: or None. Of X (n_rows, n_features) ``scores(X, out)`` fills ``out`` with ``(X - minus) / divide @ weights
#: + bias``, within 5e-10 of what any order of the sums gives, relative to each score; ``probabilities(X,
#: out)`` fills ``out`` with the softmax of scores that are within 1e-10 as such (of one output: what its
#: logistic function leaves of 1, and that); ``winners(X, out)`` says which score is the largest (of one
#: output: whether it is positive), in whatever order. They return 0; else some row is not sure to be so, or
#: has a value that is NaN, infinite or, with its weight, beyond ``largest``, or X is not float64 in C order
#: or has no row, and what stands in ``out`` means nothing. ``winner(X)`` returns that of a single row, or
#: -1. Any number of threads may call them at once.
Linear = _kernels.Linear
#: ``Network(n_features, largest, steps)`` is a neural network in float32: ``run(X, out)`` takes X (n_rows,
#: n_features) float32 in C order and fills ``out`` (n_rows, n_outputs). It returns 0; else some value is NaN
#: or beyond ``largest``, or an answer is not finite, and what stands in ``out`` means nothing. A step begins
#: with its kind (see ``_network.h``): (0, weights, bias), (1, minus, times, plus), or (kind, alpha).
#: Any number of threads may run it at once.
Network = _kernels.Network
#: ``Neighbors(points, targets, n_neighbors, n_classes, is_squared, is_weighted, tree)`` says what the points
#: nearest to a row say: see the stub. Any number of threads may run it at once.
Neighbors = _kernels.Neighbors
#: ``add_to(values, place, amount, place, amount, ...)`` does ``values[place] += amount`` for up to 16 pairs,
#: one caller at a time; ``values`` is a memoryview of float64. Without the kernels it does so, but slower.
add_to = _kernels.add_to
#: ``Tally(values, seconds, sizes, places)`` adds what is counted of one answer: see the stub.
#: Without the kernels it does so, but slower.
Tally = _kernels.Tally
#: ``read_tensor(body, max_elements)`` reads a JSON body in which "data" stands as a key once, before a
#: list of numbers, or of lists, all of one shape, down to numbers. It returns (rest, id, shape,
#: are_whole, numbers): the body with ``[]`` in their place, at most 1,024 bytes; the string that "id"
#: has, "" standing in its place there, or None where it has none; the shape of the lists; whether each
#: number is written as an integer that float64 holds, and all around it; and a bytearray of float64. The
#: body is JSON exactly if the rest is; all else it says. None if the body is anything else, be it fine or
#: broken: the general reader answers it.
read_tensor = _kernels.read_tensor
#: ``round_to_float32(numbers)`` rounds each float64 of a bytearray to the nearest float32, in its place.
#: It returns whether all of them are finite then.
round_to_float32 = _kernels.round_to_float32
#: ``are_between(numbers, least, largest)`` says whether each float64 of a bytearray is neither less nor
#: larger.
are_between = _kernels.are_between


class Forest(_kernels.Forest):
    """A tree ensemble that runs: the arrays are copied, checked and put in order once.

    ``add_up(X, out)`` and ``leaves(X, out)`` take X (n_rows, n_features) float64 in C order and fill ``out``:
    the sums, (n_rows, n_outputs) float64, or the leaves' numbers in the arrays given here, (n_rows, n_trees)
    int32. They return 0; else some value is not theirs to answer (NaN where none is allowed, infinity, what
    float32 or a category does not hold), and what stands in ``out`` means nothing.
    Any number of threads may call them at once.

    ``packed()`` gives the whole as bytes, for ``from_packed`` of this version on this kind of machine:
    several processes can share one memory map of it (which nobody may change meanwhile). ``from_packed``
    believes nothing in it, and raises ValueError.
    """

    __slots__ = ("__weakref__",)

    def __new__(  # noqa: PLR0913 - one per array of an ensemble
        cls,
        *,
        n_features: int,
        roots: Ints,
        column: Ints,
        feature: Ints,
        threshold: Floats,
        left: Ints,
        right: Ints,
        missing_left: npt.NDArray[np.bool_],
        leaf: Ints,
        values: Floats,
        start: Floats,
        casts_to_float32: bool,
        allows_missing: bool,
        categorical: Ints | None = None,
        left_categories: Bits | None = None,
        known_categories: Bits | None = None,
        sums_in_float32: bool = False,
    ) -> Self:
        """Make a forest of the arrays of ``acceleration.trees.ensemble.Ensemble``, whose fields these are.

        Raises:
            ValueError: An index leads nowhere, a node stands in two places, a threshold is NaN, lengths
                contradict each other, or there is more than the kernel can number.
            RuntimeError: The kernels are not built.
        """
        return super().__new__(
            cls,
            n_features=n_features,
            roots=np.ascontiguousarray(roots, np.int32),
            column=np.ascontiguousarray(column, np.int32),
            feature=np.ascontiguousarray(feature, np.int32),
            threshold=np.ascontiguousarray(threshold, np.float64),
            left=np.ascontiguousarray(left, np.int32),
            right=np.ascontiguousarray(right, np.int32),
            missing_left=np.ascontiguousarray(missing_left, np.bool_),
            leaf=np.ascontiguousarray(leaf, np.int32),
            values=np.ascontiguousarray(values, np.float64),
            start=np.ascontiguousarray(start, np.float64),
            casts_to_float32=casts_to_float32,
            allows_missing=allows_missing,
            categorical=None if categorical is None else np.ascontiguousarray(categorical, np.int32),
            left_categories=_bits(left_categories, categorical),
            known_categories=_bits(known_categories, categorical),
            sums_in_float32=sums_in_float32,
        )


def _bits(sets: Bits | None, categorical: Ints | None) -> Bits | None:
    return None if sets is None or categorical is None else np.ascontiguousarray(sets, np.uint32)
