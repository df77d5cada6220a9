"""``GET /openapi.json``: a valid document, whose examples and types are true of the models."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import jsonschema_rs
import msgspec
import numpy as np
import pandas as pd
import pytest
from flask import Flask
from flask.testing import FlaskClient
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from tests.accelerated import await_provers
from tests.images import b64, png
from tests.web.rig import (
    CLASSIFIER,
    IRIS,
    NEIGHBORS,
    PROCESS,
    SPECIES,
    Album,
    Film,
    Gallery,
    Pair,
    brightness,
)

from demijohn import Demijohn
from demijohn.errors import DemijohnError, NotOffered, RequestError, ServerError
from demijohn.predictor import Predictor
from demijohn.protocols import arrow_columns, image_media, mlflow, native, open_inference
from demijohn.web import answers

TABLE = pd.DataFrame(
    {
        "size": [1.5, np.nan, 2.5, 3.0],
        "colour": ["red", "green", "red", np.nan],
        "shape": ["round", "square", "round", "round"],
        "unused": [1, 2, 3, 4],
    }
)
HOSTILE = ["</script><b>", "$ref", "properties", "a/b~c", 'quo"te', "=1+1", "é\n", "items"]


def fit_table() -> Any:
    """Numbers and words with gaps, a closed category, a column that nobody looks at."""
    columns = make_column_transformer(
        (SimpleImputer(), ["size"]),
        (
            make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")),
            ["colour"],
        ),
        (OneHotEncoder(), ["shape"]),
    )
    return make_pipeline(columns, LogisticRegression()).fit(TABLE, ["a", "b", "a", "b"])


def fit_texts() -> Any:
    return make_pipeline(CountVectorizer(), MultinomialNB()).fit(["good good", "bad", "good"], [1, 0, 1])


def stay(
    kind: Literal["day", "night"], start: datetime.datetime, nights: int = 1, *, is_paid: bool = False
) -> dict[str, Any]:
    return {"kind": kind, "start": start, "nights": nights, "is_paid": is_paid}


def hand_on(rows: Any) -> Any:
    return rows


IMAGE = b64(png(np.zeros((2, 3), np.uint8)))["b64"]


def make_app(**settings: Any) -> Flask:
    app = Flask(__name__)
    models = Demijohn(app, **settings)
    models.add("matrix", CLASSIFIER, example=IRIS[:5], default=True)
    models.add("table", fit_table(), example=TABLE)
    models.add("texts", fit_texts())
    models.add("several", RandomForestClassifier(5, random_state=0).fit(IRIS, np.c_[SPECIES, SPECIES > 0]))
    models.add("scaler", StandardScaler().fit(IRIS))
    models.add("frames", OrdinalEncoder().set_output(transform="pandas").fit(TABLE[["shape"]]))
    models.add("clusters", KMeans(3, n_init=1, random_state=0).fit(IRIS))
    models.add("neighbors", NEIGHBORS)
    models.add("process", PROCESS)
    models.add("hostile", LinearRegression().fit(pd.DataFrame(np.eye(8), columns=HOSTILE), range(8)))
    models.add("stay", stay)
    models.add("images", brightness, example=np.ones((2, 2, 3, 1)))
    models.add_runtime("album", Album())
    models.add_runtime("film", Film())
    models.add_runtime("gallery", Gallery())
    models.add_runtime("pair", Pair())
    models.add("versions", LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0]), version="1")
    models.add("versions", LinearRegression().fit(np.eye(2), [1.0, 2.0]), version="2")
    models.alias("versions", "champion", "1")
    return app


@dataclass(frozen=True)
class Document:
    """An OpenAPI document, parsed."""

    whole: dict[str, Any]

    @classmethod
    def of(cls, client: FlaskClient, path: str = "/ml/openapi.json") -> Document:
        answer = client.get(path)
        assert answer.status_code == 200, answer.text
        assert answer.content_type == "application/json"
        return cls(answer.json)

    @property
    def paths(self) -> dict[str, Any]:
        return self.whole["paths"]  # type: ignore[no-any-return]

    @property
    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for path, item in self.paths.items():
            for method, operation in item.items():
                yield path, method, operation

    def follow(self, part: Any) -> Any:
        """Return what a reference leads to; any other part is itself."""
        while set(part) == {"$ref"} and isinstance(part["$ref"], str):
            found: Any = self.whole
            for step in part["$ref"].removeprefix("#/").split("/"):
                found = found[step]
            part = found
        return part

    def body(self, path: str) -> Any:
        """Return the type of a path's JSON requests."""
        return self.paths[path]["post"]["requestBody"]["content"]["application/json"]["schema"]

    def answer(self, path: str) -> Any:
        """Return the type of a path's JSON answers."""
        answer = self.follow(self.paths[path]["post"]["responses"]["200"])
        return answer["content"]["application/json"]["schema"]

    def prediction(self, path: str) -> Any:
        """Return the type of one row's entry."""
        return self.follow(self.answer(path))["properties"]["predictions"]["items"]

    def fits(self, part: Any, value: Any) -> bool:
        """Say whether a value is of a type."""
        validator = jsonschema_rs.Draft202012Validator({**part, "components": self.whole["components"]})
        return validator.is_valid(value)

    def check(self, part: Any, value: Any) -> None:
        """Raise unless a value is of a type."""
        jsonschema_rs.Draft202012Validator({**part, "components": self.whole["components"]}).validate(value)


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return make_app().test_client()


