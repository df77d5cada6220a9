"""Where a server is, and who asks it: what a client is made with, checked.

Rule of this room: no error shows what may be a secret.
"""

from __future__ import annotations

from typing import NamedTuple

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from demijohn.errors import ConfigurationError


class Address(NamedTuple):
    """A server's address, whole and in its parts."""

    url: str  #: Without a slash at its end.
    scheme: str  #: http or https.
    host: str
    port: int | None
    prefix: str  #: Under which the routes live; "" or "/ml".


def read_address(url: str) -> Address:
    """Read an address.

    Raises:
        ConfigurationError: it is none of http or https, or has a user, a query or a fragment.
    """
    try:
        parts = parse_url(url)
    except (LocationParseError, TypeError, AttributeError) as error:
        raise ConfigurationError("The url is no address") from error
    if parts.scheme not in ("http", "https") or not parts.host:
        raise ConfigurationError(f"{_shown(parts)} is no address of the form http://host:port/prefix")
    if parts.auth is not None or parts.query is not None or parts.fragment is not None:
        raise ConfigurationError(
            f"{_shown(parts)}: an address has no user, query or fragment; key= takes a key"
        )
    prefix = (parts.path or "").rstrip("/")
    port = "" if parts.port is None else f":{parts.port}"
    url = f"{parts.scheme}://{parts.host}{port}{prefix}"
    return Address(url, parts.scheme, parts.host, parts.port, prefix)


def _shown(parts: Url) -> str:
    return f"{parts.scheme}://{parts.host or ''}" if parts.scheme else parts.host or "That"


def key_header(key: str) -> dict[str, str]:
    """Return the header that shows a key.

    Raises:
        ConfigurationError: no header can hold it.
    """
    if not key or not key.isascii() or not key.isprintable() or key != key.strip():
        raise ConfigurationError("The key must be printable ASCII without blanks around it")
    return {"Authorization": f"Bearer {key}"}


def user_agent() -> str:
    """Say who asks."""
    from demijohn import __version__

    return f"demijohn/{__version__}"
