"""The checks before every view, in the contract's order: Host, route, key, Origin.

Rules of this room:
1. The Host header must name this server, so that a web page cannot reach it by DNS rebinding.
2. A page of another origin is refused, unless the operator allows that origin.
3. Everything needs the key but what ``OPEN_ENDPOINTS`` lists.
"""

from __future__ import annotations

import os
import re
import time
from urllib.parse import urlsplit

from flask import Response, current_app, g, request
from werkzeug.exceptions import HTTPException

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
    g.demijohn_request_id = _request_id()
    shared = services()
    _check_host(shared)
    if request.endpoint == NO_ROUTE:
        _refuse_route()
    if _is_preflight():
        _check_origin(shared)
        return _preflight()
    if shared.needs_key and request.endpoint not in OPEN_ENDPOINTS:
        _check_key(shared)
    _check_origin(shared)
    return _options() if request.method == "OPTIONS" else None


def _request_id() -> str:
    given = request.headers.get("X-Request-Id", "")
    return given if _REQUEST_ID.match(given) else os.urandom(16).hex()


def _check_host(shared: Services) -> None:
    host = request.environ.get("HTTP_HOST", "")
    match = _HOST.match(host)
    if match is None:
        raise HostRefused("The Host header is missing, doubled or malformed")
    name = match["name"].strip("[]").lower()
    if (
        name in LOOPBACK_NAMES
        or name in shared.settings.allowed_hosts
        or host in shared.settings.allowed_hosts
    ):
        return
    bound = shared.bound_host or request.environ.get("SERVER_NAME", "")
    if shared.settings.allowed_hosts or is_loopback(bound):
        raise HostRefused("This server does not answer for that Host; name it in DEMIJOHN_ALLOWED_HOSTS")


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach an address."""
    return host.strip("[]").lower() in LOOPBACK_NAMES or host.startswith("127.")


def _refuse_route() -> None:
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
    parts = urlsplit(origin) if origin.isprintable() else urlsplit("")
    own = request.environ["HTTP_HOST"].lower()
    if parts.netloc and _with_port(parts.netloc.lower(), parts.scheme) == _with_port(own, request.scheme):
        return
    raise OriginRefused("Pages of that Origin may not call this server; name it in DEMIJOHN_ALLOWED_ORIGINS")


def _with_port(host: str, scheme: str) -> str:
    has_port = host.rpartition("]")[2].find(":") >= 0
    return host if has_port else f"{host}:{_DEFAULT_PORTS.get(scheme, '')}"


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
    response.headers["X-Request-Id"] = g.demijohn_request_id
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