@pytest.fixture(scope="module")
def document(client: FlaskClient) -> Document:
    return Document.of(client)


# The document -----------------------------------------------------------------------------


def check_valid(document: Document) -> None:
    """Raise unless it is OpenAPI 3.1, its references lead somewhere and its ids are unique."""
    OPENAPI_31_VALIDATOR.validate(document.whole)
    for reference in references(document.whole):
        assert document.follow({"$ref": reference})
    ids = [operation["operationId"] for _, _, operation in document.operations]
    assert len(ids) == len(set(ids))


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if set(part) == {"$ref"} and isinstance(part["$ref"], str):
            yield part["$ref"]
        for below in part.values():
            yield from references(below)
    if isinstance(part, list):
        for below in part:
            yield from references(below)


def test_the_document_is_valid(document: Document) -> None:
    check_valid(document)


def test_it_is_valid_without_any_model() -> None:
    app = Flask(__name__)
    Demijohn(app)
    document = Document.of(app.test_client())
    check_valid(document)
    assert "/predict" not in document.paths


def test_each_method_of_each_model_has_a_path(client: FlaskClient, document: Document) -> None:
    for model in client.get("/ml/models").json["models"]:
        for method in model["methods"]:
            operation = document.paths[f"/models/{model['name']}/{method}"]["post"]
            assert operation["tags"] == [model["name"]]


def test_the_default_model_answers_predict(document: Document) -> None:
    assert document.body("/predict") == document.body("/models/matrix/predict")


def test_a_default_model_that_does_not_predict_has_no_short_path() -> None:
    app = Flask(__name__)
    Demijohn(app).add("scaler", StandardScaler().fit(IRIS))
    assert "/predict" not in Document.of(app.test_client()).paths


def test_a_model_with_a_choice_of_versions_has_a_typed_path_for_each(document: Document) -> None:
    one, two = (f"/models/versions/versions/{version}/predict" for version in "12")
    assert document.fits(document.body(one), [[1.0]])
    assert not document.fits(document.body(two), [[1.0]])
    assert document.body("/models/versions/predict") == document.body(two)
    assert document.body("/models/versions/aliases/champion/predict") == document.body(one)
    assert "/models/matrix/versions/1/predict" not in document.paths


