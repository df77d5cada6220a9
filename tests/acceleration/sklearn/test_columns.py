import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    SplineTransformer,
    StandardScaler,
)
from tests.acceleration.sklearn.comparing import NUMPY, answers_alike, steps_aside, tensors_of

from demijohn.acceleration.engine import Unconvertible
from demijohn.acceleration.sklearn import program
from demijohn.runtimes import wrap

RANDOM = np.random.default_rng(0)
N_ROWS = 200


def frame_of(n_rows=N_ROWS):
    return pd.DataFrame({
        "age": RANDOM.normal(40, 10, n_rows).round(1),
        "income": RANDOM.lognormal(3, 1, n_rows).round(2),
        "visits": RANDOM.integers(0, 9, n_rows),
        "is_member": RANDOM.integers(0, 2, n_rows).astype(bool),
        "town": RANDOM.choice(["Ulm", "Bern", "Graz", "Linz"], n_rows),
        "plan": RANDOM.choice(["a", "b"], n_rows),
    })  # fmt: skip


FRAME = frame_of()
LABELS = np.where(FRAME.age + FRAME.income > 60, "yes", "no")
NUMBERS, TEXTS = ["age", "income"], ["town", "plan"]


def with_gaps(frame, columns, share=0.2):
    gappy = frame.copy()
    for name in columns:
        gappy[name] = gappy[name].astype(object).where(RANDOM.random(len(frame)) > share, None)
    return gappy


def test_numbers_and_texts_side_by_side_are_answered_bit_for_bit():
    columns = ColumnTransformer([
        ("n", StandardScaler(), NUMBERS), ("t", OneHotEncoder(handle_unknown="ignore"), TEXTS),
    ])  # fmt: skip
    answers_alike(columns.fit(FRAME), FRAME, method="transform", tolerance=0)
    model = make_pipeline(columns, LogisticRegression()).fit(FRAME, LABELS)
    for method in ("predict", "predict_proba", "decision_function"):
        engine, _ = answers_alike(model, FRAME, method=method)
        assert engine.is_whole


def test_an_unknown_category_is_ignored_where_the_encoder_ignores_it():
    columns = ColumnTransformer([("t", OneHotEncoder(handle_unknown="ignore", sparse_output=False), TEXTS)])
    strange = FRAME.assign(town="Atlantis")
    answers_alike(columns.fit(FRAME), strange, method="transform", tolerance=0)


