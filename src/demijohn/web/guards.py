"""The checks before every view, in the contract's order: Host, route, key, Origin.

Rules of this room:
1. The Host header must name this server, so that a web page cannot reach it by DNS rebinding.
2. A page of another origin is refused, unless the operator allows that origin.
3. Everything needs the key but what ``OPEN_ENDPOINTS`` lists.
4. What a proxy says in X-Forwarded-* counts only for as many proxies as the operator trusts, and for
   us only: the host app sees its request as it came.
"""

from __future__ import annotations

import os
import re
import time
from ipaddress import AddressValueError, IPv4Address
from typing import Any, NoReturn

from flask import Response, current_app, g, request
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from demijohn.errors import HostRefused, KeyMissing, MethodNotAllowed, OriginRefused, RouteNotFound

from .services import Services, services

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
OPEN_ENDPOINTS = frozenset({"demijohn.livez", "demijohn.readyz", "demijohn.console", "demijohn.docs",
                            "demijohn.asset"})  # fmt: skip
NO_ROUTE = "demijohn.no_route"

_HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?\Z")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}\Z")
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_ALLOWED_HEADERS = "Authorization, Content-Encoding, Content-Type, X-API-Key, X-Request-Id"
_ALLOWED_METHODS = "GET, HEAD, POST, OPTIONS"


def guard() -> Response | None:
    """Run the checks; the blueprint's ``before_request``.

    Returns:
        The answer to OPTIONS (a CORS preflight or not), else None.

    Raises:
        RequestError: a check failed.
    """
    g.demijohn_entered = request.environ.get("demijohn.entered", time.monotonic())
    shared = services()
    g.demijohn_environ = as_client_sent(request.environ, shared.settings.trusted_proxies)
    _check_host(shared)
    if request.endpoint in (None, NO_ROUTE):
        refuse_route()
    if _is_preflight():
        _check_origin(shared)
        return _preflight()
    if shared.needs_key and request.endpoint not in OPEN_ENDPOINTS:
        _check_key(shared)
    _check_origin(shared)
    return _options() if request.method == "OPTIONS" else None


def request_id() -> str:
    """Return the client's own id of this request, if it is clean, else one made for it."""
    if "demijohn_request_id" not in g:
        given = request.headers.get("X-Request-Id", "")
        g.demijohn_request_id = given if _REQUEST_ID.match(given) else os.urandom(16).hex()
    known: str = g.demijohn_request_id
    return known


def as_client_sent(environ: dict[str, Any], n_proxies: int) -> dict[str, Any]:
    """Return ``environ`` with the client's host, scheme, port and prefix, as trusted proxies tell them."""
    if not n_proxies:
        return environ
    seen = dict(environ)
    n = n_proxies
    ProxyFix(lambda *_: [], x_for=n, x_proto=n, x_host=n, x_port=n, x_prefix=n)(seen, _no_response)
    return seen


def _no_response(*_: Any) -> Any:
    """Stand where ``start_response`` does; never called."""


def _check_host(shared: Services) -> None:
    host = g.demijohn_environ.get("HTTP_HOST", "").lower()
    match = _HOST.match(host)
    if match is None:
        raise HostRefused("The Host header is missing, doubled or malformed")
    allowed = [known.lower() for known in shared.settings.allowed_hosts]
    if is_loopback(match["name"]) or not {host, match["name"], match["name"].strip("[]")}.isdisjoint(allowed):
        return
    bound = shared.bound_host or request.environ.get("SERVER_NAME", "")
    if allowed or is_loopback(bound):
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
    allowed = _allowed_methods()
    if not allowed:
        raise RouteNotFound("There is nothing at this address; GET /openapi.json lists the routes")
    methods = ", ".join(allowed)
    raise MethodNotAllowed(f"This address takes {methods}", headers={"Allow": methods})


def _allowed_methods() -> list[str]:
    return [method for method in ("GET", "POST") if _takes(method)]


def _takes(method: str) -> bool:
    adapter = current_app.url_map.bind_to_environ(request.environ)
    try:
        endpoint, _ = adapter.match(method=method)
    except HTTPException:  # neither ours nor the app's own: no such route for this method
        return False
    return bool(endpoint != NO_ROUTE)


def _check_key(shared: Services) -> None:
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    given = credentials.strip() if scheme.lower() == "bearer" else request.headers.get("X-API-Key", "")
    if not given or not shared.accepts(given):
        raise KeyMissing(
            "Send a valid key as 'Authorization: Bearer <key>' or 'X-API-Key: <key>'",
            headers={"WWW-Authenticate": "Bearer"},
        )


def _check_origin(shared: Services) -> None:
    origin = request.headers.get("Origin")
    if origin is None or origin in shared.settings.allowed_origins:
        return
    seen = g.demijohn_environ
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
    from demijohn import __version__

    response.headers["X-Demijohn-Version"] = __version__
    response.headers["X-Request-Id"] = request_id()
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    shared = services()
    if shared.settings.allowed_origins:
        response.headers.add("Vary", "Origin")
        origin = request.headers.get("Origin")
        if origin in shared.settings.allowed_origins:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = "X-Request-Id, X-Demijohn-Version"
    if shared.lifecycle.is_draining:
        response.headers["Connection"] = "close"
    return response
