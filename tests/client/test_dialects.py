"""Whichever dialect carries a call, the answer is the estimator's own, and so is its dtype."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest
from tests.client.app import ESTIMATORS, IRIS, PEOPLE, Cube, so_many
from tests.client.fake_server import DESCRIPTION, FakeServer, answer, problem

from demijohn import Client
from demijohn.client import arrow_dialect, dialects, json_dialect, v2_dialect
from demijohn.client.calls import Call, Place, Unfit
from demijohn.client.description import Description
from demijohn.client.inputs import Table, as_column
from demijohn.errors import (
    ModelRefused,
    NotAcceptable,
    QueueFull,
    SignatureMismatch,
    UnsupportedMediaType,
    UnusableAnswer,
)

EVERY: list[ModuleType] = [json_dialect, v2_dialect, arrow_dialect]
IDS = [dialect.__name__.rpartition(".")[2] for dialect in EVERY]
#: Small enough for JSON by choice, and too large for that.
ROWS = {"few": IRIS[::30], "many": np.tile(IRIS, (2, 1))}

pytestmark = pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")


@pytest.fixture(params=EVERY, ids=IDS)
def carried(request: pytest.FixtureRequest, client: Client, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A client that speaks one dialect alone."""
    only(client, request.param, monkeypatch)
    return client


def only(client: Client, dialect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client._dialects, "_order", lambda _: [dialect])


def same(given: Any, expected: npt.NDArray[Any]) -> None:
    """Raise unless an answer is the array that is expected, and the caller's own."""
    assert isinstance(given, np.ndarray)
    assert (given.dtype, given.shape) == (expected.dtype, expected.shape)
    assert given.flags.writeable
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(given, expected, rtol=1e-12)
    else:
        np.testing.assert_array_equal(given, expected)


# Answers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ROWS)
@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("iris", "predict"), ("iris", "predict_proba"), ("iris", "decision_function"), ("tree", "predict"),
        ("tree", "apply"), ("neighbors", "predict_proba"), ("process", "predict"), ("pair", "predict"),
    ],
)  # fmt: skip
def test_the_answer_is_what_the_estimator_returns(carried: Client, name: str, method: str, size: str) -> None:
    rows = ROWS[size]
    same(getattr(carried[name], method)(rows), getattr(ESTIMATORS[name], method)(rows))


@pytest.mark.parametrize("method", [method for method in Cube.methods if method != "any"])
def test_an_answer_of_any_dtype_and_shape_stays_so(carried: Client, method: str) -> None:
    given = getattr(carried["cube"], method)(np.ones((3, 2, 3), np.float32))
    same(given, so_many(Cube.outputs[method], 3))


def test_answers_that_are_of_no_kind_come_as_values(client: Client) -> None:
    given = client["cube"].any(np.ones((400, 2, 3), np.float32))
    assert given.dtype == object  # type: ignore[union-attr]
    assert given[:7].tolist() == ["text", 5, None, [1, 2], {"a": 1.5}, True, 2.5]  # type: ignore[index]


def test_several_outputs_are_a_dict(carried: Client) -> None:
    distances, indices = ESTIMATORS["neighbors"].kneighbors(ROWS["few"], n_neighbors=2)
    for arguments in (
        {"n_neighbors": 2},
        {"params": {"n_neighbors": 2}},
        {"params": {"n_neighbors": 5}, "n_neighbors": 2},
    ):
        given: Any = carried["neighbors"].kneighbors(ROWS["few"], **arguments)
        assert list(given) == ["distances", "indices"]
        same(given["distances"], distances)
        same(given["indices"], indices)
    mean, std = ESTIMATORS["process"].predict(ROWS["few"], return_std=True)
    given = carried["process"].predict(ROWS["few"], return_std=True)
    same(given["mean"], mean)
    same(given["std"], std)
    for name, expected in zip(("output_0", "output_1"), ESTIMATORS["pair"].predict_proba(IRIS), strict=True):
        same(carried["pair"].predict_proba(IRIS)[name], expected)  # type: ignore[index]