def test_missing_numbers_and_texts_are_imputed():
    gappy = with_gaps(FRAME, [*NUMBERS, *TEXTS])
    frame = gappy.astype(dict.fromkeys(NUMBERS, float)).fillna(dict.fromkeys(TEXTS, np.nan))
    model = make_pipeline(
        ColumnTransformer([
            ("n", make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), NUMBERS),
            ("t", make_pipeline(
                SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")), TEXTS),
        ]),
        LogisticRegression(),
    ).fit(frame, LABELS)  # fmt: skip
    answers_alike(model, gappy, method="predict_proba")
    answers_alike(model[:-1], gappy, method="transform", tolerance=0)


@pytest.mark.parametrize("missing", [None, np.nan])
def test_a_missing_text_is_a_category_where_the_encoder_has_seen_one(missing):
    frame = with_gaps(FRAME, TEXTS)[TEXTS].astype(object)
    frame = frame.where(frame.notna(), missing)
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(frame)
    answers_alike(encoder, frame, method="transform", tolerance=0)


@pytest.mark.parametrize("columns", [
    NUMBERS, [0, 1], [-6, -5], slice(0, 2), slice("age", "income"), ["age"], [True, True, *[False] * 4],
    make_column_selector(pattern="age|inc"), lambda frame: [c for c in frame if c.startswith("a")],
])  # fmt: skip
def test_columns_may_be_named_in_every_way(columns):
    model = ColumnTransformer([("n", MinMaxScaler(), columns)]).fit(FRAME)
    answers_alike(model, FRAME, method="transform", tolerance=0)


def test_the_remainder_is_dropped_kept_or_transformed():
    numbers = FRAME[["age", "income", "visits"]].astype(float)
    for remainder in ("drop", "passthrough", StandardScaler()):
        columns = ColumnTransformer([("n", MinMaxScaler(), ["income"])], remainder=remainder)
        model = make_pipeline(columns, LogisticRegression()).fit(numbers, LABELS)
        answers_alike(model, numbers, method="predict_proba")


def test_whole_numbers_and_bools_are_columns_too():
    model = make_pipeline(
        ColumnTransformer([
            ("n", StandardScaler(), ["visits", "is_member"]), ("k", "passthrough", ["age"]),
            ("o", OneHotEncoder(handle_unknown="ignore"), ["visits", "is_member"]), ("d", "drop", ["plan"]),
        ]),
        LogisticRegression(),
    ).fit(FRAME, LABELS)  # fmt: skip
    answers_alike(model, FRAME, method="predict_proba", example=FRAME)


def test_pandas_categories_are_texts():
    frame = FRAME.astype({"town": "category", "plan": "category"})
    model = make_pipeline(
        ColumnTransformer([("o", OneHotEncoder(handle_unknown="ignore"), TEXTS)], remainder="drop"),
        LogisticRegression(),
    ).fit(frame, LABELS)
    answers_alike(model, FRAME, example=frame)


def test_parts_are_weighted():
    columns = ColumnTransformer(
        [("a", StandardScaler(), ["age"]), ("b", MinMaxScaler(), ["income"])],
        transformer_weights={"a": 0.3},
    )
    answers_alike(columns.fit(FRAME), FRAME, method="transform", tolerance=0)
    matrix = FRAME[NUMBERS].to_numpy()
    union = FeatureUnion(
        [("a", StandardScaler()), ("k", "passthrough"), ("d", "drop"), ("b", MinMaxScaler())],
        transformer_weights={"a": 0.3},
    )
    answers_alike(union.fit(matrix), matrix, method="transform", tolerance=0)


def test_a_matrix_is_split_by_position():
    matrix = FRAME[["age", "income", "visits"]].to_numpy(dtype=float)
    columns = ColumnTransformer(
        [("a", StandardScaler(), [2, 0]), ("b", OneHotEncoder(handle_unknown="ignore"), [2])],
        remainder="passthrough",
    )
    answers_alike(columns.fit(matrix), matrix, method="transform", tolerance=0)


def test_steps_that_do_nothing_do_nothing():
    matrix = FRAME[NUMBERS].to_numpy()
    steps = [("a", "passthrough"), ("b", StandardScaler()), ("c", None), ("d", LogisticRegression())]
    from sklearn.pipeline import Pipeline

    answers_alike(Pipeline(steps).fit(matrix, LABELS), matrix, method="predict_proba")
    kept = Pipeline([("b", StandardScaler()), ("d", "passthrough")]).fit(matrix)
    answers_alike(kept, matrix, method="transform", tolerance=0)


def test_an_overflow_between_steps_is_the_frameworks():
    matrix = FRAME[NUMBERS].to_numpy()
    model = make_pipeline(FunctionTransformer(np.square), MinMaxScaler(clip=True), LogisticRegression())
    engine, _ = answers_alike(model.fit(matrix, LABELS), matrix, method="predict_proba")
    assert steps_aside(engine, {"inputs": np.array([[1.0, 1e200]])})


def test_an_unknown_category_is_refused_where_the_encoder_refuses_it():
    model = ColumnTransformer([("o", OrdinalEncoder(), TEXTS)]).fit(FRAME)
    engine, runtime = answers_alike(model, FRAME, method="transform", tolerance=0)
    tensors = tensors_of(runtime, FRAME[:3])
    tensors["town"] = np.array(["Ulm", "Atlantis", "Graz"], dtype=object)
    assert steps_aside(engine, tensors)


def test_a_head_without_translation_is_run_by_the_framework():
    matrix = FRAME[NUMBERS].to_numpy()
    spline = make_pipeline(
        SplineTransformer(extrapolation="linear"), StandardScaler(), LogisticRegression()
    ).fit(matrix, LABELS)
    engine, _ = answers_alike(spline, matrix, method="predict_proba")
    assert not engine.is_whole
    nothing_of_it = {"inputs": np.array([[np.nan, 1.0]])}
    assert steps_aside(engine, nothing_of_it)


def test_a_head_of_texts_is_run_by_the_framework():
    texts = pd.DataFrame(
        {"text": ["good day", "bad day", "good night", "bad night"] * 9, "x": np.arange(36.0)}
    )
    columns = ColumnTransformer([("t", CountVectorizer(), "text"), ("x", StandardScaler(), ["x"])])
    model = make_pipeline(columns, LogisticRegression()).fit(texts, np.arange(36) % 3)
    engine, _ = answers_alike(model, texts, method="predict_proba")
    assert not engine.is_whole


def test_texts_that_come_out_are_not_taken_for_numbers():
    for model in (
        ColumnTransformer([("k", "passthrough", TEXTS)]).fit(FRAME),
        ColumnTransformer([("k", SimpleImputer(strategy="most_frequent"), TEXTS)]).fit(FRAME),
    ):
        with pytest.raises(Unconvertible):
            program.build(wrap(model), "transform", NUMPY)
