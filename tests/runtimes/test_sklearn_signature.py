import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    StandardScaler,
    TargetEncoder,
)
from tests.model_files import monthly

from demijohn.errors import ConfigurationError, SignatureMismatch
from demijohn.messages import Records, Rows
from demijohn.runtimes import wrap

X, Y = load_iris(return_X_y=True)
FRAME = pd.DataFrame(
    {
        "age": [20.0, 35.0, None, 60.0, 41.0, 28.0],
        "city": ["Rome", "Oslo", "Oslo", None, "Rome", "Bonn"],
        "size": ["S", "L", "M", "S", "L", "M"],
        "rooms": [1, 2, 3, 1, 2, 3],
        "note": ["a", "b", "c", "d", "e", "f"],
    }
)
TARGET = np.array([0, 1, 0, 1, 0, 1])


def specs_of(runtime):
    return {spec.name: spec for spec in runtime.signature.inputs}


def preparation(**encoder):
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age"]),
            (
                "cities",
                make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(**encoder)),
                ["city"],
            ),
            ("sizes", OrdinalEncoder(), ["size"]),
            ("rooms", "passthrough", make_column_selector(dtype_include="int64")),
        ]
    )


def fitted(**encoder):
    return make_pipeline(preparation(**encoder), LogisticRegression(max_iter=1000)).fit(FRAME, TARGET)


def same(runtime, method, rows, wanted):
    tensors = runtime.signature.validate(rows)
    got = runtime.run(method, tensors, {})[method]
    assert np.array_equal(got, wanted)
    assert got.dtype == np.asarray(wanted).dtype


def records_of(frame):
    """A DataFrame's rows as a client would send them."""
    return Records(frame.astype(object).where(frame.notna(), None).to_dict("records"))


def test_a_pipeline_fitted_on_an_array_takes_a_matrix():
    runtime = wrap(make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(X, Y))
    assert str(runtime.signature) == "inputs: float64 (n_rows, 4)"
    assert runtime.methods == (
        "predict",
        "predict_proba",
        "predict_log_proba",
        "decision_function",
    )
    assert runtime.example_rows() == [[5.843, 3.057, 3.758, 1.199]]
    assert [spec.shape for spec in runtime.signature.outputs["predict_proba"]] == [(-1, 3)]


def test_a_pipeline_fitted_on_a_data_frame_takes_its_columns():
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(frame, Y)
    runtime = wrap(model)
    assert runtime.signature.columns == ("a", "b", "c", "d")
    assert all(spec.dtype == "float64" and not spec.nullable for spec in runtime.signature.inputs)
    same(runtime, "predict_proba", records_of(frame), model.predict_proba(frame))


def test_a_column_transformer_is_read_through_to_its_columns():
    runtime = wrap(fitted(handle_unknown="error"))
    specs = specs_of(runtime)
    assert specs["age"].dtype == "float64"
    assert specs["age"].nullable
    assert specs["city"].dtype == "str"
    assert specs["city"].categories == ("Bonn", "Oslo", "Rome")
    assert specs["city"].is_closed
    assert specs["city"].nullable
    assert specs["size"].categories == ("L", "M", "S")
    assert specs["size"].is_closed
    assert not specs["size"].nullable
    assert specs["rooms"].dtype == "float64"
    assert not specs["rooms"].nullable
    assert specs["note"].is_optional


def test_categories_are_open_where_the_encoder_takes_unknown_ones():
    specs = specs_of(wrap(fitted(handle_unknown="ignore")))
    assert not specs["city"].is_closed
    assert specs["size"].is_closed


def test_a_pipeline_over_strings_and_missing_values_answers_as_it_does_itself():
    model = fitted(handle_unknown="ignore")
    runtime = wrap(model)
    same(runtime, "predict_proba", records_of(FRAME), model.predict_proba(FRAME))
    without_note = FRAME.drop(columns="note")
    same(runtime, "predict_proba", records_of(without_note), model.predict_proba(without_note))
    with pytest.raises(SignatureMismatch, match="one of 'L', 'M', 'S', received the string"):
        runtime.signature.validate(records_of(FRAME.assign(size="XXL")))


def test_the_made_up_example_row_fits_and_is_answered():
    runtime = wrap(fitted(handle_unknown="error"))
    assert runtime.example_rows() == [{"age": 36.8, "city": "Oslo", "size": "L", "rooms": 0.0}]
    assert set(runtime.signature.outputs) == set(runtime.methods)