@pytest.mark.parametrize(
    ("settings", "base", "server"),
    [
        ({}, "/ml", "/ml"),
        ({"url_prefix": "/deep/er"}, "/deep/er", "/deep/er"),
        ({"url_prefix": ""}, "", "/"),
    ],
)
def test_the_server_is_the_prefix(settings: dict[str, Any], base: str, server: str) -> None:
    app = Flask(__name__)
    Demijohn(app, **settings)
    document = Document.of(app.test_client(), f"{base}/openapi.json")
    assert document.whole["servers"] == [{"url": server}]


def test_an_app_that_is_mounted_somewhere_says_where() -> None:
    app = Flask(__name__)
    Demijohn(app)
    answer = app.test_client().get("/ml/openapi.json", base_url="http://localhost/mounted")
    assert answer.json["servers"] == [{"url": "/mounted/ml"}]


def test_the_document_follows_the_models() -> None:
    app = Flask(__name__)
    models = Demijohn(app)
    models.add("one", CLASSIFIER)
    client = app.test_client()
    assert "/predict" in Document.of(client).paths
    models.add("two", CLASSIFIER)
    assert "/predict" not in Document.of(client).paths
    models.set_default("two")
    document = Document.of(client)
    assert document.paths["/predict"]["post"]["tags"] == ["two"]
    models.alias("two", "champion", "1")
    assert "/models/two/aliases/champion/predict" in Document.of(client).paths


def test_an_unchanged_document_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    client = make_app().test_client()
    first = client.get("/ml/openapi.json").data
    monkeypatch.setattr("demijohn.web.openapi.describe", None)
    assert client.get("/ml/openapi.json").data == first


def test_models_of_one_signature_share_their_types() -> None:
    app = Flask(__name__)
    models = Demijohn(app)
    for index in range(40):
        models.add(f"model-{index}", CLASSIFIER)
    document = Document.of(app.test_client())
    bodies = {json.dumps(document.body(f"/models/model-{index}/predict")) for index in range(40)}
    assert len(bodies) == 1
    # Two operations each: a body that is read whole, and rows of any number.
    assert len(json.dumps(document.whole)) < 2_800 * len(document.paths)


# Examples and answers ---------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:divide by zero encountered in log:RuntimeWarning")
def test_each_example_fits_its_type_and_is_answered_with_what_is_promised(
    client: FlaskClient, document: Document
) -> None:
    assert client.get("/ml/models/several").status_code == 200  # whoever asks first has all models proved
    await_provers()
    forms = set()
    for path, media_type, form, value in examples(document):
        forms.add(form)
        is_json = media_type == "application/json"
        if is_json:
            document.check(document.body(path), value)
        body = json.dumps(value) if is_json else value
        answer = client.post(f"/ml{path}", data=body, content_type=media_type)
        assert answer.status_code == 200, (path, form, answer.text)
        document.check(document.answer(path), answer.json)
        assert {"X-Request-Id", "X-Demijohn-Version"} <= set(answer.headers.keys())
    assert forms == {
        "instances",
        "rows",
        "records",
        "inputs",
        "dataframe_split",
        "dataframe_records",
        "csv",
        "v2",
    }


def examples(document: Document) -> Iterator[tuple[str, str, str, Any]]:
    for path, _, operation in document.operations:
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
            for form, example in content.get("examples", {}).items():
                yield path, media_type, form, document.follow(example)["value"]


@pytest.mark.parametrize("form", native.ANSWERS)
def test_an_answer_in_each_form_is_promised(client: FlaskClient, document: Document, form: str) -> None:
    headers = {"Accept": form}
    answer = client.post("/ml/models/matrix/predict", json=IRIS[:1].tolist(), headers=headers)
    promised = document.follow(document.paths["/models/matrix/predict"]["post"]["responses"]["200"])
    assert answer.status_code == 200
    assert answer.mimetype == form
    assert form in promised["content"]


