"""Trees and forests: what is particular to them."""

from __future__ import annotations

import pytest
from sklearn.ensemble import RandomForestRegressor, RandomTreesEmbedding
from tests.acceleration.trees import models

from demijohn.acceleration.engine import Unconvertible
from demijohn.acceleration.trees.sklearn_trees import read


def test_a_sparse_embedding_is_not_read():
    model = RandomTreesEmbedding(2, random_state=0).fit(models.X)
    with pytest.raises(Unconvertible, match="sparse"):
        read(model, "transform")


def test_a_forest_of_someone_elses_trees_is_not_read():
    class Tree:
        pass

    model = RandomForestRegressor(2).fit(models.X, models.NUMBER)
    model.estimators_[1] = Tree()
    with pytest.raises(Unconvertible, match="RandomForestRegressor of Tree"):
        read(model, "predict")


def test_leaves_of_equal_values_share_them():
    model = models.fitted("RandomForest, binary")
    ensemble = read(model, "predict_proba")
    assert ensemble.values.tolist() == [[0.0, 1.0], [1.0, 0.0]]