def test_a_frame_of_outputs_is_a_dict_of_its_columns(carried: Client) -> None:
    frame = PEOPLE[["kind"]].dropna()
    given: Any = carried["frames"].transform(frame)
    same(given["kind"], ESTIMATORS["frames"].transform(frame)["kind"].to_numpy())


@pytest.mark.parametrize("size", ROWS)
def test_an_infinity_in_an_answer_is_one_whoever_is_asked_first(client: Client, size: str) -> None:
    for _ in range(2):
        same(client["tree"].predict_log_proba(ROWS[size]), ESTIMATORS["tree"].predict_log_proba(ROWS[size]))
    assert len(client._dialects._doubted) == (size == "few")


def test_json_alone_reads_null_as_nan(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    only(client, json_dialect, monkeypatch)
    given: Any = client["tree"].predict_log_proba(IRIS[:2])
    np.testing.assert_array_equal(given, [[0.0, np.nan, np.nan]] * 2)


def test_an_infinity_is_one_by_an_alias_too(client: Client) -> None:
    same(
        client["tree"].alias("champion").predict_log_proba(IRIS[:2]),
        ESTIMATORS["tree"].predict_log_proba(IRIS[:2]),
    )


@pytest.mark.parametrize("n_rows", [1, 2_000])
def test_what_a_function_returns_is_what_json_says_whoever_carried_it(client: Client, n_rows: int) -> None:
    texts = ["a", "größer"] * n_rows
    same(client["shout"].predict(texts), np.array(["A", "GRÖSSER"] * n_rows))
    images = np.full((n_rows, 4, 5), 7, np.uint8)
    same(client["grey"].predict(images), np.full(n_rows, 7.0))
    given: Any = client["statistics"].predict(texts)
    same(given["length"], np.array([1, 6] * n_rows))
    same(given["share"], np.array([0.125, 0.75] * n_rows))


def test_what_a_function_returns_is_what_json_says(client: Client) -> None:
    same(client["shout"].predict(["a", "größer"]), np.array(["A", "GRÖSSER"]))
    same(client["whole"].predict([{"count": 2**60, "is_big": True}]), np.array([-(2**60)]))
    same(client["grey"].predict(np.full((2, 4, 5), 7, np.uint8)), np.array([7.0, 7.0]))
    given: Any = client["statistics"].predict(["ab", "abc"])
    same(given["length"], np.array([2, 3]))
    same(given["upper"], np.array(["AB", "ABC"]))
    same(given["share"], np.array([0.25, 0.375]))


def test_a_generators_items_may_be_gathered(client: Client) -> None:
    given: Any = client["spell"].predict(["hi", "you"])
    assert given.tolist() == [["h", "i"], ["y", "o", "u"]]


# Inputs -----------------------------------------------------------------------------------

RECORDS = PEOPLE.astype(object).where(PEOPLE.notna(), None).to_dict("records")


@pytest.mark.parametrize(
    "people",
    [
        PEOPLE,
        PEOPLE[PEOPLE.columns[::-1]],
        PEOPLE.astype({"kind": "category", "age": "Float64", "count": "Int64", "is_big": "boolean"}),
        PEOPLE.convert_dtypes(),
        PEOPLE.astype(object),
        {name: column.tolist() for name, column in PEOPLE.items()},
        {name: column.to_numpy() for name, column in PEOPLE.items()},
        RECORDS,
        [list(record.values()) for record in RECORDS],
        {"instances": RECORDS},
        {"dataframe_records": RECORDS},
        {"dataframe_split": {"columns": list(PEOPLE), "data": [list(record.values()) for record in RECORDS]}},
    ],
    ids=["frame", "reversed", "extension dtypes", "arrow dtypes", "objects", "lists", "arrays", "records",
         "rows", "instances", "dataframe_records", "dataframe_split"],
)  # fmt: skip
def test_a_table_may_come_in_any_form(client: Client, monkeypatch: pytest.MonkeyPatch, people: Any) -> None:
    expected = ESTIMATORS["people"].predict(PEOPLE)
    is_body = isinstance(people, dict) and not people.keys() & set(PEOPLE)
    for dialect in [json_dialect] if is_body else EVERY:
        only(client, dialect, monkeypatch)
        same(client["people"].predict(people), expected)


@pytest.mark.parametrize(
    "rows",
    [
        IRIS[:3], IRIS[:3].tolist(), tuple(map(tuple, IRIS[:3])), list(IRIS[:3]), pd.DataFrame(IRIS[:3]),
        pd.DataFrame(IRIS[:3]).astype(object), np.asfortranarray(IRIS[:3]), IRIS[:3].astype(object),
        IRIS[::50][::-1][::-1], IRIS[:3].astype(">f8"), IRIS[:3].astype(np.longdouble),
    ],
    ids=["array", "lists", "tuples", "list of arrays", "frame", "frame of objects", "fortran", "objects",
         "strided", "big-endian", "long doubles"],
)  # fmt: skip
def test_a_matrix_may_come_in_any_form(carried: Client, rows: Any) -> None:
    plain = np.array(rows, dtype=np.float64)
    same(carried["iris"].predict_proba(rows), ESTIMATORS["iris"].predict_proba(plain))


def test_whole_numbers_and_short_floats_are_numbers(carried: Client) -> None:
    for rows in (
        np.arange(8).reshape(2, 4),
        np.ones((2, 4), np.float32) / 3,
        np.ones((2, 4), np.float16) / 3,
    ):
        same(carried["iris"].predict_proba(rows), ESTIMATORS["iris"].predict_proba(rows.astype(np.float64)))


def test_a_sparse_matrix_becomes_dense(client: Client) -> None:
    from scipy import sparse

    same(client["iris"].predict(sparse.csr_matrix(IRIS[:4])), ESTIMATORS["iris"].predict(IRIS[:4]))


def test_instants_may_come_as_such_or_as_texts(client: Client) -> None:
    days = pd.to_datetime(["2024-02-29T12:00:00.123456789", "1999-12-31"], format="ISO8601")
    for given in (
        pd.DataFrame({"day": days}),
        {"day": days.to_numpy()},
        {"day": ["2024-02-29", "1999-12-31"]},
    ):
        same(client["years"].predict(given), np.array([2024, 1999]))


def test_an_infinity_goes_where_there_is_a_form_for_it(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = PEOPLE.assign(age=np.inf)
    with pytest.raises(ModelRefused, match="infinity"):  # the estimator's own words
        client["people"].predict(frame)
    only(client, json_dialect, monkeypatch)
    with pytest.raises(SignatureMismatch, match="JSON has no infinity"):
        client["people"].predict(frame)
    with pytest.raises(SignatureMismatch, match="JSON has no infinity"):
        client["people"].predict({"instances": [[np.inf, "cat", 1, True]]})


# Which is asked ---------------------------------------------------------------------------


@pytest.fixture
def without_arrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where pyarrow is not installed."""
    monkeypatch.setattr(arrow_dialect, "is_available", lambda: False)


def sent(fake: FakeServer) -> list[str]:
    """Return the paths of the predictions, in their order."""
    return [head.split()[1].decode() for head in fake.requests if head.startswith(b"POST")]


V2 = {"model_name": "m", "model_version": "1", "outputs": [
    {"name": "predict", "datatype": "FP64", "shape": [1], "data": [3.0]}]}  # fmt: skip
PREDICTIONS = {"predictions": [3.0], "model": "m", "version": "1"}
FEW, MANY = np.ones((1, 2)), np.ones((dialects.MOST_JSON_VALUES, 2))


def test_few_values_go_as_json_and_many_numbers_in_bytes(fake: FakeServer) -> None:
    fake.replies = [answer(DESCRIPTION), answer(PREDICTIONS), answer(V2)]
    with Client(fake.url) as client:
        assert client["m"].predict(FEW) == client["m"].predict(MANY) == 3.0
    assert sent(fake) == ["/models/m/predict", "/v2/models/m/infer"]


@pytest.mark.usefixtures("without_arrow")
def test_many_texts_go_as_json(fake: FakeServer) -> None:
    column = {"name": "a", "dtype": "str", "shape": [-1], "nullable": False, "categories": None}
    signature = {**DESCRIPTION["signature"], "layout": "table", "inputs": [column]}
    fake.replies = [answer({**DESCRIPTION, "signature": signature}), answer(PREDICTIONS)]
    with Client(fake.url) as client:
        assert client["m"].predict({"a": ["text"] * 2_000}) == 3.0
    assert sent(fake) == ["/models/m/predict"]


@pytest.mark.usefixtures("without_arrow")
@pytest.mark.parametrize("refusal", [(404, "route_not_found"), (415, "unsupported_media_type")])
def test_a_dialect_that_the_server_does_not_read_is_not_tried_twice(
    fake: FakeServer, refusal: tuple[int, str]
) -> None:
    fake.replies = [answer(DESCRIPTION), problem(*refusal), answer(PREDICTIONS)]
    with Client(fake.url) as client:
        for _ in range(2):
            assert client["m"].predict(MANY).tolist() == [3.0]  # type: ignore[union-attr]
    assert sent(fake) == ["/v2/models/m/infer", "/models/m/predict", "/models/m/predict"]


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [((406, "not_acceptable"), NotAcceptable), ((415, "unsupported_media_type"), UnsupportedMediaType)],
)
def test_of_json_there_is_nothing_to_fall_back_on(fake: FakeServer, refusal: Any, kind: Any) -> None:
    fake.replies = [answer(DESCRIPTION), problem(*refusal)]
    with Client(fake.url) as client, pytest.raises(kind):
        client["m"].predict(FEW)


@pytest.mark.usefixtures("without_arrow")
def test_a_doubtful_answer_is_read_where_no_other_dialect_can_be_asked(fake: FakeServer) -> None:
    nothing = {"predictions": [None], "model": "m", "version": "1"}
    fake.replies = [answer(DESCRIPTION), answer(nothing), problem(404, "route_not_found"), answer(nothing)]
    with Client(fake.url) as client:
        for _ in range(2):
            assert np.isnan(client["m"].predict(FEW)).all()  # type: ignore[arg-type]
    assert sent(fake) == ["/models/m/predict", "/v2/models/m/infer", "/models/m/predict"]


@pytest.fixture
def places(fake: FakeServer) -> Iterator[Client]:
    fake.replies = [answer(DESCRIPTION), answer(V2)]
    with Client(fake.url) as client:
        yield client


def test_a_version_has_a_path_in_every_dialect(places: Client, fake: FakeServer) -> None:
    places["m"].version("1").predict(MANY)
    assert fake.requests[0].startswith(b"GET /models/m/versions/1 ")
    assert sent(fake) == ["/v2/models/m/versions/1/infer"]


@pytest.mark.usefixtures("without_arrow")
def test_an_alias_goes_where_there_are_aliases(fake: FakeServer) -> None:
    fake.replies = [answer(DESCRIPTION), answer(PREDICTIONS)]
    with Client(fake.url) as client:
        client["m"].alias("champion").predict(MANY)
    assert fake.requests[0].startswith(b"GET /models/m/aliases/champion ")
    assert sent(fake) == ["/models/m/aliases/champion/predict"]


@pytest.mark.usefixtures("without_arrow")
@pytest.mark.parametrize("parameters", [{"timeout": 1}, {"sequence_id": 1}, {"n": [1]}, {"n": None}])
def test_parameters_that_the_protocol_cannot_carry_go_as_json(fake: FakeServer, parameters: Any) -> None:
    fake.replies = [answer(DESCRIPTION), answer(PREDICTIONS)]
    with Client(fake.url) as client:
        client["m"].predict(MANY, **parameters)
    assert sent(fake) == ["/models/m/predict"]


def content_types(fake: FakeServer) -> list[str]:
    """Return the kinds of the predictions' bodies, in their order."""
    heads = [head for head in fake.requests if head.startswith(b"POST")]
    return [re.search(r"Content-Type: (\S+)", head.decode())[1] for head in heads]  # type: ignore[index]


@pytest.mark.parametrize("refusal", [(415, "unsupported_media_type"), (406, "not_acceptable")])
def test_a_server_without_arrow_is_asked_for_it_once(fake: FakeServer, refusal: tuple[int, str]) -> None:
    fake.replies = [answer(DESCRIPTION), problem(*refusal), answer(PREDICTIONS)]
    with Client(fake.url) as client:
        model = client["m"].alias("champion")  # of which the other protocol knows nothing
        for _ in range(2):
            assert model.predict(MANY) == 3.0
    assert content_types(fake) == [arrow_dialect.ARROW, json_dialect.JSON, json_dialect.JSON]


def test_many_texts_go_as_arrow(fake: FakeServer) -> None:
    column = {"name": "a", "dtype": "str", "shape": [-1], "nullable": False, "categories": None}
    signature = {**DESCRIPTION["signature"], "layout": "table", "inputs": [column]}
    fake.replies = [answer({**DESCRIPTION, "signature": signature}), problem(503, "queue_full")]
    with Client(fake.url) as client, pytest.raises(QueueFull):
        client["m"].predict({"a": ["text"] * 2_000})
    assert content_types(fake) == [arrow_dialect.ARROW]


@pytest.mark.parametrize(
    "columns",
    [{"a": [1, "x"]}, {"a": [True, 1]}, {"a": [{"b": 1}, [1]]}, {"a": [2**70, 1]}, {"a": ["\ud800"]}],
    ids=["kinds", "bool and integer", "objects", "too large", "half a pair"],
)
def test_what_arrow_has_no_type_for_goes_another_way(columns: Any) -> None:
    description = Description(json.dumps(DESCRIPTION).encode())
    given = Table({"a": as_column(columns["a"], "a")})
    with pytest.raises(Unfit):
        arrow_dialect.encode(Call(Place("m"), "predict", given, {}, description))


def arrow_stream(columns: dict[str, Any], **metadata: str) -> bytes:
    table = pa.table(columns)
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, table.schema.with_metadata(metadata)) as writer:
        writer.write_table(table)
    return bytes(out.getvalue().to_pybytes())


GOOD = arrow_stream({"predict": [1.0]}, version="1", model="m")


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", GOOD[:-20], GOOD[8:], arrow_stream({"predict": [1.0]}, model="m"), b"ARROW1" + GOOD,
     GOOD.replace(b"version", b"versio\xff")],
)  # fmt: skip
def test_what_is_no_arrow_stream_of_ours_is_said_to_be_none(
    fake: FakeServer, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.replies = [answer(DESCRIPTION), answer(body, content_type=arrow_dialect.ARROW)]
    with Client(fake.url) as client:
        only(client, arrow_dialect, monkeypatch)
        with pytest.raises(UnusableAnswer):
            client["m"].predict(MANY)


@pytest.mark.parametrize(
    "columns",
    [{"a_0": [1.0], "a_1": [2.0]}, {"predict_1": [1.0]}, {"a": pa.array([0], pa.timestamp("ns"))}],
    ids=["a matrix, or two", "a part", "instants"],
)
def test_columns_that_may_mean_two_things_are_asked_for_again(
    fake: FakeServer, columns: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = arrow_stream(columns, version="1", model="m")
    fake.replies = [answer(DESCRIPTION), answer(body, content_type=arrow_dialect.ARROW), answer(PREDICTIONS)]
    with Client(fake.url) as client:
        assert client["m"].alias("a").predict(MANY) == 3.0
    assert content_types(fake) == [arrow_dialect.ARROW, json_dialect.JSON]