@pytest.mark.parametrize("columns", [["size"], [2], slice(2, 3), [False, False, True, False, False]])
def test_columns_may_be_chosen_by_name_number_slice_or_mask(columns):
    model = ColumnTransformer([("sizes", OneHotEncoder(), columns)], remainder="drop").fit(FRAME)
    specs = specs_of(wrap(model))
    assert specs["size"].categories == ("L", "M", "S")
    assert specs["city"].is_optional


def test_the_remainder_is_used_when_it_is_kept():
    model = ColumnTransformer([("s", OneHotEncoder(), ["size"])], remainder=StandardScaler())
    specs = specs_of(wrap(model.fit(FRAME[["size", "rooms"]])))
    assert not specs["rooms"].is_optional


@pytest.mark.parametrize(
    "around",
    [
        lambda model: GridSearchCV(model, {"logisticregression__C": [0.1, 1.0]}, cv=2),
        lambda model: CalibratedClassifierCV(model, cv=2),
        lambda model: VotingClassifier([("one", model)]),
        lambda model: StackingClassifier([("one", model)], cv=2),
    ],
)
def test_a_meta_estimator_shows_what_its_inner_pipeline_takes(around):
    rows = pd.concat([FRAME] * 4, ignore_index=True)
    model = around(make_pipeline(preparation(), LogisticRegression(max_iter=1000)))
    specs = specs_of(wrap(model.fit(rows, np.tile(TARGET, 4))))
    assert specs["city"].dtype == "str"
    assert specs["city"].nullable


def test_a_transformed_target_is_looked_through():
    model = TransformedTargetRegressor(
        make_pipeline(preparation(), LinearRegression()), func=np.log1p, inverse_func=np.expm1
    ).fit(FRAME, TARGET)
    assert specs_of(wrap(model))["size"].categories == ("L", "M", "S")


def test_categories_of_numbers_and_truths_keep_their_type():
    frame = pd.DataFrame({"i": [1, 2, 1], "f": [0.5, 1.5, 0.5], "b": [True, False, True], "m": [1, "a", 2]})
    frame["m"] = frame["m"].astype(object)
    numbers = frame[["i", "f", "b"]]
    specs = specs_of(wrap(OneHotEncoder().fit(numbers)))
    assert {name: spec.dtype for name, spec in specs.items()} == {"i": "int64", "f": "float64", "b": "bool"}
    assert all(not spec.nullable and spec.is_closed for spec in specs.values())


def test_a_missing_category_that_was_learnt_may_be_missing():
    for missing in (None, np.nan):
        frame = pd.DataFrame({"c": pd.Series(["x", missing, "y"], dtype=object)})
        model = OneHotEncoder().fit(frame)
        runtime = wrap(model)
        spec = runtime.signature.inputs[0]
        assert spec.categories == ("x", "y")
        assert spec.nullable
        same(runtime, "transform", records_of(frame), model.transform(frame).toarray())


def test_an_ordinal_encoder_that_keeps_missing_values_hands_them_on():
    frame = pd.DataFrame({"c": pd.Series(["x", np.nan, "y", "x"], dtype=object)})
    into_linear = make_pipeline(
        OrdinalEncoder(), StandardScaler(), HistGradientBoostingClassifier(max_iter=2)
    )
    assert wrap(into_linear.fit(frame, [0, 1, 0, 1])).signature.inputs[0].nullable
    encoder = OrdinalEncoder(encoded_missing_value=-1)
    assert (
        wrap(make_pipeline(encoder, LogisticRegression(max_iter=1000)).fit(frame, [0, 1, 0, 1]))
        .signature.inputs[0]
        .nullable
    )
    refusing = make_pipeline(OrdinalEncoder(), LogisticRegression(max_iter=1000))
    complete = frame.fillna("x")
    assert not wrap(refusing.fit(complete, [0, 1, 0, 1])).signature.inputs[0].nullable


def test_a_target_encoder_takes_anything_and_shows_what_it_knows():
    frame = pd.DataFrame({"c": ["x", "y", "z"] * 10})
    model = make_pipeline(TargetEncoder(cv=2), LinearRegression()).fit(frame, np.arange(30) + 0.5)
    spec = wrap(model).signature.inputs[0]
    assert spec.categories == ("x", "y", "z")
    assert not spec.is_closed
    assert spec.nullable


