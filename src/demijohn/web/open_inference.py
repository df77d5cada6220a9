"""What the Open Inference Protocol tells of a server and its models: all of ``/v2`` but ``infer``
and the repository.

Rules of this room:
1. Views return what the protocol's documents hold; what is refused is raised, and ``errors`` writes it.
2. Statistics are the server's, all workers added up; what cannot be added up is left out.

Source: Open Inference Protocol, inference_rest.md; Triton, protocol/extension_statistics.md,
extension_model_configuration.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from flask import Response

from demijohn import __version__
from demijohn.errors import NotOffered
from demijohn.metrics import Statistics
from demijohn.pool import rank
from demijohn.predictor import Predictor
from demijohn.protocols import v2_tensors
from demijohn.tensor_spec import TensorSpec

from . import repository
from .health import reasons_not_ready
from .models import answer_json
from .services import services

EXTENSIONS = (
    "binary_tensor_data", "classification", "model_configuration", "model_repository", "parameters",
    "statistics",
)  # fmt: skip
_NS = 1e9
_MS = 1e3
_UNAVAILABLE = 503
_RETRY = {"Retry-After": "1"}


# The server -------------------------------------------------------------------------------


def show_server() -> Response:
    """``GET /v2``."""
    control = () if services().control is None else repository.EXTENSIONS
    return answer_json(
        {"name": "demijohn", "version": __version__, "extensions": sorted((*EXTENSIONS, *control))}
    )


def live() -> Response:
    """``GET /v2/health/live``."""
    return answer_json({"live": True, "ready": not reasons_not_ready(services())})


def ready() -> Response:
    """``GET /v2/health/ready``; both keys, as the specification has one and KServe's client the other."""
    is_ready = not reasons_not_ready(services())
    return _answer_ready({"live": True, "ready": is_ready}, is_ready=is_ready)


def _answer_ready(document: dict[str, Any], *, is_ready: bool) -> Response:
    # 503 as KServe has it; Triton's 400 would blame the client.
    response = answer_json(document, status=200 if is_ready else _UNAVAILABLE)
    if not is_ready:
        response.headers.update(_RETRY)
    return response


def list_models() -> Response:
    """``GET /v2/models``, as KServe has it."""
    return answer_json({"models": list(services().pool)})


def refuse_extension(**_: Any) -> Response:
    """Answer what of Triton is not offered here."""
    raise NotOffered("Shared memory, trace and logging settings are not offered; send tensors in the body")


def refuse_generate(**_: Any) -> Response:
    """Answer what Triton and MLServer have for models of language, and MLServer's streams."""
    raise NotOffered("Texts and streams are not offered here: send tensors to infer; texts are BYTES")


# A model ----------------------------------------------------------------------------------


def show_model(name: str, version: str | None = None) -> Response:
    """``GET /v2/models/{name}``."""
    shared = services()
    predictor = shared.pool.find(name, version)
    return answer_json(
        {
            "name": predictor.name,
            "versions": sorted(shared.pool.entry(name).versions, key=rank),
            "platform": predictor.runtime.framework,
            "inputs": [_tensor(spec.name, spec) for spec in predictor.signature.shaped_inputs],
            "outputs": [_tensor(output, spec) for output, spec in _outputs(predictor)],
        }
    )


def _tensor(name: str, spec: TensorSpec) -> dict[str, Any]:
    return {"name": name, "datatype": v2_tensors.datatype_of(spec.dtype), "shape": list(spec.shape)}


def _outputs(predictor: Predictor) -> Iterator[tuple[str, TensorSpec]]:
    """Yield every output that can be asked for by name.

    What a method returns may be unknown before its first call; it stands here as any values.
    """
    for method in predictor.runtime.methods:
        for spec in predictor.signature.outputs.get(method, ()) or (TensorSpec(method, "object"),):
            yield spec.name, spec


def model_ready(name: str, version: str | None = None) -> Response:
    """``GET /v2/models/{name}/ready``."""
    pool = services().pool
    is_ready = name not in pool.unloaded and pool.find(name, version).state == "ready"
    return _answer_ready({"name": name, "ready": is_ready}, is_ready=is_ready)


