"""The C extension. Source: _kernels.c."""

from mmap import mmap
from typing import Any, Self

import numpy.typing as npt

Array = npt.NDArray[Any]

class Forest:
    """A tree ensemble that runs."""

    def __new__(
        cls,
        *,
        n_features: int,
        roots: Array,
        column: Array,
        feature: Array,
        threshold: Array,
        left: Array,
        right: Array,
        missing_left: Array,
        leaf: Array,
        values: Array,
        start: Array,
        casts_to_float32: bool,
        allows_missing: bool,
        categorical: Array | None = None,
        left_categories: Array | None = None,
        known_categories: Array | None = None,
        sums_in_float32: bool = False,
    ) -> Self: ...
    @classmethod
    def from_packed(cls, buffer: bytes | memoryview | mmap | Array, /) -> Self: ...
    @property
    def n_features(self) -> int: ...
    @property
    def n_outputs(self) -> int: ...
    @property
    def n_trees(self) -> int: ...
    # 0, or not if some value is not theirs to answer. rows: (n_rows, n_features) float64; out: the sums.
    def add_up(self, rows: Array, out: Array, /) -> int: ...
    # out: (n_rows, n_trees) int32.
    def leaves(self, rows: Array, out: Array, /) -> int: ...
    # A copy of the block; from_packed of it is the same forest. A memory map of it is not even copied.
    def packed(self) -> bytes: ...

class Linear:
    """A linear model."""

    def __new__(
        cls, weights: Array, bias: Array, minus: Array | None, divide: Array | None, largest: float
    ) -> Self: ...
    @property
    def n_outputs(self) -> int: ...
    # 0, or not if some row is not its to answer. out: n_outputs numbers for each row, float64, of any shape.
    def scores(self, rows: Array, out: Array, /) -> int: ...
    # out: of one output 2 numbers for each row.
    def probabilities(self, rows: Array, out: Array, /) -> int: ...
    # Of a single row; -1 if it is not its to answer.
    def winner(self, row: Array, /) -> int: ...
    # out: (n_rows,) int64.
    def winners(self, rows: Array, out: Array, /) -> int: ...

class Network:
    """A neural network of dense layers."""

    def __new__(cls, n_features: int, largest: float, steps: tuple[tuple[Any, ...], ...]) -> Self: ...
    @property
    def n_outputs(self) -> int: ...
    # 0, or not if some value is not its to answer. (n_rows, n_features) to (n_rows, n_outputs), float32.
    def run(self, rows: Array, out: Array, /) -> int: ...

class Neighbors:
    """The nearest points of a row, and what they say.

    What those points (n_points, n_features), float64 in C order and not copied, say that are nearest to a
    row. ``targets`` are labels (n_points,) int32 below ``n_classes``, or with ``n_classes=0`` numbers
    (n_points, n_outputs) float64. Distances are sums of squared differences, or of absolute ones;
    ``is_weighted``: each point's say is one over its distance. ``vote(X, out)`` fills (n_rows,) int32 with
    the label that most are of, the lowest on a tie; ``average(X, out)`` fills (n_rows, n_outputs or
    n_classes) float64. They return 0; else some row is not theirs to answer (it is not finite, or the
    answer hangs on rounding, or on which of equally near points is taken), and what stands in ``out`` means
    nothing. ``tree`` is None or a k-d tree of scikit-learn: ``order`` (n_points,) int32, ``nodes``
    (n_nodes, 3) int32 of begin, end, is_leaf, and ``bounds`` (2, n_nodes, n_features) float64; with it, of
    equally near points the same are taken as there. Nobody may change these arrays.
    """

    def __new__(
        cls,
        points: Array,
        targets: Array,
        n_neighbors: int,
        n_classes: int,
        is_squared: bool,
        is_weighted: bool,
        tree: tuple[Array, Array, Array] | None,
    ) -> Self: ...
    # 0, or not if some row is not its to answer. rows: (n_rows, n_features) float64; out: (n_rows,) int32.
    def vote(self, rows: Array, out: Array, /) -> int: ...
    # out: (n_rows, n_outputs) float64.
    def average(self, rows: Array, out: Array, /) -> int: ...

class Tally:
    """Where the answers of one method are counted."""

    # places: requests, duration_s*, rows, answered_s, read_s, write_s, last, sizes*, joined*, inference_s*,
    # step_s. Of the histograms (*), that of the sum; the counts follow, one per bound and one more.
    def __new__(
        cls,
        values: memoryview[float],
        seconds: tuple[float, ...],
        sizes: tuple[float, ...],
        places: tuple[int, ...],
    ) -> Self: ...
    # The last two where the model was called for this answer alone: how long, and where calls of so many
    # rows are counted (the sum, then the count).
    def add(
        self,
        now: float,
        duration_s: float,
        n_rows: int,
        read_s: float,
        write_s: float,
        inference_s: float = ...,
        size: int = ...,
        /,
    ) -> None: ...

def add_to(values: memoryview[float], /, *pairs: float) -> None: ...
def are_between(numbers: bytearray, least: float, largest: float, /) -> bool: ...
def copy_finite(numbers: bytes | memoryview, out: Array, /) -> bool: ...
def find_numbers(body: bytes, max_bytes: int, /) -> tuple[tuple[str, ...], str, int, int, int] | None: ...
def find_codes(cells: Array, codes: dict[Any, float], unknown: float, /) -> bytearray | None: ...
def join_columns(columns: tuple[Array, ...], out: Array, /) -> bool: ...
def turn_columns(columns: Array, out: Array, /) -> bool: ...
def read_cells(text: bytes, begin: int, max_rows: int, /) -> tuple[int, int, int, int, bytearray] | None: ...
def read_columns(
    body: bytes, max_bytes: int, max_texts: int, /
) -> tuple[tuple[str, ...], str, int, int, bytearray, tuple[list[str] | None, ...]] | None: ...
def read_frame(
    body: bytes, max_cells: int, form: int, /
) -> tuple[bytes, str | None, bool, int, str, int, bytearray, tuple[list[str] | None, ...]] | None: ...
def read_matrix(body: bytes, max_elements: int, /) -> tuple[tuple[int, ...], bytearray] | None: ...
def read_records(
    body: bytes, max_cells: int, is_lines: bool, /
) -> tuple[tuple[str, ...], str, int, int, bytearray, tuple[list[str] | None, ...]] | None: ...
def read_table(
    text: bytes, begin: int, max_rows: int, width: int, /
) -> tuple[str, int, int, int, bytearray, tuple[list[str] | None, ...]] | None: ...
def read_tensor(
    body: bytes, max_elements: int, /
) -> tuple[bytes, str | None, tuple[int, ...], bool, bytearray] | None: ...
def round_to_float32(numbers: bytearray, /) -> bool: ...
