import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from tests.acceleration.sklearn.comparing import NUMPY, answers_alike, steps_aside

from demijohn.acceleration.engine import Unconvertible
from demijohn.acceleration.sklearn import preprocessing, tables

RANDOM = np.random.default_rng(3)
MATRIX = RANDOM.normal(2, 3, (200, 5))
GAPPY = np.where(RANDOM.random(MATRIX.shape) < 0.1, np.nan, MATRIX)
POSITIVE = np.abs(MATRIX) + 0.1

SCALERS = [
    StandardScaler(), StandardScaler(with_mean=False), StandardScaler(with_std=False),
    StandardScaler(with_mean=False, with_std=False), RobustScaler(), RobustScaler(with_centering=False),
    RobustScaler(with_scaling=False), MinMaxScaler(), MinMaxScaler((-2, 3), clip=True), MaxAbsScaler(),
    QuantileTransformer(n_quantiles=50), QuantileTransformer(n_quantiles=50, output_distribution="normal"),
    PowerTransformer(), PowerTransformer(standardize=False),
]  # fmt: skip


@pytest.mark.parametrize("scaler", SCALERS, ids=str)
def test_scalers_answer_bit_for_bit_and_keep_what_is_missing(scaler):
    scaler.fit(GAPPY)
    answers_alike(scaler, GAPPY, method="transform", tolerance=0)
    engine, _ = answers_alike(scaler, MATRIX * 3, method="transform", tolerance=0)
    assert steps_aside(engine, {"inputs": np.full((1, 5), np.inf)})


@pytest.mark.parametrize("transformer", [
    Normalizer(), Normalizer("l1"), Normalizer("max"), Binarizer(threshold=0.5), PolynomialFeatures(),
    PolynomialFeatures(3, interaction_only=True), PolynomialFeatures(4, include_bias=False),
    PolynomialFeatures((2, 3)), PolynomialFeatures((2, 2), include_bias=False), PolynomialFeatures(0),
    VarianceThreshold(), SelectKBest(k=3),
], ids=str)  # fmt: skip
def test_transformers_answer_bit_for_bit_and_refuse_what_is_missing(transformer):
    rows = np.vstack([MATRIX, np.zeros((1, 5))])
    transformer.fit(rows, rows[:, 2] > 0)
    engine, _ = answers_alike(transformer, rows, method="transform", tolerance=0)
    is_lenient = isinstance(transformer, VarianceThreshold)
    assert steps_aside(engine, {"inputs": GAPPY}) is not is_lenient


def test_box_cox_takes_positive_numbers_only():
    engine, _ = answers_alike(
        PowerTransformer("box-cox").fit(POSITIVE), POSITIVE, method="transform", tolerance=0
    )
    assert steps_aside(engine, {"inputs": np.zeros((1, 5))})


def test_functions_of_numpy_are_applied():
    for function in (np.log1p, np.sqrt, None):
        transformer = FunctionTransformer(function, validate=True).fit(POSITIVE)
        answers_alike(transformer, POSITIVE, method="transform", tolerance=0)


@pytest.mark.parametrize("function", [np.cumsum, lambda rows: rows, np.add])
def test_other_functions_are_not(function):
    with pytest.raises(Unconvertible, match="not one of numpy's"):
        tables.make_step(FunctionTransformer(function), "transform", NUMPY)


@pytest.mark.parametrize("estimator", [
    FunctionTransformer(np.log, kw_args={"casting": "same_kind"}), PolynomialFeatures(2, order="F"),
], ids=str)  # fmt: skip
def test_rare_settings_are_the_frameworks(estimator):
    with pytest.raises(Unconvertible):
        tables.make_step(estimator.fit(POSITIVE), "transform", NUMPY)


def test_a_selector_of_nothing_is_the_frameworks():
    selector = SelectKBest(k=1).fit(MATRIX, MATRIX[:, 0] > 0)
    selector.k = 0
    with pytest.raises(Unconvertible, match="selects no column"):
        tables.make_step(selector, "transform", NUMPY)


@pytest.mark.parametrize("transformer", [
    StandardScaler(), StandardScaler(with_mean=False), StandardScaler(with_std=False), MinMaxScaler(),
    RobustScaler(), FunctionTransformer(np.log, np.exp),
], ids=str)  # fmt: skip
def test_the_inverse_is_the_frameworks_own(transformer):
    rows = transformer.fit_transform(POSITIVE)
    wanted = transformer.inverse_transform(rows)
    np.testing.assert_array_equal(preprocessing.inverse_of(transformer)(rows), wanted)


def test_no_other_inverse_is_known():
    class Mine(StandardScaler):
        pass

    for transformer in (PowerTransformer().fit(POSITIVE), Mine().fit(POSITIVE)):
        with pytest.raises(Unconvertible):
            preprocessing.inverse_of(transformer)


@given(arrays(np.float64, (6, 5), elements=st.floats(-1e6, 1e6)))
def test_a_batch_is_its_rows_one_by_one(rows):
    for scaler in (StandardScaler(), MinMaxScaler(), Normalizer(), QuantileTransformer(n_quantiles=20)):
        step = tables.make_checked_step(scaler.fit(MATRIX), "transform", NUMPY)
        before = rows.copy()
        np.testing.assert_array_equal(step(rows), np.vstack([step(row[None]) for row in rows]))
        np.testing.assert_array_equal(rows, before)
