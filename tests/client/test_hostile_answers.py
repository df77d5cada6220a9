"""A server is not trusted: what is no answer of Demijohn's is said to be none, whatever it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.client.fake_server import DESCRIPTION, FakeServer, answer

from demijohn import Client
from demijohn.client.events import lines_of
from demijohn.errors import DemijohnError, UnusableAnswer

FEW, MANY = np.ones((1, 2)), np.ones((2_000, 2))
HEAD_LENGTH = "Inference_Header_Content_Length"


def described(**changed: Any) -> bytes:
    return answer({**DESCRIPTION, **changed})


def with_input(**changed: Any) -> bytes:
    signature = DESCRIPTION["signature"]
    return described(signature={**signature, "inputs": [{**signature["inputs"][0], **changed}]})


@pytest.fixture
def client(fake: FakeServer) -> Iterator[Client]:
    with Client(fake.url) as client:
        yield client


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"null", b"{}", b"\xff", b'{"models":[1]}', b"[" * 100_000]
)
def test_what_is_no_list_of_models_is_said_to_be_none(client: Client, fake: FakeServer, body: bytes) -> None:
    fake.replies = [answer(body)]
    with pytest.raises(UnusableAnswer):
        client.models  # noqa: B018
    with pytest.raises(UnusableAnswer):
        client["m"].predict(FEW)


@pytest.mark.parametrize(
    "reply",
    [
        with_input(dtype="evil"), with_input(dtype="V99999999999"), with_input(dtype="float64,int8"),
        with_input(shape=[-1] * 100), with_input(shape="x"), described(methods=None), described(signature=[]),
        with_input(dtype=5), with_input(dtype="O8"), with_input(dtype="m8"), with_input(dtype="")
    ],
)  # fmt: skip
def test_what_describes_no_model_is_said_to_be_none(client: Client, fake: FakeServer, reply: bytes) -> None:
    fake.replies = [reply]
    with pytest.raises(UnusableAnswer):
        client["m"].predict(FEW)


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"<html>", b"[]", b'{"predictions":5,"version":"1"}', b'{"predictions":[1.0]}',
     b'{"predictions":' + b"[" * 100_000 + b"]" * 100_000 + b',"version":"1"}',
     b'{"predictions":[NaN],"version":"1"}'],
)  # fmt: skip
def test_json_that_is_no_answer_is_said_to_be_none(client: Client, fake: FakeServer, body: bytes) -> None:
    fake.replies = [described(), answer(body)]
    with pytest.raises(UnusableAnswer):
        client["m"].predict(FEW)


def v2(output: dict[str, Any], rest: bytes = b"", head_length: str | None = None) -> bytes:
    output = {"name": "predict", "datatype": "FP64", "shape": [2], **output}
    head = json.dumps({"model_name": "m", "model_version": "1", "outputs": [output]}).encode()
    length = str(len(head)) if head_length is None else head_length
    return answer(head + rest, content_type="application/octet-stream", **{HEAD_LENGTH: length})


SIZED = {"parameters": {"binary_data_size": 16}}


@pytest.mark.parametrize(
    "reply",
    [
        v2(SIZED, b"x" * 15), v2(SIZED, b"x" * 17), v2({**SIZED, "shape": [3]}, b"x" * 16),
        v2({**SIZED, "shape": [-2]}, b"x" * 16), v2({**SIZED, "shape": [2**62, 2**62]}, b"x" * 16),
        v2({**SIZED, "shape": [1] * 40}, b"x" * 16), v2({**SIZED, "datatype": "FP65"}, b"x" * 16),
        v2({"parameters": {"binary_data_size": -1}}), v2({"parameters": {"binary_data_size": 10**30}}),
        v2({"parameters": {"binary_data_size": "16"}}, b"x" * 16), v2({}), v2({"data": ["x", "y"]}),
        v2({**SIZED, "datatype": "BYTES"}, b"\xff" * 16), v2({"data": [1.0]}),
        v2({**SIZED, "datatype": "BOOL", "shape": [16]}, b"\x05" * 16), v2(SIZED, b"x" * 16, "9" * 5_000),
        v2(SIZED, b"x" * 16, "-1"), v2(SIZED, b"x" * 16, "0"), v2(SIZED, b"x" * 16, "x"),
        v2({"shape": [2**31 - 1] * 20, "data": []}), answer({"model_version": "1", "outputs": []}),
        answer(b"<html>", content_type="text/html"), answer(b""),
    ],
)  # fmt: skip
def test_bytes_that_are_no_answer_are_said_to_be_none(client: Client, fake: FakeServer, reply: bytes) -> None:
    fake.replies = [described(), reply]
    with pytest.raises(UnusableAnswer):
        client["m"].predict(MANY)


@pytest.mark.parametrize(
    "events",
    [
        b"data: {\n\n",
        b"event: error\ndata: []\n\n",
        b"event: error\ndata: <html>\n\n",
        b"data: " + b"x" * 5_000,
    ],
)
def test_events_that_are_none_are_said_to_be_none(fake: FakeServer, events: bytes) -> None:
    fake.replies = [described(streams=["predict"]), answer(events, content_type="text/event-stream")]
    with Client(fake.url, max_answer_bytes=2_000) as client, pytest.raises(DemijohnError) as raised:
        list(client["m"].stream(FEW))
    assert isinstance(raised.value, UnusableAnswer)


def test_an_event_that_is_cut_off_is_an_error(fake: FakeServer) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    fake.replies = [described(streams=["predict"]), [head + b"9\r\ndata: 1\n\n\r\n", None]]
    with Client(fake.url) as client:
        items = client["m"].stream(FEW)
        assert next(items) == 1
        with pytest.raises(DemijohnError, match="cut off"):
            next(items)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 100])
def test_lines_are_the_same_in_whatever_pieces_they_come(n: int) -> None:
    text = b"data: 1\n\ndata: " + "ä☃".encode() * 5 + b"\n\nrest"
    pieces = iter([text[start : start + n] for start in range(0, len(text), n)])
    assert list(lines_of(pieces, 1_000)) == text.split(b"\n")[:-1]
