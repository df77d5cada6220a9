"""The routes in one blueprint: the only thing the extension adds to an app.

Rules of this room:
1. Hooks and error handlers are the blueprint's own; the host app's are left alone. Only an app that
   is ours alone gets them itself, so that they see what no route matches.
2. Under a prefix a catch-all answers 404 and 405 in our form. With an empty prefix the host app's
   own answers stand, and our routes are added when the app first serves, so that its own win; of two
   that match alike, that is: as among any of Flask's, "/models" goes before "/<page>".
3. The fast lane stands in front of what ``app.wsgi_app`` was; whatever wraps the app later sees all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from threading import Lock
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Blueprint, Flask, Response, g, request
from flask.blueprints import BlueprintSetupState
from flask.sansio.scaffold import Scaffold

from demijohn.config import Settings
from demijohn.errors import RouteNotFound

from . import console, guards, health, inference, mlflow, models, open_inference, openapi, tensorflow
from .errors import answer_exception
from .fast_lane import FastLane
from .services import EXTENSION

View = Callable[..., Response]


def attach(app: Flask, settings: Settings, *, owns_app: bool = False) -> None:
    """Give an app our routes.

    Args:
        app: The host, or our own under ``serve``; its services are in ``app.extensions``.
        settings: For the prefix.
        owns_app: The app is ours alone: all that reaches it is checked and answered in our form.
    """
    blueprint = make_blueprint(settings)
    where: Scaffold = app if owns_app else blueprint
    _check_and_answer(where)
    if owns_app:
        app.url_map.merge_slashes = False  # a redirect would be sent before any check
    elif settings.url_prefix:
        blueprint.record(_add_catch_all)
    if settings.fast_lane:
        lane = FastLane(app, app.extensions[EXTENSION], app.wsgi_app, owns_app=owns_app)
        app.wsgi_app = lane  # type: ignore[method-assign]
    if owns_app or settings.url_prefix:
        app.register_blueprint(blueprint)
    else:
        app.wsgi_app = _Late(app, blueprint, app.wsgi_app)  # type: ignore[method-assign]


class _Late:
    """Registers a blueprint when the app first serves."""

    def __init__(self, app: Flask, blueprint: Blueprint, inner: Callable[..., Iterable[bytes]]) -> None:
        self._app = app
        self._register: Callable[[], None] | None = partial(app.register_blueprint, blueprint)
        self._inner = inner
        self._lock = Lock()  # who comes second waits until the routes are there

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self._register is not None:
            with self._lock:
                self._register_once()
        return self._inner(environ, start_response)

    def _register_once(self) -> None:
        if self._register is not None:
            self._register()
            self._register = None
            if self._app.wsgi_app == self:  # from here on nobody need pass through here
                self._app.wsgi_app = self._inner  # type: ignore[method-assign]


def _check_and_answer(where: Scaffold) -> None:
    where.before_request(guards.guard)
    where.after_request(guards.finish)
    where.register_error_handler(Exception, answer_exception)


def _add_catch_all(state: BlueprintSetupState) -> None:
    """Match what is left under our prefix, whatever its HTTP method: Flask's own way needs a list."""
    for path in ("/", "/<path:path>"):
        rule = state.app.url_rule_class(f"{state.url_prefix}{path}", endpoint=guards.NO_ROUTE, methods=None)
        state.app.url_map.add(rule)
    state.app.view_functions[guards.NO_ROUTE] = guards.refuse_route


def make_blueprint(settings: Settings) -> Blueprint:
    """Build the blueprint from the tables of routes."""
    blueprint = Blueprint(guards.BLUEPRINT, __name__, url_prefix=settings.url_prefix or None)
    pages = _pages(settings.url_prefix)
    for path, endpoint, view in [*_PLAIN, *mlflow.ROUTES, *tensorflow.ROUTES, *pages]:
        blueprint.add_url_rule(path, endpoint, view, methods=["GET"])
    for method, path, view in open_inference.ROUTES:
        blueprint.add_url_rule(path, _endpoint(method, path), view, methods=[method])
    for path, protocol in inference.ROUTES:
        view = partial(inference.predict, protocol)
        # Where no path of a dialect names a method, it is the model's first.
        defaults = {} if protocol == "native" else {"method": ""}
        methods = ["POST", "PUT"] if protocol == "native" else ["POST"]
        blueprint.add_url_rule(path, _endpoint(protocol, path), view, methods=methods, defaults=defaults)
    return blueprint


def _endpoint(kind: str, path: str) -> str:
    return f"{kind}{path}".replace("/", "-").translate(str.maketrans("", "", "<>"))


_PLAIN: list[tuple[str, str, View]] = [
    ("/models", "models", models.list_models),
    ("/models/<name>", "model", models.show_model),
    ("/models/<name>/versions/<version>", "model-version", models.show_model),
    ("/models/<name>/aliases/<alias>", "model-alias", models.show_model),
    ("/livez", "livez", health.livez),
    ("/readyz", "readyz", health.readyz),
    ("/metrics", "metrics", health.metrics),
    ("/openapi.json", "openapi", openapi.document),
]


def _pages(prefix: str) -> list[tuple[str, str, View]]:
    return [
        ("/", "console", partial(_index, prefix)),
        ("/docs", "docs", lambda: _page(console.docs_page(_root() + prefix))),
        ("/console-assets/<path:path>", "asset", _asset),
    ]


def _index(prefix: str) -> Response:
    """Show the console to a browser; tell everybody else that the server is up."""
    accept = request.accept_mimetypes
    if accept["text/html"] > accept["application/json"]:
        return _page(console.index_page(_root() + prefix))
    return models.answer_json({"status": "alive"})


def _root() -> str:
    """Return the path that the app is mounted at, "" or "/app"."""
    root: str = g.demijohn_environ.get("SCRIPT_NAME", "")
    return root.rstrip("/")


def _page(asset: console.Asset) -> Response:
    headers = {"Vary": "Accept", **console.HEADERS}
    return Response(asset.body, headers=headers, content_type=asset.content_type)


def _asset(path: str) -> Response:
    asset = console.ASSETS.get(path)
    if asset is None:
        raise RouteNotFound
    response = Response(asset.body, headers=dict(console.HEADERS), content_type=asset.content_type)
    response.set_etag(asset.etag)
    return response.make_conditional(request)  # type: ignore[return-value]