@pytest.mark.parametrize(
    ("model", "nullable"),
    [
        (LogisticRegression(max_iter=1000), False),
        (HistGradientBoostingClassifier(max_iter=2), True),
        (make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)), False),
        (make_pipeline(SimpleImputer(), LogisticRegression(max_iter=1000)), True),
        (make_pipeline(StandardScaler(), SimpleImputer(), LogisticRegression(max_iter=1000)), True),
        (make_pipeline(KNNImputer(), LogisticRegression(max_iter=1000)), True),
        (make_pipeline(MinMaxScaler(), HistGradientBoostingClassifier(max_iter=2)), True),
        (make_pipeline(SimpleImputer(add_indicator=True), LogisticRegression(max_iter=1000)), True),
        (FeatureUnion([("a", SimpleImputer()), ("b", StandardScaler())]), True),
        (FeatureUnion([("a", SimpleImputer()), ("b", "drop")]), True),
        (Pipeline([("a", "passthrough"), ("b", LogisticRegression(max_iter=1000))]), False),
    ],
)
def test_values_may_be_missing_where_every_step_that_meets_them_takes_them(model, nullable):
    assert wrap(model.fit(X, Y)).signature.inputs[0].nullable is nullable


def test_a_column_that_an_imputer_drops_goes_no_further():
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "empty": [np.nan] * 3, "b": [1.0, 0.0, 1.0]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make_pipeline(SimpleImputer(), LinearRegression()).fit(frame, [1, 2, 3])
        runtime = wrap(model)
        same(runtime, "predict", records_of(frame), model.predict(frame))
    assert [spec.nullable for spec in runtime.signature.inputs] == [True, True, True]


def test_histogram_boosting_shows_its_categories_and_gets_a_categorical_column():
    frame = pd.DataFrame({"c": pd.Categorical(["u", "v", "w"] * 20), "x": np.arange(60.0)})
    target = (frame["c"] == "v").astype(int)
    model = HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype").fit(frame, target)
    for example in (None, frame.head(2)):
        runtime = wrap(model, example=example)
        spec = specs_of(runtime)["c"]
        assert spec.categories == ("u", "v", "w")
        assert not spec.is_closed
        same(runtime, "predict_proba", records_of(frame.astype({"c": object})), model.predict_proba(frame))


def test_an_unknown_category_reaches_the_model_and_is_not_made_missing():
    frame = pd.DataFrame({"c": pd.Categorical(["u", "v", "u", "v"])})
    model = make_pipeline(OneHotEncoder(handle_unknown="error"), LogisticRegression(max_iter=1000)).fit(
        frame, [0, 1, 0, 1]
    )
    runtime = wrap(make_pipeline(FunctionTransformer(), model).fit(frame, [0, 1, 0, 1]), example=frame)
    spec = specs_of(runtime)["c"]
    assert spec.is_closed
    tensors = {"c": np.array(["nobody"], dtype=object)}
    with pytest.raises(ValueError, match="unknown categories"):
        runtime.run("predict", tensors, {})


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1000)),
        make_pipeline("passthrough", CountVectorizer(), MultinomialNB()),
        make_pipeline(HashingVectorizer(n_features=16), LogisticRegression(max_iter=1000)),
        make_pipeline(
            FeatureUnion([("a", TfidfVectorizer()), ("b", CountVectorizer())]),
            LogisticRegression(max_iter=1000),
        ),
        GridSearchCV(make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1000)), {}, cv=2),
    ],
)
def test_a_model_of_texts_takes_one_text_per_row(model):
    texts = ["good food", "bad food", "very good", "very bad"]
    runtime = wrap(model.fit(texts, [1, 0, 1, 0]))
    assert str(runtime.signature) == "inputs: str (n_rows,)"
    same(runtime, "predict", Rows(texts), model.predict(texts))
    assert isinstance(runtime.example_rows()[0], str)


def test_an_example_text_is_made_of_words_that_the_model_knows():
    model = CountVectorizer().fit(["alpha beta", "gamma"])
    assert wrap(model).example_rows() == ["alpha beta gamma"]


def test_a_text_column_of_a_table_is_a_string():
    model = ColumnTransformer([("text", TfidfVectorizer(), "note"), ("x", "passthrough", ["age"])])
    frame = FRAME.assign(note=["one two", "two", "three", "one", "two", "three"])
    specs = specs_of(wrap(model.fit(frame[["note", "age"]])))
    assert specs["note"].dtype == "str"
    assert not specs["note"].nullable


def test_numpy_functions_take_numbers_and_unknown_functions_anything():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    known = ColumnTransformer(
        [("f", FunctionTransformer(np.log1p), ["a"]), ("g", FunctionTransformer(_half), ["b"])]
    )
    specs = specs_of(wrap(known.fit(frame)))
    assert specs["a"].dtype == "float64"
    assert specs["b"].dtype == "object"
    same(wrap(known), "transform", records_of(frame), known.transform(frame))


