"""The checks before every view, in the contract's order: Host, route, key, Origin.

Rules of this room:
1. The Host header must name this server, so that a web page cannot reach it by DNS rebinding.
2. A page of another origin is refused, unless the operator allows that origin.
3. Everything needs the key but what ``OPEN_ENDPOINTS`` lists.
4. What a proxy says in X-Forwarded-* counts only for as many proxies as the operator trusts, and for
   us only: the host app sees its request as it came.
5. A check is a function of plain values, so that the fast lane makes the same ones; only ``guard``,
   ``finish`` and what they alone call know Flask.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Mapping
from functools import cache
from ipaddress import AddressValueError, IPv4Address
from typing import Any, NoReturn

from flask import Response, current_app, g, request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import Rule

from demijohn import __version__
from demijohn.errors import HostRefused, KeyMissing, MethodNotAllowed, OriginRefused, RouteNotFound

from . import tensorflow
from .row_forms import check_forms
from .services import Services, services

BLUEPRINT = "demijohn"
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
OPEN_ENDPOINTS = frozenset({"demijohn.livez", "demijohn.readyz", "demijohn.console", "demijohn.docs",
                            "demijohn.asset"})  # fmt: skip
NO_ROUTE = "demijohn.no_route"

_HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?\Z")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}\Z")
_REQUEST_ID_BYTES = 16
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_ALLOWED_HEADERS = (
    "Authorization, Content-Encoding, Content-Type, Inference-Header-Content-Length, X-API-Key, X-Request-Id"
)
#: Of answers, beside those that any page may read: without the length, tensors in bytes cannot be found.
_EXPOSED_HEADERS = "Inference-Header-Content-Length, Retry-After, X-Demijohn-Version, X-Request-Id"
_ALLOWED_METHODS = "GET, HEAD, POST, PUT, OPTIONS"
_VERSION = ("X-Demijohn-Version", __version__)
_NOT_STORED = ("Cache-Control", "no-store")
_NOT_GUESSED = ("X-Content-Type-Options", "nosniff")

# Ids are no secrets, and asking the system for each would cost more than all checks together.
_chance = random.Random(os.urandom(32))  # noqa: S311
os.register_at_fork(after_in_child=lambda: _chance.seed(os.urandom(32)))  # else siblings share their ids


def guard() -> Response | None:
    """Run the checks; the blueprint's ``before_request``.

    Returns:
        The answer to OPTIONS (a CORS preflight or not), else None.

    Raises:
        RequestError: a check failed.
    """
    environ, shared = request.environ, services()
    g.demijohn_entered = environ.get("demijohn.entered", time.monotonic())
    g.demijohn_environ = seen = as_client_sent(environ, shared.settings.trusted_proxies)
    check_host(shared, seen, environ.get("SERVER_NAME", ""))
    if request.endpoint in (None, NO_ROUTE) and not _is_found_respelt():
        refuse_route()
    if request.method == "PUT":
        check_forms(environ)
    if _is_preflight():
        check_origin(shared, seen)
        return _preflight()
    if request.endpoint not in OPEN_ENDPOINTS:
        check_key(shared, environ)
    check_origin(shared, seen)
    return _options() if request.method == "OPTIONS" else None


def request_id() -> str:
    """Return the id of the request that Flask handles."""
    if "demijohn_request_id" not in g:
        g.demijohn_request_id = choose_request_id(request.environ.get("HTTP_X_REQUEST_ID"))
    known: str = g.demijohn_request_id
    return known


def choose_request_id(given: str | None) -> str:
    """Return the client's own id of this request, if it is clean, else one made for it."""
    if given is not None and _REQUEST_ID.match(given):
        return given
    return _chance.randbytes(_REQUEST_ID_BYTES).hex()


def as_client_sent(environ: dict[str, Any], n_proxies: int) -> dict[str, Any]:
    """Return ``environ`` with the client's host, scheme, port and prefix, as trusted proxies tell them."""
    if not n_proxies:
        return environ
    seen = dict(environ)
    _proxy_fix(n_proxies)(seen, _no_response)
    return seen


@cache
def _proxy_fix(n: int) -> ProxyFix:
    return ProxyFix(lambda *_: [], x_for=n, x_proto=n, x_host=n, x_port=n, x_prefix=n)


def _no_response(*_: Any) -> Any:
    """Stand where ``start_response`` does; never called."""


def check_host(shared: Services, seen: Mapping[str, Any], server_name: str) -> None:
    """Refuse a Host that is not ours.

    Args:
        shared: Knows the hosts that are allowed, and where ``serve`` listens.
        seen: The request's ``environ`` as ``as_client_sent`` returns it.
        server_name: WSGI's, from the request as it came.

    Raises:
        HostRefused: it is missing, malformed or another's.
    """
    host = seen.get("HTTP_HOST", "").lower()
    match = _HOST.match(host)
    if match is None:
        raise HostRefused("The Host header is missing, doubled or malformed")
    allowed = [known.lower() for known in shared.settings.allowed_hosts]
    if is_loopback(match["name"]) or not {host, match["name"], match["name"].strip("[]")}.isdisjoint(allowed):
        return
    if allowed or is_loopback(shared.bound_host or server_name):
        raise HostRefused("This server does not answer for that Host; name it in DEMIJOHN_ALLOWED_HOSTS")


def is_loopback(host: str) -> bool:
    """Say whether a name or address is one of loopback, which only this machine can reach."""
    name = host.strip("[]").lower()
    try:
        return name in LOOPBACK_NAMES or IPv4Address(name).is_loopback
    except AddressValueError:
        return False


