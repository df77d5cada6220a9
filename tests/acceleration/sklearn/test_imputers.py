import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, OneHotEncoder
from tests.acceleration.sklearn.comparing import NUMPY, answers_alike, steps_aside

from demijohn.acceleration.engine import Unconvertible
from demijohn.acceleration.sklearn import tables
from demijohn.acceleration.sklearn.building import Building

RANDOM = np.random.default_rng(2)
MATRIX = RANDOM.normal(size=(120, 4)).round(1)
GAPPY = np.where(RANDOM.random(MATRIX.shape) < 0.3, np.nan, MATRIX)


@pytest.mark.parametrize("strategy", ["mean", "median", "most_frequent", "constant"])
@pytest.mark.parametrize("indicates", [False, True])
def test_missing_numbers_are_filled(strategy, indicates):
    imputer = SimpleImputer(strategy=strategy, add_indicator=indicates).fit(GAPPY)
    answers_alike(imputer, GAPPY, method="transform", tolerance=0)
    answers_alike(imputer, MATRIX, method="transform", tolerance=0)


def test_a_number_may_stand_for_what_is_missing():
    imputer = SimpleImputer(missing_values=0.0).fit(MATRIX)
    engine, _ = answers_alike(imputer, MATRIX, method="transform", tolerance=0)
    assert steps_aside(engine, {"inputs": GAPPY})


@pytest.mark.parametrize("keeps", [False, True])
def test_a_column_without_values_is_dropped_or_kept(keeps):
    empty = GAPPY.copy()
    empty[:, 1] = np.nan
    imputer = SimpleImputer(keep_empty_features=keeps).fit(empty)
    answers_alike(imputer, GAPPY, method="transform", tolerance=0)


@pytest.mark.parametrize("features", ["missing-only", "all"])
def test_what_is_missing_is_indicated(features):
    gappy = np.column_stack([MATRIX[:, 0], GAPPY[:, 1:]])
    engine, _ = answers_alike(
        MissingIndicator(features=features).fit(gappy), gappy, method="transform", tolerance=0
    )
    surprise = {"inputs": np.array([[np.nan, 1.0, 1.0, 1.0]])}
    assert steps_aside(engine, surprise) == (features == "missing-only")


@pytest.mark.parametrize("arguments", [
    {"strategy": "most_frequent"}, {"strategy": "constant", "fill_value": "none"},
    {"strategy": "constant", "fill_value": "b", "missing_values": "?"},
])  # fmt: skip
def test_missing_texts_are_filled_before_they_are_encoded(arguments):
    gap = arguments.get("missing_values", np.nan)
    frame = pd.DataFrame({"x": ["a", gap, "b", "b"] * 9, "y": ["c", "d", gap, "c"] * 9}, dtype=object)
    model = make_pipeline(SimpleImputer(**arguments), OneHotEncoder(handle_unknown="ignore")).fit(frame)
    answers_alike(model, frame, method="transform", tolerance=0)


def test_texts_with_an_indicator_are_the_frameworks():
    frame = pd.DataFrame({"x": ["a", np.nan, "b", "b"]}, dtype=object)
    model = make_pipeline(
        SimpleImputer(strategy="most_frequent", add_indicator=True), OneHotEncoder()
    ).fit(frame)  # fmt: skip
    with pytest.raises(Unconvertible):
        tables.make_step(model, "transform", Building("numpy", codes={"a": 0, "b": 1}, texts=frozenset({0})))


def test_an_imputer_of_nothing_is_the_frameworks():
    with pytest.raises(Unconvertible, match="drops all"):
        tables.make_step(SimpleImputer().fit(np.full((3, 1), np.nan)), "transform", NUMPY)


def test_numbers_and_texts_are_filled_side_by_side():
    frame = pd.DataFrame({"x": ["a", None, "b", "b"] * 9, "n": [1.0, np.nan, 3.0, 4.0] * 9})
    columns = ColumnTransformer([
        ("n", make_pipeline(SimpleImputer(strategy="median"), MaxAbsScaler()), ["n"]),
        ("x", make_pipeline(
            SimpleImputer(missing_values=None, strategy="most_frequent"), OneHotEncoder()), ["x"]),
    ])  # fmt: skip
    frame = frame.astype({"x": object})
    frame["x"] = frame["x"].where(frame["x"].notna(), None)
    answers_alike(columns.fit(frame), frame, method="transform", tolerance=0)