def _half(column):
    return column / 2


class Cleaner(TransformerMixin, BaseEstimator):
    """A transformer of somebody's own, for texts."""

    def fit(self, rows, y=None):
        self.n_features_in_ = rows.shape[1]
        self.feature_names_in_ = np.asarray(rows.columns, dtype=object)
        return self

    def transform(self, rows):
        return rows.apply(lambda column: column.str.strip().str.lower())


def test_a_transformer_from_elsewhere_takes_anything():
    frame = pd.DataFrame({"c": [" Yes", "no "] * 3})
    model = make_pipeline(Cleaner(), OneHotEncoder(), LogisticRegression(max_iter=1000)).fit(
        frame, [1, 0] * 3
    )
    runtime = wrap(model, example=frame)
    assert specs_of(runtime)["c"].dtype == "str"
    same(runtime, "predict", records_of(frame), model.predict(frame))
    assert specs_of(wrap(model))["c"].dtype == "object"


def test_positive_only_models_get_a_positive_example():
    model = make_pipeline(PowerTransformer(method="box-cox"), LinearRegression()).fit(X, Y)
    runtime = wrap(model)
    assert min(runtime.example_rows()[0]) > 0
    assert "predict" in runtime.signature.outputs


def test_trees_give_an_example_from_their_thresholds():
    runtime = wrap(RandomForestClassifier(5, random_state=0).fit(X, Y))
    assert any(runtime.example_rows()[0])
    assert wrap(IsolationForest(n_estimators=3).fit(X)).methods == (
        "predict",
        "decision_function",
        "score_samples",
    )


def test_a_matrix_of_mixed_columns_is_anything():
    rows = np.array([["a", 1.5], ["b", 2.5], ["a", 3.5]], dtype=object)
    transformer = ColumnTransformer([("c", OneHotEncoder(), [0]), ("n", StandardScaler(), [1])])
    model = make_pipeline(transformer, LinearRegression()).fit(rows, [1, 2, 3])
    runtime = wrap(model)
    assert runtime.signature.inputs[0].dtype == "object"
    same(runtime, "predict", Rows(rows.tolist()), model.predict(rows))


# Examples ---------------------------------------------------------------------------------


def test_an_example_completes_dtypes_and_missing_values():
    frame = pd.DataFrame({"n": [1, 2, 3], "x": [1.0, None, 3.0], "t": [True, False, True]})
    model = HistGradientBoostingClassifier(max_iter=2).fit(frame, [0, 1, 0])
    runtime = wrap(model, example=frame)
    assert [(s.dtype, s.nullable) for s in runtime.signature.inputs] == [
        ("int64", True), ("float64", True), ("bool", True),
    ]  # fmt: skip
    assert runtime.example_rows() == [
        {"n": 1, "x": 1.0, "t": True}, {"n": 2, "x": None, "t": False}, {"n": 3, "x": 3.0, "t": True},
    ]  # fmt: skip


def test_at_most_five_example_rows_are_kept():
    assert len(wrap(LogisticRegression(max_iter=1000).fit(X, Y), example=X).example_rows()) == 5


def test_pandas_own_dtypes_are_restored():
    seen = []

    def look(frame):
        seen.append(frame)
        return np.zeros((len(frame), 1))

    frame = pd.DataFrame(
        {
            "Int64": pd.array([1, None], dtype="Int64"),
            "boolean": pd.array([True, None], dtype="boolean"),
            "string": pd.array(["a", None], dtype="string"),
            "category": pd.Categorical(["u", None], categories=["v", "u"], ordered=True),
            "when": pd.to_datetime(["2024-01-01T10:00", None]),
            "zoned": pd.to_datetime(["2024-01-01T10:00Z", None]).tz_convert("Europe/Oslo"),
            "float": [1.5, None],
            "int": [1, 2],
            "text": ["a", "b"],
        }
    )
    model = FunctionTransformer(look).fit(frame)
    runtime = wrap(model, example=frame)
    runtime.run("transform", runtime.signature.validate(Records(list(runtime.example_rows()))), {})
    pd.testing.assert_frame_equal(seen[-1], frame)


def test_names_come_from_the_example_and_the_model_still_gets_an_array():
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    model = LogisticRegression(max_iter=1000).fit(X, Y)
    runtime = wrap(model, example=frame.head())
    assert runtime.signature.columns == ("a", "b", "c", "d")
    same(runtime, "predict_proba", records_of(frame), model.predict_proba(X))


