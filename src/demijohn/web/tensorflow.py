"""What TensorFlow Serving and KServe tell of models below ``/v1/models``: status, metadata, names.

Rules of this room:
1. Both servers have their status at one address, so the answer has the fields of both.
2. A method of the model is a signature; the first is ``serving_default``, too.
3. TensorFlow Serving matches paths whatever their case, but for the names in them.
4. Sizes are strings and ``signature_def`` stands twice, as TensorFlow Serving has it.

Source: https://github.com/tensorflow/serving, g3doc/api_rest.md, "Model status API", "Model Metadata API";
model_servers/http_rest_api_handler.cc for the case of paths.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from flask import Response, request

from demijohn.errors import MethodNotAllowed, RouteNotFound
from demijohn.predictor import Predictor
from demijohn.protocols import tensorflow
from demijohn.signature import TensorSpec

from .models import answer_json
from .services import services

_STATES = {"loading": "LOADING", "ready": "AVAILABLE", "failed": "END"}
_DTYPES = {
    "bool": "DT_BOOL",
    "float16": "DT_HALF",
    "float32": "DT_FLOAT",
    "float64": "DT_DOUBLE",
    **{f"{kind}{bits}": f"DT_{kind.upper()}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
}
_WORDS = re.compile(r"(/v1/models)(/[^/]+)?(?:(/versions|/labels)(/[^/]+))?(/metadata)?", re.IGNORECASE)
_TEXT = "DT_STRING"  # what is written as a text, instants included


def respell(path: str) -> str:
    """Return a path as our routes have it: the dialect's own words in small letters, names as they are.

    Args:
        path: Below our prefix; one of another kind is returned as it is.
    """
    match = _WORDS.fullmatch(path)
    if match is None:
        return path
    models, name, kind, which, metadata = (part or "" for part in match.groups())
    return "".join((models.lower(), name, kind.lower(), which, metadata.lower()))


def list_models() -> Response:
    """``GET /v1/models``, as KServe has it; TensorFlow Serving has nothing there."""
    return answer_json({"models": list(services().pool)})


def show_status(name: str, version: str | None = None, alias: str | None = None) -> Response:
    """``GET /v1/models/{name}``: of all versions, or of the one that is named."""
    asked = _find(name, version, alias)
    is_one = version is not None or alias is not None
    shown = [asked] if is_one else services().pool.entry(name).versions.values()
    return answer_json(
        {
            "name": name,
            "ready": asked.state == "ready",
            "model_version_status": [_status(predictor) for predictor in shown],
        }
    )


def _find(name: str, version: str | None, alias: str | None) -> Predictor:
    last = request.path.rpartition("/")[2]
    if ":" in last:  # no name has a colon: this is the address of a prediction
        raise _misdirected(last.rpartition(":")[2].lower() in (*tensorflow.VERBS, tensorflow.EXPLAIN))
    return services().pool.find(name, None if version == "0" else version, alias)


def _misdirected(is_prediction: bool) -> MethodNotAllowed | RouteNotFound:
    error: MethodNotAllowed | RouteNotFound = RouteNotFound()
    if is_prediction:
        error = MethodNotAllowed("This address takes POST", headers={"Allow": "POST"})
    error.asked = f"{request.method} {request.path}"
    return error


def _status(predictor: Predictor) -> dict[str, Any]:
    is_failed = predictor.state == "failed"
    status = {
        "error_code": "UNKNOWN" if is_failed else "OK",
        "error_message": "The model failed to load" if is_failed else "",
    }
    return {"version": predictor.version, "state": _STATES[predictor.state], "status": status}


def show_metadata(name: str, version: str | None = None, alias: str | None = None) -> Response:
    """``GET /v1/models/{name}/metadata``."""
    predictor = _find(name, version, alias)
    methods = predictor.runtime.methods
    named = {tensorflow.DEFAULT_SIGNATURE: methods[0], **{method: method for method in methods}}
    signatures = {name: _signature(predictor, method) for name, method in named.items()}
    return answer_json(
        {
            "model_spec": {"name": predictor.name, "signature_name": "", "version": predictor.version},
            "metadata": {"signature_def": {"signature_def": signatures}},
        }
    )


def _signature(predictor: Predictor, method: str) -> dict[str, Any]:
    return {
        "inputs": _tensors(predictor.signature.of(method).inputs),
        "outputs": _tensors(predictor.signature.outputs.get(method, ())),
        "method_name": "tensorflow/serving/predict",
    }


def _tensors(specs: Iterable[TensorSpec]) -> dict[str, Any]:
    return {
        spec.name: {
            "dtype": _DTYPES.get(spec.dtype, _TEXT),
            "tensor_shape": {
                "dim": [{"size": str(size), "name": ""} for size in spec.shape],
                "unknown_rank": False,
            },
            "name": f"{spec.name}:0",
        }
        for spec in specs
    }


def _routes() -> list[tuple[str, str, Callable[..., Response]]]:
    routes: list[tuple[str, str, Callable[..., Response]]] = [("/v1/models", "v1-models", list_models)]
    for place, key in (("", "model"), ("/versions/<version>", "version"), ("/labels/<alias>", "label")):
        path = f"/v1/models/<name>{place}"
        routes.append((path, f"v1-{key}", show_status))
        routes.append((f"{path}/metadata", f"v1-{key}-metadata", show_metadata))
    return routes


#: Path, endpoint and view; all take GET.
ROUTES = _routes()
