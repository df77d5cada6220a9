"""A client's side of the Open Inference Protocol, written from its specification alone."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from demijohn.messages import Array

DTYPES = {
    "BOOL": "?", "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "<i1",
    "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
HEAD_LENGTH = "Inference-Header-Content-Length"


@dataclass
class Sent:
    """A request's body, and the length of its JSON part; "" where that is all."""

    body: bytes
    head: str = ""

    @property
    def headers(self) -> dict[str, str]:
        return {HEAD_LENGTH: self.head} if self.head else {}


def request(
    tensors: dict[str, tuple[str, Array]], *, is_binary: bool = False, is_nested: bool = False, **more: Any
) -> Sent:
    """Write a request.

    Args:
        tensors: By name: the datatype, and an array of its dtype; of BYTES str, of BF16 float32.
        is_binary: The tensors follow the JSON part.
        is_nested: ``data`` is nested as the shape says.
        more: Other keys of the request.
    """
    inputs, pieces = [], []
    for name, (datatype, array) in tensors.items():
        tensor: dict[str, Any] = {"name": name, "shape": list(array.shape), "datatype": datatype}
        if is_binary:
            pieces.append(to_bytes(datatype, array))
            tensor["parameters"] = {"binary_data_size": len(pieces[-1])}
        else:
            tensor["data"] = (array if is_nested else array.reshape(-1)).tolist()
        inputs.append(tensor)
    head = json.dumps({"inputs": inputs, **more}).encode()
    return Sent(head + b"".join(pieces), str(len(head)) if is_binary else "")


def to_bytes(datatype: str, array: Array) -> bytes:
    if datatype == "BYTES":
        texts = [text.encode() for text in array.reshape(-1)]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    if datatype == "BF16":
        return (array.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return array.astype(DTYPES[datatype]).tobytes()


def read_answer(body: bytes, head: str | None) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return an answer's JSON part and its outputs; texts as bytes."""
    length = len(body) if head is None else int(head)
    document = json.loads(body[:length])
    outputs, position = {}, length
    for output in document["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        assert (size is None) == ("data" in output)
        if size is None:
            values: Any = output["data"]
            if output["datatype"] == "BYTES":
                values = [text.encode() for text in values]
            array = np.array(values, dtype=DTYPES.get(output["datatype"], object))
        else:
            array = _from_bytes(output["datatype"], body[position : position + size])
            position += size
        outputs[output["name"]] = array.reshape(output["shape"])
    assert position == len(body)
    return document, outputs


def _from_bytes(datatype: str, data: bytes) -> Array:
    if datatype != "BYTES":
        return np.frombuffer(data, DTYPES[datatype])
    texts, position = [], 0
    while position < len(data):
        (length,) = struct.unpack_from("<I", data, position)
        texts.append(data[position + 4 : position + 4 + length])
        position += 4 + length
    return np.array([*texts, None], dtype=object)[:-1]
