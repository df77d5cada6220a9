"""The fast lane: answers predictions in front of Flask, where nobody could tell.

A request and an application context, a ``Request`` and a ``Response`` cost Flask several times what a
small model needs. So a WSGI callable stands in front of ``app.wsgi_app``, as Flask documents for
middleware, and answers prediction routes itself.

Rules of this room:
1. It makes the same checks, runs the same steps and writes the same bytes as the view: all of these
   are functions of plain values, and none has a second form here.
2. It steps aside, for Flask to answer, whenever a part of the app would have seen the request: a hook,
   a signal's receiver, an error handler, a changed class or method, a session, middleware inside ours.
   That is asked of the app as it stands, at each request.
3. Flask's own routing says what a path means, once for each path and Host.
4. Of a request's head nothing is looked at twice: a head that led to an answer is known by its words,
   and what of it can change (who looks on, who is asked, whether there is room) is asked each time.
5. What is answered piece by piece is Flask's: there the price of Flask is nothing.

Source: Flask's "Application Structure and Lifecycle", and ``Flask.wsgi_app``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, partial
from time import monotonic
from types import FunctionType, MethodType
from typing import Any, BinaryIO, NamedTuple
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Flask, Request, Response
from flask.sessions import SecureCookieSessionInterface
from flask.signals import (
    appcontext_popped,
    appcontext_pushed,
    appcontext_tearing_down,
    got_request_exception,
    request_finished,
    request_started,
    request_tearing_down,
)
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, UnicodeConverter

from demijohn.errors import DemijohnError
from demijohn.protocols import PROTOCOLS

from . import guards, inference, row_forms, streams
from .errors import answer_exception, encode, form_of, refusal_of
from .services import Services

Application = Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]
Whole = tuple[int, list[tuple[str, str]], bytes]  #: Status, headers, body.

OK = 200
_MOST_KNOWN = 1024  # paths and heads: clients choose them
_MOST_KEPT = 2048  # characters of a head that is kept
#: What of Flask a request passes through; a subclass or an instance may have its own.
_STEPS = (
    "app_context", "async_to_sync", "create_url_adapter", "dispatch_request", "do_teardown_appcontext",
    "do_teardown_request", "ensure_sync", "finalize_request", "full_dispatch_request", "handle_exception",
    "handle_http_exception", "handle_user_exception", "log_exception", "make_response",
    "preprocess_request", "process_response", "raise_routing_exception", "request_context",
    "should_ignore_error", "trap_http_exception",
)  # fmt: skip
_SIGNALS = (
    request_started, request_finished, request_tearing_down, got_request_exception, appcontext_pushed,
    appcontext_popped, appcontext_tearing_down,
)  # fmt: skip
_NOTHING: dict[Any, Any] = {}


class FastLane:
    """Answers predictions, and hands all other requests on.

    Args:
        app: The host, or our own.
        services: Of the app.
        inner: What ``app.wsgi_app`` was.
        owns_app: Our hooks and handlers are the app's, else the blueprint's.
    """

    def __init__(self, app: Flask, services: Services, inner: Application, *, owns_app: bool) -> None:
        self._app = app
        self._services = services
        self._inner = inner
        self._onlookers = _Onlookers(app, inner, owns_app=owns_app)
        self._prefix = services.settings.url_prefix + "/"
        self._map = _Map(app.url_map, -1, {})
        self._heads: dict[str, tuple[inference.Route, inference.Head]] = {}  # by what they say

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request; PEP 3333."""
        route = self._find(environ)
        if route is None:
            return self._inner(environ, start_response)
        entered = environ.get("demijohn.entered") or monotonic()
        given_id = environ.get("HTTP_X_REQUEST_ID")
        status, headers, body = self._answer(route, None, environ, environ["wsgi.input"], entered, given_id)
        # Behind Content-Type, where Werkzeug has it.
        place = next(index for index, (name, _) in enumerate(headers, 1) if name == "Content-Type")
        headers.insert(place, ("Content-Length", str(len(body))))
        start_response(_status_line(status), headers)
        return [body]

    def answer_whole(
        self, environ: WSGIEnvironment, words: str, given_id: str | None, stream: BinaryIO, entered: float
    ) -> Whole | None:
        """Answer one request, without WSGI's ceremony.

        Args:
            environ: What a request's head says, without its X-Request-Id, and that the body has an end.
            words: What the head says, in one text.
            given_id: The client's X-Request-Id.
            stream: The body.
            entered: When the server's callable was, on ``time.monotonic()``'s clock.

        Returns:
            Status, headers (but for Content-Length) and body; None: it is Flask's to answer.
        """
        known = self._heads.get(words)
        if (
            known is not None
            and not self._onlookers.would_see(environ)
            and not self._has_items(known[0], environ)
        ):
            return self._answer(*known, environ, stream, entered, given_id)
        route = self._find(environ)
        if route is None:
            return None
        whole = self._answer(route, None, environ, stream, entered, given_id)
        if whole[0] == OK and len(words) <= _MOST_KEPT:
            head = inference.read_head(environ, route.protocol, self._services.settings)
            if len(self._heads) >= _MOST_KNOWN:
                self._heads.clear()
            self._heads[words] = (route, head)
        return whole

    def _answer(
        self,
        route: inference.Route,
        head: inference.Head | None,
        environ: WSGIEnvironment,
        stream: BinaryIO,
        entered: float,
        given_id: str | None,
    ) -> Whole:
        services = self._services
        request_id = guards.choose_request_id(given_id)
        try:
            if head is None:  # else such a head has passed the checks
                self._check(environ)
            answer = inference.answer_route(services, route, environ, stream, entered, head)
            status = OK
        except Exception as error:  # noqa: BLE001  - as Flask, which gives our handler whatever it is
            form = form_of(route.protocol, environ.get("HTTP_ACCEPT"))
            status, answer = encode(refusal_of(error, request_id), request_id, form)
        body, content_type, given = answer
        headers = (
            [*given.items(), ("Content-Type", content_type)] if given else [("Content-Type", content_type)]
        )
        headers += guards.own_headers(services, environ, request_id, given)
        return status, headers, body

    def _check(self, environ: WSGIEnvironment) -> None:
        services = self._services
        n_proxies = services.settings.trusted_proxies
        seen = environ
        if n_proxies:  # else the Host was checked when the path became known under it
            seen = guards.as_client_sent(environ, n_proxies)
            guards.check_host(services, seen, environ.get("SERVER_NAME", ""))
        if services.needs_key:
            guards.check_key(services, environ)
        if "HTTP_ORIGIN" in environ:
            guards.check_origin(services, seen)

    def _find(self, environ: WSGIEnvironment) -> inference.Route | None:
        """Return whom a request asks, if that is a prediction of ours which nobody else would see."""
        if environ["REQUEST_METHOD"] != "POST":
            return None
        path = environ["PATH_INFO"]
        if not path.startswith(self._prefix) or "HTTP_UPGRADE" in environ:  # a websocket has its own rules
            return None
        if self._onlookers.would_see(environ):
            return None
        views = self._app.view_functions
        rules, n_views, known = self._map
        if rules is not self._app.url_map or n_views != len(views):
            self._map = _Map(self._app.url_map, len(views), known := {})
        key = (path, environ.get("HTTP_HOST"), environ.get("SERVER_NAME"))
        found = known.get(key)
        if found is None:
            found = self._ask_flask(environ)
            if found is None:
                return None
            if len(known) >= _MOST_KNOWN:
                known.clear()
            known[key] = found
        is_ours = views.get(found.endpoint) is found.view and not self._is_streamed(found.route, environ)
        return found.route if is_ours else None

    def _has_items(self, route: inference.Route, environ: WSGIEnvironment) -> bool:
        """Say whether the answer is to leave item by item; the same head may ask another model tomorrow."""
        services = self._services
        return services.pool.has_streams and streams.is_asked(services, route, environ)

    def _is_streamed(self, route: inference.Route, environ: WSGIEnvironment) -> bool:
        """Say whether the answer is to leave piece by piece."""
        services = self._services
        return self._has_items(route, environ) or row_forms.is_asked(
            route.protocol, environ, services.settings.max_body_bytes
        )

    def _ask_flask(self, environ: WSGIEnvironment) -> _Known | None:
        app, services = self._app, self._services
        is_plain = app.url_map.converters["default"] is UnicodeConverter
        if app.url_map.host_matching or app.subdomain_matching or not is_plain:
            return None
        try:
            # As a RequestContext does it. It may refuse the Host, too.
            adapter = app.create_url_adapter(Request(environ, populate_request=False))
            endpoint, arguments = adapter.match()  # type: ignore[union-attr]
            if not services.settings.trusted_proxies:
                guards.check_host(services, environ, environ.get("SERVER_NAME", ""))
        except (HTTPException, DemijohnError):
            return None  # Flask answers it, in whatever form the app has for that
        view = app.view_functions.get(endpoint)
        if not isinstance(view, partial) or view.func is not inference.predict:
            return None
        return _Known(inference.Route(PROTOCOLS[view.args[0]], **arguments), endpoint, view)