def test_tensors_in_bytes_are_promised_with_the_header_that_they_need(
    client: FlaskClient, document: Document
) -> None:
    operation = document.paths["/v2/models/matrix/infer"]["post"]
    assert set(operation["requestBody"]["content"]) == {open_inference.JSON, open_inference.BINARY}
    (header,) = operation["parameters"]
    body = np.zeros((1, 4)).tobytes()
    answer = client.post("/ml/v2/models/matrix/infer", data=body, headers={header["name"]: "0"})
    assert answer.mimetype == open_inference.BINARY


def test_mlflows_route_promises_each_body_that_it_reads(document: Document) -> None:
    assert set(document.paths["/invocations"]["post"]["requestBody"]["content"]) == set(mlflow.BODIES)


def test_without_pyarrow_neither_arrow_nor_parquet_is_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow_columns, "is_available", lambda: False)
    document = Document.of(make_app().test_client())
    assert set(document.paths["/models/matrix/predict"]["post"]["requestBody"]["content"]) == {
        native.JSON, native.CSV, native.NPY, native.NPZ, *native.LINES,
    }  # fmt: skip
    assert set(document.paths["/invocations"]["post"]["requestBody"]["content"]) == {native.JSON, native.CSV}


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_a_number_that_is_not_finite_is_promised_as_null(client: FlaskClient, document: Document) -> None:
    path = "/models/hostile/predict"
    answer = client.post(f"/ml{path}", json=[[1e308] * 8])
    assert answer.json["predictions"] == [None]
    document.check(document.answer(path), answer.json)


def test_every_other_route_answers_what_is_promised(client: FlaskClient, document: Document) -> None:
    for path, method, operation in document.operations:
        if method != "get":
            continue
        answer = client.get("/ml" + path.format(name="versions", version="1", alias="champion"))
        content = document.follow(operation["responses"]["200"])["content"]
        assert list(content) == [answer.mimetype]
        if answer.mimetype == "application/json":
            document.check(content["application/json"]["schema"], answer.json)


def test_no_field_of_an_answer_is_left_out(client: FlaskClient) -> None:
    def check(answer: Any, kind: type[msgspec.Struct]) -> None:
        assert msgspec.to_builtins(msgspec.convert(answer.json, kind)) == answer.json

    check(client.get("/ml/livez"), answers.Alive)
    check(client.get("/ml/readyz"), answers.Ready)
    check(client.get("/ml/models"), answers.ModelList)
    check(client.post("/ml/models/matrix/predict", json=[[1]]), answers.ProblemDetails)
    for model in client.get("/ml/models").json["models"]:
        check(client.get(f"/ml/models/{model['name']}"), answers.ModelDescription)


def test_a_server_that_is_not_ready_answers_what_is_promised() -> None:
    app = Flask(__name__)
    Demijohn(app)
    client = app.test_client()
    answer = client.get("/ml/readyz")
    document = Document.of(client)
    promised = document.paths["/readyz"]["get"]["responses"][str(answer.status_code)]
    document.check(promised["content"]["application/json"]["schema"], answer.json)
    assert "Retry-After" in promised["headers"]


def test_an_error_answers_what_is_promised(client: FlaskClient, document: Document) -> None:
    path = "/models/matrix/predict"
    answer = client.post(f"/ml{path}", json=[["x", 1, 1, 1]])
    promised = document.follow(document.paths[path]["post"]["responses"][str(answer.status_code)])
    document.check(promised["content"][answer.content_type]["schema"], answer.json)
    assert answer.json["code"] in promised["description"]