class Sum:
    """Somebody's own model, which says nothing of itself."""

    def predict(self, rows):
        return rows["a"] + rows["b"] if hasattr(rows, "columns") else np.asarray(rows).sum(axis=1)


def test_a_model_that_says_nothing_serves_with_what_is_known():
    runtime = wrap(Sum())
    assert str(runtime.signature) == "inputs: float64? (n_rows, any)"
    same(runtime, "predict", Rows([[1.5, 2.0]]), np.array([3.5]))


def test_a_model_that_says_nothing_gets_a_data_frame_if_its_example_is_one():
    frame = pd.DataFrame({"a": [1, 2], "b": [3.5, 4.5]})
    runtime = wrap(Sum(), example=frame)
    assert [spec.dtype for spec in runtime.signature.inputs] == ["int64", "float64"]
    same(runtime, "predict", records_of(frame), (frame["a"] + frame["b"]).to_numpy())


@pytest.mark.parametrize(
    "example", [X[:2], X[0], X[:2].tolist(), [dict(zip("abcd", X[0], strict=True))], pd.DataFrame(X[:1])]
)
def test_an_example_may_have_any_form(example):
    runtime = wrap(LogisticRegression(max_iter=1000).fit(X, Y), example=example)
    assert "predict" in runtime.signature.outputs


def test_rows_without_names_complete_a_table_by_position():
    runtime = wrap(fitted(), example=[[30, "Rome", "S", 2, "x"]])
    assert runtime.example_rows() == [{"age": 30, "city": "Rome", "size": "S", "rooms": 2, "note": "x"}]


@pytest.mark.parametrize(
    ("example", "complaint"),
    [
        (X[:2, :3], "3 columns, and the model takes 4"),
        (X[0, :3], "3 columns, and the model takes 4"),
        (pd.DataFrame(X[:1, :3]), "3 columns, and the model takes 4"),
        ([], "no rows"),
        (X[:0], "no rows"),
        ([[1], [1, 2]], "rows of one length"),
        (5, "cannot be read as rows"),
    ],
)
def test_an_example_that_is_no_input_of_the_model_is_refused(example, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        wrap(LogisticRegression(max_iter=1000).fit(X, Y), example=example)


def test_an_example_with_other_columns_is_refused_by_name():
    with pytest.raises(ConfigurationError, match="it lacks 'size'; the model does not know 'siez'"):
        wrap(fitted(), example=FRAME.rename(columns={"size": "siez"}))


@pytest.mark.parametrize("out_of_bounds", ["nan", "clip", "raise"])
def test_the_example_of_an_isotonic_regression_is_where_it_has_learnt(out_of_bounds: str) -> None:
    runtime = wrap(IsotonicRegression(out_of_bounds=out_of_bounds).fit([100.0, 200.0], [1.0, 2.0]))
    assert runtime.example_rows() == [[100.0]]
    assert runtime.run("predict", {"inputs": np.array([[100.0]])}, {})["predict"].tolist() == [1.0]
    assert wrap(runtime.estimator, example=[100.0, 200.0]).signature.layout == "vector"


def test_a_model_that_fails_on_its_example_says_so() -> None:
    model, days = monthly()
    guessed = wrap(model)
    assert guessed.fails_on_example
    assert [warning for warning in guessed.warnings if "give one that it takes" in warning]
    told = wrap(model, example=days.head())
    assert not told.fails_on_example
    assert told.warnings == ()


def test_an_instant_in_an_example_is_written_as_iso_8601():
    frame = pd.DataFrame({"a": [pd.Timestamp("2024-01-01")], "b": [1]})
    runtime = wrap(Sum(), example=frame)
    assert runtime.example_rows() == [{"a": "2024-01-01T00:00:00", "b": 1}]


def test_a_column_that_leaves_as_it_came_may_hold_anything() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    model = ColumnTransformer([("a", StandardScaler(), ["a"])], remainder="passthrough").fit(frame)
    signature = wrap(model).signature
    assert [(spec.name, spec.dtype) for spec in signature.inputs] == [("a", "float64"), ("b", "object")]


def test_an_example_that_does_not_fit_is_the_operators_mistake() -> None:
    model = OneHotEncoder().fit(pd.DataFrame({"a": ["x", "y"]}))
    with pytest.raises(ConfigurationError, match="does not fit"):
        wrap(model, example=pd.DataFrame({"a": ["z"]}))