class _Known(NamedTuple):
    """Where Flask routes a path under a Host that has passed the check."""

    route: inference.Route
    endpoint: str
    view: Callable[..., Response]


class _Map(NamedTuple):
    """The app's rules, and what was found in them.

    Flask takes no rules once it has served. One that somebody adds to the map itself brings a view.
    """

    rules: Map
    n_views: int
    known: dict[tuple[Any, ...], _Known]


@cache
def _status_line(status: int) -> str:
    return Response(status=status).status  # with the words that Werkzeug has for it


class _Onlookers:
    """Knows whether anybody but us would see a request that goes through Flask.

    Args:
        app: Is asked as it stands: hooks and receivers come and go.
        inner: The app's own ``wsgi_app``, unless there is middleware before it.
        owns_app: Our hooks and handlers are the app's, else the blueprint's.
    """

    def __init__(self, app: Flask, inner: Application, *, owns_app: bool) -> None:
        self._app = app
        self._has_middleware = inner != MethodType(Flask.wsgi_app, app) or _is_changed(Flask, "wsgi_app")
        self._owns_app = owns_app
        self._ours = None if owns_app else guards.BLUEPRINT
        self._others = guards.BLUEPRINT if owns_app else None
        self._before, self._after = [guards.guard], [guards.finish]
        self._handlers = {Exception: answer_exception}
        self._looked_at: tuple[type[Flask], int] | None = None
        self._has_own_steps = False
        self._is_known_bare = False

    def would_see(self, environ: WSGIEnvironment) -> bool:
        """Say whether the request is for Flask."""
        return (
            self._has_middleware
            or not (self._is_known_bare or self._is_bare())
            or _has_receivers(self._app)
            or self._has_session(environ)
            or "werkzeug.debug.preserve_context" in environ  # a test's client, that wants the contexts
        )

    def _is_bare(self) -> bool:
        """Say whether the app is as Flask makes it, but for what is ours."""
        is_bare = not (self._is_of_another_kind() or self._has_hooks())
        # An app of our own stays so: nobody else has it in hand.
        self._is_known_bare = is_bare and self._owns_app
        return is_bare

    def _is_of_another_kind(self) -> bool:
        app = self._app
        # Whoever gives an instance a method of its own adds to its attributes.
        state = (type(app), len(vars(app)))
        if state != self._looked_at:
            own = vars(app).keys()
            self._has_own_steps = any(step in own or _is_changed(type(app), step) for step in _STEPS)
            self._looked_at = state
        return (
            self._has_own_steps
            or app.request_class is not Request
            or app.response_class is not Response
            or app.app_ctx_globals_class is not Flask.app_ctx_globals_class
        )

    def _has_hooks(self) -> bool:
        """Look at what Flask calls for an app and for a blueprint.

        Flask looks for an error's handler with the blueprint first, along all of the error's classes:
        there ours takes every ``Exception``, so the app's handlers see none.
        """
        app, ours, others = self._app, self._ours, self._others
        before, after = app.before_request_funcs, app.after_request_funcs
        late, values = app.teardown_request_funcs, app.url_value_preprocessors
        handlers = app.error_handler_spec
        return bool(
            app.teardown_appcontext_funcs
            or before.get(others)
            or after.get(others)
            or late.get(others)
            or late.get(ours)
            or values.get(others)
            or values.get(ours)
            or before.get(ours) != self._before
            or after.get(ours) != self._after
            or handlers.get(ours, _NOTHING).get(None) != self._handlers
            or (self._owns_app and handlers.get(others, _NOTHING).get(None))
        )

    def _has_session(self, environ: WSGIEnvironment) -> bool:
        """Say whether there may be a session that Flask would open, and send again."""
        app = self._app
        if type(app.session_interface) is not SecureCookieSessionInterface:
            return True
        return "HTTP_COOKIE" in environ and bool(app.secret_key)


def _has_receivers(app: Flask) -> bool:
    if (
        request_started.receivers
        or request_finished.receivers
        or request_tearing_down.receivers
        or got_request_exception.receivers
        or appcontext_pushed.receivers
        or appcontext_popped.receivers
        or appcontext_tearing_down.receivers
    ):
        return any(signal.has_receivers_for(app) for signal in _SIGNALS)  # most are for other apps
    return False


def _is_changed(kind: type[Flask], step: str) -> bool:
    """Say whether a class has another method of that name than Flask: its own, or a patched one."""
    method = getattr(kind, step, None)
    if method is None:
        return False  # this version of Flask has no such step
    is_flasks = isinstance(method, FunctionType) and method.__module__.startswith("flask.")
    return not is_flasks or hasattr(method, "__wrapped__")
