import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, OrdinalEncoder, TargetEncoder
from tests.acceleration.sklearn.comparing import NUMPY, answers_alike, repeated, steps_aside, tensors_of

from demijohn.acceleration.engine import Unconvertible
from demijohn.acceleration.sklearn import encoders, program, tables
from demijohn.acceleration.sklearn.building import Building
from demijohn.runtimes import wrap

RANDOM = np.random.default_rng(1)
TOWNS = ["Ulm", "Bern", "Graz", "Linz", "Chur", "Aarau"]
FRAME = pd.DataFrame({
    "town": RANDOM.choice(TOWNS, 300, p=[0.4, 0.3, 0.2, 0.05, 0.03, 0.02]),
    "plan": RANDOM.choice(["a", "b"], 300),
    "rooms": RANDOM.integers(1, 6, 300),
})  # fmt: skip
STRANGE = pd.DataFrame({"town": ["Ulm", "Atlantis", "Aarau"], "plan": ["c", "a", "b"], "rooms": [3, 99, 1]})
TARGET = RANDOM.integers(0, 3, 300)


@pytest.mark.parametrize("arguments", [
    {},
    {"sparse_output": False, "dtype": np.float32},
    {"dtype": int},
    {"drop": "first"},
    {"drop": "if_binary"},
    {"drop": ["Graz", "b", 3]},
    {"categories": [[*reversed(TOWNS), "Genf"], ["b", "a"], [1, 2, 3, 4, 5, 7]]},
    {"min_frequency": 30},
    {"max_categories": 3, "drop": "first"},
])  # fmt: skip
@pytest.mark.parametrize("unknown", ["error", "ignore", "infrequent_if_exist"])
def test_one_column_per_category(arguments, unknown):
    encoder = OneHotEncoder(handle_unknown=unknown, **arguments).fit(FRAME)
    engine, _runtime = answers_alike(encoder, FRAME, method="transform", tolerance=0)
    tensors = {name: STRANGE[name].to_numpy() for name in STRANGE}
    if unknown == "error":
        assert steps_aside(engine, tensors)
    else:
        answers_alike(encoder, STRANGE, method="transform", tolerance=0)


@pytest.mark.parametrize("arguments", [
    {},
    {"handle_unknown": "use_encoded_value", "unknown_value": -1},
    {"handle_unknown": "use_encoded_value", "unknown_value": np.nan, "encoded_missing_value": -2},
    {"dtype": np.float32, "min_frequency": 30},
    {"max_categories": 2, "handle_unknown": "use_encoded_value", "unknown_value": 50},
])  # fmt: skip
def test_one_number_per_category(arguments):
    frame = FRAME.astype({"rooms": float})
    frame.loc[frame.index % 7 == 0, "rooms"] = np.nan
    encoder = OrdinalEncoder(**arguments).fit(frame)
    engine, _ = answers_alike(encoder, frame, method="transform", tolerance=0)
    if "handle_unknown" in arguments:
        answers_alike(encoder, STRANGE.astype({"rooms": float}), method="transform", tolerance=0)
    else:
        assert steps_aside(engine, {name: STRANGE[name].to_numpy() for name in STRANGE})


@pytest.mark.parametrize("target", [TARGET, TARGET > 0, TARGET * 1.5])
def test_the_mean_of_the_target_per_category(target):
    encoder = TargetEncoder(random_state=0).fit(FRAME, target)
    answers_alike(encoder, FRAME, method="transform", tolerance=0)
    answers_alike(encoder, STRANGE, method="transform", tolerance=0)


@pytest.mark.parametrize("encode", ["ordinal", "onehot", "onehot-dense"])
def test_bins(encode):
    matrix = RANDOM.normal(size=(200, 3))
    binning = KBinsDiscretizer(4, encode=encode, quantile_method="averaged_inverted_cdf").fit(matrix)
    answers_alike(binning, matrix * 3, method="transform", tolerance=0)


def test_whole_numbers_in_a_matrix():
    matrix = RANDOM.integers(0, 5, (100, 3))
    answers_alike(
        OneHotEncoder(handle_unknown="ignore").fit(matrix), matrix + 2, method="transform", tolerance=0
    )


def test_categories_of_two_kinds_of_missing_values_are_the_frameworks():
    frame = pd.DataFrame({"x": ["a", None, np.nan, "b"]}, dtype=object)
    model = OneHotEncoder().fit(frame)
    with pytest.raises(Unconvertible, match="two kinds of missing"):
        program.build(wrap(model), "transform", NUMPY)


def test_numbers_too_large_for_a_float_are_the_frameworks():
    model = OneHotEncoder().fit(np.array([[2**60], [2**60 + 1]]))
    with pytest.raises(Unconvertible):
        program.build(wrap(model), "transform", NUMPY)


@given(
    st.lists(st.sampled_from([0.0, 1.0, 2.5, -7.0, np.nan, 99.0]), min_size=1, max_size=40),
    st.sampled_from([-1, np.nan]),
)
def test_few_rows_are_looked_up_as_many_are(cells, unknown):
    known = np.array([[0.0], [1.0], [2.5], [-7.0], [np.nan]])
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=unknown).fit(known)
    step = tables.make_step(encoder, "transform", NUMPY)
    rows = np.array(cells)[:, None]
    one_by_one = np.vstack([step(row[None]) for row in rows])
    np.testing.assert_array_equal(step(rows), one_by_one)
    np.testing.assert_array_equal(step(rows), encoder.transform(rows))


def test_a_large_vocabulary_is_looked_up_in_dicts(monkeypatch):
    monkeypatch.setattr(encoders, "_LARGEST_TABLE", 3)
    encoder = OneHotEncoder(handle_unknown="ignore").fit(FRAME)
    answers_alike(encoder, STRANGE, method="transform", tolerance=0)


def test_an_encoder_of_texts_takes_no_numbers():
    encoder = OneHotEncoder().fit(FRAME[["town"]])
    codes = {town: code for code, town in enumerate(TOWNS)}
    with pytest.raises(Unconvertible, match="not of its column's type"):
        tables.make_step(encoder, "transform", Building("numpy", codes=codes))


def test_encoders_follow_each_other():
    model = make_pipeline(OrdinalEncoder(), OneHotEncoder(handle_unknown="ignore")).fit(FRAME)
    engine, runtime = answers_alike(model, FRAME, method="transform", tolerance=0)
    assert engine.run(tensors_of(runtime, repeated(FRAME, 2)))["transform"].flags.c_contiguous
