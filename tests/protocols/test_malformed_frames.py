"""Malformed frames of each dialect's own kind are refused in its own form, with its own status."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest
from tests.dialect_clients import CLIENTS

from demijohn.config import Settings
from demijohn.errors import DemijohnError
from demijohn.protocols import PROTOCOLS

SETTINGS = Settings(max_elements=100)
ROWS = [[1.0, 2.0]]
JSON = {"CONTENT_TYPE": "application/json"}
HEAD = "HTTP_INFERENCE_HEADER_CONTENT_LENGTH"
X = {"name": "x", "shape": [1], "datatype": "FP64"}
NUMBER = {**X, "data": [1.5]}


class Frame(NamedTuple):
    client: str
    body: bytes
    environ: Mapping[str, str] = JSON
    status: int = 400


def v2(document: Any, rest: bytes | None = None, head: str | None = None) -> Frame:
    body = json.dumps(document).encode()
    if rest is None and head is None:
        return Frame("v2 in JSON", body)
    return Frame("v2 in bytes", body + (rest or b""), {HEAD: str(len(body)) if head is None else head})


def v2_of(**changes: Any) -> Frame:
    return v2({"inputs": [{**NUMBER, **changes}]})


def in_bytes(size: Any, rest: bytes, **changes: Any) -> Frame:
    return v2({"inputs": [{**X, "parameters": {"binary_data_size": size}, **changes}]}, rest)


def tensorflow(document: Any, verb: str = "predict", status: int = 400) -> Frame:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": f"/v1/models/m:{verb}"}
    return Frame("tensorflow rows", body, environ, status)


def mlflow(document: Any, content_type: str = "application/json", status: int = 400) -> Frame:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Frame("mlflow columns", body, {"CONTENT_TYPE": content_type}, status)


def native(body: bytes, content_type: str = "application/json", status: int = 400) -> Frame:
    return Frame("native rows", body, {"CONTENT_TYPE": content_type}, status)


EIGHT = bytes(8)
DEEP = b"[" * 500_000 + b"]" * 500_000
FRAMES = {
    # PROTOCOLS.md (a): "400 for: header out of range, both or neither of data/binary, …"
    "v2: a head beyond the body": v2({"inputs": [NUMBER]}, b"", "9999"),
    "v2: a head beyond every 32-bit integer": v2({"inputs": [NUMBER]}, b"", "99999999999"),
    "v2: a head that is no number": v2({"inputs": [NUMBER]}, b"", "x"),
    "v2: a head that cuts the JSON": v2({"inputs": [NUMBER]}, b"", "5"),
    "v2: a negative head": v2({"inputs": [NUMBER]}, b"", "-1"),
    "v2: data and bytes": in_bytes(8, EIGHT, data=[1.5]),
    "v2: neither data nor bytes": v2({"inputs": [X]}),
    "v2: bytes of another size": in_bytes(4, bytes(4)),
    "v2: bytes that end early": in_bytes(8, bytes(4)),
    "v2: bytes that trail": in_bytes(8, bytes(9)),
    "v2: a size that is no number": in_bytes("8", EIGHT),
    "v2: a negative dimension": v2_of(shape=[-1]),
    "v2: a dimension that is no integer": v2_of(shape=[1.5]),
    "v2: a number of elements past 64 bits": v2_of(shape=[2**4, 2**60 + 2]),
    "v2: a number of bytes past 64 bits": in_bytes(32, bytes(32), shape=[2**2, 2**60 + 2]),
    "v2: nothing of a shape past 64 bits": v2_of(shape=[2**31 - 1] * 8, data=[]),
    "v2: data nested deeper than the shape": v2_of(shape=[1, 1], data=[[[[1.5]]]]),
    "v2: data nested deeper than JSON may be": v2_of(data=json.loads("[" * 120 + "1" + "]" * 120)),
    "v2: more data than the shape has": v2_of(data=[1, 2]),
    "v2: FP16 in JSON": v2_of(datatype="FP16"),
    "v2: BF16 in JSON": v2_of(datatype="BF16"),
    "v2: no such datatype": v2_of(datatype="FP128"),
    "v2: two outputs of one name": v2({"inputs": [NUMBER], "outputs": [{"name": "y"}, {"name": "y"}]}),
    "v2: a parameter that is an object": v2({"inputs": [NUMBER], "parameters": {"depth": {}}}),
    "v2: shared memory": v2_of(data=None, parameters={"shared_memory_region": "r"}),
    "v2: no inputs": v2({}),
    "v2: no JSON": Frame("v2 in JSON", b"{"),
    # (b): "instances xor inputs"; examples; base64; bare words in the wrong place
    "tensorflow: instances and inputs": tensorflow({"instances": ROWS, "inputs": ROWS}),
    "tensorflow: neither": tensorflow({"signature_name": "serving_default"}),
    "tensorflow: a bare list": tensorflow(ROWS),
    "tensorflow: a signature that is no text": tensorflow({"instances": ROWS, "signature_name": 1}),
    "tensorflow: no base64": tensorflow({"instances": [{"b64": "?"}]}),
    "tensorflow: examples that are no list": tensorflow({"examples": {"a": 1}}, "classify"),
    "tensorflow: no examples": tensorflow({"instances": ROWS}, "regress"),
    "tensorflow: a context that is no object": tensorflow({"examples": [{}], "context": 1}, "regress"),
    "tensorflow: another word": tensorflow(b'{"instances":[nan]}'),
    "tensorflow: half a word": tensorflow(b'{"instances":[Infin]}'),
    "tensorflow: no such verb": tensorflow({"instances": ROWS}, "train"),
    "tensorflow: no explainer": tensorflow({"instances": ROWS}, "explain", 501),
    "tensorflow: too many values": tensorflow({"instances": [0] * 101}, status=413),
    # (c): "exactly one of"; "only charset=utf-8 is allowed as parameter, otherwise 415"
    "mlflow: two forms": mlflow({"inputs": ROWS, "instances": ROWS}),
    "mlflow: no form": mlflow({"params": {}}),
    "mlflow: a list": mlflow(ROWS),
    "mlflow: a frame without data": mlflow({"dataframe_split": {"columns": ["a"]}}),
    "mlflow: records that are no list": mlflow({"dataframe_records": {"a": 1}}),
    "mlflow: params that are no object": mlflow({"inputs": ROWS, "params": 1}),
    "mlflow: another charset": mlflow({}, "application/json; charset=latin-1", 415),
    "mlflow: another parameter": mlflow({}, "application/json; format=pandas-split", 415),
    "mlflow: another type": mlflow({}, "application/xml", 415),
    "mlflow: CSV that is not UTF-8": mlflow(b"a,b\n\xff,1\n", "text/csv"),
    "tensorflow: lists beside the rows": tensorflow(b'{"instances":[1],"nested":' + DEEP + b"}"),
    "tensorflow: lists for a name": tensorflow(b'{"signature_name":' + DEEP + b"}"),
    "mlflow: CSV without a header": mlflow(b"1,2\n3,4\n", "text/csv"),
    "mlflow: too many values": mlflow({"inputs": [0] * 101}, status=413),
    # DESIGN section 3
    "native: no JSON": native(b"{"),
    "native: NaN": native(b"[[NaN]]"),
    "native: a key twice": native(b'{"instances":[],"instances":[]}'),
    "native: no form": native(b"{}", status=422),
    "native: two forms": native(b'{"instances":[],"inputs":[]}', status=422),
    "native: another type": native(b"", "application/x-pickle", 415),
    "native: another charset": native(b"", "application/json; charset=utf-16", 415),
    "native: too many values": native(json.dumps([0] * 101).encode(), status=413),
}


@pytest.mark.parametrize("what", FRAMES)
def test_a_malformed_frame_is_refused_in_the_dialects_form(what: str) -> None:
    frame = FRAMES[what]
    dialect, client = CLIENTS[frame.client]
    protocol = PROTOCOLS[dialect]
    with pytest.raises(DemijohnError) as raised:
        protocol.decode(frame.body, protocol.read_head(frame.environ), SETTINGS)
    error = raised.value
    assert protocol.status_of(error) == frame.status
    assert client.read_error(protocol.encode_error(error, "id"))
