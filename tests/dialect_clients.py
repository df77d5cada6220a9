"""The client's side of each dialect, written from its specification alone; see ``check_protocol``."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from tests import v2_client

from demijohn.messages import Array, Encoded, Tensors
from demijohn.testing import DialectClient, Sent

JSON = "application/json"


class JsonClient:
    """Rows or columns of plain values: what the native, TensorFlow Serving's and MLflow's dialect share.

    Args:
        form: Key under which the rows, records or columns stand.
        error_keys: Of an error's document, all of them; the first holds its text.
        error_type: Its Content-Type.
        answer_key: Of an answer's document.
        path: Of the request.
    """

    is_typed = False

    def __init__(
        self,
        form: str,
        error_keys: tuple[str, ...],
        error_type: str = JSON,
        answer_key: str = "predictions",
        path: str = "/",
    ) -> None:
        self._form = form
        self._error_keys = error_keys
        self._error_type = error_type
        self._answer_key = answer_key
        self._environ = {"REQUEST_METHOD": "POST", "PATH_INFO": path, "CONTENT_TYPE": JSON}

    def write(self, tensors: Tensors) -> Sent | None:
        arrays = {name: array.tolist() for name, array in tensors.items()}
        if self._form == "dataframe_split" and any(array.ndim > 1 for array in tensors.values()):
            return None
        return Sent(json.dumps({self._form: self._body(arrays)}).encode(), self._environ)

    def _body(self, arrays: dict[str, list[Any]]) -> Any:
        if self._form == "inputs":
            return arrays
        names, rows = list(arrays), list(zip(*arrays.values(), strict=True))
        if self._form == "dataframe_split":
            return {"columns": names, "data": [list(row) for row in rows]}
        if self._form == "instances" and len(arrays) == 1:
            return [row[0] for row in rows]
        return [dict(zip(names, row, strict=True)) for row in rows]

    def read(self, answer: Encoded) -> Tensors | None:
        if answer.content_type != JSON:
            return None
        values = json.loads(answer.body)[self._answer_key]
        if isinstance(values, dict):
            return {name: _objects(column) for name, column in values.items()}
        if values and isinstance(values[0], dict):
            return {name: _objects([row[name] for row in values]) for name in values[0]}
        return {"": _objects(values)}

    def read_error(self, answer: Encoded) -> str:
        assert answer.content_type == self._error_type
        document = json.loads(answer.body)
        assert set(document) == set(self._error_keys)
        text: str = document[self._error_keys[0]]
        return text


def _objects(values: list[Any]) -> Array:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


class V2Client:
    """The Open Inference Protocol, in JSON or in bytes."""

    is_typed = True

    def __init__(self, *, is_binary: bool) -> None:
        self._is_binary = is_binary

    def write(self, tensors: Tensors) -> Sent | None:
        typed = {name: (_datatype(array), array) for name, array in tensors.items()}
        if not self._is_binary and any(datatype == "FP16" for datatype, _ in typed.values()):
            return None
        parameters = {"binary_data_output": self._is_binary}
        sent = v2_client.request(typed, is_binary=self._is_binary, parameters=parameters)
        environ = {"HTTP_INFERENCE_HEADER_CONTENT_LENGTH": sent.head} if sent.head else {}
        return Sent(sent.body, environ)

    def read(self, answer: Encoded) -> Tensors:
        _, outputs = v2_client.read_answer(answer.body, answer.headers.get(v2_client.HEAD_LENGTH))
        return {name: _as_texts(array) for name, array in outputs.items()}

    def read_error(self, answer: Encoded) -> str:
        assert answer.content_type == JSON
        document = json.loads(answer.body)
        assert list(document) == ["error"]
        text: str = document["error"]
        return text


def _datatype(array: Array) -> str:
    known = {np.dtype(dtype): name for name, dtype in v2_client.DTYPES.items()}
    return known.get(array.dtype, "BYTES")


def _as_texts(array: Array) -> Array:
    if array.dtype.kind != "O":
        return array
    texts = np.empty(array.shape, dtype=object)
    for place, cell in np.ndenumerate(array):
        texts[place] = cell.decode()
    return texts


_PROBLEM = ("detail", "type", "title", "status", "code", "errors", "request_id")
_MLFLOW = ("message", "error_code", "stack_trace")
_V1 = "/v1/models/model:predict"
_PROBLEM_TYPE = "application/problem+json"

#: By a name for people: the protocol's key in ``PROTOCOLS``, and a client of it.
CLIENTS: dict[str, tuple[str, DialectClient]] = {
    "native rows": ("native", JsonClient("instances", _PROBLEM, _PROBLEM_TYPE)),
    "native columns": ("native", JsonClient("inputs", _PROBLEM, _PROBLEM_TYPE)),
    "v2 in JSON": ("open-inference", V2Client(is_binary=False)),
    "v2 in bytes": ("open-inference", V2Client(is_binary=True)),
    "tensorflow rows": ("tensorflow", JsonClient("instances", ("error",), path=_V1)),
    "tensorflow columns": ("tensorflow", JsonClient("inputs", ("error",), answer_key="outputs", path=_V1)),
    "mlflow split": ("mlflow", JsonClient("dataframe_split", _MLFLOW)),
    "mlflow records": ("mlflow", JsonClient("dataframe_records", _MLFLOW)),
    "mlflow columns": ("mlflow", JsonClient("inputs", _MLFLOW)),
}