def show_config(name: str, version: str | None = None) -> Response:
    """``GET /v2/models/{name}/config``: what Triton's tools want to know of a model."""
    shared = services()
    predictor = shared.pool.find(name, version)
    methods = predictor.runtime.methods
    return answer_json(
        {
            "name": predictor.name,
            "platform": predictor.runtime.framework,
            "backend": "demijohn",
            "max_batch_size": shared.settings.max_batch_size,
            "input": [_config(spec.name, spec) for spec in predictor.signature.shaped_inputs],
            "output": [_config(output, spec) for output, spec in _outputs(predictor)],
            **({"dynamic_batching": {}} if any(map(predictor.joins, methods)) else {}),
        }
    )


def _config(name: str, spec: TensorSpec) -> dict[str, Any]:
    """Describe a tensor; "dims" has no batch dimension where max_batch_size is more than 0."""
    datatype = v2_tensors.datatype_of(spec.dtype)
    tensor: dict[str, Any] = {
        "name": name,
        "data_type": "TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}",
        "dims": list(spec.shape[1:]),
    }
    if len(spec.shape) == 1:
        # dims may not be empty: "reshape" is how Triton says that a row is a scalar.
        tensor |= {"dims": [1], "reshape": {"shape": []}}
    return tensor


# Statistics -------------------------------------------------------------------------------


def show_statistics(name: str | None = None, version: str | None = None) -> Response:
    """``GET /v2/models/stats``, ``/v2/models/{name}/stats`` and that of a version."""
    shared = services()
    pool = shared.pool
    if name is None:
        predictors = pool.predictors()
    elif version is None:
        predictors = list(pool.entry(name).versions.values())
    else:
        predictors = [pool.find(name, version)]
    counted = shared.metrics.statistics([(one.name, one.version) for one in predictors])
    stats = [_statistics(one, mine) for one, mine in zip(predictors, counted, strict=True)]
    return answer_json({"model_stats": stats})


def _statistics(predictor: Predictor, counted: Statistics) -> dict[str, Any]:
    return {
        "name": predictor.name,
        "version": predictor.version,
        "last_inference": int(counted.last * _MS),
        "inference_count": counted.n_rows,
        "execution_count": counted.n_calls,
        "inference_stats": {
            "success": _duration(counted.n_answered, counted.answered_s),
            "fail": _duration(counted.n_failed, counted.failed_s),
            "queue": _duration(counted.n_called, counted.queue_s),
            "compute_input": _duration(counted.n_answered, counted.read_s),
            "compute_infer": _duration(counted.n_called, counted.inference_s),
            "compute_output": _duration(counted.n_answered, counted.write_s),
            "cache_hit": _duration(0, 0.0),  # nothing is answered from a cache
            "cache_miss": _duration(0, 0.0),
        },
        "batch_stats": [
            {
                "batch_size": n_rows,
                "compute_input": _duration(0, 0.0),  # counted by request, above
                "compute_infer": _duration(n_calls, seconds),
                "compute_output": _duration(0, 0.0),
            }
            for n_rows, (n_calls, seconds) in counted.sizes.items()
        ],
        "response_stats": {},  # of models that answer more than once
        "memory_usage": [],  # not measured
    }


def _duration(count: int, seconds: float) -> dict[str, int]:
    return {"count": count, "ns": round(seconds * _NS)}


# The table --------------------------------------------------------------------------------

_MODEL = "/v2/models/<name>"
_VERSION = "/v2/models/<name>/versions/<version>"

#: HTTP method, path and view.
ROUTES: list[tuple[str, str, Callable[..., Response]]] = [
    ("GET", "/v2", show_server),
    ("GET", "/v2/", show_server),
    ("GET", "/v2/health/live", live),
    ("GET", "/v2/health/ready", ready),
    ("GET", "/v2/models", list_models),
    ("GET", "/v2/models/stats", show_statistics),
    *[
        ("GET", path + end, view)
        for path in (_MODEL, _VERSION)
        for end, view in (
            ("", show_model), ("/ready", model_ready), ("/config", show_config), ("/stats", show_statistics),
        )
    ],
    *repository.ROUTES,
    *[
        ("POST", path + end, refuse_generate)
        for path in (_MODEL, _VERSION)
        for end in ("/generate", "/generate_stream", "/infer_stream")
    ],
    *[
        (method, path, refuse_extension)
        for path in (
            "/v2/systemsharedmemory/<path:rest>", "/v2/cudasharedmemory/<path:rest>", "/v2/logging",
            "/v2/trace/setting", f"{_MODEL}/trace/setting",
        )
        for method in ("GET", "POST")
    ],
]  # fmt: skip
