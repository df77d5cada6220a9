"""Whether anybody but us would see a request that goes through Flask.

Rule of this room: the app is asked as it stands, at each request: hooks and receivers come and go.

Source: Flask's "Application Structure and Lifecycle", and ``Flask.wsgi_app``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import FunctionType, MethodType
from typing import Any
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

from . import guards
from .errors import answer_exception

Application = Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]

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


class Onlookers:
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