# Types ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/models/matrix/predict", [[1, 2, 3]]),
        ("/models/matrix/predict", [[1, 2, 3, 4, 5]]),
        ("/models/matrix/predict", [[1, 2, 3, "4"]]),
        ("/models/matrix/predict", [[1, 2, 3, True]]),
        ("/models/matrix/predict", [[1, 2, 3, None]]),
        ("/models/matrix/predict", []),
        ("/models/matrix/predict", {"instances": [[1, 2, 3, 4]], "more": 1}),
        ("/models/matrix/predict", {"instances": [[1, 2, 3, 4]], "inputs": [[1, 2, 3, 4]]}),
        ("/models/matrix/predict", {"dataframe_records": [{"x0": 1}]}),
        ("/models/matrix/predict", {"dataframe_split": {"columns": [False], "data": [[1, 2, 3, 4]]}}),
        ("/models/table/predict", [{"size": 1, "colour": "red"}]),
        ("/models/table/predict", [{"size": 1, "colour": "red", "shape": "round", "more": 1}]),
        ("/models/table/predict", [{"size": 1, "colour": "red", "shape": "oval"}]),
        ("/models/table/predict", [{"size": 1, "colour": "red", "shape": None}]),
        ("/models/table/predict", [[1, "red", "round"]]),
        ("/models/table/predict", [["red", 1, "round", None]]),
        ("/models/table/predict", {"inputs": {"size": [1]}}),
        ("/models/texts/predict", [1]),
        ("/models/texts/predict", [["a", "b"]]),
        ("/models/stay/predict", [{"kind": "noon", "start": "2026-01-01T00:00:00"}]),
        ("/models/stay/predict", [{"kind": "day"}]),
        ("/models/stay/predict", [{"kind": "day", "start": "2026-01-01T00:00:00", "nights": 2**63}]),
        ("/models/stay/predict", {"inputs": {}}),
        ("/models/images/predict", [[[[1], [2], [3]]]]),
        ("/models/images/predict", [[[[1], [2], [3]], [[4], [5], [True]]]]),
        ("/models/images/predict", [[[1, 2, 3], [4, 5, 6]]]),
        ("/models/album/predict", [{"image": [[1, 2, 3], [4, 5, 256]], "age": 1}]),
        ("/models/album/predict", [{"image": [[1, 2, 3], [4, 5]], "age": 1}]),
        ("/models/gallery/predict", ["a rose"]),
        ("/models/gallery/find", [{"image": [[1, 2, 3], [4, 5, 6]], "age": 1}]),
        ("/models/album/predict", [{"image": [[1, 2, 3], [4, 5, 6]]}]),
        ("/models/album/predict", [[[[1, 2, 3], [4, 5, 6]], 1]]),
        ("/models/album/predict", {"inputs": {"image": [[[1, 2, 3], [4, 5, 6]]]}}),
        ("/models/film/predict", [[[1, 2, 3]]]),
        ("/models/images/predict", [{"b64": 1}]),
        ("/models/images/predict", [{"b64": "", "more": 1}]),
        ("/models/matrix/predict", [{"b64": IMAGE}]),
        ("/models/pair/predict", [{"text": {"b64": IMAGE}, "n": 1}]),
        ("/models/neighbors/kneighbors", {"instances": [[1, 2, 3, 4]], "params": {"n_jobs": 2}}),
    ],
)
def test_what_does_not_fit_its_type_is_refused(
    client: FlaskClient, document: Document, path: str, body: Any
) -> None:
    assert not document.fits(document.body(path), body)
    assert client.post(f"/ml{path}", json=body).status_code == 422


def test_a_model_of_one_image_takes_it_as_a_body(client: FlaskClient, document: Document) -> None:
    forms = {
        name: set(document.paths[f"/models/{name}/predict"]["post"]["requestBody"]["content"])
        for name in ("images", "film", "album", "matrix", "texts", "table")
    }
    plain = set(native.ANSWERS)
    whole = plain | {"image/png", "image/jpeg"}
    assert forms == {"images": whole, "film": whole} | dict.fromkeys(
        ("album", "matrix", "texts", "table"), plain
    )
    body = png(np.zeros((2, 3), np.uint8))
    answer = client.post("/ml/models/images/predict", data=body, content_type="image/png")
    assert answer.json["predictions"] == [0]


