"""``mlserver infer`` over a file, and MLServer's own types of all that /v2 answers.

Run by ``test_clients.py`` in an environment of its own; the models are those of ``tests/http/folder.py``.
"""

from __future__ import annotations

import json
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlserver import types
from mlserver.cli.main import root as mlserver_command
from mlserver.codecs import NumpyCodec, NumpyRequestCodec, PandasCodec, StringCodec

ROWS = [[1.0, 2.0, 3.0], [4.0, 5.5, -6.25], [0.1, 0.2, 0.3]]
PLANE = (np.array(ROWS) @ [1.0, 2.0, 3.0]).tolist()


def get(url: str) -> Any:
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


def post(url: str, body: bytes = b"{}") -> bytes:
    asked = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked) as answer:
        content: bytes = answer.read()
        return content


def infer(url: str, model: str, request: types.InferenceRequest) -> types.InferenceResponse:
    body = request.model_dump_json(exclude_none=True).encode()
    return types.InferenceResponse.model_validate_json(post(f"{url}/v2/models/{model}/infer", body))


def check_infer_command(address: str, *options: str) -> None:
    """Send a request per line, two at a time and in batches of two; each line is answered, in order."""
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder, "in.jsonl"), Path(folder, "out.jsonl")
        tensors = [{"name": "x", "shape": [1, 3], "datatype": "FP64", "data": row} for row in ROWS]
        asked.write_text("".join(json.dumps({"inputs": [tensor]}) + "\n" for tensor in tensors))
        words = ["infer", "-u", address, "-m", "plane", "-i", str(asked), "-o", str(answered), "-w", "2"]
        mlserver_command([*words, *options], standalone_mode=False)  # here: its imports take seconds
        lines = answered.read_text().splitlines()
    answers = [types.InferenceResponse.model_validate_json(line) for line in lines]
    found = {answer.parameters.model_extra["batch_index"]: answer for answer in answers}
    values = [NumpyCodec.decode_output(found[index].outputs[0]).item() for index in sorted(found)]
    np.testing.assert_allclose(values, PLANE)


def check_types(url: str) -> None:
    server = types.MetadataServerResponse.model_validate(get(f"{url}/v2"))
    assert server.name == "demijohn"
    model = types.MetadataModelResponse.model_validate(get(f"{url}/v2/models/table"))
    assert [tensor.datatype for tensor in model.inputs] == ["FP64", "BYTES"]
    types.MetadataModelResponse.model_validate(get(f"{url}/v2/models/double/versions/9"))
    index = types.RepositoryIndexResponse.model_validate_json(post(f"{url}/v2/repository/index"))
    assert {one.state for one in index.root} == {"READY"}
    ready = types.RepositoryIndexRequest(ready=True).model_dump_json().encode()
    assert types.RepositoryIndexResponse.model_validate_json(post(f"{url}/v2/repository/index", ready))
    told = b""
    try:
        get(f"{url}/v2/models/nobody")
    except urllib.error.HTTPError as error:
        told = error.read()
    assert types.MetadataModelErrorResponse.model_validate_json(told).error


def check_codecs(url: str) -> None:
    answer = infer(url, "plane", NumpyRequestCodec.encode_request(np.array(ROWS)))
    np.testing.assert_allclose(NumpyRequestCodec.decode_response(answer), PLANE)
    rows = NumpyRequestCodec.encode_request(np.array([[0, 1, 2]], np.int32))
    texts = infer(url, "forest", rows).outputs[0]
    assert StringCodec.decode_output(texts) == ["=1+1"]
    frame = pd.DataFrame({"age": [20.0, 40.0], "kind": ["cat", "dog"]})
    request = PandasCodec.encode_request(frame, use_bytes=False)
    assert len(infer(url, "table", request).outputs[0].data) == 2


def main(address: str) -> None:
    url = f"http://{address}"
    check_types(url)
    check_codecs(url)
    check_infer_command(address)
    check_infer_command(address, "-s", "2")
    check_infer_command(address, "-b")


main(sys.argv[1])
