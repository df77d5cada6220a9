"""The model repository of the Open Inference Protocol: what is there, loading and unloading.

Rules of this room:
1. Without ``serve --model-control`` nothing is loaded or unloaded, and it is not told what there is.
2. A request names a model. What it brings beside the name, files or a configuration, is never used:
   a file from a client would be a program from a client.

Source: Triton, protocol/extension_model_repository.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Response, request

from demijohn.errors import ControlRefused, DecodeError, Draining, NotOffered
from demijohn.pool import Pool
from demijohn.protocols import json_media

from .bodies import check_length, read_body, read_encodings
from .models import answer_json
from .services import ModelControl, services

EXTENSIONS = ("model_repository(unload_dependents)",)  #: Of a server whose models clients control.

_STATES = {"ready": "READY", "loading": "LOADING", "failed": "UNAVAILABLE"}
_CONFIG, _FILE = "config", "file:"


def index() -> Response:
    """``POST /v2/repository/index``; tritonclient sends no body at all."""
    only_ready = _flag(_read_object(), "ready")
    return answer_json(
        [one for one in _entries(services().pool) if one["state"] == "READY" or not only_ready]
    )


def _entries(pool: Pool) -> list[dict[str, str]]:
    served = [
        {
            "name": predictor.name,
            "version": predictor.version,
            "state": _STATES[predictor.state],
            "reason": "" if predictor.state == "ready" else f"the model is {predictor.state}",
        }
        for predictor in pool.predictors()
    ]
    return served + [
        {"name": name, "version": version, "state": "UNAVAILABLE", "reason": unloaded.reason}
        for name, unloaded in pool.unloaded.items()
        for version in unloaded.versions
    ]


def load(name: str) -> Response:
    """``POST /v2/repository/models/{name}/load``."""
    control = _control()
    parameters = _parameters(_read_object())
    if any(key == _CONFIG or key.startswith(_FILE) for key in parameters):
        raise NotOffered("Only what is on the server is loaded: send neither files nor a configuration")
    control.load(name)
    return Response(b"")


def unload(name: str) -> Response:
    """``POST /v2/repository/models/{name}/unload``."""
    control = _control()
    control.unload(name, with_members=_flag(_parameters(_read_object()), "unload_dependents"))
    return Response(b"")


def _control() -> ModelControl:
    shared = services()
    if shared.control is None:  # whether there is such a model is not told either
        raise ControlRefused("Models are loaded and unloaded by whoever runs this server, not over HTTP")
    if shared.lifecycle.is_draining:
        raise Draining(headers={"Retry-After": "1"})
    return shared.control


def _read_object() -> dict[str, Any]:
    """Read a body that may be absent."""
    environ, settings = request.environ, services().settings
    length, encodings = check_length(environ, settings.max_body_bytes), read_encodings(environ)
    body = read_body(environ, environ["wsgi.input"], length, encodings, settings.max_body_bytes)
    document = json_media.parse(body, settings) if body.strip() else {}
    if type(document) is not dict:
        raise DecodeError("The body must be empty or an object")
    return document


def _parameters(document: dict[str, Any]) -> dict[str, Any]:
    parameters = document.get("parameters")
    if parameters is not None and type(parameters) is not dict:
        raise DecodeError("'parameters' must be an object")
    return parameters or {}


def _flag(holder: dict[str, Any], name: str) -> bool:
    value = holder.get(name)
    if value is not None and type(value) is not bool:
        raise DecodeError(f"{name!r} must be true or false")
    return bool(value)


#: HTTP method, path and view.
ROUTES: list[tuple[str, str, Callable[..., Response]]] = [
    ("POST", "/v2/repository/index", index),
    ("POST", "/v2/repository/models/<name>/load", load),
    ("POST", "/v2/repository/models/<name>/unload", unload),
]
