"""The routes in one blueprint: the only thing the extension adds to an app.

Rules of this room:
1. Hooks and error handlers are the blueprint's own; the host app's are left alone.
2. Under a prefix a catch-all answers 404 and 405 in our form. With an empty prefix the host app's
   own answers stand, and our routes are added when the app first serves, so that its own win.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Blueprint, Flask, Response, request
from werkzeug.exceptions import HTTPException

from demijohn.config import Settings
from demijohn.errors import DemijohnError, RouteNotFound

from . import console, guards, health, inference, models, openapi
from .errors import answer_error, answer_http_exception, answer_unexpected

ANY_METHOD = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

View = Callable[..., Response]


def attach(app: Flask, settings: Settings, *, owns_app: bool = False) -> None:
    """Give an app our routes.

    Args:
        app: The host, or our own under ``serve``.
        settings: For the prefix.
        owns_app: The app is ours alone: the catch-all stands at its root too.
    """
    has_catch_all = owns_app or bool(settings.url_prefix)
    blueprint = make_blueprint(settings, has_catch_all=has_catch_all)
    if settings.url_prefix or owns_app:
        app.register_blueprint(blueprint)
    else:
        app.wsgi_app = _Late(app, blueprint, app.wsgi_app)  # type: ignore[method-assign]


class _Late:
    """Registers a blueprint when the app first serves."""

    def __init__(self, app: Flask, blueprint: Blueprint, inner: Callable[..., Iterable[bytes]]) -> None:
        self._register: Callable[[], None] | None = partial(app.register_blueprint, blueprint)
        self._inner = inner

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        register, self._register = self._register, None
        if register is not None:
            register()
        return self._inner(environ, start_response)


def make_blueprint(settings: Settings, *, has_catch_all: bool) -> Blueprint:
    """Build the blueprint from the tables of routes."""
    blueprint = Blueprint("demijohn", __name__, url_prefix=settings.url_prefix or None)
    blueprint.before_request(guards.guard)
    blueprint.after_request(guards.finish)
    blueprint.register_error_handler(DemijohnError, answer_error)
    blueprint.register_error_handler(HTTPException, answer_http_exception)
    blueprint.register_error_handler(Exception, answer_unexpected)
    pages = _pages(settings.url_prefix)
    for path, endpoint, view in _PLAIN + pages:
        blueprint.add_url_rule(path, endpoint, view, methods=["GET"])
    for path, protocol in inference.ROUTES:
        view = partial(inference.predict, protocol)
        endpoint = f"{protocol}{path}".replace("/", "-").translate(str.maketrans("", "", "<>"))
        blueprint.add_url_rule(path, endpoint, view, methods=["POST"])
    if has_catch_all:
        for path in ("/", "/<path:path>"):
            blueprint.add_url_rule(path, "no_route", _no_route, methods=ANY_METHOD)
    return blueprint


_PLAIN: list[tuple[str, str, View]] = [
    ("/models", "models", models.list_models),
    ("/models/<name>", "model", models.show_model),
    ("/livez", "livez", health.livez),
    ("/readyz", "readyz", health.readyz),
    ("/metrics", "metrics", health.metrics),
    ("/openapi.json", "openapi", openapi.document),
]


def _pages(prefix: str) -> list[tuple[str, str, View]]:
    return [
        ("/", "console", partial(_index, prefix)),
        ("/docs", "docs", lambda: _page(console.docs_page(prefix))),
        ("/console-assets/<path:path>", "asset", _asset),
    ]


def _index(prefix: str) -> Response:
    """Show the console to a browser; tell everybody else that the server is up."""
    accept = request.accept_mimetypes
    if accept["text/html"] > accept["application/json"]:
        return _page(console.index_page(prefix))
    return models.answer_json({"status": "alive"})


def _page(asset: console.Asset) -> Response:
    headers = {"Content-Security-Policy": console.CSP, "Vary": "Accept", **console.HEADERS}
    return Response(asset.body, headers=headers, content_type=asset.content_type)


def _asset(path: str) -> Response:
    asset = console.ASSETS.get(path)
    if asset is None:
        raise RouteNotFound
    headers = {**console.HEADERS, "Cache-Control": "max-age=3600"}
    return Response(asset.body, headers=headers, content_type=asset.content_type)


def _no_route(**path: Any) -> Response:
    """Never runs: the guard has raised by then."""
    del path
    raise RouteNotFound