def test_without_pillow_no_images_are_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_media, "is_available", lambda: False)
    document = Document.of(make_app().test_client())
    assert "image/png" not in document.paths["/models/images/predict"]["post"]["requestBody"]["content"]
    assert not document.fits(document.body("/models/images/predict"), [{"b64": IMAGE}])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/models/matrix/predict", {"inputs": {"inputs": [[1, 2, 3, 4]]}}),
        ("/models/matrix/predict", {"dataframe_split": {"columns": None, "data": [[1, 2, 3, 4]]}}),
        (
            "/models/matrix/predict",
            {"dataframe_split": {"columns": [0, 1.5, 2.0, "x"], "data": [[1, 2, 3, 4]]}},
        ),
        ("/models/table/predict", [{"size": None, "colour": None, "shape": "round"}]),
        ("/models/table/predict", [{"size": 1, "colour": "new", "shape": "round", "unused": 7}]),
        ("/models/table/predict", [[1, "red", "round", None]]),
        ("/models/texts/predict", ["good", ["bad"]]),
        ("/models/stay/predict", [{"kind": "day", "start": "2026-01-01T00:00:00"}]),
        ("/models/stay/predict", {"inputs": {"kind": ["day"], "start": ["2026-01-01T00:00:00"]}}),
        ("/models/neighbors/kneighbors", {"instances": [[1, 2, 3, 4]], "params": {"n_neighbors": 1}}),
        ("/models/process/predict", {"instances": [[1, 2, 3, 4]], "params": {"return_std": True}}),
        ("/models/images/predict", {"inputs": {"inputs": [[[[1], [2], [3]], [[4], [5], [6]]]]}}),
        ("/models/album/predict", {"inputs": {"image": [[[1, 2, 3], [4, 5, 6]]], "age": [None]}}),
        ("/models/film/predict", [[[1, 2]], [[3, 4]]]),
        ("/models/gallery/find", ["a rose"]),
        ("/models/film/predict", {"inputs": [{"frames": [[1, 2], [3, 4], [5, 6]]}]}),
        ("/models/images/predict", [{"b64": IMAGE}, [[[1], [2], [3]], [[4], [5], [6]]]]),
        ("/models/images/predict", {"instances": [{"b64": IMAGE}]}),
        ("/models/album/predict", [{"image": {"b64": IMAGE}, "age": 1}]),
        ("/models/album/predict", {"inputs": {"image": [{"b64": IMAGE}], "age": [1]}}),
    ],
)
def test_what_fits_its_type_is_answered_with_what_is_promised(
    client: FlaskClient, document: Document, path: str, body: Any
) -> None:
    document.check(document.body(path), body)
    answer = client.post(f"/ml{path}", json=body)
    assert answer.status_code == 200, answer.text
    document.check(document.answer(path), answer.json)


def test_answers_are_typed_by_what_a_method_returns(document: Document) -> None:
    label = {"type": "string"}
    number = {"type": ["number", "null"]}
    assert document.prediction("/models/matrix/predict") == label
    assert document.prediction("/models/matrix/predict_proba") == {
        "type": "array", "items": number, "minItems": 3, "maxItems": 3
    }  # fmt: skip
    assert document.prediction("/models/clusters/predict") == {"type": "integer"}
    assert document.prediction("/models/hostile/predict") == number
    assert document.prediction("/models/frames/transform")["properties"] == {"shape": number}
    assert document.prediction("/models/several/predict_proba")["required"] == ["output_0", "output_1"]
    assert document.prediction("/models/stay/predict") == {}


