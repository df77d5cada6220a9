"""MLflow's pages: ``/ping`` and ``/health``, which SageMaker asks too, and ``/version``."""

from __future__ import annotations

from collections.abc import Callable

from flask import Response

from demijohn import __version__
from demijohn.errors import Draining

from .services import services

_TEXT = "text/plain; charset=utf-8"


def ping() -> Response:
    """Say whether any model is ready; the body is a line's end, as MLflow's (which calls it JSON)."""
    shared = services()
    if shared.lifecycle.is_draining:
        raise Draining(headers={"Retry-After": "1"})
    is_ready = any(predictor.state == "ready" for predictor in shared.pool.predictors())
    return Response("\n", 200 if is_ready else 404, content_type=_TEXT)


def version() -> Response:
    """Tell our version: MLflow's client takes any text."""
    return Response(__version__, content_type=_TEXT)


#: Path, endpoint and view; all take GET.
ROUTES: list[tuple[str, str, Callable[..., Response]]] = [
    ("/ping", "mlflow-ping", ping),
    ("/health", "mlflow-health", ping),
    ("/version", "mlflow-version", version),
]
