"""A server's models in Python's hands."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.client.app import ESTIMATORS, IRIS
from tests.client.fake_server import DESCRIPTION, FakeServer, answer, problem
from tests.servers import Server

import demijohn
from demijohn import BadInput, Client
from demijohn.errors import (
    BodyTooLarge,
    DeadlineExceeded,
    DemijohnError,
    MethodNotFound,
    ModelError,
    ModelNotFound,
    ParameterMismatch,
    SignatureMismatch,
    VersionNotFound,
)

ROW = np.array([[1.0, 2.0]])


# The list ---------------------------------------------------------------------------------


def test_the_models_are_a_mapping_in_the_servers_order(client: Client) -> None:
    models = client.models
    assert list(models)[:3] == list(models.names)[:3] == ["iris", "tree", "neighbors"]
    assert len(models) == len(models.summaries) == 17
    assert "iris" in models
    assert "nobody" not in models
    assert models["iris"] is client["iris"]
    assert [one.version for one in models.summaries if one.name == "double"] == ["10"]
    with pytest.raises(KeyError):
        models["nobody"]


def test_a_client_iterates_over_the_names_of_its_models(client: Client) -> None:
    assert list(client) == list(client.models)
    assert "iris" in client
    assert "nobody" not in client


def test_a_server_is_ready_when_it_says_so(client: Client, fake: FakeServer) -> None:
    assert client.is_ready()
    fake.replies = [answer({"status": "not ready", "reasons": {}}, 503, Retry_After="0")]
    with Client(fake.url) as other:
        assert not other.is_ready()
    assert len(fake.requests) == 1


@pytest.mark.parametrize("name", ["", "..", "a/b", "a b", "ü", "-a", "a" * 129, "a\r\nX: b", "%2e%2e"])
def test_what_can_be_no_name_reaches_no_server(client: Client, name: str) -> None:
    with pytest.raises(ModelNotFound):
        client[name]
    for choose in (client["iris"].version, client["iris"].alias):
        with pytest.raises(VersionNotFound):
            choose(name)


# A model ----------------------------------------------------------------------------------


def test_a_model_tells_what_it_is(client: Client) -> None:
    model = client["iris"]
    assert model.name == "iris"
    assert model.methods == ("predict", "predict_proba", "predict_log_proba", "decision_function")
    assert model.signature.inputs[0].shape == (-1, 4)
    assert model.signature.outputs["predict_proba"][0].shape == (-1, 3)
    assert model.versions == ("1",)
    assert model.aliases == {}
    assert model.classes == ["setosa", "versicolor", "virginica"]
    assert model.plan["state"] in ("proving", "settled")
    assert client["spell"].streams == ("predict",)


def test_what_is_told_is_what_a_loaded_model_tells(client: Client) -> None:
    local = demijohn.load(ESTIMATORS["iris"], name="iris")
    assert client["iris"].methods == local.methods
    assert client["iris"].signature.as_json() == local.signature.as_json()


@pytest.mark.parametrize("name", ["fit", "transform", "coef_", "_repr_pretty_", "__array__"])
def test_a_model_has_the_methods_of_its_estimator_and_no_more(client: Client, name: str) -> None:
    assert not hasattr(client["iris"], name)


def test_a_missing_method_is_said_with_those_there_are(client: Client) -> None:
    with pytest.raises(AttributeError, match="it has: predict, predict_proba"):
        client["iris"].transform  # noqa: B018


def test_methods_are_listed_once_they_are_known(client: Client) -> None:
    assert "predict_proba" not in dir(client["iris"])
    assert client["iris"].methods
    assert {"predict_proba", "signature", "version"} <= set(dir(client["iris"]))


def test_versions_and_aliases_answer_for_themselves(client: Client) -> None:
    double = client["double"]
    assert double.versions == ("9", "10")
    assert double.aliases == {"champion": "9"}
    for model, slope in [
        (double, 10.0), (double.version("9"), 9.0), (double.version("10"), 10.0),
        (double.alias("champion"), 9.0),
    ]:  # fmt: skip
        for rows in ([[1.0]], np.ones((2_000, 1))):
            given: Any = model.predict(rows)
            assert set(given.round(9)) == {slope}
    for absent in (double.version("11"), double.alias("nobody")):
        with pytest.raises(VersionNotFound):
            absent.predict([[1.0]])


def test_whoever_moves_on_to_another_version_is_noticed(fake: FakeServer) -> None:
    again = {**DESCRIPTION, "version": "2", "methods": ["predict", "score_samples"]}
    answered = {"predictions": [3.0], "model": "m", "version": "2"}
    fake.replies = [answer(DESCRIPTION), answer(answered), answer(again), answer(answered)]
    with Client(fake.url) as client:
        for _ in range(3):
            client["m"].predict(ROW)
        assert client["m"].methods == ("predict", "score_samples")
    assert sum(head.startswith(b"GET") for head in fake.requests) == 2


def test_a_call_that_was_written_for_another_version_is_written_anew(fake: FakeServer) -> None:
    table = {
        **DESCRIPTION["signature"], "layout": "table",
        "inputs": [{**DESCRIPTION["signature"]["inputs"][0], "name": name, "shape": [-1]} for name in "ab"],
    }  # fmt: skip
    fake.replies = [
        answer(DESCRIPTION),
        problem(422, "signature_mismatch"),
        answer({**DESCRIPTION, "version": "2", "signature": table}),
        answer({"predictions": [3.0], "model": "m", "version": "2"}),
    ]
    with Client(fake.url) as client:
        assert client["m"].predict(ROW).tolist() == [3.0]  # type: ignore[union-attr]
    assert fake.bodies[-1] == b'{"inputs":{"a":[1.0],"b":[2.0]}}'


def test_what_does_not_fit_the_version_that_is_there_is_said_at_once(fake: FakeServer) -> None:
    fake.replies = [answer(DESCRIPTION), problem(422, "signature_mismatch"), answer(DESCRIPTION)]
    with Client(fake.url) as client, pytest.raises(SignatureMismatch):
        client["m"].predict(ROW)
    assert len(fake.requests) == 3


# Errors -----------------------------------------------------------------------------------


def test_an_error_is_the_servers_own(client: Client) -> None:
    with pytest.raises(SignatureMismatch) as raised:
        client["people"].predict([{"age": 1.0, "kind": 5, "count": 2.5, "is_big": True}])
    error = raised.value
    assert (error.status, error.code) == (422, "signature_mismatch")
    assert [(place.row, place.column, place.received) for place in error.errors] == [
        (0, "kind", "5"), (0, "count", "2.5"),
    ]  # fmt: skip
    assert error.request_id
    assert "row 0, column 'kind'" in str(error)


@pytest.mark.parametrize("n_rows", [1, 1_000], ids=["json", "v2"])
def test_a_row_that_does_not_fit_is_named_whatever_carried_it(client: Client, n_rows: int) -> None:
    rows = np.tile(IRIS[:1], (n_rows, 1))
    rows[n_rows - 1, 2] = np.nan
    with pytest.raises(SignatureMismatch) as raised:
        client["iris"].predict(rows)
    assert [(place.row, place.column) for place in raised.value.errors] == [(n_rows - 1, 2)]


def test_every_kind_of_refusal_has_its_class(client: Client) -> None:
    with pytest.raises(BadInput, match="x must not be negative"):
        client["picky"].predict([-1.0])
    with pytest.raises(ModelError, match="RuntimeError") as raised:
        client["picky"].predict([101.0])
    assert "secret" not in raised.value.detail
    with pytest.raises(DeadlineExceeded):
        client["sleepy"].predict([1.2])
    with pytest.raises(ModelNotFound):
        client["nobody"].predict([[1.0]])
    with pytest.raises(ParameterMismatch):
        client["iris"].predict(IRIS[:1], colour="red")
    with pytest.raises(BodyTooLarge):
        client["iris"].predict(np.ones((100_000, 4)))


@pytest.mark.parametrize(
    "rows", [[], np.zeros((0, 4)), [[1.0]], [["a"] * 4], "text", 5, None, pd.DataFrame(), [[]], {}]
)
def test_what_does_not_fit_is_refused(client: Client, rows: Any) -> None:
    with pytest.raises(SignatureMismatch):
        client["iris"].predict(rows)


# Streams ----------------------------------------------------------------------------------


def test_items_come_one_by_one(client: Client) -> None:
    items = client["spell"].stream(["hey"])
    assert inspect.isgenerator(items)
    assert list(items) == ["h", {"error": "e"}, "y"]  # an item may look like an error


def test_an_error_after_the_first_item_is_raised_in_its_place(client: Client) -> None:
    items = client["spell"].stream([{"word": "a!"}])
    assert next(items) == "a"
    with pytest.raises(BadInput, match="no exclamations") as raised:
        next(items)
    assert (raised.value.status, bool(raised.value.request_id)) == (422, True)


def test_an_error_before_the_first_item_is_raised_there(client: Client) -> None:
    with pytest.raises(SignatureMismatch):
        next(client["spell"].stream([{"word": 5}]))
    with pytest.raises(MethodNotFound, match="item by item"):
        client["iris"].stream(IRIS[:1])


def test_what_no_request_can_carry_is_said_where_the_first_item_would_be(client: Client) -> None:
    with pytest.raises(SignatureMismatch, match="JSON has no infinity"):
        next(client["spell"].stream([{"word": np.inf}]))
    with pytest.raises(DemijohnError) as raised:
        next(client["spell"].stream(b"\xff\xd8\xff"))
    assert raised.value.status in (400, 415)


def test_whoever_stops_reading_is_done(client: Client) -> None:
    for _ in range(3):
        items = client["spell"].stream(["abcdefgh" * 1_000])
        assert next(items) == "a"
        items.close()  # type: ignore[attr-defined]
    assert client["shout"].predict(["x"]).tolist() == ["X"]  # type: ignore[union-attr]


# What is shown ----------------------------------------------------------------------------


def test_a_client_names_its_server_and_a_model_its_inputs(client: Client, served: Server) -> None:
    assert repr(client) == f"<Client of {served.url}/ml>"
    assert repr(client["iris"]) == f"<RemoteModel iris at {served.url}/ml>"
    assert client["iris"].methods
    assert "version 1: inputs: float64 (n_rows, 4)" in repr(client["iris"])
    assert repr(client["double"].alias("champion")).startswith("<RemoteModel double/aliases/champion at")
    assert repr(client.models).startswith("<ModelList iris, tree,")


def test_a_notebook_shows_models_and_signatures(client: Client) -> None:
    assert "<td>double</td><td>10</td><td>ready</td><td>predict</td>" in client._repr_html_()
    page = client["people"]._repr_html_()
    assert "<td>kind</td><td>str</td><td>yes</td><td>cat, dog, emu</td>" in page


def test_a_notebook_runs_nothing_that_a_server_says(fake: FakeServer) -> None:
    evil = "<script>alert(1)</script>"
    signature = {
        **DESCRIPTION["signature"],
        "inputs": [{**DESCRIPTION["signature"]["inputs"][0], "name": evil, "categories": [evil]}],
    }
    fake.replies = [
        answer({"models": [{"name": evil, "version": evil, "state": evil, "methods": [evil]}]}),
        answer({**DESCRIPTION, "name": evil, "version": evil, "methods": [evil], "signature": signature}),
        answer(evil.encode(), 500, "text/html"),
    ]
    with Client(fake.url) as client:
        for page in (
            client._repr_html_(), client["m"]._repr_html_(), client._repr_html_(), client["n"]._repr_html_(),
        ):  # fmt: skip
            assert "&lt;script&gt;" in page
            assert "<script>" not in page


# The import -------------------------------------------------------------------------------


def test_importing_the_client_imports_no_framework() -> None:
    source = """
import sys
import demijohn
assert "numpy" not in sys.modules and "urllib3" not in sys.modules
demijohn.Client
heavy = {"flask", "werkzeug", "granian", "pandas", "pyarrow", "sklearn", "scipy", "PIL", "onnxruntime",
         "prometheus_client"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", source], check=True)
