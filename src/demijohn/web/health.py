"""``/livez``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

from flask import Response

from .models import answer_json
from .services import Services, services


def livez() -> Response:
    """Say that the process is up."""
    return answer_json({"status": "alive"})


def reasons_not_ready(shared: Services) -> dict[str, str]:
    """Return what keeps the server from serving, by model or part; empty where nothing does."""
    reasons = {
        f"{p.name}/{p.version}": f"the model is {p.state}"
        for p in shared.pool.predictors()
        if p.state != "ready"
    }
    if shared.lifecycle.is_draining:
        reasons["server"] = "the server is shutting down"
    elif not len(shared.pool) and not reasons:
        reasons["server"] = "no model is served"
    return reasons


def readyz() -> Response:
    """Say whether every model that should serve is ready, with reasons when not."""
    reasons = reasons_not_ready(services())
    if not reasons:
        return answer_json({"status": "ready"})
    response = answer_json({"status": "not ready", "reasons": reasons}, status=503)
    response.headers["Retry-After"] = "1"
    return response


def metrics() -> Response:
    """Prometheus text, all workers added up."""
    text, content_type = services().metrics.render()
    return Response(text, content_type=content_type)
