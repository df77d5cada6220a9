"""The fast lane: answers predictions in front of Flask, where nobody could tell.

A request and an application context, a ``Request`` and a ``Response`` cost Flask several times what a
small model needs. So a WSGI callable stands in front of ``app.wsgi_app``, as Flask documents for
middleware, and answers prediction routes itself.

Rules of this room:
1. It makes the same checks, runs the same steps and writes the same bytes as the view: all of these
   are functions of plain values, and none has a second form here.
2. It steps aside, for Flask to answer, whenever a part of the app would have seen the request: a hook,
   a signal's receiver, an error handler, a changed class or method, a session, middleware inside ours.
   That is asked of the app as it stands, at each request (``onlookers``).
3. Flask's own routing says what a path means, once for each path and Host.
4. Of a request's head nothing is looked at twice: a head that led to an answer is known by its words,
   and what of it can change (who looks on, who is asked, whether there is room) is asked each time.
5. Where a model's queue has to be asked, the request's thread need not wait: who has called
   ``answer_whole`` is told the answer by the model's own thread. A crowd of threads that are woken one after
   another costs more than a small model does.
6. What is answered piece by piece is Flask's: there the price of Flask is nothing.

Source: Flask's "Application Structure and Lifecycle", and ``Flask.wsgi_app``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, partial
from time import monotonic
from typing import Any, BinaryIO, NamedTuple
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Flask, Request, Response
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, UnicodeConverter

from demijohn.batching import Outcome
from demijohn.errors import DemijohnError
from demijohn.messages import Encoded
from demijohn.protocols import PROTOCOLS

from . import guards, inference, row_forms, streams
from .errors import encode, form_of, refusal_of
from .inference import OK
from .onlookers import Application, Onlookers
from .services import Services

Whole = tuple[int, list[tuple[str, str]], bytes]  #: Status, headers, body.

_MOST_KNOWN = 1024  # paths and heads: clients choose them
_MOST_KEPT = 2048  # characters of a head that is kept


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
        self._onlookers = Onlookers(app, inner, owns_app=owns_app)
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
        answer = self._answer(route, None, environ, environ["wsgi.input"], entered, given_id)
        status, headers, body = answer if isinstance(answer, tuple) else answer.wait()
        # Behind Content-Type, where Werkzeug has it.
        place = next(index for index, (name, _) in enumerate(headers, 1) if name == "Content-Type")
        headers.insert(place, ("Content-Length", str(len(body))))
        start_response(_status_line(status), headers)
        return [body]

    def answer_whole(
        self, environ: WSGIEnvironment, words: str, given_id: str | None, stream: BinaryIO, entered: float
    ) -> Whole | LaterWhole | None:
        """Answer one request, without WSGI's ceremony, and without waiting for a model that is busy.

        Args:
            environ: What a request's head says, without its X-Request-Id, and that the body has an end.
            words: What the head says, in one text.
            given_id: The client's X-Request-Id.
            stream: The body.
            entered: When the server's callable was, on ``time.monotonic()``'s clock.

        Returns:
            Status, headers (but for Content-Length) and body; or who will have them, once the model has
            answered; None: it is Flask's to answer.
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
        if (not isinstance(whole, tuple) or whole[0] == OK) and len(words) <= _MOST_KEPT:
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
    ) -> Whole | LaterWhole:
        services = self._services
        request_id = guards.choose_request_id(given_id)
        try:
            if head is None:  # else such a head has passed the checks
                self._check(environ)
            answer = inference.begin_route(services, route, environ, stream, entered, head)
        except Exception as error:  # noqa: BLE001  - as Flask, which gives our handler whatever it is
            return self.refuse(error, route, environ, request_id)
        if isinstance(answer, inference.Later):
            return LaterWhole(self, answer, route, environ, request_id)
        return self.dress(OK, answer, environ, request_id)

    def refuse(
        self, error: Exception, route: inference.Route, environ: WSGIEnvironment, request_id: str
    ) -> Whole:
        """Return what a request is told that there is no answer to."""
        form = form_of(route.protocol, environ.get("HTTP_ACCEPT"))
        status, answer = encode(refusal_of(error, request_id), request_id, form)
        return self.dress(status, answer, environ, request_id)

    def dress(self, status: int, answer: Encoded, environ: WSGIEnvironment, request_id: str) -> Whole:
        """Put the headers round an answer."""
        content_type, given = answer.content_type, answer.headers
        headers = (
            [*given.items(), ("Content-Type", content_type)] if given else [("Content-Type", content_type)]
        )
        headers += guards.own_headers(self._services, environ, request_id, given)
        return status, headers, answer.body

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


class LaterWhole:
    """An answer that is not there yet, because its model is to be waited for."""

    __slots__ = ("_environ", "_lane", "_later", "_request_id", "_route")

    def __init__(
        self,
        lane: FastLane,
        later: inference.Later,
        route: inference.Route,
        environ: WSGIEnvironment,
        request_id: str,
    ) -> None:
        self._lane = lane
        self._later = later
        self._route = route
        self._environ = environ
        self._request_id = request_id

    def wait(self) -> Whole:
        """Return the answer, once it is there."""
        return self._finish(self._later.waiting.outcome())

    def send(self, tell: Callable[[Whole], None]) -> None:
        """Have ``tell`` called with the answer, in this thread or the model's; returns at once."""
        self._later.waiting.send(lambda outcome: tell(self._finish(outcome)))

    def _finish(self, outcome: Outcome) -> Whole:
        if isinstance(outcome, Exception):  # not raised again: it and our frames would hold each other
            self._later.fail(outcome)
            return self._lane.refuse(outcome, self._route, self._environ, self._request_id)
        try:
            answer = self._later.finish(outcome)
        except Exception as error:  # noqa: BLE001  - as above
            return self._lane.refuse(error, self._route, self._environ, self._request_id)
        return self._lane.dress(OK, answer, self._environ, self._request_id)


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
