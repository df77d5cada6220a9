"""Tree ensembles on Demijohn's own kernel.

Rules of this room:
1. The kernel looks at every value of the rows itself; what it is not sure of makes the step stand aside.
2. Nothing but the kernel, one empty array and ``finish`` stands between rows and answer: this is the path
   on which a microsecond counts.
3. A forest in the kernel's form is in memory once, however many steps run it: ``predict`` and
   ``predict_proba`` differ in ``finish`` alone, and ``apply`` asks the same forest for its leaves. A
   process that is forked finds those of its parent.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np

from demijohn import kernels
from demijohn.acceleration.engine import Step, StepAside, Unconvertible
from demijohn.messages import Array

from .ensemble import Ensemble


class _Origin(NamedTuple):
    """What a forest was read from; see ``Ensemble``."""

    made_of: tuple[Any, ...]
    gives_leaves: bool


#: The forests that somebody runs. An origin holds the trees' own objects, so that no other object gets
#: their place in memory while they stand for a forest.
_origins: WeakKeyDictionary[kernels.Forest, _Origin] = WeakKeyDictionary()
_by_content: WeakValueDictionary[bytes, kernels.Forest] = WeakValueDictionary()


def step(ensemble: Ensemble) -> Step:
    """Have the kernel run an ensemble; its arrays are not kept.

    Raises:
        Unconvertible: the kernel is not built on this machine, or does not take this ensemble.
    """
    forest = forest_of(ensemble)
    run = (_number if ensemble.gives_leaves else _add_up)(forest, ensemble)
    prepare = ensemble.prepare or _whole_categories(ensemble)
    return run if prepare is None else lambda rows: run(prepare(rows))


def forest_of(ensemble: Ensemble) -> kernels.Forest:
    """Return the ensemble in the kernel's form, the very one that others run if there is one.

    Where that is known beforehand, the ensemble's nodes are not read.

    Raises:
        Unconvertible: the kernel is not built on this machine, or does not take this ensemble.
    """
    if not kernels.IS_BUILT:
        raise Unconvertible(kernels.WHY_NOT)
    found = _find(ensemble)
    if found is None:
        packed = _pack(ensemble)
        digest = blake2b(packed.packed(), digest_size=32).digest()
        found = _by_content.setdefault(digest, packed)
        if ensemble.made_of:
            _origins.setdefault(found, _Origin(ensemble.made_of, ensemble.gives_leaves))
    return found


def _find(ensemble: Ensemble) -> kernels.Forest | None:
    """Find a forest that was made of the same trees; any has their leaves, not any their values."""
    if not ensemble.made_of:
        return None
    for reference in _origins.keyrefs():  # a copy, so no lock that a fork could leave shut
        forest = reference()
        origin = None if forest is None else _origins.get(forest)
        if origin is None or (origin.gives_leaves and not ensemble.gives_leaves):
            continue
        if _are_same(origin.made_of, ensemble.made_of):
            return forest
    return None


def _are_same(some: tuple[Any, ...], others: tuple[Any, ...]) -> bool:
    return len(some) == len(others) and all(one is other for one, other in zip(some, others, strict=True))


def _add_up(forest: kernels.Forest, ensemble: Ensemble) -> Step:
    add_up, finish, n_outputs, empty = forest.add_up, ensemble.finish, ensemble.n_outputs, np.empty

    def run(rows: Array) -> Array:
        n_rows = len(rows)
        sums = empty((n_rows, n_outputs))
        if add_up(rows, sums) or not n_rows:  # of no rows scikit-learn has an opinion of its own
            raise StepAside
        return finish(sums)

    return run


def _number(forest: kernels.Forest, ensemble: Ensemble) -> Step:
    leaves, finish, roots, empty = forest.leaves, ensemble.finish, ensemble.roots, np.empty

    def run(rows: Array) -> Array:
        n_rows = len(rows)
        nodes = empty((n_rows, len(roots)), np.int32)
        if leaves(rows, nodes) or not n_rows:
            raise StepAside
        nodes -= roots  # from the ensemble's numbering to each tree's own
        return finish(nodes)

    return run


def _pack(ensemble: Ensemble) -> kernels.Forest:
    try:
        return kernels.Forest(
            n_features=ensemble.n_features,
            roots=ensemble.roots,
            column=ensemble.column,
            feature=ensemble.feature,
            threshold=ensemble.threshold,
            left=ensemble.left,
            right=ensemble.right,
            missing_left=ensemble.missing_left,
            leaf=ensemble.leaf,
            values=ensemble.values,
            start=ensemble.start,
            casts_to_float32=ensemble.casts_to_float32,
            allows_missing=ensemble.allows_missing,
            categorical=ensemble.categorical,
            left_categories=ensemble.left_categories,
            known_categories=ensemble.known_categories,
            sums_in_float32=ensemble.sums_in_float32,
        )
    except ValueError as error:
        raise Unconvertible(f"the kernel does not take this ensemble: {error}") from error


def _whole_categories(ensemble: Ensemble) -> Callable[[Array], Array] | None:
    """Make missing what is no whole number, as the framework's encoder does; the kernel would cut it off."""
    if ensemble.known_categories is None or ensemble.categorical is None:  # the first is there unread
        return None
    columns = np.unique(ensemble.feature[ensemble.categorical >= 0])

    def whole(rows: Array) -> Array:
        categories = rows[:, columns]
        is_whole = np.floor(categories) == categories  # of infinities too, which are the framework's
        if is_whole.all():
            return rows
        rows = rows.copy()
        rows[:, columns] = np.where(is_whole, categories, np.nan)
        return rows

    return whole
