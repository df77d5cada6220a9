"""A served model in Python's hands."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flask import Flask
from scipy import sparse
from sklearn.datasets import load_diabetes, load_iris
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from tests.images import b64, png

import demijohn
from demijohn.errors import BodyTooLarge, ConfigurationError, ParameterMismatch, SignatureMismatch
from demijohn.messages import NamedTensors
from demijohn.model import request_of
from demijohn.signature import Signature, TensorSpec

IRIS, SPECIES = load_iris(return_X_y=True)
FRAME, PROGRESS = load_diabetes(return_X_y=True, as_frame=True)
MATRIX = LogisticRegression(max_iter=2_000).fit(IRIS, SPECIES)
TABLE = LinearRegression().fit(FRAME, PROGRESS)
ROWS = IRIS[[0, 60, 120]]


@pytest.fixture(scope="module")
def matrix() -> demijohn.Model:
    return demijohn.load(MATRIX, name="iris")


@pytest.fixture(scope="module")
def table() -> demijohn.Model:
    return demijohn.load(TABLE)


@pytest.mark.parametrize(
    "rows",
    [
        ROWS,
        ROWS.tolist(),
        tuple(map(tuple, ROWS)),
        list(ROWS),
        {"instances": ROWS.tolist()},
        {"inputs": ROWS.tolist()},
        pd.DataFrame(ROWS),
        [row for _, row in pd.DataFrame(ROWS).iterrows()],
        sparse.csr_matrix(ROWS),
        ROWS.astype(object),
        np.asfortranarray(ROWS),
    ],
    ids=lambda rows: type(rows).__name__,
)
def test_rows_may_come_in_any_form_that_python_or_json_has(matrix: demijohn.Model, rows: Any) -> None:
    assert (matrix.predict(rows) == MATRIX.predict(ROWS)).all()
    assert (matrix.predict_proba(rows) == MATRIX.predict_proba(ROWS)).all()


def test_a_row_of_a_data_frame_is_matched_by_its_names(table: demijohn.Model) -> None:
    rows = [FRAME.iloc[3], FRAME.iloc[4]]
    assert table.predict(rows) == pytest.approx(TABLE.predict(FRAME.iloc[3:5]))
    assert (table.predict([row[::-1] for row in rows]) == table.predict(rows)).all()
    with pytest.raises(SignatureMismatch, match="'age'"):
        table.predict([FRAME.iloc[3].drop("age")])


def test_a_model_lists_its_methods_for_whoever_completes_its_name(matrix: demijohn.Model) -> None:
    assert {"predict", "predict_proba", "signature"} <= set(dir(matrix))
    assert "transform" not in dir(matrix)


def test_a_frame_is_matched_by_name(table: demijohn.Model) -> None:
    records = FRAME.head(3).to_dict("records")
    expected = TABLE.predict(pd.DataFrame(records))
    # An engine's rows lie in memory as no DataFrame's do, and BLAS may sum them in another order.
    assert table.predict(FRAME[FRAME.columns[::-1]].head(3)) == pytest.approx(expected, rel=1e-12)
    assert table.predict(records) == pytest.approx(expected, rel=1e-12)


def test_a_series_is_a_column_of_values() -> None:
    def shout(texts: np.ndarray) -> Any:  # type: ignore[type-arg]
        return np.array([text.upper() for text in texts.ravel()])

    model = demijohn.load(shout, example=["a", "b"])
    assert model.predict(pd.Series(["x", "y"])).tolist() == ["X", "Y"]


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_what_is_missing_does_not_fit_where_nothing_may_be(table: demijohn.Model, missing: Any) -> None:
    frame = FRAME.head(2).astype(object)
    frame.iloc[1, 2] = missing
    with pytest.raises(SignatureMismatch) as raised:
        table.predict(frame)
    (problem,) = raised.value.errors
    assert (problem.row, problem.column, problem.received) == (1, "bmi", "null")


@pytest.mark.parametrize(
    "rows", [np.zeros((2, 3)), np.zeros(4), [], "text", 5, {"a": 1}, [["a"] * 4], pd.DataFrame()]
)
def test_what_does_not_fit_is_refused(matrix: demijohn.Model, rows: Any) -> None:
    with pytest.raises(SignatureMismatch):
        matrix.predict(rows)


def test_a_frame_with_a_name_twice_is_refused(table: demijohn.Model) -> None:
    frame = pd.concat([FRAME.head(1), FRAME.head(1)], axis=1)
    with pytest.raises(SignatureMismatch, match="twice"):
        table.predict(frame)


def test_parameters_are_keywords_and_several_outputs_a_dict() -> None:
    process = GaussianProcessRegressor(random_state=0).fit(IRIS[::10], SPECIES[::10])
    mean, std = process.predict(ROWS, return_std=True)
    outputs: Any = demijohn.load(process).predict(ROWS, return_std=True)
    assert (outputs["mean"] == mean).all()
    assert (outputs["std"] == std).all()


def test_an_unknown_parameter_is_refused(matrix: demijohn.Model) -> None:
    with pytest.raises(ParameterMismatch):
        matrix.predict(ROWS, colour="red")


@pytest.mark.parametrize("name", ["fit", "transform", "_repr_pretty_", "__array__", "coef_"])
def test_a_model_has_the_prediction_methods_of_its_estimator_and_no_more(
    matrix: demijohn.Model, name: str
) -> None:
    assert not hasattr(matrix, name)


def test_a_missing_method_is_said_with_those_there_are(matrix: demijohn.Model) -> None:
    with pytest.raises(AttributeError, match="it has: predict, predict_proba"):
        matrix.transform  # noqa: B018


def test_a_model_tells_what_it_is(matrix: demijohn.Model) -> None:
    assert (matrix.name, matrix.version) == ("iris", "1")
    assert matrix.methods == ("predict", "predict_proba", "predict_log_proba", "decision_function")
    assert matrix.signature.inputs[0].shape == (-1, 4)
    assert matrix.plan["state"] in ("proving", "settled")
    assert "iris version 1" in repr(matrix)


def test_a_notebook_shows_the_signature_and_runs_nothing_in_it() -> None:
    frame = pd.DataFrame({"<script>": [1.0, 2.0], "b": [1.0, 0.0]})
    page = demijohn.load(LinearRegression().fit(frame, [1.0, 2.0]))._repr_html_()
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "float64" in page


def test_settings_are_options_of_load() -> None:
    model = demijohn.load(MATRIX, deadline_s="5", batching=False)
    assert (model.predict(ROWS) == MATRIX.predict(ROWS)).all()
    with pytest.raises(ConfigurationError):
        demijohn.load(MATRIX, deadline_s=0)
    with pytest.raises(TypeError, match="no setting colour"):
        demijohn.load(MATRIX, colour="red")


def test_a_loaded_model_is_proved_without_being_asked() -> None:
    model = demijohn.load(MATRIX, name="proved")
    for thread in threading.enumerate():
        if thread.name == "demijohn-prover":
            thread.join(30)
    batcher = model._resolve().batcher
    assert batcher._joining == set(model.methods)


# Tensors ----------------------------------------------------------------------------------------

ALBUM = Signature("tensors", (TensorSpec("image", "float32", (-1, 1, 2)), TensorSpec("age", "int64")))
IMAGES = np.array([[[1.5, 2.0]], [[3.0, 4.0]]])
AGES = np.array([3, 4])


@pytest.mark.parametrize(
    "given",
    [
        {"image": IMAGES, "age": AGES},
        {"inputs": {"image": IMAGES.tolist(), "age": AGES.tolist()}},
        [{"image": image, "age": int(age)} for image, age in zip(IMAGES, AGES, strict=True)],
        [{"image": tuple(map(tuple, image)), "age": 3 + row} for row, image in enumerate(IMAGES.tolist())],
    ],
    ids=["arrays", "JSON", "records of arrays", "records of tuples"],
)
def test_named_tensors_may_come_in_any_form_that_has_names(given: Any) -> None:
    made = ALBUM.validate(request_of(given).inputs)
    assert made["image"].tolist() == IMAGES.tolist()
    assert made["age"].tolist() == AGES.tolist()


def test_an_array_of_any_dimensions_is_passed_on_as_it_is() -> None:
    def brightness(images: np.ndarray) -> Any:  # type: ignore[type-arg]
        return images.mean(axis=(1, 2))

    assert isinstance(request_of(IMAGES).inputs, NamedTensors)
    model = demijohn.load(brightness, example=IMAGES)
    for given in (IMAGES, list(IMAGES), IMAGES.tolist(), IMAGES.astype(np.float32), {"inputs": IMAGES}):
        assert model.predict(given).tolist() == [1.75, 3.5]  # type: ignore[union-attr]
    with pytest.raises(SignatureMismatch, match=r"expected shape \(n_rows, 1, 2\)"):
        model.predict(IMAGES[:, :, :1])


def test_images_in_what_a_view_hands_on_are_read_within_the_apps_limit() -> None:
    def brightness(images: np.ndarray) -> Any:  # type: ignore[type-arg]
        return images.mean(axis=(1, 2))

    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    models = demijohn.Demijohn(Flask("app"), max_pixels=20)
    models.add("brightness", brightness, example=pixels[None])
    assert models["brightness"].predict([b64(png(pixels))]).tolist() == [5.5]
    with pytest.raises(BodyTooLarge, match="20 pixels"):
        models["brightness"].predict([b64(png(pixels))] * 2)


def test_what_is_missing_in_nested_lists_does_not_fit_where_nothing_may_be() -> None:
    with pytest.raises(SignatureMismatch) as raised:
        Signature("matrix", (TensorSpec("x", shape=(-1, 1, 2)),)).validate(
            request_of([[[1.0, np.nan]]]).inputs
        )
    assert [problem.column for problem in raised.value.errors] == ["0,1"]


def test_short_floats_are_read_into_one_array() -> None:
    signature = Signature("matrix", (TensorSpec("x", "float32", (-1, 2)),))
    given = np.array([[0.1, 2.0]], np.float32)
    assert signature.validate(request_of(given).inputs)["x"].tobytes() == given.tobytes()
