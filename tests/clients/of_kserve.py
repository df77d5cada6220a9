"""Every call of ``kserve.InferenceRESTClient``, v1 and v2, against the server at the address given.

Run by ``test_clients.py`` in the clients' own environment; the models are those of ``tests/http/folder.py``.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Awaitable
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.errors import UnsupportedProtocol
from kserve.protocol.infer_type import RequestedOutput

X = np.array([[1.0, 2.0, 3.0], [4.0, 5.5, -6.25], [0.1, 0.2, 0.3]])
PLANE = X @ [1.0, 2.0, 3.0]


async def check_refused(status: int, call: Awaitable[Any]) -> None:
    told, given = "nothing was refused", 0
    try:
        await call
    except httpx.HTTPStatusError as error:
        told, given = str(error), error.response.status_code
    # The client reads errors of exactly this form and type; of any other its message begins with ",".
    assert given == status, told
    assert not told.startswith(","), told


def tensor(name: str, datatype: str, array: Any, *, is_binary: bool = False) -> InferInput:
    made = InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=is_binary)
    return made


async def check_v1(url: str) -> None:
    async with InferenceRESTClient(RESTConfig(protocol="v1")) as client:
        assert await client.is_server_live(url)
        assert await client.is_model_ready(url, "plane") is True
        await check_refused(404, client.is_model_ready(url, "nobody"))
        try:
            await client.is_server_ready(url)
        except UnsupportedProtocol:  # v1 has no such thing
            pass
        else:
            raise AssertionError
        answer = await client.infer(url, {"instances": X.tolist()}, model_name="plane")
        np.testing.assert_allclose(answer["predictions"], PLANE)
        answer = await client.infer(url, {"inputs": {"age": [20], "kind": ["cat"]}}, model_name="table")
        assert len(answer["outputs"]) == 1
        graph = await client.infer(
            f"{url}/models/plane/predict", {"instances": X.tolist()}, is_graph_endpoint=True
        )
        np.testing.assert_allclose(graph["predictions"], PLANE)
        await check_refused(400, client.infer(url, {"instances": [[1.0]]}, model_name="plane"))
        await check_refused(404, client.infer(url, {"instances": [[1.0]]}, model_name="nobody"))
        await check_refused(501, client.explain(url, "plane", {"instances": X.tolist()}))


async def check_v2(url: str) -> None:
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        assert await client.is_server_live(url) is True
        assert await client.is_server_ready(url) is True
        assert await client.is_model_ready(url, "plane") is True
        assert await client.is_model_ready(url, "nobody") is False
        for from_binary, to_binary, is_named in itertools.product(
            (False, True), (False, True), (False, True)
        ):
            await check_plane(client, url, from_binary=from_binary, to_binary=to_binary, is_named=is_named)
        await check_table(client, url)
        bad = InferRequest(model_name="plane", infer_inputs=[tensor("x", "FP64", X[:, :2])])
        await check_refused(400, client.infer(url, bad, model_name="plane"))
        await check_refused(404, client.infer(url, bad, model_name="nobody"))


async def check_plane(
    client: InferenceRESTClient, url: str, *, from_binary: bool, to_binary: bool, is_named: bool
) -> None:
    wanted = [RequestedOutput("predict", parameters={"binary_data": to_binary})] if is_named else None
    request = InferRequest(
        model_name="plane",
        infer_inputs=[tensor("x", "FP64", X, is_binary=from_binary)],
        request_id="seven",
        request_outputs=wanted,
        parameters=None if is_named else {"binary_data_output": to_binary},
    )
    headers: dict[str, str] = {}
    answer = await client.infer(url, request, model_name="plane", response_headers=headers)
    assert (answer.model_name, answer.id) == ("plane", "seven")
    assert (headers["content-type"] == "application/octet-stream") == to_binary
    (output,) = answer.outputs
    assert (output.name, output.datatype, output.shape) == ("predict", "FP64", [3])
    np.testing.assert_allclose(output.as_numpy(), PLANE)


async def check_table(client: InferenceRESTClient, url: str) -> None:
    kinds = np.array(["cat", "dog"], dtype=object)
    for is_binary in (False, True):
        inputs = [
            tensor("kind", "BYTES", kinds, is_binary=is_binary),
            tensor("age", "FP32", np.array([20, 40], np.float32), is_binary=is_binary),
        ]
        request = InferRequest(model_name="table", infer_inputs=inputs)
        answer = await client.infer(url, request, model_name="table")
        assert answer.outputs[0].as_numpy().shape == (2,)
    rows = tensor("x", "INT32", np.array([[0, 1, 2]], np.int32))
    texts = await client.infer(
        url, InferRequest(model_name="forest", infer_inputs=[rows]), model_name="forest"
    )
    assert texts.outputs[0].datatype == "BYTES"
    assert [str(one) for one in texts.outputs[0].data] == ["=1+1"]


def main(address: str) -> None:
    url = f"http://{address}"
    asyncio.run(check_v1(url))
    asyncio.run(check_v2(url))


main(sys.argv[1])
