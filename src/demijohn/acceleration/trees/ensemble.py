"""A tree ensemble as plain arrays: what every engine for trees is built from.

Rules of this room:
1. Nodes of all trees stand in one numbering. A split sends a row left if its value is at most the
   threshold; a missing value goes where ``missing_left`` says.
2. A row's leaves are added up tree by tree, in the ensemble's order, beginning with ``start``: the
   same additions in the same order as the framework's, so that the sum is equal to the last bit.
3. The arrays of a large forest are some hundred MB: they are read when they are first asked for, and
   whoever builds an engine of them lets them go. No step keeps an ensemble.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from demijohn.messages import Array

#: From here on an engine is worth sharing among processes: some 16 MB in the kernel's form, and in
#: onnxruntime 300 MB for each process that builds it.
LARGE_NODES = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """Trees, and what their sum becomes."""

    n_features: int
    roots: Array  #: (n_trees,) int32: a node each.
    column: Array  #: (n_trees,) int32: the first output that a tree's leaves are added to.
    feature: Array  #: (n_nodes,) int32; 0 at leaves.
    threshold: Array  #: (n_nodes,) float64; 0 at leaves.
    left: Array  #: (n_nodes,) int32; -1 at leaves.
    right: Array  #: (n_nodes,) int32; -1 at leaves.
    missing_left: Array  #: (n_nodes,) bool: a missing value goes left.
    leaf: Array  #: (n_nodes,) int32: at leaves, the row of ``values``; else 0.
    values: Array  #: (n_leaves, width) float64: added to outputs column ... column + width - 1.
    start: Array  #: (n_outputs,) float64: where the sum begins.
    finish: Callable[[Array], Array]  #: From sums (n_rows, n_outputs) to the method's result.
    casts_to_float32: bool  #: Rows are rounded to float32 first; what is too large for it is refused.
    allows_missing: bool  #: NaN is an answer to a split; else a row with one is refused.
    #: (n_nodes,) int32: at a split by category the row of ``left_categories``, else -1; None: there are none.
    #: A value that is negative, no whole number, or in no ``known_categories`` of its feature counts as
    #: missing there.
    categorical: Array | None = None
    left_categories: Array | None = None  #: (n, 8) uint32: bit i of word w: category 32 w + i goes left.
    known_categories: Array | None = None  #: (n_features, 8) uint32.
    #: Run before the trees: from the model's rows to those that the trees read, with the same columns (their
    #: categories become numbers, or NaN where they are unknown). None: the trees read the rows themselves.
    prepare: Callable[[Array], Array] | None = None
    #: The objects that own the nodes, where these alone tell what the arrays are. Two ensembles that are
    #: made of the same have equal nodes; equal values and start too, unless ``gives_leaves`` differs.
    made_of: tuple[Any, ...] = ()
    sums_in_float32: bool = False  #: Each addition is rounded; ``start`` and ``values`` are already.
    gives_leaves: bool = False  #: The sums are the number of the leaf in each tree, one output per tree.

    @property
    def n_outputs(self) -> int:
        """Number of sums per row."""
        return len(self.start)

    @property
    def width(self) -> int:
        """Number of values per leaf."""
        return int(self.values.shape[1])

    @property
    def n_nodes(self) -> int:
        """Number of nodes of all trees."""
        return len(self.left)


class UnreadEnsemble(Ensemble):
    """An ensemble whose large arrays are read when the first of them is asked for.

    What is given to ``later`` is there at once.
    """

    __slots__ = ("_n_nodes", "_read")
    _n_nodes: int
    _read: Callable[[], Mapping[str, Array | None]]

    @classmethod
    def later(
        cls, read: Callable[[], Mapping[str, Array | None]], n_nodes: int, **given: Any
    ) -> UnreadEnsemble:
        """Make one.

        Args:
            read: Returns all the fields that are not given, by name; called once.
            n_nodes: Of all trees.
            **given: The other fields.
        """
        made = object.__new__(cls)
        for name, value in {**given, "_read": read, "_n_nodes": n_nodes}.items():
            object.__setattr__(made, name, value)
        return made

    @property
    def n_nodes(self) -> int:
        """Number of nodes of all trees."""
        return self._n_nodes

    def __getattr__(self, name: str) -> Any:
        """Read what is missing; called for a field that is not there yet."""
        if name.startswith("_") or name not in Ensemble.__dataclass_fields__:
            raise AttributeError(f"an ensemble has no {name}")
        for field, value in self._read().items():
            object.__setattr__(self, field, value)
        return object.__getattribute__(self, name)