def refuse_route(**_: Any) -> NoReturn:
    """Refuse what no route of ours takes: 405 where another HTTP method would do, else 404.

    Also the catch-all's view, though the guard has raised before it could run.
    """
    methods = ", ".join(_allowed_methods())
    error: RouteNotFound | MethodNotAllowed
    if methods:
        error = MethodNotAllowed(f"This address takes {methods}", headers={"Allow": methods})
    else:
        error = RouteNotFound("There is nothing at this address; GET /openapi.json lists the routes")
    error.asked = f"{request.method} {request.path}"
    raise error


def _allowed_methods() -> list[str]:
    return [method for method in ("GET", "POST", "PUT") if _takes(method)]


def _takes(method: str) -> bool:
    return _match(None, method) is not None or _match_respelt(method) is not None


def _is_found_respelt() -> bool:
    """Let Flask go on with the route of ours that has the path in other letters, if there is one."""
    found = _match_respelt(request.method)
    if found is None:
        return False
    request.url_rule, request.view_args = found
    request.routing_exception = None
    return True


def _match_respelt(method: str) -> tuple[Rule, dict[str, Any]] | None:
    prefix, path = services().settings.url_prefix, request.path
    respelt = prefix + tensorflow.respell(path[len(prefix) :])
    if not path.startswith(prefix) or respelt == path:
        return None
    found = _match(respelt, method)
    return found if found is not None and found[0].endpoint.startswith(f"{BLUEPRINT}.") else None


def _match(path: str | None, method: str) -> tuple[Rule, dict[str, Any]] | None:
    adapter = current_app.url_map.bind_to_environ(request.environ)
    try:
        rule, arguments = adapter.match(path, method, return_rule=True)
    except HTTPException:  # neither ours nor the app's own: no such route for this method
        return None
    # Behind a colon stands a verb of TensorFlow Serving's; no name of ours has one.
    if rule.endpoint == NO_ROUTE or any(":" in str(value) for value in arguments.values()):
        return None
    return rule, dict(arguments)


def check_key(shared: Services, environ: Mapping[str, Any]) -> None:
    """Refuse a request without a key, where one is needed.

    Raises:
        KeyMissing: there is none, or it is not known.
    """
    if not shared.needs_key:
        return
    scheme, _, credentials = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    given = credentials.strip() if scheme.lower() == "bearer" else environ.get("HTTP_X_API_KEY", "")
    if not given or not shared.accepts(given):
        raise KeyMissing(
            "Send a valid key as 'Authorization: Bearer <key>' or 'X-API-Key: <key>'",
            headers={"WWW-Authenticate": "Bearer"},
        )


def check_origin(shared: Services, seen: Mapping[str, Any]) -> None:
    """Refuse a page of another origin.

    Args:
        shared: Knows the origins that are allowed.
        seen: As ``check_host`` has let it pass.

    Raises:
        OriginRefused: the Origin is neither our own nor allowed.
    """
    origin = seen.get("HTTP_ORIGIN")
    if origin is None or origin in shared.settings.allowed_origins:
        return
    scheme, _, host = origin.lower().partition("://")
    own = _with_port(seen["HTTP_HOST"].lower(), seen["wsgi.url_scheme"])
    if scheme in _DEFAULT_PORTS and _HOST.match(host) and _with_port(host, scheme) == own:
        return
    raise OriginRefused("Pages of that Origin may not call this server; name it in DEMIJOHN_ALLOWED_ORIGINS")


def _with_port(host: str, scheme: str) -> str:
    has_port = host.rpartition("]")[2].find(":") >= 0
    return host if has_port else f"{host}:{_DEFAULT_PORTS[scheme]}"


def _is_preflight() -> bool:
    return request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers


def _options() -> Response:
    """Answer OPTIONS; Flask's own answer would name the methods of the catch-all as well."""
    methods = [*_allowed_methods(), "OPTIONS"]
    if "GET" in methods:
        methods.append("HEAD")
    return Response(headers={"Allow": ", ".join(sorted(methods))})


def _preflight() -> Response:
    response = Response(status=204)
    response.headers["Access-Control-Allow-Methods"] = _ALLOWED_METHODS
    response.headers["Access-Control-Allow-Headers"] = _ALLOWED_HEADERS
    response.headers["Access-Control-Max-Age"] = "600"
    return response


def finish(response: Response) -> Response:
    """Add the headers that every answer of ours bears; the blueprint's ``after_request``."""
    for name, value in own_headers(services(), request.environ, request_id(), response.headers):
        if name == "Vary":
            response.headers.add(name, value)
        else:
            response.headers[name] = value
    return response


def own_headers(
    shared: Services, environ: Mapping[str, Any], request_id: str, given: Headers | Mapping[str, str]
) -> list[tuple[str, str]]:
    """Return the headers that every answer of ours bears.

    Args:
        shared: For CORS, and for whether the server drains.
        environ: Of the request.
        request_id: Of the request.
        given: Names of the answer's own headers, which stay as they are. ``Vary`` is added to them.
    """
    headers = [_VERSION, ("X-Request-Id", request_id)]
    if not given or "Cache-Control" not in given:
        headers.append(_NOT_STORED)
    if not given or "X-Content-Type-Options" not in given:
        headers.append(_NOT_GUESSED)
    allowed = shared.settings.allowed_origins
    if allowed:
        headers.append(("Vary", "Origin"))
        origin = environ.get("HTTP_ORIGIN")
        if origin in allowed:
            headers.append(("Access-Control-Allow-Origin", origin))
            headers.append(("Access-Control-Expose-Headers", _EXPOSED_HEADERS))
    if shared.lifecycle.is_draining:
        headers.append(("Connection", "close"))
    return headers
