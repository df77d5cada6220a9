"""Every call that ``tritonclient.http`` has, sync and aio, against the server at the address given.

Run by ``test_clients.py`` in the clients' own environment; the models are those of ``tests/http/folder.py``.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import urllib.request
from collections.abc import Callable
from typing import Any

import numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.http.auth import BasicAuth

X = np.array([[1.0, 2.0, 3.0], [4.0, 5.5, -6.25], [0.1, 0.2, 0.3]])
PLANE = X @ [1.0, 2.0, 3.0]


def tensor(name: str, datatype: str, array: Any, *, is_binary: bool = True) -> Any:
    made = triton.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=is_binary)
    return made


def check_refused(status: int, call: Callable[[], Any]) -> None:
    told = "nothing was refused"
    try:
        call()
    except triton.InferenceServerException as error:
        told = f"{error.status()}: {error.message()}"
    assert told.startswith(f"{status}: "), told
    assert len(told) > len("400: ")


def check_what_is_told(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("plane")
    assert client.is_model_ready("plane", "1")
    assert not client.is_model_ready("nobody")
    assert "statistics" in client.get_server_metadata()["extensions"]
    assert client.get_model_metadata("plane")["inputs"][0]["shape"] == [-1, 3]
    assert client.get_model_metadata("double", "9")["versions"] == ["9", "10"]
    assert client.get_model_config("plane")["input"][0]["dims"] == [3]
    assert {"plane", "table"} <= {model["name"] for model in client.get_model_repository_index()}


def not_offered(client: Any) -> list[Callable[[], Any]]:
    """Return calls of what no server of ours has, for the client and its asynchronous twin."""
    return [
        client.get_system_shared_memory_status,
        client.get_cuda_shared_memory_status,
        client.unregister_system_shared_memory,
        client.unregister_cuda_shared_memory,
        client.get_trace_settings,
        client.get_log_settings,
        lambda: client.get_trace_settings("plane"),
        lambda: client.update_trace_settings(settings={}),
        lambda: client.update_log_settings({}),
        lambda: client.register_system_shared_memory("a", "b", 1),
        lambda: client.register_cuda_shared_memory("a", b"b", 0, 1),
    ]


def check_what_is_refused(client: Any) -> None:
    for call in (
        *not_offered(client),
        lambda: client.load_model("plane", config="{}"),
        lambda: client.load_model("plane", config="{}", files={"file:1/model.onnx": b"x"}),
    ):
        check_refused(501, call)
    check_refused(404, lambda: client.get_model_metadata("nobody"))
    check_refused(404, lambda: client.infer("nobody", [tensor("x", "FP64", X)]))
    check_refused(400, lambda: client.infer("plane", [tensor("x", "FP64", X[:, :2])]))
    wanted = [triton.InferRequestedOutput("nothing")]
    check_refused(400, lambda: client.infer("plane", [tensor("x", "FP64", X)], outputs=wanted))


def check_inference(client: Any) -> None:
    ways = itertools.product((True, False), (True, False), (None, "gzip", "deflate"), (True, False))
    for from_binary, to_binary, compression, is_named in ways:
        answer = client.infer(
            "plane",
            [tensor("any", "FP64", X, is_binary=from_binary)],
            outputs=[triton.InferRequestedOutput("predict", binary_data=to_binary)] if is_named else None,
            request_id="seven",
            request_compression_algorithm=compression,
            response_compression_algorithm=compression,
        )
        assert answer.get_response()["id"] == "seven"
        np.testing.assert_allclose(answer.as_numpy("predict"), PLANE)
    assert np.allclose(
        client.async_infer("plane", [tensor("x", "FP64", X)]).get_result().as_numpy("predict"), PLANE
    )


def check_large_answers(client: Any) -> None:
    """Long enough to be compressed."""
    many = np.tile(X, (2000, 1))
    for compression, is_binary in itertools.product(("gzip", "deflate"), (True, False)):
        answer = client.infer(
            "plane",
            [tensor("x", "FP64", many)],
            outputs=[triton.InferRequestedOutput("predict", binary_data=is_binary)],
            response_compression_algorithm=compression,
        )
        np.testing.assert_allclose(answer.as_numpy("predict"), np.tile(PLANE, 2000))


def check_bodies(client: Any) -> None:
    """A body that somebody else is to send, and an answer that somebody else has got."""
    body, head = client.generate_request_body([tensor("x", "FP64", X)])
    headers = {"Inference-Header-Content-Length": str(head)}
    asked = urllib.request.Request(f"http://{client.url}/v2/models/plane/infer", body, headers)
    with urllib.request.urlopen(asked) as answer:
        length = int(answer.headers["Inference-Header-Content-Length"])
        read = client.parse_response_body(answer.read(), header_length=length)
    np.testing.assert_allclose(read.as_numpy("predict"), PLANE)
    client.register_plugin(BasicAuth("user", "password"))  # no key is set, so nothing comes of it
    assert client.plugin() is not None
    assert client.is_server_live()
    client.unregister_plugin()


def check_outputs(client: Any) -> None:
    rows = np.array([[0, 1, 2], [9, 10, 11]], np.int32)
    wanted = [triton.InferRequestedOutput("predict_proba"), triton.InferRequestedOutput("predict")]
    answer = client.infer("forest", [tensor("x", "INT32", rows)], outputs=wanted)
    assert answer.as_numpy("predict_proba").shape == (2, 6)
    assert answer.as_numpy("predict").tolist() == [b"=1+1", b"@SUM(A1)"]
    wanted = [triton.InferRequestedOutput("predict_proba", class_count=1)]
    classes = client.infer("forest", [tensor("x", "INT32", rows)], outputs=wanted).as_numpy("predict_proba")
    assert [text.decode().split(":")[2] for text in classes[:, 0]] == ["=1+1", "@SUM(A1)"]


def check_columns(client: Any) -> None:
    kinds = np.array(["cat", "dog"], dtype=object)
    for is_binary in (True, False):
        inputs = [
            tensor("kind", "BYTES", kinds, is_binary=is_binary),
            tensor("age", "FP32", np.array([20, 40], np.float32), is_binary=is_binary),
        ]
        assert client.infer("table", inputs).as_numpy("predict").shape == (2,)


def check_control(client: Any) -> None:
    """Eight connections each time: the kernel deals them to both workers."""
    for _ in range(2):
        client.unload_model("plane")
        assert not any(is_ready(client.url) for _ in range(8))
        entries = {one["name"]: one for one in client.get_model_repository_index()}
        assert (entries["plane"]["state"], entries["plane"]["reason"]) == ("UNAVAILABLE", "unloaded")
        check_refused(503, lambda: client.infer("plane", [tensor("x", "FP64", X)]))
        client.load_model("plane")
        assert all(is_ready(client.url) for _ in range(8))
    client.unload_model("plane", unload_dependents=True)
    client.load_model("plane")
    check_refused(404, lambda: client.load_model("nobody"))
    check_refused(404, lambda: client.unload_model("nobody"))


def is_ready(address: str) -> bool:
    with triton.InferenceServerClient(address) as client:
        ready: bool = client.is_model_ready("plane")
        return ready


def check_statistics(client: Any) -> None:
    (plane,) = client.get_inference_statistics("plane")["model_stats"]
    assert plane["inference_stats"]["success"]["count"] >= 24
    assert plane["inference_stats"]["compute_infer"]["ns"] > 0
    assert plane in client.get_inference_statistics()["model_stats"]


async def check_aio(address: str) -> None:
    async with triton_aio.InferenceServerClient(address) as client:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("plane")
        assert (await client.get_server_metadata())["name"] == "demijohn"
        assert (await client.get_model_metadata("plane"))["name"] == "plane"
        assert (await client.get_model_config("plane"))["name"] == "plane"
        assert (await client.get_inference_statistics("plane"))["model_stats"]
        assert await client.get_model_repository_index()
        await client.unload_model("plane")
        assert not await client.is_model_ready("plane")
        await client.load_model("plane")
        for compression, is_binary in itertools.product((None, "gzip", "deflate"), (True, False)):
            answer = await client.infer(
                "plane",
                [tensor("x", "FP64", X, is_binary=is_binary)],
                outputs=[triton.InferRequestedOutput("predict", binary_data=is_binary)],
                request_compression_algorithm=compression,
                response_compression_algorithm=compression,
            )
            np.testing.assert_allclose(answer.as_numpy("predict"), PLANE)
        for call in not_offered(client):
            told = ""
            try:
                await call()
            except triton.InferenceServerException as error:
                told = f"{error.status()}: {error.message()}"
            assert told.startswith("501: "), told


def main(address: str) -> None:
    client = triton.InferenceServerClient(address)
    client.url = address
    check_what_is_told(client)
    check_what_is_refused(client)
    check_inference(client)
    check_large_answers(client)
    check_bodies(client)
    check_outputs(client)
    check_columns(client)
    check_statistics(client)
    check_control(client)
    asyncio.run(check_aio(address))


main(sys.argv[1])
