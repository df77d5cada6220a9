"""Histogram boosting: its categories, and its links."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from tests.acceleration.trees import models, naive
from tests.acceleration.trees.claims import is_same
from threadpoolctl import threadpool_limits

from demijohn.acceleration.engine import StepAside, Unconvertible
from demijohn.acceleration.trees.sklearn_trees import read


@pytest.fixture(scope="module")
def frame():
    random = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "size": random.normal(size=200),
            "colour": pd.Categorical(np.array(["red", "green", "blue"])[random.integers(0, 3, 200)]),
            "zone": pd.Categorical(random.integers(0, 5, 200) * 10),
        }
    )


@pytest.fixture(scope="module")
def target(frame):
    return frame["size"] + frame["zone"].astype(float) / 20 + (frame["colour"] == "red")


@pytest.fixture
def of_words(frame, target):
    with threadpool_limits(1):
        return HistGradientBoostingRegressor(max_iter=8, random_state=0).fit(frame, target)


def test_small_categories_stand_for_themselves_and_need_no_preparation():
    ensemble = read(models.fitted("HistGradientBoosting, small categories"), "predict")
    assert ensemble.prepare is None
    assert ensemble.categorical is not None
    assert set(ensemble.feature[ensemble.categorical >= 0]) == set(models.CATEGORICAL)


def test_other_categories_are_looked_up():
    ensemble = read(models.fitted("HistGradientBoosting, odd categories"), "predict")
    rows = np.zeros((4, models.N_COLUMNS))
    rows[:, 2] = [-3.5, 1e6, 0.26, np.nan]
    assert np.array_equal(ensemble.prepare(rows)[:, 2], [0, 4, np.nan, np.nan], equal_nan=True)
    assert rows[0, 2] == -3.5


def test_infinity_in_a_category_is_refused_as_the_encoder_does():
    model = models.fitted("HistGradientBoosting, odd categories")
    rows = models.ODD[:1].copy()
    rows[0, 2] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        model.predict(rows)
    with pytest.raises(StepAside):
        naive.step(read(model, "predict"))(rows)


def test_a_column_of_which_nothing_is_known_is_missing():
    rows = models.ODD.copy()
    rows[:, 2] = np.nan
    rows[:, 4] += 0.5
    with threadpool_limits(1):
        model = HistGradientBoostingRegressor(max_iter=5, categorical_features=[2, 4]).fit(
            rows, models.NUMBER
        )
    rows[:20, 2] = 5.0
    assert is_same(naive.step(read(model, "predict"))(rows[:40]), model.predict(rows[:40]))


def test_categories_of_words_are_not_read_for_a_matrix(of_words):
    with pytest.raises(Unconvertible, match="no numbers"):
        read(of_words, "predict")


def test_categories_of_words_are_read_for_the_matrix_that_the_encoder_makes(of_words, frame):
    rows = of_words._preprocessor.transform(frame)
    step = naive.step(read(of_words, "predict", is_encoded=True))
    assert is_same(step(rows), of_words.predict(frame))


def test_a_frame_of_numbers_is_read_as_a_matrix(frame, target):
    numbers = frame[["size", "zone"]]
    with threadpool_limits(1):
        model = HistGradientBoostingClassifier(max_iter=8).fit(numbers, target > 1.2)
    step = naive.step(read(model, "predict_proba"))
    assert is_same(step(numbers.to_numpy(dtype=float)), model.predict_proba(numbers))


def test_an_encoded_classifier_without_categories_is_read_as_it_is():
    model = models.fitted("HistGradientBoosting, texts")
    rows = models.X[:30]
    step = naive.step(read(model, "predict", is_encoded=True))
    assert is_same(step(rows), model.predict(rows))


def test_an_unknown_link_is_not_read(of_words):
    class CauchitLink:
        pass

    of_words._loss.link = CauchitLink()
    with pytest.raises(Unconvertible, match="CauchitLink"):
        read(of_words, "predict", is_encoded=True)
