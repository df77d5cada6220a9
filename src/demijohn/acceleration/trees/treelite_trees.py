"""Tree ensembles in treelite, for machines without a kernel.

Rules of this room:
1. treelite adds up leaves in float64, in one thread: the request's own.
2. It takes any row, so rows are looked at here, rounded to float32 where the framework does that, and
   a category that is not known becomes a missing value, which treelite sends the framework's way.

Source: treelite 4.8, treelite/model_builder.py and treelite/gtil.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from demijohn.acceleration.engine import Step, StepAside, Unconvertible
from demijohn.messages import Array

from .ensemble import Ensemble

#: treelite takes a node at a time from Python, 3 to 5 µs each.
MAX_NODES = 500_000
_WORD_BITS = 32


def step(ensemble: Ensemble) -> Step:
    """Build the model.

    Raises:
        Unconvertible: treelite is missing, the ensemble is too large, or its leaves have a form that
            treelite does not know.
    """
    try:
        import treelite
    except ImportError as error:
        raise Unconvertible('treelite is not installed: pip install "demijohn[accel]"') from error
    if ensemble.n_nodes > MAX_NODES:
        raise Unconvertible(f"{ensemble.n_nodes:,} nodes, more than treelite builds in a few seconds")
    model = _model(treelite, ensemble)
    look_at, finish, start, shape = (
        _reader(ensemble),
        ensemble.finish,
        ensemble.start,
        (-1, ensemble.n_outputs),
    )
    predict = treelite.gtil.predict

    def run(rows: Array) -> Array:
        sums: Array = predict(model, look_at(rows), nthread=1).reshape(shape)
        sums += start
        return finish(sums)

    return run


def _reader(ensemble: Ensemble) -> Callable[[Array], Array]:
    """Make what turns rows into those that treelite may answer."""
    unknown = _known_columns(ensemble)

    def look_at(rows: Array) -> Array:
        if ensemble.prepare is not None:
            rows = ensemble.prepare(rows)
        if ensemble.casts_to_float32:
            with np.errstate(over="ignore"):
                rows = rows.astype(np.float32).astype(np.float64)
        if not len(rows):  # of which scikit-learn has an opinion of its own
            raise StepAside
        is_finite = np.isfinite(rows)
        if not is_finite.all() and not (ensemble.allows_missing and np.isnan(rows[~is_finite]).all()):
            raise StepAside
        return _without_unknown(rows, unknown) if unknown else rows

    return look_at


def _known_columns(ensemble: Ensemble) -> dict[int, Array]:
    """Return the known categories, ascending, of each column that is split by category."""
    if ensemble.categorical is None or ensemble.known_categories is None:
        return {}
    columns = np.unique(ensemble.feature[ensemble.categorical >= 0])
    return {int(column): _members(ensemble.known_categories[column]) for column in columns}


def _without_unknown(rows: Array, known: dict[int, Array]) -> Array:
    found = rows.copy()
    for column, categories in known.items():
        found[~np.isin(rows[:, column], categories), column] = np.nan
    return found


def _model(treelite: Any, ensemble: Ensemble) -> Any:
    builder = _builder(treelite, ensemble)
    ends = [*ensemble.roots[1:].tolist(), len(ensemble.feature)]
    write = _writer(builder, ensemble)
    for root, end in zip(ensemble.roots.tolist(), ends, strict=True):
        builder.start_tree()
        for node in range(root, end):
            builder.start_node(node - root)
            write(node, root)
            builder.end_node()
        builder.end_tree()
    return builder.commit()


def _builder(treelite: Any, ensemble: Ensemble) -> Any:
    parts = treelite.model_builder
    n_trees, n_outputs = len(ensemble.roots), ensemble.n_outputs
    if ensemble.width not in {1, n_outputs} or (ensemble.width > 1 and ensemble.column.any()):
        raise Unconvertible(
            f"leaves of {ensemble.width} values for {n_outputs} outputs have no form in treelite"
        )
    is_wide = ensemble.width > 1
    return parts.ModelBuilder(
        threshold_type="float64",
        leaf_output_type="float64",
        metadata=parts.Metadata(
            num_feature=ensemble.n_features,
            task_type="kMultiClf" if n_outputs > 1 else "kRegressor",
            average_tree_output=False,
            num_target=1,
            num_class=[n_outputs],
            leaf_vector_shape=(1, ensemble.width),
        ),
        tree_annotation=parts.TreeAnnotation(
            num_tree=n_trees,
            target_id=[0] * n_trees,
            class_id=[-1] * n_trees if is_wide else ensemble.column.tolist(),
        ),
        postprocessor=parts.PostProcessorFunc(name="identity_multiclass" if n_outputs > 1 else "identity"),
        base_scores=[0.0] * n_outputs,  # treelite would add them last
    )


def _writer(builder: Any, ensemble: Ensemble) -> Callable[[int, int], None]:
    """Make what writes a node of the ensemble into a tree that begins at ``root``."""
    feature, threshold = ensemble.feature.tolist(), ensemble.threshold.tolist()
    left, right = ensemble.left.tolist(), ensemble.right.tolist()
    missing_left, leaf = ensemble.missing_left.tolist(), ensemble.leaf.tolist()
    values = ensemble.values.tolist() if ensemble.width > 1 else ensemble.values[:, 0].tolist()
    categorical = None if ensemble.categorical is None else ensemble.categorical.tolist()
    sets = np.empty((0, 8)) if ensemble.left_categories is None else ensemble.left_categories

    def write(node: int, root: int) -> None:
        if left[node] < 0:
            builder.leaf(values[leaf[node]])
            return
        ways = {
            "default_left": missing_left[node],
            "left_child_key": left[node] - root,
            "right_child_key": right[node] - root,
        }
        if categorical is None or categorical[node] < 0:
            builder.numerical_test(feature[node], threshold[node], opname="<=", **ways)
            return
        members = _members(sets[categorical[node]]).tolist()
        builder.categorical_test(
            feature[node], category_list=members, category_list_right_child=False, **ways
        )

    return write


def _members(words: Array) -> Array:
    """Return the numbers in a set: bit i of word w is number 32 w + i."""
    bits = (words[:, np.newaxis] >> np.arange(_WORD_BITS, dtype=np.uint32)) & 1
    return np.flatnonzero(bits)
