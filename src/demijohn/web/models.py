"""``GET /models`` and ``GET /models/{name}``: what is served, by whom, and an example request."""

from __future__ import annotations

from typing import Any

from flask import Response

from demijohn.predictor import Predictor
from demijohn.protocols import json_media

from .services import services


def answer_json(document: Any, status: int = 200) -> Response:
    """Return a JSON response, numbers of numpy included."""
    return Response(json_media.dump(document), status=status, content_type="application/json")


def list_models() -> Response:
    """``GET /models``."""
    pool = services().pool
    return answer_json({"models": [_summary(pool.entry(name).latest) for name in pool]})


def _summary(predictor: Predictor) -> dict[str, Any]:
    return {
        "name": predictor.name,
        "version": predictor.version,
        "state": predictor.state,
        "methods": list(predictor.runtime.methods),
    }


def show_model(name: str) -> Response:
    """``GET /models/{name}``."""
    shared = services()
    shared.start_once()  # who waits for a plan to settle must not have to predict first
    entry = shared.pool.entry(name)
    latest = entry.latest
    return answer_json(
        {
            "name": latest.name,
            "version": latest.version,
            "versions": list(entry.versions),
            "aliases": dict(entry.aliases),
            "state": latest.state,
            "framework": latest.runtime.framework,
            "framework_version": latest.runtime.framework_version,
            "metadata": dict(latest.runtime.metadata),
            "methods": list(latest.runtime.methods),
            "streams": [method for method in latest.runtime.methods if method in latest.streams],
            "members": latest.members,
            "classes": next(filter(None, map(latest.runtime.classes, latest.runtime.methods)), None),
            "parameters": {
                method: list(latest.runtime.parameters(method)) for method in latest.runtime.methods
            },
            "signature": latest.signature.as_json(),
            "example": {"instances": list(latest.runtime.example_rows())},
            "plan": latest.plan(),
            "warnings": list(latest.runtime.warnings),
        }
    )
