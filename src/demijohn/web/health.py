"""``/livez``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

from flask import Response

from .models import answer_json
from .services import services


def livez() -> Response:
    """Say that the process is up."""
    return answer_json({"status": "alive"})


def readyz() -> Response:
    """Say whether every model that should serve is ready, with reasons when not."""
    shared = services()
    reasons = {
        f"{p.name}/{p.version}": f"the model is {p.state}"
        for p in shared.pool.predictors()
        if p.state != "ready"
    }
    if shared.lifecycle.is_draining:
        reasons["server"] = "the server is shutting down"
    elif not len(shared.pool) and not reasons:
        reasons["server"] = "no model is served"
    if not reasons:
        return answer_json({"status": "ready"})
    response = answer_json({"status": "not ready", "reasons": reasons}, status=503)
    response.headers["Retry-After"] = "1"
    return response


def metrics() -> Response:
    """Prometheus text, all workers added up."""
    text, content_type = services().metrics.render()
    return Response(text, content_type=content_type)