def test_a_number_of_few_bits_has_bounds_and_what_is_unlike_json_is_left_open() -> None:
    app = Flask(__name__)
    models = Demijohn(app)
    models.add("narrow", LinearRegression().fit(IRIS, SPECIES), example=IRIS[:1].astype(np.float32))
    mixed = pd.DataFrame({"flag": [True], "day": pd.to_datetime(["2026-01-01"]), "any": [None]})
    models.add("mixed", FunctionTransformer(hand_on).set_output(transform="pandas").fit(mixed), example=mixed)
    client = app.test_client()
    document = Document.of(client)
    body = document.body("/models/narrow/predict")
    assert document.fits(body, [[3.4e38, 0, 0, 0]])
    assert not document.fits(body, [[3.5e38, 0, 0, 0]])
    outputs = document.prediction("/models/mixed/transform")["properties"]
    assert outputs == {"flag": {"type": ["boolean", "null"]}, "day": {}, "any": {}}
    row = {"flag": True, "day": "2026-01-01T00:00:00", "any": "text"}
    document.check(
        document.answer("/models/mixed/transform"), client.post("/ml/models/mixed/transform", json=[row]).json
    )


def test_where_there_is_one_column_a_row_may_be_its_value_alone() -> None:
    client = make_app().test_client()
    document = Document.of(client)
    shapes = TABLE["shape"].tolist()
    for body in (shapes, {"inputs": shapes}, {"dataframe_split": {"columns": ["shape"], "data": shapes}}):
        assert document.fits(document.body("/models/frames/transform"), body)
        assert client.post("/ml/models/frames/transform", json=body).status_code == 200
    mixed = [shapes[0], [shapes[0]]]
    assert not document.fits(document.body("/models/frames/transform"), mixed)
    assert client.post("/ml/models/frames/transform", json=mixed).status_code == 422


def test_a_column_of_anything_is_handed_on_as_anything() -> None:
    rows = pd.DataFrame({"any": ["text", 3]})
    app = Flask(__name__)
    Demijohn(app).add(
        "same", FunctionTransformer(hand_on).set_output(transform="pandas").fit(rows), example=rows
    )
    client = app.test_client()
    document = Document.of(client)
    answer = client.post("/ml/models/same/transform", json=[["text"], [3], [None]])
    assert answer.json["predictions"] == [{"any": "text"}, {"any": 3}, {"any": None}]
    document.check(document.answer("/models/same/transform"), answer.json)


def test_the_classes_of_a_classifier_are_promised(document: Document) -> None:
    classes = document.follow(document.answer("/models/matrix/predict_proba"))["properties"]["classes"]
    assert classes["const"] == ["setosa", "versicolor", "virginica"]
    assert "classes" not in document.follow(document.answer("/models/matrix/predict"))["properties"]


def test_many_categories_and_classes_are_not_listed() -> None:
    words = [f"word {index}" for index in range(600)]
    rows = pd.DataFrame({"word": words})
    app = Flask(__name__)
    models = Demijohn(app)
    models.add("words", OrdinalEncoder().fit(rows))
    models.add("labels", MultinomialNB().fit(np.eye(600), words))
    document = Document.of(app.test_client())
    cell = document.follow(document.body("/models/words/transform"))
    assert words[500] not in json.dumps(cell) + json.dumps(document.whole["components"]["schemas"])
    assert document.fits(document.body("/models/words/transform"), [{"word": words[500]}])
    classes = document.follow(document.answer("/models/labels/predict_proba"))["properties"]["classes"]
    assert classes["type"] == "array"


def test_what_a_parameter_may_change_is_left_open(document: Document) -> None:
    typed, _ = document.prediction("/models/process/predict")["anyOf"]
    assert typed == {"type": ["number", "null"]}


def test_names_of_columns_are_only_data(document: Document) -> None:
    record = document.whole["components"]["schemas"]["hostile.1.record"]
    assert list(record["properties"]) == HOSTILE
    for text in texts(document.whole):
        assert not any(name in text for name in HOSTILE if not name.isalpha())


def texts(part: Any) -> Iterator[str]:
    """Yield what a page may read as Markdown or a link, and the names of all components."""
    if isinstance(part, dict):
        for key, below in part.items():
            if key in {"description", "summary", "operationId", "title", "$ref"} and isinstance(below, str):
                yield below
            if key == "components":
                yield from (name for kind in below.values() for name in kind)
            yield from texts(below)
    if isinstance(part, list):
        for below in part:
            yield from texts(below)


