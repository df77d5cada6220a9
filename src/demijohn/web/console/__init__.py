"""The console and docs pages: a static shell that fetches all it shows from our own routes.

Rules of this room:
1. A page holds no data and no secret, so the shell needs no key; what it shows comes by
   ``fetch`` from routes that do.
2. Nothing is inline and nothing comes from another host: ``CSP`` says so to the browser.
3. Names and values of a model reach a page as text nodes, never as HTML.
4. The only thing written into a page here is the prefix of our routes, escaped.

Source: SECURITY.md row 37 and "Console"; https://www.w3.org/TR/CSP3/
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from html import escape
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import Final

__all__ = ["ASSETS", "CSP", "HEADERS", "Asset", "docs_page", "index_page"]

#: Swagger UI draws its arrows from ``data:`` images; nothing else widens ``'self'``.
CSP: Final = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

#: For both pages. ``no-referrer`` would turn the Origin header of a form post into
#: "null", which our own Origin check refuses; ``same-origin`` tells other hosts as little.
HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Content-Security-Policy": CSP,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-cache",
    }
)

_CONTENT_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "css": "text/css; charset=utf-8",
        "html": "text/html; charset=utf-8",
        "js": "text/javascript; charset=utf-8",
        "svg": "image/svg+xml",
        "txt": "text/plain; charset=utf-8",
    }
)

_PREFIX_MARK: Final = b"{{ prefix }}"


@dataclass(frozen=True)
class Asset:
    """One file of the pages; read when first asked for, then kept."""

    content_type: str
    read: Callable[[], bytes] = field(repr=False)

    @cached_property
    def body(self) -> bytes:
        """The bytes to send."""
        return self.read()

    @cached_property
    def etag(self) -> str:
        """A strong validator of ``body``, without quotes: the page is never stale after an upgrade."""
        return sha256(self.body).hexdigest()[:32]


def index_page(prefix: str) -> Asset:
    """The console.

    Args:
        prefix: Where our routes live, ``""`` or ``"/ml"``: no slash at its end.
    """
    return _page("index.html", prefix)


def docs_page(prefix: str) -> Asset:
    """Swagger UI over our OpenAPI document; ``prefix`` as for :func:`index_page`."""
    return _page("docs.html", prefix)


def _page(name: str, prefix: str) -> Asset:
    template = _PAGES[name]
    written = escape(prefix, quote=True).encode()
    return Asset(template.content_type, lambda: template.body.replace(_PREFIX_MARK, written))


def _walk(folder: Traversable, path: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{path}{entry.name}/")
        else:
            yield f"{path}{entry.name}", entry


def _asset(path: str, file: Traversable) -> Asset:
    suffix = path.rpartition(".")[2]
    return Asset(_CONTENT_TYPES.get(suffix, _CONTENT_TYPES["txt"]), file.read_bytes)


_FILES: Final = {path: _asset(path, file) for path, file in _walk(files(__name__).joinpath("static"))}
_PAGES: Final = {path: asset for path, asset in _FILES.items() if path.endswith(".html")}

#: What ``{prefix}/console-assets/<path>`` serves, by path. A request can only pick a key.
ASSETS: Final[Mapping[str, Asset]] = MappingProxyType(
    {path: asset for path, asset in _FILES.items() if path not in _PAGES}
)
