"""``GET /models``, ``GET /models/{name}`` and that of a version or alias: what is served, and by whom."""

from __future__ import annotations

from typing import Any

from flask import Response

from demijohn.planning import shown_rows
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


def show_model(name: str, version: str | None = None, alias: str | None = None) -> Response:
    """``GET /models/{name}``: the highest version, unless the path says which."""
    shared = services()
    shared.start_once()  # who waits for a plan to settle must not have to predict first
    entry = shared.pool.entry(name)
    shown = shared.pool.find(name, version, alias)
    return answer_json(
        {
            "name": shown.name,
            "version": shown.version,
            "versions": list(entry.versions),
            "aliases": dict(entry.aliases),
            "state": shown.state,
            "framework": shown.runtime.framework,
            "framework_version": shown.runtime.framework_version,
            "metadata": dict(shown.runtime.metadata),
            "methods": list(shown.runtime.methods),
            "streams": [method for method in shown.runtime.methods if method in shown.streams],
            "members": shown.members,
            "classes": next(filter(None, map(shown.runtime.classes, shown.runtime.methods)), None),
            "parameters": {
                method: list(shown.runtime.parameters(method)) for method in shown.runtime.methods
            },
            "signature": shown.signature.as_json(),
            "example": {"instances": shown_rows(shown.runtime)},
            "plan": shown.plan(),
            "warnings": list(shown.runtime.warnings),
        }
    )