# Statuses and keys ------------------------------------------------------------------------


def statuses_of(error: type[DemijohnError]) -> set[int]:
    ours = [below for below in error.__subclasses__() if below.__module__ == error.__module__]
    return {error.status}.union(*map(statuses_of, ours))


def test_a_prediction_promises_every_status_there_is(document: Document) -> None:
    statuses = {200, *statuses_of(RequestError), *statuses_of(ServerError)} - {401, NotOffered.status}
    promised = document.paths["/models/matrix/predict"]["post"]["responses"]
    assert {int(status) for status in promised} == statuses
    assert "Retry-After" in document.follow(promised["503"])["headers"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/models/matrix:predict", {"instances": [[1, 2, 3]]}),
        ("/v1/models/matrix:predict", {"instances": [[1, 2, 3, 4]], "inputs": [[1, 2, 3, 4]]}),
        ("/v1/models/matrix:predict", {"inputs": [[1, 2, 3, 4]], "signature_name": "nobody"}),
        ("/v1/models/matrix:predict", [[1, 2, 3, 4]]),
        ("/v1/models/matrix:classify", {"instances": [[1, 2, 3, 4]]}),
        ("/v1/models/table:regress", {"examples": []}),
        ("/invocations", [[1, 2, 3, 4]]),
        ("/invocations", {"instances": [[1, 2, 3]]}),
        ("/invocations", {"instances": [[1, 2, 3, 4]], "inputs": [[1, 2, 3, 4]]}),
        ("/invocations", {"instances": [[1, 2, 3, 4]], "params": {"x": 1}}),
    ],
)
def test_a_dialect_refuses_in_its_own_form_what_does_not_fit_its_type(
    client: FlaskClient, document: Document, path: str, body: Any
) -> None:
    assert not document.fits(document.body(path), body)
    answer = client.post(f"/ml{path}", json=body)
    promised = document.follow(document.paths[path]["post"]["responses"][str(answer.status_code)])
    document.check(promised["content"][answer.content_type]["schema"], answer.json)
    assert answer.status_code == 400


def test_without_a_key_nothing_is_said_of_keys(document: Document) -> None:
    assert "security" not in document.whole
    assert "securitySchemes" not in document.whole["components"]
    assert not any("401" in operation["responses"] for _, _, operation in document.operations)


def test_with_a_key_every_closed_route_says_so() -> None:
    client = make_app(api_key="secret").test_client()
    document = Document(client.get("/ml/openapi.json", headers={"X-API-Key": "secret"}).json)
    check_valid(document)
    schemes = document.whole["components"]["securitySchemes"]
    assert {name for way in document.whole["security"] for name in way} == set(schemes)
    for path, method, operation in document.operations:
        forms = {"Content-Type": "text/csv", "Accept": "text/csv"} if method == "put" else None
        answer = client.open(
            "/ml" + path.format(name="versions", version="1", alias="champion"), method=method, headers=forms
        )
        is_closed = answer.status_code == 401
        assert ("401" in operation["responses"]) == is_closed, path
        assert operation.get("security", document.whole["security"]) == (
            document.whole["security"] if is_closed else []
        )


def test_a_model_of_which_nothing_is_known_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Flask(__name__)
    models = Demijohn(app)
    models.add("mystery", lambda rows: rows.sum(axis=1), batch=True)
    predictor: Predictor = app.extensions["demijohn"].pool.find("mystery")
    monkeypatch.setattr(predictor.runtime, "example_rows", list)
    document = Document.of(app.test_client())
    check_valid(document)
    body = document.paths["/models/mystery/predict"]["post"]["requestBody"]["content"]
    assert all("examples" not in content for content in body.values())
    assert document.prediction("/models/mystery/predict") == {}
    assert document.fits(document.body("/models/mystery/predict"), [[1.0, 2.0]])
